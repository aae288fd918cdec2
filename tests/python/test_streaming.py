"""`StreamingConv1d` against the offline call on the whole signal."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import fastconv
from fastconv import StreamingConv1d

Array = np.ndarray[Any, np.dtype[Any]]
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


def offline(x: Array, weight: Array, groups: int = 1, flip: bool = False) -> Array:
    """The call that a stream stands for, in float64."""
    padding = [(weight.shape[-1] - 1, 0)]
    if x.shape[1] == 0:
        return np.empty((len(weight), 0))
    return fastconv.conv1d(
        x.astype("d"),
        weight.astype("d"),
        padding=padding,
        groups=groups,
        flip=flip,
        precision="strict",
    )


def outputs(stream: StreamingConv1d, x: Array, lengths: Any) -> Array:
    """All outputs put together; the last piece is what is left."""
    parts = []
    taken = 0
    for length in [*lengths, x.shape[1]]:
        piece = x[:, taken : taken + length]
        ready = stream.ready(piece.shape[1])
        parts.append(stream.process(piece))
        assert parts[-1].shape[1] == ready
        assert stream.pending < stream.block
        taken += piece.shape[1]
    parts.append(stream.flush())
    return np.concatenate(parts, axis=1)


def assert_close(actual: Array, expected: Array) -> None:
    assert actual.shape == expected.shape
    largest = np.max(np.abs(expected), initial=1.0, where=np.isfinite(expected))
    tolerance = TOLERANCE[str(actual.dtype)] * largest
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("groups", "inputs", "outs"), [(1, 1, 1), (1, 3, 2), (2, 2, 3), (6, 1, 1), (3, 1, 2)]
)
@pytest.mark.parametrize(
    ("taps", "block"),
    [(1, 1), (1, 8), (5, 16), (16, 16), (17, 16), (64, 16), (101, 7), (40, None), (400, 8)],
)
def test_equals_the_offline_call(rng, taps, block, groups, inputs, outs, dtype):
    weight = rng.standard_normal((groups * outs, inputs, taps)).astype(dtype)
    stream = StreamingConv1d(weight, block, groups=groups)
    x = rng.standard_normal((groups * inputs, 9 * stream.block + 2 * taps + 5)).astype(dtype)
    lengths = [0, 1, 13, stream.block, 3 * stream.block + 1, 0, 2 * stream.block - 1]
    actual = outputs(stream, x, lengths)
    assert actual.dtype == dtype
    assert_close(actual, offline(x, weight, groups))


@hypothesis.given(st.data())
def test_random_streams(data):
    groups, inputs, outs = (data.draw(st.integers(1, 3)) for _ in range(3))
    taps, block = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 40))
    dtype, flip = data.draw(st.sampled_from(["float32", "float64"])), data.draw(st.booleans())
    lengths = data.draw(st.lists(st.integers(0, 4 * block), max_size=12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    weight = rng.standard_normal((groups * outs, inputs, taps)).astype(dtype)
    x = rng.standard_normal((groups * inputs, sum(lengths) + taps)).astype(dtype)
    stream = StreamingConv1d(weight, block, groups=groups, flip=flip)
    assert_close(outputs(stream, x, lengths), offline(x, weight, groups, flip))


def test_flip_is_a_fir_filter(rng):
    taps, x = rng.standard_normal(30), rng.standard_normal((1, 200))
    stream = StreamingConv1d(taps[None, None], 16, flip=True)
    assert_close(outputs(stream, x, []), np.convolve(x[0], taps)[None, :200])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cuts_and_threads_change_no_bit(rng, dtype):
    # Enough work to be shared.
    weight = rng.standard_normal((40, 40, 1000)).astype(dtype)
    x = rng.standard_normal((40, 1500)).astype(dtype)
    first = None
    for threads in (1, 2, 3):
        for piece in (1, 37, 64, 300, 1500):
            stream = StreamingConv1d(weight, 64, threads=threads)
            actual = outputs(stream, x, [piece] * (1500 // piece - 1))
            first = actual if first is None else first
            assert actual.tobytes() == first.tobytes()


def test_default_block_and_properties():
    for taps, block in [(1, 256), (8192, 256), (8193, 512), (65536, 2048), (10**6, 4096)]:
        stream = StreamingConv1d(np.ones((1, 1, taps), "f"))
        assert (stream.block, stream.latency, stream.taps) == (block, block - 1, taps)
        assert stream.workspace_bytes > 4 * 3 * taps
        assert f"{taps} taps, block {block}, float32" in repr(stream)


def test_dtype_converts_the_weight(rng):
    stream = StreamingConv1d([[[1.0, 2.0]]], 4, dtype="float32")
    assert stream.process(np.ones((1, 4), "f")).dtype == np.float32
    assert StreamingConv1d([[[1, 2]]], 4, dtype="float64").flush().dtype == np.float64


def test_weight_is_copied_and_may_have_any_strides(rng):
    weight = rng.standard_normal((3, 2, 40))
    view = weight.transpose(1, 0, 2)[::-1, :, ::-2]
    kept = view.copy()
    stream = StreamingConv1d(view, 8)
    weight[:] = np.nan
    x = rng.standard_normal((3, 50))
    assert_close(outputs(stream, x, [20]), offline(x, kept))


def test_samples_and_out_with_any_strides(rng):
    weight = rng.standard_normal((2, 3, 11))
    x = rng.standard_normal((40, 6))[::-1, ::-2].T
    stream = StreamingConv1d(weight, 8)
    memory = np.full((2 * 40, 4), 7.0)
    out = memory[::-2, 1::2].T
    assert stream.process(x, out=out) is out
    assert stream.flush().shape == (2, 0)
    assert_close(out, offline(x, weight))
    assert (memory[:, ::2] == 7).all()
    assert (memory[::2] == 7).all()
    repeated = np.broadcast_to(x[:, :1], (3, 24))
    assert_close(stream.process(repeated), offline(repeated, weight))


def test_flush_and_reset_begin_a_new_signal(rng):
    weight, x = rng.standard_normal((1, 1, 30)), rng.standard_normal((1, 100))
    stream = StreamingConv1d(weight, 16)
    expected = outputs(stream, x, [])
    assert stream.flush().shape == (1, 0)
    assert outputs(stream, x, [7]).tobytes() == expected.tobytes()
    stream.process(x)
    assert stream.pending == 4
    stream.reset()
    assert stream.pending == 0
    assert outputs(stream, x, [50]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_leaves_again(rng, dtype, value):
    weight = rng.standard_normal((2, 2, 37)).astype(dtype)
    weight[1, 0, 5] = 0
    x = rng.standard_normal((2, 300)).astype(dtype)
    x[0, 50], x[1, 150], x[1, 151] = value, value, -value
    actual = outputs(StreamingConv1d(weight, 16), x, [3, 40, 60])
    with np.errstate(invalid="ignore"):
        expected = offline(x, weight)
    holds = np.zeros(300, bool)
    for at in (50, 150, 151):
        holds[at : at + 37] = True
    assert np.isfinite(actual[:, ~holds]).all()
    assert not np.isfinite(actual[:, holds]).any()
    assert_close(actual, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(rng, value):
    weight, x = rng.standard_normal((3, 1, 20)), rng.standard_normal((3, 80))
    weight[1, 0, 4] = value
    actual = outputs(StreamingConv1d(weight, 8, groups=3), x, [30])
    assert_close(actual, offline(x, weight, 3))


def test_huge_numbers_leave_again(rng):
    """A sum of the transform overflows, the windows after it do not suffer."""
    weight, x = np.full((1, 1, 5), 0.5, "f"), np.ones((1, 200), "f")
    x[0, 60] = 3e38
    actual = outputs(StreamingConv1d(weight, 16), x, [])
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(actual[0, 100:], 2.5, rtol=1e-5)
    np.testing.assert_allclose(actual[0, 60:65], 1.5e38, rtol=1e-5)


def test_nothing_is_allocated_for_a_block(rng):
    stream = StreamingConv1d(rng.standard_normal((4, 1, 3000)), 64, groups=4)
    x, out = rng.standard_normal((4, 64)), np.empty((4, 64))
    stream.process(x, out)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            stream.process(x, out)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1024
    assert peak - before < 4096


def test_two_streams_in_two_threads(rng):
    weight, x = rng.standard_normal((2, 2, 700)), rng.standard_normal((2, 20000))
    expected = outputs(StreamingConv1d(weight, 128), x, [])
    results: dict[int, Array] = {}

    def run(index: int) -> None:
        stream = StreamingConv1d(weight, 128)
        results[index] = outputs(stream, x, [53] * 300)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results[index].tobytes() == expected.tobytes() for index in range(2))


def test_one_stream_in_two_threads_never_breaks(rng):
    """A call either runs alone or is refused, and both happen only as a whole."""
    stream = StreamingConv1d(rng.standard_normal((1, 1, 20000)), 64)
    x = rng.standard_normal((1, 64 * 50))
    given: list[int] = []
    refused: list[str] = []

    def run() -> None:
        for _ in range(50):
            try:
                given.append(stream.process(x).shape[1])
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given == [x.shape[1]] * len(given)
    assert len(given) + len(refused) == 100
    assert all("stream: it is in use by another thread" in message for message in refused)


BAD_STREAMS = [
    (np.ones(3), {}, ValueError, r"weight: got shape \(3,\)"),
    (np.ones((1, 0, 3)), {}, ValueError, "weight: got 1 output channels, 0 input"),
    (np.ones((0, 1, 3)), {}, ValueError, "weight: got 0"),
    (np.ones((1, 1, 0)), {}, ValueError, "weight: got .* 0 taps"),
    (None, {}, TypeError, "weight: got None"),
    (np.ones((1, 1, 3), "i8"), {}, fastconv.UnsupportedError, "dtype: got int64"),
    (np.ones((1, 1, 3), "F"), {}, fastconv.UnsupportedError, "dtype: got complex64"),
    (np.ones((1, 1, 3), "e"), {}, fastconv.UnsupportedError, "dtype: got float16"),
    (np.ones((1, 1, 3), "g"), {}, fastconv.UnsupportedError, "weight"),
    (np.ones((1, 1, 3), "D"), {"dtype": "d"}, TypeError, "dtype: got float64, which cannot hold"),
    (np.ones((1, 1, 3)), {"dtype": "word"}, TypeError, "dtype: got 'word'"),
    (np.ones((3, 1, 3)), {"groups": 2}, ValueError, "groups: got 2, needs a divisor"),
    (np.ones((3, 1, 3)), {"groups": 0}, ValueError, "groups: got 0"),
    (np.ones((3, 1, 3)), {"groups": 1.5}, TypeError, "groups"),
    (np.ones((1, 1, 3)), {"block": 0}, ValueError, "block: got 0"),
    (np.ones((1, 1, 3)), {"block": -4}, ValueError, "block: got -4"),
    (np.ones((1, 1, 3)), {"block": 2**40}, ValueError, "block: got"),
    (np.ones((1, 1, 3)), {"block": True}, TypeError, "block"),
    (np.ones((1, 1, 3)), {"flip": 1}, TypeError, "flip"),
    (np.ones((1, 1, 3)), {"threads": 0}, ValueError, "threads"),
]


@pytest.mark.parametrize(("weight", "options", "kind", "message"), BAD_STREAMS)
def test_bad_streams(weight, options, kind, message):
    with pytest.raises(kind, match=message):
        StreamingConv1d(weight, **options)


BAD_CALLS = [
    (np.ones((3, 9)), None, ValueError, r"samples: got shape \(3, 9\), needs \(2, n\)"),
    (np.ones(9), None, ValueError, "samples: got shape"),
    (np.ones((1, 2, 9)), None, ValueError, "samples: got shape"),
    (np.ones((2, 9), "f"), None, TypeError, "samples: got dtype float32, needs float64"),
    (np.ones((2, 9), "i"), None, TypeError, "samples: got dtype int32"),
    ("word", None, TypeError, "samples"),
    (np.ones((2, 9)), np.ones((1, 9)), ValueError, r"out: got shape \(1, 9\), needs \(1, 8\)"),
    (np.ones((2, 9)), np.ones((1, 8), "f"), TypeError, "out: got dtype float32"),
    (np.ones((2, 9)), [[0.0] * 8], TypeError, "out"),
    (np.ones((2, 9)), np.broadcast_to(0.0, (1, 8)), ValueError, "out: got a read-only"),
]


@pytest.mark.parametrize(("samples", "out", "kind", "message"), BAD_CALLS)
def test_bad_calls_change_nothing(samples, out, kind, message):
    stream = StreamingConv1d(np.ones((1, 2, 3)), 4)
    stream.process(np.ones((2, 3)))
    with pytest.raises(kind, match=message):
        stream.process(samples[:, :5] if out is not None else samples, out)
    assert stream.pending == 3
    np.testing.assert_allclose(stream.process(np.ones((2, 1))), [[2, 4, 6, 6]])


def test_out_must_not_overlap_samples():
    memory = np.ones((2, 8))
    with pytest.raises(ValueError, match="out: it overlaps samples"):
        StreamingConv1d(np.ones((2, 2, 3)), 4).process(memory, memory)


@pytest.mark.parametrize(
    ("count", "kind"), [(-1, ValueError), (2**63 - 1, ValueError), (1.5, TypeError)]
)
def test_bad_counts(count, kind):
    with pytest.raises(kind, match="samples"):
        StreamingConv1d(np.ones((1, 1, 3)), 4).ready(count)
