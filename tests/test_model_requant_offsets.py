"""The narrow search with offsets, and staircases: held against exhaustive scans."""

from fractions import Fraction

import numpy as np
import pytest
from tercet.model.requant import Requant, Rounding, requantize
from tercet.model.requant.multipliers import NoMultiplierError, check, closest, differences, narrow
from tercet.model.requant.references import REFERENCES
from tercet.model.requant.staircase import (
    Target,
    channel_of,
    reference_outputs,
    reference_thresholds,
)


def random_target(seed, reference, reach, channels=2):
    """A layer as engines have them: float32 scales, biases of a few output steps."""
    rng = np.random.default_rng(seed)
    sx, sy = np.float32(rng.uniform(0.003, 0.03)), np.float32(rng.uniform(0.01, 0.1))
    sw = rng.uniform(0.001, 0.03, channels).astype(np.float32)
    bias = rng.normal(0, 1, channels).astype(np.float32)
    if reference == "float32_chain":
        scales = [tuple(Fraction(float(s)) for s in (sx, w, 1 / sy)) for w in sw]
        biases = bias.tolist()
    else:
        scales = [Fraction(float(sx * w / sy)) for w in sw]
        biases = (bias / (sx * sw)).tolist()
    lo, hi = -rng.integers(1, reach, channels), rng.integers(1, reach, channels)
    low = zero_point = int(rng.integers(0, 256))
    return Target(reference, scales, lo, hi, zero_point, low if seed % 2 else 0, 255, biases)


def scan(target, requant):
    """The accumulators that differ, by channel, all of them evaluated."""
    wrong = []
    for channel in range(len(target.scales)):
        acc = np.arange(target.lo[channel], target.hi[channel] + 1)
        got = requantize(acc, channel_of(requant, channel), target.zero_point)
        wrong.append(acc[got != reference_outputs(target, channel, acc)].tolist())
    return wrong


def expected(target, channel, acc):
    """The reference in rationals, apart from references.py: each result rounded where it says."""

    def single(value):
        # float() of a fraction is rounded once to float64; what float32 makes of that may be
        # rounded twice, so the two neighbours of the float64 are compared with the fraction.
        near = np.float32(float(value))
        both = [near, np.nextafter(near, np.float32(9e9)), np.nextafter(near, np.float32(-9e9))]
        gaps = [(abs(Fraction(float(c)) - value), int(c.view(np.int32)) & 1) for c in both]
        return Fraction(float(both[gaps.index(min(gaps))]))

    scale, bias = target.scales[channel], Fraction(target.biases[channel])
    if target.reference == "float32_chain":
        value = single(Fraction(acc))
        for factor in scale[:-1]:
            value = single(value * factor)
        value = single(single(value + bias) * scale[-1])
        y = round(single(value + target.zero_point))
    elif target.reference == "float32_fused":
        factor = Fraction(float(np.float32(scale)))
        y = round(single(single(single(Fraction(acc)) + bias) * factor + target.zero_point))
    elif target.reference == "float32_half_even":
        y = round(single(single(single(Fraction(acc)) + bias) * scale)) + target.zero_point
    else:
        y = round((acc + bias) * scale) + target.zero_point
    return min(max(y, target.low), target.high)


@pytest.mark.parametrize("reference", REFERENCES)
def test_references_with_biases_are_what_they_say(seed, reference):
    rng = np.random.default_rng(seed)
    for case in range(10):
        goal = random_target(seed + case, reference, 1 << 18)
        acc = rng.integers(goal.lo[1], goal.hi[1] + 1, 100)
        outputs = reference_outputs(goal, 1, acc)
        assert outputs.tolist() == [expected(goal, 1, int(a)) for a in acc]


def test_a_sum_is_rounded_to_float32_once():
    # 2**24 + 1 + 2**-40 lies above a tie of float32, and float64 makes it that tie
    acc = np.array([1 << 24])
    for addend, result in ((1.0, 0), (1 + 2.0**-40, 2), (3 - 2.0**-40, 2), (3.0, 4)):
        goal = Target("float32_half_even", [Fraction(1)], acc, acc, 0, 0, 1 << 25, [addend])
        assert reference_outputs(goal, 0, acc).tolist() == [(1 << 24) + result]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("case", range(6))
