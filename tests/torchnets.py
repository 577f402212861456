"""Small modules for the tests of the torch.ao front end: seeded, fused, calibrated, converted."""

import torch
from tercet.model.frontends import torch_convert
from torch import nn
from torch.ao import quantization as ao

BLANK = torch.zeros(1, 1, 28, 28)


def random_images(count, shape, seed=2):
    """Images of both signs, so that zero points lie inside."""
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def fused(net):
    """A float module in evaluation mode, fused where it can be."""
    fusions = torch_convert._fusions(net.eval())
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
