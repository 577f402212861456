"""Plans of the shipped networks against their Verilog: every value, every distance between images.

The bench holds latency and each distance to the manifest; see ``sim/bench/tb_frames.py``. Without
an option one plan; with ``--all-networks`` five or more of each network, for an hour or so.
"""

import numpy as np
import pytest
from simcore import FRAMES, SIMULATORS, Core
from tercet.gen.plan.goals import CycleGoal, Goal, MultiplierGoal
from tercet.gen.verilog.build import write_core
from tercet.model import load
from tercet.model.data import digits_for_simulation, fit_to

ONE = 1 << 40  # cycles: a multiplier a layer does
GOALS: dict[str, list[Goal]] = {
    "plain": [CycleGoal(cycles) for cycles in (ONE, 784, 280, 112, 28)],
    "separable": [CycleGoal(cycles) for cycles in (ONE, 280, 112, 56, 28)],
    "lenet_avg": [CycleGoal(ONE), *map(MultiplierGoal, (16, 32, 54, 106))],
    "lenet_max": [CycleGoal(ONE), *map(MultiplierGoal, (16, 36, 54, 106))],
    "mnist_cnn": [CycleGoal(ONE), *map(MultiplierGoal, (16, 32, 44, 87))],
    "mnist_cnn_bn": [CycleGoal(ONE), *map(MultiplierGoal, (32, 64, 93, 116))],
    "mobilenet": [CycleGoal(900_000), *map(MultiplierGoal, (64, 95, 128, 200))],
}
QUICK = ("plain", CycleGoal(112))
CASES = [(name, goal) for name, goals in GOALS.items() for goal in goals]


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("simulator", SIMULATORS[1:])
@pytest.mark.parametrize(("name", "goal"), CASES, ids=lambda case: str(case).replace(" ", "_"))
def test_a_plan_is_what_simulation_measures(name, goal, simulator, pytestconfig, tmp_path, seed):
    if (name, goal) != QUICK and not pytestconfig.getoption("--all-networks"):
        pytest.skip("takes minutes; --all-networks runs it")
    network = load(name)
    manifest = write_core(network, tmp_path, goal)
    core = Core(network, manifest, tmp_path, seed)
    count = 2 if name == "mobilenet" or not pytestconfig.getoption("--all-networks") else 3
    images = fit_to(digits_for_simulation(count).images, network.tensors[network.input].shape)
    outcome = core.run(core.compiled(simulator), [FRAMES], images)
    assert outcome.failure is None
    facts = outcome.facts
    streams = {layer.output for layer in network.layers if layer.kind != "flatten"}
    values = sum(np.prod(network.tensors[tensor].shape) for tensor in streams)
    assert (facts["mismatches"], facts["values_compared"]) == (0, count * values)
    assert facts["latency_cycles"] == manifest["latency_cycles"]
    assert manifest["multipliers"] <= getattr(goal, "multipliers", 1 << 20)
