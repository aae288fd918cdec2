"""Threads: the same bits for any number of them, beside each other, and after a fork."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv
from comparison import random_array, to_layout

COUNTS = (1, 2, 3, 5)

# Large enough to be shared, and of sizes that no number of threads divides.
PROBLEMS = {
    "square": ((2, 33, 41, 43), (35, 33, 3, 3), {"padding": 1}),
    "strided": ((1, 20, 67, 71), (30, 20, 5, 5), {"stride": 2}),
    "strided, deep": ((1, 40, 37, 39), (230, 40, 5, 5), {"stride": 2}),
    "depthwise": ((1, 96, 61, 59), (96, 1, 3, 3), {"padding": 1, "groups": 96}),
    "one image": ((1, 1, 400, 410), (1, 1, 7, 7), {"padding": 3, "padding_mode": "reflect"}),
    "pointwise": ((1, 67, 50, 50), (71, 67, 1, 1), {}),
    "large weight": ((1, 150, 7, 9), (145, 150, 3, 3), {"padding": 1}),
    "taps in the padding": ((1, 70, 17, 19), (67, 70, 3, 3), {"padding": 12, "dilation": 12}),
}


# One problem shows how the reference shares its work, and it is slow.
CASES = [
    (name, algorithm)
    for algorithm in fastconv.algorithms()
    for name in (["square"] if algorithm == "reference" else PROBLEMS)
]


@pytest.mark.parametrize(("name", "algorithm"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.float16])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_bitwise_the_same_for_any_number(rng, name, layout, dtype, algorithm):
    shape, weight_shape, options = PROBLEMS[name]
    options = {"layout": layout, "algorithm": algorithm, **options}
    x = to_layout(random_array(rng, shape, dtype), layout == "NHWC")
    w = random_array(rng, weight_shape, dtype)
    y = fastconv.conv2d(x, w, threads=1, **options)
    gradients = fastconv.conv2d_backward(y, x, w, threads=1, **options)
    for threads in COUNTS:
        np.testing.assert_array_equal(fastconv.conv2d(x, w, threads=threads, **options), y)
        again = fastconv.conv2d_backward(y, x, w, threads=threads, **options)
        for gradient, expected in zip(again, gradients, strict=True):
            np.testing.assert_array_equal(gradient, expected)


def test_the_same_from_run_to_run(rng):
    x = random_array(rng, (2, 33, 41, 43), np.float32)
    w = random_array(rng, (35, 33, 3, 3), np.float32)
    y = fastconv.conv2d(x, w, threads=2)
    gradient = fastconv.grad.conv2d_weight(x, w.shape, y, threads=2)
    for _ in range(10):
        np.testing.assert_array_equal(fastconv.conv2d(x, w, threads=2), y)
        np.testing.assert_array_equal(
            fastconv.grad.conv2d_weight(x, w.shape, y, threads=2), gradient
        )


@pytest.fixture
def default_threads():
    """Return to the number of before after a test that sets it."""
    before = fastconv.get_num_threads()
    yield before
    fastconv.set_num_threads(before)


def test_set_num_threads(default_threads):
    assert isinstance(default_threads, int)
    assert default_threads >= 1
    fastconv.set_num_threads(3)
    assert fastconv.get_num_threads() == 3
    fastconv.set_num_threads(1)
    assert fastconv.get_num_threads() == 1


@pytest.mark.parametrize(
    ("value", "exception"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError), ("2", TypeError)],
)
def test_numbers_of_threads_are_positive_integers(default_threads, value, exception):
    with pytest.raises(exception):
        fastconv.set_num_threads(value)
    with pytest.raises(exception), fastconv.threads(value):
        pass
    assert fastconv.get_num_threads() == default_threads


def test_contexts_nest(default_threads):
    with fastconv.threads(4):
        assert fastconv.get_num_threads() == 4
        with fastconv.threads(2):
            assert fastconv.get_num_threads() == 2
        assert fastconv.get_num_threads() == 4
    assert fastconv.get_num_threads() == default_threads


def test_a_context_ends_with_an_error(default_threads):
    with pytest.raises(RuntimeError, match="inside"), fastconv.threads(7):
        raise RuntimeError("inside")
    assert fastconv.get_num_threads() == default_threads


def test_a_context_concerns_its_own_thread_alone(default_threads):
    with fastconv.threads(default_threads + 3), ThreadPoolExecutor(1) as pool:
        assert pool.submit(fastconv.get_num_threads).result() == default_threads
        assert fastconv.get_num_threads() == default_threads + 3


def test_omp_num_threads(run_python):
    script = "import fastconv; print(fastconv.get_num_threads())"
    assert run_python(script, OMP_NUM_THREADS="3").stdout == "3\n"
    assert run_python(script, OMP_NUM_THREADS="1").stdout == "1\n"


def test_many_python_threads_at_once(rng):
    x = random_array(rng, (2, 16, 30, 31), np.float32)
    weights = [random_array(rng, (8 + i, 16, 3, 3), np.float32) for i in range(6)]
    expected = [fastconv.conv2d_backward(fastconv.conv2d(x, w), x, w) for w in weights]

    def work(index):
        w = weights[index % 6]
        y = fastconv.conv2d(x, w, threads=1 + index % 3)
        return fastconv.conv2d_backward(y, x, w, threads=1 + index % 2)

    with ThreadPoolExecutor(8) as pool:
        for index, results in enumerate(pool.map(work, range(96))):
            for result, wanted in zip(results, expected[index % 6], strict=True):
                np.testing.assert_array_equal(result, wanted)


def test_one_plan_in_many_threads(rng):
    w = random_array(rng, (24, 16, 3, 3), np.float32)
    images = [random_array(rng, (1, 16, 30, 31), np.float32) for _ in range(8)]
    plan = fastconv.plan(w, images[0].shape, padding=1)
    with ThreadPoolExecutor(4) as pool:
        for image, result in zip(images * 6, pool.map(plan, images * 6), strict=True):
            np.testing.assert_array_equal(result, fastconv.conv2d(image, w, padding=1))


def test_other_python_threads_run_meanwhile(rng):
    """A call that kept the lock would leave no tick between its beginning and its end."""
    w = random_array(rng, (32, 32, 5, 5), np.float32)
    height, duration = 100, 0.0
    while duration < 0.2:
        x = np.ones((1, 32, height, 200), np.float32)
        span: list[float] = []

        def call(x=x, span=span):
            span.append(time.perf_counter())
            fastconv.conv2d(x, w, threads=1)
            span.append(time.perf_counter())

        worker = threading.Thread(target=call)
        ticks = []
        worker.start()
        while worker.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(0.001)
        worker.join()
        duration = span[1] - span[0]
        height *= 2
    margin = 0.1 * duration
    during = [tick for tick in ticks if span[0] + margin < tick < span[1] - margin]
    assert len(during) >= 10


AFTER_FORK = """
import os, sys, numpy, fastconv
x = numpy.random.default_rng(1).random((2, 32, 40, 40), numpy.float32)
w = numpy.random.default_rng(2).random((32, 32, 3, 3), numpy.float32)
before = fastconv.conv2d(x, w, threads=2)
child = os.fork()
if child == 0:
    same = numpy.array_equal(fastconv.conv2d(x, w, threads=2), before)
    same &= fastconv.grad.conv2d_weight(x, w.shape, before, threads=2).shape == w.shape
    os._exit(0 if same else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert numpy.array_equal(fastconv.conv2d(x, w, threads=2), before)
print("done")
"""

MULTIPROCESSING = """
import multiprocessing, numpy, fastconv
x = numpy.random.default_rng(1).random((2, 32, 40, 40), numpy.float32)
w = numpy.random.default_rng(2).random((32, 32, 3, 3), numpy.float32)
before = fastconv.conv2d(x, w, threads=2)
def work(index):
    return fastconv.conv2d(x, w, threads=2)
with multiprocessing.get_context("fork").Pool(2) as pool:
    for result in pool.map(work, range(4)):
        assert numpy.array_equal(result, before)
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("script", [AFTER_FORK, MULTIPROCESSING], ids=["fork", "multiprocessing"])
def test_after_a_fork(run_python, script):
    completed = run_python(script)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == "done\n"


def test_threads_that_never_computed_before(rng):
    """A new thread has no state of OpenMP to begin with."""
    x = random_array(rng, (1, 16, 50, 50), np.float32)
    w = random_array(rng, (16, 16, 3, 3), np.float32)
    expected = fastconv.conv2d(x, w)
    results = []
    for _ in range(20):
        worker = threading.Thread(target=lambda: results.append(fastconv.conv2d(x, w, threads=2)))
        worker.start()
        worker.join()
    assert len(results) == 20
    for result in results:
        np.testing.assert_array_equal(result, expected)
