"""Concat and QLinearConcat, equal to ONNX Runtime on every element, read and exported."""

import numpy as np
import pytest
from randomnets import random_concat

pytest.importorskip("onnxruntime")

from inceptionnet import inception
from onnxgen import Model, coded, differing, grid, images, quantized
from onnxrun import assert_equal
from tercet.model.frontends.onnx import read
from tercet.model.fuzz.draws import random_images
from tercet.model.layers import NetworkError
from tercet.model.requant import Rounding

FIRST = np.float32(1 / 255)


def branches(model, x):
    """A map of two channels, one of three behind a convolution, and a pool of the first."""
    scales, zero_point = model.rng.uniform(0.004, 0.03, 2), int(model.rng.integers(0, 120))
    a = grid(model, model.node("Conv", x, coded(model, 2, 2, 1, 1)), scales[0], zero_point)
    b = model.node("Conv", x, coded(model, 3, 2, 3, 3), pads=[1] * 4)
    b = grid(model, model.node("Relu", b), scales[1], 0)
    c = model.node("MaxPool", a, kernel_shape=[3, 3], pads=[1] * 4)
    return [a, b, grid(model, c, scales[0], zero_point)]


def pixels(model):
    return grid(model, "x", FIRST, 0)


def of_maps(model):
    """Several grids, then one; the image among them."""
    x = pixels(model)
    y = model.node("Concat", *branches(model, x), x, axis=1)
    y = grid(model, y, 0.0173, 90)
    return grid(model, model.node("Concat", y, y, axis=-3), 0.0173, 90)


def clamped(model):
    """A Relu behind it that the zero point implies, and a Clip that it does not."""
    x = pixels(model)
    y = model.node("Relu", model.node("Concat", *branches(model, x), axis=1))
    y = grid(model, y, 0.0231, 0)
    y = model.node("Concat", y, x, axis=1)
    y = model.node("Clip", y, model.constant(0.1), model.constant(1.3))
    return grid(model, y, 0.0151, 44)


def of_types(model):
    """Tensors of both signs, which ONNX Runtime joins in floats."""
    x = pixels(model)
    parts = branches(model, x)
    parts[1] = grid(model, parts[1], 0.0211, -7, np.int8)
    return grid(model, model.node("Concat", *parts, axis=1), 0.0199, 5, np.int8)


def of_vectors(model):
    """Flat tensors, a linear layer behind them."""
    x = pixels(model)
    parts = []
    for y, scale in zip(branches(model, x), (0.011, 0.007, 0.013), strict=True):
        y = grid(model, model.node("GlobalAveragePool", y), scale, 80)
        parts.append(grid(model, model.node("Flatten", y), scale, 80))
    y = grid(model, model.node("Concat", *parts, axis=-1), 0.0121, 77)
    return grid(model, model.node("Gemm", y, coded(model, 7, 4)), 0.0173, 30)


def of_integers(model):
    """Integers on one grid, without a DequantizeLinear, and one tensor alone."""
    scale, zero = model.constant(FIRST), model.constant(0, np.uint8)
    x = model.node("QuantizeLinear", "x", scale, zero)
    y = model.node("Concat", x, x, axis=1)
    y = model.node("DequantizeLinear", y, scale, zero)
    return grid(model, model.node("Concat", y, axis=1), 0.0079, 13)


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("build", [of_maps, clamped, of_types, of_vectors, of_integers])
def test_models_by_hand_equal_onnx_runtime(build, case, seed):
    rng = np.random.default_rng([seed, case])
    model = Model(rng, (2, 7, 6))
    source = model.proto(build(model)).SerializeToString()
    counts, network = differing(source, images(rng, model.shape, 120))
    assert not counts.total(), counts
    assert "concat" in {layer.kind for layer in network.layers}


