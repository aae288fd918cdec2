"""Gradients of the convolutions with respect to one argument at a time.

The forward call's options mean the same here. `fastconv.conv2d_backward` and its like compute all
gradients of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsIndex

from fastconv import _core
from fastconv._docstrings import documented
from fastconv._typing import (
    Array,
    ArrayLike,
    Padding,
    PaddingMode,
    PaddingValue,
    Precision,
    Shape,
    Sizes,
)

__all__ = [
    "conv1d_input",
    "conv1d_weight",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_input",
    "conv3d_weight",
]


@documented("input_gradient", 1)
def conv1d_input(
    input_size: Shape,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.input_gradient(
        1,
        input_size,
        weight,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("weight_gradient", 1)
def conv1d_weight(
    input: ArrayLike,
    weight_size: Shape,
    grad_output: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.weight_gradient(
        1,
        input,
        weight_size,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("input_gradient", 2)
def conv2d_input(
    input_size: Shape,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.input_gradient(
        2,
        input_size,
        weight,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("weight_gradient", 2)
def conv2d_weight(
    input: ArrayLike,
    weight_size: Shape,
    grad_output: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.weight_gradient(
        2,
        input,
        weight_size,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("input_gradient", 3)
def conv3d_input(
    input_size: Shape,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.input_gradient(
        3,
        input_size,
        weight,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("weight_gradient", 3)
def conv3d_weight(
    input: ArrayLike,
    weight_size: Shape,
    grad_output: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.weight_gradient(
        3,
        input,
        weight_size,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
        out,
    )


INPUT_GRADIENTS: dict[int, Callable[..., Array]] = {
    1: conv1d_input,
    2: conv2d_input,
    3: conv3d_input,
}
WEIGHT_GRADIENTS: dict[int, Callable[..., Array]] = {
    1: conv1d_weight,
    2: conv2d_weight,
    3: conv3d_weight,
}
