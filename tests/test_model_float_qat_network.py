"""Quantization-aware training: what evaluation computes is what the integer network computes."""

import numpy as np
import pytest
from tercet.model.formats.json_file import dumps
from tercet.model.layers import NetworkError, Requantizing
from tercet.model.requant import Rounding

torch = pytest.importorskip("torch")
from tercet.model.commands.qat import unproven  # noqa: E402
from tercet.model.float.ptq.execute import trace  # noqa: E402
from tercet.model.float.ptq.graph import fold, fuse  # noqa: E402
from tercet.model.float.ptq.quantize import Options, Schemes  # noqa: E402
from tercet.model.float.ptq.schemes import Scheme  # noqa: E402
from tercet.model.float.qat import network as qat  # noqa: E402
from tercet.model.float.qat.network import QatNet  # noqa: E402
from tercet.model.float.training.recipe import Training  # noqa: E402
from tercet.model.frontends.torch_export import graph_of  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch

SHAPE = (2, 9, 8)


class Random(nn.Module):
    """Convolutions, batch norm, a residual, both pools, a linear layer; sizes drawn."""

    def __init__(self, rng):
        super().__init__()
        channels = int(rng.integers(2, 5)) * 2
        self.stem = nn.Sequential(
            nn.Conv2d(2, channels, (3, 2), padding=(1, 1), bias=bool(rng.integers(2))),
            nn.BatchNorm2d(channels),
            nn.ReLU6() if rng.integers(2) else nn.ReLU(),
        )
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding="same", groups=int(rng.choice([1, 2]))),
            nn.BatchNorm2d(channels),
        )
        self.alone = nn.Conv2d(channels, 6, 2, stride=(2, 1))
        self.pools = nn.ModuleList([nn.AvgPool2d((2, 3), 2), nn.MaxPool2d(2, padding=1)])
        self.first = int(rng.integers(2))
        self.fc = nn.LazyLinear(10)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.branch(x))
        x = self.pools[self.first](x)
        x = self.pools[1 - self.first](torch.relu(self.alone(x)))
        return self.fc(x.flatten(1))


def random_graph(seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    module = Random(rng)
    module(torch.rand(4, *SHAPE))  # sizes and statistics
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return graph_of(module, SHAPE, "random")


def pixels(seed, count):
    shape = (count, *SHAPE[1:], SHAPE[0])
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def options(bits, symmetric=False, affine_w=False, per_channel=False):
    return Options(
        Schemes(
            weights=Scheme(bits, not affine_w, per_channel), activations=Scheme(bits, symmetric)
        )
    )


def trained(net, seed, steps, rate=0.01):
    """The network after some steps of training on noise."""
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=rate)
    generator = torch.Generator().manual_seed(seed)
    net.train()
    for _ in range(steps):
        optimizer.zero_grad()
        scores = net(torch.rand((8, *SHAPE), generator=generator))
        labels = torch.randint(0, 10, (8,), generator=generator)
        nn.functional.cross_entropy(scores, labels).backward()
        optimizer.step()
    return net


def differing(net, images):
    """The same as ``values_differing``, once every class is found equal."""
    ours = net.eval().integers(images)[net.graph.output].reshape(len(images), -1)
    assert np.array_equal(ours.argmax(axis=1), net.lower().trace(images)["class"].ravel())
    return values_differing(net, images)


