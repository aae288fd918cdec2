"""The problem lists of tests/shapes: their reader, and fastconv on every tile edge they name."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import reference

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.append(str(BENCH))
problem_lines = importlib.import_module("problem_lines")

FILES = sorted(problem_lines.SHAPES_FOLDER.glob("*.txt"))
TILES = problem_lines.read_problems(problem_lines.SHAPES_FOLDER / "tiles.txt")


def test_defaults_make_a_one_dimensional_problem_of_one_element():
    problem = problem_lines.parse_problem("# nothing given")
    assert problem.input_shape == (1, 1, 1)
    assert problem.weight_shape == (1, 1, 1)
    assert problem.output_shape == (1, 1, 1)
    assert (problem.dtype, problem.layout) == ("float32", "NCHW")
    assert problem.passes == ("forward", "backward_input", "backward_weight")


def test_every_field_reaches_its_place():
    problem = problem_lines.parse_problem(
        "n2 g3 c6 k9 id11 ih12 iw13 kd1 kh2 kw3 sd3 sh2 sw1 pd0 ph1 pw2 dd4 dh5 dw6 od4 oh5 ow5 "
        "dtype=float64 layout=NHWC pass=backward_input  # all of it"
    )
    assert problem.title == "all of it"
    assert problem.input_shape == (2, 11, 12, 13, 6)
    assert problem.weight_shape == (9, 2, 1, 2, 3)
    assert problem.output_shape == (2, 4, 5, 5, 9)
    assert problem.stride == (3, 2, 1)
    assert problem.padding == (0, 1, 2)
    assert problem.dilation == (4, 5, 6)
    assert (problem.dtype, problem.layout_name) == ("float64", "NDHWC")
    assert problem.passes == ("backward_input",)
    assert problem.multiply_adds == 2 * 4 * 5 * 5 * 9 * 2 * 1 * 2 * 3


@pytest.mark.parametrize(
    ("line", "rank"),
    [("iw9 kw3 # row", 1), ("ih9 kh3 # column", 2), ("ih1 ph1 # padded", 2), ("id2 # deep", 3)],
)
def test_leading_axes_that_do_nothing_are_dropped(line: str, rank: int):
    assert problem_lines.parse_problem(line).rank == rank


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("iw9 kw3", ["no title", "# what it is"]),
        ("iw9 kx3 # typing error", ["'kx3'", "unknown name 'kx'", "did you mean"]),
        ("iw9 56 # a bare number", ["'56'", "such as 'kh3'"]),
        ("iw9 kw3.5 # half a tap", ["'kw3.5'"]),
        ("iw9 kw3 kw5 # twice", ["'kw5'", "twice"]),
        ("iw9 type=float64 # misnamed", ["unknown name 'type'", "did you mean 'dtype'"]),
        ("iw9 layout=NWC # the other name", ["layout=NWC", "NCHW, NHWC"]),
        ("iw9 pass=backward # which", ["pass=backward", "backward_input"]),
        ("iw9 sw0 # no stride", ["'sw0'", "at least 1"]),
        ("c6 k8 g4 iw9 # groups", ["'g4'", "'c6'"]),
        ("iw4 kw3 dw2 # too wide", ["'kw3'", "spans 5", "'iw4'"]),
        ("iw9 kw3 ow9 # wrong output", ["'ow9'", "'ow7'"]),
    ],
)
def test_errors_name_the_token_and_what_would_be_right(line: str, words: list[str]):
    in_order = ".*".join(map(re.escape, words))
    with pytest.raises(ValueError, match=in_order):
        problem_lines.parse_problem(line)


def test_errors_of_a_file_name_the_line(tmp_path: Path):
    path = tmp_path / "list.txt"
    path.write_text("# comment\n\niw9 # a row\niw0 # nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"list\.txt:4: 'iw0'"):
        problem_lines.read_problems(path)
    path.write_text("iw9 # a row\niw8 # a row\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"list\.txt:2: .*taken"):
        problem_lines.read_problems(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_can_be_read(path: Path):
    problems = problem_lines.read_problems(path)
    assert len(problems) >= 6
    for problem in problems:
        np.dtype(problem.dtype)


def test_the_examples_of_the_reader():
    results = doctest.testmod(problem_lines)
    assert results.attempted > 0
    assert results.failed == 0


def _random(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "i":
        return generator.integers(-100, 100, shape).astype(dtype)
    values = generator.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * generator.standard_normal(shape)
    return values.astype(dtype)


def _assert_within_bounds(result: Any, expected: Any, magnitude: Any, terms: int):
    """Allow ``16 eps sqrt(terms) sum |w||x|`` and the share of ``max |out|`` that transforms need.

    Half precision is stored rounded and accumulated in float32.
    """
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    if expected.dtype.kind in "iu":
        np.testing.assert_array_equal(result, expected)
        return
    wide = np.result_type(expected, np.float32)
    eps = np.finfo(wide).eps
    difference = np.abs(result.astype(wide) - expected.astype(wide))
    transforms = 1e-5 if eps > 1e-10 else 1e-13
    largest = np.abs(expected).astype(np.float64).max(initial=0)
    rounding = np.finfo(expected.dtype).eps * np.abs(expected).astype(np.float64)
    allowed = 16 * eps * math.sqrt(terms) * magnitude + transforms * largest + rounding
    assert (difference <= allowed).all(), f"off by {difference.max()}"


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("row", TILES, ids=lambda row: row.title)
def test_tile_edges_agree_with_the_reference(row: Any, layout: str):
    problem = dataclasses.replace(row, layout=layout)
    generator = np.random.default_rng(sum(map(ord, problem.title)))
    dtype = np.dtype(problem.dtype)
    x = _random(generator, problem.input_shape, dtype)
    w = _random(generator, problem.weight_shape, dtype)
    g = _random(generator, problem.output_shape, dtype)
    geometry = (problem.stride, problem.padding, problem.dilation, problem.groups)
    name, options = f"conv{problem.rank}d", {"layout": problem.layout_name}
    magnitudes = [np.abs(array).astype(np.float64) for array in (x, w, g)]
    taps = math.prod(problem.kernel_size)

    _assert_within_bounds(
        getattr(fastconv, name)(x, w, None, *geometry, **options),
        reference.conv(x, w, None, *geometry, **options),
        reference.conv(magnitudes[0], magnitudes[1], None, *geometry, **options),
        taps * problem.input_channels // problem.groups,
    )
    _assert_within_bounds(
        getattr(fastconv.grad, f"{name}_input")(x.shape, w, g, *geometry, **options),
        reference.conv_input(x.shape, w, g, *geometry, **options),
        reference.conv_input(x.shape, magnitudes[1], magnitudes[2], *geometry, **options),
        taps * problem.output_channels // problem.groups,
    )
    _assert_within_bounds(
        getattr(fastconv.grad, f"{name}_weight")(x, w.shape, g, *geometry, **options),
        reference.conv_weight(x, w.shape, g, *geometry, **options),
        reference.conv_weight(magnitudes[0], w.shape, magnitudes[2], *geometry, **options),
        problem.batch * math.prod(problem.output_size),
    )


class _Doubled:
    """A peer whose results are wrong by a factor of 2."""

    name = "doubled"
    layout = "NCHW"

    def supports(self, problem: Any, pass_name: str) -> bool:
        return True

    def prepare(self, problem: Any, pass_name: str, operands: Any) -> Any:
        return lambda: 2 * fastconv.conv1d(operands.input, operands.weight)

    def to_numpy(self, result: Any, problem: Any, pass_name: str) -> Any:
        return result


class _Same(_Doubled):
    """A peer that agrees."""

    name = "same"

    def prepare(self, problem: Any, pass_name: str, operands: Any) -> Any:
        return lambda: fastconv.conv1d(operands.input, operands.weight)


def test_a_peer_that_disagrees_is_reported_and_never_the_fastest():
    peer_rows = importlib.import_module("peer_rows")
    roofline = importlib.import_module("roofline")
    limits = roofline.Limits({"float32": 100.0, "float64": 50.0}, "given", 20.0, "given")
    options = peer_rows.Options(0.01, 1.0, (), None)
    problem = problem_lines.parse_problem("c4 k4 iw32 kw3 # a row")
    task = peer_rows.Task(problem, "forward", 1)

    both = peer_rows.measure_row(task, [_Doubled(), _Same()], limits, options)
    assert both.failure == ""
    assert both.best_peer(same_layout=True).name == "same"
    assert both.peers[0].failure.startswith("disagrees by")
    assert both.ratio(same_layout=False) > 0
    assert both.roofline_percent == pytest.approx(
        100 * both.gflops / min(100, 20 * 2 * 4 * 4 * 30 * 3 / (4 * (4 * 32 + 48 + 4 * 30)))
    )

    alone = peer_rows.measure_row(task, [_Doubled()], limits, options)
    assert "doubled" in alone.failure
    assert math.isnan(alone.ratio(same_layout=False))


def test_the_comparison_runs_without_any_peer(tmp_path: Path):
    command = [sys.executable, str(BENCH / "compare_peers.py"), "--smoke", "--peers"]
    command += ["--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 18
    assert all(row["gflops"] > 0 and row["failure"] == "" for row in rows)
    assert "## backward_weight, 1 thread" in (tmp_path / "results.md").read_text(encoding="utf-8")
