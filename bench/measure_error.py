"""Measure the rounding errors of fastconv's algorithms and print them as Markdown.

The truth is the definition of each pass in NumPy, in the widest type of the C library
(``numpy.longdouble``: 80 bits on x86-64). The tables of docs/numerics.md are this output.

    python bench/measure_error.py
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastconv

Array = np.ndarray[Any, np.dtype[Any]]

_PASSES = ("forward", "backward_input", "backward_weight")
_CHANNELS = (64, 256, 1024, 4096)
_LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
_SEPARABLE_SIZES = (5, 7, 15, 31, 63)
_PAIRS_OF_SUBNORMAL_CALLS = 25


@dataclass(frozen=True)
class Layer:
    """A convolution with stride 1 and no padding.

    Parameters
    ----------
    name : str
    input_shape, weight_shape : tuple of int
    """

    name: str
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the forward pass's result."""
        spatial = zip(self.input_shape[2:], self.weight_shape[2:], strict=True)
        return (self.input_shape[0], self.weight_shape[0], *(n - k + 1 for n, k in spatial))


LAYERS = (
    Layer("3x3, 64 to 64 channels, 28x28", (1, 64, 28, 28), (64, 64, 3, 3)),
    Layer("3x3, 256 to 16 channels, 14x14", (2, 256, 14, 14), (16, 256, 3, 3)),
    Layer("15x15, one channel, 96x96", (1, 1, 96, 96), (1, 1, 15, 15)),
    Layer("1023 taps, 8192 samples", (1, 1, 8192), (1, 1, 1023)),
)

LARGE_KERNELS = (
    Layer("9x9, 64 to 4 channels, 40x40", (1, 64, 40, 40), (4, 64, 9, 9)),
    Layer("31x31, 4 to 2 channels, 80x80", (1, 4, 80, 80), (2, 4, 31, 31)),
    Layer("63x63, one channel, 160x160", (1, 1, 160, 160), (1, 1, 63, 63)),
    Layer("7x7x7, 4 to 2 channels, 24x24x24", (1, 4, 24, 24, 24), (2, 4, 7, 7, 7)),
    Layer("4095 taps, 20000 samples", (1, 1, 20000), (1, 1, 4095)),
)


def correlate(x: Array, w: Array) -> Array:
    """Correlate without padding, tap by tap, in the arrays' own dtype.

    Parameters
    ----------
    x : ndarray, shape (N, C, *spatial)
    w : ndarray, shape (K, C, *kernel)

    Returns
    -------
    ndarray, shape (N, K, *output)
    """
    spatial = zip(x.shape[2:], w.shape[2:], strict=True)
    sizes = tuple(n - k + 1 for n, k in spatial)
    result = np.zeros((w.shape[0], x.shape[0], *sizes), x.dtype)
    for tap in np.ndindex(w.shape[2:]):
        window: tuple[Any, ...] = (..., *(slice(a, a + n) for a, n in zip(tap, sizes, strict=True)))
        at_tap = (..., *tap)
        result += np.tensordot(w[at_tap], x[window], (1, 1))
    return np.swapaxes(result, 0, 1)


def definition(pass_name: str, x: Array, w: Array, g: Array, stride: int = 1) -> Array:
    """Write a pass as a plain correlation.

    Parameters
    ----------
    pass_name : {"forward", "backward_input", "backward_weight"}
    x, w, g : ndarray
        Input, weight and gradient of the output, in a type that is wide enough.
    stride : int, default 1
        Along both axes of an image; not for gradients of weights.

    Returns
    -------
    ndarray
        The result of the pass. Gradients are adjoints: the other factor is conjugated.
    """
    if pass_name == "forward":
        return correlate(x, w)[(..., *(slice(None, None, stride),) * (w.ndim - 2))]
    if stride > 1:
        sizes = (n - k + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True))
        spread = np.zeros((*g.shape[:2], *sizes), g.dtype)
        spread[..., ::stride, ::stride] = g
        g = spread
    if pass_name == "backward_weight":
        return np.swapaxes(correlate(np.swapaxes(x, 0, 1).conj(), np.swapaxes(g, 0, 1)), 0, 1)
    spatial = tuple(range(2, w.ndim))
    around = [(0, 0), (0, 0), *((k - 1, k - 1) for k in w.shape[2:])]
    mirrored = np.flip(np.swapaxes(w, 0, 1), spatial).conj()
    return correlate(np.pad(g, around), mirrored)


def computed(
    pass_name: str, x: Array, w: Array, g: Array, algorithm: str = "direct", stride: int = 1
) -> Array:
    """Compute a pass with an algorithm; the other arguments are those of `definition`."""
    name = f"conv{w.ndim - 2}d"
    options: dict[str, Any] = {"algorithm": algorithm, "stride": stride}
    result: Array
    if pass_name == "forward":
        result = getattr(fastconv, name)(x, w, **options)
    elif pass_name == "backward_input":
        result = getattr(fastconv.grad, f"{name}_input")(x.shape, w, g, **options)
    else:
        result = getattr(fastconv.grad, f"{name}_weight")(x, w.shape, g, **options)
    return result


