"""Modules of torch.ao that are refused, each in one sentence."""

import re

import numpy as np
import pytest
from tercet.model import NetworkError
from tercet.model.float.nets.nets import build
from tercet.model.ordered import OrderedBuilder

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.ao, and its quantized tensors
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

from tercet.model.frontends import torch_ao  # noqa: E402
from tercet.model.frontends.torch_ao import engines as torch_engines  # noqa: E402
from tercet.model.frontends.torch_ao.operators import add_input  # noqa: E402
from tercet.model.frontends.torch_ao.run import record  # noqa: E402
from torch import nn  # noqa: E402
from torch.ao import quantization as ao  # noqa: E402
from torch.ao.nn import quantized as nnq  # noqa: E402
from torchnets import BLANK, converted, fused, random_images, seeded, with_stubs  # noqa: E402

ENGINES = [
    name for name in torch_engines.ENGINES if name in torch.backends.quantized.supported_engines
]
if not ENGINES:
    pytest.skip("PyTorch has no x86 int8 engine here", allow_module_level=True)


@pytest.fixture(autouse=True)
def _engine_and_threads():
    """Leave PyTorch's switches as they were."""
    engine, threads = torch.backends.quantized.engine, torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.backends.quantized.engine = engine
    torch.set_num_threads(threads)


def refused(message):
    return pytest.raises(NetworkError, match=f"^{re.escape(message)}$")


def test_an_unknown_engine_is_refused():
    message = "engine must be one of fbgemm, onednn, x86, not 'qnnpack'"
    for call in (
        lambda: torch_ao.read(nn.Identity(), "a", BLANK, "qnnpack"),
        lambda: torch_ao.read_state_dict({}, nn.Identity(), "a", BLANK, "qnnpack"),
        lambda: torch_ao.convert(build("plain"), np.zeros((1, 28, 28), np.uint8), "qnnpack"),
    ):
        with refused(message):
            call()


def test_a_float_module_is_refused():
    with refused(
        "The module must start with a converted QuantStub; "
        "prepare, calibrate and convert it with torch.ao.quantization"
    ):
        torch_ao.read(build("plain").eval(), "plain", BLANK, "fbgemm")


NOT_SUPPORTED = (
    "is not supported; there are Conv2d, Linear, ReLU, ReLU6, MaxPool2d, AvgPool2d, "
    "AdaptiveAvgPool2d, Flatten, Unflatten, Dropout and FloatFunctional's add and cat, "
    "batch norm fused by fuse_modules"
)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([nn.MaxPool2d(2), nn.BatchNorm2d(2)], f"Layer '3': BatchNorm2d {NOT_SUPPORTED}"),
        ([nn.Sigmoid()], f"Layer '2': Sigmoid {NOT_SUPPORTED}"),
        (
            [nn.MaxPool2d(2, ceil_mode=True)],
            "Layer '2': ceil_mode is not supported; pad the map instead",
        ),
        (
            [nn.MaxPool2d(2, dilation=2)],
            "Layer '2': a dilated pool is not supported; use dilation=1",
        ),
        (
            [nn.AvgPool2d(3, padding=1, count_include_pad=False)],
            "Layer '2': count_include_pad=False is not supported; let the padding count",
        ),
        (
            [nn.AvgPool2d(2, divisor_override=3)],
            "Layer '2': divisor_override is not supported; leave it out",
        ),
        (
            [nn.AdaptiveAvgPool2d(2)],
            "Layer '2': its output has the shape [1, 2, 2, 2]; use AdaptiveAvgPool2d(1)",
        ),
        (
            [nn.Linear(4, 2)],
            "Layer '2': its output has the shape [1, 2, 4, 2]; put nn.Flatten before it",
        ),
        (
            [nn.Flatten(2)],
            "Network 'a': its output 'layer_1' was flattened or permuted, and a core would give "
            "the scores in another order, channels last; return the map as it is, pool it to one "
            "position, or end with a linear layer",
        ),
        (
            [nn.Flatten()],
            "Network 'a': its output 'layer_1' was flattened or permuted, and a core would give "
            "the scores in another order, channels last; return the map as it is, pool it to one "
            "position, or end with a linear layer",
        ),
    ],
)
def test_other_layers_are_refused(modules, message):
    module = converted(seeded(with_stubs(nn.Conv2d(1, 2, 3), *modules)), (1, 6, 6))
    with refused(message):
        torch_ao.read(module, "a", BLANK[..., :6, :6], "fbgemm")


