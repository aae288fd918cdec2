"""What `import fastconv` brings, and that everything public is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import types

import numpy as np
import pytest

import fastconv

MODULES = ("fastconv", "fastconv.grad", "fastconv.signal", "fastconv.reference")

# Every name that programs outside may rely on.
NAMES = {
    "fastconv": {
        *(f"conv{rank}d" for rank in (1, 2, 3)),
        *(f"conv_transpose{rank}d" for rank in (1, 2, 3)),
        *(f"conv{rank}d_backward" for rank in (1, 2, 3)),
        *("corr2d", "plan", "ConvPlan", "explain", "algorithms", "set_num_threads"),
        *("get_num_threads", "threads", "show_config", "cpu_info", "UnsupportedError"),
        "StreamingConv1d",
        *("grad", "signal", "reference"),
    },
    "fastconv.grad": {f"conv{rank}d_{of}" for rank in (1, 2, 3) for of in ("input", "weight")},
    "fastconv.signal": {
        *("convolve", "correlate", "convolve2d", "correlate2d"),
        *("fftconvolve", "oaconvolve", "choose_conv_method"),
    },
    "fastconv.reference": {"conv", "conv_transpose", "conv_input", "conv_weight", "conv_bias"},
}


def public_objects():
    """Public functions and classes with the functions that those define, by their full names."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in sorted(NAMES[module_name]):
            value = getattr(module, name)
            if isinstance(value, types.ModuleType):
                continue
            yield f"{module_name}.{name}", value
            if inspect.isclass(value) and not issubclass(value, Exception):
                for member, function in vars(value).items():
                    if callable(function) and (member == "__call__" or member[0] != "_"):
                        yield f"{module_name}.{name}.{member}", function


PUBLIC = dict(public_objects())


def test_import_brings_numpy_and_nothing_else_heavy(run_python):
    script = """
import sys
import numpy
before = set(sys.modules)
import fastconv
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
    completed = run_python(script)
    assert completed.returncode == 0, completed.stderr
    new = set(completed.stdout.split())
    assert "fastconv" in new
    heavy = "scipy matplotlib torch PIL skimage cv2 rich ml_dtypes jax onnxruntime hypothesis"
    assert not new & {*heavy.split(), "multiprocessing", "asyncio", "unittest", "pytest"}


def test_signal_needs_no_scipy(run_python):
    script = """
import sys
sys.modules["scipy"] = None
import fastconv, numpy
print(fastconv.signal.convolve([1, 2], [1, 10]))
"""
    completed = run_python(script)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == "[ 1 12 20]\n"


def test_halves_need_no_ml_dtypes(run_python):
    script = """
import sys
sys.modules["ml_dtypes"] = None
import fastconv, numpy
half = numpy.ones((1, 1, 3), numpy.float16)
print(fastconv.conv1d(half, half).item())
"""
    assert run_python(script).stdout == "3.0\n"


@pytest.mark.parametrize("module_name", MODULES)
def test_all_lists_the_public_names(module_name):
    module = importlib.import_module(module_name)
    assert NAMES[module_name] <= set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    assert module.__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_are_complete(name):
    value = PUBLIC[name]
    documentation = inspect.getdoc(value)
    assert documentation, f"{name} has no docstring"
    if inspect.isclass(value):
        return
    parameters = [p for p in inspect.signature(value).parameters if p != "self"]
    if not parameters:
        return
    assert re.search(r"^Parameters\n-{10}$", documentation, re.M)
    documentation = documentation.split("Parameters\n----------\n")[1]
    section = re.split(
        r"^(?:Returns|Yields|Raises|Notes|Examples|See Also)$", documentation, flags=re.M
    )
    for parameter in parameters:
        assert re.search(rf"^(.*, )?\*?{parameter}\b.*$", section[0], re.M), parameter


@pytest.mark.parametrize("name", [n for n in PUBLIC if re.search(r"\.(conv\w*|corr\w*|plan)$", n)])
def test_functions_state_results_and_an_example(name):
    documentation = inspect.getdoc(PUBLIC[name])
    assert re.search(r"^Returns\n-{7}$", documentation, re.M)
    assert re.search(r"^Examples\n-{8}$", documentation, re.M)
    assert ">>>" in documentation


@pytest.mark.parametrize(
    "name", [n for n in PUBLIC if re.match(r"fastconv\.conv(?!\w*backward)", n)]
)
def test_the_first_lines_say_which_convolution_it_is(name):
    assert "correlat" in inspect.getdoc(PUBLIC[name]).lower() or "transpose" in name


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_run(name):
    finder = doctest.DocTestFinder(recurse=False)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    names = {"np": np, "fastconv": fastconv}
    for example in finder.find(PUBLIC[name], name, module=False, globs=names):
        runner.run(example)
    assert runner.failures == 0


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", fastconv.__version__)


def test_errors_that_are_refusals_are_not_implemented_errors():
    assert issubclass(fastconv.UnsupportedError, NotImplementedError)
    assert fastconv.UnsupportedError.__module__ == "fastconv"


def test_information_about_the_build(capsys):
    information = fastconv.cpu_info()
    assert isinstance(information, dict)
    assert isinstance(information["isa"], str)
    shown = fastconv.show_config()
    text = shown if isinstance(shown, str) else capsys.readouterr().out
    assert information["isa"] in text
    assert fastconv.__version__ in text
