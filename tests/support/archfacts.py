"""The numbers of parts, from the code, under the names that docs/architecture.md gives them."""

import re
from dataclasses import replace

import numpy as np
from tercet.gen.parts.add import AddPart
from tercet.gen.parts.alone import simulated_cycles
from tercet.gen.parts.concat import ConcatPart
from tercet.gen.parts.conv import ConvPart
from tercet.gen.parts.max_pool import MaxPoolPart
from tercet.gen.verilog.emit import to_rtlil
from tercet.hw.operand import operand_shape
from tercet.hw.requantizer_spec import requantizer_slots
from tercet.hw.rescale import Rescale
from tercet.model.dtypes import signed_width
from tercet.model.layers.add import Add
from tercet.model.layers.concat import Concat
from tercet.model.layers.pool import AvgPool2d, MaxPool2d


def part_of(network, layer):
    """A layer's part that makes one sum at a time."""
    if isinstance(layer, Add):
        return AddPart.of(network, layer)
    if isinstance(layer, Concat):
        return ConcatPart.of(network, layer)
    if isinstance(layer, MaxPool2d):
        return MaxPoolPart.of(network, layer)
    return ConvPart.of(network, layer)


def with_pe(part, pe):
    return replace(part, geometry=replace(part.geometry, pe=pe))


def map_facts(part):
    (h, w, ic), (oh, ow, oc) = part.x.shape, part.y.shape
    return {
        **{"H": h, "W": w, "IC": ic, "OH": oh, "OW": ow, "OC": oc},
        **{"x_bits": part.x.dtype.bits, "cycles": part.engine_cycles},
    }


def engine_facts(part):
    g = part.geometry
    return map_facts(part) | {
        **{"KH": g.kernel[0], "KW": g.kernel[1], "G": g.groups, "P": g.pe, "slots": g.slots},
        **{
            "pixels": g.pixels,
            "channels_at_once": g.channels_at_once,
            "terms": g.terms,
            "cells": g.cells,
        },
        **{"S": g.cells * g.terms, "R": part.output_lanes},
        **{"multiplies": part.multiplies, "partial_sum_bits": part.partial_sum_bits},
        "credits": getattr(part, "credits", 0),
        **{"acc_bits": part.accumulator_width, "T": getattr(part, "requantizer_slots", 1)},
    }


def memories(part):
    """{name: storage} of a part's memories."""
    return {storage.name: storage for storage in part.memories}


def late_facts(part):
    """How many cycles later a layer's memories in block RAM give what they hold."""
    held = memories(part)

    def late(name):
        return held[name].read_cycles - 1 if name in held else 0

    buffer = (
        "windows.buffer" if part.windows is None or part.windows.taps == 1 else "windows.buffer0"
    )
    return {
        "weights_late": late("engine.weights"),
        "buffer_late": late(buffer),
        "scales_late": late("requantizer.scales"),
    }


def patch_facts(part):
    held = memories(part)
    weights, bias, sums = (held[f"engine.{name}"] for name in ("weights", "bias", "partial_sums"))
    assert sums.bits == part.partial_sum_bits
    return engine_facts(part) | {
        "weight_bits": _width(part.conv.weights.centered) if weights.bits else 0,
        "weight_rom_bits": weights.bits,
        "bias_bits": _width(part.conv.bias) if bias.bits else 0,
        "bias_rom_bits": bias.bits,
    }


def pool_facts(part):
    facts = engine_facts(part)
    if isinstance(part.layer, AvgPool2d):
        definition = part.layer.requant.definition
        (m,), n = definition.multipliers, definition.shift
        facts |= {"M": m, "n": n, "Sx": part.x.scale, "Sy": part.y.scale}
    return facts


def geometry_facts(g, slots, late=0):
    """Of a window reader before an engine of some slots."""
    names = {
        ("H", "W", "IC", "OH", "OW"): (g.height, g.width, g.pixel_elements, g.rows, g.columns),
        ("E", "taps", "channels_at_once", "window"): (g.pixel_elements, g.taps, 1, g.window),
        ("KH", "KW", "SY", "SX", "DY", "DX"): (*g.kernel, *g.stride, *g.dilation),
        ("top", "left", "bottom", "right"): g.padding,
        ("OC", "G", "P", "slots"): (slots, 1, 1, slots),
        ("beats", "capacity", "cycles"): (
            *(g.beats, g.capacity),
            g.cycles(slots, ahead=2 + late),
        ),
        ("buffer_late",): (late,),
    }
    return {name: n for key, numbers in names.items() for name, n in zip(key, numbers, strict=True)}


def window_facts(part):
    g = part.geometry
    held = memories(part).items()
    buffer_bits = sum(memory.bits for name, memory in held if name.startswith("windows.buffer"))
    return geometry_facts(part.windows, g.slots) | {
        **{"OC": g.out_channels, "G": g.groups, "P": g.pe},
        **{"IC": g.in_channels, "channels_at_once": g.channels_at_once},
        **{"x_bits": part.x.dtype.bits, "buffer_bits": buffer_bits},
        "buffer_late": late_facts(part)["buffer_late"],
        "cycles": part.engine_cycles,
    }


def serializer_facts(part):
    facts = engine_facts(part)
    return facts | {"engine_cycles": facts["cycles"], "cycles": simulated_cycles(part)}


def requantizer_facts(part):
    component = part.component()
    requantizer = component.elaborate(None).submodules.requantizer
    product = re.search(r"width (\d+) .*\\s2_product$", to_rtlil(requantizer, "r"), re.MULTILINE)
    requant = part.conv.requant
    widths = part.y.zero_point, part.accumulator_width
    addends = Rescale(requant=requant, zero_point=part.y.zero_point).addends
    scales = memories(part).get("requantizer.scales")
    return map_facts(part) | {
        **{"acc_bits": part.accumulator_width, "cycles": part.results, "R": part.output_lanes},
        **{"multipliers": len(set(requant.multipliers)), "addends": len(set(addends))},
        "multiplier_bits": _width((0, *requant.multipliers)),
        "operand_bits": operand_shape(requant, *widths).width,
        "slow_cycles_per_result": requantizer_slots(operand_shape(requant, *widths)),
        "addend_bits": _width((0, *addends)),
        "product_bits": int(product[1]),
        "scale_row_bits": scales.row_bits if scales else 0,
        "scale_rom_bits": scales.bits if scales else 0,
    }


def queue_facts(plan, name):
    link = next(link for link in plan.fifo_depths if plan.links.name(link, "fifo") == name)
    storage = plan.queues[name].storage
    depth, bits = plan.fifo_depths[link], storage.row_bits
    return {"depth": depth, "bits": bits, "queue_bits": storage.bits + bits}


def shell_facts(plan):
    first, last = plan.layers[0].part, plan.layers[-1].part
    frame = map_facts(first)
    return frame | {
        "frame_in_cycles": int(np.prod(first.x.shape)),
        "argmax_cycles": last.results,
        "classes": last.results,
        "verdict_depth": plan.verdict_depth,
    }


def _width(values):
    """Bits of each of some values, signed."""
    return signed_width(int(np.min(values)), int(np.max(values)))
