"""Fixtures and settings that all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import fastconv

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=100)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


# They take every problem, or "auto" does in their place.
_TAKES_EVERYTHING = ("auto", "direct", "reference")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Skip a test whose parameter `algorithm` names one that refuses the test's problem."""
    try:
        return (yield)
    except fastconv.UnsupportedError as error:
        parameters = pyfuncitem.callspec.params if hasattr(pyfuncitem, "callspec") else {}
        name = parameters.get("algorithm", "auto")
        if name in _TAKES_EVERYTHING or f"'{name}' refuses" not in str(error):
            raise
        pytest.skip(f"'{name}' refuses the problem")


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded afresh for every test, so that each one fails alone as it does among others."""
    return np.random.default_rng(20240229)


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a Python of its own, with the tests' own modules at hand."""

    def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
