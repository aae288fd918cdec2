"""The machine's own limits, measured in the same run as what is compared with them."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from problem_lines import Problem

_MATRIX_SIZE = 1024
_COPY_BYTES = 256 * 2**20
_SHORTEST_SEARCH = 0.3


@dataclass(frozen=True)
class Limits:
    """How much the machine can do with the threads of one run.

    Parameters
    ----------
    gflops : dict
        The highest rate for each of float32 and float64.
    gflops_source : str
        Where the rates come from.
    copy_bandwidth : float
        GB/s read plus GB/s written by a large copy.
    copy_source : str
    """

    gflops: dict[str, float]
    gflops_source: str
    copy_bandwidth: float
    copy_source: str

    def __str__(self) -> str:
        """One line of figures and where they come from."""
        rates = ", ".join(f"{rate:.0f} GFLOP/s {dtype}" for dtype, rate in self.gflops.items())
        bandwidth = f"{self.copy_bandwidth:.0f} GB/s ({self.copy_source})"
        return f"{rates} ({self.gflops_source}), {bandwidth}"

    def attainable(self, problem: Problem) -> float:
        """GFLOP/s that the roofline model allows the problem.

        The smaller of the arithmetic peak, and the bandwidth times the operations for each byte of
        input, weight and output moved once (Williams, Waterman, Patterson, *Roofline*, 2009).
        Arrays that stay in a cache, and algorithms that multiply less, can exceed it.
        """
        moved = problem.elements * np.dtype(problem.dtype).itemsize
        rate = self.gflops["float64" if problem.dtype in ("float64", "complex128") else "float32"]
        return min(rate, self.copy_bandwidth * operations(problem) / moved)


def operations(problem: Problem) -> int:
    """Floating-point operations of the definition: 2 a multiply-add, 8 a complex one."""
    return problem.multiply_adds * (8 if problem.dtype.startswith("complex") else 2)


def measure_limits(threads: int, program: Path | None) -> Limits:
    """Measure the limits for `threads` threads.

    Parameters
    ----------
    threads : int
    program : path, optional
        The compiled ``machine_limits`` benchmark, whose one-thread FMA rates are multiplied by
        `threads`. Without it, large matrix products of NumPy's BLAS stand in.

    Returns
    -------
    Limits
    """
    copy, copy_source = _copy_bandwidth(threads), "NumPy copy"
    if program is None:
        rates = {dtype: _matrix_product_rate(dtype) for dtype in ("float32", "float64")}
        return Limits(rates, "BLAS sgemm and dgemm", copy, copy_source)
    figures = _program_figures(program)
    rates = {dtype: threads * figures["peak_fma_" + dtype] for dtype in ("float32", "float64")}
    source = "FMA loop" if threads == 1 else f"FMA loop on one thread, times {threads}"
    if threads == 1:
        copy, copy_source = figures["copy_bandwidth"], "copy loop"
    return Limits(rates, source, copy, copy_source)


def _program_figures(program: Path) -> dict[str, float]:
    """Run a Google Benchmark program and take the best row of each name."""
    command = [str(program), "--benchmark_format=json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = {}
    for row in json.loads(output)["benchmarks"]:
        rate = row.get("GFLOP/s", row.get("GB/s"))
        if rate is not None:
            name = row["name"].partition("/")[0]
            figures[name] = max(figures.get(name, 0.0), rate)
    return figures


def _matrix_product_rate(dtype: str) -> float:
    a = np.ones((_MATRIX_SIZE, _MATRIX_SIZE), dtype)
    result = np.empty_like(a)
    return 2 * _MATRIX_SIZE**3 / _shortest(lambda: np.matmul(a, a, out=result)) / 1e9


def _copy_bandwidth(threads: int) -> float:
    source = np.ones(_COPY_BYTES, np.uint8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        seconds = _shortest(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))
    return 2 * _COPY_BYTES / seconds / 1e9


def _shortest(call: Callable[[], Any]) -> float:
    """The least of many times: a limit is what the machine can do undisturbed."""
    least = math.inf
    deadline = time.perf_counter() + _SHORTEST_SEARCH
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
    return least
