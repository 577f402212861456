"""The core by NNgen: an AXI4 master that reads image and weights from memory, 3x3 taps at once.

The parallelism is the default, one input and one output channel at a time. Values between layers
are int16 in all layers, so the layers share one set of multipliers. uint8 is not possible: NNgen
clips before the activation function, so logits below their zero point would be lost.
"""

from __future__ import annotations

import re
from typing import Any

import nngen
import numpy as np
import veriloggen as vg
from veriloggen import simulation, thread
from veriloggen.types import axi

from ..stopwatch import Stopwatch
from .chain import PatchConv, PeerError, chain_of
from .request import Facts, Request, answer

TOP = "plain_nngen"
CONFIG = {"maxi_datawidth": 32}
WORD = 32  # bits of a memory word
CHUNK = 64  # alignment of memory regions, bytes

Node = Any  # a node of NNgen's graph
Module = Any  # a module of veriloggen


def run(request: Request) -> Facts:
    """Build the design, write folder/core.v, simulate the images one after the other."""
    watch = Stopwatch()
    image, scores = _graph(chain_of(request.network), request.images.shape[1:])
    core = nngen.to_veriloggen([scores], TOP, silent=True, config=CONFIG)
    (request.folder / "core.v").write_text(core.to_verilog(), encoding="utf-8")
    seconds, peak = watch.read()
    cycles, found = _simulate(core, image, scores, request.images)
    return Facts(
        top=TOP,
        settings="par_ich = par_och = 1, int16 between the layers, image and weights read over "
        "AXI4 from a memory outside",
        emission_cpu_s=seconds,
        peak_mib=peak,
        cycles_per_image=cycles,
        latency_cycles=cycles,
        scores=found,
    )


def _graph(chain: list[PatchConv], shape: tuple[int, ...]) -> tuple[Node, Node]:
    """The input and the output of NNgen's graph."""
    image = values = nngen.placeholder(dtype=nngen.int16, shape=(1, *shape), name="image")
    clamps: dict[tuple[int, int, int], type] = {}
    for layer in chain:
        key = (layer.zero_point, layer.low, layer.high)
        clamp = clamps.setdefault(key, _clamp(*key))
        bias = {"bias": _constant(f"{layer.name}_bias", layer.bias)} if layer.bias.any() else {}
        size = layer.weights.shape[1]
        values = nngen.conv2d(
            values,
            _constant(f"{layer.name}_weights", layer.weights, nngen.int8),
            strides=(1, size, size, 1),
            scale=_constant(f"{layer.name}_scale", _once(layer.multipliers)),
            padding="VALID",
            dtype=nngen.int16,
            sum_dtype=nngen.int32,
            act_func=clamp,
            name=layer.name,
            **bias,
        )
        values.attribute(cshamt_out=layer.shift)
    return image, values


def _once(values: Any) -> Any:
    """A single value if all values are equal, else all values."""
    return values[:1] if (values == values[0]).all() else values


def _constant(name: str, value: Any, dtype: Any = nngen.int32) -> Node:
    node = nngen.variable(dtype=dtype, shape=value.shape, name=name)
    node.set_value(value)
    return node


def _clamp(zero_point: int, low: int, high: int) -> type:
    """An activation function: adds the zero point, then clamps to [low, high]."""

    def op(self: Node, stream: Any, value: Any, **_: Any) -> Any:
        below, above = value < stream.Int(low - zero_point), value > stream.Int(high - zero_point)
        inside = value + stream.Int(zero_point) if zero_point else value
        return stream.Mux(below, stream.Int(low), stream.Mux(above, stream.Int(high), inside))

    return type("clamp", (nngen.relu,), {"op": op})


def _simulate(core: Module, image: Node, scores: Node, images: Any) -> tuple[int, list[list[int]]]:
    """Cycles from start to done, and the scores of every image, by Icarus Verilog.

    The memory is veriloggen's model of an AXI4 memory. The host polls every eight cycles whether an
    image is done, so the cycles vary by up to eight; the minimum counts. Raises PeerError if scores
    are missing.
    """
    parameters = nngen.export_ndarray([scores], CHUNK)
    first = _aligned(image.addr + image.memory_size)
    scratch = _aligned(first + len(parameters))
    start = scratch + _aligned(64 * 1024)
    step = _aligned(image.memory_size)
    memory = np.zeros((start + len(images) * step) * 8 // WORD, dtype=np.int64)
    axi.set_memory(memory, parameters, WORD, 8, first)
    for number, pixels in enumerate(images):
        axi.set_memory(memory, pixels[None], WORD, 16, start + number * step, WORD // 16)
    bench = _bench(core, memory, image, scores, (scratch, start, step, len(images)))
    text = simulation.Simulator(bench, sim="iverilog").run(outputfile="bench.out")
    taken = {int(cycles) for cycles in re.findall(r"^cycles\s+(\d+)", text, re.MULTILINE)}
    found = [int(score) for score in re.findall(r"^score\s+(\d+)", text, re.MULTILINE)]
    if not taken or len(found) != len(images) * scores.shape[-1]:
        raise PeerError(f"NNgen's core took {sorted(taken)} cycles and gave {len(found)} scores")
    return min(taken), np.reshape(found, (len(images), -1)).tolist()


def _aligned(address: int) -> int:
    return -(-address // CHUNK) * CHUNK


def _bench(core: Module, memory: Any, image: Node, scores: Node, plan: tuple[int, ...]) -> Module:
    """A module that runs the core on ``memory`` and prints cycles and scores of each image."""
    scratch, start, step, count = plan
    classes, address = scores.shape[-1], scores.addr
    bench = vg.Module("bench")
    bench.copy_params(core)
    ports = bench.copy_sim_ports(core)
    clk, resetn = ports["CLK"], ports["RESETN"]
    rst = bench.Wire("RST")
    rst.assign(vg.Not(resetn))
    model = axi.AxiMemoryModel(
        bench, "memory", clk, rst, datawidth=WORD, memimg=memory, memimg_datawidth=WORD
    )
    model.connect(ports, "maxi")
    saxi = thread.AXIMLite(bench, "host_saxi", clk, rst, noio=True)
    saxi.connect(ports, "saxi")
    now = bench.Reg("now", 32, initval=0)
    vg.Seq(bench, "clock", clk, rst)(now.inc())

    def host() -> None:
        nngen.sim.set_global_addrs(saxi, scratch)
        for number in range(count):
            nngen.sim.set_global_addrs(saxi, start + number * step, offset=image.global_index)
            begin = now.value
            nngen.sim.start(saxi)
            nngen.sim.wait(saxi)
            print(f"cycles {now.value - begin}")
            for index in range(classes):
                score = model.read_word(index, address, 16)
                print(f"score {score}")
        thread.finish()

    thread.Thread(bench, "host", clk, rst, host).start()
    bench.Instance(core, "core", bench.connect_params(core), bench.connect_ports(core))
    simulation.setup_clock(bench, clk, hperiod=5)
    simulation.setup_reset(bench, resetn, bench.make_reset(), period=100, polarity="low")
    return bench


if __name__ == "__main__":
    answer(run)
