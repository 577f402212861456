"""Concatenations in PT2E programs: every element equals the program's in float64."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from pt2eprograms import MARKS, by_hand, check, converted, images_of, on_grid  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = MARKS


class Branches(nn.Module):
    """Branches of unlike windows, and vectors side by side."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 2, 1)
        self.one, self.three = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 2, 3, padding=1)
        self.wide, self.last = nn.Conv2d(7, 3, (8, 7)), nn.Conv2d(7, 4, (8, 7))
        self.fc = nn.Linear(7, 5)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = torch.cat([torch.relu(self.one(x)), self.three(x), x], 1)
        vectors = [self.wide(y).flatten(1), torch.relu(self.last(y)).flatten(1)]
        return self.fc(torch.cat(vectors, 1))


def test_a_quantizers_concatenations_equal_the_program(seed):
    program = converted(Branches(), (2, 8, 7), seed)
    net = check(program, images_of((2, 8, 7), seed))
    assert sum(layer.kind == "concat" for layer in net.layers) == 2


@pytest.mark.parametrize(
    "grids",
    [
        [(0.21, 3), (0.5, -20), (0.37, 5)],
        [(0.5, 3), (0.25, 3), (0.5, 3)],  # ties of one input, mere order of the other
        [(0.3, 3), (0.3, 3), (0.3, 3)],
        [(0.003, 100), (0.009, -100), (0.011, -7)],
    ],
)
def test_every_value_of_every_grid_equals_the_program(grids, seed):
    a, b, y = grids

    def forward(net, x):
        x = on_grid(x, *a)
        return on_grid(torch.cat([x, torch.relu(on_grid(x + x, *b))], 1), *y)

    images = torch.linspace(-128, 127, 1024).reshape(4, 1, 16, 16) * a[0]
    program = by_hand(forward, images.shape[1:])
    check(program, images)
