"""What the documents say is there, and what they show runs."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + list((ROOT / "docs").glob("*.md"))
)
# Only folders that are in the repository: what a build writes is named in documents as well.
FOLDERS = ("bench", "cmake", "cpp", "docs", "python", "tests")

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*|[A-Z]\w+\.(?:md|txt|json)|Makefile|LICENSE")
MAKE_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
# A block that quotes a file begins with a comment of nothing but its path.
QUOTED_PATH = re.compile(r"\A(?://|#) ([\w./-]+)\n")
PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)


@dataclass
class Block:
    """A fenced block of a document."""

    document: Path
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name} {self.language} {self.number}"


def blocks(document: Path) -> list[Block]:
    found = FENCE.findall(document.read_text(encoding="utf-8"))
    return [
        Block(document, number, language, textwrap.dedent(text))
        for number, (language, text) in enumerate(found, 1)
    ]


ALL_BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]


def commands_and_code_spans(document: Path) -> list[str]:
    prose = FENCE.sub("", document.read_text(encoding="utf-8"))
    commands = [block.text for block in blocks(document) if block.language == "sh"]
    return CODE_SPAN.findall(prose) + commands


def exists(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/."))) if "*" in path else (ROOT / path.rstrip(".")).exists()


@pytest.mark.parametrize(
    "document",
    [d for d in DOCUMENTS if any(b.language == "python" for b in blocks(d))],
    ids=lambda document: document.name,
)
def test_python_blocks_run(document, tmp_path, monkeypatch):
    """Blocks of a document follow one another; ``print(...)  # text`` prints that text."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": document.stem}
    for block in blocks(document):
        if block.language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.text, str(block), "exec"), namespace)
        expected = PRINTED.findall(block.text)
        if expected:
            assert printed.getvalue().splitlines() == expected


def test_there_are_python_blocks_to_run():
    assert sum(block.language == "python" for block in ALL_BLOCKS) >= 4


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_relative_links_lead_somewhere(document):
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    paths = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [path for path in paths if not (document.parent / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_paths_exist(document):
    paths = {
        word
        for text in commands_and_code_spans(document)
        for word in re.split(r"[\s=:,()'\"]+", text)
        if PATH.fullmatch(word)
    }
    assert [path for path in sorted(paths) if not exists(path)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_make_targets_exist(document):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = MAKE_TARGET.findall("\n".join(commands_and_code_spans(document)))
    assert [name for name in named if name not in targets] == []


@pytest.mark.parametrize(
    "block", [block for block in ALL_BLOCKS if QUOTED_PATH.match(block.text)], ids=str
)
def test_quotations_are_in_the_file(block):
    """Every line of a quotation, ``...`` apart, is a line of the file that it names."""
    path = QUOTED_PATH.match(block.text)[1]
    there = {line.strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines()}
    quoted = [line.strip() for line in block.text.splitlines()[1:]]
    assert [line for line in quoted if line not in there | {"", "...", "// ..."}] == []
