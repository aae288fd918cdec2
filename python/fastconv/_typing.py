"""Types of the arguments that several modules share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = Sequence[SupportsIndex]
Sizes: TypeAlias = SupportsIndex | Shape
Padding: TypeAlias = (
    Literal["valid", "same", "same_lower", "full"]
    | SupportsIndex
    | Sequence[SupportsIndex | Sequence[SupportsIndex]]
)
PaddingMode: TypeAlias = Literal[
    "zeros", "constant", "reflect", "symmetric", "replicate", "circular"
]
PaddingValue: TypeAlias = complex | np.number[Any]
Activation: TypeAlias = Literal["relu", "leaky_relu", "relu6", "silu", "gelu", "sigmoid", "tanh"]
Precision: TypeAlias = Literal["default", "strict", "fast"]

__all__ = [
    "Activation",
    "Array",
    "ArrayLike",
    "Padding",
    "PaddingMode",
    "PaddingValue",
    "Precision",
    "Shape",
    "Sizes",
]