def values_differing(net, images):
    """Values of every tensor, flat ones aside, on which evaluation and golden model differ."""
    lowered = net.lower()
    theirs = lowered.trace(images)
    ours = net.eval().integers(images)
    outputs = {layer.name: layer.output for layer in lowered.layers}
    assert set(outputs) - {"argmax"} == set(ours) - {"image"}
    return sum(
        int((values != theirs[outputs.get(name, name)]).sum())
        for name, values in ours.items()
        if "flatten" not in name
    )


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("affine_w", [False, True])
@pytest.mark.parametrize(("bits", "symmetric"), [(2, True), (4, False), (7, True), (8, False)])
def test_evaluation_in_float64_is_the_golden_model(
    bits, symmetric, affine_w, per_channel, learned, seed, long_form
):
    """The short form takes half of the cases, in which any two options have all their values."""
    if not long_form and (affine_w + per_channel + learned + (bits in (4, 7))) % 2:
        pytest.skip("any two of its options are in another case; --all-networks runs it")
    seed += bits + 2 * affine_w + per_channel
    chosen = options(bits, symmetric, affine_w, per_channel)
    training = Training(delay=1, freeze=4, learned=learned)
    net = QatNet.of(random_graph(seed), pixels(seed, 20), chosen, training)
    trained(net, seed, 6)
    assert differing(net.double(), pixels(seed + 1, 40)) == 0


def test_evaluation_in_float64_is_the_golden_model_behind_a_normalization(seed):
    chosen = Options(mean=[0.5], std=[0.3])
    net = trained(QatNet.of(random_graph(seed), pixels(seed, 20), chosen), seed, 2)
    assert net.image.zero_point == 128
    assert differing(net.double(), pixels(seed + 1, 40)) == 0


class Ties(nn.Module):
    """Layers whose exact quotients are often halves, once their steps are powers of two."""

    def __init__(self, pool):
        super().__init__()
        self.start = nn.Conv2d(2, 4, 1)
        self.quarters = nn.Conv2d(4, 4, 1)
        self.pool = nn.AvgPool2d(pool, 2)

    def forward(self, x):
        x = self.start(x)
        return self.pool(self.quarters(x) + x)


def tied(pool, seed):
    torch.manual_seed(seed)
    eight = Options(Schemes(Scheme(4, True), Scheme(8, True)))
    net = QatNet.of(graph_of(Ties(pool), SHAPE, "ties"), pixels(seed, 20), eight)
    exponents = {"start": -7, "quarters": -6, "add": -5, "pool": -5}
    for quantizer, exponent in zip(net.quantizers, exponents.values(), strict=True):
        quantizer.set_range(0, 127 * 2.0**exponent)
    for layer in net.layers:
        layer.quantize.set_range(0, 7 * 2.0**-3)
    assert [net.grids()[name].scale for name in exponents] == [2.0**e for e in exponents.values()]
    return net.eval().double()


def test_a_tie_is_a_tie_in_both(seed):
    net, images = tied((2, 2), seed), pixels(seed + 1, 40)
    levels = net.integers(images)
    sums = levels["start"] + 2 * levels["quarters"]
    assert (sums % 4 == 2).mean() > 0.1  # ties in the addition
    assert np.array_equal(levels["add"], np.clip(np.rint(sums / 4), -128, 127))
    assert values_differing(net, images) == 0
    assert unproven(net.lower()) == []


def test_ties_that_no_multiplier_has_are_said(seed):
    """Sixths: M / 2**n above 1/6 rounds all ties up, below it down, and none is even."""
    net = tied((2, 3), seed)
    lowered = net.lower()
    assert unproven(lowered) == ["pool"]
    (pool,) = (layer for layer in lowered.layers if layer.name == "pool")
    definition = pool.requant.definition
    assert max(definition.multipliers).bit_length() == 31
    assert definition.rounding is Rounding.HALF_EVEN
    assert values_differing(net, pixels(seed + 1, 40)) > 0


def test_multipliers_are_the_narrowest_that_give_the_same(monkeypatch):
    net = QatNet.of(random_graph(1), pixels(1, 20), options(8)).eval()
    narrow = net.lower()
    monkeypatch.setattr(qat, "narrowing", lambda rescale: rescale)
    first = net.lower()
    bits = [
        (max(one.requant.multipliers).bit_length(), max(other.requant.multipliers).bit_length())
        for one, other in zip(narrow.layers, first.layers, strict=True)
        if isinstance(one, Requantizing)
    ]
    assert all(one <= other for one, other in bits)
    assert any(one < other for one, other in bits)
    images = pixels(2, 40)
    for name, values in narrow.trace(images).items():
        assert np.array_equal(values, first.trace(images)[name])


