"""The narrow search against brute force: equal everywhere it can reach, and no smaller."""

from fractions import Fraction

import numpy as np
import pytest
from rationals import requantize_exactly
from tercet.model.fuzz.draws import FIXED_POINT
from tercet.model.requant import MAX_MULTIPLIER, MAX_SHIFT, Requant, Rounding, requantize
from tercet.model.requant.multipliers import (
    NoMultiplierError,
    Target,
    check,
    closest,
    differences,
    narrow,
    reference_outputs,
)
from tercet.model.requant.references import REFERENCES


def target(scales, lo, hi, zero_point=0, low=-128, high=127, reference="half_even"):
    """A Target; ``lo`` and ``hi`` may be one number for all channels."""
    count = len(scales)
    return Target(
        reference=reference,
        scales=[(scale if isinstance(scale, tuple) else Fraction(scale)) for scale in scales],
        lo=np.broadcast_to(np.int64(lo), (count,)),
        hi=np.broadcast_to(np.int64(hi), (count,)),
        zero_point=zero_point,
        low=low,
        high=high,
    )


def float32(value):
    """Round a rational to float32; its products and sums of two are exact in float64."""
    return Fraction(float(np.float32(float(value))))


def expected(goal, channel, acc):
    """The reference, in rationals and apart from the product: rounded where it says so."""
    scale = goal.scales[channel]
    if goal.reference == "float32_chain":
        value = float32(acc)
        for factor in scale:
            value = float32(value * float32(factor))
        y = round(float32(value + goal.zero_point))
    elif goal.reference == "float32_fused":
        y = round(float32(float32(acc) * float32(scale) + goal.zero_point))
    elif goal.reference == "float32_half_even":
        y = round(float32(float32(acc) * float32(scale))) + goal.zero_point
    else:
        y = round(acc * scale) + goal.zero_point
    return min(max(y, goal.low), goal.high)


def wrong_accumulators(goal, requant):
    """Where ``requant`` differs from the reference: (channel, accumulator), all in rationals."""
    return [
        (channel, acc)
        for channel, multiplier in enumerate(requant.per_channel(len(goal.scales)))
        for acc in range(int(goal.lo[channel]), int(goal.hi[channel]) + 1)
        if expected(goal, channel, acc)
        != requantize_exactly(
            acc,
            Fraction(multiplier, 1 << requant.shift),
            requant.rounding,
            goal.zero_point,
            goal.low,
            goal.high,
        )
    ]


