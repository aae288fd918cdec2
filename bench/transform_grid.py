"""Who wins where: direct convolution or transforms, and whether ``algorithm="auto"`` knows it.

Over a grid of kernel sizes, channels and images, and one of taps, channels and lengths of signals,
the algorithms "direct" and "fft" and the choice of "auto" are timed in turn (A B C A B C, medians)
on one thread, forward. A choice counts as good if it takes at most 15% longer than the better of
the two. What would take too long is left to the other one without timing.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastconv
from fastconv_calls import plain_call, planned_call
from interleaved import Contender, measure
from peers import Operands
from problem_lines import Problem
from progress import row_progress

_EXAMPLES = """\
examples:
  taskset -c 0 python bench/transform_grid.py --output grid.json --picture docs/transform-grid.png
  python bench/transform_grid.py --kernels 5 9 31 --channels 16 --images 64 128 --lengths
  python bench/transform_grid.py --read grid.json --picture docs/transform-grid.png
"""
_TOLERANCE = 1.15
_KERNELS = (1, 2, 3, 4, 5, 7, 9, 11, 15, 21, 31, 47, 63)
_CHANNELS = (1, 4, 16, 64, 256)
_IMAGES = (16, 32, 64, 128, 256, 512)
_TAPS = (3, 15, 63, 255, 1023, 4095, 16383)
_SIGNAL_CHANNELS = (1, 16, 64)
_LENGTHS = (256, 1024, 4096, 16384, 65536, 262144, 1048576)


@dataclasses.dataclass(frozen=True)
class Point:
    """One problem of the grid and what each algorithm took; infinite where it was not timed.

    Parameters
    ----------
    rank, channels, size, kernel : int
        As many input as output channels; the image is square.
    chosen : str
        By "auto".
    auto, direct, fft : float
        Seconds.
    """

    rank: int
    channels: int
    size: int
    kernel: int
    chosen: str
    auto: float
    direct: float
    fft: float

    @property
    def loss(self) -> float:
        """Time of the choice over that of the better algorithm."""
        return self.auto / min(self.direct, self.fft)

    @property
    def line(self) -> str:
        """One line of output."""
        size = "x".join([str(self.size)] * self.rank)
        times = "  ".join(f"{n} {getattr(self, n) * 1e3:.4g} ms" for n in ("auto", "direct", "fft"))
        mark = "" if self.loss <= _TOLERANCE else f"  <- {self.loss:.2f} times the better"
        return f"{self.channels:4d} ch {size:>9}, {self.kernel:5d} {self.chosen:10s} {times}{mark}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Time the grid, print the share of good choices and every miss, draw the picture."""
    options = _parser().parse_args(arguments)
    if options.read:
        points = [Point(**entry) for entry in json.loads(options.read.read_text())]
    else:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        fastconv.set_num_threads(1)
        problems = list(_problems(options))
        points = []
        with row_progress(len(problems)) as (_, advance):
            for problem in problems:
                point = _timed(problem, options.cap, options.seconds)
                if point is not None:
                    points.append(point)
                advance()
    for point in points:
        if options.verbose or point.loss > _TOLERANCE:
            print(point.line)
    for rank in sorted({point.rank for point in points}):
        of_rank = [point for point in points if point.rank == rank]
        good = sum(point.loss <= _TOLERANCE for point in of_rank)
        share = 100 * good / len(of_rank)
        print(f"{rank}-D: within 15% of the better: {good} of {len(of_rank)} ({share:.1f}%)")
    if options.output:
        options.output.write_text(json.dumps([dataclasses.asdict(point) for point in points]))
    if options.picture:
        draw(points, options.picture)
    return 0


