"""The active range against brute force: it changes nothing, and nothing less would do."""

import numpy as np
import pytest
from tercet.model import load
from tercet.model.formats.json_file import shipped
from tercet.model.layers import Requantizing
from tercet.model.requant import Requant, Rounding, requantize
from tercet.model.requant.active import active_range
from tercet.model.requant.staircase import channel_of


def unchanged(requant, zero_point, reach, low, high):
    """Whether every accumulator within reach, clamped first, gives what it gave."""
    for channel, (lo, hi) in enumerate(zip(*reach, strict=True)):
        own, acc = channel_of(requant, channel), np.arange(lo, hi + 1)
        clamped = requantize(np.clip(acc, low, high), own, zero_point)
        if not np.array_equal(clamped, requantize(acc, own, zero_point)):
            return False
    return True


def drawn(rng):
    """A requantization, its zero point and a reach of some hundred accumulators a channel."""
    channels = int(rng.integers(1, 4))
    count = int(rng.choice([1, channels]))
    shift = int(rng.integers(0, 9))
    middle = int(rng.choice([0, 0, -300, 300, 2000]))
    lo = rng.integers(middle - 200, middle + 1, channels)
    offsets = rng.integers(-(100 << shift), 100 << shift, channels) if rng.integers(2) else [0]
    low = int(rng.integers(-20, 20))
    requant = Requant(
        multipliers=tuple(rng.integers(1, 2 << shift, count).tolist()),
        shift=shift,
        rounding=Rounding(rng.choice([rule.value for rule in Rounding])),
        low=low,
        high=low + int(rng.integers(0, 40)),
        offsets=tuple(int(offset) for offset in offsets),
    )
    return requant, int(rng.integers(-9, 9)), (lo, lo + rng.integers(0, 300, channels))


def test_no_output_changes_and_no_smaller_range_would_do(seed):
    rng = np.random.default_rng(seed)
    narrower = single = 0
    for _ in range(1500):
        requant, zero_point, reach = drawn(rng)
        low, high = active_range(requant, zero_point, reach)
        assert unchanged(requant, zero_point, reach, low, high)
        narrower += reach[0].min() < low and high < reach[1].max()
        single += low == high
        if low < high:
            assert not unchanged(requant, zero_point, reach, low + 1, high)
            assert not unchanged(requant, zero_point, reach, low, high - 1)
    assert narrower > 100  # the draws are worth something
    assert single > 100


@pytest.mark.parametrize(
    ("lo", "hi", "expected"),
    [([-9], [-3], -3), ([4], [9], 4), ([-9], [9], 0), ([-9, 5], [-3, 6], None)],
)
def test_of_outputs_that_never_change_one_accumulator_is_left(lo, hi, expected):
    requant = Requant((1,), 9, Rounding.FLOOR, 0, 0)
    low, high = active_range(requant, 0, (np.array(lo), np.array(hi)))
    assert low == high == (0 if expected is None else expected)


@pytest.mark.parametrize("name", shipped())
def test_the_shipped_networks_outputs_stay_what_they_are(name, seed):
    network, rng = load(name), np.random.default_rng(seed)
    for layer in network.layers:
        if not isinstance(layer, Requantizing) or not len(layer.sum_bounds(network)[0]):
            continue
        zero_point = network.tensors[layer.output].zero_point
        lo, hi = layer.sum_bounds(network)
        low, high = active_range(layer.requant, zero_point, (lo, hi))
        acc = rng.integers(lo, hi + 1, (1000, len(lo)))
        acc = np.concatenate([acc, np.clip([[low - 1], [low], [high], [high + 1]], lo, hi)])
        expected = requantize(acc, layer.requant, zero_point)
        clamped = requantize(np.clip(acc, low, high), layer.requant, zero_point)
        np.testing.assert_array_equal(clamped, expected)
