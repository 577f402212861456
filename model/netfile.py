"""Network files: one JSON text per integer network that a person can read and diff.

Integers stand as integers and scales as the shortest decimal that reads back to the same float64;
each tensor and each output channel of the weights takes one line. Reading is strict: a missing or
unknown field, a wrong type or a value out of range gives one NetworkError that names file, layer
and field.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .arith import Rounding
from .files import write_whole
from .jsonfields import Fields, array, decode, integer, items, member, number, text, type_name
from .layers import Argmax, Conv2d, Layer, NetworkError, Tensor, Weights
from .network import QNetwork
from .requant import Requant

__all__ = ["FORMAT", "VERSION", "dumps", "load", "loads", "save", "shipped"]

FORMAT = "tercet-network"
VERSION = 1
ZOO = Path(__file__).parent / "zoo"


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


def _read_requant(where: str, value: object) -> Requant:
    fields = Fields(f"{where}: requant", value)
    arguments: dict[str, Any] = {
        "multipliers": tuple(fields.take("multipliers", items(integer))),
        "shift": fields.take("shift", integer),
        "rounding": fields.take("rounding", member(Rounding)),
    }
    arguments["low"], arguments["high"] = fields.take("clamp", items(integer, 2))
    arguments["reference"] = fields.take(
        "reference", lambda value: None if value is None else text(value)
    )
    fields.done()
    try:
        return Requant(**arguments)
    except ValueError as error:
        raise NetworkError(f"{where}: {error}") from None


def _read_weights(where: str, value: object) -> Weights:
    fields = Fields(f"{where}: weights", value)
    weights = Weights(
        dtype=fields.take("type", type_name),
        scales=tuple(fields.take("scales", items(number))),
        zero_points=tuple(fields.take("zero_points", items(integer))),
        values=fields.take("values", array(4)),
    )
    fields.done()
    return weights


def _read_conv2d(fields: Fields, name: str, x: str, y: str) -> Layer:
    where = fields.where
    stride_y, stride_x = fields.take("stride", items(integer, 2))
    top, left, bottom, right = fields.take("padding", items(integer, 4))
    dilation_y, dilation_x = fields.take("dilation", items(integer, 2))
    return Conv2d(
        name=name,
        input=x,
        output=y,
        stride=(stride_y, stride_x),
        padding=(top, left, bottom, right),
        dilation=(dilation_y, dilation_x),
        groups=fields.take("groups", integer),
        weights=fields.take("weights", lambda value: _read_weights(where, value)),
        bias=fields.take("bias", array(1)),
        requant=fields.take("requant", lambda value: _read_requant(where, value)),
    )


def _read_argmax(fields: Fields, name: str, x: str, y: str) -> Layer:
    return Argmax(name=name, input=x, output=y)


READERS = {"conv2d": _read_conv2d, "argmax": _read_argmax}


def _read_layer(index: int, value: object) -> Layer:
    fields = Fields(f"Layer {index}", value)
    name = fields.take("name", text)
    fields.where = f"Layer {name!r}"
    kind = fields.take("kind", text)
    if kind not in READERS:
        raise NetworkError(
            f"{fields.where}: field 'kind' must be one of {', '.join(READERS)}, not {kind!r}"
        )
    layer = READERS[kind](fields, name, fields.take("input", text), fields.take("output", text))
    fields.done()
    return layer


def loads(document: str) -> QNetwork:
    """Read a network from the text of its file. Raises NetworkError."""
    fields = Fields("The file", decode(document))
    kind = fields.take("format", text)
    if kind != FORMAT:
        raise NetworkError(f"field 'format' must be {FORMAT!r}, not {kind!r}")
    version = fields.take("version", integer)
    if version != VERSION:
        raise NetworkError(
            f"field 'version' must be {VERSION}, not {version}; make the file anew with this tercet"
        )
    tensors = fields.take("tensors", lambda value: Fields("Field 'tensors'", value).left)
    network = QNetwork(
        name=fields.take("name", text),
        input=fields.take("input", text),
        tensors={name: _read_tensor(name, value) for name, value in tensors.items()},
        layers=[
            _read_layer(index, value)
            for index, value in enumerate(fields.take("layers", items(lambda item: item)))
        ],
    )
    fields.done()
    return network


def _object(fields: dict[str, str], indent: str) -> str:
    lines = (f"{indent}  {json.dumps(name)}: {value}" for name, value in fields.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _write_tensor(tensor: Tensor) -> str:
    return json.dumps(
        {
            "shape": list(tensor.shape),
            "type": str(tensor.dtype),
            "scale": tensor.scale,
            "zero_point": tensor.zero_point,
        }
    )


def _write_weights(weights: Weights, indent: str) -> str:
    channels = (f"{indent}    {json.dumps(channel)}" for channel in weights.values.tolist())
    return _object(
        {
            "type": json.dumps(str(weights.dtype)),
            "scales": json.dumps(list(weights.scales)),
            "zero_points": json.dumps(list(weights.zero_points)),
            "values": "[\n" + ",\n".join(channels) + f"\n{indent}  ]",
        },
        indent,
    )


def _write_requant(requant: Requant, indent: str) -> str:
    return _object(
        {
            "multipliers": json.dumps(list(requant.multipliers)),
            "shift": json.dumps(requant.shift),
            "rounding": json.dumps(requant.rounding.value),
            "clamp": json.dumps([requant.low, requant.high]),
            "reference": json.dumps(requant.reference),
        },
        indent,
    )


def _write_layer(layer: Layer, indent: str) -> str:
    fields = {
        "name": json.dumps(layer.name),
        "kind": json.dumps(layer.kind),
        "input": json.dumps(layer.input),
        "output": json.dumps(layer.output),
    }
    if isinstance(layer, Conv2d):
        fields |= {
            "stride": json.dumps(list(layer.stride)),
            "padding": json.dumps(list(layer.padding)),
            "dilation": json.dumps(list(layer.dilation)),
            "groups": json.dumps(layer.groups),
            "weights": _write_weights(layer.weights, indent + "  "),
            "bias": json.dumps(layer.bias.tolist()),
            "requant": _write_requant(layer.requant, indent + "  "),
        }
    return indent + _object(fields, indent)


def dumps(network: QNetwork) -> str:
    """The text of a network's file; the same network gives the same bytes."""
    tensors = {name: _write_tensor(tensor) for name, tensor in network.tensors.items()}
    layers = ",\n".join(_write_layer(layer, "    ") for layer in network.layers)
    fields = {
        "format": json.dumps(FORMAT),
        "version": json.dumps(VERSION),
        "name": json.dumps(network.name),
        "input": json.dumps(network.input),
        "tensors": _object(tensors, "  "),
        "layers": f"[\n{layers}\n  ]",
    }
    return _object(fields, "") + "\n"


def shipped() -> list[str]:
    """The names of the networks that ship with tercet."""
    return sorted(path.stem for path in ZOO.glob("*.json"))


def load(source: str | os.PathLike[str]) -> QNetwork:
    """Load a shipped network by name, or a network file by its path.

    A text without a folder or a suffix is a name. Raises NetworkError with the path in front.
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
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise NetworkError(f"The network file {name} cannot be read: {reason}") from None
    try:
        return loads(content)
    except NetworkError as error:
        raise NetworkError(f"{name}: {error}") from None


def save(network: QNetwork, path: str | os.PathLike[str]) -> None:
    """Write a network's file, whole or not at all. Raises NetworkError where that fails."""
    try:
        write_whole(Path(path), dumps(network))
    except OSError as error:
        raise NetworkError(f"The network file {path} cannot be written: {error.strerror}") from None