def test_equal_where_every_accumulator_is_scanned(seed, case, reference):
    goal = random_target(seed + case, reference, 4000)
    try:
        requant = narrow(goal)
    except NoMultiplierError:
        assert reference != "half_even"
        requant = closest(goal)
        assert requant.reference is None
        assert 0 < sum(map(len, scan(goal, requant))) < 5
    else:
        assert scan(goal, requant) == [[], []]
        assert requant.reference == reference
        assert check(goal, requant) == int((goal.hi - goal.lo + 1).sum())
    assert differences(goal, requant)[0] == sum(map(len, scan(goal, requant)))
    assert requant.rounding is Rounding.HALF_UP
    worse = Requant(
        tuple(max(m - (m >> 6), 1) for m in requant.multipliers),
        requant.shift,
        Rounding.HALF_UP,
        goal.low,
        goal.high,
        offsets=requant.offsets,
    )
    assert differences(goal, worse)[0] == sum(map(len, scan(goal, worse)))


def fits(goal, channel, shift):
    """Whether a channel has M and B for a shift: every M there is tried, its B solved for."""
    acc = np.arange(goal.lo[channel], goal.hi[channel] + 1)
    want = reference_outputs(goal, channel, acc) - goal.zero_point
    low, high = goal.low - goal.zero_point, goal.high - goal.zero_point
    ends = 2 * want * 2 ** (shift - 1) + np.array([[-1], [1]]) * 2 ** (shift - 1)
    for multiplier in range(1, 40 << shift):
        least = (ends[0] - multiplier * acc)[want > low].max(initial=-(1 << 60))
        most = (ends[1] - 1 - multiplier * acc)[want < high].min(initial=1 << 60)
        if least <= most:
            return True
    return False


@pytest.mark.parametrize("case", range(25))
def test_the_shift_is_the_smallest(seed, case):
    rng = np.random.default_rng([seed, case])
    scale = Fraction(int(rng.integers(1, 40)), int(rng.integers(1, 60)))
    lo = rng.integers(-30, 25, 1)
    bias = float(rng.integers(-40, 40)) / 8 + 1 / 16
    low, high = sorted(int(end) for end in rng.integers(-6, 7, 2))
    hi = lo + rng.choice([0, 1, 2, 10, 40], 1)
    goal = Target("half_even", [scale], lo, hi, int(rng.integers(-8, 9)), low, high, [bias])
    requant = narrow(goal)
    assert scan(goal, requant) == [[]]
    assert not any(fits(goal, 0, shift) for shift in range(1, min(requant.shift, 6)))


def conflicting():
    """A chain that makes ties of values beside them, and so an even staircase of an uneven one."""
    for seed in range(400):
        goal = random_target(seed, "float32_chain", 50_000, channels=1)
        try:
            narrow(goal)
        except NoMultiplierError as error:
            return goal, str(error)
    raise AssertionError("there is none")


def test_what_contradicts_itself_is_named_and_one_accumulator_gives_way():
    goal, message = conflicting()
    assert message == (
        "channel 0: no multiplier, offset and shift with half_up rounding equal float32_chain "
        f"on every accumulator in [{goal.lo[0]}, {goal.hi[0]}]"
    )
    (wrong,) = scan(goal, closest(goal))
    assert wrong
    assert differences(goal, closest(goal))[0] == len(wrong)
    # What occurs is met, and others give way instead.
    seen = [dict.fromkeys(wrong, 1)]
    (others,) = scan(goal, closest(goal, seen=seen))
    assert others
    assert not set(others) & set(wrong)


def test_thresholds_are_the_least_accumulators(seed):
    goal = random_target(seed, "float32_half_even", 3000)
    acc = np.arange(goal.lo[0], goal.hi[0] + 1)
    outputs = reference_outputs(goal, 0, acc)
    for k, t in zip(range(goal.low + 1, goal.high + 1), reference_thresholds(goal, 0), strict=True):
        reached = acc[outputs >= k]
        assert t == (reached[0] if len(reached) else goal.hi[0] + 1)


def test_differences_count_accumulators_once():
    goal = Target("half_even", [Fraction(1)], np.array([-9]), np.array([9]), 0, -9, 9, [0.0])
    twice = Requant((2,), 0, Rounding.HALF_UP, -9, 9)
    assert differences(goal, twice) == (16, 19)  # all but 0 and the two that the clamp holds
    assert differences(goal, Requant((1,), 0, Rounding.HALF_UP, -9, 9)) == (0, 19)


def test_factors_beyond_every_multiplier_are_refused():
    goal = Target("half_even", [Fraction(1 << 32)], np.array([0]), np.array([9]), 0, 0, 9, [1.5])
    with pytest.raises(NoMultiplierError) as caught:
        closest(goal)
    assert str(caught.value) == "no multiplier and shift come close to half_even"
    with pytest.raises(NoMultiplierError) as caught:
        narrow(goal)
    assert str(caught.value) == (
        "channel 0: no multiplier, offset and shift with half_up rounding equal half_even "
        "on every accumulator in [0, 9]"
    )
