"""The shipped networks and random ones on both simulators, and mutants of their Verilog caught.

The short form leaves out cases that only repeat others on the second simulator, on the second
network, or in cycles that another plan spares; ``--all-networks`` runs all of them.
"""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from inceptionnet import inception
from randomnets import random_network
from residualnet import residual
from simcore import (
    FRAMES,
    IMAGES,
    OUTPUT,
    PAUSED,
    PAUSED_RESETS,
    RESETS,
    SIMULATORS,
    WRONG,
    Core,
    alone,
)
from tablenet import tables
from tercet.gen.verilog.build import write_core
from tercet.model import load
from tercet.model.data import digits_for_simulation
from tercet.model.dtypes import IntType
from tercet.model.fuzz.draws import random_images
from tercet.sim.run.job import TESTS
from unet import unet


@pytest.fixture(scope="session", params=["plain", "separable"])
def core(request, shared, seed):
    """A shipped network's core, in a folder that all xdist workers share."""
    network = load(request.param)
    folder = shared / f"core_{network.name}"
    with alone(folder):
        manifest = write_core(network, folder)
    return Core(network, manifest, folder, seed)


WHOLE = {("plain", "icarus"), ("separable", "verilator")}  # all tests also in the short form


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("test", TESTS)
def test_equals_the_golden_model(core, simulator, test, long_form):
    whole = long_form or (core.network.name, simulator) in WHOLE
    if not (whole or (test, simulator) == (FRAMES, "icarus")):
        pytest.skip("run on the other simulator; --all-networks runs it")
    outcome = core.run(core.compiled(simulator), [test])
    assert outcome.failure is None
    facts = outcome.facts
    assert facts["mismatches"] == 0
    assert facts["tensors_compared"] == len(core.network.layers)
    if test.startswith("frames"):
        tensors = [core.network.tensors[layer.output] for layer in core.network.layers]
        assert facts["values_compared"] == IMAGES * sum(np.prod(t.shape) for t in tensors)
    if test == "frames/pauses=none":
        assert facts["cycles_per_image"] == core.manifest["cycles_per_image"] == 784
        assert facts["latency_cycles"] == core.manifest["latency_cycles"]
        assert facts["stalled_cycles"]["s_axis"] == 0  # one pixel per clock
    if test == "frames/pauses=output":
        stalled = facts["stalled_cycles"]
        assert stalled["m_axis"] > stalled["s_axis"] > 784  # the pauses reached the input


@pytest.mark.icarus
@pytest.mark.parametrize("number", range(6))
def test_random_networks_equal_the_golden_model(number, tmp_path, long_form, seed):
    rng = np.random.default_rng([seed, number])
    names = ("uint8", "int8", "int5", "uint3", "int12", "uint16")
    network = random_network(
        rng,
        shape=(*rng.integers(1, 10, size=2).tolist(), int(rng.integers(1, 4))),
        output_type=IntType.parse(names[number % len(names)]),
        symmetric=number % 2 == 0,
        argmax=number == 5,
    )
    core = Core(network, write_core(network, tmp_path), tmp_path, seed)
    images = random_images(rng, network.tensors[network.input], 32 if long_form else 8)
    tests = [FRAMES, PAUSED, RESETS, WRONG] if long_form or number == 5 else [FRAMES, PAUSED, WRONG]
    for outcome in core.run(core.compiled("icarus"), tests, images):
        assert outcome.failure is None, outcome.test
        assert outcome.facts["mismatches"] == 0


def windows(rng):
    return random_network(rng, shape=(7, 6, 2), windows=True)


def unlike_branches(rng):
    return inception(rng, one_grid=False)


SHAPES = [residual, windows, inception, unlike_branches, tables, unet]


@pytest.mark.slow
@pytest.mark.icarus
@pytest.mark.parametrize("goal", [None, 1])
@pytest.mark.parametrize("make", SHAPES)
def test_all_kinds_of_layers_equal_the_golden_model(make, goal, tmp_path, long_form, seed):
    """The default plan, and the fastest one, which takes the fewest cycles to any reset."""
    network = make(np.random.default_rng(seed))
    core = Core(network, write_core(network, tmp_path, goal), tmp_path, seed)
    count, tests = 3, [FRAMES, PAUSED] if goal is None else [FRAMES, RESETS, WRONG]
    if make is inception:  # it differs from unlike_branches in what its plan rounds alone
        tests = [FRAMES, PAUSED]
    if long_form:
        count, tests = 8, [FRAMES, PAUSED, RESETS, PAUSED_RESETS, WRONG]
    images = random_images(np.random.default_rng(seed), network.tensors[network.input], count)
    for outcome in core.run(core.compiled("icarus"), tests, images):
        assert outcome.failure is None, outcome.test
        assert outcome.facts["mismatches"] == 0


