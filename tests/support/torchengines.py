"""PyTorch's int8 engines that this machine has, and networks held to them."""

import numpy as np
import pytest
import torch
from tercet.model.frontends import torch_ao
from tercet.model.frontends.torch_ao import engines
from torch import nn

ENGINES = [name for name in engines.ENGINES if name in torch.backends.quantized.supported_engines]
if not ENGINES:
    pytest.skip("PyTorch has no x86 int8 engine here", allow_module_level=True)


def assert_equal(module, engine, images):
    """Read a module by some images, compare every tensor on others, and give the network."""
    network = torch_ao.read(module, "net", images[: len(images) // 2], engine)
    theirs = torch_ao.module_trace(module, images)
    ours = network.trace(theirs["image"])
    assert set(ours) - set(theirs) <= {"class"}
    for tensor, values in theirs.items():
        assert np.array_equal(values, ours[tensor]), tensor
    result = module(images)
    logits = nn.Flatten()(torch.from_numpy(theirs["logits"].astype(np.float32)))
    held = network.tensors[network.output]
    assert torch.equal(
        (logits - held.zero_point) * held.scale,
        result.permute(0, 2, 3, 1).flatten(1) if result.dim() == 4 else result,
    )
    return network
