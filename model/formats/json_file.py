"""Network files: one JSON text per integer network, easy to read and to diff.

Integers are written as integers, and scales as the shortest decimal that reads back to the same
float64. Each tensor and each output channel of the weights takes one line. Reading is strict: a
missing or unknown field, a wrong type or a value out of range raises one NetworkError that names
file, layer and field.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..files import write_whole
from ..layers import NetworkError, Tensor
from ..network import QNetwork
from .json_fields import Fields, decode, integer, items, number, text, type_name
from .json_layers import object_text, read_layer, write_layer

__all__ = ["FORMAT", "VERSION", "dumps", "from_json", "load", "loads", "save", "shipped"]

FORMAT = "tercet-network"
VERSION = 1
ZOO = Path(__file__).parents[1] / "zoo"


def _read_tensor(name: str, value: object) -> Tensor:
    fields = Fields(f"Tensor {name!r}", value)
    height, width, channels = fields.take("shape", items(integer, 3))
    tensor = Tensor(
        name=name,
        shape=(height, width, channels),
        dtype=fields.take("type", type_name),
        scale=fields.take("scale", number),
        zero_point=fields.take("zero_point", integer),
    )
    fields.done()
    return tensor


def loads(document: str) -> QNetwork:
    """Read a network from the text of its file. Raises NetworkError."""
    return from_json(decode(document))


def from_json(document: object) -> QNetwork:
    """Read a network from the decoded JSON of its file. Raises NetworkError."""
    fields = Fields("The file", document)
    kind = fields.take("format", text)
    if kind != FORMAT:
        raise NetworkError(f"field 'format' must be {FORMAT!r}, not {kind!r}")
    version = fields.take("version", integer)
    if version != VERSION:
        raise NetworkError(
            f"field 'version' must be {VERSION}, not {version}; write the file with this tercet"
        )
    tensors = fields.take("tensors", lambda value: Fields("Field 'tensors'", value).left)
    network = QNetwork(
        name=fields.take("name", text),
        input=fields.take("input", text),
        tensors={name: _read_tensor(name, value) for name, value in tensors.items()},
        layers=[
            read_layer(index, value)
            for index, value in enumerate(fields.take("layers", items(lambda item: item)))
        ],
    )
    fields.done()
    return network


def dumps(network: QNetwork) -> str:
    """The text of a network's file; the same network gives the same bytes."""
    tensors = {
        name: json.dumps(
            {
                "shape": list(x.shape),
                "type": str(x.dtype),
                "scale": x.scale,
                "zero_point": x.zero_point,
            }
        )
        for name, x in network.tensors.items()
    }
    layers = ",\n".join(write_layer(layer, "    ") for layer in network.layers)
    fields = {
        "format": json.dumps(FORMAT),
        "version": json.dumps(VERSION),
        "name": json.dumps(network.name),
        "input": json.dumps(network.input),
        "tensors": object_text(tensors, "  "),
        "layers": f"[\n{layers}\n  ]",
    }
    return object_text(fields, "") + "\n"


NO_TEXT = (
    "it is not UTF-8 text; make a network file of a quantized ONNX model by tercet import, of a "
    "float one by tercet quantize MODEL --data FILE"
)


def shipped() -> list[str]:
    """The names of the networks that ship with tercet."""
    return sorted(path.stem for path in ZOO.glob("*.json"))


def load(source: str | os.PathLike[str]) -> QNetwork:
    """Load a shipped network by name, or a network file by its path.

    A text without a folder and a suffix is a name. Raises NetworkError, whose message begins with
    the path.
    """
    name = os.fspath(source)
    if name in shipped():
        path = ZOO / f"{name}.json"
    elif isinstance(source, str) and Path(name).name == name and not Path(name).suffix:
        raise NetworkError(
            f"There is no network named {name!r}; shipped are {', '.join(shipped())}, "
            "and a path to a network file ends in .json"
        )
    else:
        path = Path(name)
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or NO_TEXT
        raise NetworkError(f"The network file {name} cannot be read: {reason}") from None
    try:
        return loads(content)
    except NetworkError as error:
        raise NetworkError(f"{name}: {error}") from None


def save(network: QNetwork, path: str | os.PathLike[str]) -> None:
    """Write a network's file, whole or not at all. Raises NetworkError if that fails."""
    try:
        write_whole(Path(path), dumps(network))
    except OSError as error:
        raise NetworkError(f"The network file {path} cannot be written: {error.strerror}") from None
