"""PT2E programs written by hand: quantizations anywhere, averages and additions at ties."""

import numpy as np
import pytest
from tercet.model.layers.add import Add
from tercet.model.layers.pool import AvgPool2d
from tercet.model.requant import Rounding

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from pt2eprograms import INT8, MARKS, Q, by_hand, check, images_of, on_grid  # noqa: E402
from pt2erun import trace  # noqa: E402
from tercet.model.frontends.pt2e import read  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = MARKS


UINT7 = (0, 127, torch.uint8)


def test_quantizations_wherever_they_stand(seed):
    """Clips, pools and flattenings before and behind them, and what has two grids."""

    def forward(net, x):
        x = on_grid(torch.clamp(nn.functional.max_pool2d(x, 2), min=-1.0), 0.02, 100, UINT7)
        weights = Q.dequantize_per_tensor(net.w, 0.03, 6, 0, 15, torch.uint8)
        bias = Q.dequantize_per_tensor(net.b, 0.0005, 0, -(2**31), 2**31 - 1, torch.int32)
        x = nn.functional.conv2d(x, weights, bias, padding=1)
        x = on_grid(nn.functional.hardtanh(nn.functional.max_pool2d(x, 2), -1.0, 2.0), 0.1, 7)
        x = torch.relu(x)  # stays on the grid without being quantized again
        scales = Q.dequantize_per_channel(net.w2, net.scales, None, 0, -127, 127, torch.int8)
        x = on_grid(nn.functional.conv2d(x, scales), 0.25, -9)
        x = on_grid(nn.functional.hardtanh(x, -2.0, 3.0), 0.25, -9)
        x = on_grid(on_grid(x.flatten(1), 0.125, 4), 0.1875, 3)
        weights = Q.dequantize_per_tensor(net.w3, 0.01, 0, *INT8)
        return on_grid(nn.functional.linear(x, weights))

    rng = np.random.default_rng(seed)
    program = by_hand(
        forward,
        (2, 20, 24),
        w=rng.integers(0, 16, (4, 2, 3, 3), np.uint8),
        b=rng.integers(-3000, 3000, 4, np.int32),
        w2=rng.integers(-127, 128, (3, 4, 2, 2), np.int8),
        scales=np.float32([0.012, 0.008, 0.01]),
        w3=rng.integers(-128, 128, (6, 3 * 4 * 5), np.int8),
    )
    net = check(program, images_of((2, 20, 24), seed, 4) * 3)
    assert str(net.tensors["image"].dtype) == "uint7"
    assert str(net.layers[2].weights.dtype) == "uint4"
    assert [layer.kind for layer in net.layers] == [
        "max_pool2d", "relu", "conv2d", "max_pool2d", "relu", "relu", "conv2d", "relu",
        "avg_pool2d", "avg_pool2d", "flatten", "linear", "argmax",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kernel", "scale", "reference", "rounding"),
    [
        (4, 0.5, "half_even", Rounding.HALF_EVEN),  # 1 / 16, a tie for each sum of 16 k + 8
        (6, 0.5, None, Rounding.HALF_UP),  # 1 / 36, ties in both directions and not dyadic
        (5, 0.5, "half_even", Rounding.HALF_UP),  # 1 / 25, no ties
        (6, 0.7123, "half_even", Rounding.HALF_UP),  # no ties either
    ],
)
def test_averages_at_ties(kernel, scale, reference, rounding, seed):
    def forward(_, x):
        return on_grid(on_grid(x).mean((2, 3)), scale)

    program = by_hand(forward, (200, kernel, kernel))
    net = read(program)
    (layer,) = (layer for layer in net.layers if isinstance(layer, AvgPool2d))
    assert (layer.requant.reference, layer.requant.rounding) == (reference, rounding)
    rng = np.random.default_rng(seed)
    middle = rng.integers(-100, 100, (20, 1, 1, 200))
    x = np.clip(middle + rng.integers(-9, 10, (20, kernel, kernel, 200)), -128, 127)
    sums = (x - 3).sum(axis=(1, 2))
    value = sums * 0.5 / (scale * kernel**2)  # ties are exact in float64
    ties = value - np.floor(value) == 0.5
    nearest = np.rint(value) if reference else np.floor(value + 0.5)
    assert np.array_equal(net(x), np.clip(nearest + 3, -128, 127))
    assert ties.any() == (rounding is Rounding.HALF_EVEN or reference is None)


def test_ties_of_averages_go_either_way_in_float32(seed):
    """What keeps float32 from being equalled: a sum of 4 k + 2 is a tie, but for its errors."""

    scale = float(np.float32(0.1))

    def forward(_, x):
        return on_grid(nn.functional.avg_pool2d(on_grid(x, scale), 2), scale)

    program = by_hand(forward, (1, 64, 64))
    images = images_of((1, 64, 64), seed, 4) * 10
    exact, float32 = (trace(program, images, exact=flag) for flag in (True, False))
    assert np.array_equal(exact["image"], float32["image"])
    net = read(program)
    assert np.array_equal(net.trace(exact["image"])["logits"], exact["logits"])
    different = exact["logits"] != float32["logits"]
    windows = exact["image"].reshape(4, 32, 2, 32, 2, 1).astype(int) - 3
    ties = windows.sum(axis=(2, 4)) % 4 == 2
    assert not different[~ties].any()
    assert 0 < different.sum() < ties.sum()


def test_additions_whose_ties_are_exact(seed):
    def forward(_, x):
        x = on_grid(x, 0.25)
        return on_grid(x + on_grid(x, 0.5), 1.0)

    net = check(by_hand(forward, (1, 8, 8)), images_of((1, 8, 8), seed, 4) * 30)
    (layer,) = (layer for layer in net.layers if isinstance(layer, Add))
    assert (layer.requant.reference, layer.requant.rounding) == ("half_even", Rounding.HALF_EVEN)
