"""Requantization against exact rationals, and M / 2**n for real factors."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rationals import requantize_exactly, round_exactly
from tercet.model.golden import fastrequant
from tercet.model.golden.fastrequant import FastRequant
from tercet.model.requant import (
    MAX_MULTIPLIER,
    MAX_SHIFT,
    Requant,
    Rounding,
    fixed_point,
    requantize,
)

INT32_ENDS = (-(1 << 31), 1 - (1 << 31), (1 << 31) - 1)


def make(
    multipliers=(3,),
    shift=4,
    rounding=Rounding.HALF_UP,
    low=0,
    high=255,
    reference=None,
    offsets=(0,),
):
    return Requant(multipliers, shift, rounding, low, high, reference, offsets)


def fast(acc, requant, zero_point, reach, constants=None):
    """What FastRequant makes of sums (H, OC, W, N), as int64."""
    if constants is None:
        constants = np.zeros(acc.shape[1], dtype=np.int64)
    out = np.empty(acc.shape, dtype=np.int64)
    FastRequant(requant, zero_point, constants, reach)(acc, out)
    return out


def by_definition(acc, multiplier, requant, zero_point):
    factor = Fraction(multiplier, 1 << requant.shift)
    return requantize_exactly(acc, factor, requant.rounding, zero_point, requant.low, requant.high)


@pytest.mark.parametrize("rule", Rounding)
@pytest.mark.parametrize("shift", range(MAX_SHIFT + 1))
def test_requantize_is_exact_for_extreme_accumulators_and_multipliers(shift, rule):
    accumulators = [*INT32_ENDS, -1, 0, 1]
    for multiplier in (1, 1 << 30, MAX_MULTIPLIER):
        requant = make((multiplier,), shift, rule, -(1 << 31), (1 << 31) - 1)
        got = requantize(np.array(accumulators).reshape(-1, 1), requant, zero_point=-3)
        expected = [by_definition(acc, multiplier, requant, -3) for acc in accumulators]
        assert got.ravel().tolist() == expected


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    acc=st.integers(*(INT32_ENDS[0], INT32_ENDS[2])),
    multiplier=st.integers(1, MAX_MULTIPLIER),
    shift=st.integers(0, MAX_SHIFT),
    rule=st.sampled_from(Rounding),
    zero_point=st.integers(-128, 255),
    ends=st.tuples(st.integers(-128, 255), st.integers(-128, 255)).map(sorted),
)
def test_requantize_is_exact_on_any_value(acc, multiplier, shift, rule, zero_point, ends):
    requant = make((multiplier,), shift, rule, *ends)
    got = requantize(np.array([acc]), requant, zero_point)
    assert got.dtype == np.int64
    assert got.tolist() == [by_definition(acc, multiplier, requant, zero_point)]


@pytest.mark.parametrize("rule", Rounding)
def test_requantize_is_exact_on_ties_around_the_clamp(rule):
    requant = make((5,), 1, rule, low=-10, high=12)  # odd accumulators are ties
    accumulators = list(range(-12, 13))
    got = requantize(np.array(accumulators)[:, None], requant, zero_point=2)
    assert got.ravel().tolist() == [by_definition(acc, 5, requant, 2) for acc in accumulators]
    assert {-10, 12} < set(got.ravel().tolist())


def test_each_channel_has_its_own_multiplier():
    requant = make((1, 2, 3), 0, low=-100, high=100)
    acc = np.arange(12).reshape(2, 2, 3)
    assert np.array_equal(requantize(acc, requant, 1), acc * [1, 2, 3] + 1)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    acc=st.integers(-(1 << 24), 1 << 24),
    multiplier=st.integers(1, MAX_MULTIPLIER),
    offset=st.integers(-(1 << 50), 1 << 50),
    shift=st.integers(0, 50),
    rule=st.sampled_from(Rounding),
)
def test_an_offset_is_added_before_the_rounding(acc, multiplier, offset, shift, rule):
    requant = Requant((multiplier,), shift, rule, -(1 << 31), (1 << 31) - 1, offsets=(offset,))
    exact = round_exactly(Fraction(acc * multiplier + offset, 1 << shift), rule) + 7
    expected = [min(max(exact, requant.low), requant.high)]
    assert requantize(np.array([acc]), requant, 7).tolist() == expected
    assert fast(np.full((1, 1, 1, 1), float(acc)), requant, 7, abs(acc)).ravel() == expected


def test_each_channel_has_its_own_offset():
    requant = Requant((4,), 2, Rounding.FLOOR, -100, 100, offsets=(0, 4, -1))
    acc = np.arange(12).reshape(2, 2, 3)
    assert np.array_equal(requantize(acc, requant, 0), acc + np.array([0, 1, -1]))


def test_one_multiplier_stands_for_all_channels():
    assert make((7,)).per_channel(3) == (7, 7, 7)
    assert make((7, 8)).per_channel(2) == (7, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"multipliers": (0,)}, "multiplier must be 1 to 2147483647, not 0"),
        ({"multipliers": (5, -1)}, "multiplier must be 1 to 2147483647, not -1"),
        ({"multipliers": (1 << 31,)}, "multiplier must be 1 to 2147483647, not 2147483648"),
        ({"shift": -1}, "shift must be 0 to 61, not -1"),
        ({"shift": 62}, "shift must be 0 to 61, not 62"),
        (
            {"offsets": (0, 1 << 61)},
            "offset must lie within 2305843009213693951, not 2305843009213693952",
        ),
        ({"low": 5, "high": 4}, "clamp must rise, not [5, 4]"),
        (
            {"reference": "half_odd"},
            "reference must be one of half_even, float32_half_even, float32_chain, float32_fused "
            "or null, "
            "not 'half_odd'",
        ),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError) as caught:
        make(**arguments)
    assert str(caught.value) == message


def test_the_ends_of_every_range_are_allowed():
    make((1, MAX_MULTIPLIER), 0, low=3, high=3)
    make((1, MAX_MULTIPLIER), MAX_SHIFT)


FACTORS = st.floats(min_value=2.0**-25, max_value=2.0**6, allow_subnormal=False)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(FACTORS, min_size=1, max_size=4), st.integers(2, 31))
def test_fixed_point_is_the_nearest_with_the_largest_multiplier_full(scales, bits):
    assume(max(scales) < 2.0 ** (bits - 1))
    assume(min(scales) > max(scales) * 2.0 ** (1 - bits))
    multipliers, shift = fixed_point(scales, bits)
    assert max(multipliers).bit_length() == bits
    for scale, multiplier in zip(scales, multipliers, strict=True):
        error = abs(Fraction(multiplier, 1 << shift) - Fraction(scale))
        assert error <= Fraction(1, 1 << (shift + 1))


@pytest.mark.parametrize(
    ("scales", "bits", "expected"),
    [
        ([0.5], 1, ((1,), 1)),
        ([1.0], 8, ((128,), 7)),
        ([0.75, 0.25], 2, ((3, 1), 2)),
        ([255.5 / 256], 8, ((128,), 7)),  # rounds up to 256, one bit too many
        ([2.5 / 4, 1.0], 3, ((2, 4), 2)),  # a tie goes to the even multiplier
        ([3.5 / 4, 1.0], 3, ((4, 4), 2)),
        ([1.0 * (1 << 30)], 31, ((1 << 30,), 0)),
        ([2.0**-31], 31, ((1 << 30,), 61)),
    ],
)
def test_fixed_point_by_hand(scales, bits, expected):
    assert fixed_point(scales, bits) == expected


@pytest.mark.parametrize(
    ("scales", "bits", "ends"),
    [
        ([2.0**31], 31, "2147483648.0 to 2147483648.0"),
        ([2.0**-32], 31, "2.3283064365386963e-10 to 2.3283064365386963e-10"),
        ([1.0, 0.001], 8, "0.001 to 1.0"),
    ],
)
def test_fixed_point_refuses_what_does_not_fit(scales, bits, ends):
    with pytest.raises(ValueError) as caught:
        fixed_point(scales, bits)
    assert str(caught.value) == (
        f"factors from {ends} do not fit {bits}-bit multipliers over one shift of 0 to 61"
    )


@pytest.mark.parametrize("bits", [4, 16, 30, 31])
@pytest.mark.parametrize("shift", [0, 1, 7, 24, 49, 50, 51, 61])
@pytest.mark.parametrize("rule", Rounding)
def test_the_fast_form_equals_the_rules_on_both_sides_of_float64s_reach(rule, shift, bits, seed):
    rng = np.random.default_rng([seed, shift, bits])
    multipliers = tuple(int(m) for m in rng.integers(1 << (bits - 1), 1 << bits, 3))
    requant = Requant(multipliers, shift, rule, -128, 127)
    for acc_bits in (3, 20, 31):
        reach = 1 << acc_bits
        acc = rng.integers(-reach, reach, (4, 3, 5, 6), endpoint=True)
        ties = (1 << shift) // (2 * multipliers[0]) * np.arange(-3, 4)
        acc[0, 0, 0] = np.clip(ties, -reach, reach)[:6]
        plain = requantize(acc.transpose(0, 2, 3, 1), requant, 5)
        got = fast(acc.astype(np.float64), requant, 5, reach)
        np.testing.assert_array_equal(got, plain.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("rule", Rounding)
def test_the_fast_form_breaks_exact_ties_by_the_rule(rule):
    acc = np.arange(-64, 65, dtype=np.float64).reshape(1, 1, 1, -1)
    requant = Requant((1,), 3, rule, -128, 127)
    exact = [requantize_exactly(int(a), Fraction(1, 8), rule, -1, -128, 127) for a in acc.ravel()]
    assert fast(acc, requant, -1, 64).ravel().tolist() == exact


@pytest.mark.parametrize("k", range(20, 31))
@pytest.mark.parametrize("rule", Rounding)
def test_the_fast_form_sees_a_tie_missed_by_one_unit_of_the_product(rule, k):
    # (2**k - 1) * (2**k + 1) is one short of the tie; past 53 bits float64 loses the one
    requant = Requant(((1 << k) + 1,), 2 * k + 1, rule, -128, 127)
    acc = np.full((1, 1, 1, 1), (1 << k) - 1, dtype=np.float64)
    assert fast(acc, requant, 0, (1 << k) - 1).item() == 0


@pytest.mark.parametrize("bits", [8, 30])
@pytest.mark.parametrize("shift", [0, 9, 24])
@pytest.mark.parametrize("rule", Rounding)
def test_the_fast_form_adds_constants_first(rule, shift, bits, seed):
    rng = np.random.default_rng([seed, shift, bits])
    multipliers = tuple(int(m) for m in rng.integers(1 << (bits - 1), 1 << bits, 3))
    offsets = tuple(int(o) for o in rng.integers(-(1 << shift), 1 << shift, 3, endpoint=True))
    constants = rng.integers(-(1 << 20), 1 << 20, 3)
    for low, high in ((-100, 101), (17, 255), (0, 0)):
        requant = Requant(multipliers, shift, rule, low, high, offsets=offsets)
        reach = 1 << 20
        acc = rng.integers(-reach, reach, (4, 3, 5, 6), endpoint=True)
        acc[:, :, 0] = rng.integers(-200, 200, (4, 3, 6)) - constants[:, None]
        plain = requantize(acc.transpose(0, 2, 3, 1) + constants, requant, 5)
        got = fast(acc.astype(np.float64), requant, 5, reach, constants)
        np.testing.assert_array_equal(got, plain.transpose(0, 3, 1, 2))


def steps_of(requant, constants, reach):
    """Sums on both sides of every step of every channel, (n, OC, 1, 1), and where the type ends."""
    every = np.arange(-reach, reach + 1)
    columns = []
    for channel, constant in enumerate(constants):
        alone = replace(requant, multipliers=(requant.multipliers[channel],))
        y = requantize((every + constant)[:, None], alone, 3)[:, 0]
        at = np.flatnonzero(np.diff(y)) + 1
        columns.append(np.unique(np.concatenate([every[at], every[at - 1], [-reach, reach]])))
    longest = max(map(len, columns))
    return np.stack([np.resize(column, longest) for column in columns], axis=1)[..., None, None]


@pytest.mark.parametrize("rule", [Rounding.HALF_UP, Rounding.FLOOR])
@pytest.mark.parametrize("low", [-128, 0, 100])
@pytest.mark.parametrize("case", range(6))
def test_float32_is_taken_only_where_every_step_is_the_same(rule, low, case, seed, monkeypatch):
    rng = np.random.default_rng([seed, case, low + 128])
    reach = 1 << int(rng.integers(8, 19))
    scales = 255 / reach * rng.uniform(0.3, 3, 4)
    multipliers, shift = fixed_point(scales.tolist(), int(rng.integers(8, 25)))
    constants = rng.integers(-reach, reach, 4)
    requant = Requant(multipliers, shift, rule, low, low + 255)
    acc = steps_of(requant, constants, reach)
    plain = requantize(acc.transpose(0, 2, 3, 1) + constants, requant, 3).transpose(0, 3, 1, 2)
    for way, steps in ((np.float32, 1 << 16), (np.float64, 0)):
        monkeypatch.setattr(fastrequant, "MOST_STEPS", steps)
        prepared = FastRequant(requant, 3, constants, reach)
        for dtype in (np.float32, np.float64):
            out = np.empty(acc.shape, dtype=np.int64)
            prepared(acc.astype(dtype), out)
            np.testing.assert_array_equal(out, plain)
        if way is np.float64 or reach < 1 << 14:  # there float32 has room enough
            assert prepared.dtype == way


def test_no_float32_is_found_where_sums_take_all_its_bits():
    multipliers, shift = fixed_point([251.3 / (1 << 24)], 24)
    requant = Requant(multipliers, shift, Rounding.HALF_UP, 0, 255)
    assert FastRequant(requant, 0, np.zeros(1, np.int64), (1 << 24) - 1).dtype == np.float64
