"""What is particular to convolution by transforms; the tests of every algorithm run it as well."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastconv
from comparison import (
    CHANNELS_LAST,
    PADDING_MODES,
    check_forward,
    check_passes,
    padding_options,
    random_array,
    to_layout,
)
from fastconv import reference

FFT = {"algorithm": "fft"}
BOUNDS = {np.float32: 1e-5, np.float64: 1e-13}


@pytest.mark.parametrize("taps", [1, 2, 3, 10, 31, 64, 100, 257])
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 255, 256, 257, 1000])
def test_sequences_around_vectors_and_tiles(rng, length, taps):
    x = random_array(rng, (2, 3, length), np.float32)
    w = random_array(rng, (2, 3, taps), np.float32)
    check_passes(rng, x, w, padding=taps - 1, **FFT)


@pytest.mark.parametrize("kernel", [(1, 9), (9, 1), (2, 2), (5, 5), (4, 7), (11, 3), (16, 17)])
@pytest.mark.parametrize("size", [(17, 33), (32, 16), (47, 48), (31, 100)])
def test_images_around_vectors_and_tiles(rng, size, kernel):
    x = random_array(rng, (1, 2, *size), np.float32)
    w = random_array(rng, (3, 2, *kernel), np.float32)
    check_passes(rng, x, w, padding=(kernel[0] // 2, kernel[1] // 2), **FFT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (5, 2, 4), (1, 7, 1), (7, 1, 1)])
def test_volumes(rng, kernel, dtype):
    x = random_array(rng, (1, 2, 9, 12, 20), dtype)
    w = random_array(rng, (3, 2, *kernel), dtype)
    check_passes(rng, x, w, padding=1, **FFT)


@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_strides_and_dilations(rng, stride, dilation):
    x = random_array(rng, (2, 2, 34, 29), np.float32)
    w = random_array(rng, (2, 2, 5, 4), np.float32)
    check_passes(rng, x, w, stride=(stride, 1), dilation=(1, dilation), padding=3, **FFT)
    check_passes(rng, x, w, stride=stride, dilation=dilation, padding=7, **FFT)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("channels", "filters", "groups"), [(1, 1, 1), (3, 5, 1), (8, 16, 8)])
def test_channels_and_groups(rng, channels, filters, groups, layout):
    x = to_layout(random_array(rng, (3, channels, 20, 23), np.float32), layout == "NHWC")
    w = random_array(rng, (filters, channels // groups, 6, 5), np.float32)
    check_passes(rng, x, w, padding=2, groups=groups, layout=layout, **FFT)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("size", "extent", "periods"),
    [
        ((23, 48), (6, 46), "width"),
        ((20, 21), (1, 19), "width"),
        ((32, 48), (31, 46), "height and width"),
        ((60, 16), (58, 1), "height"),
        ((7, 11, 24), (6, 4, 19), "depth and width"),
        ((9, 20, 16), (7, 19, 13), "depth and height and width"),
        ((16, 1, 30), (13, 1, 28), "depth and width"),
        ((96,), (94,), "width"),
        ((640,), (400,), "width"),
    ],
    ids=str,
)
def test_periods(rng, size, extent, periods, channels_last, dilation, dtype):
    """Circular padding to the size of the input, where tiles may be whole periods."""
    kernel = [(reach + dilation - 1) // dilation for reach in extent]
    x = random_array(rng, (2, 3, *size), dtype)
    w = random_array(rng, (4, 3, *kernel), dtype)
    reaches = [dilation * (taps - 1) for taps in kernel]
    before = [reach // 3 for reach in reaches]
    options = {
        "padding": [(b, reach - b) for b, reach in zip(before, reaches, strict=True)],
        "padding_mode": "circular",
        "dilation": dilation,
    }
    if channels_last:
        options["layout"] = CHANNELS_LAST[len(size)]
    x = to_layout(x, channels_last)
    for name in ("forward", "backward_input"):
        plan = fastconv.plan(w, x.shape, passes=(name,), **options, **FFT)
        # Taps that are apart may also be transformed in parts, with padding.
        assert dilation > 1 or f"one period along {periods}" in plan.explain()
    check_passes(rng, x, w, **options, **FFT)


@pytest.mark.parametrize("size", [(64, 64), (4096,)], ids=str)
def test_a_period_needs_no_padding(rng, size):
    kernel = [extent // 2 - 1 for extent in size]
    w = random_array(rng, (2, 2, *kernel), np.float32)
    shape = (1, 2, *size)
    padding = [taps // 2 for taps in kernel]
    conv = {1: fastconv.conv1d, 2: fastconv.conv2d}[len(size)]
    circular = fastconv.plan(w, shape, padding=padding, padding_mode="circular", **FFT)
    assert f"transforms of {'x'.join(map(str, size))} points" in circular.explain()
    padded = fastconv.plan(w, shape, padding=padding, padding_mode="reflect", **FFT)
    assert "period" not in padded.explain()
    for column in (0, 3, size[-1] - 1):
        x = random_array(rng, shape, np.float32)
        x[(0, 1, *(extent // 2 for extent in size[:-1]), column)] = np.inf
        expected = conv(x, w, padding=padding, padding_mode="circular", algorithm="direct")
        finite = np.isfinite(expected)
        assert not finite.all()
        actual = circular(x)
        np.testing.assert_array_equal(actual[~finite], expected[~finite])
        np.testing.assert_allclose(actual[finite], expected[finite], atol=1e-3)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_padding(rng, mode, flip):
    x = random_array(rng, (2, 2, 12, 15), np.float32)
    w = random_array(rng, (3, 2, 5, 6), np.float32)
    options = {"padding": ((3, 2), (-1, 5)), "flip": flip, **padding_options(mode, 1.5)}
    y = check_forward(
        x, w, random_array(rng, (3,), np.float32), activation="relu", **options, **FFT
    )
    expected = fastconv.grad.conv2d_weight(x, w.shape, y, algorithm="direct", **options)
    actual = fastconv.grad.conv2d_weight(x, w.shape, y, **options, **FFT)
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("stride", [1, 2, (3, 4)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_gradients_of_padding(rng, mode, layout, dilation, stride):
    """Copies in the padding hand their gradients on, those of one element several times."""
    for padding in (((9, 20), (3, 6)), ((0, 4), (30, 1))):
        x = to_layout(random_array(rng, (2, 3, 14, 25), np.float32), layout == "NHWC")
        w = random_array(rng, (4, 3, 5, 6), np.float32)
        options = {"stride": stride, "padding": padding, "dilation": dilation, "layout": layout}
        check_passes(rng, x, w, threads=2, **options, **padding_options(mode, 1.5), **FFT)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(
    ("shape", "kernel"),
    [
        ((8, 64, 64), (31, 31)),
        ((64, 40, 40), (9, 9)),
        ((1, 20000), (4095,)),
        ((4, 20, 20, 20), (7,) * 3),
    ],
    ids=str,
)
def test_error_of_unit_normal_numbers(rng, shape, kernel, dtype):
    channels, *size = shape
    x = random_array(rng, (1, channels, *size), dtype)
    w = random_array(rng, (2, channels, *kernel), dtype)
    call = {1: fastconv.conv1d, 2: fastconv.conv2d, 3: fastconv.conv3d}[len(kernel)]
    truth = call(
        x.astype(np.longdouble).astype(np.float64), w.astype(np.float64), algorithm="direct"
    )
    error = np.abs(call(x, w, **FFT) - truth).max()
    assert error <= BOUNDS[dtype] * np.abs(truth).max()


def test_more_taps_than_fit_one_dimension_of_a_transform(rng):
    x = random_array(rng, (1, 1, 200_000), np.float64)
    w = random_array(rng, (1, 1, 65_537), np.float64)
    y = fastconv.conv1d(x, w, padding=65_536, flip=True, **FFT)[0, 0]
    size = x.size + w.size - 1
    expected = np.fft.irfft(np.fft.rfft(x[0, 0], size) * np.fft.rfft(w[0, 0], size), size)
    np.testing.assert_allclose(y, expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", [{"padding": 3}, {"stride": 2}, {"dilation": 3}], ids=str)
def test_what_is_not_finite_stays_within_its_windows(rng, options, value, layout):
    x = random_array(rng, (2, 3, 40, 50), np.float32)
    w = random_array(rng, (4, 3, 7, 7), np.float32)
    x[1, 2, 20, 30] = x[1, 0, 21, 35] = value
    last = layout == "NHWC"
    options = {**options, "layout": layout, "threads": 2}
    actual = fastconv.conv2d(to_layout(x, last), w, **options, **FFT)
    expected = fastconv.conv2d(to_layout(x, last), w, algorithm="direct", **options)
    assert not np.isfinite(expected).all()
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    np.testing.assert_allclose(actual[finite], expected[finite], atol=1e-4)
    x[~np.isfinite(x)] = 0
    clean = fastconv.conv2d(to_layout(x, last), w, **options, **FFT)
    np.testing.assert_array_equal(actual[finite], clean[finite])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("operand", ["x", "w", "grad"])
def test_gradients_of_what_is_not_finite(rng, operand, value):
    arrays = {
        "x": random_array(rng, (2, 2, 25, 30), np.float32),
        "w": random_array(rng, (3, 2, 6, 5), np.float32),
    }
    arrays["grad"] = np.ones(fastconv.conv2d(arrays["x"], arrays["w"], padding=2).shape, np.float32)
    arrays[operand][1, 1, 2, 3] = value
    x, w, grad = arrays["x"], arrays["w"], arrays["grad"]
    both = fastconv.conv2d_backward(grad, x, w, padding=2, **FFT)
    for name, arguments, of_both in (
        ("conv2d_input", (x.shape, w, grad), both[0]),
        ("conv2d_weight", (x, w.shape, grad), both[1]),
    ):
        function = getattr(fastconv.grad, name)
        expected = function(*arguments, padding=2, algorithm="direct")
        finite = np.isfinite(expected)
        for actual in (function(*arguments, padding=2, **FFT), of_both):
            np.testing.assert_array_equal(actual[~finite], expected[~finite])
            np.testing.assert_allclose(actual[finite], expected[finite], atol=1e-3)


@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_that_take_turns(rng, threads):
    """Their spectra are formed in shares, for which the tiles' are kept."""
    x = random_array(rng, (2, 70, 20, 24), np.float32)
    w = random_array(rng, (90, 70, 9, 9), np.float32)
    grad = random_array(rng, (2, 90, 20, 24), np.float32)
    plan = fastconv.plan(w, x.shape, padding=4, threads=threads, **FFT)
    assert " shares" in plan.explain()
    x[1, 5, 7, 20] = np.inf
    options = {"padding": 4, "threads": threads}
    actual = [
        fastconv.conv2d(x, w, **options, **FFT),
        plan(x),
        *fastconv.conv2d_backward(grad, x, w, **options, **FFT)[:2],
    ]
    forward = fastconv.conv2d(x, w, algorithm="direct", **options)
    gradients = fastconv.conv2d_backward(grad, x, w, algorithm="direct", **options)[:2]
    for result, expected in zip(actual, (forward, forward, *gradients), strict=True):
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(result[~finite], expected[~finite])
        largest = np.abs(expected[finite]).max()
        np.testing.assert_allclose(result[finite], expected[finite], atol=1e-5 * largest)
    x[1, 5, 7, 20] = 0
    of_weight = fastconv.grad.conv2d_weight(x, w.shape, grad, **options, **FFT)
    of_both = fastconv.conv2d_backward(grad, x, w, **options, **FFT)[1]
    expected = fastconv.grad.conv2d_weight(x, w.shape, grad, algorithm="direct", **options)
    for gradient in (of_weight, of_both):
        np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


