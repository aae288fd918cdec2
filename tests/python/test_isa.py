"""Each instruction set of this machine, in a process that is forced to use it."""

from __future__ import annotations

import json
import platform

import pytest

import fastconv

GRID = "import runpy; runpy.run_module('compact_grid', run_name='__main__')"
MULTIPLY = """
import fastconv, numpy
print(fastconv.conv1d(numpy.ones((1, 1, 2)), numpy.ones((1, 1, 1))))
"""


def test_this_process_runs_the_best_or_the_forced_one():
    information = fastconv.cpu_info()
    assert information["isa"] in information["supported"]
    assert set(information["supported"]) <= set(information["compiled"])
    assert "generic" in information["supported"]


@pytest.mark.parametrize("isa", fastconv.cpu_info()["supported"])
def test_every_pass_on_every_instruction_set(run_python, isa):
    completed = run_python(GRID, FASTCONV_FORCE_ISA=isa)
    assert completed.returncode == 0, completed.stderr
    report = json.loads(completed.stdout)
    assert report["isa"] == isa
    assert report["checks"] > 400


@pytest.mark.parametrize("isa", ["avx1024", "avx", "none"])
def test_an_unknown_name_is_an_error_that_names_it(run_python, isa):
    completed = run_python(MULTIPLY, FASTCONV_FORCE_ISA=isa)
    assert completed.returncode == 1
    last_line = completed.stderr.strip().splitlines()[-1]
    assert isa in last_line
    assert "ValueError" in last_line
    assert "generic" in completed.stderr


def test_a_name_that_the_machine_lacks_is_an_error_that_names_it(run_python):
    isa = "neon" if platform.machine() in ("x86_64", "AMD64") else "avx2"
    completed = run_python(MULTIPLY, FASTCONV_FORCE_ISA=isa)
    assert completed.returncode == 1
    last_line = completed.stderr.strip().splitlines()[-1]
    assert isa in last_line
    assert "UnsupportedError" in last_line
