"""fastconv's time beside its own NumPy reference and whatever peers are installed.

Every figure is the median of repeats that are interleaved (A B C, A B C, ...), so that a busy
moment of the machine falls on all alike. All compute on one thread, except JAX and NumPy's matrix
product, which cannot be told. Peers are optional: each is imported when its turn comes, computes
the same result first, and is left out, with the reason, where it cannot.
"""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

import fastconv
import fastconv.reference

Array: TypeAlias = npt.NDArray[np.float32]
Call: TypeAlias = Callable[[], Array]

# A float32 sum of a few thousand products in another order.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class TimedProblem:
    """A convolution without padding to be timed.

    Attributes
    ----------
    title : str
        What it stands for.
    input : ndarray of float32, shape (N, C, height, width)
        The input, C-contiguous.
    weight : ndarray of float32, shape (K, C, kernel height, kernel width)
        The weight, C-contiguous.
    """

    title: str
    input: Array
    weight: Array


@dataclass
class Timing:
    """The times of one problem.

    Attributes
    ----------
    problem : TimedProblem
        What was computed.
    seconds : dict of str to float
        Median time of one call by implementation; fastconv first.
    left_out : dict of str to str
        Implementations that were not timed, and why.
    """

    problem: TimedProblem
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def ratio(self, implementation: str) -> float:
        """Time of an implementation divided by fastconv's."""
        return self.seconds[implementation] / self.seconds["fastconv"]


def _fastconv(problem: TimedProblem) -> Call:
    return lambda: fastconv.conv2d(problem.input, problem.weight, threads=1)


def _reference(problem: TimedProblem) -> Call:
    return lambda: fastconv.reference.conv(problem.input, problem.weight)


def _scipy(problem: TimedProblem) -> Call:
    signal = importlib.import_module("scipy.signal")

    def call() -> Array:
        return np.stack(
            [
                np.stack([signal.correlate(image, kernel, "valid")[0] for kernel in problem.weight])
                for image in problem.input
            ]
        )

    return call


def _torch(problem: TimedProblem) -> Call:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    images, weight = torch.from_numpy(problem.input), torch.from_numpy(problem.weight)

    def call() -> Array:
        with torch.no_grad():
            result: Array = torch.nn.functional.conv2d(images, weight).numpy()
        return result

    return call


def _opencv(problem: TimedProblem) -> Call:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    rows, columns = problem.weight.shape[2:]
    height, width = (
        size - kernel + 1
        for size, kernel in zip(problem.input.shape[2:], (rows, columns), strict=True)
    )

    def call() -> Array:
        result = np.zeros((len(problem.input), len(problem.weight), height, width), np.float32)
        for image, outputs in zip(problem.input, result, strict=True):
            for kernel, output in zip(problem.weight, outputs, strict=True):
                for plane, taps in zip(image, kernel, strict=True):
                    filtered = cv2.filter2D(plane, -1, taps, anchor=(0, 0))
                    output += filtered[:height, :width]
        return result

    return call


def _onnxruntime(problem: TimedProblem) -> Call:
    onnxruntime = importlib.import_module("onnxruntime")
    onnx = importlib.import_module("onnx")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [make.make_node("Conv", ["input", "weight"], ["output"])],
        "convolution",
        [make.make_tensor_value_info("input", kind, problem.input.shape)],
        [make.make_tensor_value_info("output", kind, [None] * 4)],
        [onnx.numpy_helper.from_array(problem.weight, "weight")],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def call() -> Array:
        result: Array = session.run(None, {"input": problem.input})[0]
        return result

    return call


def _jax(problem: TimedProblem) -> Call:
    jax = importlib.import_module("jax")
    cpu = jax.devices("cpu")[0]
    images, weight = jax.device_put(problem.input, cpu), jax.device_put(problem.weight, cpu)
    convolve = jax.jit(lambda x, w: jax.lax.conv(x, w, (1, 1), "VALID"))
    return lambda: np.asarray(convolve(images, weight))


_IMPLEMENTATIONS: dict[str, Callable[[TimedProblem], Call]] = {
    "fastconv": _fastconv,
    "fastconv.reference": _reference,
    "scipy": _scipy,
    "opencv": _opencv,
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "jax": _jax,
}


def timed_problems(photograph: Array) -> list[TimedProblem]:
    """Make the problems of the table.

    Parameters
    ----------
    photograph : ndarray of float32, shape (height, width, 3)
        The input of the problems that are about pictures.

    Returns
    -------
    list of TimedProblem
    """
    rng = np.random.default_rng(0)

    def noise(*shape: int) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    colors = np.ascontiguousarray(photograph.transpose(2, 0, 1)[None])
    grey = np.ascontiguousarray(colors.mean(axis=1, keepdims=True))
    return [
        TimedProblem("Edges: photograph, 3 to 11 channels, 5x5", colors, noise(11, 3, 5, 5)),
        TimedProblem(
            "Network layer: 64 to 64 channels, 3x3", noise(1, 64, 58, 58), noise(64, 64, 3, 3)
        ),
        TimedProblem("Template: grey photograph, 1 channel, 31x31", grey, noise(1, 1, 31, 31)),
    ]


def _agrees(result: Array, expected: Array) -> bool:
    if result.shape != expected.shape:
        return False
    return bool(np.abs(result - expected).max() <= _TOLERANCE * np.abs(expected).max())


def time_problem(
    problem: TimedProblem,
    *,
    repeats: int = 15,
    budget: float = 0.6,
    implementations: Sequence[str] | None = None,
) -> Timing:
    """Time one problem in every implementation that is installed.

    Parameters
    ----------
    problem : TimedProblem
        What to compute.
    repeats : int, optional
        Rounds in which each implementation is called once.
    budget : float, optional
        Seconds after which a slow implementation sits out the remaining rounds; it has been
        called at least once.
    implementations : sequence of str, optional
        Their names; all when None.

    Returns
    -------
    Timing
    """
    timing = Timing(problem)
    calls: dict[str, Call] = {}
    samples: dict[str, list[float]] = {}
    expected = _fastconv(problem)()
    for name in implementations or _IMPLEMENTATIONS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call = _IMPLEMENTATIONS[name](problem)
                result = call()
        except ModuleNotFoundError as error:
            timing.left_out[name] = f"no module {error.name}"
        # A peer may be broken in ways that are not ours to know, and is not what is shown here.
        except Exception as error:
            timing.left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            if _agrees(result, expected):
                calls[name], samples[name] = call, []
            else:
                timing.left_out[name] = "its result differs from fastconv's"

    for _ in range(repeats):
        for name, call in calls.items():
            if sum(samples[name]) < budget:
                start = time.perf_counter()
                call()
                samples[name].append(time.perf_counter() - start)
    timing.seconds = {name: statistics.median(times) for name, times in samples.items()}
    return timing
