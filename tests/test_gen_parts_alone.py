"""How fast a part is on its own: what it says against the timing model."""

import numpy as np
import pytest
from anylayers import any_layers
from randomnets import random_network
from tercet.gen.parts.alone import simulated_cycles
from tercet.gen.parts.conv import ConvPart


@pytest.mark.parametrize("windows", [False, True])
def test_a_convolution_knows_its_cycles_with_any_lanes(windows, seed):
    rng = np.random.default_rng([seed, windows])
    for _ in range(20):
        shape = (*rng.integers(1, 9, 2).tolist(), int(rng.integers(1, 4)))
        network = random_network(rng, shape=shape, depth=1, argmax=False, windows=windows)
        (layer,) = any_layers(network)
        base = ConvPart.of(network, layer)
        written = [lanes for lanes in (1, 2, 3) if layer.out_channels % lanes == 0]
        for part in base.choices(1, written):
            assert part.cycles_bound <= part.cycles, part.geometry
            assert part.engine_cycles <= part.cycles == simulated_cycles(part), part.geometry
