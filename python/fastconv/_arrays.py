"""Arrays and shapes as arguments of functions that look at them before the core does."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np

from fastconv._typing import Array, Shape


def as_array(value: Any, name: str, *, copy: bool = False) -> Array:
    """Make an array of an argument, or refuse it by name."""
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{name}: got {value!r}, needs an array")
    try:
        array: Array = np.array(value) if copy else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"{name}: got what numpy.asarray makes no array of ({error}); needs an array of "
            "numbers, all rows of one length"
        ) from None
    return array


def shape_argument(shape: Shape, name: str) -> tuple[SupportsIndex, ...]:
    """Make a tuple of a shape, or refuse what is none by name."""
    of_array = getattr(shape, "shape", ())
    if len(of_array) > 1:
        raise TypeError(
            f"{name}: got an array of shape {tuple(of_array)}, needs a shape; "
            "pass the array's `.shape`"
        )
    try:
        return tuple(shape)
    except TypeError:
        raise TypeError(f"{name}: got {shape!r}, needs a sequence of integers") from None


def spatial_rank(weight_shape: Shape, name: str) -> int:
    """Count the axes of a kernel, or refuse the weight's shape by name."""
    rank = len(weight_shape) - 2
    if rank not in (1, 2, 3):
        raise ValueError(
            f"{name}: got shape {tuple(weight_shape)}, needs 3, 4 or 5 axes: "
            "(K, C / groups, *kernel)"
        )
    return rank
