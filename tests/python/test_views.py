"""Any strides, in any array, for every pass."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import fastconv
from comparison import check_forward, check_passes, check_transpose, random_array
from fastconv import reference

SHAPE = (2, 4, 7, 9)


def reversed_axes(array):
    """Negative strides in every axis."""
    return array[(slice(None, None, -1),) * array.ndim].copy()[
        (slice(None, None, -1),) * array.ndim
    ]


def every_second(array):
    """Gaps in every axis, filled with numbers that would show."""
    memory = np.full([2 * n + 1 for n in array.shape], 99, array.dtype)
    view = memory[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    return view


def transposed_memory(array):
    """Axes in memory in the opposite order."""
    return np.asfortranarray(array)


def channels_last_memory(array):
    """The shape of channels first over channels last memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def channels_first_memory(array):
    """The shape of channels last over channels first memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 1)), 1, -1)


def cut_out(array):
    """A slice of a larger array."""
    memory = np.full([n + 3 for n in array.shape], 99, array.dtype)
    view = memory[tuple(slice(1, n + 1) for n in array.shape)]
    view[...] = array
    return view


def mixed_signs(array):
    """The last axis backwards, the others in Fortran order."""
    return np.asfortranarray(array[..., ::-1])[..., ::-1]


def read_only(array):
    """Not writeable."""
    array = array.copy()
    array.flags.writeable = False
    return array


VIEWS = (
    reversed_axes,
    every_second,
    transposed_memory,
    channels_last_memory,
    channels_first_memory,
    cut_out,
    mixed_signs,
    read_only,
)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.int16])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_views_of_every_operand(rng, view, layout, dtype):
    x = view(random_array(rng, SHAPE if layout == "NCHW" else (2, 7, 9, 4), dtype))
    w = view(random_array(rng, (6, 2, 3, 3), dtype))
    bias = view(np.zeros((1, 6, 1), dtype) + random_array(rng, (1, 6, 1), dtype))[0, :, 0]
    options = {"padding": 1, "groups": 2, "layout": layout}
    check_forward(x, w, bias, **options)
    contiguous = fastconv.conv2d(np.ascontiguousarray(x), np.ascontiguousarray(w), **options)
    grad = view(random_array(rng, contiguous.shape, dtype))
    for actual, expected in zip(
        fastconv.conv2d_backward(grad, x, w, **options),
        fastconv.conv2d_backward(*map(np.ascontiguousarray, (grad, x, w)), **options),
        strict=True,
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    check_transpose(x, view(random_array(rng, (4, 3, 3, 3), dtype)), groups=2, layout=layout)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 2)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("view", [np.copy, *VIEWS], ids=lambda view: view.__name__)
def test_weights_of_many_channels(rng, view, layout, groups, stride, kernel):
    """Small images use weights where they lie."""
    shape = (1, 64, 9, 10) if layout == "NCHW" else (1, 9, 10, 64)
    x = random_array(rng, shape, np.float32)
    w = view(random_array(rng, (64, 64 // groups, *kernel), np.float32))
    options = {"layout": layout, "groups": groups, "stride": stride, "algorithm": "direct"}
    check_passes(rng, x, w, padding=kernel[1] - 1, **options)
    check_transpose(x, w, **options)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_zero_strides(rng, axis, layout):
    shape = [3, 4, 6, 4]
    shape[axis] = 1
    x = np.broadcast_to(random_array(rng, tuple(shape), np.float32), (3, 4, 6, 4))
    w = np.broadcast_to(random_array(rng, (1, 4, 1, 3), np.float32), (5, 4, 3, 3))
    check_passes(rng, x, w, padding=1, layout=layout)


def test_everything_broadcast_from_one_number():
    x = np.broadcast_to(np.float32(2), (2, 3, 8, 8))
    w = np.broadcast_to(np.float32(0.5), (4, 3, 3, 3))
    bias = np.broadcast_to(np.float32(1), (4,))
    np.testing.assert_array_equal(fastconv.conv2d(x, w, bias), np.full((2, 4, 6, 6), 28.0))


def test_overlapping_windows_as_input(rng):
    signal = random_array(rng, (64,), np.float64)
    x = as_strided(signal, (5, 2, 20), (8 * 8, 3 * 8, 8), writeable=False)
    check_passes(rng, x, random_array(rng, (3, 2, 4), np.float64), padding=2)


def test_one_array_as_all_operands(rng):
    x = random_array(rng, (3, 3, 5, 5), np.float64)
    check_forward(x, x)
    np.testing.assert_allclose(
        fastconv.grad.conv2d_weight(x, (3, 3, 1, 1), x),
        reference.conv_weight(x, (3, 3, 1, 1), x),
        atol=1e-12,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.complex64, np.int64])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("view", VIEWS[:-1], ids=lambda view: view.__name__)
def test_out_with_any_strides(rng, view, layout, dtype):
    x = random_array(rng, SHAPE if layout == "NCHW" else (2, 7, 9, 4), dtype)
    w, v = random_array(rng, (6, 2, 3, 3), dtype), random_array(rng, (4, 3, 3, 3), dtype)
    options = {"padding": 1, "groups": 2, "layout": layout}
    y = fastconv.conv2d(x, w, **options)
    g = random_array(rng, y.shape, dtype)
    for function, arguments in (
        (fastconv.conv2d, (x, w)),
        (fastconv.conv_transpose2d, (x, v)),
        (fastconv.grad.conv2d_input, (x.shape, w, g)),
        (fastconv.grad.conv2d_weight, (x, w.shape, g)),
    ):
        expected = function(*arguments, **options)
        out = view(np.zeros(expected.shape, expected.dtype))
        assert function(*arguments, **options, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_out_leaves_its_surroundings_alone(rng):
    x, w = random_array(rng, (2, 3, 8, 9), np.float32), random_array(rng, (5, 3, 3, 3), np.float32)
    memory = np.full((4, 9, 10, 13), 99, np.float32)
    inside = (slice(1, 3), slice(2, 7), slice(1, 7), slice(4, 11))
    fastconv.conv2d(x, w, out=memory[inside])
    np.testing.assert_array_equal(memory[inside], fastconv.conv2d(x, w))
    memory[inside] = 99
    assert (memory == 99).all()


def test_an_interleaved_out_leaves_its_gaps_alone(rng):
    x, w = random_array(rng, (1, 3, 30), np.float32), random_array(rng, (4, 3, 3), np.float32)
    memory = np.full((1, 8, 56), 99, np.float32)
    out = memory[:, ::2, ::-2]
    fastconv.conv1d(x, w, out=out)
    np.testing.assert_array_equal(out, fastconv.conv1d(x, w))
    out[...] = 99
    assert (memory == 99).all()


def test_accumulate_into_a_view(rng):
    x, w = random_array(rng, (2, 3, 8, 9), np.float64), random_array(rng, (5, 3, 3, 3), np.float64)
    out = every_second(random_array(rng, (2, 5, 6, 7), np.float64))
    expected = out + fastconv.conv2d(x, w)
    fastconv.conv2d(x, w, accumulate=True, out=out)
    np.testing.assert_allclose(out, expected, atol=1e-13)


def test_layouts_describe_the_same_numbers(rng):
    x, w = random_array(rng, (2, 4, 7, 9), np.float64), random_array(rng, (6, 4, 3, 3), np.float64)
    first = fastconv.conv2d(x, w, padding=1)
    last = fastconv.conv2d(np.moveaxis(x, 1, -1), w, padding=1, layout="NHWC")
    assert last.flags.c_contiguous
    np.testing.assert_allclose(np.moveaxis(last, -1, 1), first, atol=1e-12)


def shifted(array, elements, fill=99):
    """The array some elements behind a cache line, and the memory around it."""
    line = 64 // array.itemsize
    memory = np.full(array.size + 3 * line, fill, array.dtype)
    first = -memory.ctypes.data % 64 // array.itemsize + elements
    view = memory[first : first + array.size].reshape(array.shape)
    view[...] = array
    return view, memory


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("pixels", [512, 528, 1040, 2064, 2065])
@pytest.mark.parametrize("accumulate", [False, True])
def test_one_tap_begins_anywhere_on_a_cache_line(rng, dtype, pixels, accumulate):
    """Long rows of a 1x1 kernel are computed from the next line on, and the pixels before."""
    x = random_array(rng, (1, 19, pixels), np.int8).astype(dtype)
    w = random_array(rng, (11, 19, 1), np.int8).astype(dtype)
    start = random_array(rng, (1, 11, pixels), np.int8).astype(dtype)
    expected = np.einsum("ncp,kct->nkp", x, w) + (start if accumulate else 0)
    for elements in (0, 1, 7):
        source, _ = shifted(x, elements)
        for out_elements in (0, 3):
            out, memory = shifted(start, out_elements)
            fastconv.conv1d(source, w, out=out, accumulate=accumulate, algorithm="direct")
            np.testing.assert_array_equal(out, expected)
            out[...] = 99
            assert (memory == 99).all()
