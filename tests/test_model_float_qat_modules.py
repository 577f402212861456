"""Fake quantization placed by hand: the same integer network as the automatic one."""

import numpy as np
import pytest
from tercet.model.formats.json_file import dumps
from tercet.model.layers import NetworkError

torch = pytest.importorskip("torch")
from tercet.model.float.ptq.quantize import Options, Schemes  # noqa: E402
from tercet.model.float.ptq.schemes import Scheme  # noqa: E402
from tercet.model.float.qat.fake_quant import FakeQuantize  # noqa: E402
from tercet.model.float.qat.layers import QatConv2d, QatLinear  # noqa: E402
from tercet.model.float.qat.modules import qat_net_of  # noqa: E402
from tercet.model.float.qat.network import QatNet  # noqa: E402
from tercet.model.frontends.torch_export import graph_of  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch

SHAPE = (1, 8, 8)
WEIGHTS, ACTIVATIONS = Scheme(4, True, True), Scheme(4)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.pool(self.relu(self.norm(self.conv1(x))))
        return self.fc(self.flatten(self.conv2(x) + x))


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = QatConv2d(
            1, 4, 3, padding=1, bias=False, scheme=WEIGHTS, norm=nn.BatchNorm2d(4)
        )
        self.relu = nn.ReLU()
        self.after1 = FakeQuantize(ACTIVATIONS)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = QatConv2d(4, 4, 3, padding=1, scheme=WEIGHTS)
        self.after2, self.sum = FakeQuantize(ACTIVATIONS), FakeQuantize(ACTIVATIONS)
        self.flatten = nn.Flatten()
        self.fc = QatLinear(64, 10, scheme=WEIGHTS)
        self.scores = FakeQuantize(Scheme())

    def forward(self, x):
        x = self.pool(self.after1(self.relu(self.conv1(x))))
        x = self.sum(self.after2(self.conv2(x)) + x)
        return self.scores(self.fc(self.flatten(x)))


def pixels(seed, count):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)


def test_the_same_numbers_give_the_same_integer_network(seed):
    torch.manual_seed(seed)
    plain, hand = Plain(), ByHand()
    state = {name.replace("norm.", "conv1.norm."): v for name, v in plain.state_dict().items()}
    assert not hand.load_state_dict(state, strict=False).unexpected_keys
    options = Options(Schemes(WEIGHTS, ACTIVATIONS))
    automatic = QatNet.of(graph_of(plain, SHAPE, "net"), pixels(seed, 20), options)
    placed = (hand.after1, hand.after2, hand.sum, hand.scores)
    for quantizer, other in zip(placed, automatic.quantizers, strict=True):
        quantizer.set_range(other.low, other.high)
    ours = qat_net_of(hand, SHAPE, "net")
    assert dumps(ours.lower()) == dumps(automatic.eval().lower())
    assert len(set(ours.lower()(pixels(seed + 1, 20)).ravel())) > 3


def test_a_network_trained_by_hand_evaluates_as_its_integers(seed):
    torch.manual_seed(seed)
    hand = ByHand()
    optimizer = torch.optim.Adam(hand.parameters(), lr=0.01)
    for _ in range(5):
        scores = hand(torch.rand(16, *SHAPE))
        nn.functional.cross_entropy(scores, torch.randint(0, 10, (16,))).backward()
        optimizer.step()
    net = qat_net_of(hand, SHAPE, "net").eval().double()
    images = pixels(seed, 50)
    ours, theirs = net.integers(images), net.lower().trace(images)
    for name in ("conv1", "pool", "conv2", "add"):
        assert np.array_equal(ours[name], theirs[name])
    assert np.array_equal(ours["fc"], theirs["logits"])
    # the module itself keeps its biases real; an output step is the most that comes of it here
    real = torch.from_numpy(images.transpose(0, 3, 1, 2) / 255)
    step = hand.scores.grid().scale
    assert (hand.eval()(real) - net(real)).abs().max() <= 1.001 * step


class Wrong(ByHand):
    """A module with one thing changed in its forward."""

    def __init__(self, forward):
        super().__init__()
        self.plain = nn.Conv2d(4, 4, 1)
        self.changed = forward

    def forward(self, x):
        return self.changed(self, x)


def shared(m, x):
    y = m.conv1(x)
    return m.scores(m.fc(m.flatten(m.pool(m.sum(m.after1(y) + y)))))


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            lambda m, x: m.after1(m.plain(m.after2(m.conv1(x)))),
            "Layer 'plain': its weights are not fake-quantized; make it a QatConv2d or QatLinear "
            "of its own, used once",
        ),
        (
            lambda m, x: m.after1(m.conv2(m.after2(m.conv2(m.sum(m.conv1(x)))))),
            "Layer 'conv2_2': its weights are not fake-quantized; make it a QatConv2d or QatLinear "
            "of its own, used once",
        ),
        (
            lambda m, x: m.after1(m.conv2(m.conv1(x))),
            "Layer 'conv1': its output has no grid; place a FakeQuantize after it, or after its "
            "ReLU",
        ),
        (
            lambda m, x: m.sum(m.pool(m.after1(m.conv1(x)))),
            "Layer 'sum_fake_quantize': what 'pool' gives is on a grid already; remove this "
            "FakeQuantize",
        ),
        (
            lambda m, x: m.after1(m.conv1(m.sum(x))),
            "Layer 'sum_fake_quantize': what 'image' gives is on a grid already; remove this "
            "FakeQuantize",
        ),
        (
            shared,
            "Layer 'after1_fake_quantize': something else reads 'conv1' without it; let all of "
            "them read its output",
        ),
    ],
)
def test_misplaced_fake_quantization_is_refused(forward, message):
    with pytest.raises(NetworkError) as caught:
        qat_net_of(Wrong(forward), SHAPE, "net")
    assert str(caught.value) == message
