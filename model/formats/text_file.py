r"""Networks as plain text, easy to read, edit and convert; reading gives the same network back.

A file is lines of words, separated by blanks. A ``#`` begins a comment. Blank lines and indentation
have no meaning. A word with blanks, a ``#`` or quotation marks is written in double quotes, as in
JSON.

    tercet-text 1                   the first line
    network NAME
    input TENSOR
    tensor NAME                     for each tensor:
      shape H W C
      type TYPE                     uint8, int12, ...
      scale NUMBER                  real value = scale * (q - zero_point)
      zero_point Z
    layer NAME KIND                 for each layer, in execution order:
      input TENSOR
      output TENSOR
      ...                           the fields of its kind
    end                             the last line

The fields of a layer, each once and in any order, after the line that begins the layer:

    stride Y X; dilation Y X; padding TOP LEFT BOTTOM RIGHT; groups G       conv2d
    kernel Y X; stride Y X; padding TOP LEFT BOTTOM RIGHT                   max_pool2d, avg_pool2d
    other TENSOR                                                            add: the second input
    others TENSOR ...                                                       concat: further inputs
    low L; high H                                                           relu: the clamp
    first X; values Y ...                                                   table: y of X, X + 1 ...
    factor Y X                                                              upsample
    weight_type TYPE; weight_scales S ...; weight_zero_points Z ...         conv2d, linear
    weight_shape OC KH KW IC                                                conv2d: IC per group
    weight_shape OC IC                                                      linear
    channel N W ...                 the weights of output channel N, row by row, column by column,
                                    input channel by input channel; one line for each, 0 first
    bias B ...                                                              conv2d, linear
    multipliers M ...; shift N; rounding RULE; clamp LOW HIGH               conv2d, linear,
    reference RULE or none; offsets B ... unless all are 0                  avg_pool2d, add, concat
    reference multipliers M ... shift N rounding RULE [offsets B ...]       instead, all in one line

Scales are the shortest decimals that read back to the same float64. ``requant/requant.py``,
``layers/conv.py`` and so on define the meaning of the fields and their allowed values.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..layers import NetworkError
from ..network import QNetwork
from . import json_file
from .text_fields import FIELDS, LINEAR_AXES, REQUANT, TENSOR, TextError, fields_of, word

__all__ = ["FORMAT", "VERSION", "dumps", "loads", "read"]

FORMAT = "tercet-text"
VERSION = 1
HEADER = ("network", "input")
WORD = re.compile(r'\s*(?:#.*|("(?:[^"\\]|\\.)*")|([^\s"#]+))')


def dumps(network: QNetwork) -> str:
    """The text of a network; the same network gives the same bytes."""
    document = json.loads(json_file.dumps(network))
    lines = [f"{FORMAT} {VERSION}", f"network {word(document['name'])}"]
    lines += [f"input {word(document['input'])}"]
    for name, tensor in document["tensors"].items():
        lines += ["", f"tensor {word(name)}"]
        lines += [f"  {key} {TENSOR[key].write(tensor[key])}" for key in TENSOR]
    for layer in document["layers"]:
        lines += ["", f"layer {word(layer['name'])} {layer['kind']}"]
        for key, value in _flat(layer):
            written = FIELDS[key.partition(" ")[0]].write(value)
            lines.append(f"  {key} {written}".rstrip())
    return "\n".join([*lines, "", "end", ""])


def _flat(layer: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a layer's JSON under their names in this format, in order."""
    for key, value in layer.items():
        if key == "weights":
            values = value["values"]
            for name in ("type", "scales", "zero_points"):
                yield f"weight_{name}", value[name]
            yield "weight_shape", _shape(values)
            for number, channel in enumerate(values):
                yield f"channel {number}", _unnested(channel)
        elif key == "requant":
            yield from value.items()
        elif key not in ("name", "kind"):
            yield key, value


def _shape(values: Any) -> list[int]:
    return [len(values), *_shape(values[0])] if isinstance(values, list) else []


def _unnested(values: Any) -> list[int]:
    if not isinstance(values, list):
        return [values]
    return [item for part in values for item in _unnested(part)]


@dataclass
class _Block:
    """A header, a tensor or a layer while it is read."""

    line: int
    what: str
    allowed: dict[str, bool]  # field: whether it is mandatory
    found: dict[str, Any] = field(default_factory=dict)
    channels: list[tuple[int, list[int]]] = field(default_factory=list)  # (line, weights)

    def add(self, key: str, words: list[str], line: int) -> None:
        if key not in self.allowed:
            names = ", ".join(self.allowed)
            raise TextError(line, f"{key!r} is no field of {self.what}; there are {names}")
        try:
            value = FIELDS[key].read(words)
        except ValueError as error:
            raise TextError(line, f"{key} {error}") from None
        if key == "channel":
            number, *weights = value
            if number != len(self.channels):
                raise TextError(line, f"channel {len(self.channels)} must come here, not {number}")
            self.channels.append((line, weights))
        elif key in self.found:
            raise TextError(line, f"{key!r} stands twice in {self.what}")
        else:
            self.found[key] = value

    def finish(self) -> dict[str, Any]:
        """The fields. Raises TextError if a mandatory one is missing."""
        for key, needed in self.allowed.items():
            if needed and key not in self.found and not (key == "channel" and self.channels):
                raise TextError(self.line, f"{key!r} is missing in {self.what}")
        return self.found


