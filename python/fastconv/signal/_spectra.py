"""Transforms of whole arrays along their last axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import _core
from fastconv._configuration import get_num_threads
from fastconv.signal._common import Array

# Seconds for each point and bit of the number of points in single precision, the work beside the
# transforms included; double precision and complex numbers take twice as long each.
_SECONDS_PER_POINT = 5.7e-11
_CACHE_BYTES = 1.5e6
_SLOWER_BEYOND_CACHE = 1.6
# More than what a call of a convolution takes.
_SECONDS_OF_CALLS = 15e-6


def fast_lengths(sizes: Sequence[int], real: bool) -> list[int]:
    """The next lengths that have transforms; the last is even for real numbers."""
    lengths = [_core.next_transform_length(size) for size in sizes]
    if real:
        lengths[-1] = 2 * _core.next_transform_length(-(-sizes[-1] // 2))
    return lengths


def convolve(first: Array, second: Array, lengths: Sequence[int]) -> Array:
    """Convolve finite arrays along their last axes, circularly with periods of these lengths."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = _by_product(first, second, lengths)
        if np.isfinite(result).all():
            return result
        # Spectra may overflow where the sums that are wanted do not: powers of two are exact.
        exponents = [int(np.frexp(np.abs(array).max())[1]) - 1 for array in (first, second)]
        scaled = [
            array * array.real.dtype.type(2.0**-exponent)
            for array, exponent in zip((first, second), exponents, strict=True)
        ]
        result = _by_product(scaled[0], scaled[1], lengths)
        half = sum(exponents) // 2
        for exponent in (half, sum(exponents) - half):
            result = result * result.real.dtype.type(2.0**exponent)
        return result


def _by_product(first: Array, second: Array, lengths: Sequence[int]) -> Array:
    product = forward(first, lengths) * forward(second, lengths)
    return inverse(product, lengths, first.dtype.kind != "c")


def forward(array: Array, lengths: Sequence[int]) -> Array:
    """Transform an array with zeros behind it along its last axes."""
    kept = array.ndim - len(lengths)
    padded = np.zeros((*array.shape[:kept], *lengths), array.dtype)
    region: tuple[Any, ...] = (..., *(slice(size) for size in array.shape[kept:]))
    padded[region] = array
    spectrum = _transform(padded, "fft" if array.dtype.kind == "c" else "rfft", lengths)
    for axis in range(-len(lengths), -2):
        spectrum = _along(spectrum, axis, "fft")
    return spectrum


def inverse(spectrum: Array, lengths: Sequence[int], real: bool) -> Array:
    """Transform the spectra of real or complex arrays back."""
    for axis in range(-len(lengths), -2):
        spectrum = _along(spectrum, axis, "ifft")
    return _transform(spectrum, "irfft" if real else "ifft", lengths)


def estimated_seconds(lengths: Sequence[int], arrays: int, dtype: np.dtype[np.generic]) -> float:
    """Seconds of a convolution that transforms so many arrays."""
    points = math.prod(lengths)
    scale = dtype.itemsize / 4
    if points * dtype.itemsize > _CACHE_BYTES:
        scale *= _SLOWER_BEYOND_CACHE
    per_array = scale * _SECONDS_PER_POINT * points * math.log2(points + 1)
    return _SECONDS_OF_CALLS + arrays * per_array


def _transform(array: Array, kind: str, lengths: Sequence[int]) -> Array:
    axes = min(2, len(lengths))
    return _core.fourier_transform(
        np.ascontiguousarray(array), kind, axes, lengths[-1], get_num_threads()
    )


def _along(array: Array, axis: int, kind: str) -> Array:
    last = np.moveaxis(array, axis, -1)
    return np.moveaxis(_transform(last, kind, last.shape[-1:]), -1, axis)