def test_an_infinite_weight_among_kernels_that_take_turns(rng):
    """What is there to be added to is not touched before the last share is known to be finite."""
    x = random_array(rng, (1, 70, 20, 24), np.float32)
    w = random_array(rng, (90, 70, 9, 9), np.float32)
    w[89, 69, 8, 8] = np.inf
    out = random_array(rng, (1, 90, 20, 24), np.float32)
    options = {"padding": 4, "accumulate": True}
    expected = fastconv.conv2d(x, w, algorithm="direct", out=out.copy(), **options)
    actual = fastconv.conv2d(x, w, out=out, **options, **FFT)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    np.testing.assert_allclose(actual[finite], expected[finite], atol=1e-3)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_sums_that_overflow_on_the_way_alone(mode):
    x = np.full((1, 2, 40, 40), 1e37, np.float32)
    x[..., 35:] = 2e37
    w = np.zeros((2, 2, 7, 7), np.float32)
    w[:, 0, 3, 6] = 1
    y = fastconv.conv2d(x, w, padding=3, padding_mode=mode, **FFT)
    expected = fastconv.conv2d(x, w, padding=3, padding_mode=mode, algorithm="direct")
    np.testing.assert_allclose(y, expected, atol=2e32)


def test_gradients_of_weights_whose_spectra_overflow():
    x = np.full((1, 2, 40, 40), 1e37, np.float32)
    grad = np.zeros((1, 2, 40, 40), np.float32)
    grad[:, :, 20, 20] = 1
    w = np.zeros((2, 2, 7, 7), np.float32)
    alone = fastconv.grad.conv2d_weight(x, w.shape, grad, padding=3, **FFT)
    np.testing.assert_allclose(alone, 1e37, rtol=1e-5)
    both = fastconv.conv2d_backward(grad, x, w, padding=3, **FFT)
    np.testing.assert_allclose(both[1], 1e37, rtol=1e-5)
    np.testing.assert_array_equal(both[0], 0)


