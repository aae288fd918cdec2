"""Compare fastconv with torch, onnxruntime, JAX, OpenCV and SciPy on the same problems.

Figures are ratios of medians that were sampled in turn (A B C B A C) in one process. For one
thread that process binds itself to one CPU before it imports anything, for N threads to N CPUs;
``OMP_NUM_THREADS`` and its relatives are set to match, and every library is told as well. Every
peer's result is compared with fastconv's first. A peer that is not installed is left out.

The plain call (``fastconv.conv2d`` and so on) is what the ratios are about; a plan is timed beside
it. onnxruntime holds the weight as a constant and JAX is compiled beforehand: their preparation
is not in the times, as results.json shows.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peer_rows import Options, Row, Task, empty_row, measure_tasks
from peers import ADAPTERS
from problem_lines import PASSES, select_problems
from progress import row_progress
from report import row_line, summary_lines, write_json, write_markdown, write_picture

_EXAMPLES = """\
examples:
  python bench/compare_peers.py                              the performance table, all passes
  python bench/compare_peers.py --passes forward --threads 1
  python bench/compare_peers.py --rows networks.txt --filter depthwise --seconds 1
  python bench/compare_peers.py --rows pains.txt --peers torch scipy --output build/pains
  python bench/compare_peers.py --smoke                      tiny problems: does it all work?
"""
_BUILD_FOLDER = Path(__file__).resolve().parent.parent / "build"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",
)
_PACKAGES = ("fastconv", "numpy", "torch", "onnxruntime", "jax", "opencv-python-headless", "scipy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; the process's own by default.

    Returns
    -------
    int
        The exit status: 1 if a row is wrong or could not be computed.
    """
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("fastconv") is None:
        sys.exit("fastconv is not installed here; 'pip install .' installs it")
    if options.limits and not options.limits.is_file():
        sys.exit(f"--limits {options.limits}: no such file; build the preset 'bench' first")
    if options.smoke:
        options.rows, options.seconds, options.threads = ["smoke.txt"], 0.02, [1]
    problems = select_problems(options.rows, options.filter)
    available = _available_cpus()
    for threads in options.threads:
        if not 1 <= threads <= available:
            sys.exit(f"--threads {threads}: this process may use 1 to {available} CPUs")
    tasks = [
        Task(problem, pass_name, threads)
        for threads in options.threads
        for pass_name in options.passes
        for problem in problems
        if pass_name in problem.passes
    ]
    if not tasks:
        sys.exit(f"no row of {', '.join(map(str, options.rows))} contains {options.filter!r}")
    measuring = Options(options.seconds, options.cap, tuple(options.peers), options.limits)
    rows: list[Row] = []
    machine = _machine()
    with row_progress(len(tasks)) as (show, advance):
        if os.getloadavg()[0] > available / 2:
            show(f"the machine is busy ({machine['load']}): expect figures that mean little")
        try:
            for item in _measure_in_processes(tasks, measuring):
                if isinstance(item, Row):
                    rows.append(item)
                    show(row_line(item))
                    advance()
                else:
                    threads, limits, missing = item
                    label = f"limits, threads={threads}"
                    machine[label] = str(limits)
                    show(f"{label}: {limits}")
                    for name, reason in missing.items():
                        show(f"without {name}: {reason}")
        except KeyboardInterrupt:
            show("interrupted; writing what was measured")
    options.output.mkdir(parents=True, exist_ok=True)
    write_json(options.output / "results.json", rows, machine)
    write_markdown(options.output / "results.md", rows, machine)
    try:
        write_picture(options.output / "results.png", rows)
    except ImportError as error:
        print(f"no picture: {error}")
    print("\n".join(summary_lines(rows)))
    print(f"written to {options.output}")
    return int(len(rows) < len(tasks) or any(row.failure for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rows", nargs="+", metavar="FILE", default=["peers.txt"], help="files of problems")
    add("--filter", default="", metavar="SUBSTRING", help="only rows whose title contains it")
    add("--passes", nargs="+", choices=PASSES, default=list(PASSES), metavar="PASS")
    add(
        "--threads",
        nargs="+",
        type=int,
        default=sorted({1, _available_cpus()}),
        metavar="N",
        help="numbers of threads (1 and all)",
    )
    add("--seconds", type=float, default=2.0, metavar="S", help="sampling time of a row (2)")
    add("--cap", type=float, default=2.0, metavar="S", help="slower calls are timed once (2)")
    add("--peers", nargs="*", choices=ADAPTERS, default=list(ADAPTERS), metavar="PEER")
    add(
        "--limits",
        type=Path,
        default=next(_BUILD_FOLDER.glob("*/bench/*machine_limits"), None),
        metavar="PATH",
        help="the compiled machine_limits (a build's, if any, else NumPy's BLAS stands in for it)",
    )
    add("--output", type=Path, default=Path("build/comparison"), metavar="FOLDER")
    add("--smoke", action="store_true", help="smoke.txt, one thread, hardly any time")
    return parser


def _measure_in_processes(tasks: Sequence[Task], options: Options) -> Iterator[Any]:
    """Start a process for each number of threads, and another where one dies.

    Thread pools take their size when a library is imported, so that one process cannot serve
    two. Yields rows, and before them (threads, limits, missing peers).
    """
    context = multiprocessing.get_context("spawn")
    position = 0
    while position < len(tasks):
        threads = tasks[position].threads
        batch = [task for task in tasks[position:] if task.threads == threads]
        _set_thread_variables(threads)
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=measure_tasks, args=(sender, batch, options), daemon=True)
        process.start()
        sender.close()
        try:
            limits, missing = receiver.recv()
        except EOFError:
            sys.exit("the measuring process ended before its first row; its error is above")
        yield threads, limits, missing
        try:
            for _ in batch:
                yield receiver.recv()
                position += 1
        except EOFError:
            process.join()
            row = empty_row(tasks[position])
            row.failure = f"the process ended with exit code {process.exitcode}"
            yield row
            position += 1
        process.join()


def _set_thread_variables(threads: int) -> None:
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    flag = "true" if threads > 1 else "false"
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={flag}"


def _available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _machine() -> dict[str, Any]:
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
        "load": f"{os.getloadavg()[0]:.1f} in the minute before",
        "Python": platform.python_version(),
        "versions": versions,
    }


if __name__ == "__main__":
    sys.exit(main())
