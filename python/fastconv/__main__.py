"""The command line of fastconv: ``python -m fastconv``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

import fastconv
from fastconv.demo import MissingExtraError, run_demo
from fastconv.demo.photographs import PHOTOGRAPHS

_EXAMPLES = """\
examples:
  python -m fastconv demo
      run the demonstration and write its pictures to demo-output/
  python -m fastconv demo --photograph coffee --output-directory /tmp/pictures --quick
      the same on another photograph, smaller and faster
  python -m fastconv config
      show how this fastconv was built and what it runs on
  python -m fastconv cpu
      show the processor's instruction sets
  python -m fastconv explain 1x64x56x56 64x64x3x3 --padding 1
      show which algorithm a convolution gets, and why
"""
_EXPLAIN_EXAMPLES = """\
examples:
  python -m fastconv explain 1x64x56x56 64x64x3x3 --padding 1 --stride 2
  python -m fastconv explain 8x3x224x224 32x3x7x5 --padding 3,2 --dtype float64
  python -m fastconv explain 1x16x48000 16x1x31 --padding same --groups 16
"""


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+([x,]\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape such as 1x64x56x56")
    return tuple(int(size) for size in re.split("[x,]", text))


def _sizes(text: str) -> int | tuple[int, ...]:
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither an integer such as 2 nor one for each axis such as 2,1"
        )
    sizes = tuple(int(size) for size in text.split(","))
    return sizes[0] if len(sizes) == 1 else sizes


def _padding(text: str) -> str | int | tuple[int, ...]:
    return text if text in ("valid", "same", "same_lower", "full") else _sizes(text)


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m fastconv",
        description="Convolution of NumPy arrays: a demonstration, and what goes on inside.",
        epilog=_EXAMPLES,
        formatter_class=layout,
    )
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="edges, a learned kernel, a template search and timings on a real photograph",
        description=(
            "Edges, a learned kernel, a template search and timings on a real photograph, "
            'with pictures of each. Needs: pip install "fastconv[demo]"'
        ),
    )
    demo.add_argument(
        "--output-directory",
        default="demo-output",
        metavar="DIR",
        help="where the pictures go (default: %(default)s)",
    )
    demo.add_argument(
        "--photograph",
        default="cat",
        choices=list(PHOTOGRAPHS),
        help="a photograph that comes with scikit-image (default: %(default)s)",
    )
    demo.add_argument(
        "--quick", action="store_true", help="fewer steps, smaller pictures, fewer repeats"
    )

    commands.add_parser("config", help="how this fastconv was built and what it runs on")
    commands.add_parser("cpu", help="the processor's instruction sets")

    explain = commands.add_parser(
        "explain",
        help="which algorithm a convolution gets, and why",
        description="Every algorithm, its estimated cost or why it refuses, and the chosen one.",
        epilog=_EXPLAIN_EXAMPLES,
        formatter_class=layout,
    )
    explain.add_argument("input_shape", type=_shape, metavar="INPUT_SHAPE", help="as 1x64x56x56")
    explain.add_argument(
        "weight_shape", type=_shape, metavar="WEIGHT_SHAPE", help="K x C/groups x kernel: 64x64x3x3"
    )
    explain.add_argument("--stride", type=_sizes, default=1, metavar="N[,N...]")
    explain.add_argument(
        "--padding",
        type=_padding,
        default=0,
        metavar="N[,N...]|NAME",
        help="or valid, same, same_lower, full",
    )
    explain.add_argument("--dilation", type=_sizes, default=1, metavar="N[,N...]")
    explain.add_argument("--groups", type=int, default=1, metavar="N")
    explain.add_argument("--dtype", default="float32", help="(default: %(default)s)")
    explain.add_argument("--layout", help="as NCHW (the default) or NHWC")
    explain.add_argument("--measure", action="store_true", help="time the algorithms as well")
    return parser


def _demo(arguments: argparse.Namespace) -> None:
    run_demo(arguments.output_directory, arguments.photograph, quick=arguments.quick)


def _cpu() -> None:
    information: dict[str, Any] = dict(fastconv.cpu_info())
    width = max(map(len, information))
    for name, value in information.items():
        text = " ".join(map(str, value)) if isinstance(value, (list, tuple, set)) else str(value)
        print(f"{name:<{width}}  {text}")


def _explain(arguments: argparse.Namespace) -> None:
    print(
        fastconv.explain(
            arguments.input_shape,
            arguments.weight_shape,
            arguments.stride,
            arguments.padding,
            arguments.dilation,
            arguments.groups,
            dtype=arguments.dtype,
            layout=arguments.layout,
            measure=arguments.measure,
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, `sys.argv` without the program's name when None.

    Returns
    -------
    int
        The exit status: 0, or 1 where a command could not do its work.

    Raises
    ------
    SystemExit
        With status 2 for wrong arguments, and with 0 after ``--help`` and ``--version``.

    Examples
    --------
    >>> main(["explain", "1x1x4x4", "1x1x9x9"])
    Traceback (most recent call last):
    ...
    SystemExit: 2
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "explain":
        try:
            _explain(arguments)
        except (TypeError, ValueError, NotImplementedError) as error:
            parser.error(f"explain: {error}")
    elif arguments.command == "config":
        fastconv.show_config()
    elif arguments.command == "cpu":
        _cpu()
    else:
        try:
            _demo(arguments)
        except (MissingExtraError, OSError) as error:
            print(f"{parser.prog} demo: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