def test_training_computes_what_evaluation_does_once_all_is_frozen(seed):
    """Biases aside, which evaluation rounds: then every tensor is the same."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(54, 10, bias=False),
    )
    net = QatNet.of(graph_of(module, SHAPE, "net"), pixels(seed, 20), options(4)).double()
    net.freeze()
    images = torch.from_numpy(pixels(seed + 1, 40).transpose(0, 3, 1, 2) / 255)
    with torch.no_grad():
        training, evaluation = net.train().trace(images), net.eval().trace(images)
    for name, values in training.items():
        torch.testing.assert_close(values, evaluation[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("learned", [False, True])
def test_the_same_training_gives_the_same_bytes(learned, seed):
    def once():
        training = Training(delay=1, freeze=3, learned=learned)
        net = QatNet.of(random_graph(seed), pixels(seed, 20), options(4), training)
        return dumps(trained(net, seed, 5).lower())

    assert once() == once()


def test_training_from_ranges_changes_and_freezing_holds_them(seed):
    net = QatNet.of(random_graph(seed), pixels(seed, 20), options(8), Training(freeze=2))
    start = net.grids()
    trained(net, seed, 2)
    after_two = net.grids()
    assert all(start[name] != after_two[name] for name in start if name != "image")
    trained(net, seed, 3)
    assert net.grids() == after_two


def test_delayed_quantization_is_the_float_network(seed):
    graph = random_graph(seed)
    net = QatNet.of(graph, pixels(seed, 20), options(2), Training(delay=1, freeze=0))
    images = torch.from_numpy(pixels(seed + 1, 5).transpose(0, 3, 1, 2) / 255).float()
    exact = trace(fold(fuse(graph)), images)["fc"].flatten(1)
    torch.testing.assert_close(net(images), exact, rtol=1e-4, atol=1e-4)
    assert (net(images) - exact).abs().max() > 0.01


def test_a_layer_may_be_named_like_a_method(seed):
    module = nn.Sequential()
    module.add_module("keys", nn.Conv2d(2, 10, (9, 8)))
    module.add_module("flatten", nn.Flatten())
    net = QatNet.of(graph_of(module, SHAPE, "net"), pixels(seed, 5))
    assert differing(net.eval().double(), pixels(seed + 1, 5)) == 0


def test_a_dead_network_is_refused_by_layer(seed):
    module = nn.Sequential(nn.Conv2d(2, 10, (9, 8)), nn.Flatten())
    nn.init.zeros_(module[0].weight)
    message = "Layer 'layer_0': all its values are 0; train the network again"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        QatNet.of(graph_of(module, SHAPE, "net"), pixels(seed, 5))


@pytest.mark.parametrize("what", ["delay", "freeze"])
def test_negative_steps_are_refused(what):
    message = f"{what} must be a number of steps, 0 or more, not -1"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        Training(**{what: -1})


@pytest.mark.parametrize(
    ("scale", "offset", "ends"),
    [(255.0, 0.0, "0 to 255"), (4.0, -2.0, "-2 to 2"), (float("nan"), 0.0, "nan to nan")],
)
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_images_that_are_no_pixels_by_255_are_refused(scale, offset, ends, mode):
    net = QatNet.of(random_graph(3), np.random.default_rng(3).integers(0, 256, (8, 9, 8, 2)))
    images = torch.rand(4, *SHAPE)
    images[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    net.train(mode)(images)
    with pytest.raises(NetworkError) as raised:
        net(images * scale + offset)
    assert str(raised.value).endswith(
        f"takes pixels / 255, 0 to 1, not {ends}; give images / 255, and a normalization by mean "
        "and std of the options"
    )
