"""A network's constants as ROM contents, for your own hardware.

Each layer with weights has its weights (zero points subtracted), its biases and its multipliers.
Every other requantizing layer has its multipliers. Layers with offsets have these too. There is one
file per array, with one word per value. ``index.json`` states the width of the words and whether
they are signed (two's complement). Three formats:

* ``mem``: hexadecimal words, one per line, after comments: Verilog ``$readmemh``.
* ``hex``: the same without comments, for readers that accept only words (AMD UG901, "Specifying RAM
  Initial Contents in an External Data File"). This is not Intel HEX, whose records count bytes and
  whose word order differs between tools.
* ``coe``: AMD's memory initialization file (UG896, "COE File Syntax"), radix 16.

The order of weights: if a layer's windows are patches (the stride equals the kernel, without
padding and dilation), it is that of ``model.layout`` with one lane, which is the order of use.
Otherwise it is output channel by output channel. Biases and multipliers are in the order of output
channels. There is one multiplier if all channels share it, and one per input for a layer with
several inputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..dtypes import INT32, signed_width
from ..layers import Layer, NetworkError, Requantizing
from ..layers.conv import Conv2d
from ..layout import weight_rows
from ..network import QNetwork

__all__ = ["FORMATS", "RomContents", "rom_files", "roms"]

BY_USE = "kernel row, kernel column, group, input channel of the group, output channel of the group"
BY_CHANNEL = "output channel, kernel row, kernel column, input channel of the group"
PER_CHANNEL = "output channel"
SHARED = "one for all output channels"
PER_INPUT = "input"


@dataclass(frozen=True)
class RomContents:
    """The contents of one ROM.

    Parameters
    ----------
    holds : weights, biases, multipliers or offsets
    width : bits of a word, two's complement if ``signed``
    order : the axes that the addresses count through, the last one fastest
    """

    layer: str
    holds: str
    words: tuple[int, ...]
    width: int
    signed: bool
    order: str

    @property
    def digits(self) -> list[str]:
        """Each word in hexadecimal, with leading zeros."""
        mask, count = (1 << self.width) - 1, -(-self.width // 4)
        return [f"{word & mask:0{count}x}" for word in self.words]


def roms(layer: Layer) -> Iterator[RomContents]:
    """The ROMs of a layer; none if it has no constants."""
    if isinstance(layer, Conv2d):
        yield _weights(layer)
        biases = tuple(layer.bias.tolist())
        yield RomContents(layer.name, "biases", biases, INT32.bits, True, PER_CHANNEL)
    if not isinstance(layer, Requantizing):
        return
    requant = layer.requant
    several = PER_INPUT if len(layer.reads) > 1 else PER_CHANNEL
    width = max(requant.multipliers).bit_length()
    order = several if len(requant.multipliers) > 1 else SHARED
    yield RomContents(layer.name, "multipliers", requant.multipliers, width, False, order)
    if requant.has_offsets:
        width = signed_width(min(requant.offsets), max(requant.offsets))
        order = several if len(requant.offsets) > 1 else SHARED
        yield RomContents(layer.name, "offsets", requant.offsets, width, True, order)


def _weights(conv: Conv2d) -> RomContents:
    weights = conv.weights
    by_use = conv.stride == conv.kernel and not any(conv.padding) and conv.dilation == (1, 1)
    values = weight_rows(weights.centered, conv.groups, pe=1) if by_use else weights.centered
    low = weights.dtype.qmin - max(weights.zero_points)
    high = weights.dtype.qmax - min(weights.zero_points)
    words, order = tuple(values.ravel().tolist()), BY_USE if by_use else BY_CHANNEL
    return RomContents(conv.name, "weights", words, signed_width(low, high), True, order)


def _mem(network: str, rom: RomContents) -> str:
    words = f"{len(rom.words)} words of {rom.width} bits"
    sign = "two's complement" if rom.signed else "unsigned"
    comments = [
        f"// {network}.{rom.layer}: {rom.holds}, {words}, {sign}",
        f"// order, the last fastest: {rom.order}",
    ]
    return "\n".join([*comments, *rom.digits, ""])


def _hex(network: str, rom: RomContents) -> str:
    return "\n".join([*rom.digits, ""])


def _coe(network: str, rom: RomContents) -> str:
    head = "memory_initialization_radix=16;\nmemory_initialization_vector=\n"
    return head + ",\n".join(rom.digits) + ";\n"


# By the name of a format, which is also the suffix: (network's name, ROM) -> a file's text.
FORMATS: dict[str, Callable[[str, RomContents], str]] = {"mem": _mem, "hex": _hex, "coe": _coe}


def rom_files(network: QNetwork, form: str) -> dict[str, str]:
    """The text of every file by its name, including ``index.json``.

    Raises NetworkError if the network has no constants.
    """
    write, files, layers = FORMATS[form], dict[str, str](), []
    for layer in network.layers:
        entries = []
        for rom in roms(layer):
            name = f"{rom.layer}_{rom.holds}.{form}"
            files[name] = write(network.name, rom)
            entries.append(
                {
                    "file": name,
                    "holds": rom.holds,
                    "width": rom.width,
                    "depth": len(rom.words),
                    "signed": rom.signed,
                    "order": rom.order,
                }
            )
        if entries:
            layers.append({**_facts(network, layer), "files": entries})
    if not files:
        raise NetworkError(f"Network {network.name!r} has no weights or multipliers to write")
    index = {"network": network.name, "format": form, "layers": layers}
    return files | {"index.json": json.dumps(index, indent=2) + "\n"}


def _facts(network: QNetwork, layer: Any) -> dict[str, Any]:
    """The facts that hardware needs in addition to the ROMs."""
    facts: dict[str, Any] = {"name": layer.name, "kind": layer.kind}
    if isinstance(layer, Conv2d):
        axes = ("output channels", "kernel rows", "kernel columns", "input channels per group")
        facts["weights"] = dict(zip(axes, layer.weights.values.shape, strict=True))
        facts["groups"] = layer.groups
    return facts | {
        "shift": layer.requant.shift,
        "rounding": layer.requant.rounding.value,
        "clamp": [layer.requant.low, layer.requant.high],
        "input_zero_points": [network.tensors[name].zero_point for name in layer.reads],
        "output_zero_point": network.tensors[layer.output].zero_point,
    }
