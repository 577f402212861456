"""The networks written as PyTorch modules: layers, maps, and their checkpoints."""

import numpy as np
import pytest
from tercet.model import NetworkError
from tercet.model.data import MissingError, mnist
from tercet.model.float.nets.nets import (
    NETS,
    ZOO,
    Checkpoint,
    build,
    input_shape_of,
    load,
    net_of,
    save,
    shipped,
    state_of,
)
from tercet.model.float.nets.stride3 import STRIDE3
from tercet.model.float.training.recipe import RECIPES

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.torch

from tercet.model.float.training.train import accuracy_of  # noqa: E402

# What a PyTorch user would count: parameters, convolutions, linear layers, batch norms.
ORDINARY = {
    "mnist_cnn": ((28, 28, 1), 11_170, 2, 1, 0),
    "mnist_cnn_bn": ((28, 28, 1), 24_930, 2, 1, 2),
    "lenet_avg": ((28, 28, 1), 61_706, 3, 2, 0),
    "lenet_max": ((32, 32, 1), 61_706, 2, 3, 0),
    "mobilenet": ((28, 28, 3), 478_986, 21, 1, 21),
}


def ordinary_checkpoint(network, **facts):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = build(network).train()
        shape = input_shape_of(network)
        for _ in range(3):  # batch norm sees something
            module(torch.randn(4, shape[2], *shape[:2]))
    return Checkpoint(network, state_of(module), facts)


def test_each_network_is_counted_below():
    assert NETS.keys() == STRIDE3.keys() | ORDINARY.keys()
    assert [input_shape_of(name) for name in STRIDE3] == [(28, 28, 1)] * 2


@pytest.mark.parametrize("network", ORDINARY)
def test_ordinary_modules_have_their_layers(network):
    shape, parameters, convolutions, linears, norms = ORDINARY[network]
    net = build(network).eval()
    kinds = [type(module).__name__ for module in net.modules()]
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert kinds.count("Conv2d") == convolutions
    assert kinds.count("Linear") == linears
    assert kinds.count("BatchNorm2d") == norms
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)
    assert input_shape_of(network) == shape
    with torch.no_grad():
        assert net(torch.zeros(2, shape[2], *shape[:2])).shape == (2, 10)


# Height and channels of the map after each module at the top.
MAPS = {
    "mnist_cnn": [(26, 40), (26, 40), (13, 40), (11, 40), (11, 40), (5, 40), 1000, 10],
    "lenet_avg": [
        *[(28, 6), (28, 6), (14, 6), (10, 16), (10, 16), (5, 16), (1, 120)],
        *[120, 84, 10],
    ],
    "lenet_max": [
        *[(28, 6), (28, 6), (14, 6), (10, 16), (10, 16), (5, 16)],
        *[400, 120, 120, 84, 84, 10],
    ],
    "mobilenet": [
        *[(28, 16), (28, 32), (14, 64), (14, 128), (7, 128), (7, 256), (7, 256), (1, 256)],
        *[256, 10],
    ],
}


@pytest.mark.parametrize("network", MAPS)
def test_ordinary_modules_have_their_maps(network):
    height, width, channels = input_shape_of(network)
    x, found = torch.zeros(1, channels, height, width), []
    for module in build(network).eval():
        x = module(x)
        found.append((x.shape[2], x.shape[1]) if x.ndim == 4 else x.shape[1])
    assert found == MAPS[network]


def test_residuals_are_added_where_the_shapes_allow():
    blocks = [block for name, block in build("mobilenet").named_children() if "block" in name]
    assert [block.residual for block in blocks] == [False] * 6 + [True]
    x = torch.randn(1, 256, 7, 7, generator=torch.Generator().manual_seed(1))
    block = blocks[-1].eval()
    with torch.no_grad():
        block.bn3.weight.zero_()
        assert torch.equal(block(x), x)


@pytest.mark.parametrize("network", ORDINARY)
def test_ordinary_modules_survive_their_checkpoint(network, tmp_path):
    before = ordinary_checkpoint(network, epoch=7)
    save(before, tmp_path / "a.npz")
    after = load(str(tmp_path / "a.npz"))
    assert after.facts == {"epoch": 7}
    assert not any("num_batches" in name for name in before.state)
    for name, values in before.state.items():
        assert np.array_equal(after.state[name], values)
    x = torch.rand(2, input_shape_of(network)[2], *input_shape_of(network)[:2])
    with torch.no_grad():
        assert torch.equal(after.module()(x), before.module()(x))
    assert not after.module().training
    assert all(np.array_equal(v, before.state[n]) for n, v in state_of(after.module()).items())


def test_modules_are_traced_by_torch_export():
    for network in ORDINARY:
        height, width, channels = input_shape_of(network)
        example = (torch.zeros(1, channels, height, width),)
        program = torch.export.export(build(network).eval(), example)
        assert any("linear" in str(node.target) for node in program.graph.nodes)


def test_a_checkpoint_of_float16_arrays_stays_below_a_megabyte(tmp_path, seed):
    shapes, rng = net_of("mobilenet").shapes(), np.random.default_rng(seed)
    state = {
        name: rng.uniform(0, 1, shape).astype(np.float16).astype(np.float32)
        for name, shape in shapes.items()
    }
    save(Checkpoint("mobilenet", state), tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size < 1_000_000


def test_negative_variances_are_refused():
    before = ordinary_checkpoint("mnist_cnn_bn")
    state = {**before.state, "bn2.running_var": -before.state["bn2.running_var"]}
    message = "the variances 'bn2.running_var' must not be negative"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        Checkpoint("mnist_cnn_bn", state)


# The shipped networks on the 10,000 test images: the figure, and what it must reach at least.
FIGURES = {
    "mnist_cnn": (0.9884, 0.985),
    "mnist_cnn_bn": (0.9909, 0.985),
    "lenet_avg": (0.9898, 0.988),
    "lenet_max": (0.9907, 0.988),
    "mobilenet": (0.9922, 0.985),
}


@pytest.mark.mnist
@pytest.mark.parametrize(
    "network",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "mobilenet")) for name in FIGURES],
)
def test_the_shipped_networks_reach_their_figures(network, long_form):
    """In the short form, mobilenet's accuracy is measured where it is quantized again."""
    try:
        digits = mnist("test")
    except MissingError as error:
        pytest.skip(str(error))
    check, (figure, target) = load(network), FIGURES[network]
    assert check.facts["recipe"] == vars(RECIPES[network])
    assert check.facts["test_accuracy"] == figure >= target
    if network == "mobilenet" and not long_form:
        return
    # Another CPU's order of summation may turn a near tie.
    assert accuracy_of(check, digits) == pytest.approx(figure, abs=2e-4)


def test_every_network_ships_trained_in_less_than_a_megabyte():
    assert set(shipped()) == NETS.keys()
    assert all((ZOO / f"{name}.npz").stat().st_size < 1_000_000 for name in shipped())
