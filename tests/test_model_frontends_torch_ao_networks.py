"""The trained networks through PyTorch's int8 engines: every value of every tensor compared."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from tercet.model import QNetwork
from tercet.model.data import MissingError, fit_to, mnist, training_digits
from tercet.model.float.nets.nets import input_shape_of, load
from tercet.model.float.ptq.quantize import calibration_images
from tercet.model.requant import Rounding, requantize
from tercet.model.requant.multipliers import closest, differences, reference_outputs

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.mnist,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.ao, and its quantized tensors
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

from tercet.model.frontends import torch_ao  # noqa: E402
from tercet.model.frontends.torch_ao import engines as torch_engines  # noqa: E402
from torchnets import EIGHT_BITS, SEVEN_BITS  # noqa: E402

ENGINES = [
    name for name in torch_engines.ENGINES if name in torch.backends.quantized.supported_engines
]
if not ENGINES:
    pytest.skip("PyTorch has no x86 int8 engine here", allow_module_level=True)

STRIDE3 = ("plain", "separable")


@pytest.fixture(autouse=True)
def _engine_and_threads():
    """Leave PyTorch's switches as they were."""
    engine, threads = torch.backends.quantized.engine, torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.backends.quantized.engine = engine
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    try:
        return training_digits(), mnist("test")
    except MissingError as error:
        pytest.skip(str(error))


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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", STRIDE3)
def test_every_value_of_every_layer_equals_pytorch_on_the_test_images(
    name, engine, digits, converted, read
):
    module, network = converted(name, engine), read(name, engine)
    compared, differ = compare(module, network, digits[1].images)
    assert compared == VALUES[name]
    assert differ == DIFFER.get((name, engine), {})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", STRIDE3)
def test_a_layer_names_its_engine_where_no_reachable_accumulator_differs(
    name, engine, converted, read
):
    network = read(name, engine)
    rule = torch_engines.rule_of(engine, network.layers[0])
    module = converted(name, engine)
    counts = torch_ao.differing(network, module, torch.zeros(1, 1, 28, 28), engine)
    found = {layer: differ for layer, (differ, _) in counts.items() if differ}
    assert found == DIFFERING[name, rule, 8 if engine == "onednn" else 7]
    for layer in network.layers[:-1]:
        assert layer.requant.reference == (None if layer.name in found else rule)


def test_accumulators_t_and_three_t_leave_no_multiplier(read):
    """ARITHMETIC.md's example: FBGEMM rounds both to a tie, and the two ties to even."""
    network = read("plain", "fbgemm")
    layer, x, y = network.layers[1], network.tensors["conv1"], network.tensors["conv2"]
    target = torch_engines.target_of("fbgemm", x, layer, y, layer.sum_bounds(network))
    t = 48381
    outputs = reference_outputs(target, 5, np.array([t, 3 * t]))
    assert outputs.tolist() == [80, 242]
    factor = target.scales[5]
    assert Fraction(161, 2) < factor * t < Fraction(161, 2) + Fraction(1, 1 << 18)
    # Below 80.5 asks for a factor below 161 / 2t; 241.5 and more for one of 483 / 6t, the same.
    assert Fraction(161, 2 * t) == Fraction(483, 2 * 3 * t)


@pytest.mark.parametrize(("occurs", "met"), [(48381, [True, False]), (3 * 48381, [False, True])])
def test_of_a_conflict_the_accumulator_that_occurs_wins(occurs, met, read):
    network = read("plain", "fbgemm")
    layer, x, y = network.layers[1], network.tensors["conv1"], network.tensors["conv2"]
    target = torch_engines.target_of("fbgemm", x, layer, y, layer.sum_bounds(network))
    seen = [{}] * 5 + [{occurs: 1}]
    requant = closest(target, seen=seen)
    acc = np.array([[48381] * 6, [3 * 48381] * 6])
    got = requantize(acc, requant, y.zero_point)[:, 5]
    assert (got == [80, 242]).tolist() == met
    assert differences(target, requant)[0] == 1


