"""Modules of torch.ao: what is read from them equals PyTorch's engine."""

from collections import Counter, OrderedDict

import numpy as np
import pytest
from anylayers import any_layers
from tercet.model.layers import Relu
from tercet.model.requant import Rounding
from tercet.model.requant.multipliers import NoMultiplierError, closest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.ao, and its quantized tensors
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

from tercet.model.float.nets.modules import InvertedResidual  # noqa: E402
from tercet.model.frontends import torch_ao  # noqa: E402
from tercet.model.frontends.torch_ao import network as reading  # noqa: E402
from torch import nn  # noqa: E402
from torch.ao import quantization as ao  # noqa: E402
from torch.ao.nn import quantized as nnq  # noqa: E402
from torchengines import ENGINES, assert_equal  # noqa: E402
from torchnets import BLANK, converted, fused, random_images, seeded, with_stubs  # noqa: E402

PER_TENSOR = ao.QConfig(
    activation=ao.HistogramObserver.with_args(reduce_range=True),
    weight=ao.default_weight_observer,
)


@pytest.fixture(autouse=True)
def _engine_and_threads():
    """Leave PyTorch's switches as they were."""
    engine, threads = torch.backends.quantized.engine, torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.backends.quantized.engine = engine
    torch.set_num_threads(threads)


