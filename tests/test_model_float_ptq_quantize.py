"""Post-training quantization: its formulas in exact rationals, and the networks that ship."""

import argparse
import json
import re
from fractions import Fraction

import numpy as np
import pytest
from anylayers import any_layers
from shippedfigures import SHIPPED
from tercet.model import NetworkError
from tercet.model.data import MissingError, mnist, training_digits
from tercet.model.float.nets import nets
from tercet.model.float.nets.stride3 import STRIDE3, layers_of
from tercet.model.formats.json_file import ZOO, dumps, shipped
from tercet.model.requant import Rounding

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from tercet.model.commands import quantize as command_quantize  # noqa: E402
from tercet.model.float.ptq import execute  # noqa: E402
from tercet.model.float.ptq.graph import fold, fuse  # noqa: E402
from tercet.model.float.ptq.quantize import Options, Schemes, accuracy, calibration_images, quantize  # noqa: E402
from tercet.model.float.ptq.schemes import Scheme  # noqa: E402

pytestmark = pytest.mark.torch


def checkpoint(network, seed):
    rng = np.random.default_rng(seed)
    weights = {
        f"{spec.name}.weight": rng.normal(0, 0.4, spec.shape).astype(np.float32)
        for spec in layers_of(network)
    }
    return nets.Checkpoint(network, weights)


def random_images(seed, count):
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def float_trace(check, images):
    """Every tensor of the folded float network, float64 (N, H, W, C)."""
    graph = fold(fuse(check.graph()))
    parts = [values for _, values in execute.batches(graph, images[..., np.newaxis])]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
    last = layers_of(network)[-1].name
    for index, image in enumerate(images):
        assert np.allclose(trace[last][index].ravel(), naive_float(check, image), rtol=1e-12)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("network", STRIDE3)
def test_layers_have_the_scales_names_and_clamps_of_the_scheme(network, per_channel):
    check, images = checkpoint(network, 5), random_images(6, 40)
    schemes = Schemes(weights=Scheme(symmetric=True, per_channel=per_channel))
    options = Options(schemes, multiplier_bits=14, rounding=Rounding.HALF_AWAY)
    quantized = quantize(check.graph(), images[..., np.newaxis], options)
    specs, floats = layers_of(network), float_trace(check, images)
    names = [spec.name for spec in specs]
    assert [layer.name for layer in quantized.layers] == [*names, "argmax"]
    assert list(quantized.tensors) == ["image", *names[:-1], "logits", "class"]
    image, label = quantized.tensors["image"], quantized.tensors["class"]
    assert (str(image.dtype), image.scale, image.zero_point) == ("uint8", 1 / 255, 0)
    assert (str(label.dtype), label.scale, label.zero_point) == ("uint4", 1.0, 0)
    for spec, layer in zip(specs, any_layers(quantized), strict=False):
        x, y = quantized.tensors[layer.input], quantized.tensors[layer.output]
        exact = floats[layer.name]
        grid = Scheme().grid(*(float(np.float32(end)) for end in (exact.min(), exact.max())))
        assert (y.dtype, y.scale, y.zero_point) == (grid.dtype, grid.scale, grid.zero_point)
        requant = layer.requant.definition
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
        quantize(nets.Checkpoint("plain", weights).graph(), random_images(6, 5)[..., np.newaxis])


def test_multipliers_that_do_not_fit_are_refused_by_layer():
    check = checkpoint("plain", 5)
    weights = {**check.state, "conv2.weight": check.state["conv2.weight"].copy()}
    weights["conv2.weight"][0] *= 1e-9
    options = Options(Schemes(weights=Scheme(symmetric=True, per_channel=True)))
    graph, images = nets.Checkpoint("plain", weights).graph(), random_images(6, 5)[..., np.newaxis]
    with pytest.raises(NetworkError) as caught:
        quantize(graph, images, options)
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


def test_every_network_that_ships_has_its_figures():
    assert sorted(SHIPPED) == shipped() == nets.shipped()


@pytest.mark.mnist
@pytest.mark.parametrize("network", SHIPPED)
def test_the_shipped_network_is_made_again_byte_for_byte(
    network, training, test_digits, tmp_path, capsys
):
    path = tmp_path / "made.json"
    count, floats, integers, target = SHIPPED[network]
    words = [network, "--net", network, "-o", str(path), "--split", f"1000,{count}"]
    facts, ok = command_quantize.run(arguments(*words))
    assert ok
    assert path.read_bytes() == (ZOO / f"{network}.json").read_bytes()
    assert json.loads(json.dumps(facts)) == facts
    assert round(facts["float_accuracy"], 4) == floats > target
    assert round(facts["int_accuracy"], 4) == integers
    assert abs(floats - integers) <= 0.002
    if count == 10000:
        assert nets.load(network).facts["test_accuracy"] == round(facts["float_accuracy"], 6)
    assert all((layer["weight_sqnr_db"] or 99) > 25 for layer in facts["layers"])
    assert all(layer["activation_sqnr_db"] > 15 for layer in facts["layers"])
    shown = capsys.readouterr().out.splitlines()
    lost = 100 * (facts["float_accuracy"] - facts["int_accuracy"])
    assert shown[-1] == (
        f"{network}: integers {facts['int_accuracy']:.4f}, float {facts['float_accuracy']:.4f}, "
        f"{'lost' if lost >= 0 else 'gained'} {abs(lost):.2f} points on the {count} MNIST test "
        f"images -> {path}"
    )


@pytest.mark.mnist
def test_facts_are_json_where_a_channel_has_one_weight(training, test_digits, tmp_path, capsys):
    path = tmp_path / "made.json"
    facts, _ = command_quantize.run(arguments("separable", "--per-channel", "-o", str(path)))
    layers = {layer["layer"]: layer for layer in facts["layers"]}
    assert layers["pw1"]["weight_sqnr_db"] is None  # 127 times its scale: nothing is lost
    json.dumps(facts, allow_nan=False)
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-2] for row in rows if "pw1" in row] == ["exact"]
    assert not any("…" in row for row in rows)


@pytest.mark.parametrize("network", STRIDE3)
def test_another_order_of_the_sums_gives_the_same_network(network, monkeypatch, seed):
    graph, images = checkpoint(network, 8).graph(), random_images(9, 100)[..., np.newaxis]
    expected = dumps(quantize(graph, images))
    rng, exactly = np.random.default_rng(seed), execute.apply

    def shaken(node, inputs):
        exact = exactly(node, inputs)
        return exact * (1 + torch.from_numpy(rng.uniform(-1, 1, exact.shape)) * 2.0**-50)

    monkeypatch.setattr(execute, "apply", shaken)
    assert dumps(quantize(graph, images)) == expected


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
        (["plain", "--bits-w", "9"], "weights must have 2 to 8 bits, not 9"),
        (["plain", "--bits-a", "1"], "bits must be 2 to 16, not 1"),
        (
            ["plain", "--observer", "percentile", "--percentile", "nan"],
            "percentile must lie above 50 and up to 100, not nan",
        ),
        (
            ["plain", "--layer", "conv1=8"],
            "--layer must be NAME=W,A such as conv1=8,8, not 'conv1=8'",
        ),
        (["plain", "--seed", "-1"], "seed must be 0 to 4294967295, not -1"),
    ]:
        with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
            command_quantize.run(arguments(*words))
