"""The transform engine by itself, beside NumPy's transforms in double precision.

The root-mean-square error of a fast transform of n points, relative to the result's, grows like
eps * sqrt(log2 n) for random rounding errors and at most like eps * log2 n (Higham, Accuracy and
Stability of Numerical Algorithms, 2002, section 24.1): a stage adds a few rounding errors of the
numbers' own size. The bound of the tests is eps * (1 + log2 n).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastconv import _core

_REAL = {"float32": np.float32, "float64": np.float64}
_COMPLEX = {"float32": np.complex64, "float64": np.complex128}
_SMALL_PRIMES = (2, 3, 5, 7, 11)
_AWKWARD = [256, 384, 1000, 1024, 1331, 2401, 4096, 6561, 7546, 10000, 16807, 65536]
_LARGE = [2**18, 3**12, 2**19 * 3, 2**20, 3**13]
_BATCHES = [1, 2, 15, 16, 17, 33]


def _has_small_factors(length: int) -> bool:
    for prime in _SMALL_PRIMES:
        while length % prime == 0:
            length //= prime
    return length == 1


def _bound(dtype: str, points: int) -> float:
    return float(np.finfo(dtype).eps) * (1 + math.log2(points))


def _error(result: np.ndarray, expected: np.ndarray) -> float:
    """Root-mean-square error relative to the expected one's norm."""
    return float(np.linalg.norm(result - expected) / np.linalg.norm(expected))


def _random(shape: tuple[int, ...], dtype: str, kind: str) -> np.ndarray:
    rng = np.random.default_rng(shape)
    real = rng.standard_normal(shape).astype(_REAL[dtype])
    if kind == "rfft":
        return real
    return (real + 1j * rng.standard_normal(shape)).astype(_COMPLEX[dtype])


