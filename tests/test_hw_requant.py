"""The requantizer against the golden one: every rule, ties, extremes, channels."""

import numpy as np
import pytest
from amaranth import signed, unsigned
from hwsim import PAUSES, run_streams
from netgen import FIXED_POINT
from tercet.hw.requant import Requantizer
from tercet.model.arith import Rounding
from tercet.model.requant import Requant, requantize

WIDTH = 18


def accumulators(rng, requant, channels):
    """Ties and their neighbours, extremes, the clamp's edges, then noise; whole positions."""
    tie = (1 << requant.shift) // (2 * requant.multipliers[0]) if requant.shift else 0
    ties = [sign * (2 * k + 1) * tie + d for k in range(6) for sign in (-1, 1) for d in (-1, 0, 1)]
    edges = [-(1 << (WIDTH - 1)), (1 << (WIDTH - 1)) - 1, -1, 0, 1]
    noise = rng.integers(-(1 << (WIDTH - 1)), 1 << (WIDTH - 1), 150).tolist()
    values = [*edges, *ties, *noise]
    return np.array(values[: len(values) // channels * channels], dtype=np.int64)


def check(requant, zero_point, channels, activation, seed, pauses="none"):
    rng = np.random.default_rng(seed)
    acc = accumulators(rng, requant, channels)
    expected = requantize(acc.reshape(-1, channels), requant, zero_point).reshape(-1)
    unit = Requantizer(
        requant=requant,
        zero_point=zero_point,
        channels=channels,
        accumulator_width=WIDTH,
        activation=activation,
    )
    run = run_streams(unit, [[int(value)] for value in acc], len(acc), pauses=pauses, seed=seed)
    assert [payload[0] for payload in run.outputs] == expected.tolist()
    return run


@pytest.mark.parametrize("shift", [0, 1, 2, 9, 24])
@pytest.mark.parametrize("rule", FIXED_POINT)
def test_equals_golden_for_every_rule(rule, shift, seed):
    multiplier = max(1, (1 << shift) // 512) if shift < 24 else 33201
    check(Requant((multiplier,), shift, rule, 0, 255), 3, 1, unsigned(8), seed)


@pytest.mark.parametrize("rule", FIXED_POINT)
def test_equals_golden_at_ties_of_a_power_of_two(rule, seed):
    check(Requant((1,), 6, rule, -128, 127), -7, 1, signed(8), seed)


@pytest.mark.parametrize("zero_point", [0, 1, 128, 255])
def test_clamps_and_adds_the_zero_point(zero_point, seed):
    requant = Requant((40000,), 24, Rounding.HALF_EVEN, zero_point // 2, 255)
    check(requant, zero_point, 1, unsigned(8), seed)


@pytest.mark.parametrize("pauses", PAUSES)
def test_uses_each_channels_multiplier(pauses, seed):
    requant = Requant((40000, 1, 65535, 12345, 777), 24, Rounding.HALF_UP, -2048, 2047)
    check(requant, 5, 5, signed(12), seed, pauses)


def test_takes_one_accumulator_a_cycle(seed):
    run = check(Requant((40000,), 24, Rounding.HALF_UP, 0, 255), 0, 1, unsigned(8), seed)
    assert np.diff(run.given).tolist() == [1] * (len(run.given) - 1)
    assert run.given[0] - run.taken[0] == Requantizer.LATENCY


@pytest.mark.parametrize(
    "requant",
    [
        Requant((1,), 0, Rounding.FLOAT32, 0, 1),
        Requant((1,), 3, Rounding.HALF_UP, 0, 1, offsets=(1,)),
    ],
)
def test_refuses_what_it_does_not_compute(requant):
    with pytest.raises(ValueError, match=r"^Rounding must not be float32, and offsets must be 0$"):
        Requantizer(
            requant=requant,
            zero_point=0,
            channels=1,
            accumulator_width=8,
            activation=unsigned(8),
        )


def test_refuses_a_wrong_number_of_multipliers():
    with pytest.raises(ValueError, match=r"^Multipliers must number 1 or 3, not 2$"):
        Requantizer(
            requant=Requant((1, 2), 0, Rounding.FLOOR, 0, 1),
            zero_point=0,
            channels=3,
            accumulator_width=8,
            activation=unsigned(8),
        )
