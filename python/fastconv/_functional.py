"""Convolution and transposed convolution as functions of arrays.

Each function hands its arguments to the compiled core in its own order; the core checks them.
"""

from __future__ import annotations

from typing import SupportsIndex

from fastconv import _core
from fastconv._arrays import as_array
from fastconv._docstrings import documented
from fastconv._typing import (
    Activation,
    Array,
    ArrayLike,
    Padding,
    PaddingMode,
    PaddingValue,
    Precision,
    Sizes,
)


@documented("conv", 1)
def conv1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    activation: Activation | None = None,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.convolve(
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        activation,
        accumulate,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("conv", 2)
def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    activation: Activation | None = None,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.convolve(
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        activation,
        accumulate,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("conv", 3)
def conv3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    activation: Activation | None = None,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.convolve(
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        activation,
        accumulate,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("conv_transpose", 1)
def conv_transpose1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: SupportsIndex = 1,
    dilation: Sizes = 1,
    *,
    layout: str | None = None,
    flip: bool = False,
    activation: Activation | None = None,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.convolve_transpose(
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        layout,
        flip,
        activation,
        accumulate,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("conv_transpose", 2)
def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: SupportsIndex = 1,
    dilation: Sizes = 1,
    *,
    layout: str | None = None,
    flip: bool = False,
    activation: Activation | None = None,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.convolve_transpose(
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        layout,
        flip,
        activation,
        accumulate,
        algorithm,
        precision,
        threads,
        out,
    )


@documented("conv_transpose", 3)
def conv_transpose3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: SupportsIndex = 1,
    dilation: Sizes = 1,
    *,
    layout: str | None = None,
    flip: bool = False,
    activation: Activation | None = None,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    out: Array | None = None,
) -> Array:
    return _core.convolve_transpose(
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        layout,
        flip,
        activation,
        accumulate,
        algorithm,
        precision,
        threads,
        out,
    )


def corr2d(X: ArrayLike, K: ArrayLike) -> Array:
    """Cross-correlate a matrix with a kernel, as textbooks introduce it.

    Parameters
    ----------
    X : array_like, shape (H, W)
    K : array_like, shape (h, w)

    Returns
    -------
    ndarray, shape (H - h + 1, W - w + 1)
        ``Y[i, j] = sum(X[i : i + h, j : j + w] * K)``. Dtypes follow `conv2d`.

    Raises
    ------
    ValueError
        If one of them is not a matrix, or the kernel is larger than the matrix.
    TypeError
        If one of them has no numbers.

    Notes
    -----
    Zhang, Lipton, Li and Smola, "Dive into Deep Learning", section 7.2.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> X = np.arange(9.0).reshape(3, 3)
    >>> fastconv.corr2d(X, [[0.0, 1.0], [2.0, 3.0]])
    array([[19., 25.],
           [37., 43.]])
    """
    matrices = []
    for name, value in (("X", X), ("K", K)):
        matrix = as_array(value, name)
        if matrix.ndim != 2:
            raise ValueError(f"{name}: got shape {matrix.shape}, needs a matrix, two axes")
        matrices.append(matrix[None])
    if any(k > n for k, n in zip(matrices[1].shape, matrices[0].shape, strict=True)):
        raise ValueError(
            f"K: got shape {matrices[1].shape[1:]}, needs at most X's {matrices[0].shape[1:]}"
        )
    result: Array = conv2d(matrices[0], matrices[1][None])[0]
    return result
