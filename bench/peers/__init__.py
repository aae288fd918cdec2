"""What fastconv is compared with: one small adapter for each library, imported only when used.

An adapter module has a function ``create(threads)`` that returns its peers. A peer is one way to
call the library: one function and one memory layout. Adding a library is a module here and its
name in `ADAPTERS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from problem_lines import Problem

Array = npt.NDArray[Any]

ADAPTERS = {
    "torch": "peers.pytorch",
    "onnxruntime": "peers.onnx_runtime",
    "jax": "peers.jax_xla",
    "opencv": "peers.opencv",
    "scipy": "peers.scipy_signal",
}


@dataclass(frozen=True)
class Operands:
    """The arrays of one problem, C-contiguous and channels first whatever the problem's layout."""

    input: Array
    weight: Array
    grad_output: Array


class Peer(Protocol):
    """One way to compute a convolution with another library.

    `layout` is the memory layout of the arrays it computes on, ``"NCHW"`` or ``"NHWC"``;
    ``prepare`` converts the operands to it, outside the measured time.
    """

    name: str
    layout: str

    def supports(self, problem: Problem, pass_name: str) -> bool:
        """Whether the library has this convolution at all."""

    def prepare(self, problem: Problem, pass_name: str, operands: Operands) -> Callable[[], Any]:
        """Do what a program does once, and return the call that it repeats."""

    def to_numpy(self, result: Any, problem: Problem, pass_name: str) -> Array:
        """Convert the call's result to the shape that channels-first NumPy arrays have."""


def load_peers(names: Sequence[str], threads: int) -> tuple[list[Peer], dict[str, str]]:
    """Import the adapters whose libraries are installed.

    Parameters
    ----------
    names : sequence of str
        Keys of `ADAPTERS`.
    threads : int
        How many threads each library may use.

    Returns
    -------
    peers : list of Peer
    missing : dict
        Why each of the others is not there.
    """
    peers: list[Peer] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            peers += importlib.import_module(ADAPTERS[name]).create(threads)
        except ImportError as error:
            missing[name] = str(error)
    return peers, missing


def make_operands(problem: Problem, seed: int = 0) -> Operands:
    """Fill arrays with unit-variance noise, or small integers.

    Parameters
    ----------
    problem : Problem
    seed : int

    Returns
    -------
    Operands
        Channels first, of the problem's dtype.
    """
    generator = np.random.default_rng(seed)
    dtype = np.dtype(problem.dtype)

    def noise(*shape: int) -> Array:
        if dtype.kind in "iu":
            return generator.integers(-8 if dtype.kind == "i" else 0, 8, shape).astype(dtype)
        values: Array = generator.standard_normal(shape, np.float32).astype(dtype)
        if dtype.kind == "c":
            values += 1j * generator.standard_normal(shape, np.float32)
        return values

    return Operands(
        noise(problem.batch, problem.input_channels, *problem.input_size),
        noise(*problem.weight_shape),
        noise(problem.batch, problem.output_channels, *problem.output_size),
    )
