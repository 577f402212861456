"""Float LeNets in the form of scale, shift and zero point."""

import re

import numpy as np
import pytest
from scaleshift import state_dict
from tercet.model import NetworkError
from tercet.model.frontends.scale_shift.from_float import to_scale_shift


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3)), "Layer 'fc': weights must be finite and not all 0"),
        (np.full((2, 3), np.inf), "Layer 'fc': weights must be finite and not all 0"),
        (
            np.full((2, 3), 1e-30),
            "Layer 'fc': factors from 3.921568627450981e-33 to 3.921568627450981e-33 do not fit "
            "16-bit multipliers over one shift of 0 to 61",
        ),
    ],
)
def test_float_weights_without_a_scale_are_refused(values, message):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        to_scale_shift({"fc.weight": values})


def test_quantized_weights_stand_for_the_floats_within_half_a_step(seed):
    state = state_dict(np.random.default_rng(seed))
    made, triples = to_scale_shift(state)
    for layer, (m, n, z) in triples.items():
        weight = state[f"{layer}.weight"].astype(np.float64)
        error = (made[f"{layer}.weight"].astype(np.float64) - z) * (m / 2**n) - weight
        assert np.abs(error).max() <= m / 2**n * 0.52
        assert made[f"{layer}.weight"].min() == 0
        assert made[f"{layer}.weight"].max() == 255
        assert made[f"{layer}.bias"] is state[f"{layer}.bias"]
