"""Names in the Verilog: whatever layers and networks are called, no two meet."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from inceptionnet import inception
from residualnet import residual
from simcore import FRAMES, SIMULATORS, Core
from tercet.gen.flow.yosys import run_yosys
from tercet.gen.keywords import KEYWORDS
from tercet.gen.plan.links import RESERVED, Links
from tercet.gen.verilog.build import write_core
from tercet.model import QNetwork, load
from tercet.model.fuzz.draws import random_images
from tercet.model.names import distinct

# What a name may meet: other layers' parts, the shell, ports, wires between instances, the words of
# Verilog, of C++ and of cocotb, and numbers that tell names apart.
ENDS = [
    *("", "_", "__", "_2", "_fifo", "_to_b_fifo", "_fork", "_fork1", "_pack", "_o__valid"),
    *("__engine", "__engine__walk", "__windows", "_i__ready", "_o", "__o__payload"),
]
NASTY = [
    *(f"{stem}{end}" for stem in ("a", "b", "_", "A") for end in ENDS if stem + end != "_"),
    *("frame_in", "frame_in_fifo", "frame_in_fork", "frame_in__engine", "verdicts", "frame_out"),
    *("clk", "rst", "error", "frame_error", "s_axis_tdata", "m_axis_tuser", "frame_error_2"),
    *("argmax", "class", "logits", "image", "module", "reg", "end", "logic", "int", "bool", "this"),
    *("main", "delete", "operator", "TOP", "top", "_name", "_path", "value", "o__valid", "memory"),
    *("class_2", "s1_valid", "filling", "s_axis__tvalid", "verdict__payload", "engine", "net"),
]
IDENTIFIER = r"(?:\\\S+ |[A-Za-z_]\w*)"


def renamed(network, rng, name="net"):
    """The same network, its layers under nasty names."""
    names = rng.choice(sorted(set(NASTY)), len(network.layers), replace=False)
    layers = [
        replace(layer, name=str(name)) for layer, name in zip(network.layers, names, strict=True)
    ]
    return QNetwork(name, network.input, network.tensors, layers)


def declared(verilog):
    """{module: the names that it declares: signals, memories, instances}; instances' modules."""
    found, used = {}, []
    for name, body in re.findall(r"^module (\S+?) ?\((.*?)^endmodule", verilog, re.M | re.S):
        assert name not in found, f"two modules {name}"
        signal = rf"^  (?:wire|reg)(?: signed)?(?: \[\S+\])? ({IDENTIFIER})"
        instances = re.findall(rf"^  ({IDENTIFIER}) ({IDENTIFIER}) \($", body, re.M)
        found[name] = re.findall(signal, body, re.M) + [instance for _, instance in instances]
        used += [kind for kind, _ in instances]
    return found, used


