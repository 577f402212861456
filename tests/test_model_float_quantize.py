"""Post-training quantization: its formulas in exact rationals, and the networks that ship."""

import argparse
import json
import re
from fractions import Fraction

import numpy as np
import pytest
from tercet.model import NetworkError, load
from tercet.model.arith import Rounding
from tercet.model.data import MissingError, mnist, training_digits
from tercet.model.dtypes import IntType
from tercet.model.float import command_quantize, nets
from tercet.model.float import quantize as quantize_module
from tercet.model.float.nets_stride3 import STRIDE3, layers_of
from tercet.model.float.quantize import (
    Options,
    accuracy,
    activation_parameters,
    calibration_images,
    float_trace,
    quantize,
    quantize_weights,
)
from tercet.model.netfile import ZOO, dumps

UINT8, INT4 = IntType(8, signed=False), IntType(4, signed=True)


def checkpoint(network, seed):
    rng = np.random.default_rng(seed)
    weights = {
        f"{spec.name}.weight": rng.normal(0, 0.4, spec.shape).astype(np.float32)
        for spec in layers_of(network)
    }
    return nets.Checkpoint(network, weights)


def random_images(seed, count):
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [UINT8, INT4, IntType(8, signed=True)], ids=str)
def test_activation_parameters_are_the_formulas(seed, dtype):
    rng = np.random.default_rng(seed)
    edges = [(0.0, 1.0), (-1.0, 0.0), (0.5, 2.0), (-3.0, -2.0), (-1e-30, 1e30), (-127.5, 127.5)]
    for rmin, rmax in [*edges, *np.sort(rng.normal(0, 5, (300, 2)), axis=1).tolist()]:
        scale, zero_point = activation_parameters(rmin, rmax, dtype)
        low, high = min(Fraction(rmin), Fraction(0)), max(Fraction(rmax), Fraction(0))
        exact = (high - low) / (dtype.qmax - dtype.qmin)
        assert abs(Fraction(scale) / exact - 1) < Fraction(1, 1 << 52)
        exact_zero = dtype.qmin - low / Fraction(scale)
        assert abs(zero_point - exact_zero) <= Fraction(1, 2) + Fraction(1, 1 << 40)
        assert dtype.qmin <= zero_point <= dtype.qmax
        # The range is covered to half a step at each end.
        for real, q in ((low, dtype.qmin), (high, dtype.qmax)):
            assert abs((q - zero_point) * Fraction(scale) - real) <= Fraction(scale) * Fraction(
                51, 100
            )


def test_activation_parameters_at_ties_go_to_the_even_zero_point():
    assert activation_parameters(-0.5, 254.5, UINT8) == (1.0, 0)
    assert activation_parameters(-1.5, 253.5, UINT8) == (1.0, 2)


def test_an_empty_range_is_refused():
    message = "all its calibration values are 0; train the network again"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        activation_parameters(0.0, 0.0, UINT8)


@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_are_the_nearest_multiples_of_the_scale(seed, per_channel):
    values = np.random.default_rng(seed).normal(0, 1, (5, 2, 3, 4)).astype(np.float32)
    weights = quantize_weights(values, per_channel)
    assert weights.values.shape == (5, 3, 4, 2)
    assert weights.zero_points == (0,) * len(weights.scales)
    assert len(weights.scales) == (5 if per_channel else 1)
    for oc, ic, y, x in np.ndindex(values.shape):
        largest = Fraction(float(np.abs(values[oc] if per_channel else values).max()))
        scale = Fraction(weights.scales[oc if per_channel else 0])
        assert abs(scale / (largest / 127) - 1) < Fraction(1, 1 << 52)
        exact = Fraction(float(values[oc, ic, y, x])) / scale
        assert abs(int(weights.values[oc, y, x, ic]) - exact) <= Fraction(1, 2) + Fraction(
            1, 1 << 40
        )
    tops = np.abs(weights.values).max(axis=(1, 2, 3)) if per_channel else abs(weights.values).max()
    assert np.all(tops == 127)


@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_that_are_all_0_are_refused(per_channel):
    message = "its weights are all 0, in one channel at least; train the network again"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        quantize_weights(np.zeros((2, 1, 1, 1), np.float32), per_channel)


def naive_float(check, image):
    """The float network by loops, for one image (28, 28)."""
    x = image[np.newaxis] / 255
    for spec in layers_of(check.network):
        weights, k = check.state[f"{spec.name}.weight"].astype(float), spec.kernel
        size, per = x.shape[1] // k, spec.out_channels // spec.groups
        y = np.zeros((spec.out_channels, size, size))
        for oc, i, j in np.ndindex(y.shape):
            first = oc // per * weights.shape[1]
            patch = x[first : first + weights.shape[1], i * k : i * k + k, j * k : j * k + k]
            y[oc, i, j] = (weights[oc] * patch).sum()
        x = np.maximum(y, 0) if spec.relu else y
    return x.ravel()


