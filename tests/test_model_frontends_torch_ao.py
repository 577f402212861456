"""PyTorch's int8 engines: how they requantize, and that what is read from them equals them."""

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from tercet.model import NetworkError, QNetwork
from tercet.model.arith import Rounding
from tercet.model.data import MissingError, mnist, training_digits
from tercet.model.float.nets import build, load
from tercet.model.float.nets_stride3 import STRIDE3
from tercet.model.float.quantize import calibration_images
from tercet.model.narrow import closest, differences, reference_outputs
from tercet.model.ranges import accumulator_ranges
from tercet.model.reference import REFERENCES
from tercet.model.requant import requantize

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.ao, and its quantized tensors
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

from tercet.model.frontends import torch_ao, torch_engines  # noqa: E402
from torch import nn  # noqa: E402
from torch.ao import quantization as ao  # noqa: E402
from torch.ao.nn import quantized as nnq  # noqa: E402
from torch.ao.nn.intrinsic import quantized as nniq  # noqa: E402

ENGINES = [
    name for name in torch_engines.ENGINES if name in torch.backends.quantized.supported_engines
]
if not ENGINES:
    pytest.skip("PyTorch has no x86 int8 engine here", allow_module_level=True)

BLANK = torch.zeros(1, 1, 28, 28)
# Every convolution of the nets: (input channels, output channels, kernel, groups, rows, ReLU).
SHAPES = {
    "conv1": (1, 3, 3, 1, 28, True),
    "conv2": (3, 6, 3, 1, 9, True),
    "conv3": (6, 10, 3, 1, 3, False),
    "dw1": (1, 1, 3, 1, 28, False),
    "pw1": (1, 3, 1, 1, 9, True),
    "dw2": (3, 3, 3, 3, 9, False),
    "pw2": (3, 6, 1, 1, 3, True),
    "dw3": (6, 6, 3, 6, 3, False),
    "pw3": (6, 10, 1, 1, 1, False),
}


@pytest.fixture(autouse=True)
def _engine_and_threads():
    """Leave PyTorch's switches as they were."""
    engine, threads = torch.backends.quantized.engine, torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.backends.quantized.engine = engine
    torch.set_num_threads(threads)


def near_ties(rng, out_channels, per_channel):
    """Scales (Sx, Sw, Sy) within a few units in the last place of Sx * Sw / Sy = 2**-k.

    One of every 2**k accumulators is then a tie but for rounding errors, so that any other order of
    the engine's operations shows.
    """
    sx = np.float32(rng.uniform(0.003, 0.03))
    sy = np.float32(rng.uniform(0.01, 0.1))
    sw = (sy / sx / 2.0 ** rng.integers(5, 8, out_channels)).astype(np.float32)
    for _ in range(2):
        sw = np.where(rng.random(out_channels) < 0.5, np.nextafter(sw, np.float32(9)), sw)
    return sx, sw if per_channel else np.repeat(sw[:1], out_channels), sy


