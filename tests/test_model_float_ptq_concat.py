"""Concatenations of float modules: read, quantized onto one grid, trained, exported."""

from collections import Counter

import numpy as np
import pytest
from anylayers import any_layers

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from tercet.model.builder import Grid  # noqa: E402
from tercet.model.dtypes import IntType  # noqa: E402
from tercet.model.float.ptq.execute import trace  # noqa: E402
from tercet.model.float.ptq.graph import fold, fuse  # noqa: E402
from tercet.model.float.ptq.lower import has_grid  # noqa: E402
from tercet.model.float.ptq.quantize import Options, Schemes, quantize, share_grids  # noqa: E402
from tercet.model.float.ptq.report import layer_facts  # noqa: E402
from tercet.model.float.ptq.schemes import Scheme  # noqa: E402
from tercet.model.float.qat.network import QatNet  # noqa: E402
from tercet.model.frontends.torch_export import graph_of, read  # noqa: E402
from tercet.model.golden import trace_loop  # noqa: E402
from tercet.model.layers import NetworkError  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch

SHAPE = (2, 6, 7)


class Branches(nn.Module):
    """Inception's branches, a dense connection, and flattened maps side by side."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.one = nn.Conv2d(4, 3, 1)
        nn.init.constant_(self.one.bias, 3.0)  # the widest range of all
        self.three = nn.Conv2d(4, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 1, padding=1)
        self.pooled = nn.Conv2d(4, 1, 1)
        self.last = nn.Conv2d(10, 5, 2, stride=2)
        self.small = nn.Conv2d(10, 3, (6, 7))
        self.fc = nn.Linear(5 * 9 + 3 + 2 * 9, 7)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        branches = [torch.relu(self.one(x)), self.three(x), self.pooled(self.pool(x))]
        y = torch.relu(torch.cat(branches, 1))
        y = torch.cat([y, x], dim=-3)
        maps = self.last(y)
        wide = nn.functional.max_pool2d(self.three(x), 2)
        flat = torch.cat([maps.flatten(1), self.small(y).flatten(1), wide.flatten(1)], 1)
        return self.fc(flat)


def graph(seed, module=Branches):
    torch.manual_seed(seed)
    return graph_of(module(), SHAPE, "net")


def images_of(seed, count=20):
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 7, 2), dtype=np.uint8)


def test_the_graph_computes_what_the_module_does(seed):
    torch.manual_seed(seed)
    module = Branches().double().eval()
    folded = fold(fuse(graph(seed)))
    x = torch.rand((3, *SHAPE), dtype=torch.float64)
    with torch.no_grad():
        expected = module(x)
    torch.testing.assert_close(trace(folded, x)["fc"].flatten(1), expected)
    clips = {node.name: getattr(node, "clip", None) for node in folded.nodes}
    assert clips["cat"] == (0.0, np.inf)
    assert [name for name in clips if name.startswith("cat")] == ["cat", "cat_2", "cat_3"]


@pytest.mark.parametrize("symmetric", [False, True])
def test_integers_stand_for_what_the_float_network_computes(seed, symmetric):
    net, images = graph(seed), images_of(seed)
    activations = Scheme(10, symmetric=symmetric)
    network = quantize(net, images, Options(Schemes(activations=activations)))
    exact = trace(fold(fuse(net)), torch.from_numpy(images.transpose(0, 3, 1, 2) / 255.0))
    for name, wanted in (("cat", "cat"), ("cat_2", "cat_2"), ("logits", "fc")):
        tensor = network.tensors[name]
        real = (network.trace(images)[name].astype(float) - tensor.zero_point) * tensor.scale
        floats = exact[wanted].permute(0, 2, 3, 1).numpy()
        noise = ((real - floats) ** 2).sum() / (floats**2).sum()
        assert noise < 3e-4, name
    for name, values in trace_loop(network, network.images(images[:2])).items():
        np.testing.assert_array_equal(network.trace(images[:2])[name], values)
    facts = {facts["layer"]: facts for facts in layer_facts(network, fold(fuse(net)), images)}
    assert {"cat", "cat_2", "cat_3"} < set(facts)


def test_what_a_concatenation_alone_reads_is_on_its_grid(seed):
    network = quantize(graph(seed), images_of(seed))
    t = network.tensors
    grids = {name: (t[name].dtype, t[name].scale, t[name].zero_point) for name in t}
    layers = {layer.name: layer for layer in any_layers(network)}
    # cat is read by cat_2 alone, so both are on one grid, and what cat alone reads; not the stem,
    # which others read, and not what three makes, which is used twice under two names
    for name in ("one", "three", "pooled", "cat"):
        assert grids[name] == grids["cat_2"], name
    assert grids["stem"] != grids["cat_2"]
    assert layers["cat"].copies(network)
    assert not layers["cat_2"].copies(network)
    assert layers["cat_3"].copies(network)
    requant = layers["cat_2"].requant.definition
    assert requant.per_channel(2)[0] == 1 << requant.shift


def test_a_grid_is_shared_through_concatenations_and_pools(seed):
    folded = fold(fuse(graph(seed)))
    names = [node.name for node in folded.nodes if has_grid(node)]
    grids = {name: Grid(IntType(8, signed=False), 0.1, at) for at, name in enumerate(names)}
    own = dict(grids)
    share_grids(folded, grids)
    moved = {name: grids[name].zero_point for name in names if grids[name] != own[name]}
    last, dense = own["cat_3"].zero_point, own["cat_2"].zero_point
    onto_dense = dict.fromkeys(["one", "three", "pooled", "cat"], dense)
    # three_2 is pooled before it is flattened
    assert moved == onto_dense | dict.fromkeys(["last", "small", "three_2"], last)


def test_layers_with_types_of_their_own_keep_their_grids(seed):
    wide = Schemes(activations=Scheme(12))
    network = quantize(graph(seed), images_of(seed), Options(layers={"one": wide}))
    assert str(network.tensors["one"].dtype) == "uint12"
    layers = {layer.name: layer for layer in any_layers(network)}
    assert not layers["cat"].copies(network)


def test_training_computes_the_integers_of_its_network(seed):
    images = images_of(seed)
    net = QatNet.of(graph(seed), images).double()
    net.train()
    net(torch.from_numpy(images.transpose(0, 3, 1, 2) / 255.0)).square().mean().backward()
    assert all(layer.weight.grad is not None for layer in net.layers)
    net.eval()
    network = net.lower()
    integers, traced = net.integers(images), network.trace(images)
    for name in ("cat", "cat_2"):
        assert network.producer(name).requant.reference == "half_even"
        np.testing.assert_array_equal(integers[name], traced[name])
    np.testing.assert_array_equal(integers["fc"], traced["logits"])


class Rows(nn.Module):
    def forward(self, x):
        return torch.cat([x, x], 2).flatten(1)


def test_rows_are_not_concatenated():
    with pytest.raises(NetworkError) as error:
        graph_of(Rows(), SHAPE, "net")
    assert str(error.value) == (
        "Layer 'cat': cat along dimension 2 is not supported; concatenate channels, dim=1"
    )


class Sums(nn.Module):
    """Flattened maps of as many values, in another order each."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(2, 7, (1, 7)), nn.Conv2d(2, 6, (6, 1)), nn.Linear(42, 3)

    def forward(self, x):
        return self.fc(self.a(x).flatten(1) + self.b(x).flatten(1))


def test_an_addition_of_unlike_orders_is_refused(seed):
    with pytest.raises(NetworkError) as error:
        quantize(graph(seed, Sums), images_of(seed))
    assert str(error.value) == (
        "Layer 'add': its inputs were flattened from different shapes, or permuted; add them "
        "before they are flattened"
    )


def test_a_module_is_read_and_quantized_at_once(seed):
    torch.manual_seed(seed)
    network = read(Branches(), SHAPE, "mine", images_of(seed))
    assert Counter(layer.kind for layer in network.layers)["concat"] == 3
