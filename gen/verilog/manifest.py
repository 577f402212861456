"""The facts of a core: the manifest, and the header of the Verilog."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import version
from textwrap import fill
from typing import Any

from ...hw.storage import Kind, Storage, folded_rows
from ...model.layers import Flatten
from ..plan import LayerPlan, Plan
from .core import ports_of

__all__ = ["header", "input_line", "manifest", "misplaced", "stored_rom_bits"]

TOOLS = ("tercet", "amaranth", "pyosys")


def _memory(storage: Storage) -> dict[str, Any]:
    """The facts of a memory; ``kind`` is where its bits are stored, see ``hw/storage.py``."""
    return {
        "name": storage.name,
        "rows": storage.rows,
        "row_bits": storage.row_bits,
        "bits": storage.bits,
        "kind": storage.kind.value,
    }


def _layer(plan: Plan, layer: LayerPlan) -> dict[str, Any]:
    part, memories = layer.part, layer.part.memories
    roms = [
        {**_memory(storage), "memory_rows": folded_rows(storage)}
        for storage in memories
        if not storage.writable
    ]
    return {
        "name": part.name,
        "instance": plan.links.name(part.name),
        "kind": part.layer.kind,
        "multipliers": part.multipliers,
        "requantizer_multipliers": part.requantizer_multipliers,
        "multiplies": part.multiplies,
        "cycles": layer.cycles_alone,
        "utilization": round(plan.utilization_of(layer), 4),
        "rom_bits": sum(rom["bits"] for rom in roms),
        "fifo_depth": layer.fifo_depth,
        "partial_sum_bits": part.partial_sum_bits,
        "roms": roms,
        "memories": [_memory(storage) for storage in memories if storage.writable],
    }


def _streams(plan: Plan) -> list[dict[str, str | int]]:
    """The signals in the hierarchy that show each layer's output, and the lanes of a beat."""
    return [
        {
            "tensor": layer.part.layer.output,
            "scope": plan.links.name(layer.name),
            "valid": f"{layer.part.handshake}__valid",
            "ready": f"{layer.part.handshake}__ready",
            "payload": "o__payload",
            "lanes": layer.part.output_lanes,
        }
        for layer in plan.layers
    ]


def _input(plan: Plan) -> dict[str, Any]:
    """The beats in which an image enters."""
    height, width, channels = plan.network.tensors[plan.network.input].shape
    return {
        "values_per_beat": plan.input_lanes,
        "beats_per_row": plan.input_beats // height,
        "beats_per_frame": plan.input_beats,
        "last_beat_values": (width * channels - 1) % plan.input_lanes + 1,
    }


