"""`tercet export NET`: write a network as text, as ROM contents or as ONNX."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ...model import QNetwork
from ...model.commands.models import network_of
from ...model.errors import UserError
from ...model.exporters import roms
from ...model.files import write_all
from ...model.formats.text_file import dumps
from ...model.terminal import console
from .arguments import add_net

__all__ = ["HELP", "add_arguments", "run"]

HELP = "write a network as text, as ROM contents or as ONNX"
Content = str | bytes


def _onnx(network: QNetwork, explicit: bool = False) -> Content:
    """The network as ONNX; the exporter is imported here because it needs additional packages."""
    write = import_module("...model.exporters.onnx", __package__).write
    written: bytes = write(network, explicit=explicit)
    return written


# Formats that are one file, and formats that are a folder of files.
FILES: dict[str, Callable[[QNetwork], Content]] = {"onnx": _onnx, "text": dumps}
FOLDERS: dict[str, Callable[[QNetwork], Mapping[str, Content]]] = {
    name: partial(roms.rom_files, form=name) for name in roms.FORMATS
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NET, the format and the output."""
    formats = ", ".join(sorted([*FILES, *FOLDERS]))
    add_net(parser)
    parser.add_argument("--format", required=True, metavar="NAME", help=f"one of {formats}")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="PATH",
        help=f"the file; for {', '.join(FOLDERS)} the folder, which gets an index.json as well",
    )
    parser.add_argument(
        "--explicit",
        action="store_true",
        help="onnx: every layer in operators that are exact without fusion",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Write all files or none, and print a summary."""
    if args.format not in {**FILES, **FOLDERS}:
        formats = ", ".join(sorted([*FILES, *FOLDERS]))
        raise UserError(f"There is no format {args.format!r} to export; there are {formats}")
    if args.explicit and args.format != "onnx":
        raise UserError("--explicit belongs to --format onnx alone")
    network, output = network_of(args.net), args.output
    if args.format in FILES:
        write = partial(_onnx, explicit=True) if args.explicit else FILES[args.format]
        contents = {output: write(network)}
    else:
        files = FOLDERS[args.format](network)
        contents = {output / name: content for name, content in files.items()}
    _write(contents, output, folder=args.format in FOLDERS)
    size = sum(len(content) for content in contents.values())
    what = f"{len(contents)} files" if args.format in FOLDERS else f"{size} bytes"
    console().print(f"{output}: {network.name} as {args.format}, {what}", soft_wrap=True)
    facts = {
        "network": network.name,
        "format": args.format,
        "files": sorted(path.name for path in contents),
        "bytes": size,
    }
    return facts, True


def _write(contents: Mapping[Path, Content], output: Path, folder: bool) -> None:
    made = folder and not output.exists()
    try:
        if folder:
            output.mkdir(parents=True, exist_ok=True)
        write_all(contents)
    except OSError as error:
        if made:
            with contextlib.suppress(OSError):  # it may not exist
                output.rmdir()
        what = "folder" if folder else "file"
        raise UserError(
            f"The output {what} {output} cannot be written: {error.strerror}; name another with -o"
        ) from None
