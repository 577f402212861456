"""Hand-made integer LeNets: equal to PyTorch's integers, written as such people write them."""

import numpy as np
import pytest
from anylayers import any_layers
from scaleshift import LAYERS, state_dict
from tercet.model.data import mnist
from tercet.model.float.nets import nets
from tercet.model.formats.json_file import dumps, loads
from tercet.model.frontends.scale_shift import read
from tercet.model.frontends.scale_shift.from_float import to_scale_shift
from tercet.model.layers import Relu


def forward_integers(torch, state, triples, images):
    """The pass in int64: (N, C, H, W) -> (N, 10)."""
    import torch.nn.functional as F  # noqa: N812

    state = {name: torch.from_numpy(np.asarray(values)) for name, values in state.items()}
    x = torch.from_numpy(images.astype(np.int64))
    for number, name in enumerate(LAYERS, start=1):
        m, n, z = triples[name]
        weight = state[f"{name}.weight"].to(torch.int64) - z
        bias = torch.round(state[f"{name}.bias"] * 256 / (m / 2**n)).to(torch.int64)
        if name.startswith("conv"):
            acc = F.conv2d(x, weight, bias, padding=2 if number == 1 else 0)
        else:
            acc = F.linear(x.flatten(1), weight, bias)
        x = torch.div(acc * m, 2**n, rounding_mode="floor")
        if number <= 2:
            x = torch.clamp(x, min=0)
            total = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
            x = torch.round(total.double() / 4).to(torch.int64)
    return x.numpy()


def forward_floats(torch, state, triples, images):
    """The same in float64 tensors, whose values all stay integers."""
    import torch.nn.functional as F  # noqa: N812

    state = {name: torch.from_numpy(np.asarray(values)) for name, values in state.items()}
    x = torch.from_numpy(images.astype(np.float64))
    for number, name in enumerate(LAYERS, start=1):
        m, n, z = triples[name]
        weight = state[f"{name}.weight"].double() - z
        bias = torch.round(state[f"{name}.bias"] * 256 / (m / 2**n)).double()
        if name.startswith("conv"):
            acc = F.conv2d(x, weight, bias, padding=2 if number == 1 else 0)
        else:
            acc = F.linear(x.flatten(1), weight, bias)
        x = torch.floor(acc * m / 2**n)
        if number <= 2:
            x = torch.round(F.avg_pool2d(F.relu(x), 2))
    return x.numpy()


def assert_equal_passes(torch, net, state, triples, images):
    """Images (N, H, W, C); gives the scores."""
    scores = net(images)
    planes = images.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(scores, forward_integers(torch, state, triples, planes))
    np.testing.assert_array_equal(scores, forward_floats(torch, state, triples, planes))
    for name, values in net.trace(images[:20]).items():  # the clamp never acts
        low, high = net.value_range(name)
        assert (
            name in ("image", "class")
            or (low < values.min() and values.max() < high)
            or (low == 0 and values.max() < high)
        )
    assert len(np.unique(scores)) > len(images)
    return scores


@pytest.mark.torch
@pytest.mark.parametrize("bits", [5, 8, 16])
@pytest.mark.parametrize(("channels", "image"), [((6, 16, 120, 84, 10), 1), ((3, 7, 20, 11, 4), 2)])
def test_scores_equal_pytorchs_integers(seed, bits, channels, image):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng([seed, bits])
    state, triples = to_scale_shift(state_dict(rng, channels, image), bits)
    net = read(state, triples)
    assert [layer.name for layer in net.layers] == [
        "conv1", "pool1", "conv2", "pool2", "conv3", "fc1", "fc2", "argmax"
    ]  # fmt: skip
    assert all(m.bit_length() == bits for m, _, _ in triples.values())
    images = rng.integers(0, 256, (12, 28, 28, image))
    images[0], images[1] = 0, 255
    assert_equal_passes(torch, net, state, triples, images)
    assert dumps(loads(dumps(net))) == dumps(net)


@pytest.mark.torch
def test_maps_that_stay_wide_are_flattened_channels_first(seed):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch.nn.functional as F  # noqa: N812

    rng = np.random.default_rng(seed)
    state = {
        "conv.weight": rng.integers(0, 256, (3, 1, 3, 3)).astype(np.float32),
        "fc.weight": rng.integers(0, 256, (4, 3 * 5 * 4), dtype=np.uint8),
        "fc.bias": np.array([7, -9, 0, 100_000]),  # rounded already
    }
    triples = {"conv": (3, 5, 120), "fc": (1, 2, 130)}
    net = read(state, triples, size=(5, 4), paddings=(1,), relus=0, pools=0, gain=1)
    images = rng.integers(0, 256, (30, 5, 4))
    x = torch.from_numpy(images)[:, None]
    weight = torch.from_numpy(state["conv.weight"]).long()
    x = F.conv2d(x, weight - 120, padding=1) * 3 >> 5
    x = F.linear(x.flatten(1), torch.from_numpy(state["fc.weight"]).long() - 130)
    x = x + torch.from_numpy(state["fc.bias"]) >> 2
    np.testing.assert_array_equal(net(images), x.numpy())