def test_a_plan_keeps_its_kernels(rng):
    x = random_array(rng, (2, 8, 30, 30), np.float32)
    w = random_array(rng, (6, 8, 9, 9), np.float32)
    clean = fastconv.conv2d(x, w, padding=4, **FFT)
    plan = fastconv.plan(w, x.shape, padding=4, **FFT)
    kept = x[0, 3, 4, 4]
    x[0, 3, 4, 4] = np.nan
    with_nan = fastconv.conv2d(x, w, padding=4, **FFT)
    w[...] = 0
    np.testing.assert_array_equal(plan(x), with_nan)
    x[0, 3, 4, 4] = kept
    np.testing.assert_array_equal(plan(x), clean)
    assert plan.workspace_bytes > 0


@pytest.mark.parametrize(
    ("shape", "weight", "options"),
    [
        ((3, 8, 40, 40), (8, 8, 9, 9), {}),
        ((1, 32, 60, 60), (32, 1, 15, 15), {"groups": 32}),
        ((1, 1, 700, 600), (1, 1, 21, 21), {}),
        ((2, 4, 30, 30), (6, 4, 7, 7), {"stride": 2}),
    ],
    ids=str,
)
def test_bits_do_not_depend_on_threads(rng, shape, weight, options):
    x, w = random_array(rng, shape, np.float32), random_array(rng, weight, np.float32)
    grad = fastconv.conv2d(x, w, **options)
    for threads, one in itertools.product((2, 3, 5), (1,)):
        for function, arguments in (
            (fastconv.conv2d, (x, w)),
            (fastconv.grad.conv2d_input, (x.shape, w, grad)),
            (fastconv.grad.conv2d_weight, (x, w.shape, grad)),
        ):
            np.testing.assert_array_equal(
                function(*arguments, threads=threads, **options, **FFT),
                function(*arguments, threads=one, **options, **FFT),
            )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_views_that_are_not_contiguous(rng, layout):
    x = random_array(rng, (2, 6, 40, 52), np.float32)[:, ::-2, ::2, 1::3]
    w = random_array(rng, (4, 3, 12, 15), np.float32)[:, :, ::-2, ::3]
    if layout == "NHWC":
        x = np.moveaxis(x, 1, -1)
    check_forward(x, w, layout=layout, padding=(2, 0), **FFT)


