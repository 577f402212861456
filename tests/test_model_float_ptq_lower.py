"""From float graphs to integer networks: what the integers stand for, normalization, mixed bits."""

import math
from typing import Any

import numpy as np
import pytest
from anylayers import any_layers

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from tercet.model.builder import Grid  # noqa: E402
from tercet.model.dtypes import IntType  # noqa: E402
from tercet.model.float.ptq.execute import trace  # noqa: E402
from tercet.model.float.ptq.graph import fold, fuse  # noqa: E402
from tercet.model.float.ptq.lower import clamp_of  # noqa: E402
from tercet.model.float.ptq.normalize import normalized  # noqa: E402
from tercet.model.float.ptq.quantize import Options, Schemes, prepare, quantize  # noqa: E402
from tercet.model.float.ptq.schemes import Scheme  # noqa: E402
from tercet.model.frontends.torch_export import graph_of  # noqa: E402
from tercet.model.layers import NetworkError  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch


class Residual(nn.Module):
    """Convolutions with batch norm, a fork, both pools, a flattened map before a linear layer."""

    def __init__(self, channels=1, padding=0):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4, 3, padding=padding)
        self.norm1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.pool = nn.AvgPool2d(2)
        self.max = nn.MaxPool2d(2)
        self.fc = nn.Linear(4 * 2 * 3, 7)

    def forward(self, x):
        x = nn.functional.relu6(self.norm1(self.conv1(x)))
        x = torch.relu(self.conv2(x) + x)
        return self.fc(self.max(self.pool(x)).flatten(1))


def residual(seed, shape=(1, 10, 14), **arguments):
    torch.manual_seed(seed)
    module = Residual(shape[0], **arguments)
    nn.init.uniform_(module.norm1.running_mean, -0.3, 0.3)
    nn.init.uniform_(module.norm1.running_var, 0.3, 1.5)
    return graph_of(module, shape, "residual")


def images_of(seed, shape, count=40):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("observer", ["minmax", "moving", "percentile", "mse"])
def test_integers_stand_for_what_the_float_network_computes(seed, observer, per_channel, symmetric):
    graph, images = residual(seed), images_of(seed, (10, 14, 1))
    schemes = Schemes(
        weights=Scheme(8, symmetric=symmetric, per_channel=per_channel, observer=observer),
        activations=Scheme(10, symmetric=symmetric, observer=observer, percentile=99.999),
    )
    network = quantize(graph, images, Options(schemes))
    folded = fold(fuse(graph))
    exact = trace(folded, torch.from_numpy(images.transpose(0, 3, 1, 2) / 255.0))
    exact["logits"] = exact.pop("fc")
    for name, integers in network.trace(images).items():
        if name in exact and name != "flatten":
            tensor = network.tensors[name]
            real = (integers.astype(float) - tensor.zero_point) * tensor.scale
            wanted = exact[name].permute(0, 2, 3, 1).numpy()
            noise = ((real - wanted) ** 2).sum() / (wanted**2).sum()
            assert noise < 2e-4, name  # 37 dB; a swapped axis or a lost bias leaves none
    kinds = {layer.name: layer.kind for layer in network.layers}
    assert kinds["fc"] == "linear"
    assert kinds["add"] == "add"


def test_a_relu6_becomes_both_ends_of_the_clamp():
    grid = Grid(IntType(8, signed=False), 0.05, 3)
    assert clamp_of((0.0, 6.0), grid) == (3, 123)
    assert clamp_of((0.0, math.inf), grid) == (3, 255)
    assert clamp_of((-math.inf, math.inf), grid) == (0, 255)
    assert clamp_of((0.0, 6.0), Grid(IntType(4, signed=False), 0.05, 0)) == (0, 15)


def test_bits_go_to_each_layer_and_scores_keep_eight(seed):
    graph, images = residual(seed), images_of(seed, (10, 14, 1))
    low = Schemes(Scheme(4, symmetric=True), Scheme(4))
    network = quantize(graph, images, Options(low))
    assert [str(network.tensors[name].dtype) for name in ("conv1", "add", "pool", "logits")] == [
        "uint4", "uint4", "uint4", "uint8"
    ]  # fmt: skip
    mixed = Options(low, layers={"conv1": Schemes(Scheme(2), Scheme(12)), "fc": low})
    network = quantize(graph, images, mixed)
    conv1, logits = any_layers(network)[0], network.tensors["logits"]
    assert (str(conv1.weights.dtype), str(network.tensors["conv1"].dtype)) == ("uint2", "uint12")
    assert str(logits.dtype) == "uint4"


