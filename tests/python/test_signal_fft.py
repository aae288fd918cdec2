"""`fftconvolve`, `oaconvolve`, `choose_conv_method` and ``method=`` against `scipy.signal`."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import fastconv
from fastconv import signal
from fastconv.signal import _convolve, _transforms
from fastconv.signal._cost import rounds_exactly
from scipy_comparison import outcome, parameters_of

pytest.importorskip("scipy", minversion="1.17")
peer = pytest.importorskip("scipy.signal")

MODES = ("full", "same", "valid")
NAMES = ("fftconvolve", "oaconvolve")


def random_array(shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return generator.random(shape) < 0.4
    if dtype.kind in "iu":
        low = 0 if dtype.kind == "u" else -100
        return generator.integers(low, 100, shape).astype(dtype)
    values = generator.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * generator.standard_normal(shape)
    return values.astype(dtype)


def assert_close(actual: Any, expected: Any, single: bool = False) -> None:
    """Within what docs/numerics.md promises of transforms, of the largest element.

    SciPy transforms an array of float32 in float32, even where the other one is wider: `single`.
    """
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if actual.dtype.kind not in "fc":
        np.testing.assert_array_equal(actual, expected)
        return
    tolerance = {"float16": 4e-3, "float32": 2e-5, "complex64": 2e-5}.get(
        str(actual.dtype), 2e-5 if single else 2e-13
    )
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def compare(name: str, in1: Any, in2: Any, **options: Any) -> None:
    """Call both libraries, and expect the same array or the same kind of error."""
    expected = outcome(getattr(peer, name), in1, in2, **options)
    if isinstance(expected, type):
        with pytest.raises(expected):
            getattr(signal, name)(in1, in2, **options)
        return
    single = any(np.asarray(array).dtype.char in "efF" for array in (in1, in2))
    assert_close(getattr(signal, name)(in1, in2, **options), expected, single)


@pytest.mark.parametrize("name", [*NAMES, "choose_conv_method"])
def test_signature_is_that_of_scipy(name: str) -> None:
    assert parameters_of(getattr(signal, name)) == parameters_of(getattr(peer, name))
    assert name in signal.__all__


SHAPES = [
    ((9,), (4,)),
    ((4,), (9,)),
    ((6,), (6,)),
    ((1,), (7,)),
    ((7,), (1,)),
    ((1,), (1,)),
    ((1000,), (30,)),
    ((300,), (299,)),
    ((7, 9), (3, 4)),
    ((3, 4), (7, 9)),
    ((5, 5), (5, 5)),
    ((9, 2), (2, 7)),
    ((1, 6), (4, 1)),
    ((33, 40), (17, 31)),
    ((4, 5, 6), (2, 3, 3)),
    ((3, 3, 3), (3, 3, 3)),
    ((3, 4, 3, 5), (2, 2, 3, 2)),
    ((3, 2, 3, 2, 3), (2, 2, 2, 1, 2)),
]


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "complex64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_modes_and_shapes(name: str, shapes: Any, mode: str, dtype: str) -> None:
    compare(name, random_array(shapes[0], dtype, 1), random_array(shapes[1], dtype, 2), mode=mode)


SHAPES_WITH_AXES = [
    ((5, 30), (5, 7), 1),
    ((5, 30), (1, 7), 1),
    ((1, 30), (5, 7), [-1]),
    ((30, 5), (7, 1), 0),
    ((2, 20, 3), (2, 5, 1), (1,)),
    ((2, 20, 3), (1, 5, 3), (1,)),
    ((1, 20, 3), (4, 5, 1), (1,)),
    ((4, 5, 1), (1, 20, 3), (1,)),
    ((4, 9, 3, 8), (4, 4, 3, 3), (3, 1)),
    ((2, 6, 7, 8, 2), (2, 3, 2, 3, 1), (1, 2, 3)),
    ((2, 1, 7, 3), (1, 4, 3, 3), (2,)),
    ((3, 4, 5), (1, 4, 1), (0, 2)),
    ((6, 1), (1, 4), None),
    ((1, 6), (5, 1), 0),
    ((2, 3, 4, 5, 3), (2, 2, 2, 3, 3), (0, 1, 2, 3)),
    ((1, 3, 4, 5, 3), (4, 2, 2, 3, 2), (1, 2, 3, 4)),
]


@pytest.mark.parametrize("dtypes", ["dd", "ff", "dD", "Ff", "FF", "li"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", SHAPES_WITH_AXES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_axes(name: str, case: Any, mode: str, dtypes: str) -> None:
    shape1, shape2, axes = case
    in1, in2 = random_array(shape1, dtypes[0], 3), random_array(shape2, dtypes[1], 4)
    compare(name, in1, in2, mode=mode, axes=axes)


@pytest.mark.parametrize("first", "?bBhHiIlLqQefdFD")
@pytest.mark.parametrize("name", NAMES)
def test_every_pair_of_dtypes(name: str, first: str) -> None:
    for second, mode in itertools.product("?bBhHiIlLqQefdFD", MODES):
        for shape1, shape2 in [((6, 5), (3, 2)), ((9,), (4,)), ((3,), (1,))]:
            in1, in2 = random_array(shape1, first, 9), random_array(shape2, second, 10)
            compare(name, in1, in2, mode=mode)


@hypothesis.given(st.data())
def test_random_problems(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 4))
    axes = data.draw(st.none() | st.lists(st.integers(-rank, rank - 1), min_size=1, max_size=3))
    sizes = st.tuples(*[st.sampled_from([1, 2, 3, 5, 8])] * rank)
    shape1, shape2 = data.draw(sizes), data.draw(sizes)
    dtypes = st.sampled_from("fdFDi")
    in1, in2 = (random_array(s, data.draw(dtypes), 5) for s in (shape1, shape2))
    mode, name = data.draw(st.sampled_from(MODES)), data.draw(st.sampled_from(NAMES))
    # SciPy drops axes of length 1 before it centres what is left.
    compare(name, in1, in2, mode=mode, axes=axes)


BAD_CALLS = [
    ([1, 2], [[1]], {}),
    (3, [1, 2], {}),
    ([1, 2], None, {}),
    ("word", [1, 2], {}),
    (["a", "b"], ["c", "d"], {}),
    (["a", "b"], [1.0, 2.0], {}),
    ([object(), object()], [1.0, 2.0], {}),
    (np.ones((5, 2)), np.ones((2, 3)), {"mode": "valid"}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": 0}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": 2}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": -3}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": (0, 0)}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": (0, -2)}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": ()}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": 1.5}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": "word"}),
    (np.ones((5, 3)), np.ones((3, 4)), {"axes": [None]}),
    *(([1.0, 2.0], [1.0, 3.0], {"mode": mode}) for mode in ("bad", "FULL", b"full", None, 2, 0)),
    *(([1.0, 2.0], [1.0], {"mode": mode}) for mode in ("bad", None)),
]


@pytest.mark.parametrize(("in1", "in2", "options"), BAD_CALLS)
@pytest.mark.parametrize("name", NAMES)
def test_bad_calls(name: str, in1: Any, in2: Any, options: Any) -> None:
    expected = outcome(getattr(peer, name), in1, in2, **options)
    assert isinstance(expected, type)
    with pytest.raises(expected):
        getattr(signal, name)(in1, in2, **options)


@pytest.mark.parametrize("name", NAMES)
def test_messages_name_the_argument(name: str) -> None:
    function = getattr(signal, name)
    x, y = np.ones((5, 3)), np.ones((3, 4))
    for options, message in [
        ({"axes": 0}, "equal lengths, or length 1.*got shapes"),
        ({"axes": 5}, "axes must be within -2 and 1, got 5"),
        ({"axes": (0, 0)}, "axes must differ"),
        ({"axes": ()}, "axes must not be empty"),
        ({"mode": "bad"}, "mode must be .* got 'bad'"),
        ({"mode": "valid"}, "use mode='same' or 'full'"),
    ]:
        with pytest.raises(ValueError, match=message):
            function(x, y, **options)
    with pytest.raises(fastconv.UnsupportedError, match="use float64"):
        function(np.ones(3, np.longdouble), np.ones(2))


@pytest.mark.parametrize("name", NAMES)
def test_empty_and_zero_dimensional(name: str) -> None:
    for in1, in2 in [([], [1.0]), (np.ones((0, 3)), np.ones((2, 2))), (3, 4), (2.5, 1j)]:
        compare(name, in1, in2)


@pytest.mark.parametrize("name", NAMES)
def test_any_memory_layout(name: str) -> None:
    in1, in2 = random_array((12, 9), "D", 6), random_array((5, 4), "d", 7)
    expected = getattr(peer, name)(in1, in2)
    strided = np.zeros((24, 18), "D")[::2, ::2]
    strided[...] = in1
    big = in1.astype(">c16")
    for view in (strided, np.asfortranarray(in1), big, in1[::-1, ::-1].copy()[::-1, ::-1]):
        actual = getattr(signal, name)(view, in2)
        assert_close(actual, expected)
        assert actual.flags.c_contiguous
        assert actual.dtype.isnative


@pytest.mark.parametrize(("n", "k"), [(40000, 39999), (131071, 131071), (200000, 3000)])
def test_long_signals_and_full_size_kernels(n: int, k: int) -> None:
    in1, in2 = random_array((n,), "f", 8), random_array((k,), "f", 9)
    expected = peer.fftconvolve(in1.astype("d"), in2.astype("d"), "same").astype("f")
    assert_close(signal.fftconvolve(in1, in2, "same"), expected)


def test_kernels_longer_than_any_transform() -> None:
    in1, in2 = random_array((700_000,), "d", 8), random_array((600_000,), "d", 9)
    assert_close(signal.fftconvolve(in1, in2), peer.fftconvolve(in1, in2))
    images = random_array((1100, 40), "f", 8), random_array((1050, 30), "f", 9)
    assert_close(signal.fftconvolve(*images), peer.fftconvolve(*images))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtypes", ["dd", "fF", "DD"])
@pytest.mark.parametrize("mode", MODES)
def test_nan_stays_in_its_windows(mode: str, dtypes: str, value: float) -> None:
    in1, in2 = random_array((60, 50), dtypes[0], 10), random_array((9, 7), dtypes[1], 11)
    in1[20, 30] = value
    actual = signal.fftconvolve(in1, in2, mode)
    holds = peer.convolve(~np.isfinite(in1), np.ones(in2.shape, "d"), mode, "direct") > 0.5
    assert (np.isfinite(actual) == ~holds).all()
    clean = np.where(np.isfinite(in1), in1, 0)
    expected = peer.fftconvolve(clean, in2, mode).astype(actual.dtype)
    assert_close(np.where(holds, 0, actual), np.where(holds, 0, expected))


CASES_OF_WHOLE_TRANSFORMS = [
    ((40,), (9,), (0,)),
    ((5, 40), (5, 9), (1,)),
    ((5, 40), (1, 9), (1,)),
    ((1, 40), (5, 9), (1,)),
    ((3, 4, 5, 6), (2, 3, 2, 2), (0, 1, 2, 3)),
]


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
@pytest.mark.parametrize("case", CASES_OF_WHOLE_TRANSFORMS, ids=str)
def test_whole_transforms_that_overflow_on_the_way(case: Any, dtype: str) -> None:
    """The sums of a spectrum are larger than those of one shifted element."""
    shape1, shape2, axes = case
    large = {"f": 1e38, "F": 1e38, "d": 1e308, "D": 1e308}[dtype]
    in1, in2 = np.full(shape1, large, dtype), np.zeros(shape2, dtype)
    in2[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(in2.ndim))] = 1
    windows = [(0, in1.shape[axis]) for axis in axes]
    actual = _transforms._by_whole_transforms(in1, in2, axes, windows)
    np.testing.assert_allclose(actual, np.broadcast_to(in1.ravel()[0], actual.shape), rtol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["f", "D"])
@pytest.mark.parametrize("case", CASES_OF_WHOLE_TRANSFORMS, ids=str)
def test_whole_transforms_give_what_plans_give(case: Any, dtype: str, value: float) -> None:
    """NaN and infinity included, in both arrays."""
    shape1, shape2, axes = case
    in1, in2 = random_array(shape1, dtype, 12), random_array(shape2, dtype, 13)
    in2.flat[0] = 0
    in1.flat[7] = value
    for kernel_too in (False, True):
        if kernel_too:
            in2.flat[3] = value
        windows = [(1, in1.shape[axis]) for axis in axes]
        actual = _transforms._by_whole_transforms(in1, in2, axes, windows)
        if len(axes) > 3:
            mirrored = in2[(slice(None, None, -1),) * 4]
            padded = np.pad(in1, [(k - 1 - 1, 1) for k in in2.shape])
            view = np.lib.stride_tricks.sliding_window_view(padded, in2.shape)
            with np.errstate(invalid="ignore"):
                expected = (view * mirrored).sum(axis=(4, 5, 6, 7))
        else:
            expected = _transforms._by_plan(in1, in2, axes, windows)
        np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(expected))
        finite = np.isfinite(expected)
        assert_close(np.where(finite, actual, 0), np.where(finite, expected, 0).astype(dtype))
        if dtype == "f":
            np.testing.assert_array_equal(actual[~finite], expected[~finite])


@pytest.mark.parametrize("dtype", "?bBiILQefdFD")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_method_fft(name: str, mode: str, dtype: str) -> None:
    """The same as SciPy's direct sums; integers exactly."""
    for shape1, shape2 in [
        ((60,), (9,)),
        ((9,), (60,)),
        ((20, 30), (5, 7)),
        ((3, 4, 2, 3), (2,) * 4),
    ]:
        in1, in2 = random_array(shape1, dtype, 14), random_array(shape2, dtype, 15)
        if mode == "valid" and len(shape1) == 4:
            in1 = in1[:3]
        wide = {"?": "i8", "e": "f8"}.get(dtype, dtype)
        expected = getattr(peer, name)(in1.astype(wide), in2.astype(wide), mode, "direct")
        actual = getattr(signal, name)(in1, in2, mode, "fft")
        assert_close(actual, expected.astype(dtype))