# Every other network with the default engine, and one with each: {(network, engine): counts}.
# Activations' scales are cut to 12 bits here, out of reach of what another CPU's calibration does.
OTHERS = {
    ("mnist_cnn", "x86"): {},
    ("mnist_cnn", "fbgemm"): {},
    ("mnist_cnn", "onednn"): {"conv2": 1, "pool2": 1, "flatten": 1},  # the value of conv2, read on
    ("mnist_cnn_bn", "x86"): {},
    ("lenet_avg", "x86"): {},
    ("lenet_max", "x86"): {"conv1": 1},  # no maximum of pool1
}


def cut_scales(module):
    """Round the scales of activations to 12 significant bits."""
    for part in module.modules():
        scale = getattr(part, "scale", None)
        if scale is not None:
            mantissa, exponent = np.frexp(float(scale))
            cut = float(np.ldexp(np.rint(np.ldexp(mantissa, 12)), exponent - 12))
            part.scale = torch.tensor([cut]) if isinstance(scale, torch.Tensor) else cut


@pytest.mark.parametrize(("name", "engine"), OTHERS)
def test_every_value_of_networks_with_biases_and_pools(name, engine, digits):
    if engine not in ENGINES:
        pytest.skip(f"PyTorch has no {engine} here")
    shape = input_shape_of(name)
    images = fit_to(calibration_images(digits[0].images, 1000, seed=0), shape)
    torch.backends.quantized.engine = engine
    module = torch_ao.convert(load(name).module(), images[:300], engine)
    cut_scales(module)
    network = torch_ao.read(module, name, torch_ao.pixels(images), engine)
    compared, differ = compare(module, network, fit_to(digits[1].images[:1000], shape))
    assert compared == 1000 * sum(
        int(np.prod(t.shape)) for t in network.tensors.values() if t.name != "class"
    )
    assert differ == OTHERS[name, engine]


# The table of ARITHMETIC.md: what of all values differs, how many reachable accumulators, and of
# how many; scales as they were calibrated, on a CPU with AVX-512 VNNI.
ALL_IMAGES = {
    ("lenet_avg", "fbgemm"): ({}, 105, 439_513_903),
    ("lenet_avg", "x86"): (
        {"conv2": 2, "pool2": 1, "conv3": 1, "fc1": 1, "logits": 1}, 142, 439_513_903
    ),
    ("lenet_avg", "onednn"): ({"conv3": 2, "fc1": 5, "logits": 5}, 293, 439_513_903),
    ("lenet_max", "fbgemm"): ({}, 153, 465_089_636),
    ("lenet_max", "x86"): ({}, 156, 465_089_636),
    ("lenet_max", "onednn"): ({"conv1": 1}, 193, 465_089_636),
    ("mnist_cnn", "fbgemm"): ({}, 12, 61_366_350),
    ("mnist_cnn", "x86"): ({}, 13, 61_366_350),
    ("mnist_cnn", "onednn"): (
        {"conv1": 11, "pool1": 4, "conv2": 5, "pool2": 2, "flatten": 2}, 28, 61_366_350
    ),
    ("mnist_cnn_bn", "fbgemm"): ({}, 34, 167_847_975),
    ("mnist_cnn_bn", "x86"): ({}, 51, 167_847_975),
    ("mnist_cnn_bn", "onednn"): ({"conv2": 5, "pool2": 4, "flatten": 4}, 96, 167_847_975),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "engine"), ALL_IMAGES)
def test_all_images_through_networks_with_biases(name, engine, digits, pytestconfig):
    if not pytestconfig.getoption("--all-images"):
        pytest.skip("takes a minute; asked for by --all-images")
    shape = input_shape_of(name)
    images = fit_to(calibration_images(digits[0].images, 1000, seed=0), shape)
    torch.backends.quantized.engine = engine
    module = torch_ao.convert(load(name).module(), images, engine)
    sample = torch_ao.pixels(fit_to(digits[0].images, shape))
    network = torch_ao.read(module, name, sample, engine)
    _, differ = compare(module, network, fit_to(digits[1].images, shape))
    counts = torch_ao.differing(network, module, sample[:1], engine).values()
    found = differ, sum(d for d, _ in counts), sum(n for _, n in counts)
    assert found == ALL_IMAGES[name, engine]


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