@pytest.mark.parametrize("case", range(16))
def test_no_two_names_meet(case, seed, tmp_path, long_form):
    if case >= 8 and not long_form:
        pytest.skip("more random names; --all-networks draws them")
    rng = np.random.default_rng([seed, case])
    top = str(rng.choice(["net", "class", "module", "a__engine"]))
    network = renamed([residual, inception][case % 2](rng), rng, top)
    facts = write_core(network, tmp_path, [None, 1][case // 2 % 2])
    verilog = (tmp_path / facts["verilog"]).read_text()
    modules, used = declared(verilog)
    assert sorted(used) == sorted(modules.keys() - {facts["top"]}), "each module has one instance"
    for module, names in modules.items():
        assert len(set(names)) == len(names), module
        assert not {module, *names} & KEYWORDS
        assert "\\" not in "".join(names), "an escaped name"
    instances = [layer["instance"] for layer in facts["layers"]]
    assert len({*instances, *RESERVED}) == len(instances) + len(RESERVED)
    assert set(instances) <= set(modules[facts["top"]])


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_simulators_take_nasty_names(simulator, seed, tmp_path):
    rng = np.random.default_rng(seed)
    network = renamed(inception(rng), rng)
    core = Core(network, write_core(network, tmp_path), tmp_path, seed)
    images = random_images(rng, network.tensors[network.input], 3)
    outcome = core.run(core.compiled(simulator), [FRAMES], images)
    assert outcome.failure is None
    assert outcome.facts["mismatches"] == 0


def test_names_that_nothing_meets_stay(seed):
    network = residual(np.random.default_rng(seed))
    links = Links.of(network)
    fifos = {links.name(link, "fifo") for link in links.readers["a"]}
    assert [links.name(layer.name) for layer in network.layers] == [
        layer.name for layer in network.layers
    ]
    assert fifos == {"a_to_b_fifo", "a_to_sum_fifo"}


def test_numbers_tell_names_apart():
    wanted = [(1, "a"), (2, "a_2"), (3, "a"), (4, "reg"), (5, "a_2")]
    assert distinct(wanted, ["reg"]) == {1: "a", 2: "a_2", 3: "a_3", 4: "reg_2", 5: "a_2_2"}


def test_a_prefix_names_the_top_and_begins_all_others(tmp_path):
    facts = write_core(load("plain"), tmp_path, prefix="mine")
    modules, _ = declared((tmp_path / "rtl" / "mine.v").read_text())
    assert facts["top"] == facts["prefix"] == "mine"
    assert "mine" in modules
    assert all(name == "mine" or name.startswith("mine__") for name in modules)


def test_the_prefix_of_a_plan_with_a_goal_has_its_digest(tmp_path):
    plain = load("plain")
    default = write_core(plain, tmp_path / "default")
    fast = write_core(plain, tmp_path / "fast", 112)
    slow = write_core(plain, tmp_path / "slow", 4185)
    assert {facts["top"] for facts in (default, fast, slow)} == {"plain"}
    assert default["prefix"] == "plain"
    assert fast["prefix"] != slow["prefix"]
    for folder, facts in (("fast", fast), ("slow", slow)):
        assert re.fullmatch(r"plain_[0-9a-f]{6}", facts["prefix"])
        modules, _ = declared((tmp_path / folder / "rtl" / "plain.v").read_text())
        assert all(name.startswith(f"{facts['prefix']}__") for name in modules.keys() - {"plain"})


@pytest.mark.parametrize("prefix", ["", "2nd", "a-b", "module", "a b", "ä"])
def test_refuses_a_prefix_that_verilog_does_not_take(prefix, tmp_path):
    with pytest.raises(ValueError) as error:
        write_core(load("plain"), tmp_path, prefix=prefix)
    assert str(error.value) == (
        f"must be letters, digits and underscores, and no Verilog keyword, not {prefix!r}"
    )
    assert not list(tmp_path.iterdir())


def test_two_plans_live_in_one_project(tmp_path):
    """Both in one design, in Yosys and in Icarus; without a prefix their tops would meet."""
    plain = load("plain")
    slow = write_core(plain, tmp_path / "slow")
    fast = write_core(plain, tmp_path / "fast", 112, prefix="plain_fast")
    files = [tmp_path / "slow" / slow["verilog"], tmp_path / "fast" / fast["verilog"]]
    both = tmp_path / "both.v"
    both.write_text(
        "module both(input clk); plain slow(.clk(clk)); plain_fast fast(.clk(clk)); endmodule"
    )
    reads = [f"read_verilog {file}" for file in (*files, both)]
    log = run_yosys([*reads, "hierarchy -check -top both", "stat"], tmp_path)
    assert not re.search(r"(?i)re-definition|overwrit", log)
    modules = [set(declared(file.read_text())[0]) for file in files]
    assert not modules[0] & modules[1]
    if shutil.which("iverilog"):
        command = ["iverilog", "-g2012", "-Wall", "-s", "both", "-o", tmp_path / "both.vvp"]
        done = subprocess.run([*command, *files, both], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
