"""Hand-made integer LeNets: equal to PyTorch's integers, written as such people write them."""

import io
import re
import zipfile

import numpy as np
import pytest
from tercet.model import NetworkError
from tercet.model.data import mnist
from tercet.model.float import nets
from tercet.model.float.scale_shift import to_scale_shift
from tercet.model.frontends import statefile
from tercet.model.frontends.scale_shift import read
from tercet.model.layers import Relu
from tercet.model.netfile import dumps, loads

LAYERS = ("conv1", "conv2", "conv3", "fc1", "fc2")


def state_dict(rng, channels=(6, 16, 120, 84, 10), image=1):
    """A float LeNet's arrays, drawn."""
    ends = [image, *channels]
    kernels = [(5, 5)] * 3 + [()] * 2
    state = {}
    for name, ic, oc, kernel in zip(LAYERS, ends, channels, kernels, strict=False):
        weight = rng.normal(0.01, 0.6 / np.sqrt(ic * np.prod(kernel)), (oc, ic, *map(int, kernel)))
        state[f"{name}.weight"] = weight.astype(np.float32)
        state[f"{name}.bias"] = rng.normal(0, 0.2, oc).astype(np.float32)
    return state


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
    assert net.layers[2].weights.scales == (m / 2**n,)
    assert net.layers[2].weights.zero_points == (z,)


def bias_of(values, triple):
    state = {"conv.weight": np.ones((len(values), 1, 1, 1), np.uint8), "conv.bias": values}
    net = read(state, {"conv": triple}, size=(1, 1), paddings=(), pools=0, gain=1)
    return net.layers[0].bias.tolist()


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


def saved(tmp_path, state, name="lenet.npz"):
    np.savez(tmp_path / name, **state)
    return tmp_path / name


def test_an_npz_file_reads_as_its_arrays_do(seed, tmp_path):
    state, triples = to_scale_shift(state_dict(np.random.default_rng(seed)))
    assert dumps(read(saved(tmp_path, state), triples)) == dumps(read(state, triples))


