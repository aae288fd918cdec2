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