def test_method_fft_keeps_nan_in_its_windows() -> None:
    in1, in2 = random_array((200,), "d", 16), random_array((11,), "d", 17)
    in1[100] = np.nan
    actual = signal.convolve(in1, in2, method="fft")
    assert np.flatnonzero(np.isnan(actual)).tolist() == list(range(100, 111))


@pytest.mark.parametrize("method", ["fft", "auto", "direct"])
def test_large_integers_are_exact(method: str) -> None:
    """Far beyond what float64 holds, and next to it."""
    for bits in (12, 20, 24, 26, 40, 62):
        generator = np.random.default_rng(bits)
        in1 = generator.integers(-(2**bits), 2**bits, 5000)
        in2 = generator.integers(-(2**bits), 2**bits, 700)
        expected = np.convolve(in1, in2)
        np.testing.assert_array_equal(signal.convolve(in1, in2, method=method), expected)


def test_bound_on_integers_is_neither_useless_nor_too_wide() -> None:
    small, large = np.full(5000, 2**10), np.full(5000, 2**26)
    assert rounds_exactly(small, small)
    assert not rounds_exactly(large, large)
    assert not rounds_exactly(np.full(3, -(2**62)), np.ones(3, int))
    # Those next to the bound.
    value = 1
    while rounds_exactly(np.full(5000, 2 * value), np.full(5000, 2 * value)):
        value *= 2
    in1 = np.random.default_rng(1).choice([-value, value, value - 1], 5000)
    in2 = np.random.default_rng(2).choice([-value, value, value - 1], 5000)
    assert rounds_exactly(in1, in2)
    np.testing.assert_array_equal(signal.convolve(in1, in2, method="fft"), np.convolve(in1, in2))