@pytest.mark.torch
def test_a_pt_file_reads_as_its_tensors_do(seed, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    state, triples = to_scale_shift(state_dict(np.random.default_rng(seed)))
    tensors = {name: torch.from_numpy(values) for name, values in state.items()}
    torch.save(tensors, tmp_path / "lenet.pt")
    assert dumps(read(tmp_path / "lenet.pt", triples)) == dumps(read(state, triples))
    assert dumps(read(tensors, triples)) == dumps(read(state, triples))


SMALL = {
    "conv1.weight": np.full((2, 1, 3, 3), 130, np.uint8),
    "conv1.bias": np.array([0.5, -0.5], np.float32),
    "fc1.weight": np.full((3, 8), 120, np.uint8),
    "fc1.bias": np.zeros(3, np.float32),
}
TRIPLES = {"conv1": (100, 12, 128), "fc1": (90, 12, 128)}
ARGUMENTS = {"size": (4, 4), "paddings": (1,)}


def refusal(state=None, triples=None, **arguments):
    with pytest.raises(NetworkError) as caught:
        read(
            SMALL if state is None else state,
            TRIPLES if triples is None else triples,
            **(ARGUMENTS | arguments),
        )
    return str(caught.value)


def test_the_small_one_reads():
    assert read(SMALL, TRIPLES, **ARGUMENTS)(np.zeros((1, 4, 4), np.uint8)).shape == (1, 3)


NOT_LIKE = (
    "arrays must be called like conv1.weight and conv1.bias; "
    "leave out what is neither, batch norm folded into the weights"
)
ORDER = "a state dict holds its layers in the order in which they run"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bn1.running_mean": np.zeros(2)}, f"Array 'bn1.running_mean': {NOT_LIKE}"),
        ({"weight": np.zeros(2)}, f"Array 'weight': {NOT_LIKE}"),
        ({"fc2.bias": np.zeros(2)}, "Layer 'fc2': the array 'fc2.weight' is missing"),
        (
            {"fc2.weight": np.zeros((2, 3), np.uint8)},
            "Layer 'fc2': its m, n and Z are missing; there are conv1, fc1, fc2",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), 130.5)},
            "Layer 'conv1': weights must be integers 0 to 255, but some are fractions; "
            "store the quantized weights, zero point included",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), np.nan)},
            "Layer 'conv1': weights must be integers 0 to 255, but some are fractions; "
            "store the quantized weights, zero point included",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), -1)},
            "Layer 'conv1': weights must lie in [0, 255], but reach [-1, -1]; "
            "store them with their zero point added",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), 256)},
            "Layer 'conv1': weights must lie in [0, 255], but reach [256, 256]; "
            "store them with their zero point added",
        ),
        (
            {"fc1.weight": np.zeros((2, 1, 3))},
            "Layer 'fc1': weights must be numbers (OC, IC, KH, KW) or (OC, IC), "
            "not float64 [2, 1, 3]",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), "x")},
            "Layer 'conv1': weights must be numbers (OC, IC, KH, KW) or (OC, IC), "
            "not <U1 [2, 1, 3, 3]",
        ),
        (
            {"conv1.weight": np.zeros((2, 1), np.uint8)},
            "Layer 'conv1': the first layer must be a convolution with weights "
            "(OC, IC, KH, KW), not [2, 1]",
        ),
        (
            {"conv1.bias": np.zeros(3)},
            "Layer 'conv1': biases must be 2 numbers, not [3]",
        ),
        (
            {"conv1.bias": np.array([np.inf, 0])},
            "Layer 'conv1': biases must be finite numbers, not float64 "
            "or some that are infinite or none",
        ),
        (
            {"conv1.bias": np.array([1e30, 0])},
            "Layer 'conv1': biases must fit 32 bits after rounding, but reach 1.04858e+34; "
            "take a smaller gain",
        ),
        (
            {"fc1.weight": np.zeros((3, 9), np.uint8)},
            f"Layer 'fc1': its weights take 9 values, but 8 come in; {ORDER}",
        ),
        (
            {"fc1.weight": np.zeros((3, 2, 3, 3), np.uint8)},
            "Layer 'fc1': the kernel does not fit its input; make the map larger or pad it",
        ),
        (
            {"fc1.weight": np.zeros((3, 4, 1, 1), np.uint8)},
            f"Layer 'fc1': its weights take 4 channels, but 2 come in; {ORDER}",
        ),
    ],
)
def test_bad_arrays_are_refused_by_name(changes, message):
    assert refusal(SMALL | changes) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"conv9": (1, 1, 1)},
            "Layer 'conv9': it is not in the state dict; there are conv1, fc1",
        ),
        (
            {"conv1": (1, 1)},
            "Layer 'conv1': m, n and Z must be three integers, not [1, 1]",
        ),
        (
            {"conv1": (1, 1, 0.5)},
            "Layer 'conv1': m, n and Z must be three integers, not [1, 1, 0.5]",
        ),
        ({"fc1": (0, 1, 1)}, "Layer 'fc1': m must be 1 to 2147483647, not 0"),
        ({"fc1": (1 << 31, 1, 1)}, "Layer 'fc1': m must be 1 to 2147483647, not 2147483648"),
        ({"fc1": (1, 62, 1)}, "Layer 'fc1': n must be 0 to 61, not 62"),
        ({"fc1": (1, 1, 256)}, "Layer 'fc1': Z must be 0 to 255, not 256"),
        (
            {"conv1": (1 << 30, 0, 128)},
            "Layer 'conv1': outputs can reach [0, 4928474972160], outside int32; check its m and n",
        ),
        (
            {"conv1": (1 << 12, 0, 0)},
            "Layer 'fc1': the accumulator can reach [-78210662400, 0], outside int32; "
            "take a smaller gain, or a smaller m with its n",
        ),
    ],
)
def test_bad_triples_are_refused_by_layer(changes, message):
    assert refusal(triples=TRIPLES | changes) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gain": 0}, "gain must be positive and finite, not 0"),
        ({"gain": float("inf")}, "gain must be positive and finite, not inf"),
        ({"size": (0, 4)}, "size must be rows and columns, at least 1, not [0, 4]"),
        ({"max_bits": 1}, "max_bits must be 2 to 32, not 1"),
        ({"max_bits": 33}, "max_bits must be 2 to 32, not 33"),
        ({"paddings": (-1,)}, "paddings must be at least 0, not [-1]"),
        ({"name": "a-b"}, "Network name must be letters, digits and underscores, not 'a-b'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    assert refusal(**arguments) == message


def test_an_empty_state_dict_is_refused():
    message = "The state dict is empty; it must hold conv1.weight and so on"
    assert refusal({}) == message


def file_refusal(path):
    with pytest.raises(NetworkError) as caught:
        read(path, TRIPLES, **ARGUMENTS)
    return str(caught.value)


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "x.bin"
    assert file_refusal(path) == f"The state dict {path} must be an .npz or a .pt file"
    path = tmp_path / "x.npz"
    assert file_refusal(path) == (
        f"The state dict {path} cannot be read: No such file or directory"
    )


NO_ARRAY = (
    "which is no whole array of numbers (pickled objects are not read); save it anew as numbers"
)


def test_damaged_and_pickled_npz_files_are_refused(tmp_path):
    path = saved(tmp_path, SMALL)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert file_refusal(path) == (
            f"The state dict {path} is no whole .npz file; save it anew with numpy.savez"
        )
    directory = whole.index(b"PK\x01\x02")
    unknown_version = whole[: directory + 6] + b"\xd7" + whole[directory + 7 :]
    for damaged in (b"XX" + whole[2:], unknown_version):
        path.write_bytes(damaged)
        assert file_refusal(path) == (
            f"The state dict {path} is no whole .npz file; save it anew with numpy.savez"
        )
    at = whole.index(b"\x82" * 9)
    path.write_bytes(whole[:at] + b"\x83" + whole[at + 1 :])  # against its checksum
    assert file_refusal(path) == f"The state dict {path} holds 'conv1.weight', {NO_ARRAY}"
    objects = saved(tmp_path, {"conv1.weight": np.array([{}, None], dtype=object)}, "objects.npz")
    assert file_refusal(objects) == f"The state dict {objects} holds 'conv1.weight', {NO_ARRAY}"


def zipped(path, *entries):
    array = io.BytesIO()
    np.save(array, SMALL["conv1.weight"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, array.getvalue() if content is None else content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_names_that_stand_twice_and_bombs_are_refused(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.npz", ("conv1.weight.npy", None), ("conv1.weight.npy", None))
    assert file_refusal(path) == f"The state dict {path} holds 'conv1.weight' twice; save it anew"
    zipped(path, ("conv1.weight.npy", None), ("notes.txt", "hello"))
    assert file_refusal(path) == f"The state dict {path} holds 'notes.txt', {NO_ARRAY}"
    monkeypatch.setattr(statefile, "MAX_UNPACKED", 1000)
    zipped(path, ("conv1.weight.npy", bytes(1001)))
    assert file_refusal(path) == (
        f"The state dict {path} unpacks to 1001 bytes, more than the 1000 read here"
    )


@pytest.mark.torch
def test_pt_files_that_are_no_state_dict_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "x.pt"
    message = (
        f"The state dict {path} is no file of tensors by name that "
        "torch.load(..., weights_only=True) reads; "
        "save the state dict itself: torch.save(net.state_dict(), path)"
    )
    for content in (torch.nn.Conv2d(1, 1, 1), [1, 2], {"conv1.weight": [1]}, {1: torch.zeros(1)}):
        torch.save(content, path)
        assert file_refusal(path) == message
    path.write_bytes(path.read_bytes()[:100])
    assert file_refusal(path) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3)), "Layer 'fc': weights must be finite and not all 0"),
        (np.full((2, 3), np.inf), "Layer 'fc': weights must be finite and not all 0"),
        (
            np.full((2, 3), 1e-30),
            "Layer 'fc': factors from 3.921568627450981e-33 to 3.921568627450981e-33 do not fit "
            "16-bit multipliers over one shift of 0 to 61",
        ),
    ],
)
def test_float_weights_without_a_scale_are_refused(values, message):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        to_scale_shift({"fc.weight": values})


def test_quantized_weights_stand_for_the_floats_within_half_a_step(seed):
    state = state_dict(np.random.default_rng(seed))
    made, triples = to_scale_shift(state)
    for layer, (m, n, z) in triples.items():
        weight = state[f"{layer}.weight"].astype(np.float64)
        error = (made[f"{layer}.weight"].astype(np.float64) - z) * (m / 2**n) - weight
        assert np.abs(error).max() <= m / 2**n * 0.52
        assert made[f"{layer}.weight"].min() == 0
        assert made[f"{layer}.weight"].max() == 255
        assert made[f"{layer}.bias"] is state[f"{layer}.bias"]