class Residual(nn.Module):
    """Two branches of a fork, added twice; a ReLU6 on its own; a global average."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)
        )
        self.branch = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.first, self.second = nnq.FloatFunctional(), nnq.FloatFunctional()
        self.six, self.relu = nn.ReLU6(), nn.ReLU(inplace=True)
        self.pool, self.average = nn.MaxPool2d(2, padding=1), nn.AdaptiveAvgPool2d(1)
        self.flatten, self.head = nn.Flatten(), nn.Linear(8, 5)

    def forward(self, x):
        x = self.body(self.quant(x))
        y = self.first.add(x, self.six(self.branch(x)))
        y = self.second.add_relu(self.pool(y), self.pool(self.branch(x)))
        y = self.relu(y)
        return self.dequant(self.head(self.flatten(self.average(y))))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
def test_residual_networks_equal_the_engine(engine, per_channel):
    qconfig = None if per_channel else PER_TENSOR
    module = converted(seeded(Residual()), (3, 9, 9), engine, qconfig)
    network = assert_equal(module, engine, random_images(40, (3, 9, 9)))
    assert list(network.tensors) == [
        "image", "body_0", "branch", "six", "first", "pool", "branch_call2", "pool_call2",
        "second", "relu", "average", "logits", "class",
    ]  # fmt: skip
    six = next(layer for layer in network.layers if isinstance(layer, Relu))
    zero = network.tensors["six"].zero_point
    assert zero == six.low < six.high <= 255
    counts = torch_ao.differing(network, module, random_images(1, (3, 9, 9)), engine)
    assert counts["first"] == counts["second"] == (0, 65536)
    for layer in network.layers:
        if layer.name in counts and layer.kind != "add":
            assert (layer.requant.reference is None) == bool(counts[layer.name][0])
    convolutions = [layer for layer in network.layers if layer.kind in ("conv2d", "linear")]
    assert all(layer.requant.has_offsets for layer in convolutions)


def test_inverted_residuals_are_converted_with_their_additions(seed):
    blocks = OrderedDict(
        block1=InvertedResidual(3, 4, 2),
        block2=InvertedResidual(4, 4, 1),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(4, 3),
    )
    net = seeded(nn.Sequential(blocks))
    images = np.random.default_rng(seed).integers(0, 256, (40, 9, 9, 3), np.uint8)
    engine = ENGINES[0]
    torch.backends.quantized.engine = engine
    module = torch_ao.convert(net, images, engine)
    network = assert_equal(module, engine, torch_ao.pixels(images))
    assert [layer.name for layer in network.layers] == [
        "block1_expand", "block1_depthwise", "block1_project",
        "block2_expand", "block2_depthwise", "block2_project", "block2_sum", "pool", "fc", "argmax",
    ]  # fmt: skip
    assert isinstance(net.block2.bn1, nn.BatchNorm2d)  # left as it was


CHAINS = {
    "lenet": lambda: [
        nn.Conv2d(2, 4, 3, padding=(2, 1)), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), groups=2), nn.MaxPool2d((2, 1)),
        nn.Flatten(), nn.Dropout(), nn.Linear(18, 7), nn.ReLU(), nn.Linear(7, 3),
    ],
    "dilated": lambda: [
        nn.Conv2d(2, 6, 3, padding=2, dilation=2), nn.Identity(),
        nn.Conv2d(6, 6, 3, groups=6), nn.AvgPool2d(3, stride=1, padding=1), nn.Conv2d(6, 4, 1),
    ],
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("name", CHAINS)
def test_chains_with_biases_equal_the_engine(name, engine, per_channel):
    net = seeded(with_stubs(*CHAINS[name]()))
    module = converted(net, (2, 9, 9), engine, None if per_channel else PER_TENSOR)
    assert_equal(module, engine, random_images(60, (2, 9, 9)))


def test_average_pools_with_ties_take_a_rule_that_has_them():
    """Over 2x3 positions every sixth sum is a tie, which no M and B send to even."""
    net = seeded(with_stubs(nn.Conv2d(2, 32, 1), nn.ReLU(), nn.AvgPool2d((2, 3))))
    network = assert_equal(converted(net, (2, 6, 6)), "fbgemm", random_images(60, (2, 6, 6)))
    assert network.tensors["layer_1"].zero_point == 0
    assert network.layers[-1].requant.rounding is Rounding.FLOAT32
    assert network.layers[-1].requant.reference is not None


def test_weights_that_were_quantized_with_zero_points_and_no_bias(seed):
    rng = np.random.default_rng(seed)
    module = converted(seeded(with_stubs(nn.Conv2d(1, 2, 3, bias=False))), (1, 6, 6))
    weights = torch.from_numpy(rng.integers(-128, 128, (2, 1, 3, 3), np.int8))
    packed = torch._make_per_tensor_quantized_tensor(weights, 0.015625, 0)
    module[1].set_weight_bias(packed, None)
    module[0].zero_point, module[1].zero_point = torch.tensor([43]), 19
    network = assert_equal(module, "fbgemm", random_images(30, (1, 6, 6)))
    assert network.tensors["image"].zero_point == 43
    assert not network.layers[0].requant.has_offsets


def test_reading_counts_what_the_images_lead_to_in_the_channels_in_conflict(monkeypatch):
    handed = []

    def fail(target):
        if len(target.scales) != 1 or target.scales[0] == target_scales[1]:
            target_scales[:] = target.scales if len(target.scales) > 1 else target_scales
            raise NoMultiplierError("none")

    def note(target, seen):
        handed.append(seen)
        return closest(target, seen=seen)

    target_scales = []
    monkeypatch.setattr(reading, "narrow", fail)
    monkeypatch.setattr(reading, "closest", note)
    monkeypatch.setattr(reading, "SAMPLE", 7)
    module = converted(seeded(with_stubs(nn.Conv2d(1, 2, 14, stride=14))), (1, 28, 28))
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    torch_ao.read(module, "a", images, "fbgemm")
    x = torch_ao.module_trace(module, images)["image"].astype(np.int64)
    x -= int(module[0].zero_point)
    weights = module[1].weight().int_repr().numpy().astype(np.int64)
    expected = Counter()
    for image, i, j in np.ndindex(20, 2, 2):
        patch = x[image, 14 * i : 14 * i + 14, 14 * j : 14 * j + 14, 0]
        expected[int((patch * weights[1, 0]).sum())] += 1
    assert handed == [[Counter(), expected]]


def test_reads_nested_modules_by_their_path():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
            self.features = nn.Sequential(nn.Conv2d(1, 2, 14, stride=14), nn.Identity())
            self.head = nn.Conv2d(2, 3, 2)

        def forward(self, x):
            return self.dequant(self.head(self.features(self.quant(x))))

    module = converted(seeded(Net()), (1, 28, 28))
    network = torch_ao.read(module, "nested", BLANK, "fbgemm")
    assert [layer.name for layer in network.layers] == ["features_0", "head", "argmax"]
    assert network.output == "logits"


def test_the_engine_in_force_is_the_default():
    module = converted(seeded(with_stubs(nn.Conv2d(1, 2, 3))), (1, 6, 6))
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        images = random_images(2, (1, 6, 6))
        chosen = any_layers(torch_ao.read(module, "a", images, engine))[0].requant
        assert any_layers(torch_ao.read(module, "a", images))[0].requant == chosen


def float_net():
    return fused(seeded(with_stubs(*CHAINS["lenet"]())))


@pytest.mark.parametrize("from_file", [False, True])
def test_a_state_dict_is_read_through_its_float_module(tmp_path, from_file):
    images = random_images(20, (2, 9, 9))
    module = converted(seeded(with_stubs(*CHAINS["lenet"]())), (2, 9, 9))
    source = module.state_dict()
    if from_file:
        torch.save(source, tmp_path / "net.pt")
        source = tmp_path / "net.pt"
    torch.manual_seed(9)
    other = fused(with_stubs(*CHAINS["lenet"]()))  # other weights: they are replaced
    network = torch_ao.read_state_dict(source, other, "net", images, "fbgemm")
    expected = torch_ao.read(module, "net", images, "fbgemm")
    inputs = torch_ao.module_trace(module, images)["image"]
    assert np.array_equal(network(inputs), expected(inputs))
    assert network.tensors == expected.tensors
    assert not hasattr(other, "qconfig")
