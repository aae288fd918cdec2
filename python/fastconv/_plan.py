"""Plans: a problem prepared once for many calls, and the choice of its algorithm explained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _core
from fastconv._arrays import as_array, shape_argument, spatial_rank
from fastconv._typing import (
    Activation,
    Array,
    ArrayLike,
    Padding,
    PaddingMode,
    PaddingValue,
    Precision,
    Shape,
    Sizes,
)

PASSES = ("forward", "backward_input", "backward_weight")


def algorithms() -> list[str]:
    """List the names that ``algorithm=`` accepts besides ``"auto"``, best first.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import fastconv
    >>> fastconv.algorithms()
    ['depthwise', 'direct', 'separable', 'winograd', 'fft', 'reference']
    """
    return _core.algorithm_names()


def _formatted_seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


class _Options:
    """The arguments of a plan that every pass and every algorithm shares."""

    def __init__(
        self, name: str, weight_shape: Shape, input_shape: Shape, dtype: Any, *shared: Any
    ) -> None:
        self.weight_shape = shape_argument(weight_shape, name)
        self.rank = spatial_rank(self.weight_shape, name)
        self.input_shape = shape_argument(input_shape, "input_shape")
        try:
            self.dtype = np.dtype(dtype)
        except TypeError as error:
            raise TypeError(f"dtype: got {dtype!r}, needs the name of a dtype: {error}") from None
        self.shared = shared
        self.weight: Array | None = None
        self.max_workspace: SupportsIndex | None = None

    def explain(
        self,
        pass_name: str,
        algorithm: str,
        precision: str,
        threads: Any,
        measure: bool,
        planned: _core.PlannedPass | None = None,
    ) -> str:
        """Write the table of one pass; the weights of a planned one may decide on its ways."""
        problem, multiply_adds, rows, description, workspace_bytes = _core.explain_pass(
            pass_name,
            self.rank,
            self.input_shape,
            self.weight_shape,
            self.dtype,
            *self.shared,
            algorithm,
            precision,
            threads,
        )
        if planned is not None:
            description = planned.description
        lines = [problem, f"{multiply_adds / 1e6:.4g} million multiply-adds"]
        for name, refusal, seconds, chosen in rows:
            mark = "->" if chosen else "  "
            if seconds is None:
                lines.append(f" {mark} {name:<12}refuses: {refusal}")
                continue
            line = f" {mark} {name:<12}estimated {_formatted_seconds(seconds):>9}"
            if measure:
                measured = _formatted_seconds(self._measure(pass_name, name, precision, threads))
                line += f"   measured {measured:>9}"
            lines.append(line)
        lines.append(f"{description}; workspace {workspace_bytes / 1024:.0f} KiB")
        return "\n".join(lines)

    def planned(
        self,
        pass_name: str,
        weight: Array | None,
        bias: ArrayLike | None,
        algorithm: str,
        precision: str,
        threads: Any,
    ) -> _core.PlannedPass:
        """Prepare one pass."""
        return _core.PlannedPass(
            pass_name,
            self.rank,
            weight,
            self.weight_shape,
            self.input_shape,
            self.dtype,
            bias,
            *self.shared,
            algorithm,
            precision,
            threads,
            self.max_workspace,
        )

    def _measure(self, pass_name: str, algorithm: str, precision: str, threads: Any) -> float:
        """Seconds of one call on zeros: the median of a few, fewer when they are slow.

        With the plan's weights, or ones if it has none: their rank may decide on the way.
        """
        weight = self.weight
        if weight is None:
            weight = np.ones([int(size) for size in self.weight_shape], self.dtype)
        x = np.zeros([int(size) for size in self.input_shape], self.dtype)
        forward = self.planned("forward", weight, None, "auto", precision, threads)
        planned = self.planned(pass_name, weight, None, algorithm, precision, threads)
        gradient = forward.forward(x, None).astype(self.dtype)
        seconds: list[float] = []
        while len(seconds) < 5 and sum(seconds) < 0.5:
            start = time.perf_counter()
            if pass_name == "forward":
                planned.forward(x, None)
            elif pass_name == "backward_input":
                planned.backward_input(gradient, None)
            else:
                planned.backward_weight(x, gradient, None)
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds))


class ConvPlan:
    """A convolution prepared for one input shape; made by `fastconv.plan`.

    Calling it computes the forward pass. It is immutable and may be used from several threads at
    once. Weights and bias are copied: later changes to the arrays do not reach the plan.

    Attributes
    ----------
    algorithm : str
        Name of the algorithm of the first pass.
    workspace_bytes : int
        Scratch memory of the most demanding pass and all packed weights.
    """

    def __init__(
        self,
        options: _Options,
        passes: dict[str, _core.PlannedPass],
        algorithms: dict[str, str],
        execution: tuple[str, Any],
    ) -> None:
        self._options = options
        self._passes = passes
        self._algorithms = algorithms
        self._execution = execution

    def __call__(self, x: ArrayLike, out: Array | None = None) -> Array:
        """Compute the forward pass.

        Parameters
        ----------
        x : array_like
            Of the shape and dtype that the plan was made for.
        out : ndarray, optional

        Returns
        -------
        ndarray
        """
        return self._planned("forward").forward(x, out)

    def backward_input(self, g: ArrayLike, out: Array | None = None) -> Array:
        """Compute the gradient of the input from that of the output.

        Parameters
        ----------
        g : array_like
            Of the shape of the output.
        out : ndarray, optional

        Returns
        -------
        ndarray, of the shape of the input
        """
        return self._planned("backward_input").backward_input(g, out)

    def backward_weight(self, x: ArrayLike, g: ArrayLike, out: Array | None = None) -> Array:
        """Compute the gradient of the weight from the input and the output's gradient.

        Parameters
        ----------
        x : array_like
            Of the shape of the input.
        g : array_like
            Of the shape of the output.
        out : ndarray, optional

        Returns
        -------
        ndarray, of the shape of the weight
        """
        return self._planned("backward_weight").backward_weight(x, g, out)

    @property
    def algorithm(self) -> str:
        """Name of the algorithm of the first pass."""
        return next(iter(self._passes.values())).algorithm

    @property
    def workspace_bytes(self) -> int:
        """Bytes of scratch memory of the most demanding pass, and of all packed weights."""
        passes = self._passes.values()
        scratch = max(planned.workspace_bytes for planned in passes)
        return scratch + sum(planned.packed_bytes for planned in passes)

    def explain(self, measure: bool = False) -> str:
        """Explain the choice of each pass; see `fastconv.explain`.

        Parameters
        ----------
        measure : bool, default False
            Also run every algorithm and print its time.

        Returns
        -------
        str
        """
        return "\n\n".join(
            self._options.explain(name, algorithm, *self._execution, measure, self._passes[name])
            for name, algorithm in self._algorithms.items()
        )

    def __repr__(self) -> str:
        problem = next(iter(self._passes.values())).problem
        return f"<ConvPlan {problem}: {self.algorithm}>"

    def _planned(self, name: str) -> _core.PlannedPass:
        try:
            return self._passes[name]
        except KeyError:
            raise ValueError(
                f"passes: this plan was made for {tuple(self._passes)}, needs {name!r} in passes="
            ) from None


def plan(
    weight_or_shape: ArrayLike | Shape,
    input_shape: Shape,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    bias: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    activation: Activation | None = None,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    passes: Sequence[str] = ("forward",),
    measure: bool = False,
    max_workspace: SupportsIndex | None = None,
) -> ConvPlan:
    """Prepare a convolution for many calls: choose its algorithm and arrange its weights once.

    Parameters
    ----------
    weight_or_shape : array_like, shape (K, C / groups, *kernel), or that shape
        With a shape alone the plan computes gradients of the weight only, which need no weights.
    input_shape : sequence of int
        Shape of the inputs, (N, C, *spatial) or (C, *spatial), in the order that `layout` says.
    bias : array_like, shape (K,), optional
    dtype : dtype, optional
        Of inputs and output gradients; the weight's by default, float32 for a shape.
    stride, padding, dilation, groups, layout, padding_mode, padding_value, flip, activation
        As in `conv2d`. The activation belongs to the forward pass.
    algorithm, precision, threads
        As in `conv2d`.
    passes : sequence of {"forward", "backward_input", "backward_weight"}
        What the plan will be asked for.
    measure : bool, default False
        Choose the algorithm by running each once rather than by the estimates.
    max_workspace : int, optional
        Bytes of scratch memory that a call keeps to, 256 MiB by default: transforms, which could
        use more, work in smaller blocks. One block of the smallest size is always allowed, and
        the weights that the plan arranges do not count.

    Returns
    -------
    ConvPlan

    Raises
    ------
    ValueError
        If shapes do not fit together, or an option has a value that is not allowed.
    TypeError
        If an array has no numbers, a size is not an integer, or dtypes differ.
    fastconv.UnsupportedError
        If no algorithm, or not the one asked for, takes the problem.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> blur = np.full((1, 1, 3, 3), 1 / 9, np.float32)
    >>> smooth = fastconv.plan(blur, (1, 1, 64, 64), padding="same")
    >>> smooth(np.ones((1, 1, 64, 64), np.float32)).shape
    (1, 1, 64, 64)
    """
    weight: Array | None = None
    if _is_shape(weight_or_shape):
        weight_shape: Any = weight_or_shape
        dtype = np.float32 if dtype is None else dtype
    else:
        weight = as_array(weight_or_shape, "weight_or_shape", copy=True)
        weight_shape = weight.shape
        dtype = weight.dtype if dtype is None else dtype
    shared = (
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        activation,
    )
    options = _Options("weight_or_shape", weight_shape, input_shape, dtype, *shared)
    options.max_workspace = max_workspace
    if weight is not None and weight.dtype != options.dtype:
        if not np.can_cast(weight.dtype, options.dtype):
            raise TypeError(
                f"dtype: got {options.dtype}, which cannot hold the weight's {weight.dtype}"
            )
        weight = weight.astype(options.dtype)
    options.weight = weight
    if bias is not None:
        bias = as_array(bias, "bias", copy=True)
    planned = {}
    chosen = {}
    for name in _checked_passes(passes):
        if weight is None and name != "backward_weight":
            raise ValueError(
                f"weight_or_shape: got a shape for passes {tuple(passes)}, needs the weight array "
                "for every pass but backward_weight"
            )
        best = algorithm
        if measure and algorithm == "auto":
            best = _fastest(options, name, precision, threads)
        planned[name] = options.planned(name, weight, bias, best, precision, threads)
        chosen[name] = best
    return ConvPlan(options, planned, chosen, (precision, threads))


def _checked_passes(passes: Sequence[str]) -> tuple[str, ...]:
    """Refuse anything but a sequence of names of passes."""
    names = tuple(passes) if isinstance(passes, (tuple, list)) else ()
    if not names or any(name not in PASSES for name in names):
        raise ValueError(f"passes: got {passes!r}, needs a sequence of {PASSES}")
    return names


def _is_shape(value: Any) -> bool:
    """A sequence of integers: a weight has at least three axes."""
    return isinstance(value, (tuple, list)) and all(hasattr(item, "__index__") for item in value)


def _fastest(options: _Options, pass_name: str, precision: str, threads: Any) -> str:
    measured = {}
    for name in algorithms():
        if name == "reference":
            continue
        try:
            measured[name] = options._measure(pass_name, name, precision, threads)
        except _core.UnsupportedError:
            continue
    return min(measured, key=lambda name: measured[name]) if measured else "auto"


def explain(
    input_shape: Shape,
    weight_shape: Shape,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: SupportsIndex = 1,
    *,
    dtype: DTypeLike = "float32",
    layout: str | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: PaddingValue = 0,
    flip: bool = False,
    activation: Activation | None = None,
    algorithm: str = "auto",
    precision: Precision = "default",
    threads: SupportsIndex | None = None,
    passes: Sequence[str] = ("forward",),
    measure: bool = False,
) -> str:
    """Explain which algorithm a convolution gets, and why.

    Parameters
    ----------
    input_shape, weight_shape : sequence of int
    dtype : dtype, default "float32"
    stride, padding, dilation, groups, layout, padding_mode, padding_value, flip, activation
        As in `conv2d`.
    algorithm, precision, threads
        As in `conv2d`.
    passes : sequence of {"forward", "backward_input", "backward_weight"}
    measure : bool, default False
        Also run every algorithm and print its time beside the estimate.

    Returns
    -------
    str
        For each pass a table: every algorithm with its estimated cost or why it refused, the
        chosen one marked, and how it goes about it.

    Raises
    ------
    ValueError
        If shapes do not fit together, or an option has a value that is not allowed.
    TypeError
        If a size is not an integer or the dtype is unknown.

    Examples
    --------
    >>> import fastconv
    >>> print(fastconv.explain((1, 64, 56, 56), (64, 64, 3, 3), padding=1))
    ... # doctest: +ELLIPSIS
    n1 c64 k64 ih56 iw56 kh3 kw3 oh56 ow56 ph1 pw1 forward float32
    115.6 million multiply-adds
        depthwise   refuses: groups of more or less than one input channel
        direct      estimated ...
     -> winograd    estimated ...
        reference   estimated ...
    """
    shared = (
        stride,
        padding,
        dilation,
        groups,
        layout,
        padding_mode,
        padding_value,
        flip,
        activation,
    )
    options = _Options("weight_shape", weight_shape, input_shape, dtype, *shared)
    return "\n\n".join(
        options.explain(name, algorithm, precision, threads, measure)
        for name in _checked_passes(passes)
    )
