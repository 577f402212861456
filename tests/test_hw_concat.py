"""Concatenated streams against the golden form: every rule, types apart, pauses on every side."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth import signed, unsigned
from hwsim import PAUSES, run_ports
from tercet.hw.concat import Concat
from tercet.model.layers.concat import Concat as ConcatLayer
from tercet.model.layers.concat import concat
from tercet.model.requant import Requant, Rounding

UINT8 = unsigned(8)
REQUANT = Requant((12345, 54321, 65536), 16, Rounding.HALF_EVEN, 0, 255)
PASSES = Requant((1,), 0, Rounding.FLOOR, 0, 255)


def values_of(rng, shape, size):
    """The ends of the type, then noise."""
    low = -(shape.signed << (shape.width - 1))
    values = rng.integers(low, low + (1 << shape.width), size)
    values.flat[:1], values.flat[-1:] = low, low + (1 << shape.width) - 1
    return values


def check(
    requant, zero_points, shapes, seed, *, channels=(2, 1, 3), pixels=40, passes=False, **options
):
    rng = np.random.default_rng(seed)
    inputs = [
        values_of(rng, shape, (pixels, count))
        for shape, count in zip(shapes, channels, strict=False)
    ]
    names = [f"x{index}" for index in range(len(inputs))]
    layer = ConcatLayer(
        name="concat", input=names[0], output="y", others=tuple(names[1:]), requant=requant
    )
    unit = Concat(
        channels=channels,
        requant=None if passes else requant,
        zero_points=zero_points,
        activations=shapes,
    )
    sent = {f"i_{n}": [[int(v)] for v in values.ravel()] for n, values in enumerate(inputs)}
    beats = pixels * sum(channels)
    runs = run_ports(unit, sent, {"o": beats}, seed=seed, **options)
    expected = concat(inputs, layer, zero_points).ravel().tolist()
    assert [payload[0] for payload in runs["o"].outputs] == expected
    return runs


@pytest.mark.parametrize("offsets", [(0,), (-123456, 999, 65536)])
@pytest.mark.parametrize("rule", Rounding)
def test_equals_golden_for_every_rule(rule, offsets, seed):
    requant = replace(REQUANT, rounding=rule, offsets=offsets)
    check(requant, (3, 200, 17, 9), (UINT8,) * 4, seed)


@pytest.mark.parametrize("rule", Rounding)
def test_equals_golden_at_ties(rule, seed):
    requant = Requant((1, 3, 2), 2, rule, -100, 100)
    check(requant, (-5, 0, 3, 7), (signed(4), signed(5), unsigned(3), signed(8)), seed)


@pytest.mark.parametrize("zero_points", [(0, 0, 0), (255, 128, -128), (128, -128, 127)])
@pytest.mark.parametrize("multipliers", [(1 << 16,), ((1 << 31) - 1, 1), (7, 65535)])
def test_takes_types_and_multipliers_apart(multipliers, zero_points, seed):
    requant = Requant(multipliers, 17, Rounding.FLOAT32, -128, 90)
    shapes = (UINT8, signed(8) if zero_points[1] < 0 else unsigned(11), signed(8))
    check(requant, zero_points, shapes, seed, channels=(1, 4))


@pytest.mark.parametrize("reset_after", [0, 9])
@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("passes", [False, True])
def test_takes_each_in_turn(passes, pauses, reset_after, seed):
    requant = PASSES if passes else REQUANT
    options = {"pauses": pauses, "reset_after": reset_after, "passes": passes}
    runs = check(requant, (7, 7, 7, 7), (UINT8, UINT8, UINT8, UINT8), seed, **options)
    if pauses == "none":
        latency = 0 if passes else Concat.LATENCY
        assert runs["o"].given == list(range(latency, latency + 240))
        pixels = np.arange(0, 240, 6)
        for name, first, count in (("i_0", 0, 2), ("i_1", 2, 1), ("i_2", 3, 3)):
            turns = pixels[:, None] + np.arange(first, first + count)
            assert runs[name].taken == turns.ravel().tolist()


def test_values_pass_into_a_wider_type(seed):
    shapes = (unsigned(5), UINT8, unsigned(12))
    requant = replace(PASSES, high=4095)
    check(requant, (3, 3, 3), shapes, seed, channels=(3, 2), passes=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"requant": replace(REQUANT, multipliers=(1, 2))},
            "Multipliers must number 1 or 3, not 2",
        ),
        ({"requant": replace(REQUANT, offsets=(1, 2))}, "Offsets must number 1 or 3, not 2"),
        (
            {
                "channels": (1,),
                "zero_points": (0, 0),
                "activations": (UINT8, UINT8),
                "requant": None,
            },
            "channels must be those of two streams or more, not 1",
        ),
    ],
)
def test_refuses_a_wrong_number(arguments, message):
    usual = {"channels": (1, 2, 3), "zero_points": (0,) * 4, "activations": (UINT8,) * 4}
    with pytest.raises(ValueError) as error:
        Concat(**(usual | arguments))
    assert str(error.value) == message