def _problems(options: argparse.Namespace) -> Iterator[Problem]:
    images = (
        (2, c, s, k)
        for c, s, k in itertools.product(options.channels, options.images, options.kernels)
    )
    signals = (
        (1, c, s, k)
        for c, s, k in itertools.product(options.signal_channels, options.lengths, options.taps)
    )
    for rank, channels, size, kernel in itertools.chain(images, signals):
        if kernel > size:
            continue
        yield Problem(
            title=f"{channels} channels, {size}, {kernel} taps",
            batch=1,
            groups=1,
            input_channels=channels,
            output_channels=channels,
            input_size=(size,) * rank,
            kernel_size=(kernel,) * rank,
            stride=(1,) * rank,
            padding=((kernel - 1) // 2,) * rank,
            dilation=(1,) * rank,
        )


def _timed(problem: Problem, cap: float, seconds: float) -> Point | None:
    """Time one problem, or return None if even the better algorithm would take too long."""
    estimates = _estimates(problem)
    if min(estimates.values()) > cap:
        return None
    rng = np.random.default_rng(0)
    shapes = (problem.input_shape, problem.weight_shape, problem.output_shape)
    operands = Operands(*(rng.standard_normal(shape).astype(np.float32) for shape in shapes))
    contenders = {
        name: Contender(name, plain_call(problem, "forward", operands, name))
        for name in ("auto", "direct", "fft")
        if name == "auto" or estimates.get(name, math.inf) <= 4 * cap
    }
    for contender in contenders.values():
        contender.call_first(cap=math.inf)
    measure(list(contenders.values()), seconds)
    _, plan = planned_call(problem, "forward", operands)
    times = {
        name: contenders[name].seconds if name in contenders else math.inf
        for name in ("auto", "direct", "fft")
    }
    return Point(
        rank=problem.rank,
        channels=problem.input_channels,
        size=problem.input_size[0],
        kernel=problem.kernel_size[0],
        chosen=plan.algorithm,
        **times,
    )


def _estimates(problem: Problem) -> dict[str, float]:
    """Seconds by estimate, of those algorithms that take the problem."""
    return fastconv._core.estimate_convolution(
        problem.rank,
        problem.input_shape,
        problem.weight_shape,
        np.dtype(problem.dtype),
        problem.padding,
        problem.groups,
    )


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw the ratio of both algorithms' times, a panel for each number of channels.

    Parameters
    ----------
    points : sequence of Point
    path : Path
        Of the picture, such as a PNG file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = sorted({(-point.rank, point.channels) for point in points})
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.4 * columns, 3.3 * rows), squeeze=False, layout="constrained"
    )
    image: Any = None
    for (negative_rank, channels), panel in zip(panels, axes.flat, strict=False):
        inside = [p for p in points if p.rank == -negative_rank and p.channels == channels]
        image = _draw_panel(panel, inside)
        kind = "images" if negative_rank == -2 else "signals"
        panel.set_title(f"{kind}, {channels} channel{'s' if channels > 1 else ''}", fontsize=10)
    for panel in list(axes.flat)[len(panels) :]:
        panel.axis("off")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=[-3, -2, -1, 0, 1, 2, 3])
    bar.ax.set_yticklabels(["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    bar.set_label("time of direct / time of fft")
    figure.suptitle("Who wins: red direct, blue fft; a cross where auto was over 15% slower")
    figure.savefig(path, dpi=100)


def _draw_panel(panel: Any, points: Sequence[Point]) -> Any:
    sizes = sorted({point.size for point in points})
    kernels = sorted({point.kernel for point in points})
    ratios = np.full((len(kernels), len(sizes)), np.nan)
    for point in points:
        at = kernels.index(point.kernel), sizes.index(point.size)
        with np.errstate(divide="ignore"):  # one that would take too long
            ratios[at] = np.clip(np.log2(point.direct / point.fft), -3, 3)
        if point.loss > _TOLERANCE:
            panel.plot(at[1], at[0], "kx")
    panel.set_xticks(range(len(sizes)), sizes, fontsize=7, rotation=45)
    panel.set_yticks(range(len(kernels)), kernels, fontsize=7)
    panel.set_xlabel("size", fontsize=8)
    panel.set_ylabel("kernel", fontsize=8)
    return panel.imshow(ratios, origin="lower", aspect="auto", cmap="RdBu", vmin=-3, vmax=3)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    lists = {
        "kernels": _KERNELS,
        "channels": _CHANNELS,
        "images": _IMAGES,
        "taps": _TAPS,
        "signal-channels": _SIGNAL_CHANNELS,
        "lengths": _LENGTHS,
    }
    for name, values in lists.items():
        parser.add_argument(f"--{name}", nargs="*", type=int, default=values)
    parser.add_argument("--seconds", type=float, default=0.1, help="for each point")
    parser.add_argument(
        "--cap", type=float, default=0.25, help="longest time of a point's better call"
    )
    parser.add_argument("--output", type=Path, help="a JSON file of all times")
    parser.add_argument(
        "--read", type=Path, help="draw and count from such a file instead of timing"
    )
    parser.add_argument("--picture", type=Path, help="a PNG file")
    parser.add_argument(
        "--verbose", action="store_true", help="print every point, not misses alone"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
