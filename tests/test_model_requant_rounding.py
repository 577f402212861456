"""Rounding and saturation against exact rationals."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rationals import round_exactly
from tercet.model.requant import Rounding, rounding
from tercet.model.requant.rounding import clamp, reaches, round_shift

LIMIT = 1 << 62


def values_of_interest(shift):
    """Ties, their neighbours and whole numbers near zero and at the ends of the range."""
    halves = range(-9, 10)
    half = 1 << max(shift - 1, 0)
    last = LIMIT // half
    centres = [k * half for k in halves] + [
        s * (last - k) * half for k in range(4) for s in (1, -1)
    ]
    near = {c + d for c in centres for d in (-1, 0, 1)}
    return sorted(v for v in near | {-LIMIT, LIMIT, 1 - LIMIT, LIMIT - 1} if abs(v) <= LIMIT)


@pytest.mark.parametrize("rule", Rounding)
@pytest.mark.parametrize("shift", range(63))
def test_round_shift_is_exact_at_ties_and_extremes(shift, rule):
    values = values_of_interest(shift)
    got = round_shift(np.array(values, dtype=np.int64), shift, rule)
    assert got.dtype == np.int64
    assert got.tolist() == [round_exactly(Fraction(v, 1 << shift), rule) for v in values]


@pytest.mark.parametrize("rule", Rounding)
def test_round_shift_is_exact_on_random_values(seed, rule):
    rng = np.random.default_rng(seed)
    for shift in range(63):
        values = rng.integers(-LIMIT, LIMIT, 60) >> rng.integers(0, 62, 60)
        expected = [round_exactly(Fraction(int(v), 1 << shift), rule) for v in values]
        assert round_shift(values, shift, rule).tolist() == expected


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.integers(-LIMIT, LIMIT), st.integers(0, 62), st.sampled_from(Rounding))
def test_round_shift_is_exact_on_any_value(value, shift, rule):
    got = round_shift(np.array([value], dtype=np.int64), shift, rule)
    assert got.tolist() == [round_exactly(Fraction(value, 1 << shift), rule)]


def test_the_documented_table_of_ties_is_what_happens():
    lines = (line.split() for line in rounding.__doc__.splitlines())
    table = {words[0]: words[1:] for words in lines if len(words) == 5}
    doubled = np.array([int(2 * Fraction(v)) for v in table["v"]])
    assert doubled.tolist() == [-3, -1, 1, 3]
    for rule in Rounding:
        assert round_shift(doubled, 1, rule).tolist() == [int(v) for v in table[rule.value]]


@pytest.mark.parametrize("shift", [0, 3])
def test_round_shift_leaves_its_argument_alone(shift):
    values = np.array([5, -5])
    result = round_shift(values, shift, Rounding.HALF_EVEN)
    result[:] = 7
    assert values.tolist() == [5, -5]


def test_round_shift_keeps_the_shape():
    assert round_shift(np.zeros((2, 0, 3), dtype=np.int64), 4, Rounding.HALF_UP).shape == (2, 0, 3)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.integers(-LIMIT, LIMIT), st.integers(0, 62), st.integers(-2, 2), st.sampled_from(Rounding)
)
def test_reaches_says_when_round_shift_gets_there(value, shift, offset, rule):
    rounded = int(round_shift(np.array([value]), shift, rule)[0])
    k = rounded + offset
    assume(rule is not Rounding.FLOAT32 or abs(k) <= 1 << 22)
    v = Fraction(value, 1 << shift)
    bound, inclusive = reaches(k, rule)
    assert (v > bound or (v == bound and inclusive)) == (rounded >= k)


@pytest.mark.parametrize("rule", Rounding)
@pytest.mark.parametrize("k", range(-4, 5))
def test_reaches_is_tight(k, rule):
    bound, inclusive = reaches(k, rule)
    sliver = Fraction(1, 1 << 40)
    assert round_exactly(bound + sliver, rule) >= k
    assert round_exactly(bound - sliver, rule) < k
    assert (round_exactly(bound, rule) >= k) is inclusive


def test_clamp_saturates_and_keeps_what_lies_between():
    values = np.array([-(1 << 62), -4, -3, 0, 5, 6, 1 << 62])
    assert clamp(values, -3, 5).tolist() == [-3, -3, -3, 0, 5, 5, 5]
