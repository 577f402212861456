"""Modules read through torch.export: the graph computes what the module computes, or is refused."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tercet.model.float.nets import nets  # noqa: E402
from tercet.model.float.ptq.execute import batches, trace  # noqa: E402
from tercet.model.float.ptq.graph import NO_CLIP, Graph, fold, fuse  # noqa: E402
from tercet.model.formats.json_file import dumps  # noqa: E402
from tercet.model.frontends.torch_export import graph_of, read  # noqa: E402
from tercet.model.layers import NetworkError  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch


def scrambled(module, seed):
    """The module in evaluation mode, its batch norms' statistics drawn as if it were trained."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
            for values, ends in (
                (part.weight, (-1, 2)),
                (part.bias, (-1, 1)),
                (part.running_mean, (-1, 1)),
                (part.running_var, (0.1, 2)),
            ):
                nn.init.uniform_(values, *ends)
    return module.eval()


def same(module, shape, seed):
    """Check that the folded graph computes what the module does, in float64; returns it."""
    module = scrambled(module, seed)
    graph = fold(fuse(graph_of(module, shape, "net")))
    x = torch.rand((3, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        theirs = module.double()(x)
    ours = trace(graph, x)[graph.output].flatten(1)
    torch.testing.assert_close(ours, theirs.flatten(1), rtol=1e-9, atol=1e-9)
    return graph


@pytest.mark.parametrize("name", nets.NETS)
def test_the_networks_by_name(name, seed):
    height, width, channels = nets.input_shape_of(name)
    graph = same(nets.build(name), (channels, height, width), seed)
    assert graph.shapes[graph.output] == (10, 1, 1)


class Everything(nn.Module):
    """One of each operator, functional forms and a module used twice among them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2)), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.twice = nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=4, bias=False)
        self.max = nn.MaxPool2d(3, stride=2, padding=1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8 * 5 * 7, 9)
        self.norm = nn.BatchNorm1d(9)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.twice(x))
        x = self.max(self.twice(x))
        x = nn.functional.avg_pool2d(x, (2, 3), 1, padding=1).clamp(min=0)
        return self.norm(self.fc(self.drop(x.view(x.shape[0], -1)))).clamp(0, 4)


def test_every_operator(seed):
    graph = same(Everything(), (3, 16, 14), seed)
    names = [node.name for node in graph.nodes]
    assert names == [
        "stem_0", "twice", "add", "twice_2", "max", "avg_pool2d", "clamp", "view", "fc"
    ]  # fmt: skip
    by_name = {node.name: node for node in graph.nodes}
    assert by_name["stem_0"].clip == (0.0, 6.0)
    assert by_name["add"].clip == (0.0, np.inf)
    assert by_name["fc"].clip == (0.0, 4.0)
    assert by_name["twice"].clip == NO_CLIP


def test_global_average_by_mean(seed):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3)

        def forward(self, x):
            return self.conv(x).mean((-1, 2))

    assert [node.name for node in same(Net(), (1, 6, 7), seed).nodes] == ["conv", "mean"]


def test_batches_give_every_tensor_channels_last(seed):
    module = scrambled(nets.build("lenet_avg"), seed)
    graph = fold(fuse(graph_of(module, (1, 28, 28), "net")))
    images = np.random.default_rng(seed).integers(0, 256, (130, 28, 28, 1), dtype=np.uint8)
    parts = list(batches(graph, images))
    assert [len(part) for part, _ in parts] == [100, 30]
    assert parts[0][1]["conv1"].shape == (100, 28, 28, 6)
    np.testing.assert_array_equal(parts[1][1]["image"], images[100:] * (1 / 255))
    with torch.no_grad():
        theirs = module.double()(torch.from_numpy(images[100:].transpose(0, 3, 1, 2) / 255.0))
    np.testing.assert_allclose(parts[1][1][graph.output].reshape(30, 10), theirs, atol=1e-9)


class Alias(nn.Module):
    """A convolution, and a function of its output that writes to a tensor under two names."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.more = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.function = function

    def forward(self, x):
        return self.function(self, self.norm(self.conv(x)))


def view_then_relu(net, x):
    flat = x.flatten(1)
    nn.functional.relu_(x)
    return flat.view(x.shape) + net.more(x)


def detached_then_relu(net, x):
    before = x.detach()
    net.relu(x)
    return before + net.more(x)


def view_of_a_view_then_clamp(net, x):
    rows = x.view(x.shape[0], 3, -1)
    rows.view(x.shape).clamp_(-0.25, 0.5)
    return net.more(x) + rows.view(x.shape)


def added_in_place(net, x):
    before = x.view(x.shape)
    x += net.more(torch.relu(x))
    return before + net.more(x)


@pytest.mark.parametrize(
    "function", [view_then_relu, detached_then_relu, view_of_a_view_then_clamp, added_in_place]
)
def test_what_is_written_in_place_is_seen_by_every_view(function, seed):
    same(Alias(function), (1, 6, 5), seed)


class Lambda(nn.Module):
    """A convolution and a function of its output."""

    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.mix = nn.Linear(4, 4)
        self.function = function

    def forward(self, x):
        return self.function(self, self.conv(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda net, x: torch.sin(x),
            "Layer 'sin': the operator aten.sin.default is not supported; replace it by "
            "convolutions, linear layers, pools, additions, concatenations, activation functions "
            "of one value and nearest-neighbour upsampling",
        ),
        (
            lambda net, x: x / 255,
            "Layer 'div': the operator aten.div.Tensor is not supported; leave a normalization out "
            "of the module, and give its mean and std to the quantization; if it is none, replace "
            "it by convolutions, linear layers, pools, additions, concatenations, activation "
            "functions of one value and nearest-neighbour upsampling",
        ),
        (
            lambda net, x: net.norm(torch.relu(x)),
            "Layer 'norm': a batch normalization folds into the convolution or linear layer right "
            "before it, and 'conv' is none that nothing else reads; move it there",
        ),
        (
            lambda net, x: nn.functional.avg_pool2d(x, 2, padding=1, count_include_pad=False),
            "Layer 'avg_pool2d': avg_pool2d with padding and count_include_pad=False divides by "
            "less at the border; set count_include_pad=True or padding=0",
        ),
        (
            lambda net, x: nn.functional.max_pool2d(x, 3, ceil_mode=True),
            "Layer 'max_pool2d': ceil_mode=True adds a window that hangs over the map; "
            "set ceil_mode=False, or pad the map",
        ),
        (
            lambda net, x: x.clamp(1, 2),
            "Layer 'clamp': it clips to [1.0, 2.0], which does not contain 0 and other values; "
            "use ReLU or ReLU6",
        ),
        (
            lambda net, x: x + 1.0,
            "Layer 'add': its input 1.0 is no activation; use layers on activations only",
        ),
        (
            lambda net, x: torch.add(x, x, alpha=2),
            "Layer 'add': add with alpha=2 is not supported; use alpha=1",
        ),
        (
            lambda net, x: torch.relu(x.view(x.shape[0] * 2, -1)),
            "Layer 'view': its output of [4, 16] does not begin with the batch of 2; "
            "keep axis 0, such as by flatten(1)",
        ),
        (
            lambda net, x: nn.functional.max_pool2d(x.view(x.shape[0], 4, 8), 2),
            "Layer 'max_pool2d': it reads [4, 8], and not a map (channels, rows, columns); "
            "put it before the Flatten",
        ),
        (
            lambda net, x: net.mix(x),
            "Layer 'mix': it reads [2, 4, 4], and not a vector; "
            "put a Flatten before it, or use a 1x1 convolution",
        ),
        (
            lambda net, x: nn.functional.dropout(x),
            "Layer 'dropout': it drops values at random, as in training; pass "
            "training=self.training, or call move_exported_model_to_eval before PT2E",
        ),
        (
            lambda net, x: nn.functional.batch_norm(x, None, None, training=True),
            "Layer 'batch_norm': batch_norm with training=True normalizes by the batch; "
            "use nn.BatchNorm2d in evaluation mode",
        ),
        (
            lambda net, x: x.flatten(1).unsqueeze(2),
            "Network 'net': the module must return a map (N, C, H, W) or scores (N, classes), not "
            "(N, 32, 1); reshape what it returns",
        ),
        (
            lambda net, x: x.permute(1, 0, 2, 3),
            "Layer 'permute': it permutes the axes to [1, 0, 2, 3], the batch among them; "
            "keep axis 0 where it is",
        ),
        (
            lambda net, x: nn.functional.pad(x, (1, 1, 0, 0)),
            "Layer 'pad': it pads by [1, 1, 0, 0] on its own; "
            "pad in the convolution or pool after it",
        ),
        (
            lambda net, x: x.mean(1),
            "Layer 'mean': mean is supported over rows and columns alone; use dim=(2, 3)",
        ),
        (
            lambda net, x: nn.functional.conv2d(x, x),
            "Layer 'conv2d': its weights are not parameters but computed from others; "
            "remove parametrizations such as weight_norm first",
        ),
    ],
)
def test_what_cannot_be_represented_is_refused_by_layer(function, message):
    with pytest.raises(NetworkError) as caught:
        fuse(graph_of(Lambda(function), (1, 6, 6), "net"))
    assert str(caught.value) == message


def quantized_part():
    module = Lambda(lambda net, x: x)
    module.norm = torch.ao.nn.quantized.FloatFunctional()
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            lambda: "net.pt",
            "Network 'net': a float network is a torch.nn.Module, not str; build the module and "
            "load its state dict with weights_only=True",
        ),
        (
            quantized_part,
            "Network 'net': its part 'norm' is quantized already (FloatFunctional); give the float "
            "module, or read an eager-mode one with frontends.torch_ao",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3).double()),
            "Network 'net': its parameters are torch.float32 and torch.float64; bring the module "
            "to one type, such as by module.float()",
        ),
        (
            lambda: nn.Conv2d(6, 2, 3),
            "Network 'net': the module fails on inputs of [2, 1, 6, 6] (Given "
            "groups=1, weight of size [2, 6, 3, 3], expected input[2, 1, 6, 6] to have 6 channels, "
            "but got 1 channels instead); give the shape of an image as (C, H, W), and a module "
            "that runs on it",
        ),
        (
            lambda: Lambda(lambda net, x: (x, x)),
            "Network 'net': the module must return one tensor, not 2; leave the others out of its "
            "forward",
        ),
        (
            lambda: nn.Identity(),
            "Network 'net': the module returns its image; there must be a layer",
        ),
    ],
)
def test_what_is_no_network_is_refused(module, message):
    with pytest.raises(NetworkError) as caught:
        graph_of(module(), (1, 6, 6), "net")
    assert str(caught.value) == message


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_modules_of_another_float_type_are_read(dtype, seed):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).to(dtype)
    graph = graph_of(module, (1, 6, 6), "net")
    conv: Any = graph.nodes[0]
    np.testing.assert_array_equal(conv.weight, module[0].weight.detach().double())


