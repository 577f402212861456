"""The fields of each layer kind in a network file, with their readers and writers.

A new kind of layer is one entry in ``KINDS``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..layers import Argmax, Flatten, Layer, NetworkError, Relu
from ..layers.add import Add
from ..layers.concat import Concat
from ..layers.conv import Conv2d
from ..layers.linear import Linear
from ..layers.pool import AvgPool2d, MaxPool2d
from ..layers.table import Table
from ..layers.upsample import Upsample
from ..layers.weights import Weights, with_axes
from ..requant import Requant, Rounding
from .json_fields import Fields, array, integer, items, member, number, text, type_name

__all__ = ["KINDS", "object_text", "read_layer", "write_layer"]

T = TypeVar("T")


@dataclass(frozen=True)
class Field:
    """The reader and the writer of one field.

    read : (the layer, as messages name it; the JSON value) -> the attribute; raises ValueError
    write : (the attribute, the indent) -> JSON text
    """

    read: Callable[[str, object], Any]
    write: Callable[[Any, str], str]


def _read_requant(where: str, value: object) -> Requant:
    fields = Fields(f"{where}: requant", value)
    low, high = fields.take("clamp", items(integer, 2))

    def read_reference(value: object) -> str | Requant | None:
        if isinstance(value, dict):
            own = Fields(f"{where}: requant: reference", value)
            return _numbers(f"{where}: reference", own, low, high, None)
        return None if value is None else text(value)

    return _numbers(where, fields, low, high, fields.take("reference", read_reference))


def _numbers(
    where: str, fields: Fields, low: int, high: int, reference: str | Requant | None
) -> Requant:
    """The requantization with the numbers in ``fields``; other fields are refused."""
    numbers: dict[str, Any] = {
        "multipliers": tuple(fields.take("multipliers", items(integer))),
        "shift": fields.take("shift", integer),
        "rounding": fields.take("rounding", member(Rounding)),
    }
    if "offsets" in fields.left:
        numbers["offsets"] = tuple(fields.take("offsets", items(integer)))
    fields.done()
    try:
        return Requant(**numbers, low=low, high=high, reference=reference)
    except ValueError as error:
        raise NetworkError(f"{where}: {error}") from None


def _read_weights(where: str, value: object, axes: int) -> Weights:
    """Read weights (OC, KH, KW, IC / groups), or (OC, IC) if ``axes`` is 2."""
    fields = Fields(f"{where}: weights", value)
    weights = Weights(
        dtype=fields.take("type", type_name),
        scales=tuple(fields.take("scales", items(number))),
        zero_points=tuple(fields.take("zero_points", items(integer))),
        values=with_axes(fields.take("values", array(axes))),
    )
    fields.done()
    return weights


def object_text(fields: dict[str, str], indent: str) -> str:
    """The text of a JSON object, one field on each line; the values are JSON text already."""
    lines = (f"{indent}  {json.dumps(name)}: {value}" for name, value in fields.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _write_weights(weights: Weights, indent: str, axes: int) -> str:
    values = weights.values if axes == 4 else weights.values[:, 0, 0]
    channels = (f"{indent}    {json.dumps(channel)}" for channel in values.tolist())
    return object_text(
        {
            "type": json.dumps(str(weights.dtype)),
            "scales": json.dumps(list(weights.scales)),
            "zero_points": json.dumps(list(weights.zero_points)),
            "values": "[\n" + ",\n".join(channels) + f"\n{indent}  ]",
        },
        indent,
    )


def _write_requant(requant: Requant, indent: str) -> str:
    reference: object = requant.reference
    if isinstance(reference, Requant):
        reference = _json_numbers(reference)
    fields = _json_numbers(requant)
    offsets = {"offsets": fields.pop("offsets")} if "offsets" in fields else {}
    fields |= {"clamp": [requant.low, requant.high], "reference": reference, **offsets}
    return object_text({name: json.dumps(value) for name, value in fields.items()}, indent)


def _json_numbers(requant: Requant) -> dict[str, Any]:
    """M, n, the rule and, unless it is 0, B."""
    numbers: dict[str, Any] = {
        "multipliers": list(requant.multipliers),
        "shift": requant.shift,
        "rounding": requant.rounding.value,
    }
    return numbers | ({"offsets": list(requant.offsets)} if requant.offsets != (0,) else {})


def _plain(
    read: Callable[[object], T], store: Callable[[T], object] = lambda value: value
) -> Field:
    """A field on one line: its reader, and a conversion of the value that was read."""
    return Field(
        read=lambda where, value: store(read(value)),
        write=lambda value, indent: json.dumps(list(value) if isinstance(value, tuple) else value),
    )


PAIR = _plain(items(integer, 2), tuple)
INTEGER = _plain(integer)
REQUANT = Field(_read_requant, _write_requant)
BIAS = Field(
    read=lambda where, value: array(1)(value),
    write=lambda bias, indent: json.dumps(bias.tolist()),
)
WINDOW = {"stride": PAIR, "padding": _plain(items(integer, 4), tuple)}

KINDS: dict[str, tuple[type[Layer], Mapping[str, Field]]] = {
    "conv2d": (
        Conv2d,
        {
            **WINDOW,
            "dilation": PAIR,
            "groups": INTEGER,
            "weights": Field(partial(_read_weights, axes=4), partial(_write_weights, axes=4)),
            "bias": BIAS,
            "requant": REQUANT,
        },
    ),
    "linear": (
        Linear,
        {
            "weights": Field(partial(_read_weights, axes=2), partial(_write_weights, axes=2)),
            "bias": BIAS,
            "requant": REQUANT,
        },
    ),
    "max_pool2d": (MaxPool2d, {"kernel": PAIR, **WINDOW}),
    "avg_pool2d": (AvgPool2d, {"kernel": PAIR, **WINDOW, "requant": REQUANT}),
    "add": (Add, {"other": _plain(text), "requant": REQUANT}),
    "concat": (Concat, {"others": _plain(items(text), tuple), "requant": REQUANT}),
    "relu": (Relu, {"low": INTEGER, "high": INTEGER}),
    "table": (Table, {"first": INTEGER, "values": _plain(items(integer), tuple)}),
    "upsample": (Upsample, {"factor": PAIR}),
    "flatten": (Flatten, {}),
    "argmax": (Argmax, {}),
}


def read_layer(index: int, value: object) -> Layer:
    """Read the layer with this index. Raises NetworkError."""
    fields = Fields(f"Layer {index}", value)
    name = fields.take("name", text)
    where = fields.where = f"Layer {name!r}"
    kind = fields.take("kind", text)
    if kind not in KINDS:
        raise NetworkError(f"{where}: field 'kind' must be one of {', '.join(KINDS)}, not {kind!r}")
    made, own = KINDS[kind]
    arguments = {"input": fields.take("input", text), "output": fields.take("output", text)}
    for field, codec in own.items():
        arguments[field] = fields.take(field, partial(codec.read, where))
    fields.done()
    return made(name=name, **arguments)


def write_layer(layer: Layer, indent: str) -> str:
    """The JSON text of a layer."""
    fields = {
        "name": json.dumps(layer.name),
        "kind": json.dumps(layer.kind),
        "input": json.dumps(layer.input),
        "output": json.dumps(layer.output),
    }
    for field, codec in KINDS[layer.kind][1].items():
        fields[field] = codec.write(getattr(layer, field), indent + "  ")
    return indent + object_text(fields, indent)