CHOICES = [
    ((100,), (5,), "d", "direct"),
    ((2_000_000,), (100_000,), "f", "fft"),
    ((2_000_000,), (700_000,), "d", "fft"),
    ((500_000,), (20_000,), "i4", "fft"),
    ((2000, 2000), (3, 3), "f", "direct"),
    ((1000, 1000), (200, 200), "d", "fft"),
    ((20, 20, 20, 20), (8, 8, 8, 8), "d", "fft"),
    ((20, 20, 20, 20), (1, 1, 1, 2), "d", "direct"),
]


@pytest.mark.parametrize(("shape1", "shape2", "dtype", "method"), CHOICES)
def test_choice(shape1: Any, shape2: Any, dtype: str, method: str) -> None:
    in1, in2 = np.ones(shape1, dtype), np.ones(shape2, dtype)
    assert signal.choose_conv_method(in1, in2, "full") == method
    assert signal.choose_conv_method(in2, in1) == method


def test_choice_follows_exactness_and_dtypes() -> None:
    long, kernel = np.ones(2_000_000, "i8"), np.ones(100_000, "i8")
    assert signal.choose_conv_method(long, kernel) == "fft"
    assert signal.choose_conv_method(long * 2**40, kernel) == "direct"
    assert signal.choose_conv_method(long > 0, kernel > 0) == "direct"
    assert signal.choose_conv_method(np.array(["a"]), np.array(["b"])) == "direct"
    assert signal.choose_conv_method([], [1.0]) == "direct"
    assert signal.choose_conv_method(2.0, 3.0) == "direct"
    assert signal.choose_conv_method(np.ones((5, 2)), np.ones((2, 5)), "valid") == "direct"
    with pytest.raises(ValueError, match="mode"):
        signal.choose_conv_method([1.0], [1.0], "bad")
    with pytest.raises(ValueError, match="dimensions"):
        signal.choose_conv_method([1.0], [[1.0]])


def test_choice_by_measuring() -> None:
    method, times = signal.choose_conv_method(np.ones(500), np.ones(20), measure=True)
    assert set(times) == {"fft", "direct"}
    assert all(seconds > 0 for seconds in times.values())
    assert method == min(times, key=lambda name: times[name])


@pytest.mark.parametrize("choice", ["fft", "direct"])
def test_auto_does_what_was_chosen(monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    called = []

    def fft(*arguments: Any) -> Any:
        called.append("fft")
        return signal.fftconvolve(*arguments)

    monkeypatch.setattr(_convolve, "fftconvolve", fft)
    monkeypatch.setattr(_convolve, "_faster_method", lambda *_: choice)
    monkeypatch.setattr(_convolve, "_FEW_INTEGER_PRODUCTS", 0)
    in1, in2 = random_array((500,), "i4", 18), random_array((30,), "i4", 19)
    np.testing.assert_array_equal(signal.convolve(in1, in2), np.convolve(in1, in2))
    np.testing.assert_array_equal(signal.correlate(in1, in2), np.correlate(in1, in2, "full"))
    assert called == (["fft", "fft"] if choice == "fft" else [])
