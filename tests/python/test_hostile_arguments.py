"""Arguments that try to break the binding, and combinations that are easy to get wrong."""

import numpy as np
import pytest

import fastconv

ONES = np.ones((1, 1, 8, 8), np.float32)
KERNEL = np.ones((1, 1, 3, 3), np.float32)


class Shrinking:
    """An integer that empties the list that it is read from."""

    def __init__(self, victim):
        self.victim = victim

    def __index__(self):
        self.victim.clear()
        return 1


@pytest.mark.parametrize("argument", ["stride", "dilation", "padding"])
def test_a_sequence_that_changes_while_it_is_read(argument):
    sizes = []
    sizes += [Shrinking(sizes), 1, 1]
    x, w = np.ones((1, 1, 8, 8, 8)), np.ones((1, 1, 1, 1, 1))
    assert fastconv.conv3d(x, w, **{argument: sizes}).ndim == 5


def test_windows_whose_extent_overflows_are_refused():
    far = 2**32 - 1
    options = {"dilation": far, "padding": ((2**32 - 8, 0),) * 2}
    with pytest.raises(ValueError, match="dilation"):
        fastconv.conv2d(ONES, np.ones((1, 1, 2, 2), np.float32), **options)


def test_taps_too_far_apart_for_a_tile_fall_to_the_reference():
    far = 2**15
    options = {"dilation": far, "padding": far // 2}
    w = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    # Every tap lies in the padding, half the distance before or behind the image.
    expected = np.full_like(ONES, 3.0)
    bias = np.array([3.0], ONES.dtype)
    np.testing.assert_array_equal(fastconv.conv2d(ONES, w, bias, **options), expected)
    with pytest.raises(fastconv.UnsupportedError, match="direct"):
        fastconv.conv2d(ONES, w, algorithm="direct", **options)


@pytest.mark.parametrize("amount", [2**62, -(2**62), -(2**63)])
def test_enormous_padding(amount):
    with pytest.raises(ValueError, match="padding"):
        fastconv.conv2d(ONES, KERNEL, padding=amount)
    with pytest.raises(ValueError, match="padding"):
        fastconv.conv_transpose2d(ONES, KERNEL, padding=amount)


def test_padding_of_a_billion_copies_is_computed_by_the_reference():
    g, w = np.ones((1, 1, 3)), np.ones((1, 1, 3))
    options = {"stride": 10**9, "padding": 10**9, "padding_mode": "replicate"}
    gradient = fastconv.grad.conv1d_input((1, 1, 4), w, g, **options)
    assert gradient.sum() == 9.0


def test_integer_arrays_without_axes_are_integers():
    two = np.array(2)
    expected = fastconv.conv2d(ONES, KERNEL, stride=2, padding=2)
    np.testing.assert_array_equal(fastconv.conv2d(ONES, KERNEL, stride=two, padding=two), expected)


@pytest.mark.parametrize("value", [np.complex64(2 + 1j), 2 + 1j])
def test_complex_padding_of_real_input(value):
    with pytest.raises(TypeError, match="padding_value"):
        fastconv.conv2d(ONES, KERNEL, padding=1, padding_mode="constant", padding_value=value)


@pytest.mark.parametrize("value", [np.ones(2), 10**400, [1], None, "1"])
@pytest.mark.parametrize("mode", ["zeros", "constant"])
def test_padding_values_that_are_no_numbers(value, mode):
    with pytest.raises((TypeError, ValueError), match="padding_value"):
        fastconv.conv2d(ONES, KERNEL, padding=1, padding_mode=mode, padding_value=value)


@pytest.mark.parametrize("text", ["aé" * 60, "\udc80"])
def test_strings_that_utf8_cannot_cut_or_hold(text):
    for argument in ("padding", "padding_mode", "activation", "layout", "algorithm", "precision"):
        with pytest.raises(ValueError, match=argument):
            fastconv.conv2d(ONES, KERNEL, **{argument: text})
    with pytest.raises(TypeError, match="stride"):
        fastconv.conv2d(ONES, KERNEL, stride=text)


def test_ragged_lists_are_named_everywhere():
    ragged = [[[1.0, 2.0], [3.0]]]
    with pytest.raises(TypeError, match="input"):
        fastconv.conv1d_backward(np.ones((1, 1, 2)), ragged, np.ones((1, 1, 1)))
    with pytest.raises(TypeError, match="weight_or_shape"):
        fastconv.plan(ragged, (1, 1, 4))
    with pytest.raises(TypeError, match="bias"):
        fastconv.plan(KERNEL, ONES.shape, bias=[[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("passes", [5, "forward", [1], [], ["sideways"], None])
def test_passes(passes):
    with pytest.raises(ValueError, match="passes"):
        fastconv.plan(KERNEL, ONES.shape, passes=passes)
    with pytest.raises(ValueError, match="passes"):
        fastconv.explain(ONES.shape, KERNEL.shape, passes=passes)


@pytest.mark.parametrize(
    ("dtype", "bias"),
    [
        ("int8", np.array([2**40 + 5])),
        ("float32", np.array([1], np.int64)),
        ("float32", np.array([1.0])),
        ("float16", np.array([1.0], np.float32)),
        ("float64", np.array([1j])),
    ],
)
def test_a_plan_does_not_narrow_its_bias(dtype, bias):
    with pytest.raises(TypeError, match="bias"):
        fastconv.plan(np.ones((1, 1, 3), dtype), (1, 1, 8), bias=bias)


def test_a_plan_does_not_narrow_its_weight():
    with pytest.raises(TypeError, match="dtype"):
        fastconv.plan(np.ones((1, 1, 3)), (1, 1, 8), dtype="float32")


@pytest.mark.parametrize("shape", [(9, 7, 5), (1, 1, 2), (1, 2, 1)])
def test_the_gradient_of_the_bias_alone_is_checked_too(shape):
    mask = (False, False, True)
    x, w = np.ones((1, 1, 3)), np.ones((1, 1, 3))
    with pytest.raises(ValueError, match="grad_output"):
        fastconv.conv1d_backward(np.ones(shape), x, w, output_mask=mask)


def test_small_problems_are_the_same_for_any_number_of_threads(rng):
    for _ in range(50):
        x, w = rng.standard_normal((1, 1, 24)), rng.standard_normal((1, 1, 4))
        one = fastconv.conv1d(x, w, threads=1)
        for threads in (2, 4, 64):
            np.testing.assert_array_equal(fastconv.conv1d(x, w, threads=threads), one)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "float16"])
def test_a_weight_that_is_not_finite_reaches_only_what_it_meets(value, stride, dtype, rng):
    x = rng.standard_normal((2, 3, 5, 6)).astype(dtype)
    w = rng.standard_normal((3, 4, 3, 3)).astype(dtype)
    w[1, 2, 0, 2] = value
    with np.errstate(invalid="ignore", over="ignore"):
        expected = fastconv.reference.conv_transpose(x, w, stride=stride)
    plain = fastconv.conv_transpose2d(x, w, stride=stride, algorithm="direct")
    np.testing.assert_array_equal(np.isfinite(plain), np.isfinite(expected))
    assert 0 < np.isfinite(plain).sum() < plain.size


def test_a_stride_of_many_residues():
    x = np.ones((1, 1, 400_000), np.float32)
    w = np.ones((1, 1, 200_000), np.float32)
    np.testing.assert_allclose(fastconv.conv1d(x, w, stride=50_000), 200_000.0)


def test_contexts_of_two_python_threads_do_not_mix():
    import threading

    shared = fastconv.threads(2)
    seen = []
    entered, leave = threading.Event(), threading.Event()

    def work():
        with fastconv.threads(3), shared:
            entered.set()
            leave.wait()
        seen.append(fastconv.get_num_threads())

    before = fastconv.get_num_threads()
    thread = threading.Thread(target=work)
    with shared:
        thread.start()
        entered.wait()
    assert fastconv.get_num_threads() == before
    leave.set()
    thread.join()
    assert seen == [before]