def solvable(goal, channel, shift, rule):
    """Whether some multiplier fits one channel, by trying all that can make a difference."""
    acc = np.arange(goal.lo[channel], goal.hi[channel] + 1)
    want = [expected(goal, channel, int(a)) for a in acc]
    # once M / 2**n passes this, every accumulator but 0 saturates and nothing changes any more
    saturating = max(abs(goal.low - goal.zero_point), abs(goal.high - goal.zero_point)) + 2
    multipliers = np.arange(1, min((saturating << shift) + 1, MAX_MULTIPLIER) + 1)
    for some in np.array_split(multipliers, max(1, len(multipliers) // 10_000)):
        requant = Requant(tuple(some.tolist()), shift, rule, goal.low, goal.high)
        got = requantize(acc[:, None], requant, goal.zero_point)
        if (got == np.array(want)[:, None]).all(axis=0).any():
            return True
    return False


def small_target(rng):
    """Small enough to try every multiplier; edges, single values and tight clamps among them."""
    count = int(rng.integers(1, 3))
    lo = rng.integers(-30, 25, count)
    hi = lo + rng.choice([0, 1, 2, 10, 40], count)
    low, high = sorted(int(end) for end in rng.integers(-6, 7, 2))
    scales = [Fraction(int(rng.integers(1, 40)), int(rng.integers(1, 60))) for _ in range(count)]
    return target(scales, lo, hi, int(rng.integers(-8, 9)), low, high)


@pytest.mark.parametrize("rule", FIXED_POINT)
@pytest.mark.parametrize("case", range(40))
def test_equal_and_minimal_on_small_cases(seed, case, rule):
    goal = small_target(np.random.default_rng([seed, case]))
    channels = range(len(goal.scales))
    tried = 7
    try:
        requant = narrow(goal, rule)
    except NoMultiplierError:
        smallest = tried
    else:
        assert wrong_accumulators(goal, requant) == []
        assert (requant.low, requant.high, requant.rounding) == (goal.low, goal.high, rule)
        assert requant.reference == "half_even"
        smallest = min(requant.shift, tried)
    for shift in range(smallest):
        assert not all(solvable(goal, channel, shift, rule) for channel in channels)


def factors(scale):
    """A scale as three factors, none of them a power of two."""
    return (Fraction(7, 10), scale * Fraction(100, 21), Fraction(3, 10))


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("case", range(6))
def test_equal_on_every_accumulator_of_random_layers(seed, case, reference):
    rng = np.random.default_rng([seed, case])
    scales = [Fraction(s) for s in rng.uniform(0.002, 0.05, 2).tolist()]
    if reference == "float32_chain":
        scales = [factors(scale) for scale in scales]
    lo, hi = -rng.integers(0, 8000, 2), rng.integers(0, 8000, 2)
    zero_point = int(rng.integers(0, 256))
    low = zero_point if case % 2 else 0
    goal = target(scales, lo, hi, zero_point, low, 255, reference)
    try:
        requant = narrow(goal)
    except NoMultiplierError:
        assert reference != "half_even"  # float32 may round two steps apart that one factor joins
        requant = closest(goal)
        assert 0 < len(wrong_accumulators(goal, requant)) < 10
    else:
        assert check(goal, requant) == int((hi - lo + 1).sum())
        assert wrong_accumulators(goal, requant) == []
    assert requant.shift <= 26  # about as many bits as accumulator and output together
    assert differences(goal, requant)[0] == len(wrong_accumulators(goal, requant))


@pytest.mark.parametrize("reference", REFERENCES)
def test_the_references_are_what_their_names_say(reference):
    scales = [Fraction(scale) for scale in (0.25, 0.1, 3, 2**-20)]
    if reference == "float32_chain":
        scales = [factors(scale) for scale in scales]
    goal = target(scales, -3000, 3000, 7, -40, 90, reference)
    acc = np.arange(-3000, 3001)
    for channel in range(4):
        got = reference_outputs(goal, channel, acc)
        assert got.dtype == np.int64
        assert got.tolist() == [expected(goal, channel, int(a)) for a in acc]


def test_float32_keeps_its_own_rounding_errors():
    acc = (1 << 24) + 3  # float32 makes it (1 << 24) + 4
    ends = {"low": 1 << 23, "high": (1 << 23) + 9}
    single = target([0.5], acc, acc, reference="float32_half_even", **ends)
    exact = target([0.5], acc, acc, **ends)
    assert reference_outputs(single, 0, np.array([acc])).tolist() == [(1 << 23) + 2]
    assert reference_outputs(exact, 0, np.array([acc])).tolist() == [(1 << 23) + 2]
    acc -= 2  # float32 makes it 1 << 24
    assert reference_outputs(single, 0, np.array([acc])).tolist() == [1 << 23]


@pytest.mark.parametrize("acc", [-1000, -1, 0, 1, 1000])
def test_a_single_reachable_accumulator(acc):
    goal = target([Fraction(1, 200)], acc, acc)
    assert wrong_accumulators(goal, narrow(goal)) == []


def test_the_last_step_before_the_end_is_not_overshot():
    # outputs 0 and 1 only, and nothing clamps them: the ends of the range bound the multiplier
    goal = target([Fraction(1, 100)], -49, 149)
    assert wrong_accumulators(goal, narrow(goal)) == []


def test_a_clamp_that_leaves_one_value_takes_the_smallest_of_all():
    requant = narrow(target([Fraction(1, 3)], -50, 50, low=5, high=5))
    assert requant.shift == 0


def test_one_multiplier_is_written_once():
    assert narrow(target([Fraction(1, 3)] * 3, -50, 50)).multipliers == (
        narrow(target([Fraction(1, 3)], -50, 50)).multipliers
    )
    assert len(narrow(target([Fraction(1, 3), Fraction(2, 3)], -50, 50)).multipliers) == 2


def message_of(goal, rule=Rounding.HALF_UP):
    with pytest.raises(NoMultiplierError) as caught:
        narrow(goal, rule)
    return str(caught.value)


def test_ties_that_no_multiplier_meets_name_the_channel():
    # halves: 1/2 -> 0 and 3/2 -> 2 to even; half-up would need a factor below and not below 1/2
    halves = target([Fraction(1, 10), Fraction(1, 2)], [-9, 1], [9, 5])
    assert message_of(halves) == (
        "channel 1: no multiplier and shift with half_up rounding equal half_even "
        "on every accumulator in [1, 5]"
    )
    assert narrow(halves, Rounding.HALF_EVEN).shift >= 1


def test_channels_that_no_shift_suits_together_say_so():
    # one needs a factor of at least 32766.5, so a shift of at most 16; the other one below 2**-18
    goal = target([1 << 15, Fraction(1, 1 << 30)], [1, 0], [2, 1 << 17], low=0, high=32767)
    assert narrow(target([goal.scales[0]], 1, 2, low=0, high=32767)).shift == 0
    assert message_of(goal) == (
        f"no shift of 0 to {MAX_SHIFT} gives every channel a multiplier of at most "
        f"{MAX_MULTIPLIER} that equals half_even"
    )


def test_check_and_differences_find_wrong_accumulators():
    goal = target([Fraction(1, 5)], -100, 100)
    good = narrow(goal)
    assert check(goal, good) == 201
    assert differences(goal, good) == (0, 201)
    low = Requant((200,), 10, Rounding.HALF_EVEN, -128, 127)  # a fifth less a bit
    factor = Fraction(200, 1024)
    wrong = [a for a in range(-100, 101) if round(a * factor) != round(Fraction(a, 5))]
    assert wrong[0] == -99
    assert differences(goal, low) == (len(wrong), 201)
    with pytest.raises(NoMultiplierError) as caught:
        check(goal, low)
    assert str(caught.value) == (
        "channel 0: accumulator -99 gives -19, the reference half_even -20"
    )


def test_closest_equals_narrow_where_that_exists():
    goal = target([Fraction(1, 7), Fraction(1, 11)], -300, 300, 3, 0, 40)
    requant = closest(goal)
    assert differences(goal, requant) == (0, 1202)
    assert requant.reference is None


def test_closest_gives_way_at_as_few_accumulators_as_possible():
    # ties to even at every odd accumulator: half-up can follow every other one of them
    goal = target([Fraction(1, 2)], 0, 20)
    requant = closest(goal)
    best = min(
        sum(
            requantize_exactly(acc, Fraction(m, 1 << 8), Rounding.HALF_UP, 0, -128, 127)
            != round(Fraction(acc, 2))
            for acc in range(21)
        )
        for m in range(1, 257)
    )
    assert best > 0
    assert differences(goal, requant) == (best, 21)


def test_closest_says_where_nothing_fits():
    goal = target([1 << 40], 0, 10, high=1)  # a factor beyond every multiplier is no obstacle ...
    assert differences(goal, closest(goal)) == (0, 11)
    goal = target([1 << 15, Fraction(1, 1 << 30)], [1, 0], [2, 1 << 17], low=0, high=32767)
    with pytest.raises(NoMultiplierError) as caught:
        closest(goal)
    assert str(caught.value) == "no multiplier and shift come close to half_even"
