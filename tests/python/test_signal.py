"""`fastconv.signal` against `scipy.signal`: results, dtypes, and errors of the same kind."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest

import fastconv
from fastconv import signal
from scipy_comparison import outcome, parameters_of

# Earlier versions end the process in some of the calls below.
pytest.importorskip("scipy", minversion="1.17")
peer = pytest.importorskip("scipy.signal")

MODES = ("full", "same", "valid")
BOUNDARIES = ("fill", "wrap", "symm")
PLAIN = ("convolve", "correlate")
WITH_BOUNDARY = ("convolve2d", "correlate2d")
INTEGERS = "bBhHiIlLqQ"
COMPUTED = INTEGERS + "fdFD"
REFUSED = ("U2", "O", "M8[s]")

SHAPES_1D = [((9,), (4,)), ((9,), (5,)), ((4,), (9,)), ((5,), (10,)), ((6,), (6,)), ((1,), (7,))]
SHAPES_2D = [
    ((7, 9), (3, 4)),
    ((8, 6), (5, 2)),
    ((3, 4), (7, 9)),
    ((2, 3), (6, 8)),
    ((5, 5), (5, 5)),
    ((9, 2), (2, 7)),
    ((1, 6), (4, 1)),
]
SHAPES_3D = [((4, 5, 6), (2, 3, 3)), ((2, 2, 3), (4, 5, 3)), ((3, 3, 3), (3, 3, 3))]
SHAPES_MANY_D = [
    ((3, 4, 3, 5), (2, 2, 3, 1)),
    ((2, 3, 2, 2), (3, 4, 2, 3)),
    ((3, 2, 3, 2, 3), (2, 2, 2, 1, 2)),
]


def random_array(shape: tuple[int, ...], dtype: Any, seed: int, extreme: bool = True) -> Any:
    """Normal variates, or integers from the dtype's whole range so that products wrap."""
    generator = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return generator.random(shape) < 0.4
    if dtype.kind in "iu":
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if extreme else (0, 100)
        return generator.integers(low, high, shape, dtype=dtype.newbyteorder("="), endpoint=True)
    values = generator.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * generator.standard_normal(shape)
    return values.astype(dtype)


def assert_equal_to_peer(actual: Any, expected: Any, in1: Any, in2: Any, scale: float = 1) -> None:
    """Exactly for integers, and within eps for each tap for floating dtypes."""
    assert actual.dtype == expected.dtype
    assert actual.dtype.isnative
    assert actual.shape == expected.shape
    if actual.dtype.kind not in "fc":
        np.testing.assert_array_equal(actual, expected)
        return
    taps = max(1, min(np.size(in1), np.size(in2)))
    largest = max(1.0, np.max(np.abs(in1), initial=0)) * max(1.0, np.max(np.abs(in2), initial=0))
    tolerance = 4 * np.finfo(actual.dtype).eps * (taps + 1) * float(largest) * scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def compare(name: str, in1: Any, in2: Any, **options: Any) -> None:
    """Call both libraries, and expect the same array or the same kind of error."""
    expected = outcome(getattr(peer, name), in1, in2, **options)
    if isinstance(expected, type):
        with pytest.raises(expected):
            getattr(signal, name)(in1, in2, **options)
        return
    scale = max(1.0, np.abs(options.get("fillvalue", 0)))
    actual = getattr(signal, name)(in1, in2, **options)
    assert_equal_to_peer(actual, expected, in1, in2, float(scale))


@pytest.mark.parametrize("name", PLAIN + WITH_BOUNDARY)
def test_signature_is_that_of_scipy(name: str) -> None:
    assert parameters_of(getattr(signal, name)) == parameters_of(getattr(peer, name))
    assert name in signal.__all__


