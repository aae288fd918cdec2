"""Plans give what the functions give, and explain themselves."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv
from comparison import BACKWARD, CHANNELS_LAST, FORWARD, PASSES, random_array, to_layout

OPTIONS = (
    {},
    {"stride": 2, "padding": 1, "flip": True},
    {"padding": "same", "padding_mode": "reflect", "dilation": 2, "groups": 2},
    {"padding": "full", "padding_mode": "constant", "padding_value": 0.5},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.float16])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_plan_equals_the_functions(rng, rank, channels_last, dtype, options):
    shape = (2, 4, *(9, 8, 7)[:rank])
    options = {**options, "layout": CHANNELS_LAST[rank] if channels_last else None}
    w = random_array(rng, (6, 4 // options.get("groups", 1), *(3, 2, 3)[:rank]), dtype)
    x = to_layout(random_array(rng, shape, dtype), channels_last)
    plan = fastconv.plan(w, x.shape, passes=PASSES, **options)
    for _ in range(2):
        y = plan(x)
        np.testing.assert_array_equal(y, FORWARD[rank](x, w, **options))
        grad_input, grad_weight, _ = BACKWARD[rank](y, x, w, **options)
        np.testing.assert_array_equal(plan.backward_input(y), grad_input)
        np.testing.assert_array_equal(plan.backward_weight(x, y), grad_weight)


def test_bias_activation_and_out(rng):
    x, w = random_array(rng, (2, 3, 9, 9), np.float32), random_array(rng, (5, 3, 3, 3), np.float32)
    bias = random_array(rng, (5,), np.float32)
    plan = fastconv.plan(w, x.shape, padding=1, bias=bias, activation="gelu")
    out = np.zeros((2, 5, 9, 9), np.float32)
    assert plan(x, out=out) is out
    np.testing.assert_array_equal(out, fastconv.conv2d(x, w, bias, padding=1, activation="gelu"))


def test_out_of_the_gradients(rng):
    x, w = random_array(rng, (2, 3, 9, 9), np.float32), random_array(rng, (5, 3, 3, 3), np.float32)
    plan = fastconv.plan(w, x.shape, passes=PASSES)
    y = plan(x)
    grad_input, grad_weight = np.zeros_like(x), np.zeros_like(w)
    assert plan.backward_input(y, out=grad_input) is grad_input
    assert plan.backward_weight(x, y, out=grad_weight) is grad_weight
    np.testing.assert_array_equal(grad_input, plan.backward_input(y))
    np.testing.assert_array_equal(grad_weight, plan.backward_weight(x, y))
    assert grad_input.any()
    assert grad_weight.any()


def test_views_of_the_planned_shape(rng):
    w = random_array(rng, (5, 3, 3, 3), np.float32)
    x = np.asfortranarray(random_array(rng, (2, 3, 9, 9), np.float32))[..., ::-1]
    plan = fastconv.plan(w, x.shape)
    np.testing.assert_allclose(plan(x), fastconv.conv2d(x.copy(), w), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", fastconv.algorithms())
@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.int16])
def test_later_changes_of_the_weight_do_not_reach_a_plan(rng, dtype, algorithm):
    x, w = random_array(rng, (1, 2, 9), dtype), random_array(rng, (3, 2, 3), dtype)
    bias = random_array(rng, (3,), dtype)
    expected = fastconv.conv1d(x, w, bias, algorithm=algorithm)
    plan = fastconv.plan(w, x.shape, bias=bias, algorithm=algorithm)
    w[...], bias[...] = 0, 0
    np.testing.assert_array_equal(plan(x), expected)


def test_arguments_that_do_not_fit_the_plan():
    plan = fastconv.plan(np.ones((5, 3, 3, 3), np.float32), (2, 3, 9, 9), passes=PASSES)
    with pytest.raises(ValueError, match=r"\b9\b"):
        plan(np.ones((2, 3, 9, 8), np.float32))
    with pytest.raises(ValueError, match=r"\b2\b"):
        plan(np.ones((1, 3, 9, 9), np.float32))
    with pytest.raises(TypeError, match="float32"):
        plan(np.ones((2, 3, 9, 9), np.float64))
    with pytest.raises(ValueError, match=r"grad_output"):
        plan.backward_input(np.ones((2, 5, 7, 6), np.float32))
    with pytest.raises(ValueError, match=r"grad_output"):
        plan.backward_weight(np.ones((2, 3, 9, 9), np.float32), np.ones((2, 5, 6, 7), np.float32))
    with pytest.raises(ValueError, match=r"\bout\b"):
        plan(np.ones((2, 3, 9, 9), np.float32), out=np.zeros((2, 5, 7, 8), np.float32))


def test_a_pass_that_was_not_planned():
    plan = fastconv.plan(np.ones((5, 3, 3, 3), np.float32), (2, 3, 9, 9))
    with pytest.raises(ValueError, match=r"backward_input.*passes|passes.*backward_input"):
        plan.backward_input(np.ones((2, 5, 7, 7), np.float32))


@pytest.mark.parametrize(
    ("options", "exception", "word"),
    [
        ({"passes": ("sideways",)}, ValueError, "passes"),
        ({"passes": ()}, ValueError, "passes"),
        ({"stride": 0}, ValueError, "stride"),
        ({"groups": 2}, ValueError, "groups"),
        ({"dtype": "S3"}, TypeError, "dtype"),
        ({"algorithm": "magic"}, ValueError, "algorithm"),
        ({"input_shape": (3, 9)}, ValueError, "input_shape"),
        ({"input_shape": (2, 3, 2, 9)}, ValueError, "weight_or_shape"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)
def test_malformed_plans(options, exception, word):
    arguments = {"input_shape": (2, 3, 9, 9), **options}
    with pytest.raises(exception, match=rf"\b{word}\b"):
        fastconv.plan(np.ones((5, 3, 3, 3), np.float32), **arguments)


def test_an_array_in_place_of_its_shape():
    w = np.ones((5, 3, 3, 3), np.float32)
    with pytest.raises(
        TypeError, match=r"input_shape: got an array of shape \(2, 3, 9, 9\).*shape"
    ):
        fastconv.explain(np.ones((2, 3, 9, 9)), w.shape)


@pytest.mark.parametrize("algorithm", ["auto", *fastconv.algorithms()])
def test_attributes(algorithm):
    plan = fastconv.plan(
        np.ones((5, 3, 3, 3), np.float32), (2, 3, 9, 9), passes=PASSES, algorithm=algorithm
    )
    assert plan.algorithm in fastconv.algorithms()
    if algorithm != "auto":
        assert plan.algorithm == algorithm
    assert plan.workspace_bytes >= 0
    text = plan.explain()
    assert isinstance(text, str)
    assert plan.algorithm in text


def test_a_plan_from_a_shape_alone(rng):
    plan = fastconv.plan((5, 3, 3, 3), (2, 3, 9, 9), dtype="float64", passes=("backward_weight",))
    x, g = random_array(rng, (2, 3, 9, 9), np.float64), random_array(rng, (2, 5, 7, 7), np.float64)
    np.testing.assert_array_equal(
        plan.backward_weight(x, g), fastconv.grad.conv2d_weight(x, (5, 3, 3, 3), g)
    )


def test_measuring_chooses_something_that_works(rng):
    x, w = random_array(rng, (1, 3, 9, 9), np.float32), random_array(rng, (5, 3, 3, 3), np.float32)
    plan = fastconv.plan(w, x.shape, measure=True)
    assert plan.algorithm in fastconv.algorithms()
    np.testing.assert_allclose(plan(x), fastconv.conv2d(x, w), rtol=1e-4, atol=1e-4)


def test_explain_lists_every_algorithm():
    for dtype in ("float32", "complex64", "int8"):
        text = fastconv.explain((1, 64, 56, 56), (64, 64, 3, 3), padding=1, dtype=dtype)
        assert isinstance(text, str)
        for name in fastconv.algorithms():
            assert name in text


def test_explain_checks_its_arguments():
    with pytest.raises(ValueError, match="stride"):
        fastconv.explain((1, 64, 56, 56), (64, 64, 3, 3), stride=0)
    with pytest.raises(ValueError, match="weight"):
        fastconv.explain((1, 64, 2, 2), (64, 64, 3, 3))


def test_algorithms_end_with_the_reference():
    names = fastconv.algorithms()
    assert names[-1] == "reference"
    assert "direct" in names
    assert len(set(names)) == len(names)