def test_a_plan_keeps_to_its_workspace(rng):
    x, w = (random_array(rng, shape, np.float32) for shape in ((1, 32, 90, 90), (32, 32, 15, 15)))
    ample = fastconv.plan(w, x.shape, padding=7, threads=1, **FFT)
    scarce = fastconv.plan(w, x.shape, padding=7, threads=1, max_workspace=1 << 20, **FFT)
    # Both hold the kernels' spectra as well.
    assert scarce.workspace_bytes < 0.7 * ample.workspace_bytes
    np.testing.assert_array_equal(scarce(x), ample(x))
    gradient = ample(x)
    fits = {"padding": 7, "passes": ("backward_weight",), "max_workspace": 1 << 20}
    actual = fastconv.plan(w.shape, x.shape, **fits, **FFT).backward_weight(x, gradient)
    expected = fastconv.grad.conv2d_weight(x, w.shape, gradient, padding=7, algorithm="direct")
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-5, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_a_cap_that_is_not_a_number_of_bytes(value, error):
    with pytest.raises(error, match="max_workspace"):
        fastconv.plan(np.ones((1, 1, 3, 3), np.float32), (1, 1, 9, 9), max_workspace=value)


def test_auto_finds_it_and_strict_precision_excludes_it():
    shapes = ((16, 16, 31, 31), (1, 16, 256, 256))
    assert fastconv.plan(np.ones(shapes[0], np.float32), shapes[1], padding=15).algorithm == "fft"
    strict = fastconv.plan(
        np.ones(shapes[0], np.float32), shapes[1], padding=15, precision="strict"
    )
    assert strict.algorithm != "fft"
    small = fastconv.plan(np.ones((64, 64, 3, 3), np.float32), (1, 64, 56, 56), padding=1)
    assert small.algorithm != "fft"


