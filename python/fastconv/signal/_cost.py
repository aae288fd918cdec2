"""Which way of computing a convolution is estimated to be faster, and which ones are exact."""

from __future__ import annotations

import math

import numpy as np

from fastconv import _core
from fastconv.signal import _spectra
from fastconv.signal._common import Array, Pairs, padding_of


def rounds_exactly(first: Array, second: Array) -> bool:
    """Whether integers convolved by transforms in float64 are exact once they are rounded.

    With n levels of butterflies the error of every element of a convolution by transforms is at
    most ``|a| |b| ((1 + e)^(3n) (1 + e sqrt(5))^(3n + 1) (1 + e)^(3n) - 1)``, about
    ``13 e (n + 1) |a| |b|``, where ``|a|`` and ``|b|`` are the Euclidean norms, ``e = 2^-53``, and
    the roots of unity are right to the last place (C. Percival, Rapid multiplication modulo the
    sum and difference of highly composite numbers, Mathematics of Computation 72, 2003, theorem
    5.1). That is for radix 2; a factor of 32 covers larger radices and the factors between steps.
    An error below one half disappears.
    """
    points = math.prod(2 * (n + k) for n, k in zip(first.shape, second.shape, strict=True))
    levels = math.log2(points) + 8
    # Of float64, so that no square wraps around.
    norms = [float(np.linalg.norm(array.astype(np.float64).ravel())) for array in (first, second)]
    return bool(norms[0] * norms[1] * 32 * levels * 2.0**-53 < 0.5)


def estimated_seconds(large: Array, small: Array, windows: Pairs) -> tuple[float, float]:
    """Seconds of the sum itself, and by transforms; integers are transformed in float64."""
    dtype = np.result_type(large.dtype, small.dtype)
    if dtype == np.bool_:
        dtype = np.dtype(np.uint8)
    elif dtype == np.uint64:
        dtype = np.dtype(np.int64)
    transformed = np.dtype(np.float64) if dtype.kind in "iu" else dtype
    if large.ndim > 3:
        # As many calls as leading taps, each for a batch of leading places.
        calls = math.prod(small.shape[:-3])
        batch = math.prod(length for _, length in windows[:-3])
        shapes = large.shape[-3:], small.shape[-3:]
        direct, _ = _of_plans(batch, shapes[0], shapes[1], windows[-3:], dtype)
        return calls * direct, _of_whole_transforms(large.shape, small.shape, transformed)
    direct, fft = _of_plans(1, large.shape, small.shape, windows, dtype)
    if dtype != transformed:
        _, fft = _of_plans(1, large.shape, small.shape, windows, transformed)
    return direct, min(fft, _of_whole_transforms(large.shape, small.shape, transformed))


def _of_plans(
    batch: int,
    large: tuple[int, ...],
    small: tuple[int, ...],
    windows: Pairs,
    dtype: np.dtype[np.generic],
) -> tuple[float, float]:
    """The best algorithm without transforms, and the one with them if it takes the problem."""
    seconds = _core.estimate_convolution(
        len(large), (batch, 1, *large), (1, 1, *small), dtype, padding_of(large, small, windows), 1
    )
    fft = seconds.pop("fft", math.inf)
    last_resort = seconds.pop("reference", math.inf)
    return min(seconds.values(), default=last_resort), fft


def _of_whole_transforms(
    large: tuple[int, ...], small: tuple[int, ...], dtype: np.dtype[np.generic]
) -> float:
    sizes = [n + k - 1 for n, k in zip(large, small, strict=True)]
    lengths = _spectra.fast_lengths(sizes, dtype.kind != "c")
    return _spectra.estimated_seconds(lengths, 3, dtype)
