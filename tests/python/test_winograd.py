"""What is particular to Winograd's convolution; the tests of every algorithm run it as well."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastconv
from comparison import check_forward, check_input_gradient, random_array, to_layout
from fastconv import reference

SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 18)
CHANNELS = (4, 7, 8, 9, 15, 16, 17, 31, 33, 65, 97)
# Kernel and stride; the first is the usual one.
KINDS = (((3, 3), 1), ((3, 3), 2), ((4, 4), 2), ((1, 3), 1), ((1, 3), (1, 2)), ((1, 4), (1, 2)))
KINDS += (((3, 1), 1),)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", SIZES)
def test_images_around_tiles(rng, size, layout, dtype):
    for height, width in {(size, 5), (5, size), (size, size)}:
        x = random_array(rng, (2, 6, height, width), dtype)
        w = random_array(rng, (5, 6, 3, 3), dtype)
        options = {"padding": 1, "layout": layout, "algorithm": "winograd"}
        y = check_forward(to_layout(x, layout == "NHWC"), w, **options)
        shape = to_layout(x, layout == "NHWC").shape
        check_input_gradient(shape, w, random_array(rng, y.shape, dtype), **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_channels_around_vectors(rng, channels, layout, dtype):
    for c, k in {(channels, 5), (5, channels), (channels, channels)}:
        x = to_layout(random_array(rng, (1, c, 6, 9), dtype), layout == "NHWC")
        w = random_array(rng, (k, c, 3, 3), dtype)
        options = {"padding": 1, "layout": layout, "algorithm": "winograd"}
        y = check_forward(x, w, random_array(rng, (k,), dtype), activation="relu", **options)
        check_input_gradient(x.shape, w, random_array(rng, y.shape, dtype), **options)


@pytest.mark.parametrize(("kernel", "stride"), KINDS[1:])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", SIZES)
def test_kernels_of_every_kind(rng, size, layout, kernel, stride):
    for height, width in {(size, 23), (23, size), (size, size)}:
        x = random_array(rng, (2, 6, height, width), np.float32)
        w = random_array(rng, (19, 6, *kernel), np.float32)
        for wanted in ((1, 1), (2, 3)):
            padding = np.where(np.array(kernel) > 1, wanted, 0)
            if np.any((height, width) + 2 * padding < kernel):
                continue
            options = {"padding": padding.tolist(), "layout": layout, "algorithm": "winograd"}
            options["stride"] = stride
            shape = to_layout(x, layout == "NHWC").shape
            y = check_forward(to_layout(x, layout == "NHWC"), w, **options)
            check_input_gradient(shape, w, random_array(rng, y.shape, np.float32), **options)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "complex128"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("kernel", "stride"), KINDS)
def test_halves_and_complex_numbers(rng, kernel, stride, layout, dtype):
    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    for channels, groups in ((6, 1), (34, 1), (40, 2)):
        x = to_layout(random_array(rng, (2, channels, 13, 18), dtype), layout == "NHWC")
        w = random_array(rng, (24, channels // groups, *kernel), dtype)
        options = {"stride": stride, "groups": groups, "layout": layout, "algorithm": "winograd"}
        options["padding"] = (np.array(kernel) // 2).tolist()
        y = check_forward(x, w, random_array(rng, (24,), dtype), **options)
        check_input_gradient(x.shape, w, random_array(rng, y.shape, dtype), **options)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_padding_with_a_complex_number(rng, layout):
    x = to_layout(random_array(rng, (2, 9, 7, 11), np.complex64), layout == "NHWC")
    w = random_array(rng, (5, 9, 3, 3), np.complex64)
    options = {"padding_mode": "constant", "padding_value": 2 - 3j, "algorithm": "winograd"}
    check_forward(x, w, padding=2, layout=layout, **options)


@pytest.mark.parametrize("kernel", [3, 4])
def test_transposed_convolution(rng, kernel):
    x = random_array(rng, (2, 24, 9, 14), np.float32)
    w = random_array(rng, (24, 40, kernel, kernel), np.float32)
    bias = random_array(rng, (40,), np.float32)
    options = {"stride": 2, "padding": 1}
    expected = fastconv.conv_transpose2d(x, w, bias, **options, algorithm="direct")
    result = fastconv.conv_transpose2d(x, w, bias, **options, algorithm="winograd")
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("kernel", "stride"), KINDS[:3])
@pytest.mark.parametrize("channels", [64, 256, 1024])
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_error_of_unit_normal_numbers(rng, channels, dtype, bound, kernel, stride):
    x = random_array(rng, (1, channels, 12, 12), dtype)
    w = random_array(rng, (32, channels, *kernel), dtype)
    truth = reference.conv(x.astype(np.float64), w.astype(np.float64), stride=stride)
    error = np.abs(fastconv.conv2d(x, w, stride=stride, algorithm="winograd") - truth)
    assert error.max() <= bound * np.abs(truth).max()


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(1, 20, 37), (40, 5, 6)])
def test_what_is_not_finite_stays_within_its_windows(rng, shape, value, layout):
    batch, height, width = shape
    x = random_array(rng, (batch, 7, height, width), np.float32)
    w = random_array(rng, (18, 7, 3, 3), np.float32)
    image, row, column = batch // 2, height // 2, width - 2
    options = {"padding": 1, "layout": layout, "algorithm": "winograd", "threads": 2}
    last = layout == "NHWC"
    clean = fastconv.conv2d(to_layout(x, last), w, **options)
    x[image, 4, row, column] = value
    result = fastconv.conv2d(to_layout(x, last), w, **options)
    if last:
        clean, result = np.moveaxis(clean, -1, 1), np.moveaxis(result, -1, 1)
    reached = np.zeros(result.shape, bool)
    reached[image, :, row - 1 : row + 2, column - 1 : column + 2] = True
    np.testing.assert_array_equal(~np.isfinite(result), reached)
    if np.isinf(value):
        signs = np.sign(value) * np.sign(w[:, 4, ::-1, ::-1])
        window = result[image, :, row - 1 : row + 2, column - 1 : column + 2]
        np.testing.assert_array_equal(np.sign(window), signs)
    # Outside its tile nothing changes at all.
    far = np.ones(result.shape, bool)
    far[image] = False
    np.testing.assert_array_equal(result[far], clean[far])
    np.testing.assert_allclose(result[~reached], clean[~reached], atol=1e-3)


def test_sums_that_overflow_on_the_way_alone(rng):
    x = np.full((1, 8, 6, 6), 1e37, np.float32)
    w = np.zeros((8, 8, 3, 3), np.float32)
    w[:, 0, 1, 1] = 1
    result = fastconv.conv2d(x, w, algorithm="winograd")
    np.testing.assert_allclose(result, 1e37, rtol=1e-5)


def test_a_plan_computes_again_what_is_not_finite(rng):
    x = random_array(rng, (2, 16, 9, 9), np.float32)
    w = random_array(rng, (16, 16, 3, 3), np.float32)
    plan = fastconv.plan(w, x.shape, padding=1, algorithm="winograd")
    x[0, 3, 4, 4] = np.inf
    expected = fastconv.conv2d(x, w, padding=1, algorithm="winograd")
    w[...] = 0
    np.testing.assert_array_equal(plan(x), expected)


def test_strict_precision_excludes_it(rng):
    x, w = np.ones((1, 64, 56, 56), np.float32), np.ones((64, 64, 3, 3), np.float32)
    with pytest.raises(fastconv.UnsupportedError, match="strict"):
        fastconv.conv2d(x, w, algorithm="winograd", precision="strict")
    assert fastconv.plan(w, x.shape, padding=1, precision="strict").algorithm != "winograd"
    assert fastconv.plan(w, x.shape, padding=1).algorithm == "winograd"


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_views_that_are_not_contiguous(rng, layout):
    x = random_array(rng, (2, 18, 20, 26), np.float32)[:, ::-2, ::2, 1::3]
    w = random_array(rng, (4, 9, 6, 9), np.float32)[:, :, ::-2, ::3]
    options = {"padding": (2, 0), "algorithm": "winograd"}
    if layout == "NHWC":
        x = np.moveaxis(x, 1, -1)
    check_forward(x, w, layout=layout, **options)