@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_statically_quantized_models_equal_onnx_runtime(form, activations, tmp_path, seed):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 8, 6))
    x = model.node("Relu", model.conv("x", (4, 2, 3, 3), pads=[1] * 4))
    a, b = model.conv(x, (3, 4, 1, 1)), model.conv(x, (2, 4, 3, 3), pads=[1] * 4)
    pool = model.node("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)
    y = model.node("Concat", model.node("Relu", a), b, pool, axis=1)
    y = model.node("Concat", y, x, axis=1)
    y = model.node("Flatten", model.conv(y, (5, 13, 8, 6)))
    y = model.gemm(y, 5, 4)
    batch = images(rng, model.shape)
    source = quantized(model.proto(y), tmp_path, batch, form=form, activations=activations)
    counts, network = differing(source, batch)
    assert not counts.total(), counts
    concats = [layer for layer in network.layers if layer.kind == "concat"]
    assert [len(layer.reads) for layer in concats] == [3, 2]


def random_grids(rng, count, dtype):
    limits = np.iinfo(dtype)
    scales = np.exp(rng.uniform(np.log(1e-3), np.log(0.3), count)).astype(np.float32)
    scales[rng.random(count) < 0.3] = scales[0]
    return scales, rng.integers(limits.min, limits.max + 1, count)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_every_value_of_every_input_equals_onnx_runtime(dtype, seed):
    """Grids of any scales, simple ratios among them: all 256 values of each."""
    rng = np.random.default_rng(seed)
    refused = []
    for _ in range(25):
        model = Model(rng, (1, 16, 16))
        scales, zeros = random_grids(rng, 4, dtype)
        if rng.integers(2):
            scales[1] = scales[0] * np.float32(rng.choice([0.5, 2, 4, 3]))
        x = grid(model, "x", scales[0], zeros[0], dtype)
        moved = [grid(model, x, scales[n], zeros[n], dtype) for n in (1, 2)]
        y = grid(model, model.node("Concat", x, *moved, axis=1), scales[3], zeros[3], dtype)
        values = np.arange(256).reshape(1, 1, 16, 16) + np.iinfo(dtype).min - zeros[0]
        batch = (values * scales[0]).astype(np.float32)
        try:
            counts, _ = differing(model.proto(y).SerializeToString(), batch)
        except NetworkError as error:
            refused.append(str(error))
        else:
            assert not counts.total(), counts
    assert len(refused) < 12
    reasons = ("ONNX Runtime merges it with", "are requantized by no multiplier as")
    assert all(any(reason in message for reason in reasons) for message in refused), refused


def refusal(build):
    model = Model(np.random.default_rng(0), (2, 4, 4))
    model.joined = lambda *inputs, **kw: model.node("Concat", *inputs, **kw)
    with pytest.raises(NetworkError) as caught:
        read(model.proto(build(model)).SerializeToString())
    return str(caught.value)


def test_what_cannot_be_concatenated_is_refused():
    def flat(model):
        x = pixels(model)
        parts = [grid(model, model.node("Flatten", y), s, 80) for y, s in ((x, 0.01), (x, 0.02))]
        return grid(model, model.joined(*parts, axis=1), 0.01, 80)

    def rows(model):
        x = pixels(model)
        return grid(model, model.joined(x, x, axis=2), FIRST, 0)

    def apart(model):
        zero = model.constant(0, np.uint8)
        names = (model.constant(FIRST), zero), (model.constant(0.02), zero)
        x = model.node("QuantizeLinear", "x", *names[0])
        pool = model.node("GlobalAveragePool", model.node("DequantizeLinear", x, *names[0]))
        return model.joined(x, model.node("QuantizeLinear", pool, *names[1]), axis=1)

    assert refusal(rows) == (
        "Node 'concat2' (Concat): axis is 2; concatenate the channels of maps, axis=1"
    )
    assert refusal(flat).startswith("Network 'net': its output 'concat8' was flattened or permuted")
    assert refusal(apart).endswith(
        "its inputs are integers of several grids; use QLinearConcat, or dequantize them before it"
    )


@pytest.mark.parametrize("case", range(20))
def test_exported_concatenations_equal_the_golden_model(case, seed):
    rng = np.random.default_rng([seed, case])
    shape = (1, 1, 3) if case % 4 == 0 else None  # vectors in the file
    net = random_concat(rng, shape=shape, rounding=list(Rounding)[case % 5])
    assert_equal(net, random_images(rng, net.tensors[net.input], 6))


@pytest.mark.parametrize("one_grid", [True, False])
def test_an_exported_inception_equals_the_golden_model(one_grid, seed):
    rng = np.random.default_rng(seed)
    net = inception(rng, one_grid)
    assert_equal(net, random_images(rng, net.tensors[net.input], 6))
