"""Functions of one value and upsampling in PT2E programs: equal to the program in float64."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from pt2eprograms import MARKS, by_hand, check, images_of, on_grid  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = MARKS

FUNCTIONS = {
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.13),
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "elu": functional.elu,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_value_equals_the_program(name):
    def forward(net, x):
        return on_grid(FUNCTIONS[name](on_grid(x, 0.041, -9)), 0.0173, -70)

    images = torch.linspace(-128, 127, 1024).reshape(4, 1, 16, 16) * 0.041
    net = check(by_hand(forward, images.shape[1:]), images)
    assert [layer.kind for layer in net.layers] == ["table"]


def test_upsampling_commutes_with_rounding(seed):
    def forward(net, x):
        x = on_grid(x, 0.03, 5)
        x = functional.interpolate(x + x, scale_factor=2, mode="nearest")
        return on_grid(torch.relu(x), 0.0211, -30)

    net = check(by_hand(forward), images_of((1, 4, 4), seed, 4))
    assert [layer.kind for layer in net.layers] == ["add", "upsample", "relu"]
