"""Compare fastconv's transform engine with pocketfft (NumPy, SciPy) and MKL (torch).

Batched transforms of one and of two axes on one thread, bound to one CPU before anything is
imported. Figures are ratios of medians that were sampled in turn (A B C A B C) in one process.
Every peer's result is compared with fastconv's first. All calls allocate their results. A peer that
is not installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from progress import row_progress

_EXAMPLES = """\
examples:
  python bench/compare_transforms.py                        lines of 16 to 4096, planes to 64 x 64
  python bench/compare_transforms.py --dtypes float64 --kinds fft ifft
  python bench/compare_transforms.py --lines 1000 1155 10000 --planes --seconds 1
  python bench/compare_transforms.py --points 1048576       batches that no cache holds
"""
_KINDS = ("rfft", "irfft", "fft", "ifft")
_PEERS = ("numpy", "scipy", "torch")
_BUILD_FOLDER = Path(__file__).resolve().parent.parent / "build"


@dataclass
class TransformRow:
    """One transform in one precision, and what every contender took for it.

    Parameters
    ----------
    kind : str
        ``rfft``, ``irfft``, ``fft`` or ``ifft``.
    sizes : tuple of int
        Lengths of the transformed axes.
    dtype : str
        Of the real numbers, or of the parts of complex ones.
    batch : int
    seconds : dict of str to float
        Of a call, by contender; fastconv's under its own name.
    failures : dict of str to str
    """

    kind: str
    sizes: tuple[int, ...]
    dtype: str
    batch: int
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    threads: int = 1

    @property
    def pass_name(self) -> str:
        """The panel of the picture that the row belongs to."""
        return f"{self.kind}, {self.dtype}"

    @property
    def title(self) -> str:
        """Sizes, as in 64 x 64."""
        return " x ".join(map(str, self.sizes))

    def ratio_to(self, peer: str) -> float:
        """The peer's time over fastconv's."""
        if peer not in self.seconds or "fastconv" not in self.seconds:
            return math.nan
        return self.seconds[peer] / self.seconds["fastconv"]

    def ratio(self, same_layout: bool) -> float:
        """The fastest peer's time over fastconv's; there is one layout."""
        ratios = [self.ratio_to(peer) for peer in _PEERS if peer in self.seconds]
        return math.nan if same_layout or not ratios else min(ratios)

    @property
    def gflops(self) -> float:
        """The usual count: 5 n log2 n operations, half of it for real numbers."""
        points = math.prod(self.sizes)
        operations = (2.5 if "r" in self.kind else 5) * points * math.log2(points)
        return self.batch * operations / self.seconds.get("fastconv", math.nan) / 1e9


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; the process's own by default.

    Returns
    -------
    int
        The exit status: 1 if a peer disagrees.
    """
    options = _parser().parse_args(arguments)
    _bind_to_one_cpu()
    from report import write_picture
    from roofline import measure_limits

    calls = _calls()
    sizes = [(length,) for length in options.lines] + [(side, side) for side in options.planes]
    rows = [
        TransformRow(kind, size, dtype, max(1, options.points // math.prod(size)))
        for dtype in options.dtypes
        for kind in options.kinds
        for size in sizes
    ]
    machine = {
        "limits": str(measure_limits(1, options.limits)),
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    with row_progress(len(rows)) as (show, advance):
        show(f"limits of one thread: {machine['limits']}")
        for row in rows:
            _measure(row, calls, options.seconds)
            show(_line(row))
            advance()
    options.output.mkdir(parents=True, exist_ok=True)
    records = [asdict(row) | {"gflops": row.gflops} for row in rows]
    document = json.dumps({"machine": machine, "rows": records}, indent=1)
    (options.output / "transforms.json").write_text(document + "\n", encoding="utf-8")
    _write_markdown(options.output / "transforms.md", rows, machine)
    try:
        caption = "bar: fastest peer    right of 1: fastconv ahead"
        write_picture(options.output / "transforms.png", rows, caption)
    except ImportError as error:
        print(f"no picture: {error}")
    print("\n".join(_summary(rows)))
    print(f"written to {options.output}")
    return int(any(row.failures for row in rows))


def _bind_to_one_cpu() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"


def _calls() -> dict[str, Callable[[TransformRow, Any], Callable[[], Any]]]:
    """For each library that is here, a function that makes the call of a row."""
    import numpy as np

    from fastconv import _core

    def fastconv_call(row: TransformRow, array: Any) -> Callable[[], Any]:
        axes, length = len(row.sizes), row.sizes[-1]
        return lambda: _core.fourier_transform(array, row.kind, axes, length, 1)

    def call_of(module: Any, convert: Callable[[Any], Any], **more: Any) -> Any:
        def make(row: TransformRow, array: Any) -> Callable[[], Any]:
            converted = convert(array)
            function = getattr(module, row.kind + ("2" if len(row.sizes) == 2 else ""))
            return lambda: function(converted, **more)

        return make

    calls = {"fastconv": fastconv_call, "numpy": call_of(np.fft, lambda array: array)}
    with contextlib.suppress(ImportError):
        import scipy.fft

        calls["scipy"] = call_of(scipy.fft, lambda array: array, workers=1)
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        calls["torch"] = call_of(torch.fft, torch.from_numpy)
    return calls


def _measure(row: TransformRow, calls: dict[str, Any], seconds: float) -> None:
    import numpy as np

    from interleaved import Contender, measure

    rng = np.random.default_rng(0)
    real = rng.standard_normal((row.batch, *row.sizes)).astype(row.dtype)
    complex_type = "complex64" if row.dtype == "float32" else "complex128"
    array = real
    if row.kind == "irfft":
        array = np.fft.rfftn(real, axes=range(1, real.ndim)).astype(complex_type)
    elif row.kind != "rfft":
        array = (real + 1j * rng.standard_normal(real.shape)).astype(complex_type)
    contenders = [Contender(name, make(row, array)) for name, make in calls.items()]
    results = {one.name: np.asarray(one.call_first(math.inf)) for one in contenders}
    size = np.linalg.norm(results["fastconv"])
    for name, result in results.items():
        difference = np.linalg.norm(result - results["fastconv"]) / size
        if not difference <= 100 * np.finfo(row.dtype).eps:
            row.failures[name] = f"disagrees by {difference:.1e}"
    measure([one for one in contenders if one.name not in row.failures], seconds)
    row.seconds = {one.name: one.seconds for one in contenders if one.samples}


def _line(row: TransformRow) -> str:
    own = row.seconds.get("fastconv", math.nan) / row.batch
    ratios = "".join(
        f"  {name} {row.failures.get(name) or f'{row.ratio_to(name):.2f}':>5}"
        for name in _PEERS
        if name in row.seconds or name in row.failures
    )
    return (
        f"{row.pass_name:15} {row.title:>9}  {own * 1e9:9.1f} ns {row.gflops:6.1f} GFLOP/s{ratios}"
    )


def _summary(rows: Sequence[TransformRow]) -> list[str]:
    lines = []
    for peer in _PEERS:
        ratios = [row.ratio_to(peer) for row in rows if peer in row.seconds]
        if ratios:
            lines.append(
                f"{peer}'s time over fastconv's: {min(ratios):.2f} to {max(ratios):.2f}, "
                f"geometric mean {statistics.geometric_mean(ratios):.2f}"
            )
    lines += [f"FAILED {row.pass_name} {row.title}: {row.failures}" for row in rows if row.failures]
    return lines


def _write_markdown(path: Path, rows: Sequence[TransformRow], machine: dict[str, str]) -> None:
    lines = ["# fastconv's transforms beside their peers", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in machine.items()]
    lines += [
        "",
        "Nanoseconds for one transform of a batch on one thread, medians of interleaved samples;",
        "under each peer its time over fastconv's. Rates count 5 n log2 n operations, half of it",
        "for real numbers.",
        "",
        "| transform | size | batch | fastconv, ns | GFLOP/s | " + " | ".join(_PEERS) + " |",
        "|---|" + "--:|" * (4 + len(_PEERS)),
    ]
    for row in rows:
        own = row.seconds.get("fastconv", math.nan) / row.batch * 1e9
        cells = [row.pass_name, row.title, str(row.batch), f"{own:.1f}", f"{row.gflops:.1f}"]
        for name in _PEERS:
            cells.append("" if name not in row.seconds else f"{row.ratio_to(name):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"* {line}" for line in _summary(rows)), ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    powers = [2**k for k in range(4, 13)]
    add("--lines", nargs="*", type=int, default=powers, metavar="N", help="lengths, one axis")
    add("--planes", nargs="*", type=int, default=[16, 32, 64], metavar="N", help="sides, two axes")
    add("--kinds", nargs="+", choices=_KINDS, default=["rfft", "irfft", "fft"], metavar="KIND")
    add("--dtypes", nargs="+", choices=["float32", "float64"], default=["float32"])
    add("--points", type=int, default=65536, metavar="N", help="points of a batch (65536)")
    add("--seconds", type=float, default=0.5, metavar="S", help="sampling time of a row (0.5)")
    add(
        "--limits",
        type=Path,
        default=next(_BUILD_FOLDER.glob("*/bench/*machine_limits"), None),
        metavar="PATH",
        help="the compiled machine_limits (a build's, if any, else NumPy's BLAS stands in for it)",
    )
    add("--output", type=Path, default=Path("build/comparison"), metavar="FOLDER")
    return parser


if __name__ == "__main__":
    sys.exit(main())