def test_a_layer_that_is_not_there_is_refused(seed):
    options = Options(layers={"conv9": Schemes()})
    with pytest.raises(NetworkError) as caught:
        prepare(residual(seed), options)
    assert str(caught.value) == (
        "There is no layer 'conv9' to quantize; there are conv1, conv2, add, pool, fc"
    )


def test_an_empty_calibration_set_is_refused(seed):
    with pytest.raises(NetworkError) as caught:
        quantize(residual(seed), images_of(seed, (10, 14, 1), count=0))
    assert str(caught.value) == (
        "Calibration images must be pixels 0..255 of the shape (N, 10, 14, 1), N at least 1, and "
        "there are none; give some"
    )


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.1307,), (0.3081,)), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((-0.2,), (2.0,))],
)
def test_a_normalization_goes_into_the_first_layer_exactly(seed, mean, std):
    graph = fold(fuse(residual(seed, (3, 10, 14))))
    changed, grid = normalized(graph, mean, std)
    levels = torch.from_numpy(images_of(seed, (3, 10, 14), count=3).astype(np.float64))
    theirs = (levels / 255 - torch.tensor(mean).double().view(1, -1, 1, 1)) / torch.tensor(
        std
    ).double().view(1, -1, 1, 1)
    ours = (levels - grid.zero_point) * grid.scale
    torch.testing.assert_close(
        trace(changed, ours)["fc"], trace(graph, theirs.double())["fc"], rtol=1e-6, atol=1e-6
    )
    assert 0 <= grid.zero_point <= 255


def test_behind_padding_half_a_grey_level_is_left(seed):
    graph = fold(fuse(residual(seed, (1, 8, 12), padding=1)))
    changed, grid = normalized(graph, (0.1307,), (0.3081,))
    assert grid == Grid(IntType(8, signed=False), 1 / (255 * 0.3081), 33)
    now: Any = changed.nodes[0]
    before: Any = graph.nodes[0]
    np.testing.assert_array_equal(now.bias, before.bias)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.1, 0.2), (1.0,), "mean must be one number or 3, one per channel, not 2"),
        (
            (127.5,),
            (127.5,),
            "mean and std are of pixels 0..1, at most 8, not (127.5,) and (127.5,); divide those "
            "of pixels 0..255 by 255",
        ),
        ((0.1,), (0.0,), "mean and std must be finite and std positive, not (0.1,) and (0.0,)"),
        (
            (math.nan,),
            (1.0,),
            "mean and std must be finite and std positive, not (nan,) and (1.0,)",
        ),
    ],
)
def test_a_normalization_that_does_not_fit_is_refused(seed, mean, std, message):
    graph = fold(fuse(residual(seed, (3, 8, 12), padding=1)))
    with pytest.raises(NetworkError) as caught:
        normalized(graph, mean, std)
    assert str(caught.value) == message


def padded_first():
    """ImageNet's normalization before a padded convolution, whose zeros are no grey level."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, (8, 12)))


def pooled_first():
    return nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 2, (4, 6)))


@pytest.mark.parametrize("make", [padded_first, pooled_first])
def test_a_normalization_that_no_layer_takes_is_a_layer(make, seed):
    torch.manual_seed(seed)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    graph = fold(fuse(graph_of(make(), (3, 8, 12), "net")))
    changed, grid = normalized(graph, mean, std)
    assert (changed.nodes[0].name, grid.zero_point) == ("normalize", 0)
    images = images_of(seed, (8, 12, 3), count=40)
    real = torch.from_numpy(images.transpose(0, 3, 1, 2) / 255)
    offset, scale = (torch.tensor(each).double().view(1, -1, 1, 1) for each in (mean, std))
    theirs = trace(graph, (real - offset) / scale)[graph.output]
    torch.testing.assert_close(trace(changed, real)[changed.output], theirs)
    network = quantize(graph, images, Options(mean=mean, std=std))
    assert network.layers[0].name == "normalize"
    scores = network.tensors[network.output]
    found = (network(images).reshape(40, -1) - float(scores.zero_point)) * scores.scale
    floats = theirs.reshape(40, -1).numpy()
    assert np.square(found - floats).mean() < 0.003 * np.square(floats).mean()


def test_values_that_are_not_finite_are_refused_by_layer(seed):
    graph = residual(seed)
    graph.nodes[3].weight[0] = 1e308
    with pytest.raises(NetworkError, match=r"^Layer 'conv2': its range \[.*\] is not finite; "):
        quantize(graph, images_of(seed, (10, 14, 1)))
