"""What a core is, in numbers: the manifest, and the first lines of the Verilog."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from .assemble import Core
from .plan import LayerPlan, Plan

__all__ = ["header", "manifest"]

TOOLS = ("tercet", "amaranth", "pyosys")


def _layer(plan: LayerPlan, rom_bits: int) -> dict[str, Any]:
    part = plan.part
    return {
        "name": part.name,
        "kind": part.layer.kind,
        "multipliers": part.multipliers,
        "requantizer_multipliers": part.requantizer_multipliers,
        "multiplies": part.multiplies,
        "cycles": part.busy_cycles,
        "rom_bits": rom_bits,
        "fifo_depth": plan.fifo_depth,
        "partial_sum_bits": part.partial_sum_bits,
    }


def _streams(plan: Plan) -> list[dict[str, str]]:
    """Where each layer's output can be watched in the hierarchy."""
    return [
        {
            "tensor": layer.part.layer.output,
            "scope": layer.name,
            "valid": f"{layer.part.handshake}__valid",
            "ready": f"{layer.part.handshake}__ready",
            "payload": "o__payload",
        }
        for layer in plan.layers
    ]


def manifest(plan: Plan, core: Core) -> dict[str, Any]:
    """Everything a user of the core asks; cycles are exact, bits those of the ROMs.

    cycles_per_image : between images, when neither side pauses
    latency_cycles : from the first value taken to the last result sent, in an idle core
    """
    bits = {name: part.rom_bits for name, part in core.layers.items()}
    return {
        "network": plan.network.name,
        "cycles_per_image": plan.cycles_per_image,
        "latency_cycles": plan.latency_cycles,
        "multipliers": plan.multipliers,
        "rom_bits": sum(bits.values()),
        "accumulator_bits": {
            layer.name: layer.part.accumulator_width
            for layer in plan.layers
            if layer.part.accumulator_width is not None
        },
        "layers": [_layer(layer, bits[layer.name]) for layer in plan.layers],
        "ports": core.ports,
        "streams": _streams(plan),
        "plan": {layer.name: {"P": layer.multipliers, "S": 1} for layer in plan.layers},
        "tools": {tool: version(tool) for tool in TOOLS},
    }


def header(facts: dict[str, Any]) -> str:
    """What an engineer who opens the Verilog wants to know first."""
    ports = ", ".join(f"{name}[{port['width']}]" for name, port in facts["ports"].items())
    tools = ", ".join(f"{name} {number}" for name, number in facts["tools"].items())
    return (
        f"{facts['network']}: a quantized CNN as an AXI4-Stream core; generated, "
        "so change the network and not this file.\n"
        f"{facts['cycles_per_image']} cycles between images, {facts['latency_cycles']} cycles from "
        f"first value in to last result out, {facts['multipliers']} multipliers in the layers.\n"
        f"Ports: {ports}.\n"
        "One clock; rst is synchronous and active high. frame_error is sticky until rst.\n"
        f"Made by {tools}."
    )
