"""Networks quantized by PT2E (torchao), read into integers.

A converted program is a float program between quantize and dequantize nodes. In real numbers, with
scales and biases exactly as the program stores them, a layer computes

    y = clamp(round((sum (qx - Zx) * (qw - Zw) * Sx * Sw + bias) / Sy) + Zy), ties to even

``read`` returns exactly this, bit for bit. The bias is an integer at Sx * Sw plus the remainder in
``requant.offsets``. M, B and n equal the exact value on every reachable sum if
``requant.reference`` is ``half_even`` (``rescale.py``). An average pool divides before its only
rounding; an addition rounds its sum once. There is one exception: a layer without weights whose
factor is not dyadic and which meets exact ties (an average of 36 positions with one scale for input
and output; an addition or a requantization with scales in the ratio 11 to 10). No M, B and n give
ties to even there, so all ties go up, and ``reference`` is None. It is also None if 31 bits of M do
not suffice, as for scores of far more than 8 bits; M, B and n are then the closest.

PyTorch runs the program in float32. Its rounding errors (of sums, of the dequantized weights, of
the reciprocal of Sy) change values within about 2**-20 of a tie, and decide the exact ties of
average pools and additions arbitrarily. ``tests/support/pt2erun.py`` runs a program both ways.

The supported operators are those of ``float/torch_export/module.py``, between quantizations per
tensor of 2 to 8 bits, with weights per tensor or per output channel. torchao is needed to make such
programs, not to read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import TypeAlias

import torch

from ...builder import Grid
from ...layers import NetworkError
from ...network import QNetwork
from ...ordered import Ordered
from .layers import Pt2eLayers
from .operators import PT2E_OPERATORS
from .program import ProgramReader

__all__ = ["Program", "Reading", "read", "reading"]

Program: TypeAlias = torch.export.ExportedProgram | torch.fx.GraphModule


def read(program: Program, name: str | None = None, output: Grid | None = None) -> QNetwork:
    """Read a converted PT2E program into an integer network.

    The network's input is the integers of the program's first quantize node, not pixels.

    Parameters
    ----------
    program : the result of ``convert_pt2e``, or of ``torch.export.export`` on it; float32 (N, C, H,
        W) -> float32 (N, classes)
    name : the network's; ``pt2e`` by default
    output : the grid of the scores, if the program leaves its last layer's output in floats, as
        programs of X86InductorQuantizer do

    Raises NetworkError, which names the layer or node, the reason and a way out, for any other
    program. A path is refused too: ``float.torch_export.archive.loaded`` loads one without running
    what is in it.
    """
    return reading(program, name, output).network


@dataclass(frozen=True, eq=False)
class Reading:
    """A network and the program from which it was read.

    tensors : by the name of each quantize node, the network's tensor with its integers
    orders : by tensor, the order of its elements in the program
    """

    network: QNetwork
    program: torch.export.ExportedProgram
    tensors: dict[str, str]
    orders: dict[str, Ordered]


def reading(program: Program, name: str | None = None, output: Grid | None = None) -> Reading:
    """Read as :func:`read` does, and find the tensor of each quantize node."""
    name = name or "pt2e"
    exported = _exported(program, name)
    reader = ProgramReader(exported, name, PT2E_OPERATORS)
    layers = Pt2eLayers(reader.graph(), reader.parameters, output)
    network = layers.builder.network(layers.scores)
    last = layers.builder.last
    found = {node: layers.values[made] for node, made in reader.sources.items()}
    tensors: dict[str, str] = {}
    orders = {network.input: Ordered(network.tensors[network.input])}
    for node, x in found.items():
        if isinstance(x, Ordered):
            tensor = network.output if x.tensor.name == last else x.tensor.name
            places = reader.tensors[node].places  # in the graph's tensor, whose values x has
            tensors[node], orders[tensor] = tensor, x.seen(x.places.ravel()[places], "")
    return Reading(network, reader.program, tensors, orders)


def _exported(program: object, name: str) -> torch.export.ExportedProgram:
    """The program as an ExportedProgram. Raises NetworkError for any other object."""
    if isinstance(program, str | PathLike):
        raise NetworkError(
            f"Network {name!r}: a path is no program; load it by torch_export.archive.loaded, "
            "which runs nothing in the file, and pass what it returns"
        )
    if isinstance(program, torch.export.ExportedProgram):
        return program
    if not isinstance(program, torch.fx.GraphModule):
        raise NetworkError(
            f"Network {name!r}: a PT2E program is what convert_pt2e gives, not a "
            f"{type(program).__name__}"
        )
    inputs = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            inputs.append(torch.zeros(tuple(int(n) for n in node.meta["val"].shape)))
        elif node.op == "call_module" and "activation_post_process" in str(node.target):
            raise NetworkError(
                f"Network {name!r}: its node {node.name!r} still observes or quantizes in floats; "
                "calibrate or train it, then convert it with torchao's convert_pt2e"
            )
    return torch.export.export(program, tuple(inputs))