def quantized_conv(engine, rng, shape, scales, zero_point, per_channel):
    """A quantized convolution of one of SHAPES with random weights."""
    ic, oc, kernel, groups, _, relu = shape
    _, sw, sy = scales
    kind = nniq.ConvReLU2d if relu else nnq.Conv2d
    torch.backends.quantized.engine = engine
    conv = kind(ic, oc, kernel, stride=kernel, groups=groups, bias=False)
    weights = torch.from_numpy(rng.integers(-127, 128, (oc, ic // groups, kernel, kernel), np.int8))
    exact = torch.from_numpy(sw.astype(np.float64))
    if per_channel:
        zeros = torch.zeros(oc, dtype=torch.int64)
        packed = torch._make_per_channel_quantized_tensor(weights, exact, zeros, 0)
    else:
        packed = torch._make_per_tensor_quantized_tensor(weights, float(sw[0]), 0)
    conv.set_weight_bias(packed, None)
    conv.scale, conv.zero_point = float(sy), zero_point
    return conv


def chain_of(conv, sx, zero_point):
    """A converted module around one quantized convolution."""
    quantize = nnq.Quantize(float(sx), zero_point, torch.quint8)
    return nn.Sequential(quantize, conv, nnq.DeQuantize())


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SHAPES)
def test_engines_round_by_their_rule_on_every_near_tie(seed, name, engine, per_channel):
    rng = np.random.default_rng([seed, *name.encode(), per_channel])
    shape = SHAPES[name]
    ic, oc, kernel, groups, rows, relu = shape
    ties = 0
    for zero_point_x, zero_point_y in [(0, 0 if relu else 131), (57, 3), (127, 250)]:
        scales = near_ties(rng, oc, per_channel)
        conv = quantized_conv(engine, rng, shape, scales, zero_point_y, per_channel)
        x = rng.integers(0, 128, (200, ic, rows, rows), dtype=np.uint8)
        packed = torch._make_per_tensor_quantized_tensor(
            torch.from_numpy(x), float(scales[0]), zero_point_x
        )
        got = conv(packed).int_repr().numpy()
        centered = torch.from_numpy(x.astype(np.float64) - zero_point_x)
        weights = conv.weight().int_repr().double()
        acc = nn.functional.conv2d(centered, weights, stride=kernel, groups=groups)
        acc = acc.numpy().astype(np.int64)  # (N, OC, OH, OW)
        # The rule from the scales alone, apart from the code under test.
        sx, sw, sy = scales
        for channel in range(oc):
            a, w = acc[:, channel], np.float32(sw[channel])
            if torch_engines.rule_of(engine, layer_like(groups)) == "float32_half_even":
                y = np.rint(a.astype(np.float32) * (sx * w / sy)) + zero_point_y
            else:
                sx_again = np.float32(1) / (np.float32(1) / sx)
                y = a.astype(np.float32) * sx_again * w * (np.float32(1) / sy)
                y = np.rint(y + np.float32(zero_point_y))
            expected = np.clip(y, zero_point_y if relu else 0, 255)
            assert np.array_equal(got[:, channel], expected), channel
            v = a * float(sx) * float(w) / float(sy)
            ties += int((np.abs(v - np.floor(v) - 0.5) < 1e-4).sum())
    assert ties > 10  # or the test is dull


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["conv1", "dw2", "pw2"])
def test_reads_layers_whose_zero_points_lie_anywhere(seed, name, engine):
    rng = np.random.default_rng([seed, *name.encode()])
    shape = SHAPES[name]
    scales = [np.float32(value) for value in (0.0123, 0.0345, 0.0789)]
    conv_scales = (scales[0], np.linspace(0.003, 0.03, shape[1], dtype=np.float32), scales[2])
    conv = quantized_conv(engine, rng, shape, conv_scales, 19, per_channel=True)
    module = chain_of(conv, scales[0], 43)
    images = torch.from_numpy(rng.uniform(-0.5, 1.0, (50, shape[0], shape[4], shape[4])))
    images = images.to(torch.float32)
    network = torch_ao.read(module, "one", images, engine)
    assert network.tensors["image"].zero_point == 43
    assert network.layers[0].requant.low == (19 if shape[5] else 0)
    theirs = torch_ao.module_trace(module, images)
    assert np.array_equal(network.trace(theirs["image"])["logits"], theirs["logits"])
    assert len(np.unique(theirs["logits"])) > 20  # or the test is dull


def layer_like(groups):
    """A layer, as far as the choice of engine goes."""
    values = np.ones((groups, 1, 1, 1), np.int64)
    weights = torch_ao.Weights(values, torch_ao.INT8, (1.0,))
    requant = torch_ao.Requant((1,), 0, torch_ao.Rounding.HALF_UP, 0, 255)
    return torch_ao.Conv2d(
        "x", "a", "b", weights, np.zeros(groups, np.int64), requant, groups=groups
    )


@pytest.fixture(scope="module")
def digits():
    try:
        return training_digits(), mnist("test")
    except MissingError as error:
        pytest.skip(str(error))


# Calibration ends in float32 sums whose last bits are the CPU's, and every near tie hangs on the
# last bits of the scales. So they are set to these, which torch.ao found, and the tests below mean
# the same everywhere: {network: {module: (scale, zero point)}}.
SEVEN_BITS = {  # reduce_range, the default qconfig of fbgemm and x86
    "plain": {
        "quant": (0.007870171219110489, 0),
        "conv1": (0.010275132954120636, 0),
        "conv2": (0.06184103339910507, 0),
        "conv3": (0.4739837646484375, 53),
    },
    "separable": {
        "quant": (0.007870171219110489, 0),
        "dw1": (0.01369511615484953, 0),
        "pw1": (0.004242193419486284, 0),
        "dw2": (0.04835781455039978, 56),
        "pw2": (0.049217067658901215, 0),
        "dw3": (0.21514973044395447, 81),
        "pw3": (0.9437574744224548, 68),
    },
}
EIGHT_BITS = {  # the default qconfig of onednn
    "plain": {
        "quant": (0.003919653594493866, 0),
        "conv1": (0.005117419175803661, 0),
        "conv2": (0.03079926036298275, 0),
        "conv3": (0.23606249690055847, 106),
    },
    "separable": {
        "quant": (0.003919653594493866, 0),
        "dw1": (0.006820704787969589, 0),
        "pw1": (0.0021127788349986076, 0),
        "dw2": (0.02408408746123314, 113),
        "pw2": (0.024512028321623802, 0),
        "dw3": (0.10715300589799881, 163),
        "pw3": (0.47002825140953064, 136),
    },
}


@pytest.fixture(scope="module")
def converted(digits):
    """Converted modules by network and engine, each made once."""
    made = {}

    def get(network, engine):
        if (network, engine) not in made:
            images = calibration_images(digits[0].images, 1000, seed=0)
            module = torch_ao.convert(load(network).module(), images, engine)
            scales = (EIGHT_BITS if engine == "onednn" else SEVEN_BITS)[network]
            for name, (scale, zero_point) in scales.items():
                leaf = module.get_submodule(name)
                assert float(leaf.scale) == pytest.approx(scale, rel=1e-3)
                assert int(leaf.zero_point) == zero_point
                as_tensor = isinstance(leaf.scale, torch.Tensor)
                leaf.scale = torch.tensor([scale]) if as_tensor else scale
            made[network, engine] = module
        return made[network, engine]

    return get


@pytest.fixture(scope="module")
def read(digits, converted):
    """Integer networks by name and engine, each read once, the training images as the sample."""
    made = {}

    def get(name, engine):
        if (name, engine) not in made:
            sample = torch_ao.pixels(digits[0].images)
            module = converted(name, engine)
            made[name, engine] = torch_ao.read(module, name, sample, engine)
        return made[name, engine]

    return get


def compare(module, network, images):
    """Compare every tensor on images: (how many values there are, {tensor: how many differ})."""
    compared, differ = 0, Counter()
    for start in range(0, len(images), 1000):
        floats = torch_ao.pixels(images[start : start + 1000])
        theirs = torch_ao.module_trace(module, floats)
        ours = network.trace(theirs["image"])
        for tensor, values in theirs.items():
            differ[tensor] += int((values != ours[tensor]).sum())
            compared += values.size
    return compared, +differ


# In all tensors but the class, for 10,000 images.
VALUES = {"plain": 10_910_000, "separable": 12_050_000}
# What of them differs with oneDNN, whose rule no M and n follow everywhere: see ARITHMETIC.md.
DIFFER = {("separable", "onednn"): {"dw2": 1, "pw2": 1}}  # pw2 reads the value of dw2
# How many reachable accumulators differ, by layer, whether they occur or not; by rule and bits.
DIFFERING = {
    ("plain", "float32_half_even", 7): {"conv2": 1},
    ("plain", "float32_chain", 7): {"conv2": 1, "conv3": 1},
    ("plain", "float32_chain", 8): {"conv2": 1, "conv3": 1},
    ("separable", "float32_half_even", 7): {},
    ("separable", "float32_chain", 7): {"dw2": 3, "dw3": 1, "pw3": 2},
    ("separable", "float32_chain", 8): {"pw1": 1, "dw2": 3, "dw3": 2, "pw3": 4},
}


@pytest.mark.mnist
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", STRIDE3)
def test_every_value_of_every_layer_equals_pytorch_on_the_test_images(
    name, engine, digits, converted, read
):
    module, network = converted(name, engine), read(name, engine)
    compared, differ = compare(module, network, digits[1].images)
    assert compared == VALUES[name]
    assert differ == DIFFER.get((name, engine), {})


@pytest.mark.mnist
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", STRIDE3)
def test_a_layer_names_its_engine_where_no_reachable_accumulator_differs(name, engine, read):
    network = read(name, engine)
    rule = torch_engines.rule_of(engine, network.layers[0])
    counts = torch_engines.differing(network, engine)
    found = {layer: differ for layer, (differ, _) in counts.items() if differ}
    assert found == DIFFERING[name, rule, 8 if engine == "onednn" else 7]
    for layer in network.layers[:-1]:
        assert layer.requant.reference == (None if layer.name in found else rule)


@pytest.mark.mnist
def test_accumulators_t_and_three_t_leave_no_multiplier(read):
    """ARITHMETIC.md's example: FBGEMM rounds both to a tie, and the two ties to even."""
    network = read("plain", "fbgemm")
    layer, x, y = network.layers[1], network.tensors["conv1"], network.tensors["conv2"]
    target = torch_engines.target_of("fbgemm", x, layer, y, accumulator_ranges(network, layer))
    t = 48381
    outputs = reference_outputs(target, 5, np.array([t, 3 * t]))
    assert outputs.tolist() == [80, 242]
    factor = target.scales[5]
    assert Fraction(161, 2) < factor * t < Fraction(161, 2) + Fraction(1, 1 << 18)
    # Below 80.5 asks for a factor below 161 / 2t; 241.5 and more for one of 483 / 6t, the same.
    assert Fraction(161, 2 * t) == Fraction(483, 2 * 3 * t)


@pytest.mark.mnist
@pytest.mark.parametrize(("occurs", "met"), [(48381, [True, False]), (3 * 48381, [False, True])])
def test_of_a_conflict_the_accumulator_that_occurs_wins(occurs, met, read):
    network = read("plain", "fbgemm")
    layer, x, y = network.layers[1], network.tensors["conv1"], network.tensors["conv2"]
    target = torch_engines.target_of("fbgemm", x, layer, y, accumulator_ranges(network, layer))
    seen = [{}] * 5 + [{occurs: 1}]
    requant = closest(target, seen=seen)
    acc = np.array([[48381] * 6, [3 * 48381] * 6])
    got = requantize(acc, requant, y.zero_point)[:, 5]
    assert (got == [80, 242]).tolist() == met
    assert differences(target, requant)[0] == 1


def test_reading_counts_what_the_images_lead_to(monkeypatch):
    handed = []

    def fail(target):
        raise torch_ao.NoMultiplierError("none")

    def note(target, seen):
        handed.append(seen)
        return closest(target, seen=seen)

    monkeypatch.setattr(torch_ao, "narrow", fail)
    monkeypatch.setattr(torch_ao, "closest", note)
    monkeypatch.setattr(torch_ao, "SAMPLE", 7)
    conv = seeded_conv(1, 2, 14, stride=14, bias=False)
    module = plain_chain(ao.QuantStub(), conv, ao.DeQuantStub())
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    torch_ao.read(module, "a", images, "fbgemm")
    x = torch_ao.module_trace(module, images)["image"].astype(np.int64)  # zero point 0
    weights = module[1].weight().int_repr().numpy().astype(np.int64)
    for channel, counts in enumerate(handed[0]):
        expected = Counter()
        for image, i, j in np.ndindex(20, 2, 2):
            patch = x[image, 14 * i : 14 * i + 14, 14 * j : 14 * j + 14, 0]
            expected[int((patch * weights[channel, 0]).sum())] += 1
        assert counts == expected


@pytest.mark.mnist
@pytest.mark.parametrize("planted", ["multiplier", "rounding", "zero point", "clamp"])
def test_a_planted_bug_shows(planted, digits, converted, read):
    module, network = converted("plain", "fbgemm"), read("plain", "fbgemm")
    layer = network.layers[1]
    m, requant, tensors = layer.requant.multipliers, layer.requant, dict(network.tensors)
    if planted == "multiplier":
        narrower = tuple(value - (value >> 14) for value in m)
        requant = replace(requant, multipliers=narrower)
    elif planted == "rounding":
        requant = replace(requant, rounding=Rounding.FLOOR)
    elif planted == "clamp":
        requant = replace(requant, high=requant.high // 4)
    else:
        tensors["conv2"] = replace(tensors["conv2"], zero_point=1)
    layers = [network.layers[0], replace(layer, requant=requant), *network.layers[2:]]
    wrong = QNetwork("plain", "image", tensors, layers)
    _, differ = compare(module, wrong, digits[1].images[:1000])
    assert differ["conv2"] > 0
    assert differ["conv1"] == 0


def plain_chain(*modules, calibrate=(1, 28, 28), engine="fbgemm"):
    """A module converted by hand for the tests of what is refused."""
    torch.backends.quantized.engine = engine
    net = nn.Sequential(*modules).eval()
    net.qconfig = ao.get_default_qconfig(engine)
    prepared = ao.prepare(net)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        prepared(torch.rand(4, *calibrate, generator=generator))
    return ao.convert(prepared)


def seeded_conv(*args, **kwargs):
    conv = nn.Conv2d(*args, **kwargs)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return conv


def test_reads_other_convolutions_than_the_nets_own():
    module = plain_chain(
        ao.QuantStub(),
        seeded_conv(2, 6, (3, 2), stride=(2, 1), padding=(1, 2), groups=2, bias=False),
        seeded_conv(6, 4, 3, padding=2, dilation=2, bias=False),
        ao.DeQuantStub(),
        calibrate=(2, 9, 7),
    )
    network = torch_ao.read(module, "other", torch.zeros(1, 2, 9, 7), "fbgemm")
    assert list(network.tensors) == ["image", "layer_1", "logits"]
    generator = torch.Generator().manual_seed(2)
    theirs = torch_ao.module_trace(module, torch.rand(20, 2, 9, 7, generator=generator))
    ours = network.trace(theirs["image"])
    for tensor, values in theirs.items():
        assert np.array_equal(values, ours[tensor]), tensor
    assert network.tensors["logits"].zero_point > 0


def test_reads_nested_modules_by_their_path():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
            self.features = nn.Sequential(
                seeded_conv(1, 2, 14, stride=14, bias=False), nn.Identity()
            )
            self.head = seeded_conv(2, 3, 2, bias=False)

        def forward(self, x):
            return self.dequant(self.head(self.features(self.quant(x))))

    network = torch_ao.read(plain_chain(Net())[0], "nested", BLANK, "fbgemm")
    assert [layer.name for layer in network.layers] == ["features_0", "head", "argmax"]
    assert network.output == "logits"


def test_the_engine_in_force_is_the_default():
    module = plain_chain(ao.QuantStub(), seeded_conv(1, 2, 3, bias=False), ao.DeQuantStub())
    rules = {}
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        layer = torch_ao.read(module, "a", BLANK).layers[0]
        rules[engine] = torch_ao.read(module, "a", BLANK, engine).layers[0].requant
        assert layer.requant == rules[engine]


def test_x86_is_onednn_or_fbgemm_by_the_cpu():
    vnni = torch.cpu.get_capabilities().get("avx512_vnni", False)
    assert torch_engines.rule_of("x86", layer_like(1)) == (
        "float32_chain" if vnni else "float32_half_even"
    )
    assert torch_engines.rule_of("x86", layer_like(101)) == "float32_half_even"
    assert torch_engines.rule_of("onednn", layer_like(101)) == "float32_chain"
    assert set(torch_engines.RULES.values()) < set(REFERENCES)


def refused(message):
    return pytest.raises(NetworkError, match=f"^{re.escape(message)}$")


def test_an_unknown_engine_is_refused():
    module = plain_chain(ao.QuantStub(), seeded_conv(1, 2, 3, bias=False), ao.DeQuantStub())
    message = "engine must be one of fbgemm, onednn, x86, not 'qnnpack'"
    with refused(message):
        torch_ao.read(module, "a", BLANK, "qnnpack")
    with refused(message):
        torch_ao.convert(build("plain"), np.zeros((1, 28, 28), np.uint8), "qnnpack")


def test_a_float_module_is_refused():
    with refused(
        "The module must start with a converted QuantStub; "
        "prepare, calibrate and convert it with torch.ao.quantization"
    ):
        torch_ao.read(build("plain").eval(), "plain", BLANK, "fbgemm")


def test_a_bias_is_refused():
    module = plain_chain(ao.QuantStub(), seeded_conv(1, 2, 3), ao.DeQuantStub())
    with refused(
        "Layer '1': the engine adds its bias in float32, which no integer bias equals; "
        "build it with bias=False"
    ):
        torch_ao.read(module, "a", BLANK, "fbgemm")


def test_a_zero_bias_is_none():
    conv = seeded_conv(1, 2, 3)
    nn.init.zeros_(conv.bias)
    module = plain_chain(ao.QuantStub(), conv, ao.DeQuantStub())
    assert not torch_ao.read(module, "a", BLANK, "fbgemm").layers[0].bias.any()


@pytest.mark.parametrize("kind", ["ReLU", "MaxPool2d"])
def test_other_layers_are_refused(kind):
    layer = nn.ReLU() if kind == "ReLU" else nn.MaxPool2d(2)
    conv = seeded_conv(1, 2, 3, bias=False)
    module = plain_chain(ao.QuantStub(), conv, layer, ao.DeQuantStub())
    with refused(
        f"Layer '2': {kind} is not supported; "
        "there are Conv2d and ReLU, the ReLU fused into the Conv2d by fuse_modules"
    ):
        torch_ao.read(module, "a", BLANK, "fbgemm")


def test_floats_after_the_stub_are_refused():
    conv = seeded_conv(1, 2, 3, bias=False)
    module = plain_chain(ao.QuantStub(), conv, ao.DeQuantStub(), nn.Softmax(dim=1))
    with refused(
        "Layer '3': Softmax after the DeQuantStub stays in floats; move it out of the module"
    ):
        torch_ao.read(module, "a", BLANK, "fbgemm")


def test_a_missing_stub_at_the_end_is_refused():
    module = plain_chain(ao.QuantStub(), seeded_conv(1, 2, 3, bias=False))
    with refused("The module must end with a DeQuantStub; add one after its last layer"):
        torch_ao.read(module, "a", BLANK, "fbgemm")


def test_other_padding_is_refused():
    conv = seeded_conv(1, 2, 3, padding=1, padding_mode="reflect", bias=False)
    module = plain_chain(ao.QuantStub(), conv, ao.DeQuantStub())
    with refused("Layer '1': padding_mode 'reflect' is not supported; use 'zeros'"):
        torch_ao.read(module, "a", BLANK, "fbgemm")


class Doubling(nn.Module):
    """Computes something between its modules, or after them."""

    def __init__(self, between):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.conv, self.between = seeded_conv(1, 2, 3, bias=False), between

    def forward(self, x):
        y = self.conv(self.quant(x))
        return self.dequant(y.relu()) if self.between else self.dequant(y) * 2


def test_what_stands_between_modules_is_refused():
    with refused(
        "Layer 'dequant': its input comes from no module; "
        "write what stands between it and the module before it as modules in one chain"
    ):
        torch_ao.read(plain_chain(Doubling(True))[0], "a", BLANK, "fbgemm")
    with refused(
        "The module computes something after its last submodule; return that one's output"
    ):
        torch_ao.read(plain_chain(Doubling(False))[0], "a", BLANK, "fbgemm")


def test_scales_that_are_no_float32_are_refused():
    module = plain_chain(ao.QuantStub(), seeded_conv(1, 2, 3, bias=False), ao.DeQuantStub())
    module[1].scale = 0.1
    with refused("Layer '1': its scale 0.1 is no float32; let an observer choose the scale"):
        torch_ao.read(module, "a", BLANK, "fbgemm")


def test_signed_activations_are_refused():
    conv = seeded_conv(1, 2, 3, bias=False)
    module = plain_chain(ao.QuantStub(), conv, ao.DeQuantStub())
    with refused("Layer '0': its output is torch.qint8; choose quint8 activations"):
        torch_ao._tensor(
            "image",
            torch_ao._Step(
                "0",
                module[0],
                torch.zeros(1),
                torch.quantize_per_tensor(torch.zeros(1, 1, 2, 2), 0.5, 0, torch.qint8),
            ),
        )
