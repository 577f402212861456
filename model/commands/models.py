"""The formats of model files, told from their contents, and the reading of integer networks.

``format_of`` looks at the bytes of a file and runs nothing in it. A file that would run code when
it is loaded (a pickled module, TorchScript) is refused, with the line that exports the module.
"""

from __future__ import annotations

import io
import pickletools
import shlex
import zipfile
from dataclasses import replace
from pathlib import Path

from ..formats.json_file import load, shipped
from ..formats.text_file import FORMAT as TEXT
from ..formats.text_file import read as read_text
from ..layers import NetworkError
from ..names import identifier
from ..network import QNetwork

__all__ = ["EXPORT", "FLOAT", "FORMATS", "INTEGER", "content_of", "format_of", "network_of"]

INTEGER = {  # formats of integer networks, and what messages call such a file
    "network": "an integer network",
    "text": "an integer network as text",
    "onnx": "a quantized ONNX model",
    "pt2e": "a quantized program of PT2E",
}
FLOAT = {  # formats of float networks, which are quantized on images
    "float-onnx": "a float ONNX model",
    "pt2": "a float program of torch.export",
    "checkpoint": "a float checkpoint",
    "state-dict": "a float state dict",
}
FORMATS = (*INTEGER, *FLOAT)
FOREIGN = {  # by the bytes that begin such a file, after some that vary: what it is
    (4, b"TFL3"): "a TensorFlow Lite model",
    (0, b"\x89HDF"): "a Keras model (HDF5)",
}
EXPORT = (
    "export the module itself, in Python: torch.export.save(torch.export.export(module.eval(), "
    '(torch.zeros(2, C, H, W),)), "mine.pt2")'
)
RUNS_CODE = f"which runs code when it is loaded; {EXPORT}"
# All that the pickle in a state dict names: containers, and the rebuilding of tensors.
OF_STATE_DICTS = ("collections OrderedDict", "torch._utils _rebuild_", "torch ", "torch.storage ")


def format_of(model: str) -> str:
    """The format of a model: one of ``FORMATS``.

    model : the name of a shipped network, or the path of a file

    A file that does not exist counts as a network, whose reader has the message. Raises
    NetworkError for a file of another kind.
    """
    path = Path(model)
    if model in shipped() or not path.is_file():
        return "network"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NetworkError(f"The model {model} cannot be read: {error.strerror}") from None
    if content[:2] == b"PK":
        return _format_of_archive(content, model)
    for (at, magic), what in FOREIGN.items():
        if content[at : at + len(magic)] == magic:
            raise NetworkError(
                f"The model {model} is {what}, which is not read; export the float model as ONNX"
            )
    if content[:1] == b"\x80":
        raise NetworkError(f"The model {model} is a pickle, {RUNS_CODE}")
    return _format_of_text(content) or _format_of_onnx(content, model)


def content_of(model: str, form: str) -> bytes:
    """All bytes that a model is read from; of an ONNX model with its tensors in other files."""
    if form in ("onnx", "float-onnx"):
        from ..frontends.onnx.graph import content_of as of_onnx

        return of_onnx(model)
    return Path(model).read_bytes()


def network_of(model: str, form: str | None = None, name: str | None = None) -> QNetwork:
    """The integer network of a model.

    model : the name of a shipped network, or the path of a file
    form : one of ``FORMATS``; by default, the file's own
    name : the network's; by default its own

    Raises NetworkError, with the command that quantizes it, for a float model.
    """
    form = form or format_of(model)
    if form in FLOAT:
        data = " --data DATA" if form in ("float-onnx", "pt2") else ""
        raise NetworkError(
            f"{model} is {FLOAT[form]}; make integers of it by tercet quantize "
            f"{shlex.quote(model)}{data} -o NET.json"
        )
    if form == "onnx":
        from ..frontends.onnx import read

        return read(model, name)
    if form == "pt2e":
        from ..float.torch_export.archive import loaded
        from ..frontends.pt2e import read as read_pt2e

        return read_pt2e(loaded(model), name or identifier(Path(model).stem))
    network = read_text(model) if form == "text" else load(model)
    return replace(network, name=name or network.name)


def _format_of_archive(content: bytes, model: str) -> str:
    """The format of a zip file: arrays of numpy, or what PyTorch saves."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            pickles = [name for name in names if name.endswith("/data.pkl")]
            first = archive.read(pickles[0]) if pickles else b""
            programs = [name for name in names if name.partition("/")[2].startswith("models/")]
            program = archive.read(programs[0]) if programs else b""
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
        raise NetworkError(f"The model {model} is a damaged archive; save it again") from None
    if program:
        return "pt2e" if b"quantized_decomposed" in program else "pt2"
    if any("/code/" in name for name in names):
        raise NetworkError(f"The model {model} is a TorchScript program, {RUNS_CODE}")
    if pickles:
        for named in _named(first):
            if not named.startswith(OF_STATE_DICTS):
                raise NetworkError(
                    f"The model {model} is a pickle that names {named.replace(' ', '.')}, "
                    f"{RUNS_CODE}"
                )
        return "state-dict"
    if "facts.npy" in names:
        return "checkpoint"
    if names and all(name.endswith(".npy") for name in names):
        return "state-dict"
    raise NetworkError(
        f"The model {model} is an archive of {', '.join(names[:3]) or 'nothing'}, which is no "
        "model; give an ONNX model, a checkpoint or a network file"
    )


def _named(pickled: bytes) -> list[str]:
    """The classes and functions that a pickle names, as 'module name'; nothing is run."""
    found, texts = [], ["", ""]
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if isinstance(argument, str) and opcode.name != "GLOBAL":
                texts.append(argument)
            elif opcode.name == "GLOBAL":
                found.append(str(argument))
            elif opcode.name == "STACK_GLOBAL":
                found.append(" ".join(texts[-2:]))
    except ValueError:  # a damaged pickle; the reader of state dicts says so
        pass
    return found


def _format_of_text(content: bytes) -> str:
    """The format of a text: JSON or tercet's text format; '' if it is no text."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or not lines[0].strip().isprintable():
        return ""
    return "text" if lines[0].split()[0] == TEXT else "network"


def _format_of_onnx(content: bytes, model: str) -> str:
    """The format of an ONNX model. Raises NetworkError for any other file."""
    from ..frontends.onnx.graph import is_quantized

    try:
        return "onnx" if is_quantized(content) else "float-onnx"
    except NetworkError:
        raise NetworkError(
            f"The model {model} has no format that tercet reads; give an ONNX model, a checkpoint "
            "or a network file"
        ) from None