def count_taps(pass_name: str, layer: Layer) -> int:
    """Count the products of the longest sum of a pass."""
    kernel = math.prod(layer.weight_shape[2:])
    if pass_name == "forward":
        return layer.weight_shape[1] * kernel
    if pass_name == "backward_input":
        return layer.weight_shape[0] * kernel
    return layer.output_shape[0] * math.prod(layer.output_shape[2:])


def error_of_sums(result: Array, truth: Array, magnitude: Array, taps: int) -> float:
    """Give the largest error in units of ``eps * sqrt(taps) * sum |w| |x|``.

    A half type is summed in float32 and rounded once; that one rounding is not counted.

    Parameters
    ----------
    result, truth, magnitude : ndarray
        What was computed, what is right, and the same sum over absolute values.
    taps : int

    Returns
    -------
    float
        The contract allows 16.
    """
    wide = np.asarray(result, truth.dtype)
    error = np.abs(wide - truth)
    roundoff = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(result.dtype.name)
    if roundoff is None:
        epsilon = float(np.finfo(result.dtype).eps)
    else:
        epsilon = float(np.finfo(np.float32).eps)
        error = np.maximum(0, error - roundoff * np.abs(wide))
    return float(np.max(error / (epsilon * math.sqrt(taps) * magnitude)))


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kind: str) -> Array:
    """Draw normal numbers, or uniform ones in [0, 1)."""
    draw = rng.standard_normal if kind == "normal" else rng.random
    values = draw(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * draw(shape)
    return values.astype(dtype)


def measure_sums(dtype: Any) -> dict[str, float]:
    """Find the largest error of each pass over all layers, in the unit of `error_of_sums`.

    Parameters
    ----------
    dtype : dtype

    Returns
    -------
    dict
    """
    rng = np.random.default_rng(1)
    wide = np.clongdouble if np.dtype(dtype).kind == "c" else np.longdouble
    worst = dict.fromkeys(_PASSES, 0.0)
    for layer in LAYERS:
        shapes = (layer.input_shape, layer.weight_shape, layer.output_shape)
        for kind in ("normal", "uniform"):
            arrays = [random_values(rng, shape, dtype, kind) for shape in shapes]
            exact = [array.astype(wide) for array in arrays]
            sizes = [np.abs(array) for array in exact]
            for pass_name in _PASSES:
                error = error_of_sums(
                    computed(pass_name, *arrays),
                    definition(pass_name, *exact),
                    definition(pass_name, *sizes),
                    count_taps(pass_name, layer),
                )
                worst[pass_name] = max(worst[pass_name], error)
    return worst


def measure_transforms(
    dtype: Any, channels: int, taps: int, stride: int, algorithm: str
) -> dict[str, float]:
    """Find the largest error of normal numbers as a part of the largest result.

    Parameters
    ----------
    dtype : dtype
    channels : int
        Of the tensor that is read, for either pass; that of the written one are 32.
    taps, stride : int
        Along both axes.
    algorithm : str
        One that transforms sums.

    Returns
    -------
    dict
    """
    rng = np.random.default_rng(2)
    worst = {}
    for pass_name in ("forward", "backward_input"):
        c, k = (channels, 32) if pass_name == "forward" else (32, channels)
        output = (30 - taps) // stride + 1
        shapes = ((1, c, 30, 30), (k, c, taps, taps), (1, k, output, output))
        arrays = [random_values(rng, shape, dtype, "normal") for shape in shapes]
        exact = [array.astype(np.longdouble) for array in arrays]
        truth = definition(pass_name, *exact, stride=stride)
        error = np.abs(computed(pass_name, *arrays, algorithm, stride=stride) - truth)
        worst[pass_name] = float(error.max() / np.abs(truth).max())
    return worst


def measure_large_kernels(layer: Layer, dtype: Any) -> dict[str, float]:
    """Find the largest error of "fft" on normal numbers as a part of the largest result.

    Parameters
    ----------
    layer : Layer
    dtype : dtype

    Returns
    -------
    dict
        For each pass.
    """
    rng = np.random.default_rng(3)
    shapes = (layer.input_shape, layer.weight_shape, layer.output_shape)
    arrays = [random_values(rng, shape, dtype, "normal") for shape in shapes]
    exact = [array.astype(np.longdouble) for array in arrays]
    worst = {}
    for pass_name in _PASSES:
        truth = definition(pass_name, *exact)
        error = np.abs(computed(pass_name, *arrays, "fft") - truth)
        worst[pass_name] = float(error.max() / np.abs(truth).max())
    return worst


def separable_kernel(name: str, size: int, dtype: Any) -> Array:
    """Make a kernel of rank 1, but for rounding.

    Parameters
    ----------
    name : {"gaussian", "gaussian, by distance", "box", "random"}
        The second is evaluated tap by tap in `dtype`, so that its factors have to be found.
    size : int
    dtype : dtype

    Returns
    -------
    ndarray, shape (size, size)
    """
    rng = np.random.default_rng(size)
    distance = np.arange(size) - (size - 1) / 2
    variance = (0.15 * size + 0.35) ** 2
    if name == "gaussian, by distance":
        squares = distance.astype(dtype) ** 2
        kernel = np.exp(-(squares[:, None] + squares) / np.dtype(dtype).type(2 * variance))
    else:
        column, row = {
            "gaussian": 2 * (np.exp(-(distance**2) / (2 * variance)),),
            "box": (np.ones(size), np.ones(size)),
            "random": (rng.standard_normal(size), rng.standard_normal(size)),
        }[name]
        kernel = np.outer(column, row)
    return np.asarray(kernel / np.abs(kernel).sum()).astype(dtype)


def measure_separable(name: str, size: int, dtype: Any, algorithm: str) -> float:
    """Find the largest error of `separable_kernel`, in the unit of `error_of_sums`."""
    rng = np.random.default_rng(4)
    w = separable_kernel(name, size, dtype)[None, None]
    worst = 0.0
    for kind in ("normal", "uniform"):
        x = random_values(rng, (1, 1, size + 60, size + 60), dtype, kind)
        wide, weight = x.astype(np.longdouble), w.astype(np.longdouble)
        result = computed("forward", x, w, x, algorithm)
        magnitude = correlate(np.abs(wide), np.abs(weight))
        worst = max(worst, error_of_sums(result, correlate(wide, weight), magnitude, w.size))
    return worst


def measure_equal_products(taps: int) -> tuple[float, float]:
    """Sum `taps` times the same product, where all roundings may go the same way.

    Parameters
    ----------
    taps : int

    Returns
    -------
    forward, backward_weight : float
        Relative errors in float32.
    """
    row = np.full((1, 1, taps), 0.1, np.float32)
    gradient = np.full((1, 64, taps), 0.1, np.float32)
    truth = taps * float(row[0, 0, 0]) ** 2
    forward = fastconv.conv1d(row, row, algorithm="direct")
    weight = fastconv.grad.conv1d_weight(row, (64, 1, 1), gradient, algorithm="direct")
    errors = [np.abs(result.astype(float) - truth) / truth for result in (forward, weight)]
    return float(errors[0].max()), float(errors[1].max())


def exact_activation(name: str, x: Array) -> Array:
    """Evaluate an activation in `numpy.longdouble`, "gelu" with the C library's erfc in float64."""
    if name == "gelu":
        complement = np.vectorize(math.erfc, otypes=[float])(-x.astype(float) / math.sqrt(2))
        doubled: Array = x * complement.astype(x.dtype)
        return doubled / 2
    functions: dict[str, Callable[[Array], Array]] = {
        "relu": lambda x: np.maximum(x, 0),
        "leaky_relu": lambda x: np.where(x < 0, x / 100, x),
        "relu6": lambda x: np.clip(x, 0, 6),
        "silu": lambda x: x / (1 + np.exp(-x)),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
    }
    return functions[name](x)


def measure_activation(name: str, dtype: Any) -> tuple[float, float]:
    """Compare an activation with the truth at many points of [-20, 20].

    Parameters
    ----------
    name : str
    dtype : dtype

    Returns
    -------
    ulps : float
        The largest error in units in the last place of the result.
    absolute : float
        The largest error in units of ``eps * max(1, |x|)``.
    """
    x = np.concatenate([np.linspace(-20, 20, 200_001), np.geomspace(1e-6, 1, 20_001)]).astype(dtype)
    options: dict[str, Any] = {"activation": name}
    result = fastconv.conv1d(x[None, None], np.ones((1, 1, 1), dtype), **options)[0, 0]
    truth = exact_activation(name, x.astype(np.longdouble))
    error = np.abs(result.astype(np.longdouble) - truth)
    spacing = np.spacing(np.abs(truth).astype(dtype)).astype(np.longdouble)
    epsilon = np.finfo(dtype).eps
    return float(np.max(error / spacing)), float(
        np.max(error / (epsilon * np.maximum(1, np.abs(x))))
    )


def measure_subnormals() -> tuple[bool, float]:
    """Convolve an image of subnormal float32 numbers, and a normal one beside it.

    Returns
    -------
    exact : bool
        Whether doubling every subnormal number gave exactly its double.
    slowdown : float
        Median time over that of normal numbers, on one thread, measured in turn.
    """
    normal = np.ones((1, 64, 56, 56), np.float32)
    tiny = np.full_like(normal, 1e-40)
    weight = np.ones((64, 64, 3, 3), np.float32)
    twice = fastconv.conv2d(tiny[:, :1], np.full((1, 1, 1, 1), 2, np.float32))
    seconds: dict[str, list[float]] = {"normal": [], "tiny": []}
    for _ in range(_PAIRS_OF_SUBNORMAL_CALLS):
        for name, image in (("normal", normal), ("tiny", tiny)):
            start = time.perf_counter()
            fastconv.conv2d(image, weight, padding=1, threads=1)
            seconds[name].append(time.perf_counter() - start)
    exact = bool(np.array_equal(twice, 2 * tiny[:, :1]))
    return exact, statistics.median(seconds["tiny"]) / statistics.median(seconds["normal"])


def _dtypes() -> list[Any]:
    names: list[Any] = ["float32", "float64", "complex64", "complex128", "float16"]
    try:
        import ml_dtypes
    except ImportError:
        return names
    return [*names, ml_dtypes.bfloat16]


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|---|" + "--:|" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main() -> None:
    """Print all tables."""
    print(f"fastconv {fastconv.__version__}, {fastconv.cpu_info()['isa']}\n")
    print("Largest error of a sum, in units of eps * sqrt(taps) * sum |w| |x| (allowed: 16)\n")
    sums = []
    for dtype in _dtypes():
        worst = measure_sums(dtype)
        sums.append([np.dtype(dtype).name, *(f"{worst[name]:.2g}" for name in _PASSES)])
    _print_table(["dtype", *_PASSES], sums)

    print("Largest error of winograd as a part of the largest result, normal numbers\n")
    transforms = []
    layers = [(channels, 3, 1) for channels in _CHANNELS]
    for channels, taps, stride in [*layers, (1024, 3, 2), (1024, 4, 2)]:
        figures = []
        for dtype in (np.float32, np.float64):
            worst = measure_transforms(dtype, channels, taps, stride, "winograd")
            figures += [f"{worst[name]:.1e}" for name in ("forward", "backward_input")]
        kernel = f"{taps}x{taps}" + (f" stride {stride}" if stride > 1 else "")
        transforms.append([kernel, f"{channels:,}", *figures])
    header = [f"{dtype}, {name}" for dtype in ("float32", "float64") for name in _PASSES[:2]]
    _print_table(["kernel", "channels", *header], transforms)

    print("Largest error of kernels of rank 1, in the first table's units: in two passes, in one\n")
    names = ("gaussian", "gaussian, by distance", "box", "random")
    separable = []
    for dtype in ("float32", "float64"):
        for size in _SEPARABLE_SIZES:
            pairs = (
                [f"{measure_separable(name, size, dtype, a):.2g}" for a in ("separable", "direct")]
                for name in names
            )
            separable.append([dtype, f"{size}x{size}", *(", ".join(pair) for pair in pairs)])
    _print_table(["dtype", "kernel", *names], separable)

    print("Largest error of fft as a part of the largest result, normal numbers\n")
    large = []
    for layer in LARGE_KERNELS:
        figures = []
        for dtype in (np.float32, np.float64):
            errors = measure_large_kernels(layer, dtype)
            figures += [f"{errors[name]:.1e}" for name in _PASSES]
        large.append([layer.name, *figures])
    header = [f"{dtype}, {name}" for dtype in ("float32", "float64") for name in _PASSES]
    _print_table(["layer", *header], large)

    print("The same product added up again and again, float32: relative error\n")
    equal = []
    for taps in _LENGTHS:
        bound = 16 * float(np.finfo(np.float32).eps) * math.sqrt(taps)
        equal.append([f"{taps:,}", *(f"{e:.1e}" for e in (*measure_equal_products(taps), bound))])
    _print_table(["taps", "forward", "backward_weight", "16 eps sqrt(taps)"], equal)

    print("Largest error of an activation on [-20, 20]\n")
    activations = []
    for name in ("relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "gelu"):
        figures = []
        for dtype in ("float32", "float64"):
            ulps, absolute = measure_activation(name, dtype)
            # The left tail of gelu is tiny, and so precise in absolute terms alone.
            figures += ["" if name == "gelu" else f"{ulps:.2g}", f"{absolute:.2g}"]
        activations.append([name, *figures])
    units = ("ulp", "eps max(1, \\|x\\|)")
    header = [f"{dtype}, {unit}" for dtype in ("float32", "float64") for unit in units]
    _print_table(["activation", *header], activations)

    exact, slowdown = measure_subnormals()
    print(
        f"Subnormal float32 input: {'exact' if exact else 'flushed'}, {slowdown:.2f} times the"
        " time of normal input"
    )


if __name__ == "__main__":
    main()
