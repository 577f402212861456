"""The addition against the golden one: every pair, every rule, offsets, pauses on three sides."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth import Module, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from hwsim import PAUSES, run_ports, run_streams
from tercet.hw.add import Add
from tercet.hw.fork import Fork
from tercet.hw.stream import StreamFifo
from tercet.model.layers.add import Add as AddLayer
from tercet.model.layers.add import add
from tercet.model.requant import Requant, Rounding

UINT8 = unsigned(8)
REQUANT = Requant((12345, 54321), 16, Rounding.HALF_EVEN, 0, 255)


def values_of(rng, shape, count):
    """The ends of the type, then noise."""
    low = -(shape.signed << (shape.width - 1))
    high = low + (1 << shape.width) - 1
    return np.array([low, high, high, *rng.integers(low, high + 1, count - 4), low])


def check(requant, zero_points, shapes, seed, *, count=150, pauses="none", reset_after=0):
    rng = np.random.default_rng(seed)
    a, b = values_of(rng, shapes[0], count), values_of(rng, shapes[1], count)
    layer = AddLayer("add", "a", "y", other="b", requant=requant)
    unit = Add(requant=requant, zero_points=zero_points, activations=shapes)
    runs = run_ports(
        unit,
        {"i_a": [[int(x)] for x in a], "i_b": [[int(x)] for x in b]},
        {"o": count},
        pauses=pauses,
        seed=seed,
        reset_after=reset_after,
    )
    expected = add(a, b, layer, zero_points).tolist()
    assert [payload[0] for payload in runs["o"].outputs] == expected
    assert runs["i_a"].taken == runs["i_b"].taken
    return runs


@pytest.mark.parametrize("offset", [0, -123456])
@pytest.mark.parametrize("rule", Rounding)
def test_equals_golden_for_every_rule(rule, offset, seed):
    requant = replace(REQUANT, rounding=rule, offsets=(offset,))
    check(requant, (3, 200, 17), (UINT8, UINT8, UINT8), seed)


@pytest.mark.parametrize("rule", Rounding)
def test_equals_golden_at_ties(rule, seed):
    requant = Requant((1, 3), 2, rule, -100, 100)
    check(requant, (-5, 0, 7), (signed(4), signed(5), signed(8)), seed, count=400)


@pytest.mark.parametrize("zero_points", [(0, 0, 0), (255, 128, -128), (128, -128, 127)])
@pytest.mark.parametrize("multipliers", [(1 << 16, 1 << 16), ((1 << 31) - 1, 1), (7, 65535)])
def test_takes_types_and_multipliers_apart(multipliers, zero_points, seed):
    requant = Requant(multipliers, 17, Rounding.FLOAT32, -128, 90)
    shapes = (UINT8, signed(8) if zero_points[1] < 0 else UINT8, signed(8))
    check(requant, zero_points, shapes, seed)


@pytest.mark.parametrize("reset_after", [0, 9])
@pytest.mark.parametrize("pauses", PAUSES)
def test_takes_both_at_once(pauses, reset_after, seed):
    shapes = (UINT8, UINT8, UINT8)
    runs = check(REQUANT, (1, 2, 3), shapes, seed, pauses=pauses, reset_after=reset_after)
    if pauses == "none":
        assert runs["o"].given == list(range(Add.LATENCY, Add.LATENCY + 150))


class Doubled(wiring.Component):
    """x + x: a fork, one way longer than the other, and the addition that joins them."""

    def __init__(self, requant):
        activations = stream.Signature(data.ArrayLayout(UINT8, 1))
        super().__init__({"i": In(activations), "o": Out(activations)})
        self._requant = requant

    def elaborate(self, platform):
        m = Module()
        shape = self.i.payload.shape()
        m.submodules.fork = fork = Fork(shape=shape)
        m.submodules.way = way = StreamFifo(shape=shape, depth=3)
        m.submodules.add = unit = Add(
            requant=self._requant, zero_points=(0, 0, 0), activations=(UINT8, UINT8, UINT8)
        )
        connect(m, flipped(self.i), fork.i)
        connect(m, fork.o_a, way.i)
        connect(m, way.o, unit.i_a)
        connect(m, fork.o_b, unit.i_b)
        connect(m, unit.o, flipped(self.o))
        return m


@pytest.mark.parametrize("pauses", PAUSES)
def test_joins_what_a_fork_parted(pauses, seed):
    values = np.random.default_rng(seed).integers(0, 128, 100).tolist()
    unit = Doubled(Requant((1, 1), 0, Rounding.FLOOR, 0, 255))
    run = run_streams(unit, [[value] for value in values], 100, pauses=pauses, seed=seed)
    assert [payload[0] for payload in run.outputs] == [2 * value for value in values]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"multipliers": (1,)}, "Multipliers must number 2, not 1"),
        ({"offsets": (1, 2)}, "Offsets must number 1, not 2"),
    ],
)
def test_refuses_a_wrong_number(change, message):
    requant = replace(REQUANT, **change)
    with pytest.raises(ValueError) as error:
        Add(requant=requant, zero_points=(0, 0, 0), activations=(UINT8, UINT8, UINT8))
    assert str(error.value) == message
