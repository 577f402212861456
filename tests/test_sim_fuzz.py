"""The fuzzer: a short form of it, the networks that once failed, and that it finds a bug."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simcore import SIMULATORS
from tercet.gen.cli import main
from tercet.gen.verilog.build import write_core
from tercet.model import load
from tercet.model.formats.json_layers import KINDS
from tercet.model.fuzz.draws import random_images
from tercet.model.fuzz.networks import network_of_seed
from tercet.sim import fuzz
from tercet.sim.fuzz import fuzz_network, golden_difference

ONCE_FAILED = {  # in data/fuzz, each with its seed
    "sum_cut_in_two": 8,  # a requantizer's sum looked like a loop to Verilator
    "settles_late": 1037,  # its first seven images are a cycle further apart than the others
}


# Seeds by simulator; Icarus takes half the time that Verilator takes, mostly to compile.
SEEDS = {"verilator": range(4), "icarus": range(4, 12)}


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_random_networks_equal_the_golden_model(simulator, tmp_path, capsys, long_form):
    """With --all-networks, of twenty seeds on both simulators."""
    seeds = range(20) if long_form else SEEDS[simulator]
    count, first, last = len(seeds), seeds[0], seeds[-1]
    words = ["fuzz", "-n", f"{count}", "--seed", f"{first}", "--simulator", simulator, "-j", "1"]
    words += ["-o", str(tmp_path / "fuzz"), "--json", str(tmp_path / "facts.json")]
    code = main(words)
    printed = capsys.readouterr().out
    assert code == 0, printed
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["networks"], facts["failures"]) == (count, {})
    assert facts["values_compared"] > 1000
    assert f"{count} networks (seeds {first} to {last}) in {simulator}: " in printed
    assert [path.name for path in (tmp_path / "fuzz").iterdir()] == ["first"]


def test_the_random_networks_have_all_kinds_of_layers():
    networks = [network_of_seed(seed) for seeds in SEEDS.values() for seed in seeds]
    kinds = {layer.kind for network in networks for layer in network.layers}
    assert kinds == KINDS.keys()


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize(("name", "of_seed"), ONCE_FAILED.items())
def test_what_once_failed_stays_mended(name, of_seed, tmp_path):
    network = load(Path(__file__).parent / "data" / "fuzz" / f"{name}.json")
    assert fuzz_network(network, of_seed, tmp_path, "verilator").failure is None


@pytest.mark.icarus
def test_finds_a_planted_bug_and_says_how_to_repeat_it(tmp_path, capsys, monkeypatch):
    """Hardware of another network: its last requantization is off by one clamp."""

    def with_a_bug(network, directory, goal):
        layers = list(network.layers)
        index = max(i for i, layer in enumerate(layers) if hasattr(layer, "requant"))
        requant = layers[index].requant
        lower = replace(requant, high=requant.high - 1, low=min(requant.low, requant.high - 1))
        layers[index] = replace(layers[index], requant=lower)
        return write_core(replace(network, layers=layers), directory, goal)

    monkeypatch.setattr(fuzz, "write_core", with_a_bug)
    folder = tmp_path / "fuzz"
    words = ["fuzz", "-n", "1", "--seed", "1", "--simulator", "icarus", "-o", str(folder)]
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "seed 1: frames/pauses=none: " in printed
    assert "first mismatch: " in printed
    again = "again: tercet fuzz -n 1 --seed 1 --simulator icarus"
    assert f"  the network: {folder / 'fuzz_1.json'}; {again}\n" in printed
    assert printed.splitlines()[-1].endswith(" 1 network failed")
    assert load(folder / "fuzz_1.json").name == "fuzz_1"


def test_an_error_of_any_kind_is_the_networks_failure(tmp_path, monkeypatch):
    def fails(*_):
        raise IndexError("in the plan")

    monkeypatch.setattr(fuzz, "write_core", fails)
    verdict = fuzz_network(network_of_seed(3), 3, tmp_path, "verilator")
    line = fails.__code__.co_firstlineno + 1
    assert verdict.seed == 3
    assert verdict.failure == f"IndexError in test_sim_fuzz.py, line {line}: in the plan"


@pytest.mark.parametrize(
    ("seed", "message"),
    [("-1", "must be at least 0, not -1"), ("x", "must be an integer, not 'x'")],
)
def test_refuses_what_is_no_seed(seed, message, capsys):
    assert main(["fuzz", "--seed", seed]) == 2
    assert f"argument --seed: {message}\n" in capsys.readouterr().err


@pytest.mark.icarus
def test_refuses_a_folder_that_cannot_be(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["fuzz", "--simulator", "icarus", "-o", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == (
        f"tercet fuzz: error: The output folder {tmp_path}/file cannot be written: File exists; "
        "name another with -o\n"
    )


def test_compares_the_golden_forms_with_each_other(monkeypatch):
    network = network_of_seed(3)
    rng = np.random.default_rng(0)
    images = network.images(random_images(rng, network.tensors[network.input], 2))
    assert golden_difference(network, images) is None
    wrong = network.trace(images)
    wrong[network.output][1, 0, 0, 0] ^= 1
    monkeypatch.setattr(fuzz, "trace_loop", lambda *_: wrong)
    assert golden_difference(network, images) == (
        f"The golden forms of {network.output!r} differ at [1, 0, 0, 0]"
    )