@pytest.mark.parametrize("network", STRIDE3)
def test_the_float_trace_is_the_network(network):
    check, images = checkpoint(network, 3), random_images(4, 3)
    trace = float_trace(check, images)
    for index, image in enumerate(images):
        assert np.allclose(trace["logits"][index].ravel(), naive_float(check, image), rtol=1e-12)
    assert float_trace(check, images[:0])["logits"].shape == (0, 1, 1, 10)


@pytest.mark.torch
@pytest.mark.parametrize("network", STRIDE3)
def test_the_float_trace_is_the_module(network):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    check, images = checkpoint(network, 3), random_images(4, 700)
    with torch.no_grad():
        module = check.module().double()
        theirs = module(torch.from_numpy(images[:, np.newaxis] / 255.0)).numpy()
    assert np.allclose(float_trace(check, images)["logits"].reshape(-1, 10), theirs, rtol=1e-9)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("network", STRIDE3)
def test_layers_have_the_scales_names_and_clamps_of_the_scheme(network, per_channel):
    check, images = checkpoint(network, 5), random_images(6, 40)
    options = Options(per_channel, multiplier_bits=14, rounding=Rounding.HALF_AWAY)
    quantized = quantize(check, images, options)
    specs, floats = layers_of(network), float_trace(check, images)
    names = [spec.name for spec in specs]
    assert [layer.name for layer in quantized.layers] == [*names, "argmax"]
    assert list(quantized.tensors) == ["image", *names[:-1], "logits", "class"]
    image, label = quantized.tensors["image"], quantized.tensors["class"]
    assert (str(image.dtype), image.scale, image.zero_point) == ("uint8", 1 / 255, 0)
    assert (str(label.dtype), label.scale, label.zero_point) == ("uint4", 1.0, 0)
    for spec, layer in zip(specs, quantized.layers, strict=False):
        x, y = quantized.tensors[layer.input], quantized.tensors[layer.output]
        ends = (float(np.float32(end)) for end in (floats[y.name].min(), floats[y.name].max()))
        assert (y.scale, y.zero_point) == activation_parameters(*ends, UINT8)
        requant = layer.requant
        assert (requant.low, requant.high) == (y.zero_point if spec.relu else 0, 255)
        assert (requant.rounding, requant.reference) == (Rounding.HALF_AWAY, None)
        assert max(requant.multipliers).bit_length() == 14
        assert len(requant.multipliers) == (spec.out_channels if per_channel else 1)
        for m, scale in zip(requant.multipliers, layer.weights.scales, strict=True):
            factor = Fraction(x.scale) * Fraction(scale) / Fraction(y.scale)
            error = abs(Fraction(m, 1 << requant.shift) - factor)
            assert error <= Fraction(501, 1000) / (1 << requant.shift)
        assert not layer.bias.any()
    # Without a ReLU the values have both signs, and zero lies inside the range.
    middle = [quantized.tensors[s.name] for s in specs[:-1] if not s.relu]
    assert all(0 < tensor.zero_point < 255 for tensor in middle)


def test_a_dead_layer_is_refused_by_name():
    check = checkpoint("plain", 5)
    weights = {**check.state, "conv2.weight": -np.abs(check.state["conv2.weight"])}
    message = "Layer 'conv2': all its calibration values are 0; train the network again"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        quantize(nets.Checkpoint("plain", weights), random_images(6, 5))


def test_multipliers_that_do_not_fit_are_refused_by_layer():
    check = checkpoint("plain", 5)
    weights = {**check.state, "conv2.weight": check.state["conv2.weight"].copy()}
    weights["conv2.weight"][0] *= 1e-9
    with pytest.raises(NetworkError) as caught:
        quantize(nets.Checkpoint("plain", weights), random_images(6, 5), Options(per_channel=True))
    assert re.fullmatch(
        r"Layer 'conv2': factors from \S+ to \S+ do not fit 16-bit multipliers "
        r"over one shift of 0 to 61",
        str(caught.value),
    )


@pytest.mark.parametrize("bits", [0, 32])
def test_impossible_multiplier_bits_are_refused(bits):
    message = f"multiplier bits must be 1 to 31, not {bits}"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        Options(multiplier_bits=bits)


def test_calibration_images_are_the_same_ones_everywhere():
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1)
    chosen = calibration_images(images, 5, seed=7).ravel().tolist()
    assert chosen == [26, 37, 49, 78, 91]
    assert len(np.unique(calibration_images(images, 100, seed=7))) == 100