IMAGES = np.zeros((4, 6, 5, 2), np.uint8)


def test_vectors_are_read_too(seed):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(640, 12), nn.ReLU(), nn.Linear(12, 3))
    vectors = np.random.default_rng(seed).integers(0, 256, (30, 640), dtype=np.uint8)
    network = read(module, (640,), "net", vectors)
    assert network.tensors["image"].shape == (1, 1, 640)
    y = network.tensors[network.output]
    scores = (network(vectors).astype(float) - y.zero_point) * y.scale
    with torch.no_grad():
        theirs = module(torch.from_numpy(vectors) / 255).numpy()
    assert np.abs(scores - theirs).max() < 4 * y.scale


@pytest.mark.parametrize("shape", [(6, 6), (1, 6, 0), (2, 1, 6, 6)])
def test_a_shape_of_neither_maps_nor_vectors_is_refused(shape):
    with pytest.raises(NetworkError) as caught:
        graph_of(nn.ReLU(), shape, "net")
    assert str(caught.value) == (
        "Network 'net': the shape of its input must be (C, H, W) or (K,), without the batch, not "
        f"{shape}; give one of these"
    )


WRONG_IMAGES = {
    "channels first": (
        IMAGES.transpose(0, 3, 1, 2),
        "not channels first, [4, 2, 6, 5]; give images.transpose(0, 2, 3, 1)",
    ),
    "another size": (
        IMAGES[:, :5],
        "not [4, 5, 5, 2]; resize them, or read the network for their shape, (C, H, W)",
    ),
    "no channels": (
        IMAGES[..., 0],
        "not [4, 6, 5]; resize them, or read the network for their shape, (C, H, W)",
    ),
    "floats": (
        IMAGES / 255,
        "not float64; of values 0..1 make (images * 255).round().astype(np.uint8)",
    ),
    "too large": (IMAGES + np.int64(256), "not 256..256; scale them to bytes"),
    "signed": (IMAGES - np.int64(1), "not -1..-1; scale them to bytes"),
    "ragged": (
        [[1], [1, 2]],
        "and no numpy array can be made of these; stack them",
    ),
    "none": (IMAGES[:0], "N at least 1, and there are none; give some"),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_calibration_images_of_another_kind_are_refused(case):
    images, message = WRONG_IMAGES[case]
    with pytest.raises(NetworkError) as caught:
        read(nn.Conv2d(2, 2, 3), (2, 6, 5), "net", images)
    assert str(caught.value) == (
        f"Calibration images must be pixels 0..255 of the shape (N, 6, 5, 2), {message}"
    )


@pytest.mark.parametrize("kind", [torch.from_numpy, np.int64, np.ndarray.tolist])
def test_calibration_images_of_any_integer_kind_are_taken(kind, seed):
    torch.manual_seed(seed)
    images = np.random.default_rng(seed).integers(0, 256, (9, 6, 5, 2), dtype=np.uint8)
    module = nn.Conv2d(2, 2, 3)
    expected = read(module, (2, 6, 5), "net", images)
    assert dumps(read(module, (2, 6, 5), "net", kind(images))) == dumps(expected)


def test_what_cannot_be_traced_is_refused():
    with pytest.raises(NetworkError) as caught:
        graph_of(Lambda(lambda net, x: x if x.sum() > 0 else -x), (1, 6, 6), "net")
    assert str(caught.value).startswith("Network 'net': torch.export cannot trace the module (")
    assert str(caught.value).endswith(
        "; write its forward without control flow that depends on values"
    )


def test_infinite_weights_are_refused():
    net = Lambda(lambda net, x: x)
    nn.init.constant_(net.conv.weight, float("nan"))
    with pytest.raises(NetworkError) as caught:
        graph_of(net, (1, 6, 6), "net")
    assert str(caught.value) == (
        "Layer 'conv': the values of 'conv.weight' are not all finite; train it again"
    )


def test_an_empty_network_is_refused():
    with pytest.raises(NetworkError, match=r"^Network 'net': there must be a layer$"):
        Graph("net", (1, 2, 2), ())
