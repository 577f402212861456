"""Each kind of layer has a part, and a part must say what it takes of a device."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tercet.gen.cost.devices import DEVICES
from tercet.gen.cost.luts import FEATURES, estimate
from tercet.gen.parts.kinds import PARTS, part_of
from tercet.gen.parts.part import Part
from tercet.gen.parts.relu import ReluPart
from tercet.model.formats.json_layers import KINDS
from tercet.model.fuzz.networks import network_of_seed


def test_every_kind_but_those_of_order_and_class_has_a_part():
    assert KINDS.keys() - PARTS.keys() == {"flatten", "argmax"}


@pytest.mark.parametrize(
    "method", ["multipliers", "requantizer_multipliers", "products", "features", "component"]
)
def test_a_part_that_does_not_say_what_it_takes_cannot_be_made(method):
    kind = type("Silent", (ReluPart,), {method: getattr(Part, method)})
    with pytest.raises(TypeError, match=method):
        kind(None, None, None)


def test_features_of_parts_are_those_that_have_factors():
    for seed in range(20):
        network = network_of_seed(seed)
        for layer in network.layers:
            if layer.kind in PARTS:
                features = part_of(network, layer).features()
                assert features.keys() <= set(FEATURES)
                assert all(isinstance(value, int | np.integer) for value in features.values())


def test_a_feature_without_a_factor_is_no_zero():
    with pytest.raises(AssertionError, match="no_such_bits"):
        estimate(Counter(no_such_bits=3), DEVICES["ecp5-25"].family)