def test_floats_after_the_stub_are_refused():
    net = nn.Sequential(with_stubs(nn.Conv2d(1, 2, 3)), nn.Softmax(dim=1))
    with refused(
        "Layer '1': Softmax after the DeQuantStub stays in floats; move it out of the module"
    ):
        torch_ao.read(converted(seeded(net), (1, 6, 6)), "a", BLANK, "fbgemm")


def test_a_missing_stub_at_the_end_is_refused():
    module = converted(nn.Sequential(ao.QuantStub(), seeded(nn.Conv2d(1, 2, 3))), (1, 6, 6))
    with refused("The module must end with a DeQuantStub; add one after its last layer"):
        torch_ao.read(module, "a", BLANK, "fbgemm")


def test_other_padding_is_refused():
    conv = nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")
    with refused("Layer '1': padding_mode 'reflect' is not supported; use 'zeros'"):
        torch_ao.read(converted(seeded(with_stubs(conv)), (1, 6, 6)), "a", BLANK, "fbgemm")


def test_a_global_average_of_channels_first_memory_is_refused():
    module = converted(with_stubs(nn.AdaptiveAvgPool2d(1)), (2, 6, 6))
    with refused(
        "Layer '1': it averages channels-first memory, which PyTorch rounds by another rule; "
        "put a convolution before it, or AvgPool2d in its place"
    ):
        torch_ao.read(module, "a", torch.zeros(1, 2, 6, 6), "fbgemm")


class Computing(nn.Module):
    """Computes something between its modules, after them, or for nothing."""

    def __init__(self, function):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.conv, self.functional = nn.Conv2d(1, 2, 3), nnq.FloatFunctional()
        self.function = function

    def forward(self, x):
        return self.function(self, self.conv(self.quant(x)))


BETWEEN = (
    "its input comes from no module; write all operations between it and the module before it as "
    "modules, additions as torch.ao.nn.quantized.FloatFunctional"
)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda net, y: net.dequant(y.relu()), f"Layer 'dequant': {BETWEEN}"),
        (
            lambda net, y: net.dequant(net.functional.add(y, y.relu())),
            f"Layer 'functional': {BETWEEN}",
        ),
        (
            lambda net, y: net.dequant(y) * 2,
            "The module computes something after its last submodule; return that one's output",
        ),
        (
            lambda net, y: (net.functional.add(y, y), net.dequant(y))[1],
            "Layer 'functional': nothing uses its output; take it out of the module",
        ),
        (
            lambda net, y: net.dequant(net.functional.mul(y, y)),
            "Layer 'functional': mul of a FloatFunctional is not supported; use add or cat",
        ),
        (
            lambda net, y: net.dequant(net.functional.cat([y, y])),
            "Layer 'functional': cat along another dimension is not supported; use dim=1, the "
            "channels",
        ),
    ],
)
def test_what_is_computed_by_no_module_is_refused(function, message):
    module = converted(seeded(Computing(function)), (1, 6, 6))
    with refused(message):
        torch_ao.read(module, "a", BLANK, "fbgemm")
    assert "add" not in vars(module.functional)  # what was put in to watch is gone


def test_what_pytorch_cannot_run_is_refused():
    module = converted(seeded(with_stubs(nn.Conv2d(1, 2, 3))), (1, 6, 6))
    with pytest.raises(NetworkError) as caught:
        torch_ao.read(module, "a", torch.zeros(1, 2, 6, 6), "fbgemm")
    assert str(caught.value).startswith("The module fails on the images after layer '0': ")
    assert str(caught.value).endswith(
        "; it must run on them as converted, additions by FloatFunctional"
    )


def spoil(what):
    """A module of one convolution with something wrong in it."""
    module = converted(seeded(with_stubs(nn.Conv2d(1, 2, 3))), (1, 6, 6))
    conv = module[1]
    if what == "scale":
        conv.scale = 0.1
    elif what == "bias":
        conv.set_weight_bias(conv.weight(), torch.tensor([0.5, float("inf")]))
    else:
        weight = conv.weight().int_repr()
        tiny = torch._make_per_tensor_quantized_tensor(weight, 2.0**-149, 0)
        conv.set_weight_bias(tiny, conv.bias())
    return module


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("scale", "its scale 0.1 is no positive float32; let an observer choose the scale"),
        ("bias", "its bias is not finite; save the module again"),
        ("tiny", "its scales are too small for its bias; let an observer choose them"),
    ],
)
def test_numbers_that_no_engine_can_have_are_refused(what, message):
    with refused(f"Layer '1': {message}"):
        torch_ao.read(spoil(what), "a", BLANK, "fbgemm")


