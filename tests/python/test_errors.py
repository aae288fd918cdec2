"""Every malformed call is refused before any work, in words that name the argument."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import fastconv

X = np.ones((2, 4, 8, 9))
W = np.ones((6, 2, 3, 3))
G = np.ones((2, 6, 6, 7))
VALID: dict[str, Any] = {"input": X, "weight": W, "groups": 2}


def readonly(shape):
    array = np.zeros(shape)
    array.flags.writeable = False
    return array


def refuses(exception, words, call, *arguments, **options):
    """Check that a call raises `exception`, and that its message has all the `words`.

    Of words with a bar between them, one is enough.
    """
    with pytest.raises(exception) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    for word in words.split():
        assert re.search(rf"\b(?:{word})\b", message), f"{word!r} is not in {message!r}"


INTEGER_MISTAKES = [
    (0, ValueError),
    (-1, ValueError),
    (True, TypeError),
    (np.True_, TypeError),
    (1.5, TypeError),
    (1.0, TypeError),
    ("2", TypeError),
    (None, TypeError),
    ((1, 1, 1), ValueError),
    ((), ValueError),
    ((1, 1.5), TypeError),
    ((1, True), TypeError),
    ((0, 1), ValueError),
    (2**63, (ValueError, OverflowError)),
    (2**200, (ValueError, OverflowError)),
]


@pytest.mark.parametrize("name", ["stride", "dilation"])
@pytest.mark.parametrize(("value", "exception"), INTEGER_MISTAKES)
def test_stride_and_dilation(name, value, exception):
    refuses(exception, name, fastconv.conv2d, **VALID, **{name: value})
    options = {"groups": 2, name: value}
    refuses(exception, name, fastconv.grad.conv2d_input, X.shape, W, G, **options)
    refuses(exception, name, fastconv.grad.conv2d_weight, X, W.shape, G, **options)
    refuses(exception, name, fastconv.conv2d_backward, G, X, W, **options)
    refuses(exception, name, fastconv.conv_transpose2d, X, np.ones((4, 3, 3, 3)), **options)


@pytest.mark.parametrize(
    ("value", "exception"),
    [
        (0, ValueError),
        (-2, ValueError),
        (3, ValueError),
        (True, TypeError),
        (2.0, TypeError),
        ("2", TypeError),
        (None, TypeError),
        ((2, 2), TypeError),
    ],
)
def test_groups(value, exception):
    refuses(exception, "groups", fastconv.conv2d, X, W, groups=value)


@pytest.mark.parametrize(
    ("value", "exception"),
    [
        (1.5, TypeError),
        (True, TypeError),
        (None, TypeError),
        ((1,), ValueError),
        ((1, 1, 1), ValueError),
        ((1, 1.5), TypeError),
        (((1, 2, 3), (1, 2, 3)), ValueError),
        (((1, 2),), ValueError),
        (((1, True), (1, 2)), TypeError),
        ("SAME", ValueError),
        ("reflect", ValueError),
        ("", ValueError),
        (2**62, (ValueError, OverflowError)),
        (2**64, (ValueError, OverflowError)),
        (-4, ValueError),
        (-(2**62), (ValueError, OverflowError)),
    ],
)
def test_padding(value, exception):
    refuses(exception, "padding", fastconv.conv2d, **VALID, padding=value)
    refuses(exception, "padding", fastconv.grad.conv2d_input, X.shape, W, G, 1, value, 1, 2)


@pytest.mark.parametrize(
    ("options", "exception", "words"),
    [
        ({"padding_mode": "edge"}, ValueError, "padding_mode edge replicate"),
        ({"padding_mode": "Zeros"}, ValueError, "padding_mode Zeros zeros"),
        ({"padding_mode": 3}, (TypeError, ValueError), "padding_mode"),
        ({"padding_mode": "constant", "padding_value": "a"}, TypeError, "padding_value"),
        ({"padding_mode": "constant", "padding_value": None}, TypeError, "padding_value"),
        ({"padding_value": 1.5}, ValueError, "padding_value padding_mode constant"),
        ({"layout": "NDHWC"}, ValueError, "layout NDHWC NHWC"),
        ({"layout": "nhwc"}, ValueError, "layout nhwc NHWC"),
        ({"layout": 1}, (TypeError, ValueError), "layout"),
        ({"activation": "ReLU"}, ValueError, "activation ReLU relu"),
        ({"activation": 1}, (TypeError, ValueError), "activation"),
        ({"algorithm": "magic"}, ValueError, "algorithm magic direct"),
        ({"precision": "double"}, ValueError, "precision double default"),
        ({"threads": 0}, ValueError, "threads"),
        ({"threads": -1}, ValueError, "threads"),
        ({"threads": True}, TypeError, "threads"),
        ({"threads": 1.0}, TypeError, "threads"),
        ({"threads": 2**40}, (ValueError, OverflowError), "threads"),
        ({"accumulate": True}, ValueError, "accumulate out"),
        ({"out": np.zeros((2, 6, 6, 8))}, ValueError, "out"),
        ({"out": np.zeros((6, 6, 7))}, ValueError, "out"),
        ({"out": np.zeros((2, 6, 6, 7), np.float32)}, TypeError, "out float32 float64"),
        ({"out": np.zeros((2, 6, 6, 7), ">f8")}, (TypeError, ValueError), "out"),
        ({"out": readonly((2, 6, 6, 7))}, ValueError, "out"),
        ({"out": [[0.0]]}, TypeError, "out"),
        ({"out": X[:, :1]}, ValueError, "out"),
        ({"bias": np.ones(5)}, ValueError, "bias 6"),
        ({"bias": np.ones((6, 1))}, ValueError, "bias"),
        ({"bias": np.float64(1)}, ValueError, "bias"),
        ({"bias": "abcdef"}, TypeError, "bias"),
        ({"bias": [None] * 6}, TypeError, "bias"),
        ({"input": X[0, 0]}, ValueError, "input"),
        ({"input": X[None]}, ValueError, "input"),
        ({"input": X[:, :3]}, ValueError, "input"),
        ({"input": X[:, :, :0]}, ValueError, "input"),
        ({"input": X[..., :2]}, ValueError, "weight"),
        ({"input": None}, TypeError, "input"),
        ({"input": "image"}, TypeError, "input"),
        ({"input": X.astype(object)}, TypeError, "input"),
        ({"input": X.astype("M8[s]")}, TypeError, "input"),
        ({"input": X.astype("S4")}, TypeError, "input"),
        ({"input": np.zeros(X.shape, [("a", "f4")])}, TypeError, "input"),
        ({"input": [[[[1.0], [1.0, 2.0]]]]}, (TypeError, ValueError), "input"),
        ({"input": {}}, TypeError, "input"),
        ({"weight": W[0]}, ValueError, "weight"),
        ({"weight": W[None]}, ValueError, "weight"),
        ({"weight": W[:5]}, ValueError, "groups"),
        ({"weight": np.ones((6, 4, 3, 3))}, ValueError, "weight"),
        ({"weight": W[:, :, :0]}, ValueError, "weight"),
        ({"weight": np.ones((6, 2, 9, 3))}, ValueError, "weight"),
        ({"weight": None}, TypeError, "weight"),
        ({"weight": "sharpen"}, TypeError, "weight"),
        ({"weight": W.astype(object)}, TypeError, "weight"),
        ({"weight": [[[[1.0], [1.0, 2.0]]]]}, (TypeError, ValueError), "weight"),
        ({"dilation": 4}, ValueError, "weight"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_forward(options, exception, words):
    refuses(exception, words, fastconv.conv2d, **{**VALID, **options})


@pytest.mark.parametrize("dtype", [np.complex64, np.int8, np.int64])
def test_activations_that_a_dtype_lacks(dtype):
    x, w = np.ones((1, 1, 4), dtype), np.ones((1, 1, 2), dtype)
    names = ("leaky_relu", "silu", "gelu", "sigmoid", "tanh")
    for name in (*names, "relu", "relu6") if dtype is np.complex64 else names:
        refuses(TypeError, f"activation {name}", fastconv.conv1d, x, w, activation=name)


def test_out_that_shares_memory():
    memory = np.ones(4000)
    x, w = memory[:64].reshape(1, 1, 8, 8), memory[100:109].reshape(1, 1, 3, 3)
    bias = memory[200:201]
    for start in (0, 40, 90, 200):
        out = memory[start : start + 36].reshape(1, 1, 6, 6)
        refuses(ValueError, "out", fastconv.conv2d, x, w, bias, out=out)
        refuses(ValueError, "out", fastconv.conv2d, x, w, bias, out=out[..., ::-1])
    assert (memory == 1).all()
    apart = memory[300:336].reshape(1, 1, 6, 6)
    assert fastconv.conv2d(x, w, bias, out=apart) is apart


def test_out_between_the_elements_of_the_input():
    memory = np.ones((1, 1, 8, 16))
    out = memory[..., 1::2]
    fastconv.conv2d(memory[..., ::2], np.ones((1, 1, 1, 1)) * 5, out=out)
    np.testing.assert_array_equal(out, np.full((1, 1, 8, 8), 5.0))


def test_out_that_overlaps_itself():
    out = as_strided(np.zeros(100), (2, 6, 6, 7), (0, 8, 8, 8))
    refuses(ValueError, "out", fastconv.conv2d, **VALID, out=out)


@pytest.mark.parametrize(
    ("arguments", "exception", "words"),
    [
        (((2, 4, 8), W, G), ValueError, "input_size"),
        (((2, 4, 8, -9), W, G), ValueError, "input_size|input"),
        (((2, 4, 8, 9.0), W, G), TypeError, "input_size"),
        (((2, 4, 8, True), W, G), TypeError, "input_size"),
        ((None, W, G), TypeError, "input_size"),
        ((9, W, G), TypeError, "input_size"),
        (((2, 4, 0, 9), W, G), ValueError, "input_size|input"),
        (((2, 5, 8, 9), W, G), ValueError, "input_size|input"),
        (((2**40, 4, 2**40, 9), W, G), ValueError, "input_size|input|grad_output"),
        ((X.shape, W, G[:1]), ValueError, "grad_output"),
        ((X.shape, W, G[:, :5]), ValueError, "grad_output"),
        ((X.shape, W, G[..., :6]), ValueError, "grad_output"),
        ((X.shape, W, G[0]), ValueError, "grad_output"),
        ((X.shape, W, None), TypeError, "grad_output"),
        ((X.shape, W, "gradient"), TypeError, "grad_output"),
        ((X.shape, None, G), TypeError, "weight"),
        ((X.shape, W[0], G), ValueError, "weight"),
    ],
)
def test_input_gradient(arguments, exception, words):
    refuses(exception, words, fastconv.grad.conv2d_input, *arguments, groups=2)


@pytest.mark.parametrize(
    ("arguments", "exception", "words"),
    [
        ((X, (6, 2, 3), G), ValueError, "weight_size"),
        ((X, (6, 2, 3, -3), G), ValueError, "weight_size|weight"),
        ((X, (6, 2, 3, 0), G), ValueError, "weight_size|weight"),
        ((X, (6, 2, 3, 3.0), G), TypeError, "weight_size"),
        ((X, None, G), TypeError, "weight_size"),
        ((X, (6, 4, 3, 3), G), ValueError, "weight_size|weight"),
        ((X, (6, 2, 3, 2**62), G), ValueError, "weight_size|weight"),
        ((X, (7, 2, 3, 3), G), ValueError, "groups"),
        ((X, W.shape, G[:, :4]), ValueError, "grad_output"),
        ((X, W.shape, G[..., 1:]), ValueError, "grad_output"),
        ((X, W.shape, None), TypeError, "grad_output"),
        ((None, W.shape, G), TypeError, "input"),
        ((X[0], W.shape, G), ValueError, "grad_output"),
    ],
)
def test_weight_gradient(arguments, exception, words):
    refuses(exception, words, fastconv.grad.conv2d_weight, *arguments, groups=2)


@pytest.mark.parametrize("mask", [(True,), (True, True, True, True), None, "all", 7])
def test_output_mask(mask):
    refuses(
        (ValueError, TypeError),
        "output_mask",
        fastconv.conv2d_backward,
        G,
        X,
        W,
        groups=2,
        output_mask=mask,
    )


@pytest.mark.parametrize(
    ("options", "exception", "words"),
    [
        ({"padding": "same"}, (ValueError, TypeError), "padding"),
        ({"padding": 1.5}, TypeError, "padding"),
        ({"padding": 40}, ValueError, "padding"),
        ({"output_padding": 2, "stride": 2}, ValueError, "output_padding"),
        ({"output_padding": 1}, ValueError, "output_padding"),
        ({"output_padding": -1}, ValueError, "output_padding"),
        ({"output_padding": True, "stride": 2}, TypeError, "output_padding"),
        ({"output_padding": 1.0, "stride": 2}, TypeError, "output_padding"),
        ({"output_padding": (0, 0, 0)}, ValueError, "output_padding"),
        ({"bias": np.ones(5)}, ValueError, "bias"),
        ({"groups": 3}, ValueError, "groups"),
        ({"weight": np.ones((5, 3, 3, 3))}, ValueError, "weight"),
        ({"weight": np.ones((4, 3, 3))}, ValueError, "weight"),
        ({"weight": np.ones((4, 3, 0, 3))}, ValueError, "weight"),
        ({"input": np.ones((2, 4, 0, 5))}, ValueError, "input"),
        ({"input": None}, TypeError, "input"),
        ({"stride": 2**62}, (ValueError, OverflowError), "stride"),
        ({"out": np.zeros((1, 2, 3, 4))}, ValueError, "out"),
        ({"accumulate": True}, ValueError, "out"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_transposed(options, exception, words):
    valid = {"input": X, "weight": np.ones((4, 3, 3, 3))}
    refuses(exception, words, fastconv.conv_transpose2d, **{**valid, **options})


def test_sizes_whose_product_overflows_64_bits():
    one = np.int8(1)
    x = np.broadcast_to(one, (2**16, 1, 2**22, 2**22))
    too_large = (ValueError, MemoryError, OverflowError)
    for weight in ((2**20, 1, 1, 1), (2**40, 1, 1, 1)):
        with pytest.raises(too_large):
            fastconv.conv2d(x, np.broadcast_to(one, weight))
    with pytest.raises(too_large):
        fastconv.grad.conv2d_input(
            (2**16, 2**20, 2**22, 2**22), np.broadcast_to(one, (1, 2**20, 1, 1)), x
        )
    with pytest.raises(too_large):
        fastconv.conv_transpose2d(x, np.broadcast_to(one, (1, 2**20, 1, 1)), stride=2**20)


def test_more_memory_than_there_is():
    x = np.broadcast_to(np.int8(1), (1, 1, 2**24, 2**24))
    with pytest.raises(MemoryError):
        fastconv.conv2d(x, np.ones((1, 1, 1, 1), np.int8))
    with pytest.raises(MemoryError):
        fastconv.grad.conv2d_input(x.shape, np.ones((1, 1, 1, 1), np.int8), x)


def test_corr2d():
    refuses(ValueError, "X", fastconv.corr2d, np.ones(3), np.ones((2, 2)))
    refuses(ValueError, "K", fastconv.corr2d, np.ones((3, 3)), np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match=r"K|X"):
        fastconv.corr2d(np.ones((3, 3)), np.ones((4, 2)))
    refuses((TypeError, ValueError), "X", fastconv.corr2d, None, np.ones((2, 2)))


def test_arguments_are_unchanged_after_an_error():
    rng = np.random.default_rng(3)
    x, w, out = rng.random(X.shape), rng.random(W.shape), rng.random((2, 6, 6, 7))
    copies = [array.copy() for array in (x, w, out)]
    for mistake in (
        {"stride": 0},
        {"groups": 4},
        {"bias": np.ones(5)},
        {"padding": 1},
        {"algorithm": "magic"},
        {"activation": "ReLU"},
        {"threads": 0},
    ):
        with pytest.raises(ValueError, match=r"\w"):
            fastconv.conv2d(x, w, **{"groups": 2, "out": out, **mistake})
    for array, copy in zip((x, w, out), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_messages_say_what_was_got_and_what_is_needed():
    refuses(ValueError, "input 3 4", fastconv.conv2d, X[:, :3], np.ones((6, 4, 3, 3)))
    refuses(ValueError, "out 2 6 7 8", fastconv.conv2d, **VALID, out=np.zeros((2, 6, 6, 8)))
    refuses(ValueError, "bias 5 6", fastconv.conv2d, **VALID, bias=np.ones(5))
    refuses(ValueError, "weight 9 8", fastconv.conv2d, X, np.ones((6, 2, 9, 3)), groups=2)
    refuses(ValueError, "groups 6 4", fastconv.conv2d, X, W, groups=4)
    refuses(ValueError, "stride 0", fastconv.conv2d, **VALID, stride=0)
    refuses(TypeError, "padding 1.5", fastconv.conv2d, **VALID, padding=1.5)


def test_the_wrong_number_of_dimensions_suggests_the_right_function():
    refuses(ValueError, "conv1d", fastconv.conv2d, X[0], W[0])