@dataclass(frozen=True)
class Mutant:
    """A planted bug: in the first module with such a name, what matches a pattern is replaced."""

    name: str
    module: str
    pattern: str
    replacement: str
    test: str
    message: str


DIFFER = r"\d+ of \d+ values of FIRST differ.* first mismatch: FIRST, image \d+, .*"

MUTANTS = [
    Mutant("weight", r"\w+__weights", r"(memory\[0\] = )", r"\1~", FRAMES, DIFFER),
    Mutant("rounding", r"\w+__requantizer", r"(= s2_product) \+ [^;]+", r"\1",
           FRAMES, DIFFER),
    Mutant("class", r"\w+__argmax", r"> (\S*greatest)", r"< \1", FRAMES,
           r"\d+ of \d+ values of class at m_axis_tuser differ; first mismatch: class .*"),
    Mutant("tlast", r"\w+__frame_out", r"(assign m_axis__tlast =) [^;]+", r"\1 1'h0", FRAMES,
           r"Waited \d+ cycles for 2 results: .* first mismatch: m_axis_tlast, image 0, row 0, "
           r"column 0, channel 9: expected 1, got 0 \(seed \d+\)"),
    Mutant("frame length", r"\w+__frame_in", r"10'h30e", "10'h30d", FRAMES,
           r"frame_bad is up in cycle \d+, when 0 right and 0 wrong frames .*"),
    Mutant("backpressure", r"\w+__argmax", r"(assign i__ready =) [^;]+", r"\1 1'h1", OUTPUT,
           r"m_axis: (payload changed|valid fell) .*"),
    Mutant("verdict", r"\w+__frame_out", r"verdict__valid & verdict__payload;", "verdict__valid;",
           WRONG, r".* at m_axis, image \d+, .*"),
    Mutant("sticky", r"\w+__frame_in", r"(\w+) = error & (\w+);", r"\1 = 1'h0;", WRONG,
           r"frame_error is down in cycle \d+, when .*"),
    Mutant("never cleared", r"\w+__frame_in", r"(\w+) = error & (\w+);", r"\1 = error;", WRONG,
           r"frame_error is up in cycle \d+, when .*"),
    Mutant("ready in reset", r"\w+__frame_in", r"~ rst;", "1'h1;", RESETS,
           r"s_axis: ready is up in cycle \d+, in which rst is"),
    Mutant("valid in reset", r"\w+__frame_out", r"~ rst;", "1'h1;", RESETS,
           r"m_axis: valid is up in cycle \d+, in which rst is"),
    Mutant("frame position survives", r"\w+__frame_in", r"if \(rst\) beat <=", "if (1'h0) beat <=",
           RESETS, r".*"),
    Mutant("patch position survives", r"\w+__walk", r"if \(rst\)", "if (1'h0)", RESETS,
           r".*"),
]  # fmt: skip


def plant(mutant, verilog):
    """The text of ``verilog`` with the bug in it."""
    module = re.search(
        rf"^module {mutant.module}\(.*?^endmodule", verilog, re.DOTALL | re.MULTILINE
    )
    changed, count = re.subn(mutant.pattern, mutant.replacement, module[0])
    assert count > 0
    return verilog.replace(module[0], changed)


@pytest.mark.icarus
def test_a_reset_is_all_the_start_that_a_core_needs(core, tmp_path):
    """Without start values but those of ROMs, all registers and RAMs are X until the reset."""
    path = tmp_path / f"{core.network.name}.v"
    text, count = re.subn(r"^(  reg [^;=]*) = [^;]*;", r"\1;", core.verilog.read_text(), flags=re.M)
    assert count > 50
    path.write_text(text)
    images = digits_for_simulation(2).images
    outcomes = core.run(core.compiled("icarus", path), [FRAMES, WRONG], images)
    assert [outcome.failure for outcome in outcomes] == [None, None]
    assert outcomes[0].facts["mismatches"] == 0


@pytest.mark.icarus
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_catches_a_mutant_of_the_verilog(core, mutant, tmp_path, long_form):
    if core.network.name != "plain" and not long_form:
        pytest.skip("its bench is that of plain; --all-networks runs it")
    path = tmp_path / f"{core.network.name}.v"
    path.write_text(plant(mutant, core.verilog.read_text()))
    images = digits_for_simulation(2).images
    outcome = core.run(core.compiled("icarus", path), [mutant.test], images)
    assert outcome.failure is not None
    message = mutant.message.replace("FIRST", core.network.layers[0].output)
    assert re.fullmatch(message, outcome.failure), outcome.failure
