"""PT2E programs, by torchao or by hand, and the check of what is read from them."""

import warnings

import numpy as np
import pytest
from tercet.model.layers import Requantizing

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
with warnings.catch_warnings():  # torchao uses torch.jit.script_method as it is imported
    warnings.simplefilter("ignore")
    pytest.importorskip("torchao.quantization.pt2e", reason="torchao is not installed")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

from pt2erun import trace  # noqa: E402
from tercet.model.frontends.pt2e import read  # noqa: E402
from torch import nn  # noqa: E402

MARKS = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:XNNPACKQuantizer is deprecated!:UserWarning"),
    pytest.mark.filterwarnings("ignore:erase_node:UserWarning"),
]


BATCH = 16


def exported(module, example, seed):
    """The module as torch.export has it, its batch norms' statistics drawn as if trained."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values, ends in (
                (part.weight, (-1, 2)),
                (part.bias, (-1, 1)),
                (part.running_mean, (-1, 1)),
                (part.running_var, (0.1, 2)),
            ):
                nn.init.uniform_(values, *ends)
    return torch.export.export(module, (example,)).module()


def xnn(**config):
    """XNNPACK's quantizer, as torchao ships it for its tests."""
    config = xnnpack.get_symmetric_quantization_config(**config)
    return xnnpack.XNNPACKQuantizer().set_global(config)


def images_of(shape, seed, count=BATCH):
    """Images of both signs."""
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(seed)) * 2 - 0.7


def converted(module, shape, seed, quantizer=None):
    """A module quantized by PT2E, calibrated on other images than it is run on."""
    example = images_of(shape, seed + 1)
    prepared = prepare_pt2e(exported(module.eval(), example, seed), quantizer or xnn())
    prepared(example)
    return convert_pt2e(prepared)


def check(program, images, **options):
    """Check that every element of every tensor equals the program's in float64; the network."""
    net = read(program, "net", **options)
    theirs = trace(program, images, exact=True, **options)
    ours = net.trace(theirs["image"])
    for name, values in theirs.items():
        assert len(np.unique(values)) > 5, f"{name} is dull"
        assert np.array_equal(values, ours[name]), name
    for layer in net.layers:
        if isinstance(layer, Requantizing):
            assert layer.requant.reference == "half_even", layer.name
    return net


class Hand(nn.Module):
    """A program written by hand: ``forward(self, x)`` as a function."""

    def __init__(self, forward, **buffers):
        super().__init__()
        self.function = forward
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(2)
        for name, values in buffers.items():
            self.register_buffer(name, torch.as_tensor(values))

    def forward(self, x):
        return self.function(self, x)


def by_hand(forward, shape=(1, 4, 4), **buffers):
    """The exported program of a function, for four images."""
    module = Hand(forward, **buffers).eval()
    return torch.export.export(module, (torch.zeros(4, *shape),))


Q = torch.ops.quantized_decomposed
INT8 = (-128, 127, torch.int8)


def on_grid(x, scale=0.5, zero_point=3, dtype=INT8):
    """Quantized, and back."""
    q = Q.quantize_per_tensor(x, scale, zero_point, *dtype)
    return Q.dequantize_per_tensor(q, scale, zero_point, *dtype)
