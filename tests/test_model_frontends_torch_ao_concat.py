"""FloatFunctional.cat: every value of every input by the rules told, networks equal to torch.ao."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.ao, and its quantized tensors
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

from tercet.model.dtypes import IntType  # noqa: E402
from tercet.model.frontends import torch_ao  # noqa: E402
from tercet.model.frontends.torch_ao.concat import RULES, cat_table  # noqa: E402
from tercet.model.layers import Tensor  # noqa: E402
from torch import nn  # noqa: E402
from torch.ao import quantization as ao  # noqa: E402
from torchengines import ENGINES, assert_equal  # noqa: E402
from torchnets import converted, random_images, seeded  # noqa: E402

UINT8 = IntType(8, signed=False)
SIMPLE = (0.25, 0.5, 0.75, 1, 1.5, 2.5, 3.5)  # ratios of scales that make ties


def every_value(x, y, channels, channels_last):
    """quantized::cat of every value, twice ``channels`` channels: int64 (2 * channels, 256)."""
    q = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(1, channels, 1, 1)
    q = torch._make_per_tensor_quantized_tensor(q, x.scale, x.zero_point)
    if channels_last:
        q = q.contiguous(memory_format=torch.channels_last)
    joined = torch.ops.quantized.cat([q, q], 1, y.scale, y.zero_point)
    return joined.int_repr().numpy().reshape(2 * channels, 256).astype(np.int64)


@pytest.mark.parametrize("channels", [1, 3, 8, 13, 16, 20, 40])
def test_every_value_follows_the_rule_of_its_channel(channels, seed):
    rng = np.random.default_rng([seed, channels])
    apart = 0
    for number in range(150):
        scales = rng.uniform(0.001, 0.1, 2).astype(np.float32)
        if number % 3:
            scales[0] = scales[1] * np.float32(rng.choice(SIMPLE))
        x, y = (
            Tensor(name, (16, 16, channels), UINT8, float(scale), int(rng.integers(256)))
            for name, scale in zip("xy", scales, strict=True)
        )
        tables = {rule: np.clip(cat_table(x, y, rule), 0, 255) for rule in RULES}
        apart += len({table.tobytes() for table in tables.values()}) > 1
        whole = channels // 8 * 8
        rules = ["vector"] * whole + ["tail"] * (channels - whole)
        expected = np.stack([tables[rule] for rule in rules * 2])
        np.testing.assert_array_equal(every_value(x, y, channels, True), expected)
        if channels > 1:  # one channel is channels-last memory anyway
            other = np.broadcast_to(tables["other"], expected.shape)
            np.testing.assert_array_equal(every_value(x, y, channels, False), other)
    assert apart > 40


class Branches(nn.Module):
    """Inception's branches, one input of a concatenation on the grid of another; vectors too."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.stem, self.relu = nn.Conv2d(2, 8, 3, padding=1), nn.ReLU()
        self.one, self.three = nn.Conv2d(8, 11, 1), nn.Conv2d(8, 16, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.maps, self.dense, self.vectors = (nn.quantized.FloatFunctional() for _ in range(3))
        self.last, self.wide = nn.Conv2d(43, 5, (7, 6)), nn.Conv2d(43, 4, (7, 6))
        self.flatten, self.fc = nn.Flatten(), nn.Linear(9, 4)

    def forward(self, x):
        x = self.relu(self.stem(self.quant(x)))
        y = self.maps.cat([self.one(x), self.three(x), self.pool(x)], dim=1)
        y = self.dense.cat([y, x], 1)
        y = [self.flatten(self.last(y)), self.flatten(self.wide(y))]
        return self.dequant(self.fc(self.vectors.cat(y, 1)))


@pytest.mark.parametrize("engine", ENGINES)
def test_concatenations_equal_torch_ao(engine):
    images = random_images(40, (2, 7, 6))
    module = converted(seeded(Branches()), (2, 7, 6), engine)
    network = assert_equal(module, engine, images)
    concats = [layer for layer in network.layers if layer.kind == "concat"]
    assert [len(layer.reads) for layer in concats] == [3, 2, 2]
    counts = torch_ao.differing(network, module, images, engine)
    assert [counts[layer.name][0] for layer in concats] == [0, 0, 0]
    assert counts["maps"][1] == 256 * 4  # 11 channels have two rules


class Flattened(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.conv, self.flatten = nn.Conv2d(1, 2, 3), nn.Flatten()
        self.cat, self.fc = nn.quantized.FloatFunctional(), nn.Linear(36 + 16 + 16, 2)

    def forward(self, x):
        x = self.quant(x)
        y = self.flatten(self.conv(x))
        return self.dequant(self.fc(self.cat.cat([self.flatten(x), y], dim=1)))


def test_flattened_maps_come_in_the_order_of_the_module():
    images = random_images(2, (1, 6, 6))
    module = converted(seeded(Flattened()), (1, 6, 6), ENGINES[0])
    network = torch_ao.read(module, "net", images, ENGINES[0])
    expected = torch_ao.module_trace(module, images)
    found = network.trace(expected["image"])
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