def test_signed_activations_are_refused():
    module = converted(seeded(with_stubs(nn.Conv2d(1, 2, 3))), (1, 6, 6))
    module[0].dtype = torch.qint8
    module[0].zero_point = torch.tensor([0])
    steps = [record(nn.Sequential(module[0], nnq.DeQuantize()), BLANK)[0]]
    with refused("Layer '0': its output is torch.qint8; choose quint8 activations"):
        add_input(OrderedBuilder("a"), steps[0])


def saturating():
    """A depthwise convolution of full 8 bits whose products add up beyond 16, and bright images."""
    conv = nn.Conv2d(8, 8, 3, groups=8, bias=False)
    nn.init.ones_(conv.weight)
    observer = ao.MinMaxObserver.with_args(dtype=torch.quint8)
    qconfig = ao.QConfig(activation=observer, weight=ao.default_weight_observer)
    module = converted(with_stubs(conv), (8, 6, 6), "fbgemm", qconfig)
    module[0].scale, module[0].zero_point = torch.tensor([1 / 255]), torch.tensor([0])
    module[1].scale, module[1].zero_point = 1 / 16, 0
    if torch.cpu.get_capabilities().get("avx512_vnni", False):  # whose kernels add in 32 bits

        def saturated(leaf, inputs, y):
            return torch.quantize_per_tensor(y.dequantize() / 2, 1 / 16, 0, torch.quint8)

        module[1].register_forward_hook(saturated)
    return module, torch.ones(2, 8, 6, 6)


def test_a_module_that_saturates_is_not_what_its_integers_say():
    module, images = saturating()
    with pytest.raises(NetworkError) as caught:
        torch_ao.read(module, "net", images)
    assert re.fullmatch(
        r"Layer 'layer_1': 256 of 256 values of the module differ from those of its own integers, "
        r"by up to \d+, since PyTorch's kernels add pairs of products in saturating 16 bits; "
        r"calibrate to 7 bits \(an observer with reduce_range=True\), or take the exact sums by "
        r"inexact=True",
        str(caught.value),
    )
    network = torch_ao.read(module, "net", images, inexact=True)
    found = network.trace(np.full((2, 6, 6, 8), 255, np.uint8))["logits"]
    step = float(module[0].scale) * module[1].weight().q_scale()
    assert np.unique(found).tolist() == [round(9 * 255 * 127 * step * 16)]


def float_net():
    return fused(seeded(with_stubs(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(196, 3))))


@pytest.mark.parametrize("damage", ["text", "cut", "list", "pickle"])
def test_files_that_are_no_state_dict_are_refused(tmp_path, damage):
    path = tmp_path / "net.pt"
    if damage == "pickle":
        torch.save(nn.ReLU(), path)
    else:
        torch.save([1] if damage == "list" else float_net().state_dict(), path)
        content = path.read_bytes()
        path.write_bytes({"text": b"hello", "cut": content[:-100]}.get(damage, content))
    with refused(
        f"The state dict {path} is no file that torch.load(..., weights_only=True) reads; "
        "save the state dict itself: torch.save(module.state_dict(), path)"
    ):
        torch_ao.read_state_dict(path, float_net(), "net", random_images(1, (2, 9, 9)), "fbgemm")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "net.pt"
    with refused(f"The state dict {path} cannot be read: No such file or directory"):
        torch_ao.read_state_dict(path, float_net(), "net", random_images(1, (2, 9, 9)), "fbgemm")


def test_a_state_dict_of_another_module_is_refused():
    images = random_images(4, (2, 9, 9))
    with pytest.raises(NetworkError) as caught:
        torch_ao.read_state_dict({}, float_net(), "net", images, "fbgemm")
    start, end = (
        "The state dict does not fit the float module: ",
        ("; give the module that it was saved from, fused alike, and the qconfig that it had"),
    )
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(end)
    with pytest.raises(NetworkError) as caught:
        torch_ao.read_state_dict({}, float_net(), "net", images[:, :1], "fbgemm")
    assert str(caught.value).startswith("The float module cannot be converted: ")
