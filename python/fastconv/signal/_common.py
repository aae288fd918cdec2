"""What the functions of `fastconv.signal` share: sizes, dtypes and their errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._core import UnsupportedError
from fastconv._functional import conv1d, conv2d, conv3d

Array: TypeAlias = npt.NDArray[Any]
Pairs: TypeAlias = tuple[tuple[int, int], ...]

CONVOLUTIONS: tuple[Callable[..., Array], ...] = (conv1d, conv2d, conv3d)

_MODES = frozenset({"full", "same", "valid"})

# The sum of so many products of two 8-bit integers still fits int32.
_TAPS_WITHIN_INT32 = (2**31 - 1) // 255**2


def arrays_of_one_rank(in1: npt.ArrayLike, in2: npt.ArrayLike) -> tuple[Array, Array]:
    first, second = np.asarray(in1), np.asarray(in2)
    if first.ndim != second.ndim:
        raise ValueError(
            f"in1 and in2 must have the same number of dimensions, got shapes {first.shape} and "
            f"{second.shape}; give the smaller one leading axes of length 1"
        )
    return first, second


def windows_of(shape1: Sequence[int], shape2: Sequence[int], mode: str) -> Pairs:
    """Where the part of the full convolution that `mode` names starts, and its length."""
    if mode == "full":
        return tuple((0, n + k - 1) for n, k in zip(shape1, shape2, strict=True))
    if mode == "same":
        return tuple(((k - 1) // 2, n) for n, k in zip(shape1, shape2, strict=True))
    contains(shape1, shape2)
    return tuple((min(n, k) - 1, abs(n - k) + 1) for n, k in zip(shape1, shape2, strict=True))


def padding_of(large: Sequence[int], small: Sequence[int], windows: Pairs) -> Pairs:
    """The padding, negative to crop, that makes a convolution give one window of the full one."""
    return tuple(
        (k - 1 - start, start + length - n)
        for n, k, (start, length) in zip(large, small, windows, strict=True)
    )


def contains(shape1: Sequence[int], shape2: Sequence[int]) -> bool:
    """Whether the first shape contains the second, which must be so one way or the other."""
    if all(n >= k for n, k in zip(shape1, shape2, strict=True)):
        return True
    if all(n <= k for n, k in zip(shape1, shape2, strict=True)):
        return False
    raise ValueError(
        f"mode 'valid' needs one of in1 and in2 to be at least as large as the other in every "
        f"dimension, got shapes {tuple(shape1)} and {tuple(shape2)}; use mode='same' or 'full'"
    )


def check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise ValueError(f"mode must be 'full', 'same' or 'valid', got {mode!r}")


def refuse_empty(first: Array, second: Array, mode: str) -> NoReturn:
    shapes = f"{first.shape} and {second.shape}"
    raise ValueError(f"in1 and in2 must not be empty in mode {mode!r}, got shapes {shapes}")


def result_dtype(first: Array, second: Array) -> np.dtype[Any]:
    got = f"got dtypes {first.dtype} and {second.dtype}"
    if any(array.dtype.kind not in "biufc" for array in (first, second)):
        kind = TypeError if first.ndim == 1 and "O" in (first.dtype, second.dtype) else ValueError
        raise kind(f"in1 and in2 must be arrays of numbers, {got}; convert with astype(float)")
    common: np.dtype[Any] = np.result_type(first.dtype, second.dtype)
    if common.kind in "fc" and np.finfo(common).bits > 64:
        raise UnsupportedError(
            f"no algorithm computes in {common}, {got}; use float64 or complex128"
        )
    return common


def working_dtype(dtype: np.dtype[Any], kernel: Array) -> np.dtype[Any]:
    """The dtype to compute in, such that converting the result to `dtype` wraps as it should."""
    if dtype.kind in "biu" and dtype.itemsize == 1:
        fits = kernel.size <= _TAPS_WITHIN_INT32 and kernel.ndim <= 3
        narrow = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        return narrow if fits else np.dtype(np.int16)
    if dtype == np.uint64:
        return np.dtype(np.int64)
    # Sums over leading axes would be rounded once for each tap.
    return np.dtype(np.float32) if dtype == np.float16 and kernel.ndim > 3 else dtype


def refuse_dtype(dtype: np.dtype[Any], *refused: type[np.generic]) -> None:
    if dtype.type in refused:
        raise ValueError(
            f"in1 and in2 must not have {dtype} as their common dtype here, as in SciPy; convert "
            f"one of them to {'uint8' if dtype.kind == 'b' else 'float32'}"
        )