@pytest.mark.parametrize("dtype", ["int64", "float64", "float32", "complex128", "complex64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shapes", SHAPES_1D + SHAPES_2D + SHAPES_3D + SHAPES_MANY_D, ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_modes_and_shapes(name: str, shapes: Any, mode: str, dtype: str) -> None:
    in1, in2 = random_array(shapes[0], dtype, 1), random_array(shapes[1], dtype, 2)
    compare(name, in1, in2, mode=mode, method="direct")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64", "complex64"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shapes", SHAPES_2D, ids=str)
@pytest.mark.parametrize("name", WITH_BOUNDARY)
def test_boundaries(name: str, shapes: Any, mode: str, boundary: str, dtype: str) -> None:
    in1, in2 = random_array(shapes[0], dtype, 3), random_array(shapes[1], dtype, 4)
    compare(name, in1, in2, mode=mode, boundary=boundary, fillvalue=3)


@pytest.mark.parametrize("boundary", ["pad", "circular", "symmetric"])
def test_other_names_of_boundaries(boundary: str) -> None:
    in1, in2 = random_array((4, 5), "d", 5), random_array((3, 3), "d", 6)
    compare("convolve2d", in1, in2, boundary=boundary, fillvalue=2)


@pytest.mark.parametrize("boundary", ["wrap", "symm"])
@pytest.mark.parametrize("name", WITH_BOUNDARY)
def test_boundaries_much_wider_than_the_image(name: str, boundary: str) -> None:
    in1 = random_array((2, 3), "i", 7, extreme=False)
    in2 = random_array((17, 20), "i", 8, extreme=False)
    for mode in ("full", "same"):
        compare(name, in1, in2, mode=mode, boundary=boundary)


@pytest.mark.parametrize("first", "?" + INTEGERS + "efdFD")
@pytest.mark.parametrize("name", PLAIN + WITH_BOUNDARY)
def test_every_pair_of_dtypes(name: str, first: str) -> None:
    for second, mode in itertools.product("?" + INTEGERS + "efdFD", MODES):
        shapes = [((6, 5), (3, 2)), ((2, 2), (3, 4))]
        if name in PLAIN:
            shapes += [((9,), (4,)), ((3,), (8,))]
        options = {"method": "direct"} if name in PLAIN else {}
        for shape1, shape2 in shapes:
            in1, in2 = random_array(shape1, first, 9), random_array(shape2, second, 10)
            compare(name, in1, in2, mode=mode, **options)


@pytest.mark.parametrize("other", ["?", "B", "l", "d", "D", *REFUSED])
@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.parametrize("name", PLAIN + WITH_BOUNDARY)
def test_dtypes_that_are_no_numbers(name: str, refused: str, other: str) -> None:
    options = {"method": "direct"} if name in PLAIN else {}
    for first, second in [(refused, other), (other, refused)]:
        in1, in2 = np.ones((4, 4), "i8").astype(first), np.ones((2, 2), "i8").astype(second)
        compare(name, in1, in2, **options)


@pytest.mark.parametrize("name", PLAIN)
def test_one_dimensional_arrays_that_are_no_numbers(name: str) -> None:
    compare(name, np.array(["a", "b"]), np.array(["c"]))
    compare(name, np.array([1, None]), np.array([1, 2]))
    with pytest.raises(TypeError, match="arrays of numbers"):
        getattr(signal, name)(np.array([1, 2], dtype=object), [1])


@pytest.mark.parametrize("dtype", ["?", "e", "B", "i", "d"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PLAIN)
def test_one_dimension_auto(name: str, mode: str, dtype: str) -> None:
    in1 = random_array((30,), dtype, 11, extreme=False)
    in2 = random_array((7,), dtype, 12, extreme=False)
    actual = getattr(signal, name)(in1, in2, mode)
    assert_equal_to_peer(actual, getattr(peer, name)(in1, in2, mode, "direct"), in1, in2)


@pytest.mark.parametrize("shapes", [((5, 6), (2, 3)), ((4, 3, 4, 3), (4, 2, 2, 2))], ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_float16_is_computed_unless_direct_is_asked_for(name: str, shapes: Any) -> None:
    in1, in2 = random_array(shapes[0], "e", 13), random_array(shapes[1], "e", 14)
    wide = getattr(peer, name)(in1.astype("d"), in2.astype("d"), method="direct")
    actual = getattr(signal, name)(in1, in2)
    assert actual.dtype == np.float16
    # Rounded once: one unit in the last place.
    np.testing.assert_allclose(actual, wide, rtol=2.0**-10, atol=1e-6)
    compare(name, in1, in2, method="direct")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
def test_sums_of_8_bit_products_beyond_int32(dtype: str) -> None:
    ones = np.full(33100, np.iinfo(dtype).min or 255 if dtype != "bool" else 1, dtype)
    compare("convolve", np.append(ones, ones[:2]), ones, mode="valid", method="direct")


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_8_bit_integers_wrap_in_four_dimensions(dtype: str) -> None:
    in1, in2 = random_array((3, 4, 5, 6), dtype, 15), random_array((3, 2, 4, 3), dtype, 16)
    compare("convolve", in1, in2, method="direct")


FILL_VALUES = [
    0, 1, 1.5, -1.5, 300, -1, 2**40, 2**53 + 1, 2**63, 2**64, 1j, True, None, "3", "word", b"3",
    [], [1], [[2.5]], [1, 2], np.array(1.5), np.array(2), np.array([2]), np.array([1, 2]),
    np.array(2 + 1j), np.float64(2.5), np.int64(5), np.int8(5), np.uint64(5), np.complex128(2 + 1j),
    np.array(True), np.array(["2"]), np.array(2, dtype=object), object(), {}, 1e300, np.inf,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fillvalue", FILL_VALUES)
@pytest.mark.parametrize("dtype", ["B", "h", "l", "L", "f", "d", "F", "D"])
@pytest.mark.parametrize("name", WITH_BOUNDARY)
def test_fill_values(name: str, dtype: str, fillvalue: Any) -> None:
    in1 = random_array((3, 4), dtype, 17, extreme=False)
    in2 = random_array((2, 3), dtype, 18, extreme=False)
    expected = outcome(getattr(peer, name), in1, in2, fillvalue=fillvalue)
    actual = outcome(getattr(signal, name), in1, in2, fillvalue=fillvalue)
    if isinstance(expected, type):
        assert actual is expected
    else:
        assert actual.dtype == expected.dtype
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(actual), finite)
        tolerance = 1e-5 if dtype in "fF" else 1e-13
        np.testing.assert_allclose(actual[finite], expected[finite], tolerance, tolerance)
    compare(name, in1, in2, boundary="wrap", fillvalue=0)
    assert isinstance(
        getattr(signal, name)(in1, in2, boundary="wrap", fillvalue=fillvalue), np.ndarray
    )


def test_integer_fill_value_beyond_float64() -> None:
    in1, in2 = np.ones((2, 2), "l"), np.array([[1, 3]])
    compare("convolve2d", in1, in2, fillvalue=2**62 + 1)
    compare("convolve2d", in1.astype("L"), in2.astype("L"), fillvalue=2**64 - 3)


BAD_CALLS = [
    ([1, 2], [[1]], {}),
    (3, [1, 2], {}),
    ([1, 2], None, {}),
    (None, [1.0], {}),
    (object(), [1], {}),
    ("word", [1, 2], {}),
    (None, None, {}),
    ({}, {}, {}),
    ("a", "b", {}),
    ([[1], [1, 2]], [[1]], {}),
    (np.ones((5, 2)), np.ones((3, 3)), {"mode": "valid"}),
    *(([1.0, 2.0], [1.0], {"mode": mode}) for mode in ("bad", "FULL", b"full", None, 2, 0)),
    *(([[1.0, 2.0]], [[1.0]], {"mode": mode}) for mode in ("bad", "FULL", b"full", None, 2, 0)),
]


@pytest.mark.parametrize(("in1", "in2", "options"), BAD_CALLS)
@pytest.mark.parametrize("name", PLAIN + WITH_BOUNDARY)
def test_bad_calls(name: str, in1: Any, in2: Any, options: Any) -> None:
    expected = outcome(getattr(peer, name), in1, in2, **options)
    assert isinstance(expected, type)
    with pytest.raises(expected):
        getattr(signal, name)(in1, in2, **options)


@pytest.mark.parametrize("method", ["bad", "DIRECT", None, 0, []])
@pytest.mark.parametrize("name", PLAIN)
def test_unknown_methods(name: str, method: Any) -> None:
    for in1, in2, mode in [([1.0, 2.0], [1.0], "full"), ([1.0, 2.0], [1.0], "bad"), (2, 3, "full")]:
        compare(name, in1, in2, mode=mode, method=method)


@pytest.mark.parametrize("boundary", ["bad", "reflect", "Fill", "zeros", None, 0, []])
@pytest.mark.parametrize("name", WITH_BOUNDARY)
def test_unknown_boundaries(name: str, boundary: Any) -> None:
    compare(name, [[1.0, 2.0]], [[1.0]], boundary=boundary)


@pytest.mark.parametrize("name", PLAIN)
def test_messages_say_what_to_do(name: str) -> None:
    function = getattr(signal, name)
    with pytest.raises(ValueError, match="got 'bad'"):
        function([1.0, 2.0], [1.0], mode="bad", method="fft")
    with pytest.raises(fastconv.UnsupportedError, match="use float64"):
        function(np.ones(3, np.clongdouble), [1.0])
    with pytest.raises(ValueError, match="use mode='same' or 'full'"):
        function(np.ones((5, 2)), np.ones((3, 3)), "valid")


@pytest.mark.parametrize("name", WITH_BOUNDARY)
def test_longdouble_is_unsupported(name: str) -> None:
    with pytest.raises(fastconv.UnsupportedError, match="use float64"):
        getattr(signal, name)(np.ones((3, 3), np.longdouble), np.ones((2, 2)))


ZERO_DIMENSIONAL = [
    (3, 4),
    (np.int8(100), np.int8(100)),
    (np.array(2.5), 1j),
    (1 + 2j, 3 - 1j),
    (True, False),
    (np.float16(2), np.float16(3)),
    (np.longdouble(1), np.longdouble(3)),
]


@pytest.mark.parametrize(("in1", "in2"), ZERO_DIMENSIONAL)
@pytest.mark.parametrize("name", PLAIN)
def test_zero_dimensions(name: str, in1: Any, in2: Any) -> None:
    for mode, method in [("full", "auto"), ("bad", "bad"), ("same", "fft")]:
        expected = getattr(peer, name)(in1, in2, mode, method)
        actual = getattr(signal, name)(in1, in2, mode, method)
        assert type(actual) is type(expected)
        assert actual == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PLAIN)
def test_empty_arrays(name: str, mode: str) -> None:
    for rank in (1, 2):
        shapes = list(itertools.product((0, 1, 2, 3), repeat=rank))
        for shape1, shape2 in itertools.product(shapes, repeat=2):
            if 0 in shape1 + shape2:
                compare(name, np.ones(shape1), np.ones(shape2, "i"), mode=mode, method="direct")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", WITH_BOUNDARY)
def test_empty_arrays_with_boundaries(name: str, boundary: str, mode: str) -> None:
    shapes = list(itertools.product((0, 1, 2), repeat=2))
    for shape1, shape2 in itertools.product(shapes, repeat=2):
        # SciPy ends the process on an empty image that it has to wrap.
        wrapped_empty = 0 in shape1 and boundary != "fill"
        if 0 in shape1 + shape2 and not wrapped_empty:
            options = {"mode": mode, "boundary": boundary, "fillvalue": 3}
            compare(name, np.ones(shape1), np.ones(shape2, "i"), **options)


@pytest.mark.parametrize("boundary", ["wrap", "symm"])
@pytest.mark.parametrize("name", WITH_BOUNDARY)
def test_empty_image_cannot_be_wrapped(name: str, boundary: str) -> None:
    with pytest.raises(ValueError, match="nothing to repeat"):
        getattr(signal, name)(np.ones((0, 3)), np.ones((2, 2)), boundary=boundary)


def views_of(array: Any) -> dict[str, Any]:
    """The same values in other memory layouts."""
    reverse = (slice(None, None, -1),) * array.ndim
    apart = np.zeros([2 * n for n in array.shape], array.dtype)[
        (slice(None, None, 2),) * array.ndim
    ]
    apart[...] = array
    buffer = np.zeros(array.nbytes + 1, np.uint8)[1:]
    misaligned = buffer.view(array.dtype).reshape(array.shape)
    misaligned[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "reversed": array[reverse].copy()[reverse],
        "strided": apart,
        "fortran": np.asfortranarray(array),
        "misaligned": misaligned,
        "read_only": read_only,
        "big_endian": array.astype(array.dtype.newbyteorder(">")),
        "list": array.tolist(),
        "matrix": np.asmatrix(array) if array.ndim == 2 else array,
    }


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("dtype", ["int64", "float64", "complex128"])
@pytest.mark.parametrize("kind", list(views_of(np.ones(1))))
@pytest.mark.parametrize("name", PLAIN + WITH_BOUNDARY)
def test_any_memory_layout(name: str, kind: str, dtype: str) -> None:
    in1 = random_array((5, 6), dtype, 19, extreme=False)
    in2 = random_array((3, 2), dtype, 20, extreme=False)
    view1, view2 = views_of(in1)[kind], views_of(in2)[kind]
    for mode in MODES:
        expected = getattr(peer, name)(in1, in2, mode)
        actual = getattr(signal, name)(view1, view2, mode)
        assert type(actual) is np.ndarray
        assert_equal_to_peer(actual, expected, in1, in2)
    np.testing.assert_array_equal(np.asarray(view1), in1)
    np.testing.assert_array_equal(np.asarray(view2), in2)


def test_broadcast_input() -> None:
    in1 = np.broadcast_to(random_array((6,), "d", 21), (5, 6))
    compare("convolve", in1, random_array((2, 2), "d", 22), method="direct")


@pytest.mark.parametrize("name", PLAIN + WITH_BOUNDARY)
def test_result_is_a_new_array(name: str) -> None:
    in1 = random_array((4, 4), "d", 23)
    result = getattr(signal, name)(in1, np.ones((1, 1)))
    np.testing.assert_array_equal(result, in1)
    assert not np.shares_memory(result, in1)
    assert result.flags.writeable


@pytest.mark.parametrize("name", PLAIN)
def test_nan_stays_in_its_windows(name: str) -> None:
    in1 = random_array((12, 12), "d", 24)
    in1[4, 5], in1[9, 2] = np.nan, np.inf
    in2 = random_array((3, 3), "d", 25)
    for mode in MODES:
        expected = getattr(peer, name)(in1, in2, mode, "direct")
        actual = getattr(signal, name)(in1, in2, mode)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


def operands(rank: st.SearchStrategy[int], dtypes: str) -> st.SearchStrategy[tuple[Any, Any]]:
    """Two arrays of one rank, whose dtypes and sizes are independent."""

    def arrays(ndim: int) -> st.SearchStrategy[Any]:
        side = {1: 12, 2: 7, 3: 4, 4: 3}[ndim]
        shapes = hypothesis.extra.numpy.array_shapes(
            min_dims=ndim, max_dims=ndim, min_side=1, max_side=side
        )
        seeds = st.integers(0, 2**32 - 1)
        return st.builds(random_array, shapes, st.sampled_from(dtypes), seeds, st.booleans())

    return rank.flatmap(lambda ndim: st.tuples(arrays(ndim), arrays(ndim)))


@hypothesis.given(operands(st.integers(1, 4), COMPUTED), st.sampled_from(MODES))
def test_random_problems(arrays: tuple[Any, Any], mode: str) -> None:
    for name in PLAIN:
        compare(name, *arrays, mode=mode, method="direct")


@hypothesis.given(
    operands(st.just(2), COMPUTED),
    st.sampled_from(MODES),
    st.sampled_from(BOUNDARIES),
    st.integers(-3, 3),
)
def test_random_problems_with_boundaries(
    arrays: tuple[Any, Any], mode: str, boundary: str, fillvalue: int
) -> None:
    for name in WITH_BOUNDARY:
        compare(name, *arrays, mode=mode, boundary=boundary, fillvalue=fillvalue)


@hypothesis.given(operands(st.integers(1, 3), COMPUTED))
def test_convolution_commutes(arrays: tuple[Any, Any]) -> None:
    in1, in2 = arrays
    assert_equal_to_peer(signal.convolve(in1, in2), signal.convolve(in2, in1), in1, in2)