def _input(kind: str, dtype: str, batch: tuple[int, ...], length: int) -> np.ndarray:
    return _random((*batch, length // 2 + 1 if kind == "irfft" else length), dtype, kind)


def _expected(kind: str, array: np.ndarray, axes: int, length: int) -> np.ndarray:
    array = array.astype(np.float64 if kind == "rfft" else np.complex128)
    if axes == 1:
        function = getattr(np.fft, kind)
        return function(array, n=length) if kind == "irfft" else function(array)
    function = getattr(np.fft, kind + "2")
    return function(array, s=(array.shape[-2], length)) if kind == "irfft" else function(array)


def _check(kind: str, dtype: str, batch: tuple[int, ...], length: int, axes: int = 1) -> None:
    array = _input(kind, dtype, batch, length)
    before = array.copy()
    result = _core.fourier_transform(array, kind, axes, length, 1)
    expected = _expected(kind, array, axes, length)
    assert result.shape == expected.shape
    assert result.dtype == (_REAL if kind == "irfft" else _COMPLEX)[dtype]
    points = length * (batch[-1] if axes == 2 else 1)
    assert _error(result, expected) <= _bound(dtype, points), (kind, batch, length)
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("dtype", _REAL)
@pytest.mark.parametrize("kind", ["fft", "ifft", "rfft", "irfft"])
class TestLengths:
    """Every length in turn."""

    def test_up_to_255(self, kind: str, dtype: str) -> None:
        """Supported lengths agree; others name themselves and the next supported one."""
        for length in range(1, 256):
            if _has_small_factors(length):
                _check(kind, dtype, (3,), length)
                _check(kind, dtype, (17,), length)
                continue
            following = next(n for n in range(length, 300) if _has_small_factors(n))
            array = _input(kind, dtype, (2,), length)
            with pytest.raises(ValueError, match=rf"got {length}, .* such as {following}$"):
                _core.fourier_transform(array, kind, 1, length, 1)

    @pytest.mark.parametrize("batch", _BATCHES)
    def test_awkward(self, kind: str, dtype: str, batch: int) -> None:
        """Lengths of one, two and many stages, alone and in batches that fill no vector."""
        for length in _AWKWARD:
            if batch * length <= 2**18:
                _check(kind, dtype, (batch,), length)

    @pytest.mark.parametrize("length", _LARGE)
    def test_large(self, kind: str, dtype: str, length: int) -> None:
        """One transform that no cache holds."""
        _check(kind, dtype, (1,), length)

    @pytest.mark.parametrize(
        "shape",
        [(1, 1), (2, 3), (16, 16), (5, 16), (16, 5), (15, 14), (32, 32), (64, 64), (33, 77),
         (100, 243), (512, 512)],
    )  # fmt: skip
    def test_planes(self, kind: str, dtype: str, shape: tuple[int, int]) -> None:
        """The last two axes."""
        rows, columns = shape
        for planes in (1, 3, 16, 21) if rows * columns < 10000 else (1,):
            _check(kind, dtype, (planes, rows), columns, axes=2)

    def test_threads_do_not_change_bits(self, kind: str, dtype: str) -> None:
        """Pieces are shared among threads, sums are not."""
        for batch, length in [((1,), 65536), ((33,), 64), ((5,), 1155), ((4,), 4096)]:
            array = _input(kind, dtype, batch, length)
            one = _core.fourier_transform(array, kind, 1, length, 1)
            for threads in (2, 3, 8):
                other = _core.fourier_transform(array, kind, 1, length, threads)
                assert one.tobytes() == other.tobytes()
        for planes, rows, columns in [(1, 96, 100), (37, 12, 10)]:
            array = _input(kind, dtype, (planes, rows), columns)
            one = _core.fourier_transform(array, kind, 2, columns, 1)
            other = _core.fourier_transform(array, kind, 2, columns, 3)
            assert one.tobytes() == other.tobytes()

    @pytest.mark.parametrize("length", [15, 16, 77, 128, 1000, 8192])
    def test_nan_stays_in_its_row(self, kind: str, dtype: str, length: int) -> None:
        """Rows share vectors, never numbers."""
        for batch in (2, 16, 19):
            array = _input(kind, dtype, (batch,), length)
            clean = _core.fourier_transform(array, kind, 1, length, 1)
            array[1, length // 3] = np.nan
            result = _core.fourier_transform(array, kind, 1, length, 1)
            assert np.isnan(result[1]).all()
            others = np.arange(batch) != 1
            np.testing.assert_array_equal(result[others], clean[others])


@pytest.mark.parametrize("dtype", _REAL)
@pytest.mark.parametrize("length", [12, 16, 49, 60, 1000, 4096, 30000])
class TestLaws:
    """What holds for every transform."""

    def test_there_and_back(self, dtype: str, length: int) -> None:
        """The inverse of the transform is where it began."""
        for forward, back in (("fft", "ifft"), ("rfft", "irfft")):
            array = _input(forward, dtype, (5,), length)
            spectrum = _core.fourier_transform(array, forward, 1, length, 1)
            result = _core.fourier_transform(spectrum, back, 1, length, 1)
            assert _error(result, array) <= 2 * _bound(dtype, length)

    def test_linearity(self, dtype: str, length: int) -> None:
        """The transform of a sum is the sum of the transforms."""
        a, b = _random((2, 1, length), dtype, "fft")
        transforms = [
            _core.fourier_transform(array, "fft", 1, length, 1) for array in (a, b, 2 * a - 3 * b)
        ]
        error = _error(2 * transforms[0] - 3 * transforms[1], transforms[2])
        assert error <= 4 * _bound(dtype, length)

    def test_parseval(self, dtype: str, length: int) -> None:
        """The sum of squares is that of the spectrum over the length."""
        array = _random((1, length), dtype, "fft")
        spectrum = _core.fourier_transform(array, "fft", 1, length, 1)
        energy = np.sum(np.abs(array.astype(np.complex128)) ** 2)
        transformed = np.sum(np.abs(spectrum.astype(np.complex128)) ** 2) / length
        assert abs(transformed / energy - 1) <= 2 * _bound(dtype, length)


def test_refusals() -> None:
    """Errors name the length and the next one, and the argument."""
    with pytest.raises(ValueError, match=r"got 4095, .* such as 4096"):
        _core.fourier_transform(np.zeros((1, 4095), np.complex64), "fft", 1, 4095, 1)
    with pytest.raises(ValueError, match=r"got 13, .* such as 14"):
        _core.fourier_transform(np.zeros((1, 13, 16), np.complex64), "fft", 2, 16, 1)
    with pytest.raises(TypeError, match="array"):
        _core.fourier_transform(np.zeros((1, 16), np.float16), "rfft", 1, 16, 1)
    with pytest.raises(ValueError, match="kind"):
        _core.fourier_transform(np.zeros((1, 16), np.float32), "dct", 1, 16, 1)
    with pytest.raises(ValueError, match="length"):
        _core.fourier_transform(np.zeros((1, 16), np.float32), "rfft", 1, 15, 1)
