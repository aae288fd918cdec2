"""All gradients of a convolution in one call.

Each function hands its arguments to the compiled core in its own order; the core checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from fastconv import _core
from fastconv._arrays import as_array
from fastconv._docstrings import documented
from fastconv._typing import (
    Array,
    ArrayLike,
    Padding,
    PaddingMode,
    PaddingValue,
    Precision,
    Sizes,
)
from fastconv.grad import INPUT_GRADIENTS, WEIGHT_GRADIENTS

Gradients = tuple[Array | None, Array | None, Array | None]


def _backward(
    rank: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: SupportsIndex,
    output_mask: Sequence[bool],
    layout: str | None,
    padding_mode: PaddingMode,
    padding_value: PaddingValue,
    flip: bool,
    algorithm: str,
    precision: Precision,
    threads: SupportsIndex | None,
) -> Gradients:
    """Compute the gradients that the mask asks for, in the common dtype of the three arrays."""
    wanted = f"output_mask: got {output_mask!r}, needs three of True and False"
    try:
        mask = tuple(output_mask)
    except TypeError:
        raise TypeError(wanted) from None
    if len(mask) != 3 or not all(isinstance(flag, (bool, np.bool_)) for flag in mask):
        raise ValueError(wanted)
    names = ("grad_output", "input", "weight")
    arrays = [
        as_array(array, name)
        for array, name in zip((grad_output, input, weight), names, strict=True)
    ]
    if len({array.dtype for array in arrays}) > 1 and not all(
        array.dtype.kind in "biu" for array in arrays
    ):
        try:
            common = np.result_type(*arrays)
        except TypeError:
            dtypes = ", ".join(str(array.dtype) for array in arrays)
            raise TypeError(
                f"grad_output, input, weight: got dtypes {dtypes}, which have no common dtype"
            ) from None
        arrays = [array.astype(common, copy=False) for array in arrays]
    gradient, x, w = arrays
    options = (stride, padding, dilation, groups)
    keywords = {
        "layout": layout,
        "padding_mode": padding_mode,
        "padding_value": padding_value,
        "flip": flip,
        "algorithm": algorithm,
        "precision": precision,
        "threads": threads,
    }
    want_input, want_weight, want_bias = mask
    grad_input = grad_weight = grad_bias = None
    if want_input and want_weight and gradient.dtype.kind not in "biu":
        grad_input, grad_weight = _core.both_gradients(
            rank, x, w, gradient, *options, *keywords.values()
        )
        want_input = want_weight = False
    if want_input:
        grad_input = INPUT_GRADIENTS[rank](x.shape, w, gradient, *options, **keywords)
    if want_weight:
        grad_weight = WEIGHT_GRADIENTS[rank](x, w.shape, gradient, *options, **keywords)
    if want_bias:
        grad_bias = _core.bias_gradient(rank, gradient, x.shape, w.shape, *options, layout, threads)
    return grad_input, grad_weight, grad_bias


@documented("backward", 1)
def conv1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    output_mask: Sequence[bool] = (True, True, True),
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
) -> Gradients:
    return _backward(
        1,
        grad_output,
        input,
        weight,
        stride,
        padding,
        dilation,
        groups,
        output_mask,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
    )


@documented("backward", 2)
def conv2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    output_mask: Sequence[bool] = (True, True, True),
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
) -> Gradients:
    return _backward(
        2,
        grad_output,
        input,
        weight,
        stride,
        padding,
        dilation,
        groups,
        output_mask,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
    )


@documented("backward", 3)
def conv3d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    output_mask: Sequence[bool] = (True, True, True),
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
) -> Gradients:
    return _backward(
        3,
        grad_output,
        input,
        weight,
        stride,
        padding,
        dilation,
        groups,
        output_mask,
        layout,
        padding_mode,
        padding_value,
        flip,
        algorithm,
        precision,
        threads,
    )
