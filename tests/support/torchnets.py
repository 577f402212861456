"""Small modules for the tests of the torch.ao front end: seeded, fused, calibrated, converted."""

import torch
from tercet.model.frontends.torch_ao.conversion import _fusions
from torch import nn
from torch.ao import quantization as ao

BLANK = torch.zeros(1, 1, 28, 28)

# Calibration ends in float32 sums whose last bits are the CPU's, and every near tie hangs on the
# last bits of the scales. So they are set to these, which torch.ao found, and the tests mean the
# same everywhere: {network: {module: (scale, zero point)}}.
SEVEN_BITS = {  # reduce_range, the default qconfig of fbgemm and x86
    "plain": {
        "quant": (0.007870171219110489, 0),
        "conv1": (0.010275132954120636, 0),
        "conv2": (0.06184103339910507, 0),
        "conv3": (0.4739837646484375, 53),
    },
    "separable": {
        "quant": (0.007870171219110489, 0),
        "dw1": (0.01369511615484953, 0),
        "pw1": (0.004242193419486284, 0),
        "dw2": (0.04835781455039978, 56),
        "pw2": (0.049217067658901215, 0),
        "dw3": (0.21514973044395447, 81),
        "pw3": (0.9437574744224548, 68),
    },
}
EIGHT_BITS = {  # the default qconfig of onednn
    "plain": {
        "quant": (0.003919653594493866, 0),
        "conv1": (0.005117419175803661, 0),
        "conv2": (0.03079926036298275, 0),
        "conv3": (0.23606249690055847, 106),
    },
    "separable": {
        "quant": (0.003919653594493866, 0),
        "dw1": (0.006820704787969589, 0),
        "pw1": (0.0021127788349986076, 0),
        "dw2": (0.02408408746123314, 113),
        "pw2": (0.024512028321623802, 0),
        "dw3": (0.10715300589799881, 163),
        "pw3": (0.47002825140953064, 136),
    },
}


def random_images(count, shape, seed=2):
    """Images of both signs, so that zero points lie inside."""
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def fused(net):
    """A float module in evaluation mode, fused where it can be."""
    fusions = _fusions(net.eval())
    return ao.fuse_modules(net, fusions) if fusions else net


def converted(net, shape, engine="fbgemm", qconfig=None):
    """A float module with stubs, fused where it can be, calibrated and converted."""
    torch.backends.quantized.engine = engine
    net = fused(net)
    net.qconfig = qconfig or ao.get_default_qconfig(engine)
    prepared = ao.prepare(net)
    with torch.no_grad():
        prepared(random_images(30, shape, seed=0))
    return ao.convert(prepared)


def with_stubs(*modules):
    return nn.Sequential(ao.QuantStub(), *modules, ao.DeQuantStub())


def seeded(module, seed=1):
    """A module with random weights and biases that differ by channel."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return module