@pytest.mark.parametrize("algorithm", ["direct", "fft"])
@pytest.mark.parametrize("mode", ["reflect", "symmetric", "replicate", "circular"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_gradients_of_halves_through_padding(rng, layout, mode, algorithm):
    x = random_array(rng, (1, 2, 9, 8), np.float16)
    w = random_array(rng, (3, 2, 7, 5), np.float16)
    options = {"padding": ((4, 3), (2, 2)), "padding_mode": mode, "algorithm": algorithm}
    check_passes(rng, to_layout(x, layout == "NHWC"), w, layout=layout, **options)


@pytest.mark.parametrize("algorithm", ["direct", "fft"])
def test_gradients_of_halves_are_rounded_once(algorithm):
    """Copies of a pixel add gradients that a half would lose one by one."""
    grad = np.full((1, 1, 65), 2.0**-12, np.float16)
    grad[..., -1] = 1
    actual = fastconv.grad.conv1d_input(
        (1, 1, 1),
        np.ones((1, 1, 1), np.float16),
        grad,
        padding=[(64, 0)],
        padding_mode="replicate",
        algorithm=algorithm,
    )
    assert actual.item() == 1 + 2.0**-6


def test_what_it_refuses(rng):
    x, w = np.ones((1, 2, 9, 9), np.int32), np.ones((2, 2, 3, 3), np.int32)
    with pytest.raises(fastconv.UnsupportedError, match="integers are exact"):
        fastconv.conv2d(x, w, **FFT)
    with pytest.raises(fastconv.UnsupportedError, match="longer than the longest transform"):
        fastconv.conv2d(
            np.ones((1, 1, 2000, 9), np.float32), np.ones((1, 1, 1500, 3), np.float32), **FFT
        )


def test_one_element_of_the_kernel_shifts_the_image(rng):
    """A delta as the kernel gives the image back, one for each place in it."""
    x = random_array(rng, (1, 1, 20, 30), np.float64)
    for row, column in itertools.product((0, 4, 8), (0, 3, 10)):
        w = np.zeros((1, 1, 9, 11))
        w[0, 0, row, column] = 1
        expected = reference.conv(x, w)
        np.testing.assert_allclose(fastconv.conv2d(x, w, **FFT), expected, atol=1e-14)
