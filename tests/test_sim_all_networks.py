"""Every shipped network, few bits, and a hand-made LeNet through both simulators, digit by digit.

Without an option those that take seconds; with ``--all-networks`` all of them, for an hour or so.
"""

import numpy as np
import pytest
from simcore import FRAMES, PAUSED, SIMULATORS, Core
from tercet.gen.cli import main
from tercet.gen.verilog.build import write_core
from tercet.model import QNetwork, load
from tercet.model.data import digits_for_simulation, fit_to

SHIPPED = ("plain", "separable", "mnist_cnn", "mnist_cnn_bn", "lenet_avg", "lenet_max")
HEAD = "block1_project"  # of mobilenet: its first inverted residual block
QUICK = ("plain_4", "separable_7", "scale_shift")


def few_bits(name, folder):
    """A shipped network quantized to the bits behind its name."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    net, bits = name.rsplit("_", 1)
    path = folder / f"{name}.json"
    words = ["quantize", net, "--bits-w", bits, "--bits-a", bits, "--per-channel"]
    assert main([*words, "--split", "200,10", "-o", str(path)]) == 0
    network = load(path)
    ends = (network.input, network.output, network.layers[-1].output)
    inner = [tensor for name, tensor in network.tensors.items() if name not in ends]
    assert {tensor.dtype.bits for tensor in inner} == {int(bits)}
    return network


def scale_shift(name, folder):
    """LeNet in integers alone: weights with zero points, floor shifts, activations of 11 to 21
    bits."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tercet.model.float.nets import nets
    from tercet.model.frontends.scale_shift import read
    from tercet.model.frontends.scale_shift.from_float import to_scale_shift

    network = read(*to_scale_shift(nets.load("lenet_avg").state))
    assert max(tensor.dtype.bits for tensor in network.tensors.values()) == 21
    return network


def head(name, folder):
    """The first block of mobilenet, for a simulator that would take too long for all of it."""
    whole = load("mobilenet")
    count = 1 + [layer.name for layer in whole.layers].index(HEAD)
    kept = {whole.input, *(layer.output for layer in whole.layers[:count])}
    tensors = {name: tensor for name, tensor in whole.tensors.items() if name in kept}
    return QNetwork(name, whole.input, tensors, whole.layers[:count])


MAKERS = {
    **{name: lambda name, folder: load(name) for name in (*SHIPPED, "mobilenet")},
    **{f"{name}_{bits}": few_bits for name in SHIPPED for bits in (4, 7)},
    "scale_shift": scale_shift,
    "mobilenet_head": head,
}
IMAGES = {"mobilenet": 1}  # otherwise two, so that the distance between images is measured


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("name", MAKERS)
def test_equals_the_golden_model(name, simulator, pytestconfig, tmp_path, seed):
    """Without pauses, held to the plan's cycles, and with random pauses on both ends."""
    everything = pytestconfig.getoption("--all-networks")
    if not (everything or (name in QUICK and simulator == "icarus")):
        pytest.skip("takes minutes; --all-networks runs it")
    if (name, simulator) == ("mobilenet", "icarus"):
        pytest.skip("takes more than five minutes; mobilenet_head stands for it")
    network = MAKERS[name](name, tmp_path)
    core = Core(network, write_core(network, tmp_path), tmp_path, seed)
    shape = network.tensors[network.input].shape
    count = IMAGES.get(name, 2 if everything or name != "scale_shift" else 1)
    images = fit_to(digits_for_simulation(count).images, shape)
    streams = [layer.output for layer in network.layers if layer.kind != "flatten"]
    values = sum(np.prod(network.tensors[name].shape) for name in streams)
    tests = [FRAMES, PAUSED] if everything else [FRAMES]
    for outcome in core.outcomes(core.compiled(simulator), tests, images):
        assert outcome.failure is None, outcome.test
        assert outcome.facts["mismatches"] == 0
        assert outcome.facts["values_compared"] == len(images) * values
