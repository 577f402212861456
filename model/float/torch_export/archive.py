"""Saved ``torch.export`` programs (.pt2), loaded without running anything in the file.

``torch.export.load`` unpickles example inputs, some weights and objects, evaluates the expressions
of dynamic shapes, and writes Python code with the graph's names. ``loaded`` gives it another
archive, which is made here from the parts that a network needs: weights as raw numbers, and a graph
whose every string is a plain name, whose operators are ATen's, and whose shapes are numbers.
Anything else in the file is left out or refused. Source: ``torch/_export/serde/schema.py`` and
``torch/export/pt2_archive`` of PyTorch 2.13, schema version 8.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.export.pt2_archive._package import load_pt2  # torch.export.load hides its reasons

from ...layers import NetworkError

__all__ = ["loaded"]

MAX_UNPACKED = 1 << 30  # bytes of all entries
MODEL = "models/model.json"
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
KEPT = re.compile(
    r"data/(weights/weight|constants/tensor)_\d+|archive_(format|version)|byteorder|\.data/version"
)
EXAMPLES = "data/sample_inputs/model.pt"  # a pickle; an empty entry is read as no examples

NAME = re.compile(r"[A-Za-z0-9_.]*")
MODULES = re.compile(r"[\w.,;@<>\[\] -]+")  # the stack of modules of a node, kept as text
# The strings that may have other characters, by their keys.
STRINGS = {
    "target": re.compile(r"torch\.ops\.(aten|quantized_decomposed)\.\w+\.\w+|_operator\.getitem"),
    "torch_version": re.compile(r"[\w.+]*"),
}
CONTEXT = re.compile(r"null|\[[\w\", ]*\]")  # of a container in a tree of arguments
CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")
# Kinds of arguments; all others hold graphs, objects or functions.
ARGUMENTS = re.compile(
    r"as_(none|name|strings?|device|scalar_type|layout|memory_format|optional_tensors?|tensors?"
    r"|(sym_)?(int|bool|float)s?)"
)
EXPORT = (
    'torch.export.save(torch.export.export(module.eval(), (torch.zeros(2, C, H, W),)), "mine.pt2")'
)


def loaded(path: str | Path) -> torch.export.ExportedProgram:
    """Load a saved program. A dynamic shape becomes that of the example that was exported.

    Raises NetworkError, with the reason, for a file with anything that could run code.
    """
    entries = _entries(path)
    safe = {name: content for name, content in entries.items() if KEPT.fullmatch(name)}
    try:
        for name in CONFIGS:
            safe[name] = json.dumps(_raw(json.loads(entries[name]))).encode()
        safe[MODEL] = json.dumps(_program(json.loads(entries[MODEL]))).encode()
    except _RefusedError as refused:
        raise NetworkError(f"The program {path} {refused}; export it by {EXPORT}") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise NetworkError(
            f"The program {path} is damaged, or not of the form that PyTorch 2.13 saves; export it "
            f"by {EXPORT}"
        ) from None
    safe[EXAMPLES] = b""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, content in safe.items():
            file.writestr(f"model/{name}", content)
    archive.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            contents = load_pt2(archive)
            program: torch.export.ExportedProgram = contents.exported_programs["model"]
            return program
    except Exception as error:  # PyTorch raises many types for graphs that do not fit together
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NetworkError(
            f"The program {path} cannot be loaded by PyTorch {torch.__version__} ({lines[0]}); "
            f"export it by {EXPORT}"
        ) from None


def _entries(path: str | Path) -> dict[str, bytes]:
    """The entries of the archive by name, without the name of its root folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > MAX_UNPACKED:
                raise NetworkError(f"The program {path} unpacks to over {MAX_UNPACKED} bytes")
            entries = {info.filename.partition("/")[2]: archive.read(info) for info in infos}
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is a damaged archive"
        raise NetworkError(f"The program {path} cannot be read: {reason}") from None
    models = [name for name in entries if name.startswith("models/")]
    if models != [MODEL]:
        raise NetworkError(
            f"The program {path} must hold one program {MODEL}, not "
            f"{', '.join(models) or 'none'}; export it by {EXPORT}"
        )
    return entries


class _RefusedError(Exception):
    """The reason why a program is refused."""


def _raw(config: Any) -> Any:
    """The JSON of weights or constants, which must be raw numbers."""
    for name, entry in config["config"].items():
        files = f"data/weights/{entry['path_name']}", f"data/constants/{entry['path_name']}"
        if entry["use_pickle"] is not False or not any(map(KEPT.fullmatch, files)):
            raise _RefusedError(f"holds {name!r} as a pickle, which runs code when it is loaded")
    return _plain(config)


def _program(model: Any) -> Any:
    """The JSON of a program, with only what a network needs, in harmless forms."""
    module = model["graph_module"] | {"metadata": {}, "treespec_namedtuple_fields": {}}
    return _plain(model | {"graph_module": module, "range_constraints": {}, "guards_code": []})


def _plain(value: Any, key: str = "") -> Any:
    """A value of the JSON; ``key`` is the key below which it stands."""
    match value:
        case {"as_expr": {"hint": {"as_int": int(size)}}}:
            return {"as_int": size}
        case {"type": str(), "index": _}:
            return {"type": "cpu", "index": None}
        case dict() if key == "metadata":
            stack = value.get("nn_module_stack", "")
            return {"nn_module_stack": stack} if MODULES.fullmatch(stack) else {}
        case dict():
            for name in value:
                if not NAME.fullmatch(name) or (
                    name.startswith("as_") and key != "config" and not ARGUMENTS.fullmatch(name)
                ):
                    raise _RefusedError(f"has {name!r} in its graph, which is not supported")
            return {name: _plain(each, name) for name, each in value.items()}
        case list():
            return [_plain(each, key) for each in value]
        case str() if key in ("in_spec", "out_spec"):
            _require_containers(json.loads(value)[1])
        case str() if not STRINGS.get(key, NAME).fullmatch(value):
            raise _RefusedError(f"has {value!r} as a {key}, which is not supported")
    return value


def _require_containers(tree: Any) -> None:
    """Refuse a tree of arguments with other containers than Python's own."""
    if tree["type"] not in CONTAINERS or not CONTEXT.fullmatch(tree["context"] or "null"):
        raise _RefusedError(f"takes or returns a {tree['type']}, which is not supported")
    for child in tree["children_spec"]:
        _require_containers(child)
