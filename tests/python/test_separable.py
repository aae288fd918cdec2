"""What is particular to kernels of rank 1; the tests of every algorithm run it as well."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv
from comparison import (
    PADDING_MODES,
    check_forward,
    check_input_gradient,
    padding_options,
    random_array,
    to_layout,
)
from fastconv import reference

DTYPES = (np.float32, np.float64)
LAYOUTS = ("NCHW", "NHWC")


def gaussian(size, dtype=np.float64):
    x = np.arange(size) - (size - 1) / 2
    values = np.exp(-(x**2) / (2 * (0.15 * size + 0.35) ** 2))
    return (values / values.sum()).astype(dtype)


def sobel(dtype):
    return np.outer([1, 4, 6, 4, 1], [-1, -2, 0, 2, 1]).astype(dtype)


def rank_one(rng, channels, height, width, dtype):
    column = random_array(rng, (channels, 1, height, 1), np.float64)
    row = random_array(rng, (channels, 1, 1, width), np.float64)
    return (column * row).astype(dtype)


def found(w, groups=None, **options):
    """What a plan of these weights says of them."""
    channels = groups or w.shape[0]
    plan = fastconv.plan(
        w, (1, channels, 80, 80), groups=channels, algorithm="separable", **options
    )
    return plan.explain().splitlines()[-1]


def takes_two_passes(w, **options):
    return "rank 1: two passes" in found(w, **options)


def check(x, w, layout="NCHW", **options):
    last = layout == "NHWC"
    options = {"layout": layout, "groups": x.shape[1], "algorithm": "separable", **options}
    return check_forward(to_layout(x, last), w, **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "kernel",
    [
        np.outer(gaussian(5), gaussian(5)),
        np.outer(gaussian(15), gaussian(15)),
        np.outer(gaussian(31), gaussian(7)),
        np.full((7, 7), 1 / 49),
        sobel(np.float64),
        sobel(np.float64).T,
        np.eye(1, 5, 2) * np.ones((5, 1)),
    ],
    ids=["gauss5", "gauss15", "gauss31x7", "box", "sobel", "sobel.T", "middle column"],
)
def test_well_known_kernels(rng, kernel, layout, dtype):
    w = np.broadcast_to(kernel, (17, 1, *kernel.shape)).astype(dtype)
    assert takes_two_passes(w)
    x = random_array(rng, (2, 17, 35, 50), dtype)
    padding = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    y = check(x, w, layout, padding=padding)
    options = {"layout": layout, "groups": 17, "padding": padding, "algorithm": "separable"}
    gradient = random_array(rng, y.shape, dtype)
    check_input_gradient(to_layout(x, layout == "NHWC").shape, w, gradient, **options)


def test_two_passes_are_run(rng):
    """Their rounding differs from that of the formula, which the ordinary way keeps to."""
    x, w = random_array(rng, (1, 40, 40, 40), np.float32), rank_one(rng, 40, 7, 9, np.float32)
    for layout in LAYOUTS:
        options = {"layout": layout, "groups": 40}
        laid_out = to_layout(x, layout == "NHWC")
        ordinary = fastconv.conv2d(laid_out, w, algorithm="depthwise", **options)
        assert (fastconv.conv2d(laid_out, w, algorithm="separable", **options) != ordinary).any()
        other = random_array(rng, w.shape, np.float32)
        np.testing.assert_array_equal(
            fastconv.conv2d(laid_out, other, algorithm="separable", **options),
            fastconv.conv2d(laid_out, other, **options),
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 16), (4, 17), (5, 47), (65, 63), (130, 33)])
@pytest.mark.parametrize("kernel", [(2, 2), (3, 5), (5, 3), (7, 18), (4, 33)])
def test_images_around_tiles(rng, kernel, size, layout, dtype):
    for channels in (1, 3, 8, 19):
        x = random_array(rng, (2, channels, *size), dtype)
        w = rank_one(rng, channels, *kernel, dtype)
        options = {"padding": (kernel[0] - 1, kernel[1] - 1)}
        y = check(x, w, layout, **options)
        options |= {"layout": layout, "groups": channels, "algorithm": "separable"}
        shape = to_layout(x, layout == "NHWC").shape
        check_input_gradient(shape, w, random_array(rng, y.shape, dtype), **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wide_images_are_cut(rng, layout):
    for channels, shape in ((1, (9, 3000)), (1, (300, 9)), (70, (5, 400))):
        x = random_array(rng, (1, channels, *shape), np.float32)
        check(x, rank_one(rng, channels, 5, 31, np.float32), layout, padding=(2, 15))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("padding", [(2, 3), ((5, 0), (1, 6)), ((-1, 2), (3, -2)), "full"])
def test_padding(rng, padding, mode, layout):
    if mode != "constant" and mode != "zeros" and padding == "full":
        pytest.skip("modes do not change what full means")
    for channels in (1, 18):
        x = random_array(rng, (2, channels, 21, 37), np.float32)
        w = rank_one(rng, channels, 5, 7, np.float32)
        check(x, w, layout, padding=padding, **padding_options(mode, 1.5))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_epilogue_flip_and_multiplier(rng, layout):
    x = random_array(rng, (2, 18, 20, 37), np.float32)
    for multiplier in (1, 2):
        w = rank_one(rng, 18 * multiplier, 5, 7, np.float32)
        bias = random_array(rng, (18 * multiplier,), np.float32)
        for flip in (False, True):
            check(x, w, layout, bias=bias, padding=3, flip=flip, activation="relu")
    w = rank_one(rng, 18, 5, 7, np.float32)
    options = {"layout": layout, "groups": 18, "padding": (2, 3), "algorithm": "separable"}
    laid_out = to_layout(x, layout == "NHWC")
    plain = fastconv.conv2d(laid_out, w, **options)
    out = laid_out.copy()
    fastconv.conv2d(laid_out, w, accumulate=True, out=out, **options)
    np.testing.assert_allclose(out, plain + laid_out, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_views_that_are_not_contiguous(rng, layout):
    x = random_array(rng, (2, 18, 40, 52), np.float32)[:, ::-1, ::2, ::-2]
    w = rank_one(rng, 36, 10, 14, np.float32)[::2, :, ::-2, ::2]
    if layout == "NHWC":
        x = np.moveaxis(x, 1, -1)
    check_forward(x, w, layout=layout, groups=18, padding=3, algorithm="separable")


def test_volumes_with_flat_kernels(rng):
    x = random_array(rng, (1, 2, 4, 20, 21), np.float32)
    w = rank_one(rng, 2, 5, 5, np.float32)[:, :, None]
    options = {"groups": 2, "algorithm": "separable"}
    y = check_forward(x, w, padding=(1, 2, 2), **options)
    grad = random_array(rng, y.shape, np.float32)
    check_input_gradient(x.shape, w, grad, padding=(1, 2, 2), **options)


def relative_tolerance(dtype, taps):
    return 2 * np.finfo(dtype).eps * np.sqrt(taps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [0.7, 1.6])
def test_kernels_near_the_tolerance(rng, factor, dtype):
    """Exact powers of two but for one tap, whose error tells on which side the kernel lies."""
    w = np.outer(2.0 ** np.arange(-3, 4), 2.0 ** np.arange(-4, 5)).astype(dtype)
    w[0, 1] *= 1 + factor * relative_tolerance(dtype, w.size)
    assert takes_two_passes(w[None, None]) == (factor < 1)
    # The error of a tap must be small beside its own products and not beside larger ones alone.
    impulse = np.zeros((1, 1, 30, 30), dtype)
    impulse[0, 0, 15, 15] = 1
    for x in (impulse, random_array(rng, (1, 1, 30, 30), dtype)):
        check(x, w[None, None], padding=(3, 4))


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_taps_count_as_much_as_large_ones(rng, dtype):
    w = np.outer(10.0 ** np.arange(-4, 1), 10.0 ** np.arange(-4, 1)).astype(dtype)
    assert takes_two_passes(w[None, None])
    for changed in (w * 0, w * 1.01):
        other = w.copy()
        other[0, 0] = changed[0, 0]
        assert not takes_two_passes(other[None, None])
        impulse = np.zeros((1, 1, 20, 20), dtype)
        impulse[0, 0, 10, 10] = 1
        check(impulse, other[None, None], padding=2)


def test_kernels_of_another_rank(rng):
    for rank in (2, 3):
        w = sum(rank_one(rng, 1, 7, 7, np.float32) for _ in range(rank))
        assert not takes_two_passes(w)
        check(random_array(rng, (1, 1, 40, 40), np.float32), w, padding=3)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [0, 10, 19, 20, 30, 39, 40])
def test_mixtures(rng, share, layout):
    w = random_array(rng, (40, 1, 5, 7), np.float32)
    chosen = rng.permutation(40)[:share]
    w[chosen] = rank_one(rng, share, 5, 7, np.float32)
    if share >= 20:
        assert found(w).startswith(f"{share} of 40 kernels have rank 1: two passes of 5 + 7 taps")
    else:
        assert found(w).startswith("most kernels do not have rank 1: depthwise")
    check(random_array(rng, (1, 40, 33, 35), np.float32), w, layout, padding=(2, 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_of_extreme_magnitude(rng, dtype):
    x = random_array(rng, (1, 1, 40, 40), dtype)
    limits = np.finfo(dtype)
    box = np.ones((1, 1, 5, 5), dtype)
    exponents = np.linspace(0, limits.minexp // 2 + 20, 7).round()
    wide = np.outer(2.0**exponents, 2.0**exponents)
    for w in (
        box * 0,
        box * limits.smallest_subnormal,
        box * (limits.smallest_subnormal * 12345),
        box * limits.tiny,
        box * (limits.max / 1000),
        wide.astype(dtype)[None, None],
    ):
        actual = fastconv.conv2d(x, w, padding=2, algorithm="separable")
        expected = fastconv.conv2d(x, w, padding=2, algorithm="depthwise")
        scale = np.abs(w).max() or 1
        np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=40 * limits.eps)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_between_the_passes_do_not_overflow(layout):
    for dtype in DTYPES:
        most = np.finfo(dtype).max * dtype(0.99)
        for kernel in (np.full((7, 7), 1 / 49), np.outer(gaussian(5), gaussian(7))):
            x = to_layout(np.full((1, 17, 32, 32), most, dtype), layout == "NHWC")
            w = np.broadcast_to(kernel, (17, 1, *kernel.shape)).astype(dtype)
            assert takes_two_passes(w)
            y = fastconv.conv2d(x, w, algorithm="separable", groups=17, layout=layout)
            np.testing.assert_allclose(y / most, 1, rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_many_numbers_that_are_not_finite(rng, share, layout):
    """Infinities of either sign and NaN in one window, under taps of either sign and zero."""
    column = np.array([2, 0, -1, 1, 0.5])
    w = np.stack([np.outer(column, row) for row in ([1, 0, -1], [0, 3, 0], [1, 2, 1])] * 6)
    w = w.astype(np.float32)[:, None]
    assert takes_two_passes(w)
    x = random_array(rng, (2, 18, 40, 50), np.float32)
    values = rng.choice([np.nan, np.inf, -np.inf, np.inf], x.shape).astype(np.float32)
    x = np.where(rng.random(x.shape) < share / 5, values, x)
    x[:, 5] = np.abs(x[:, 5])
    last = layout == "NHWC"
    options = {"padding": (2, 1), "groups": 18}
    result = fastconv.conv2d(to_layout(x, last), w, layout=layout, algorithm="separable", **options)
    result = np.moveaxis(result, -1, 1) if last else result
    np.testing.assert_allclose(result, reference.conv(x, w, **options), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 20])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel", ["gauss", "sobel", "rows of zeros"])
def test_what_is_not_finite_stays_within_its_windows(rng, kernel, value, channels, layout):
    weights = {
        "gauss": np.outer(gaussian(5), gaussian(5)),
        "sobel": sobel(np.float64),
        "rows of zeros": np.outer([0, 1, 0, 2, 0], [0, 0, 3, 0, 0]),
    }
    w = np.broadcast_to(weights[kernel], (channels, 1, 5, 5)).astype(np.float32)
    assert takes_two_passes(w)
    x = random_array(rng, (2, channels, 40, 90), np.float32)
    last = layout == "NHWC"
    options = {"padding": 2, "layout": layout, "groups": channels, "algorithm": "separable"}
    channel = channels // 2
    for row, column in ((20, 45), (0, 0), (39, 89), (0, 60)):
        placed = x.copy()
        placed[1, channel, row, column] = value
        result = fastconv.conv2d(to_layout(placed, last), w, **options)
        truth = reference.conv(placed, w, padding=2, groups=channels)
        result = np.moveaxis(result, -1, 1) if last else result
        np.testing.assert_array_equal(np.isnan(result), np.isnan(truth))
        np.testing.assert_array_equal(np.isinf(result), np.isinf(truth))
        infinite = np.isinf(truth)
        np.testing.assert_array_equal(result[infinite], truth[infinite])
        finite = np.isfinite(truth)
        np.testing.assert_allclose(result[finite], truth[finite], atol=1e-4)
        gradient = fastconv.grad.conv2d_input(
            to_layout(x, last).shape, w, to_layout(placed, last), **options
        )
        truth = reference.conv_input(x.shape, w, placed, padding=2, groups=channels)
        gradient = np.moveaxis(gradient, -1, 1) if last else gradient
        np.testing.assert_array_equal(np.isnan(gradient), np.isnan(truth))
        np.testing.assert_array_equal(np.isinf(gradient), np.isinf(truth))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_and_padding_that_are_not_finite(rng, value):
    x = random_array(rng, (1, 20, 20, 20), np.float32)
    w = rank_one(rng, 20, 5, 5, np.float32)
    w[3, 0, 2, 1] = value
    assert "not finite" in found(w)
    for layout in LAYOUTS:
        options = {"padding": 2, "groups": 20, "layout": layout}
        laid_out = to_layout(x, layout == "NHWC")
        np.testing.assert_array_equal(
            fastconv.conv2d(laid_out, w, algorithm="separable", **options),
            fastconv.conv2d(laid_out, w, algorithm="depthwise", **options),
        )
    w = rank_one(rng, 20, 5, 5, np.float32)
    options = {"padding": 2, "groups": 20, "padding_mode": "constant", "padding_value": value}
    actual = fastconv.conv2d(x, w, algorithm="separable", **options)
    truth = reference.conv(x, w, **options)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(truth))
    np.testing.assert_array_equal(np.isinf(actual), np.isinf(truth))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 40])
def test_threads_layouts_and_plans_give_the_same_bits(rng, channels, layout):
    x = to_layout(random_array(rng, (2, channels, 150, 140), np.float32), layout == "NHWC")
    w = rank_one(rng, channels, 7, 9, np.float32)
    x[1, 0, 0, 0] = np.nan
    options = {"padding": 4, "groups": channels, "layout": layout, "algorithm": "separable"}
    expected = fastconv.conv2d(x, w, threads=1, **options)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(fastconv.conv2d(x, w, threads=threads, **options), expected)
        plan = fastconv.plan(w, x.shape, threads=threads, **options)
        np.testing.assert_array_equal(plan(x), expected)


def test_a_plan_keeps_its_weights(rng):
    for make in (rank_one, lambda rng, c, h, w, t: random_array(rng, (c, 1, h, w), t)):
        x, w = random_array(rng, (1, 20, 40, 40), np.float32), make(rng, 20, 7, 7, np.float32)
        options = {"groups": 20, "algorithm": "separable"}
        plan = fastconv.plan(w, x.shape, passes=("forward", "backward_input"), **options)
        g = random_array(rng, (1, 20, 34, 34), np.float32)
        expected = fastconv.conv2d(x, w, **options)
        gradient = fastconv.grad.conv2d_input(x.shape, w, g, **options)
        w[...] = 0
        np.testing.assert_array_equal(plan(x), expected)
        np.testing.assert_array_equal(plan.backward_input(g), gradient)


def test_strict_precision_excludes_it(rng):
    x = np.ones((1, 1, 512, 512), np.float32)
    w = np.ones((1, 1, 31, 31), np.float32)
    with pytest.raises(fastconv.UnsupportedError, match="strict"):
        fastconv.conv2d(x, w, algorithm="separable", precision="strict")
    assert fastconv.plan(w, x.shape, precision="strict").algorithm != "separable"
    assert fastconv.plan(w, x.shape).algorithm == "separable"


def test_explain_says_what_it_found(rng):
    shapes = (1, 1, 512, 512), (1, 1, 31, 31)
    assert "two passes of 31 + 31 taps where kernels have rank 1" in fastconv.explain(*shapes)
    ones = fastconv.plan(np.ones(shapes[1], np.float32), shapes[0]).explain()
    assert "1 of 1 kernels have rank 1: two passes of 31 + 31 taps" in ones
    noise = fastconv.plan(random_array(rng, shapes[1], np.float32), shapes[0]).explain()
    assert "most kernels do not have rank 1: " in noise


def test_small_kernels_are_left_alone():
    assert fastconv.plan(np.ones((1, 1, 3, 3)), (1, 1, 512, 512)).algorithm != "separable"


@pytest.mark.parametrize("algorithm", ["separable", "depthwise"])
def test_results_too_large_for_the_caches(rng, algorithm):
    """They are written past them; lines begin anywhere in rows of this width."""
    x = random_array(rng, (1, 1, 2060, 2051), np.float32)
    w = rank_one(rng, 1, 5, 3, np.float32)
    options = {"padding": (2, 1), "algorithm": algorithm}
    y = check_forward(x, w, threads=2, **options)
    np.testing.assert_array_equal(fastconv.conv2d(x, w, threads=1, **options), y)
