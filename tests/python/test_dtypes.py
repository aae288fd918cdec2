"""Which dtype a result has, and that its numbers are right: exact for integers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastconv
from comparison import (
    PADDING_MODES,
    check_forward,
    check_passes,
    check_transpose,
    padding_options,
    random_array,
    to_layout,
)

NARROW = (np.bool_, np.int8, np.uint8)
WIDE = (np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)


def bfloat16():
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


@pytest.mark.parametrize(("first", "second"), [*itertools.product(NARROW, repeat=2)])
def test_eight_bit_integers_give_int32(rng, first, second):
    x, w = random_array(rng, (2, 3, 8, 9), first), random_array(rng, (4, 3, 3, 3), second)
    result = check_forward(x, w, random_array(rng, (4,), first), padding=1)
    assert result.dtype == np.int32
    assert np.abs(result).max() > 0


@pytest.mark.parametrize("wide", WIDE)
@pytest.mark.parametrize("other", [*NARROW, *WIDE])
def test_wider_integers_give_int64(rng, wide, other):
    x, w = random_array(rng, (2, 3, 7, 8), wide), random_array(rng, (4, 3, 2, 3), other)
    assert check_forward(x, w, padding=1).dtype == np.int64


@pytest.mark.parametrize("dtype", [*NARROW, *WIDE])
@pytest.mark.parametrize("channels_last", [False, True])
def test_integers_in_every_pass_and_layout(rng, dtype, channels_last):
    x = to_layout(random_array(rng, (2, 4, 7, 8), dtype), channels_last)
    w = random_array(rng, (6, 2, 3, 3), dtype)
    layout = "NHWC" if channels_last else "NCHW"
    check_passes(rng, x, w, stride=(1, 2), padding=(1, 0), groups=2, layout=layout)
    check_transpose(x, random_array(rng, (4, 3, 3, 3), dtype), stride=2, layout=layout)


def test_int64_wraps_as_numpy_does():
    largest = np.iinfo(np.int64).max
    result = fastconv.conv1d(np.array([[[largest, 1, largest]]]), np.array([[[1, 1]]]))
    np.testing.assert_array_equal(result, [[[-largest - 1, -largest - 1]]])
    product = fastconv.conv1d(np.array([[[2**40]]]), np.array([[[2**30 + 1]]]))
    np.testing.assert_array_equal(product, [[[2**40]]])


def test_uint64_wraps_into_int64():
    x = np.array([[[2**64 - 1, 2**63]]], np.uint64)
    np.testing.assert_array_equal(
        fastconv.conv1d(x, np.array([[[1]]], np.uint64)), [[[-1, -(2**63)]]]
    )


def test_integers_beyond_the_reach_of_float64_are_exact(rng):
    x = rng.integers(2**53, 2**60, (1, 2, 40)) | 1
    w = rng.integers(-3, 4, (3, 2, 5))
    check_forward(x, w)
    check_passes(rng, x, w, padding=2, padding_mode="reflect")


def test_extremes_of_eight_bits():
    x = np.full((1, 64, 8, 8), 255, np.uint8)
    w = np.full((2, 64, 3, 3), -128, np.int8)
    np.testing.assert_array_equal(fastconv.conv2d(x, w), np.full((1, 2, 6, 6), -255 * 128 * 576))


def test_a_result_that_does_not_fit_int32_is_an_error():
    x = np.full((1, 1, 33_100), 255, np.uint8)
    with pytest.raises(OverflowError, match="int16"):
        fastconv.conv1d(x, x)
    assert fastconv.conv1d(x.astype(np.int16), x)[0, 0, 0] == 33_100 * 255**2
    fits = x[..., :33_025]
    assert fastconv.conv1d(fits, fits)[0, 0, 0] == 33_025 * 255**2


# Channels of a group around those that one instruction multiplies, and the other options.
EIGHT_BIT_PROBLEMS = (
    (1, {"padding": 1}),
    (3, {"padding": (2, 1), "stride": 2}),
    (4, {"padding": 1, "groups": 3}),
    (6, {"padding": (0, 2), "groups": 2, "dilation": (1, 2)}),
    (17, {"padding": ((1, 2), (0, 3)), "stride": (1, 3), "flip": True}),
)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("first", "second"), [*itertools.product((np.int8, np.uint8), repeat=2)])
def test_eight_bit_integers_of_any_sign_are_exact(rng, first, second, channels_last, mode):
    layout = "NHWC" if channels_last else "NCHW"
    padding_value = int(np.iinfo(first).min) + 3
    for channels, problem in EIGHT_BIT_PROBLEMS:
        options = {**problem, **padding_options(mode, padding_value), "layout": layout}
        groups = options.get("groups", 1)
        x = to_layout(random_array(rng, (2, channels * groups, 9, 19), first), channels_last)
        w = random_array(rng, (9 * groups, channels, 3, 3), second)
        check_passes(rng, x, w, **options)
        bias = random_array(rng, w.shape[:1], np.int8)
        check_forward(x, w, bias, activation="relu", **options)
        out = fastconv.conv2d(x, w, bias, **options)
        twice = fastconv.conv2d(x, w, bias, accumulate=True, out=out.copy(), **options)
        np.testing.assert_array_equal(twice, 2 * out)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_plans_of_eight_bit_integers_are_exact(rng, dtype, channels_last):
    layout = "NHWC" if channels_last else "NCHW"
    for channels, problem in EIGHT_BIT_PROBLEMS:
        options = {**problem, "layout": layout}
        groups = options.get("groups", 1)
        x = to_layout(random_array(rng, (1, channels * groups, 9, 19), dtype), channels_last)
        w = random_array(rng, (9 * groups, channels, 3, 3), dtype)
        for bias in (None, random_array(rng, w.shape[:1], dtype)):
            plan = fastconv.plan(w, x.shape, bias=bias, **options)
            np.testing.assert_array_equal(plan(x), check_forward(x, w, bias, **options))


def test_bytes_may_be_padded_with_the_least_and_the_largest(rng):
    for first, second in itertools.product((np.int8, np.uint8), repeat=2):
        x, w = random_array(rng, (1, 5, 6, 7), first), random_array(rng, (8, 5, 3, 3), second)
        for value in (np.iinfo(first).min, np.iinfo(first).max):
            check_forward(x, w, padding=2, padding_mode="constant", padding_value=int(value))


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("dtype", [np.int8, np.int32])
def test_integer_activations_are_exact(rng, activation, dtype):
    x, w = random_array(rng, (1, 2, 9), np.int8), rng.integers(-1, 2, (3, 2, 2)).astype(dtype)
    check_forward(x, w, activation=activation)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_summed_in_float32_and_rounded_once(rng, name, channels_last):
    dtype = bfloat16() if name == "bfloat16" else np.dtype(name)
    x = to_layout(random_array(rng, (2, 32, 9, 10), dtype), channels_last)
    w = random_array(rng, (6, 16, 3, 3), dtype)
    layout = "NHWC" if channels_last else "NCHW"
    options = {"padding": 1, "groups": 2, "layout": layout}
    check_forward(x, w, random_array(rng, (6,), dtype), **options)
    check_forward(x, w, activation="silu", **options)
    check_passes(rng, x, w, **options)
    check_transpose(x, random_array(rng, (32, 3, 3, 3), dtype), stride=2, **options)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_long_half_sum_does_not_stall(name):
    # Summed in halves, 4096 ones would stop growing at 2048 or 256.
    ones = np.ones((1, 4096, 3), bfloat16() if name == "bfloat16" else name)
    result = fastconv.conv1d(ones, ones[:, :, :1])
    np.testing.assert_array_equal(result.astype(np.float64), np.full((1, 1, 3), 4096.0))
    gradient = fastconv.grad.conv1d_weight(
        np.ones((1, 1, 4096), ones.dtype), (1, 1, 1), np.ones((1, 1, 4096), ones.dtype)
    )
    np.testing.assert_array_equal(gradient.astype(np.float64), [[[4096.0]]])


def test_float16_overflows_to_infinity():
    result = fastconv.conv1d(np.full((1, 2, 1), 60000, np.float16), np.ones((1, 2, 1), np.float16))
    assert result.dtype == np.float16
    assert np.isposinf(result).all()


FLOATING = ("float16", "float32", "float64", "complex64", "complex128")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *itertools.permutations(FLOATING, 2),
        *itertools.product(FLOATING, ("bool", "int8", "uint8", "int16", "int32", "uint64")),
        *itertools.product(("int8", "int64"), FLOATING),
    ],
)
def test_mixed_dtypes_follow_numpy(rng, first, second):
    x, w = random_array(rng, (2, 2, 7), first), random_array(rng, (3, 2, 3), second)
    assert check_forward(x, w, padding=1).dtype == np.result_type(first, second)


@pytest.mark.parametrize(
    ("other", "expected"),
    [("float32", "float32"), ("float64", "float64"), ("complex64", "complex64"), ("int8", None)],
)
def test_bfloat16_mixes_as_ml_dtypes_says(rng, other, expected):
    dtype = bfloat16()
    x, w = random_array(rng, (2, 2, 7), dtype), rng.integers(-3, 4, (3, 2, 3)).astype(other)
    assert check_forward(x, w).dtype == (dtype if expected is None else expected)


@pytest.mark.parametrize(
    ("operands", "bias", "expected"),
    [
        ("int8", "int8", "int32"),
        ("int8", "int16", "int64"),
        ("int8", "float32", "float32"),
        ("int32", "float32", "float64"),
        ("float32", "float64", "float64"),
        ("float32", "int8", "float32"),
        ("float64", "complex64", "complex128"),
        ("float32", "complex64", "complex64"),
        ("float16", "float32", "float32"),
    ],
)
def test_a_bias_is_promoted_with_the_rest(rng, operands, bias, expected):
    x, w = random_array(rng, (2, 2, 7), operands), random_array(rng, (3, 2, 3), operands)
    assert check_forward(x, w, random_array(rng, (3,), bias)).dtype == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "float16", "int16", "int64"])
def test_big_endian_arrays_are_converted(rng, dtype):
    swapped = np.dtype(dtype).newbyteorder(">")
    x, w = random_array(rng, (2, 3, 6, 7), dtype), random_array(rng, (4, 3, 3, 3), dtype)
    bias = random_array(rng, (4,), dtype)
    result = fastconv.conv2d(x.astype(swapped), w.astype(swapped), bias.astype(swapped))
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, fastconv.conv2d(x, w, bias))
    gradient = fastconv.grad.conv2d_input(x.shape, w.astype(swapped), result.astype(x.dtype))
    np.testing.assert_array_equal(
        gradient, fastconv.grad.conv2d_input(x.shape, w, result.astype(x.dtype))
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "float16", "int32"])
def test_misaligned_arrays_are_converted(rng, dtype):
    def misaligned(array):
        memory = np.zeros(array.nbytes + 1, np.uint8)
        view = memory[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        assert not view.flags.aligned
        return view

    x, w = random_array(rng, (2, 3, 6, 7), dtype), random_array(rng, (4, 3, 3, 3), dtype)
    expected = fastconv.conv2d(x, w)
    np.testing.assert_array_equal(fastconv.conv2d(misaligned(x), misaligned(w)), expected)
    np.testing.assert_array_equal(
        fastconv.grad.conv2d_weight(misaligned(x), w.shape, misaligned(expected)),
        fastconv.grad.conv2d_weight(x, w.shape, expected),
    )


@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_long_double_is_unsupported(dtype):
    x, w = np.ones((1, 1, 4), dtype), np.ones((1, 1, 2), dtype)
    assert issubclass(fastconv.UnsupportedError, NotImplementedError)
    for call in (
        lambda: fastconv.conv1d(x, w),
        lambda: fastconv.conv1d(x, np.ones((1, 1, 2))),
        lambda: fastconv.conv1d(np.ones((1, 1, 4)), np.ones((1, 1, 2)), np.ones(1, dtype)),
        lambda: fastconv.conv_transpose1d(x, w),
        lambda: fastconv.grad.conv1d_input((1, 1, 5), w, x),
        lambda: fastconv.grad.conv1d_weight(x, (1, 1, 2), x[..., :3]),
    ):
        with pytest.raises(fastconv.UnsupportedError, match=r"float64|complex128"):
            call()


def test_subclasses_and_scalars_of_numpy(rng):
    class Image(np.ndarray):
        pass

    x = random_array(rng, (1, 1, 5), np.float32)
    w = np.ones((1, 1, 2), np.float32)
    result = fastconv.conv1d(x.view(Image), w, stride=np.int64(2))
    np.testing.assert_array_equal(np.asarray(result), fastconv.conv1d(x, w, stride=2))
