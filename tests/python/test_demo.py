"""The command line and the demonstration, run as a user would."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv.__main__ import main

PICTURES = [
    "edges.png",
    "edge_orientation.png",
    "learned_kernel.png",
    "template_search.png",
    "timings.png",
]


@pytest.fixture(scope="module")
def quick_demo(tmp_path_factory):
    """Run the quick demonstration once; its result and the directory that it was given."""
    for module in ("matplotlib", "PIL", "rich", "skimage"):
        pytest.importorskip(module)
    from fastconv.demo import run_demo

    directory = tmp_path_factory.mktemp("demo") / "made" / "on the way"
    return run_demo(directory, quick=True), directory


def test_demo_writes_every_picture_and_nothing_else(quick_demo):
    from PIL import Image

    result, directory = quick_demo
    assert [path.name for path in result.files] == PICTURES
    assert sorted(path.name for path in directory.iterdir()) == sorted(PICTURES)
    for path in result.files:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) >= 400
            # A picture that was drawn has many colours, a blank one has one.
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
            assert len(np.unique(pixels[::64], axis=0)) > 100


def test_demo_learns_the_hidden_kernel(quick_demo):
    learned = quick_demo[0].learned_kernel
    assert learned.losses[-1] < 1e-4 * learned.losses[0]
    assert learned.relative_error < 0.02
    np.testing.assert_allclose(learned.learned, learned.true, atol=0.02 * learned.true.max())


def test_demo_finds_the_template_among_its_decoys(quick_demo):
    result = quick_demo[0]
    assert result.detection.position == result.scene.position
    assert result.detection.score > result.detection.runner_up + 0.1
    assert len(result.scene.decoys) == 7


def test_demo_times_fastconv_beside_the_reference(quick_demo):
    for timing in quick_demo[0].timings:
        assert {"fastconv", "fastconv.reference"} <= timing.seconds.keys()
        assert all(seconds > 0 for seconds in timing.seconds.values())
        assert timing.ratio("fastconv") == 1
        # Peers may be missing, never wrong: a wrong one would make the comparison worthless.
        assert not [why for why in timing.left_out.values() if "differs" in why]


def test_every_photograph_holds_its_landmark():
    pytest.importorskip("skimage")
    from fastconv.demo.photographs import PHOTOGRAPHS, load_photograph
    from fastconv.demo.template_search import build_scene, find_template

    for name, entry in PHOTOGRAPHS.items():
        photograph = load_photograph(name)
        assert photograph.dtype == np.float32
        assert photograph.shape[2] == 3
        assert 0 <= photograph.min() < photograph.max() <= 1
        scene = build_scene(photograph, entry.center, size=32, shape=(200, 300), seed=1)
        assert find_template(scene).position == scene.position, name


def test_unknown_photograph_is_refused():
    from fastconv.demo.photographs import load_photograph

    with pytest.raises(ValueError, match=r"'dog'.*astronaut.*cat"):
        load_photograph("dog")


def test_normalized_cross_correlation_is_the_correlation_coefficient():
    from fastconv.demo.template_search import normalized_cross_correlation

    image = np.random.default_rng(0).normal(size=(9, 11, 3)).astype(np.float32)
    image[:5, :5] = 0.5
    template = image[3:7, 4:8]
    scores = normalized_cross_correlation(image, template)
    assert scores.shape == (6, 8)
    for row, column in [(0, 1), (2, 2), (3, 4), (5, 7)]:
        window = image[row : row + 4, column : column + 4]
        expected = 0 if np.ptp(window) == 0 else np.corrcoef(window.ravel(), template.ravel())[0, 1]
        assert scores[row, column] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="constant"):
        normalized_cross_correlation(image, np.ones((4, 4, 3), np.float32))


def test_edge_kernels_answer_to_their_own_direction():
    from fastconv.demo.edges import edge_orientation, filter_photograph, hand_made_kernels

    kernels = hand_made_kernels()
    step = np.zeros((12, 12, 3), np.float32)
    step[:, 6:] = 1
    responses = dict(
        zip(
            (kernel.name for kernel in kernels),
            np.moveaxis(filter_photograph(step, kernels), -1, 0),
            strict=True,
        )
    )
    for name in ("Sobel", "Prewitt", "Scharr"):
        np.testing.assert_allclose(responses[f"{name} x"][:, 5:7], 1, atol=1e-6)
        np.testing.assert_allclose(responses[f"{name} y"], 0, atol=1e-6)
    np.testing.assert_allclose(responses["Gaussian"][:, :2], 0, atol=1e-6)
    angle, strength = edge_orientation(responses["Scharr x"], responses["Scharr y"])
    # Rounding may put the angle just below a full turn, which is the same direction.
    np.testing.assert_allclose(np.cos(2 * np.pi * angle[:, 5]), 1, atol=1e-6)
    np.testing.assert_allclose(strength[:, 5], 1, atol=1e-6)


def test_broken_peer_is_left_out_with_its_reason(monkeypatch):
    from fastconv.demo import timings

    def absent(problem):
        raise ModuleNotFoundError("No module named 'absent'", name="absent")

    def broken(problem):
        raise RuntimeError("cannot\nstart")

    def wrong(problem):
        return lambda: np.zeros((1, 1, 1, 1), np.float32)

    monkeypatch.setattr(
        timings,
        "_IMPLEMENTATIONS",
        {
            "fastconv": timings._IMPLEMENTATIONS["fastconv"],
            "absent": absent,
            "broken": broken,
            "wrong": wrong,
        },
    )
    problem = timings.TimedProblem(
        "small", np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 3, 3), np.float32)
    )
    timing = timings.time_problem(problem, repeats=2)
    assert list(timing.seconds) == ["fastconv"]
    assert timing.left_out == {
        "absent": "no module absent",
        "broken": "RuntimeError: cannot",
        "wrong": "its result differs from fastconv's",
    }


def test_missing_extras_name_the_command_to_run(monkeypatch, capsys, tmp_path):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == "skimage" else find_spec(name, package),
    )
    assert main(["demo", "--output-directory", str(tmp_path / "never")]) == 1
    message = capsys.readouterr().err
    assert "scikit-image" in message
    assert 'pip install "fastconv[demo]"' in message
    assert not (tmp_path / "never").exists()


def test_unwritable_directory_is_told_without_a_traceback(capsys, tmp_path):
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    pytest.importorskip("rich")
    file = tmp_path / "file"
    file.write_text("in the way")
    assert main(["demo", "--output-directory", str(file), "--quick"]) == 1
    assert str(file) in capsys.readouterr().err


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    for command in ("demo", "config", "cpu", "explain"):
        assert f"python -m fastconv {command}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.split() == ["fastconv", fastconv.__version__]


def test_config(capsys):
    assert main(["config"]) == 0
    assert fastconv.__version__ in capsys.readouterr().out


def test_cpu(capsys):
    assert main(["cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(fastconv.cpu_info())


def test_explain_says_what_the_function_says(capsys):
    arguments = ["--stride", "2,1", "--padding", "1", "--groups", "4", "--dtype", "float64"]
    assert main(["explain", "1x8x20x21", "8,2,3,3", *arguments]) == 0
    expected = fastconv.explain((1, 8, 20, 21), (8, 2, 3, 3), (2, 1), 1, groups=4, dtype="float64")
    assert capsys.readouterr().out == f"{expected}\n"
    assert main(["explain", "1x8x50", "8x8x3", "--padding", "same"]) == 0
    assert "direct" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["demo", "--photograph", "dog"],
        ["demo", "leftover"],
        ["config", "leftover"],
        ["explain"],
        ["explain", "1x3x8x8"],
        ["explain", "1x3x8x8", "4x3x3"],
        ["explain", "1xx8", "1x1x3"],
        ["explain", "1x3x8x8", "4x3x3x3", "--stride", "two"],
        ["explain", "1x3x8x8", "4x3x3x3", "--padding", "sam"],
        ["explain", "1x3x8x8", "4x3x9x9"],
        ["explain", "1x3x8x8", "4x3x3x3", "--dtype", "float31"],
    ],
    ids=" ".join,
)
def test_bad_arguments_exit_with_2_and_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("usage: python -m fastconv")
    assert "error:" in message


def test_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "fastconv", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    assert done.stdout.split() == ["fastconv", fastconv.__version__]


def test_command_line_imports_no_extra(run_python):
    done = run_python(
        "import sys, fastconv.__main__\n"
        "print({'matplotlib', 'PIL', 'rich', 'skimage', 'scipy', 'torch'} & set(sys.modules))"
    )
    assert done.stdout == "set()\n", done.stderr
