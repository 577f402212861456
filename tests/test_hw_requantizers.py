"""Requantizers side by side against the golden requantization, channels falling to lanes."""

import numpy as np
import pytest
from amaranth import unsigned
from hwsim import PAUSES, run_streams
from tercet.hw.requantizer_spec import RequantizerSpec
from tercet.hw.requantizers import Requantizers
from tercet.hw.storage import Kind
from tercet.model.requant import Requant, Rounding, requantize

WIDTH = 18


def build(channels, lanes, requant):
    return Requantizers(
        RequantizerSpec(
            lanes=lanes,
            requant=requant,
            zero_point=3,
            channels=channels,
            accumulator_width=WIDTH,
            activation=unsigned(8),
        )
    )


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize(
    ("channels", "lanes"), [(4, 2), (4, 4), (6, 3), (1, 3), (2, 6), (6, 2), (3, 1)]
)
def test_equals_golden_for_each_channels_own_numbers(channels, lanes, pauses, seed):
    rng = np.random.default_rng([seed, channels, lanes])
    requant = Requant(
        tuple(rng.integers(1, 65536, channels).tolist()),
        24,
        Rounding.HALF_UP,
        0,
        255,
        offsets=tuple(rng.integers(-(1 << 24), 1 << 24, channels).tolist()),
    )
    acc = rng.integers(-(1 << (WIDTH - 1)), 1 << (WIDTH - 1), (36, channels))
    unit = build(channels, lanes, requant)
    expected = requantize(acc, requant, 3).reshape(-1, lanes).tolist()
    run = run_streams(
        unit, acc.reshape(-1, lanes).tolist(), len(expected), pauses=pauses, seed=seed
    )
    assert [list(payload) for payload in run.outputs] == expected
    if pauses == "none":
        assert run.given[0] - run.taken[0] == unit.spec.latency == 4
        assert np.diff(run.given).tolist() == [1] * (len(expected) - 1)


@pytest.mark.parametrize("pauses", PAUSES)
def test_lanes_wait_for_the_one_whose_numbers_are_in_block_ram(pauses, seed):
    rng = np.random.default_rng(seed)
    multipliers = rng.integers(1, 65536, 210)
    multipliers[1::3] = 40000  # one lane has a constant
    multipliers[2::3] = [*range(1, 36), *range(1, 36)]  # and one so few bits that LUTs hold them
    requant = Requant(tuple(multipliers.tolist()), 24, Rounding.HALF_UP, 0, 255)
    acc = rng.integers(-(1 << (WIDTH - 1)), 1 << (WIDTH - 1), (2, 210))
    unit = build(210, 3, requant)
    kinds = {storage.name: storage.kind for storage in unit.spec.memories}
    assert kinds == {"lane0.scales": Kind.BLOCK, "lane2.scales": Kind.LUT}
    expected = requantize(acc, requant, 3).reshape(-1, 3).tolist()
    run = run_streams(unit, acc.reshape(-1, 3).tolist(), len(expected), pauses=pauses, seed=seed)
    assert [list(payload) for payload in run.outputs] == expected
    if pauses == "none":
        assert run.given[0] - run.taken[0] == unit.spec.latency == 5


def test_refuses_lanes_that_do_not_go_with_the_channels():
    with pytest.raises(
        ValueError, match=r"^lanes must divide the 4 channels or be a multiple, not 3$"
    ):
        build(4, 3, Requant((1,), 3, Rounding.FLOOR, 0, 255))