@pytest.mark.torch
@pytest.mark.mnist
def test_the_trained_lenet_keeps_its_accuracy():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    checkpoint = nets.load("lenet_avg")
    state, triples = to_scale_shift(checkpoint.state)
    net = read(state, triples)
    digits = mnist("test").first(1000)
    scores = assert_equal_passes(torch, net, state, triples, digits.images[..., np.newaxis])
    with torch.no_grad():
        pixels = torch.from_numpy(digits.images[:, np.newaxis].astype(np.float32) / 255)
        floats = checkpoint.module()(pixels).numpy()
    of_floats, of_integers = (
        (found.argmax(axis=1) == digits.labels).mean() for found in (floats, scores)
    )
    assert of_integers >= of_floats - 0.005
    bits = {name: net.tensors[name].dtype.bits for name in ("conv1", "conv2", "conv3", "fc1")}
    assert bits == {"conv1": 11, "conv2": 14, "conv3": 17, "fc1": 20}
    assert net.tensors["logits"].dtype.bits == 21
    narrow = read(state, triples, max_bits=16)
    assert max(tensor.dtype.bits for tensor in narrow.tensors.values()) == 16
    np.testing.assert_array_equal(narrow(digits.images), scores)  # no digit comes near the bounds


def test_no_relu_is_left_alone_and_scales_say_the_gain(seed):
    state, triples = to_scale_shift(state_dict(np.random.default_rng(seed)))
    net = read(state, triples, gain=128)
    assert not any(isinstance(layer, Relu) for layer in net.layers)
    assert {t.scale for name, t in net.tensors.items() if name != "class"} == {1 / 128}
    m, n, z = triples["conv2"]
    assert any_layers(net)[2].weights.scales == (m / 2**n,)
    assert any_layers(net)[2].weights.zero_points == (z,)


def bias_of(values, triple):
    state = {"conv.weight": np.ones((len(values), 1, 1, 1), np.uint8), "conv.bias": values}
    net = read(state, {"conv": triple}, size=(1, 1), paddings=(), pools=0, gain=1)
    return any_layers(net)[0].bias.tolist()


def test_biases_round_to_even_in_their_own_type():
    halves = np.array([0.25, 0.75, 1.25, -0.25, -0.75])  # 0.5, 1.5, 2.5, -0.5, -1.5
    assert bias_of(halves, (1, 1, 0)) == [0, 2, 2, 0, -2]
    near = np.array([3 * 2**22 + 2])  # a third is 2**22 + 2/3, in float32 2**22 + 1/2
    assert bias_of(near.astype(np.float64), (3, 0, 0)) == [2**22 + 1]
    assert bias_of(near.astype(np.float32), (3, 0, 0)) == [2**22]


def chain(*weights, zero_point=1, **arguments):
    """A network of 1x1 convolutions without scales: weights (OC, IC) less the zero point."""
    names = [f"conv{number}" for number in range(len(weights))]
    state = {
        f"{name}.weight": np.array(values, np.uint8)[:, :, None, None]
        for name, values in zip(names, weights, strict=True)
    }
    triples = dict.fromkeys(names, (1, 0, zero_point))
    state["conv0.bias"] = np.full(len(weights[0]), arguments.pop("bias", 0))
    return read(state, triples, relus=0, gain=1, **arguments)


def test_what_is_linear_ends_at_a_pool():
    # x and 2x are averaged, each rounded; then 2 * first - second is no longer 0
    net = chain([[2], [3]], [[3, 0]], size=(2, 2), paddings=(), pools=1)
    assert net(np.array([[[0, 1], [0, 1]]])).tolist() == [[-1]]


def test_fewer_bits_saturate():
    net = chain([[2], [0]], [[2, 0]], [[3]], size=(1, 1), paddings=(), pools=0, max_bits=6)
    types = [str(net.tensors[name].dtype) for name in ("conv0", "conv1", "logits")]
    assert types == ["int6", "int6", "int6"]
    found = net.trace(np.array([[[5]], [[20]], [[40]]]))
    assert found["conv0"][:, 0, 0].tolist() == [[5, -5], [20, -20], [31, -32]]
    assert found["conv1"].ravel().tolist() == [10, 31, 31]
    assert found["logits"].ravel().tolist() == [20, 31, 31]


def test_padding_gives_zeros_between_linear_layers():
    net = chain([[2]], [[2]], bias=10, size=(1, 1), paddings=(0, 1), pools=0)
    assert net(np.array([[[7]]])).tolist() == [[0, 0, 0, 0, 17, 0, 0, 0, 0]]
