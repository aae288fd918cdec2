"""What an installed distribution says about itself and what it consists of."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import PurePosixPath

import pytest

import fastconv

ALLOWED_SUFFIXES = {".py", ".pyi", ".typed"}


@pytest.fixture(scope="module")
def distribution():
    return importlib.metadata.distribution("fastconv")


@pytest.fixture(scope="module")
def installed_files(distribution):
    """Paths of the wheel's own files: no byte code, nothing that an installer adds."""
    assert distribution.files
    return [PurePosixPath(file) for file in distribution.files if "__pycache__" not in file.parts]


def test_version_is_that_of_the_distribution(distribution):
    assert fastconv.__version__ == distribution.version
    assert re.fullmatch(r"\d+\.\d+\.\d+", distribution.version)


def test_license_is_an_spdx_expression_with_its_text(distribution, installed_files):
    assert distribution.metadata["License-Expression"] == "BSD-3-Clause"
    assert distribution.metadata.get_all("License-File") == ["LICENSE"]
    assert any(file.parts[-2:] == ("licenses", "LICENSE") for file in installed_files)


def test_numpy_is_the_only_requirement(distribution):
    requirements = [line for line in distribution.requires or [] if "extra ==" not in line]
    assert [re.match(r"[\w-]+", line).group() for line in requirements] == ["numpy"]


@pytest.mark.parametrize("extra", ["demo", "bench", "test", "docs", "dev"])
def test_extra_exists(distribution, extra):
    assert extra in distribution.metadata.get_all("Provides-Extra")


@pytest.mark.parametrize("name", ["py.typed", "_core.pyi", "__init__.py", "__main__.py"])
def test_package_contains(installed_files, name):
    assert PurePosixPath("fastconv", name) in installed_files


def test_package_has_one_extension_module(installed_files):
    extensions = [file for file in installed_files if file.suffix in {".so", ".pyd"}]
    assert [file.name.split(".")[0] for file in extensions] == ["_core"]
    assert extensions[0].parent == PurePosixPath("fastconv")


def test_wheel_has_no_stray_files(installed_files):
    own_folders = {"fastconv", f"fastconv-{fastconv.__version__}.dist-info"}
    stray = [
        str(file)
        for file in installed_files
        if file.parts[0] not in own_folders
        or (
            file.parts[0] == "fastconv"
            and file.suffix not in ALLOWED_SUFFIXES
            and not file.name.startswith("_core.")
        )
    ]
    assert stray == []


def test_import_loads_numpy_and_nothing_else_heavy():
    program = (
        "import sys, numpy; before = set(sys.modules); import fastconv; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    heavy = {"scipy", "ml_dtypes", "matplotlib", "PIL", "skimage", "rich", "torch", "cv2"}
    assert heavy.isdisjoint(output.split())
