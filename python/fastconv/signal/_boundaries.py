"""Two-dimensional convolution and correlation with a choice of boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv._functional import conv2d
from fastconv._typing import PaddingMode
from fastconv.signal._common import (
    Array,
    check_mode,
    contains,
    padding_of,
    refuse_dtype,
    refuse_empty,
    result_dtype,
    windows_of,
    working_dtype,
)

_PADDING_MODES: dict[str, PaddingMode] = {
    "fill": "constant",
    "pad": "constant",
    "wrap": "circular",
    "circular": "circular",
    "symm": "symmetric",
    "symmetric": "symmetric",
}


def convolve2d(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: Any = 0,
) -> Array:
    """Convolve two 2-D arrays with a choice of boundaries; the kernel is mirrored.

    ``full[i, j] = sum_{a, b} in2[a, b] * in1[i - a, j - b]``, where `boundary` says what `in1`
    holds outside, and `mode` which part of ``full`` is returned.

    Parameters
    ----------
    in1 : array_like, shape (H, W)
        The image.
    in2 : array_like, shape (R, S)
        The kernel. In mode "valid" the two trade places if `in2` is the larger one.
    mode : {"full", "same", "valid"}, default "full"
        Sizes are those of `convolve`: ``"same"`` starts at ``((R - 1) // 2, (S - 1) // 2)``.
    boundary : {"fill", "wrap", "symm"}, default "fill"
        ``"fill"`` (or "pad"): `fillvalue` outside. ``"wrap"`` (or "circular"): periodic.
        ``"symm"`` (or "symmetric"): mirrored at the edge, which is repeated. Kernels may be wider
        than the image.
    fillvalue : scalar, default 0
        What boundary "fill" puts outside, as an element of the result's dtype.

    Returns
    -------
    ndarray
        Of dtype ``numpy.result_type(in1, in2)``. Integers wrap around.

    Raises
    ------
    ValueError
        For arrays that are not 2-D, unknown names, arrays of which neither contains the other in
        mode ``"valid"``, a `fillvalue` that does not fit the result's dtype, an empty image that
        has nothing to repeat, and the dtypes that SciPy refuses: bool, float16, and no numbers.
    TypeError
        If `fillvalue` is no number at all.
    fastconv.UnsupportedError
        For longdouble.

    Examples
    --------
    >>> from fastconv import signal
    >>> image = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    >>> signal.convolve2d(image, [[1, 0], [0, -1]], mode="valid")
    array([[4, 4],
           [4, 4]])
    >>> signal.convolve2d(image, [[1, 1, 1]], mode="same", boundary="wrap")
    array([[ 3,  3,  3],
           [12, 12, 12],
           [21, 21, 21]])
    """
    image, kernel = _two_dimensional(in1, in2, "convolve2d")
    if mode == "valid" and not contains(image.shape, kernel.shape):
        image, kernel = kernel, image
    return _filter2d(image, kernel, mode, boundary, fillvalue, flip=True)


def correlate2d(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: Any = 0,
) -> Array:
    """Cross-correlate two 2-D arrays with a choice of boundaries; `in2` is conjugated.

    ``full[i, j] = sum_{a, b} conj(in2[a, b]) * in1[i - R + 1 + a, j - S + 1 + b]``, where
    `boundary` says what `in1` holds outside, and `mode` which part of ``full`` is returned.

    Parameters
    ----------
    in1 : array_like, shape (H, W)
        The image.
    in2 : array_like, shape (R, S)
        The kernel. In mode "valid" the two trade places if `in2` is the larger one.
    mode : {"full", "same", "valid"}, default "full"
        As in `convolve2d`, except that ``"same"`` starts at ``(R // 2, S // 2)``.
    boundary : {"fill", "wrap", "symm"}, default "fill"
    fillvalue : scalar, default 0
        As in `convolve2d`.

    Returns
    -------
    ndarray
        Of dtype ``numpy.result_type(in1, in2)``. Integers wrap around.

    Raises
    ------
    ValueError, TypeError, fastconv.UnsupportedError
        As `convolve2d` does, and TypeError if `in2` holds strings or dates.

    Notes
    -----
    As in SciPy, where "valid" makes the inputs trade places the smaller array is the one that is
    conjugated, whichever it is.

    Examples
    --------
    >>> from fastconv import signal
    >>> image = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    >>> signal.correlate2d(image, [[0, 1], [2, 3]], mode="valid")
    array([[19, 25],
           [37, 43]])
    >>> signal.correlate2d(image, [[1, -1]], mode="same", boundary="symm")
    array([[-1, -1,  0],
           [-1, -1,  0],
           [-1, -1,  0]])
    """
    image, kernel = _two_dimensional(in1, in2, "correlate2d")
    trade_places = mode == "valid" and not contains(image.shape, kernel.shape)
    if trade_places:
        image, kernel = kernel, image
    result = _filter2d(image, kernel.conj(), mode, boundary, fillvalue, flip=False)
    return np.flip(result) if trade_places else result


def _filter2d(
    image: Array, kernel: Array, mode: str, boundary: str, fillvalue: Any, *, flip: bool
) -> Array:
    """Convolve (or correlate, without `flip`) a padded 2-D image."""
    check_mode(mode)
    if boundary not in _PADDING_MODES:
        raise ValueError(f"boundary must be 'fill', 'wrap' or 'symm', got {boundary!r}")
    padding_mode = _PADDING_MODES[boundary]
    dtype = result_dtype(image, kernel)
    fill = _fill(fillvalue if padding_mode == "constant" else 0, dtype)
    refuse_dtype(dtype, np.bool_, np.float16)
    windows = windows_of(image.shape, kernel.shape, mode)
    padding = padding_of(image.shape, kernel.shape, windows)
    if not flip:
        padding = tuple((after, before) for before, after in padding)
    shape = tuple(length for _, length in windows)
    if min(shape) < 0:
        refuse_empty(image, kernel, mode)
    if kernel.size == 0 or 0 in shape:
        return np.zeros(shape, dtype)
    if image.size == 0:
        if padding_mode != "constant":
            raise ValueError(
                f"in1 must not be empty with boundary={boundary!r}, got shape {image.shape}: there "
                f"is nothing to repeat; use boundary='fill'"
            )
        padded = [n + sum(pad) for n, pad in zip(image.shape, padding, strict=True)]
        image, padding = np.full(padded, fill, dtype), ((0, 0), (0, 0))
    working = working_dtype(dtype, kernel)
    result: Array = conv2d(
        image.astype(working, copy=False)[None],
        kernel.astype(working, copy=False)[None, None],
        padding=padding,
        padding_mode=padding_mode,
        padding_value=fill.astype(working).item(),
        flip=flip,
    )[0]
    return result.astype(dtype, copy=False)


def _fill(fillvalue: Any, dtype: np.dtype[Any]) -> Array:
    """The fill value as a 0-d array: arrays must convert safely, and scalars somehow."""

    def converted(target: npt.DTypeLike) -> Array:
        if isinstance(fillvalue, np.ndarray):
            return fillvalue.astype(target, casting="safe")
        return np.array(fillvalue, dtype=target)

    try:
        fill = converted(dtype)
    except (TypeError, ValueError, OverflowError):
        converted(np.complex128)
        raise ValueError(
            f"fillvalue must convert to {dtype}, the dtype of the result, got {fillvalue!r}; "
            f"convert in1 to a wider dtype, or give a number that {dtype} can hold"
        ) from None
    if fill.size != 1:
        raise ValueError(f"fillvalue must be a scalar or of size 1, got size {fill.size}")
    return fill.reshape(())


def _two_dimensional(in1: npt.ArrayLike, in2: npt.ArrayLike, name: str) -> tuple[Array, Array]:
    first, second = np.asarray(in1), np.asarray(in2)
    if not first.ndim == second.ndim == 2:
        raise ValueError(
            f"in1 and in2 of {name} must be 2-D, got shapes {first.shape} and {second.shape}; "
            f"{name.removesuffix('2d')} takes any number of dimensions"
        )
    return first, second
