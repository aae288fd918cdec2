"""Convolution problems as one-line strings: the reader of ``tests/shapes/*.txt``.

The format is explained in ``tests/shapes/README.md``. Tests and benchmarks import this file, which
needs the standard library alone.

Examples
--------
>>> problem = parse_problem("n1 c64 k64 ih56 iw56 kh3 kw3 ph1 pw1  # 3x3 64->64 56x56")
>>> problem.title, problem.input_shape, problem.weight_shape
('3x3 64->64 56x56', (1, 64, 56, 56), (64, 64, 3, 3))
>>> problem.multiply_adds
115605504
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PASSES = ("forward", "backward_input", "backward_weight")
LAYOUTS = ("NCHW", "NHWC")
SHAPES_FOLDER = Path(__file__).resolve().parent.parent / "tests" / "shapes"

_DEFAULTS = dict.fromkeys(("n", "g", "c", "k"), 1)
for _kind, _default in (("i", 1), ("k", 1), ("o", 0), ("s", 1), ("p", 0), ("d", 1)):
    _DEFAULTS |= dict.fromkeys((_kind + "d", _kind + "h", _kind + "w"), _default)
_WORDS = ("dtype", "layout", "pass")
_TOKEN = re.compile(r"(?:(?P<size>[a-z]+)(?P<integer>-?[0-9]+)|(?P<word>[a-z]+)=(?P<value>\w+))")


@dataclass(frozen=True)
class Problem:
    """One convolution: sizes of as many spatial axes as it really has (1, 2 or 3).

    Parameters
    ----------
    title : str
        What tables and test names call it.
    batch, groups, input_channels, output_channels : int
    input_size, kernel_size, stride, padding, dilation : tuple of int
        One entry per spatial axis; `padding` counts zeros before and after alike.
    dtype : str
        A NumPy dtype name.
    layout : {"NCHW", "NHWC"}
        Channels first or channels last, whatever the number of axes.
    passes : tuple of str
        The passes in which the problem makes sense.
    """

    title: str
    batch: int
    groups: int
    input_channels: int
    output_channels: int
    input_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    dtype: str = "float32"
    layout: str = "NCHW"
    passes: tuple[str, ...] = PASSES

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.input_size)

    @property
    def output_size(self) -> tuple[int, ...]:
        """``floor((n + 2*padding - dilation*(k - 1) - 1) / stride) + 1`` for each axis."""
        axes = zip(
            self.input_size, self.kernel_size, self.stride, self.padding, self.dilation, strict=True
        )
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of the input in `layout`."""
        return self._in_layout(self.input_channels, self.input_size)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the output in `layout`."""
        return self._in_layout(self.output_channels, self.output_size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """``(K, C/groups, *kernel)``, the same in either layout."""
        return (self.output_channels, self.input_channels // self.groups, *self.kernel_size)

    @property
    def layout_name(self) -> str:
        """The layout's name for this rank, such as ``"NWC"``."""
        spatial = "DHW"[3 - self.rank :]
        return f"NC{spatial}" if self.layout == "NCHW" else f"N{spatial}C"

    @property
    def multiply_adds(self) -> int:
        """Multiplications of the definition, those with padding included; all passes alike."""
        return math.prod(self.output_shape) * math.prod(self.weight_shape[1:])

    @property
    def elements(self) -> int:
        """How many numbers input, weight and output hold together: the least that must move."""
        shapes = (self.input_shape, self.weight_shape, self.output_shape)
        return sum(math.prod(shape) for shape in shapes)

    def _in_layout(self, channels: int, spatial: tuple[int, ...]) -> tuple[int, ...]:
        if self.layout == "NCHW":
            return (self.batch, channels, *spatial)
        return (self.batch, *spatial, channels)


def parse_problem(line: str) -> Problem:
    """Read one problem.

    Parameters
    ----------
    line : str
        Tokens such as ``ih56`` and ``layout=NHWC``, then ``#`` and the title.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If a token cannot be read, or the sizes do not make a convolution. The message says which
        and what would be right.

    Examples
    --------
    >>> parse_problem("c4 k8 iw100 kw3 pw1 layout=NHWC # a signal").output_shape
    (1, 100, 8)
    """
    text, _, title = line.partition("#")
    if not title.strip():
        raise ValueError(f"{line.strip()!r} has no title; end the line with '# what it is'")
    sizes: dict[str, int] = {}
    words: dict[str, str] = {}
    for token in text.split():
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise ValueError(
                f"{token!r} is neither a size such as 'kh3' nor a word such as 'dtype=float64'"
            )
        name = match["size"] or match["word"]
        known: Iterable[str] = _DEFAULTS if match["size"] else _WORDS
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{token!r}: unknown name {name!r}{hint} Known: {', '.join(known)}")
        if name in sizes or name in words:
            raise ValueError(f"{token!r}: {name!r} is given twice")
        if match["size"]:
            sizes[name] = int(match["integer"])
        else:
            words[name] = match["value"]
    return _checked_problem(title.strip(), sizes, words)