@pytest.mark.parametrize("count", [0, 101])
def test_more_calibration_images_than_there_are_are_refused(count):
    message = f"calibration images must number 1 to 100, not {count}"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        calibration_images(np.zeros((100, 28, 28), np.uint8), count, seed=0)


def test_accuracy_takes_the_first_of_equal_scores():
    scores = np.array([[1, 3, 3], [2, 0, 1], [0, 0, 0]])
    assert accuracy(scores, np.array([1, 0, 2], np.uint8)) == pytest.approx(2 / 3)


@pytest.fixture(scope="module")
def training():
    try:
        return training_digits()
    except MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def test_digits():
    try:
        return mnist("test")
    except MissingError as error:
        pytest.skip(str(error))


def arguments(*words):
    parser = argparse.ArgumentParser()
    command_quantize.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.mnist
@pytest.mark.parametrize("network", STRIDE3)
def test_the_shipped_network_is_made_again_byte_for_byte(
    network, training, test_digits, tmp_path, capsys
):
    path = tmp_path / "made.json"
    facts, ok = command_quantize.run(arguments(network, "--net", network, "-o", str(path)))
    assert ok
    assert path.read_bytes() == (ZOO / f"{network}.json").read_bytes()
    assert json.loads(json.dumps(facts)) == facts
    assert [layer["layer"] for layer in facts["layers"]] == [s.name for s in STRIDE3[network]]
    assert all(layer["weight_sqnr_db"] > 25 for layer in facts["layers"])
    assert all(layer["activation_sqnr_db"] > 15 for layer in facts["layers"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == (
        f"{network}: int8 {facts['int8_accuracy']:.4f}, float {facts['float_accuracy']:.4f} "
        f"on the 10000 MNIST test images -> {path}"
    )


@pytest.mark.mnist
def test_facts_are_json_where_a_channel_has_one_weight(training, test_digits, tmp_path, capsys):
    path = tmp_path / "made.json"
    facts, _ = command_quantize.run(arguments("separable", "--per-channel", "-o", str(path)))
    layers = {layer["layer"]: layer for layer in facts["layers"]}
    assert layers["pw1"]["weight_sqnr_db"] is None  # 127 times its scale: nothing is lost
    json.dumps(facts, allow_nan=False)
    rows = capsys.readouterr().out.splitlines()
    assert [row.split("│")[8].strip() for row in rows if "pw1" in row] == ["exact"]
    assert not any("…" in row for row in rows)


# The figures of the shipped networks on the 10,000 test images, as the README gives them.
FIGURES = {"plain": (0.9451, 0.9444), "separable": (0.8399, 0.8386)}  # float, int8
TARGETS = {"plain": 0.940, "separable": 0.810}


@pytest.mark.mnist
@pytest.mark.parametrize("network", STRIDE3)
def test_the_shipped_networks_reach_their_figures(network, test_digits):
    check = nets.load(network)
    floats = accuracy(float_trace(check, test_digits.images)["logits"], test_digits.labels)
    integers = accuracy(load(network)(test_digits.images), test_digits.labels)
    assert (round(floats, 4), round(integers, 4)) == FIGURES[network]
    assert check.facts["test_accuracy"] == round(floats, 6)
    assert floats > TARGETS[network]
    assert abs(floats - integers) <= 0.003


@pytest.mark.parametrize("network", STRIDE3)
def test_another_order_of_the_sums_gives_the_same_network(network, monkeypatch, seed):
    check, images = checkpoint(network, 8), random_images(9, 100)
    expected = dumps(quantize(check, images))
    rng, convolve = np.random.default_rng(seed), quantize_module._convolve

    def shaken(*args):
        exact = convolve(*args)
        return exact * (1 + rng.uniform(-1, 1, exact.shape) * 2.0**-50)

    monkeypatch.setattr(quantize_module, "_convolve", shaken)
    assert dumps(quantize(check, images)) == expected


@pytest.mark.mnist
def test_the_command_refuses_another_network(training):
    message = "The checkpoint plain holds plain, not separable; give --net plain"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        command_quantize.run(arguments("plain", "--net", "separable"))


def test_the_command_refuses_impossible_options():
    for words, message in [
        (
            ["plain", "--net", "lenet"],
            f"There is no float network named 'lenet'; there are {', '.join(nets.NETS)}",
        ),
        (["plain", "--multiplier-bits", "40"], "multiplier bits must be 1 to 31, not 40"),
        (["plain", "--seed", "-1"], "seed must be 0 to 4294967295, not -1"),
    ]:
        with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
            command_quantize.run(arguments(*words))