def input_line(facts: dict[str, Any]) -> str:
    """A line that describes the input beats, for the plan's totals and for the Verilog."""
    given = facts["input"]
    values, last = given["values_per_beat"], given["last_beat_values"]
    beats = (
        f"{_count(values, 'value')} per input beat, {_count(given['beats_per_row'], 'beat')} per "
        f"row, {given['beats_per_frame']} per frame"
    )
    if last == values:
        return f"{beats}; every beat is full"
    return (
        f"{beats}; the last beat of a row holds {_count(last, 'value')}, and its other lanes are "
        "ignored"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def manifest(plan: Plan) -> dict[str, Any]:
    """The facts of a core for its users; cycles are exact.

    goal, shortfall : the goal of the plan, and why the plan misses it; empty if it meets it
    utilization : multiplications of an image divided by multipliers times cycles per image
    cycles_per_image : between images, if neither side pauses
    first_cycles : the same for the first images, one entry each, until it is cycles_per_image
    latency_cycles : from the first value taken to the last result sent, in an idle core
    left_out : layers without hardware because they change no value; flattens are not listed
    layers : each with the name of its instance in the top module, its ROMs and its other memories.
        The names of memories are paths below this instance. memory_rows is the number of rows in
        the Verilog; it is less than rows if several rows lie side by side
    queues : the FIFOs between the layers, and the queue of verdicts
    input : values in a beat, beats of a row and of a frame, and values in a row's last beat; the
        last beat is full unless the plan is row-aligned
    """
    layers = [_layer(plan, layer) for layer in plan.layers]
    return {
        "network": plan.network.name,
        "goal": dict(plan.goal),
        "shortfall": plan.shortfall,
        "cycles_per_image": plan.cycles_per_image,
        "first_cycles": list(plan.first_cycles),
        "latency_cycles": plan.latency_cycles,
        "multipliers": plan.multipliers,
        "utilization": round(plan.utilization, 4),
        "rom_bits": sum(layer["rom_bits"] for layer in layers),
        "accumulator_bits": {
            layer.name: layer.part.accumulator_width
            for layer in plan.layers
            if layer.part.accumulator_width is not None
        },
        "layers": layers,
        "left_out": [
            layer.name
            for layer in plan.network.layers
            if layer.changes_nothing(plan.network) and not isinstance(layer, Flatten)
        ],
        "queues": [_memory(spec.storage.within(name)) for name, spec in plan.queues.items()],
        "ports": ports_of(plan),
        "streams": _streams(plan),
        "input_lanes": plan.input_lanes,
        "input": _input(plan),
        "plan": {layer.name: layer.part.form for layer in plan.layers},
        "tools": {tool: version(tool) for tool in TOOLS},
    }


def stored_rom_bits(facts: dict[str, Any]) -> int:
    """Bits of the ROMs in the Verilog; a memory there may end in unused rows."""
    return sum(
        rom["memory_rows"] * -(-rom["rows"] // rom["memory_rows"]) * rom["row_bits"]
        for layer in facts["layers"]
        for rom in layer["roms"]
        if rom["kind"] != Kind.CONSTANT
    )


def misplaced(facts: dict[str, Any], in_blocks: Collection[str], *, lut_ram: bool) -> list[str]:
    """The paths of the memories that synthesis placed elsewhere than the manifest says.

    in_blocks : paths of the memories in block RAM
    lut_ram : whether the family has LUT RAM; if not, synthesis may place a writable LUT memory
        anywhere
    """
    memories = [
        (f"{layer['instance']}.{memory['name']}", memory["kind"], writable)
        for layer in facts["layers"]
        for key, writable in (("roms", False), ("memories", True))
        for memory in layer[key]
    ]
    memories += [(queue["name"], queue["kind"], True) for queue in facts["queues"]]
    return [
        path
        for path, kind, writable in memories
        if (kind == Kind.BLOCK) != (path in in_blocks)
        and (lut_ram or not writable or kind == Kind.BLOCK)
    ]


def header(facts: dict[str, Any]) -> str:
    """The header of the Verilog: the main facts of the core."""
    ports = ", ".join(f"{name}[{port['width']}]" for name, port in facts["ports"].items())
    tools = ", ".join(f"{name} {number}" for name, number in facts["tools"].items())
    lines = [
        f"{facts['network']}: a quantized CNN as an AXI4-Stream core. This file is generated.",
        f"{facts['cycles_per_image']} cycles between images; {facts['latency_cycles']} cycles from "
        f"the first value in to the last result out; {facts['multipliers']} multipliers in the "
        "layers.",
        f"Ports: {ports}.",
        f"{input_line(facts)}.",
        "The reset, rst, is synchronous and active high; no beat is accepted or offered during it.",
    ]
    if "m_axis_tuser" in facts["ports"]:
        lines.append("When m_axis_tlast is high, m_axis_tuser is the class.")
    lines += [
        "frame_good or frame_bad is high in the cycle after the last beat of a frame was accepted. "
        "frame_good: the results will follow. frame_bad: there will be no results, because TLAST "
        "did not come with the last expected beat.",
        "frame_error is high from the first frame_bad until frame_error_clear or rst is high. Tie "
        "frame_error_clear to 0 if you do not need it.",
        f"Generated by {tools}.",
    ]
    return "\n".join(fill(line, 97) for line in lines)
