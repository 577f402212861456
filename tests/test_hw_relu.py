"""The standalone clamp against numpy's, over every value of a type."""

import numpy as np
import pytest
from amaranth import signed, unsigned
from hwsim import PAUSES, run_streams
from tercet.hw.relu import Relu


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [
        (unsigned(8), 0, 255),
        (unsigned(8), 128, 128),
        (unsigned(8), 3, 200),
        (signed(8), -128, 127),
        (signed(8), -128, -100),
        (signed(6), -5, 20),
        (signed(6), 31, 31),
    ],
)
def test_clamps_every_value(shape, low, high, pauses, seed):
    values = np.arange(1 << shape.width) - (shape.signed << (shape.width - 1))
    unit = Relu(activation=shape, low=low, high=high)
    sent = [[int(value)] for value in values]
    run = run_streams(unit, sent, len(values), pauses=pauses, seed=seed)
    assert [payload[0] for payload in run.outputs] == np.clip(values, low, high).tolist()
    assert run.given == run.taken  # within the cycle


def test_refuses_a_clamp_that_falls():
    with pytest.raises(ValueError, match=r"^The clamp must rise, not \[3, 2\]$"):
        Relu(activation=unsigned(8), low=3, high=2)