def loads(text: str) -> QNetwork:
    """Read a network from its text. Raises NetworkError, which names the line."""
    header = _Block(1, "the header", dict.fromkeys(HEADER, True))
    tensors: dict[str, _Block] = {}
    layers: list[tuple[str, str, _Block]] = []
    block, last = header, 0
    lines = _lines(text)
    first = next(lines, (1, []))
    if first[1] != [FORMAT, str(VERSION)]:
        found = f", not {' '.join(first[1])!r}"[:60] if first[1] else ""
        raise TextError(first[0], f"a file begins with '{FORMAT} {VERSION}'{found}")
    ended = False
    for line, (key, *words) in lines:
        last = line
        if ended:
            raise TextError(line, f"nothing may follow 'end', not {key!r}")
        if key == "end" and not words:
            ended = True
        elif key == "tensor":
            (name,) = _counted(line, key, words, "NAME")
            block = _Block(line, f"tensor {name!r}", dict.fromkeys(TENSOR, True))
            if name in tensors:
                raise TextError(line, f"there is a tensor {name!r} already")
            tensors[name] = block
        elif key == "layer":
            name, kind = _counted(line, key, words, "NAME KIND")
            block = _Block(line, f"layer {name!r}", fields_of(kind, line))
            layers.append((name, kind, block))
        else:
            block.add(key, words, line)
    if not ended:
        raise TextError(last, "the text breaks off here, without 'end'")
    return _network(header, tensors, layers)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines with content: (number, words)."""
    for number, line in enumerate(text.split("\n"), start=1):
        words, at = [], 0
        while match := WORD.match(line, at):
            quoted, plain = match.groups()
            at = match.end()
            if quoted:
                try:
                    words.append(json.loads(quoted))
                except ValueError:
                    raise TextError(number, f"{quoted} is no text in double quotes") from None
            elif plain:
                words.append(plain)
        if line[at:].strip():
            raise TextError(number, "a quotation mark is not closed")
        if words:
            yield number, words


def _counted(line: int, key: str, words: list[str], usage: str) -> list[str]:
    if len(words) != len(usage.split()):
        raise TextError(line, f"{key} takes {usage}, not {' '.join(words)!r}")
    return words


def _network(
    header: _Block, tensors: dict[str, _Block], layers: list[tuple[str, str, _Block]]
) -> QNetwork:
    """Make the network from the blocks, with the same checks as a network file."""
    top = header.finish()
    lines = {f"Tensor {name!r}": block.line for name, block in tensors.items()}
    lines |= {f"Layer {name!r}": block.line for name, _, block in layers}
    document = {
        "format": json_file.FORMAT,
        "version": json_file.VERSION,
        "name": top["network"],
        "input": top["input"],
        "tensors": {name: block.finish() for name, block in tensors.items()},
        "layers": [_layer(name, kind, block) for name, kind, block in layers],
    }
    try:
        return json_file.from_json(document)
    except NetworkError as error:
        message = str(error)
        place = re.match(r"(?:Tensor|Layer) '[^']*'", message)
        if place is None or place[0] not in lines:
            raise
        raise TextError(lines[place[0]], message) from None


def _layer(name: str, kind: str, block: _Block) -> dict[str, Any]:
    """Convert a layer to the JSON of a network file."""
    found = block.finish()
    layer: dict[str, Any] = {"name": name, "kind": kind}
    weights: dict[str, Any] = {}
    requant: dict[str, Any] = {}
    for key, value in found.items():
        if key == "weight_shape":
            weights["values"] = _values(value, kind, block)
        elif key.startswith("weight_"):
            weights[key.removeprefix("weight_")] = value
        elif key in REQUANT:
            requant[key] = value
        else:
            layer[key] = value
    layer |= {"weights": weights} if weights else {}
    return layer | ({"requant": requant} if requant else {})


def _values(shape: list[int], kind: str, block: _Block) -> Any:
    """The weights of the channel lines, nested according to ``shape``."""
    axes = LINEAR_AXES if kind == "linear" else LINEAR_AXES + 2
    if len(shape) != axes or min(shape) < 1:
        raise TextError(
            block.line,
            f"weight_shape of {block.what} must be {axes} extents, at least 1, not {shape}",
        )
    if len(block.channels) != shape[0]:
        raise TextError(
            block.line,
            f"{block.what} must have {shape[0]} channel lines as its weight_shape says, "
            f"not {len(block.channels)}",
        )
    count = math.prod(shape[1:])
    for number, (line, weights) in enumerate(block.channels):
        if len(weights) != count:
            raise TextError(
                line,
                f"channel {number} must have {count} weights as weight_shape says, "
                f"not {len(weights)}",
            )
    return [_nested(weights, shape[1:]) for _, weights in block.channels]


def _nested(values: list[int], shape: list[int]) -> Any:
    if len(shape) == 1:
        return values
    step = len(values) // shape[0]
    return [_nested(values[at : at + step], shape[1:]) for at in range(0, len(values), step)]


def read(source: str | os.PathLike[str], name: str | None = None) -> QNetwork:
    """Read a network from a text file; ``name``, if given, becomes its name.

    Raises NetworkError, which names the file and, if possible, the line.
    """
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise NetworkError(f"The text file {source} cannot be read: {reason}") from None
    try:
        network = loads(text)
    except NetworkError as error:
        raise NetworkError(f"{source}: {error}") from None
    if name is None:
        return network
    return QNetwork(name, network.input, network.tensors, network.layers)
