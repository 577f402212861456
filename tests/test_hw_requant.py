"""The requantizer against the golden one: every rule, ties, extremes, channels."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth import signed, unsigned
from hwsim import PAUSES, run_streams
from tercet.hw.operand import operand_shape
from tercet.hw.requant import Requantizer
from tercet.hw.requantizer_spec import RequantizerSpec
from tercet.hw.sequential import SequentialRequantizer
from tercet.model.requant import Requant, Rounding, requantize

WIDTH = 18


def accumulators(rng, requant, channels):
    """Ties and their neighbours, extremes, the clamp's edges, then noise; whole positions."""
    tie = (1 << requant.shift) // (2 * requant.multipliers[0]) if requant.shift else 0
    ties = [sign * (2 * k + 1) * tie + d for k in range(6) for sign in (-1, 1) for d in (-1, 0, 1)]
    edges = [-(1 << (WIDTH - 1)), (1 << (WIDTH - 1)) - 1, -1, 0, 1]
    noise = rng.integers(-(1 << (WIDTH - 1)), 1 << (WIDTH - 1), 150).tolist()
    values = [*edges, *ties, *noise]
    return np.array(values[: len(values) // channels * channels], dtype=np.int64)


def check(requant, zero_point, channels, activation, seed, pauses="none", reset_after=0):
    """The quick requantizer, and where the constants are one for all channels the slow one."""
    options = {"requant": requant, "zero_point": zero_point, "activation": activation}
    options["accumulator_width"] = WIDTH
    if len(requant.multipliers) == len(requant.offsets) == 1:
        unit = SequentialRequantizer(RequantizerSpec(sequential=True, **options))
        slow = check_unit(unit, requant, zero_point, channels, seed, pauses, reset_after)
        if pauses == "none" and not reset_after:
            assert set(np.diff(slow.given)) == {unit.spec.slots}
            assert slow.given[0] - slow.taken[0] == unit.spec.latency == 3
    unit = Requantizer(RequantizerSpec(channels=channels, **options))
    return check_unit(unit, requant, zero_point, channels, seed, pauses, reset_after)


def check_unit(unit, requant, zero_point, channels, seed, pauses="none", reset_after=0):
    rng = np.random.default_rng(seed)
    acc = accumulators(rng, requant, channels)
    expected = requantize(acc.reshape(-1, channels), requant, zero_point).reshape(-1)
    sent = [[int(value)] for value in acc]
    run = run_streams(unit, sent, len(acc), pauses=pauses, seed=seed, reset_after=reset_after)
    assert [payload[0] for payload in run.outputs] == expected.tolist()
    return run


@pytest.mark.parametrize("shift", [0, 1, 2, 9, 24])
@pytest.mark.parametrize("rule", Rounding)
def test_equals_golden_for_every_rule(rule, shift, seed):
    multiplier = max(1, (1 << shift) // 512) if shift < 24 else 33201
    check(Requant((multiplier,), shift, rule, 0, 255), 3, 1, unsigned(8), seed)


@pytest.mark.parametrize("rule", Rounding)
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
    assert run.given[0] - run.taken[0] == 4


@pytest.mark.parametrize("rule", Rounding)
@pytest.mark.parametrize("offsets", [(777,), (-(1 << 23), 5, (1 << 24) + 1)])
def test_adds_offsets(offsets, rule, seed):
    multipliers = (40000, 1, 65535) if len(offsets) == 1 else (40000,)
    requant = Requant(multipliers, 24, rule, 0, 255, offsets=offsets)
    check(requant, 100, 3, unsigned(8), seed, "both")
    check(replace(requant, shift=0, multipliers=(1,)), 100, 3, unsigned(8), seed)


FLOAT32 = [  # shift, zero point, activation
    (1, 3, unsigned(8)),
    (17, 3, unsigned(8)),
    (20, 255, unsigned(8)),
    (24, 128, unsigned(8)),
    (25, -100, signed(8)),
    (30, 0, unsigned(8)),
    (36, 7, signed(6)),
    (24, 1000, signed(16)),
    (33, 65535, unsigned(16)),
]


@pytest.mark.parametrize("offset", [0, -70])
@pytest.mark.parametrize(("shift", "zero_point", "shape"), FLOAT32)
def test_rounds_as_float32_at_ties_near_ties_and_extremes(
    shift, zero_point, shape, offset, seed, long_form
):
    """The short form has fewer products, and takes the sequential unit through half the cases."""
    low = -(shape.signed << (shape.width - 1))
    high = low + (1 << shape.width) - 1
    requant = Requant((1,), shift, Rounding.FLOAT32, low, high, offsets=(offset,))
    rng = np.random.default_rng([seed, shift])
    ends = low - zero_point - 3, high - zero_point + 3
    wholes = np.concatenate(
        [
            [*range(ends[0], ends[0] + 6), -2, -1, 0, 1, 2],
            rng.integers(*ends, 20 if long_form else 4),
            ends,
        ]
    )
    products = []
    for tie in (2 * wholes + 1) << shift >> 1:
        # half of float32's step there, within which it makes a tie of what is none
        step = 1 << max(abs(int(tie)).bit_length() - 24, 0) >> 1
        products += [int(tie) + d for d in (0, 1, -1, step, -step, step + 1, -step - 1, step // 2)]
    products += [(int(whole) << shift) + d for whole in wholes for d in (-1, 0, 1)]
    octaves = [
        sign * ((1 << bits) + d)
        for bits in range(0, 50, 1 if long_form else 3)
        for sign in (1, -1)
        for d in (-1, 0, 1)
    ]
    acc = np.array([product - offset for product in products] + octaves)
    width = int(np.abs(acc).max()).bit_length() + 1
    expected = requantize(acc.reshape(-1, 1), requant, zero_point).reshape(-1)
    half_even = requantize(
        acc.reshape(-1, 1), replace(requant, rounding=Rounding.HALF_EVEN), zero_point
    )
    assert (expected != half_even.reshape(-1)).any() == (shift > 16)  # else float32 holds all
    options = {"requant": requant, "zero_point": zero_point, "activation": shape}
    options["accumulator_width"] = width
    units = [Requantizer(RequantizerSpec(channels=1, **options))]
    if long_form or (FLOAT32.index((shift, zero_point, shape)) + (offset == 0)) % 2:
        units.append(SequentialRequantizer(RequantizerSpec(sequential=True, **options)))
    for unit in units:
        run = run_streams(unit, [[int(value)] for value in acc], len(acc))
        assert [payload[0] for payload in run.outputs] == expected.tolist()


@pytest.mark.parametrize(
    ("low", "zero_point", "shift", "shape"),
    [
        (0, 0, 16, unsigned(17)),  # outputs rise from 0 to 255.5 * 2**16 / 200
        (0, 0, 15, unsigned(16)),
        (0, 0, 12, unsigned(13)),
        (0, 105, 15, signed(16)),  # and from -105.5 * 2**15 / 200
        (0, 250, 15, signed(17)),
        (105, 105, 15, unsigned(15)),  # a ReLU
        (0, 105, 22, signed(18)),  # as wide as the accumulator
    ],
)
def test_multiplies_no_more_bits_than_the_outputs_tell(low, zero_point, shift, shape, seed):
    requant = Requant((200,), shift, Rounding.HALF_UP, low, 255)
    assert operand_shape(requant, zero_point, WIDTH) == shape
    check(requant, zero_point, 1, unsigned(8), seed)


def test_refuses_to_round_as_float32_what_it_has_no_ties_for():
    with pytest.raises(ValueError) as error:
        Requantizer(
            RequantizerSpec(
                requant=Requant((1,), 3, Rounding.FLOAT32, -(1 << 22), 0),
                zero_point=0,
                channels=1,
                accumulator_width=30,
                activation=signed(32),
            )
        )
    assert str(error.value) == (
        "The clamp must lie within 4194303 of the zero point where float32 rounds, "
        "not reach 4194304"
    )


def test_refuses_a_wrong_number_of_offsets():
    with pytest.raises(ValueError, match=r"^Offsets must number 1 or 3, not 2$"):
        Requantizer(
            RequantizerSpec(
                requant=Requant((1,), 0, Rounding.FLOOR, 0, 1, offsets=(1, 2)),
                zero_point=0,
                channels=3,
                accumulator_width=8,
                activation=unsigned(8),
            )
        )


@pytest.mark.parametrize("reset_after", [5, 11])
def test_reset_returns_to_the_first_channel(reset_after, seed):
    requant = Requant((40000, 1, 65535), 16, Rounding.HALF_UP, -2048, 2047, offsets=(1, 2, 1 << 20))
    check(requant, 5, 3, signed(12), seed, "both", reset_after)


def test_the_slow_one_refuses_several_multipliers():
    with pytest.raises(ValueError, match=r"^Multipliers must number 1, not 2$"):
        SequentialRequantizer(
            RequantizerSpec(
                sequential=True,
                requant=Requant((1, 2), 0, Rounding.FLOOR, 0, 1),
                zero_point=0,
                accumulator_width=8,
                activation=unsigned(8),
            )
        )


def test_refuses_a_wrong_number_of_multipliers():
    with pytest.raises(ValueError, match=r"^Multipliers must number 1 or 3, not 2$"):
        Requantizer(
            RequantizerSpec(
                requant=Requant((1, 2), 0, Rounding.FLOOR, 0, 1),
                zero_point=0,
                channels=3,
                accumulator_width=8,
                activation=unsigned(8),
            )
        )
