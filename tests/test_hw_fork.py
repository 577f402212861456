"""One stream to two consumers that take their beats at different times."""

import numpy as np
import pytest
from amaranth import unsigned
from hwsim import PAUSES, run_ports
from tercet.hw.fork import Fork


@pytest.mark.parametrize("reset_after", [0, 13])
@pytest.mark.parametrize("pauses", PAUSES)
def test_both_get_every_beat_once(pauses, reset_after, seed):
    values = np.random.default_rng(seed).integers(0, 256, 150).tolist()
    runs = run_ports(
        Fork(shape=unsigned(8)),
        {"i": values},
        {"o_a": 150, "o_b": 150},
        pauses=pauses,
        seed=seed,
        reset_after=reset_after,
    )
    assert runs["o_a"].outputs == runs["o_b"].outputs == values
    later = np.maximum(runs["o_a"].given, runs["o_b"].given)
    assert runs["i"].taken == later.tolist()
    if pauses == "none":
        assert later.tolist() == list(range(150))
    if pauses == "output":
        assert runs["o_a"].given != runs["o_b"].given
