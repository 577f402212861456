"""Memories in synthesis: each goes where the manifest says."""

import re

import numpy as np
import pytest
from synthesized import kept_resources
from tercet.gen.flow.synth import LUT_RAM, synthesize
from tercet.gen.plan import make_plan
from tercet.gen.verilog.build import write_core
from tercet.gen.verilog.manifest import manifest, misplaced, stored_rom_bits
from tercet.model import load
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.dtypes import IntType
from tercet.model.layers.weights import Weights
from tercet.model.requant import Rounding
from tercet.model.search.policies import fixed

UINT8, INT8 = IntType(8, signed=False), IntType(8, signed=True)
RESCALE = fixed(16, Rounding.HALF_UP)
SHIPPED = ["separable", "lenet_avg", "lenet_max", "mnist_cnn", "mnist_cnn_bn", "mobilenet"]
IN_BLOCKS = {
    "window.windows.buffer",
    "patch.engine.weights",
    "patch.engine.partial_sums",
    "patch.engine.bias",  # and the scales, which would fit beside it, in LUTs
    "max.pool.maxima",
    "fc.engine.weights",
}


def weights(rng, *shape):
    scales = tuple(np.linspace(0.001, 0.003, shape[0]).tolist())
    return Weights(rng.integers(-127, 128, shape), INT8, scales, (0,))


def lenet_like(seed):
    """A window reader, pools, a scale for each channel; memories on both sides of the rule."""
    rng = np.random.default_rng(seed)
    builder, grid = Builder("lenet_like"), Grid(UINT8, 0.02, 10)

    def conv(name, x, *shape, **options):
        bias = rng.integers(-999, 999, shape[0])
        return builder.conv2d(name, x, weights(rng, *shape), bias, Output(grid, RESCALE), **options)

    y = builder.input((10, 22, 3), Grid(UINT8, 1 / 255, 0))
    y = conv("window", y, 4, 3, 3, 3, window=Window(padding=(1, 1, 1, 1)))
    y = builder.max_pool2d("half", y, (2, 2), Window(stride=(2, 2)))
    y = conv("patch", y, 130, 2, 2, 4, window=Window(stride=(2, 2)))
    y = builder.max_pool2d("max", y, (2, 5), Window(stride=(2, 5)))
    conv("fc", y, 10, 1, 1, 130)
    return builder.network()


def kinds_of(facts):
    """The kinds of all memories, by their paths, queues first."""
    found = {queue["name"]: queue["kind"] for queue in facts["queues"]}
    for layer in facts["layers"]:
        for memory in layer["roms"] + layer["memories"]:
            found[f"{layer['name']}.{memory['name']}"] = memory["kind"]
    return found


def blocks_of(facts):
    """The paths of the memories in block RAM."""
    return {path for path, kind in kinds_of(facts).items() if kind == "block"}


def check(facts, target, resources):
    """Compare what synthesis gave with what the manifest says of each memory."""
    blocks = blocks_of(facts)
    assert misplaced(facts, resources.in_blocks, lut_ram=target in LUT_RAM) == []
    assert resources.rom_bits == stored_rom_bits(facts)
    if target in LUT_RAM:
        assert resources.in_blocks == blocks
    assert resources.block_rams >= len(blocks)
    assert (resources.block_rams == 0) == (resources.in_blocks == frozenset())


def test_the_manifest_states_every_memory(seed):
    network = lenet_like(seed)
    plan = make_plan(network)
    facts = manifest(plan)
    kinds = kinds_of(facts)
    assert blocks_of(facts) - {queue["name"] for queue in facts["queues"]} == IN_BLOCKS
    assert kinds["window.engine.weights"] == "lut"
    assert kinds["window.engine.partial_sums"] == "register"
    assert kinds["verdicts"] == "lut"
    for layer in facts["layers"]:
        assert layer["rom_bits"] == sum(rom["bits"] for rom in layer["roms"])
        sums = [
            memory["bits"] for memory in layer["memories"] if memory["name"] != "windows.buffer"
        ]
        assert sum(sums) == layer["partial_sum_bits"]
        for memory in layer["roms"] + layer["memories"]:
            assert memory["bits"] in (0, memory["rows"] * memory["row_bits"])
            assert (memory["bits"] == 0) == (memory["kind"] == "constant")


ROM_BLOCK = {'rom_style = "block"'}
ROM_LUT = {"logic_block = 32'd1", 'ROM_STYLE = "distributed"'}
RAM_BLOCK = {"no_rw_check = 32'd1", 'ram_style = "block"'}
RAM_LUT = {"no_rw_check = 32'd1", 'RAM_STYLE = "distributed"'}


def test_the_verilog_tells_synthesis_at_each_array(tmp_path, seed):
    write_core(lenet_like(seed), tmp_path)
    verilog = (tmp_path / "rtl" / "lenet_like.v").read_text()
    arrays = {}
    for module in re.finditer(r"^module (\w+)\(.*?^endmodule", verilog, re.DOTALL | re.MULTILINE):
        array = r"((?: *\(\* .* \*\)\n)*) *reg \[\d+:0\] \w+ \[\d+:0\];"
        for found in re.finditer(array, module[0]):
            arrays[module[1]] = set(re.findall(r"\(\* (.*) \*\)", found[1]))
    assert arrays["lenet_like__patch__engine__weights"] == ROM_BLOCK
    assert arrays["lenet_like__patch__engine__bias"] == ROM_BLOCK
    assert arrays["lenet_like__patch__requantizer__scales"] == ROM_LUT
    assert arrays["lenet_like__window__engine__weights"] == ROM_LUT
    assert arrays["lenet_like__window__windows"] == RAM_BLOCK
    assert arrays["lenet_like__patch__engine__partial_sums"] == RAM_BLOCK
    assert arrays["lenet_like__half__pool__maxima"] == RAM_LUT
    assert arrays["lenet_like__verdicts"] == RAM_LUT
    allowed = (ROM_BLOCK, ROM_LUT, RAM_BLOCK, RAM_LUT)
    assert all(attributes in allowed for attributes in arrays.values())


def test_says_what_is_elsewhere(seed):
    plan = make_plan(lenet_like(seed))
    facts = manifest(plan)
    said = blocks_of(facts)
    assert misplaced(facts, said, lut_ram=True) == []
    swapped = said - {"max.pool.maxima"} | {"window.engine.weights", "half.pool.maxima"}
    wrong = ["window.engine.weights", "half.pool.maxima", "max.pool.maxima"]
    assert misplaced(facts, swapped, lut_ram=True) == wrong
    assert misplaced(facts, swapped, lut_ram=False) == [wrong[0], wrong[2]]


@pytest.mark.yosys
@pytest.mark.slow
@pytest.mark.parametrize("target", sorted(LUT_RAM))
def test_synthesis_puts_memories_where_the_manifest_says(target, tmp_path, kept, seed):
    facts = write_core(lenet_like(seed), tmp_path)
    verilog = tmp_path / facts["verilog"]
    check(
        facts,
        target,
        kept_resources(kept, verilog, lambda: synthesize(verilog, facts["top"], target)),
    )


@pytest.mark.yosys
@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_synthesis_of_the_shipped_networks(name, tmp_path, long_form):
    if not long_form:
        pytest.skip("synthesizes for minutes: --all-networks")
    facts = write_core(load(name), tmp_path)
    for target in sorted(LUT_RAM):
        check(facts, target, synthesize(tmp_path / facts["verilog"], facts["top"], target))
