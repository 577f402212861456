"""The explicit form: exact at every optimization level, beyond float32 and float64 too."""

from dataclasses import replace

import numpy as np
import pytest
from tercet.model import QNetwork
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import network_of
from tercet.model.fuzz.draws import INT8, UINT8, random_images
from tercet.model.layers import Tensor
from tercet.model.layers.linear import Linear
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding
from tercet.model.search.policies import fixed

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from onnxrun import (  # noqa: E402
    EVERY_PAIR,
    LEVELS,
    assert_equal,
    forms,
    operators,
    two_inputs,
)
from tercet.model.exporters.onnx import write  # noqa: E402


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_the_explicit_form_is_exact_at_every_optimization_level(seed, level):
    rng = np.random.default_rng(seed)
    for rounding in Rounding:
        net = operators(rng, rounding=rounding)
        content = write(net, explicit=True)
        assert set(forms(content).values()) == {"explicit"}
        assert_equal(net, random_images(rng, net.tensors[net.input], 3), level, content)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_products_beyond_float64_and_offsets_are_exact(seed, rounding):
    rng = np.random.default_rng(seed)
    for multiplier, shift, offset in (
        ((1 << 31) - 1, 46, 0),
        ((1 << 31) - 1, 47, -(1 << 46) + 1),
        (1 << 30, 46, 1 << 45),
        (12345, 30, (1 << 61) - 1),
        (12345, 24, -(1 << 23)),
        (1, 0, 0),
        (1, 61, 1 << 60),
        (3 << 28, 52, 7),
    ):
        net = two_inputs(rng, rounding)
        requant = Requant((multiplier,), shift, rounding, 0, 255, offsets=(offset,))
        layer = replace(net.layers[0], requant=requant)
        changed = QNetwork(net.name, net.input, net.tensors, [layer])
        assert_equal(changed, EVERY_PAIR[:: int(rng.integers(5, 20))])


@pytest.mark.parametrize("rounding", list(Rounding))
def test_ties_beyond_float64(seed, rounding):
    # products of up to 54 bits; acc = (k + 1/2) * 2**15 is a tie, met by x0 - Zx + 127 * (x1 - Zx)
    rng = np.random.default_rng(seed)
    acc = (np.arange(-120, 120)[:, None] * 2 + 1) * (1 << 14) + np.array([-1, 0, 1])
    zero_point, bias = 1 << 15, int(rng.integers(-99, 99))
    images = np.full((acc.size, 1, 1, 4), zero_point)
    images[:, 0, 0, :2] += np.stack(np.divmod(acc.ravel() - bias, 127)[::-1], axis=-1)
    x = Tensor("image", (1, 1, 4), IntType(16, signed=False), 0.5, zero_point)
    y = Tensor("logits", (1, 1, 1), UINT8, 0.25, 128)
    requant = Requant((1 << 30,), 45, rounding, 0, 255)
    weights = Weights(np.array([1, 127, 127, 127]).reshape(1, 1, 1, 4), INT8, (0.01,))
    layer = Linear("fc", "image", "logits", weights, np.array([bias]), requant=requant)
    net = network_of(x, [layer], [y])
    assert "Mod" in {node.op_type for node in onnx.load_from_string(write(net)).graph.node} or (
        rounding is Rounding.FLOAT32
    )
    assert_equal(net, images)


@pytest.mark.parametrize(
    ("kind", "bits", "count", "digits"),
    [
        ("conv2d", 3, 40_000, 2),
        ("linear", 8, 30_000, 4),
        ("conv2d", 16, 60, 2),
        ("linear", 16, 60, 2),
        ("avg_pool2d", 16, 1600, 2),
    ],
)
def test_sums_beyond_float32_are_split_into_digits(seed, kind, bits, count, digits):
    rng = np.random.default_rng(seed)
    builder = Builder("wide")
    image, zero_point = IntType(bits, signed=False), 1 << (bits - 1) if bits < 16 else 0
    rescale = fixed(30, Rounding.HALF_EVEN)
    shape = (40, 40, 1) if kind == "avg_pool2d" else (1, 1, count)
    x = builder.input(shape, Grid(image, 1.0, zero_point))
    middle = 128 if zero_point else 0
    if kind == "avg_pool2d":
        y = Grid(UINT8, 2.0 ** (bits - 8), middle)
        builder.avg_pool2d("logits", x, (40, 40), Window(), Output(y, rescale))
    else:
        weights = Weights(rng.integers(-128, 128, (2, 1, 1, count)), INT8, (1.0,), (-128,))
        y = Grid(UINT8, count * 2.0 ** (bits - 1), middle)
        getattr(builder, kind)("logits", x, weights, np.array([1 << 20, -3]), Output(y, rescale))
    net = builder.network()
    images = random_images(rng, x, 30)
    for image, level in zip(images[2:], np.linspace(0, 1, 28), strict=True):
        image[:] = image * level  # from black to bright, so that the sums differ
    assert_equal(net, images)
    content = write(net, explicit=True)
    assert_equal(net, images, content=content)
    sums = [n for n in onnx.load_from_string(content).graph.node if n.op_type in ("Conv", "Gemm")]
    assert len(sums) == digits
    assert len(np.unique(net(images))) > 20
