"""PyTorch's int8 engines: by which rules they round, measured where the rules part."""

from fractions import Fraction

import numpy as np
import pytest
from tercet.model.dtypes import IntType
from tercet.model.layers import Tensor
from tercet.model.layers.conv import Conv2d
from tercet.model.layers.linear import Linear
from tercet.model.layers.pool import AvgPool2d
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding
from tercet.model.requant.references import REFERENCES
from tercet.model.requant.staircase import reference_outputs

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.ao, and its quantized tensors
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

from tercet.model.frontends.torch_ao import engines as torch_engines  # noqa: E402
from torch import nn  # noqa: E402
from torch.ao.nn import quantized as nnq  # noqa: E402
from torch.ao.nn.intrinsic import quantized as nniq  # noqa: E402
from torchengines import ENGINES  # noqa: E402

UINT8, INT8 = IntType(8, signed=False), IntType(8, signed=True)
# (input channels, output channels, kernel, stride, padding, groups, rows, ReLU); kernel 0: linear.
SHAPES = {
    "plain conv1": (1, 3, 3, 3, 0, 1, 28, True),
    "plain conv2": (3, 6, 3, 3, 0, 1, 9, True),
    "plain conv3": (6, 10, 3, 3, 0, 1, 3, False),
    "separable dw1": (1, 1, 3, 3, 0, 1, 28, False),
    "separable dw2": (3, 3, 3, 3, 0, 3, 9, False),
    "separable pw2": (3, 6, 1, 1, 0, 1, 3, True),
    "separable dw3": (6, 6, 3, 3, 0, 6, 3, False),
    "separable pw3": (6, 10, 1, 1, 0, 1, 1, False),
    "lenet conv": (6, 16, 5, 1, 2, 1, 8, True),
    "mnist_cnn conv2": (40, 40, 3, 1, 0, 20, 5, True),
    "mobilenet depthwise": (32, 32, 3, 2, 1, 32, 8, False),
    "depthwise of 200": (200, 200, 3, 1, 1, 200, 3, True),
    "linear": (30, 10, 0, 1, 0, 1, 1, False),
    "linear of five": (5, 3, 0, 1, 0, 1, 1, True),
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


def quantized(values, scale, zero_point=0):
    """A quantized tensor of integers."""
    return torch._make_per_tensor_quantized_tensor(
        torch.from_numpy(values), float(scale), int(zero_point)
    )


def layer_of(shape, rng, scales, zero_point, per_channel, bias):
    """A quantized layer of one of SHAPES with random weights."""
    ic, oc, kernel, stride, padding, groups, _, relu = shape
    _, sw, sy = scales
    if kernel:
        kind = nniq.ConvReLU2d if relu else nnq.Conv2d
        layer = kind(ic, oc, kernel, stride=stride, padding=padding, groups=groups)
    else:
        layer = (nniq.LinearReLU if relu else nnq.Linear)(ic, oc)
    size = (oc, ic // groups, kernel, kernel) if kernel else (oc, ic)
    weights = rng.integers(-127, 128, size, np.int8)
    if per_channel:
        zeros, exact = torch.zeros(oc, dtype=torch.int64), torch.from_numpy(sw.astype(np.float64))
        packed = torch._make_per_channel_quantized_tensor(
            torch.from_numpy(weights), exact, zeros, 0
        )
    else:
        packed = quantized(weights, sw[0])
    layer.set_weight_bias(packed, None if bias is None else torch.from_numpy(bias))
    layer.scale, layer.zero_point = float(sy), zero_point
    return layer


def expected(rule, linear, per_channel, acc, scales, bias, zero_point):
    """A rule from the scales alone, apart from the code under test; channels last in ``acc``."""
    sx, sw, sy = scales
    one, a = np.float32(1), acc.astype(np.float32)
    if rule == "float32_half_even":
        if per_channel:
            a = a + bias / (sx * sw)
        else:  # a fused multiply-add; where float64 rounds too, once in a billion, it shows
            a = (a + bias.astype(np.float64) * (one / (sx * sw))).astype(np.float32)
        return np.rint(a * (sx * sw / sy)) + zero_point
    if linear:
        sw = one / (one / sw)
    y = (a * (one / (one / sx)) * sw + bias) * (one / sy)
    return np.rint(y + np.float32(zero_point))


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SHAPES)
def test_engines_round_by_their_rule_on_every_near_tie(seed, name, engine, per_channel):
    rng = np.random.default_rng([seed, *name.encode(), per_channel])
    torch.backends.quantized.engine = engine
    shape = SHAPES[name]
    ic, oc, kernel, stride, padding, groups, rows, relu = shape
    rule = torch_engines.rule_of(engine, integer_layer(oc, groups, linear=not kernel))
    ties = 0
    for zx, zy, biased in [(0, 0, True), (57, 3, True), (127, 250, False), (0, 131, True)]:
        scales = sx, sw, sy = near_ties(rng, oc, per_channel)
        whole = rng.integers(-3000, 3000, oc) + rng.choice([0, 0.5, 0.25, 1e-3, 0.37], oc)
        bias = (whole * sx.astype(np.float64) * sw * biased).astype(np.float32)
        layer = layer_of(shape, rng, scales, zy, per_channel, bias if biased else None)
        count = 4000 // (oc * rows) + 40
        size = (count, ic, rows, rows) if kernel else (10 * count, ic)
        x = rng.integers(0, 128, size, dtype=np.uint8)
        got = layer(quantized(x, sx, zx)).int_repr().numpy()
        centered = torch.from_numpy(x.astype(np.float64) - zx)
        weights = layer.weight().int_repr().double()
        if kernel:
            window = {"stride": stride, "padding": padding, "groups": groups}
            acc = nn.functional.conv2d(centered, weights, **window).permute(0, 2, 3, 1).numpy()
            got = got.transpose(0, 2, 3, 1)
        else:
            acc = (centered @ weights.T).numpy()
        y = expected(rule, not kernel, per_channel, acc, scales, bias, zy)
        assert np.array_equal(got, np.clip(y, zy if relu else 0, 255))
        v = (acc * float(sx) * sw.astype(float) + bias) / float(sy)
        ties += int((np.abs(v - np.floor(v) - 0.5) < 1e-4).sum())
    assert ties > 10  # or the test is dull


def integer_layer(channels, groups=1, linear=False, scales=(1.0,), zero_point=0):
    """A layer, as far as the engines' choice and rules go."""
    weights = Weights(np.ones((channels, 1, 1, 1), np.int64), INT8, scales, (zero_point,))
    requant = Requant((1,), 0, Rounding.HALF_UP, 0, 255)
    if linear:
        return Linear("x", "a", "b", weights, np.zeros(channels, np.int64), requant=requant)
    bias = np.zeros(channels, np.int64)
    return Conv2d("x", "a", "b", weights, bias, requant=requant, groups=groups)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("engine", ["fbgemm", "onednn"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
def test_targets_are_the_rules_from_the_scales(seed, engine, per_channel, linear):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        scales = sx, sw, sy = near_ties(rng, 4, per_channel)
        bias = (rng.normal(0, 900, 4) * (sx * sw)).astype(np.float32)
        given = tuple(map(float, sw if per_channel else sw[:1]))
        layer = integer_layer(4, linear=linear, scales=given)
        x = Tensor("x", (1, 1, 1), UINT8, float(sx), 0)
        y = Tensor("y", (1, 1, 4), UINT8, float(sy), 77)
        reach = np.full(4, -20_000), np.full(4, 20_000)
        held = torch_engines.Bias(bias, per_channel)
        target = torch_engines.target_of(engine, x, layer, y, reach, held)
        acc = rng.integers(-20_000, 20_000, 3000)
        want = expected(target.reference, linear, per_channel, acc[:, None], scales, bias, 77).clip(
            0, 255
        )
        for channel in range(4):
            assert np.array_equal(reference_outputs(target, channel, acc), want[:, channel])


def test_x86_is_onednn_or_fbgemm_by_the_cpu():
    vnni = torch.cpu.get_capabilities().get("avx512_vnni", False)
    rule_of = torch_engines.rule_of
    by_cpu = "float32_chain" if vnni else "float32_half_even"
    assert rule_of("x86", integer_layer(1)) == by_cpu
    assert rule_of("x86", integer_layer(101, 100)) == by_cpu
    for other in (
        integer_layer(101, 101),
        integer_layer(1, linear=True),
        integer_layer(1, zero_point=3),
    ):
        assert rule_of("x86", other) == "float32_half_even"
        assert rule_of("onednn", other) == "float32_chain"
    assert set(torch_engines.RULES.values()) < set(REFERENCES)


def every_sum(kernel, channels):
    """Windows with every sum that uint8 has: (sums, uint8 (N, channels, KH, KW))."""
    size = kernel[0] * kernel[1]
    sums = np.arange(255 * size + 1)
    windows = sums[:, None] // size + (np.arange(size) < sums[:, None] % size)
    windows = windows.reshape(-1, 1, *kernel).repeat(channels, axis=1)
    return sums, windows.astype(np.uint8)


@pytest.mark.parametrize(
    ("memory", "whole"),
    [("contiguous", False), ("channels last", False), ("channels last", True)],
    ids=["contiguous", "channels last", "global"],
)
@pytest.mark.parametrize("kernel", [(2, 2), (2, 3), (4, 4), (7, 2)], ids=str)
def test_average_pools_round_every_sum_by_their_rules(kernel, memory, whole):
    channels = 38  # whole vectors of 8 and 16, and some left over
    capability = torch.backends.cpu.get_cpu_capability()
    lanes = {"AVX512": 8 if whole else 16, "AVX2": 8}.get(capability, 99)
    sums, windows = every_sum(kernel, channels)
    layer = AvgPool2d(
        "p",
        "x",
        "y",
        kernel=kernel,
        stride=kernel,
        requant=Requant((1,), 0, Rounding.FLOOR, 0, 255),
    )
    pool = nn.AdaptiveAvgPool2d(1) if whole else nn.AvgPool2d(kernel)
    for zero_point in (0, 7, 100, 255):
        last = memory == "channels last"
        x = quantized(windows, 0.037, zero_point)
        if last:
            x = x.contiguous(memory_format=torch.channels_last)
        y = pool(x)
        assert (y.q_scale(), y.q_zero_point()) == (0.037, zero_point)
        got = y.int_repr().numpy()[:, :, 0, 0]
        acc = sums - kernel[0] * kernel[1] * zero_point
        tensor = Tensor("x", (*kernel, channels), UINT8, 0.037, zero_point)
        reach = acc[:1], acc[-1:]
        targets = torch_engines.pool_targets(layer, tensor, reach, whole=whole, channels_last=last)
        by_rule = {t.reference: reference_outputs(t, 0, acc) for t in targets}
        vectors = channels // lanes * lanes if last else 0
        for channel in range(channels):
            vector = "float32_fused" if whole else "float32_half_even"
            rule = vector if channel < vectors else "float32_chain"
            assert np.array_equal(got[:, channel], by_rule[rule])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", range(4))
def test_additions_equal_the_table_on_all_pairs(seed, case, engine):
    rng = np.random.default_rng([seed, case])
    torch.backends.quantized.engine = engine
    sy = np.float32(rng.uniform(0.01, 0.05))
    sa, sb = rng.uniform(0.005, 0.05, 2).astype(np.float32)
    if case % 2:  # every other sum a tie, but for rounding errors
        sa, sb = np.nextafter(sy / 2, np.float32(case - 2)), np.float32(sy * 1.5)
    za, zb, zy = rng.integers(0, 256, 3).tolist()
    first, second = (
        np.ascontiguousarray(axis).astype(np.uint8)
        for axis in np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    )
    a, b = quantized(first, sa, za), quantized(second, sb, zb)
    ours = torch_engines.add_table(
        Tensor("a", (1, 1, 1), UINT8, float(sa), za),
        Tensor("b", (1, 1, 1), UINT8, float(sb), zb),
        Tensor("y", (1, 1, 1), UINT8, float(sy), zy),
    )
    for function, low in ((torch.ops.quantized.add, 0), (torch.ops.quantized.add_relu, zy)):
        theirs = function(a, b, float(sy), zy).int_repr().numpy()
        assert np.array_equal(ours.clip(low, 255), theirs)


def test_a_bias_in_accumulator_steps_is_rounded_per_channel_alone():
    layer = integer_layer(1, scales=(0.3,))
    x, y = (Tensor(n, (1, 1, 1), UINT8, 1.0, 0) for n in "xy")
    reach, step, bias = (np.array([0]), np.array([9])), np.float32(0.3), np.float32(0.7)
    quotient, product = (
        torch_engines.target_of(
            "fbgemm", x, layer, y, reach, torch_engines.Bias(np.array([bias]), per_channel)
        ).biases[0]
        for per_channel in (True, False)
    )
    assert quotient == float(bias / step)
    exactly = Fraction(float(bias)) * Fraction(float(np.float32(1) / step))
    assert Fraction(product) == exactly != Fraction(quotient)