def _checked_problem(title: str, given: dict[str, int], words: dict[str, str]) -> Problem:
    for name, value in given.items():
        if value < 1 and not name.startswith("p"):
            raise ValueError(f"'{name}{value}': {name!r} must be at least 1")
    sizes = _DEFAULTS | given
    for name in ("c", "k"):
        if sizes[name] % sizes["g"]:
            raise ValueError(f"'g{sizes['g']}' does not divide '{name}{sizes[name]}'")
    if words.get("layout", "NCHW") not in LAYOUTS:
        raise ValueError(f"layout={words['layout']} is not one of {', '.join(LAYOUTS)}")
    if words.get("pass", "forward") not in PASSES:
        raise ValueError(f"pass={words['pass']} is not one of {', '.join(PASSES)}")
    axes = "dhw"
    while len(axes) > 1 and all(sizes[k + axes[0]] == _DEFAULTS[k + axes[0]] for k in "ikspd"):
        axes = axes[1:]
    problem = Problem(
        title=title,
        batch=sizes["n"],
        groups=sizes["g"],
        input_channels=sizes["c"],
        output_channels=sizes["k"],
        input_size=tuple(sizes["i" + axis] for axis in axes),
        kernel_size=tuple(sizes["k" + axis] for axis in axes),
        stride=tuple(sizes["s" + axis] for axis in axes),
        padding=tuple(sizes["p" + axis] for axis in axes),
        dilation=tuple(sizes["d" + axis] for axis in axes),
        dtype=words.get("dtype", "float32"),
        layout=words.get("layout", "NCHW"),
        passes=(words["pass"],) if "pass" in words else PASSES,
    )
    for axis, kernel, dilation, size in zip(
        axes, problem.kernel_size, problem.dilation, problem.output_size, strict=True
    ):
        if size < 1:
            raise ValueError(
                f"'k{axis}{kernel}' spans {dilation * (kernel - 1) + 1} elements, more than "
                f"'i{axis}{sizes['i' + axis]}' with 'p{axis}{sizes['p' + axis]}' on both sides"
            )
        if given.get("o" + axis, size) != size:
            raise ValueError(f"'o{axis}{given['o' + axis]}' should be 'o{axis}{size}' or left out")
    return problem


def read_problems(path: Path | str) -> list[Problem]:
    """Read every problem of a file.

    Parameters
    ----------
    path : path
        A file in the format of ``tests/shapes/README.md``.

    Returns
    -------
    list of Problem
        In the file's order.

    Raises
    ------
    ValueError
        If a line cannot be read or a title occurs twice; the message begins with ``file:line``.

    Examples
    --------
    >>> len(read_problems(SHAPES_FOLDER / "smoke.txt"))
    6
    """
    problems: list[Problem] = []
    titles: set[str] = set()
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            problem = parse_problem(line)
            if problem.title in titles:
                raise ValueError(f"the title {problem.title!r} is taken by a line above")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        titles.add(problem.title)
        problems.append(problem)
    return problems


def select_problems(paths: Sequence[Path | str], substring: str = "") -> list[Problem]:
    """Read several files and keep the problems whose title contains `substring`.

    Parameters
    ----------
    paths : sequence of path
        Files; a bare name such as ``"peers.txt"`` that is not in the working directory is looked
        for in ``tests/shapes``.
    substring : str
        Compared without regard to case.

    Returns
    -------
    list of Problem

    Examples
    --------
    >>> [problem.title for problem in select_problems(["smoke.txt"], "3-d")]
    ['3-D']
    """
    found = [path if Path(path).exists() else SHAPES_FOLDER / path for path in paths]
    problems = [problem for path in found for problem in read_problems(path)]
    return [problem for problem in problems if substring.lower() in problem.title.lower()]
