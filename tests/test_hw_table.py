"""The table in hardware: every value of a type, several at once, with pauses and resets."""

import numpy as np
import pytest
from amaranth import Shape, signed, unsigned
from hwsim import PAUSES, run_streams
from tercet.hw.storage import Kind
from tercet.hw.table import Table, TableSpec


def spec_of(rng, activation, result, first, count, lanes=1):
    low, high = -(result.signed << (result.width - 1)), (1 << (result.width - result.signed)) - 1
    values = tuple(rng.integers(low, high + 1, count).tolist())
    return TableSpec(activation=activation, result=result, first=first, values=values, lanes=lanes)


def check(spec, rng, **options):
    """All values that have an entry, in random order."""
    x = spec.first + rng.permutation(np.arange(-(-len(spec.values) // spec.lanes) * spec.lanes))
    x = np.minimum(x, spec.first + len(spec.values) - 1)
    sent = x.reshape(-1, spec.lanes).tolist()
    run = run_streams(Table(spec), sent, len(sent), **options)
    expected = [[spec.values[value - spec.first] for value in beat] for beat in sent]
    assert [list(payload) for payload in run.outputs] == expected
    return run


@pytest.mark.parametrize(
    ("activation", "result", "first", "count", "kind"),
    [
        (unsigned(8), unsigned(8), 0, 256, Kind.BLOCK),
        (signed(8), signed(8), -128, 256, Kind.BLOCK),
        (signed(8), unsigned(8), -100, 150, Kind.BLOCK),  # as deep as a power of two
        (unsigned(10), signed(12), 0, 1024, Kind.BLOCK),
        (unsigned(8), unsigned(8), 200, 56, Kind.LUT),
        (signed(5), unsigned(3), -16, 32, Kind.LUT),
        (unsigned(1), signed(8), 0, 2, Kind.LUT),
        (signed(8), unsigned(8), -7, 1, Kind.CONSTANT),
    ],
)
def test_gives_the_entry_of_every_value(activation, result, first, count, kind, seed):
    rng = np.random.default_rng(seed)
    spec = spec_of(rng, activation, result, first, count)
    assert spec.storage.kind is kind
    assert spec.latency == {Kind.BLOCK: 2}.get(kind, 1)
    run = check(spec, rng)
    assert (
        run.given
        == [cycle + spec.latency for cycle in run.taken]
        == [*range(spec.latency, spec.latency + count)]
    )


@pytest.mark.parametrize("reset_after", [0, 9])
@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("lanes", [1, 3])
def test_waits_and_resets_as_streams_do(lanes, pauses, reset_after, seed):
    rng = np.random.default_rng([seed, lanes])
    spec = spec_of(rng, signed(7), unsigned(9), -50, 90, lanes)
    assert [memory.name for memory in spec.memories] == [f"lane{lane}" for lane in range(lanes)]
    check(spec, rng, pauses=pauses, reset_after=reset_after, seed=seed)


def test_rows_are_addressed_by_the_low_bits():
    spec = TableSpec(activation=signed(8), result=unsigned(4), first=-3, values=(1, 2, 3, 4, 15))
    assert Shape.cast(spec.activation).width == 8
    # addresses 0 to 7 stand for x = 0, 1, then none, then -3, -2, -1
    assert spec.rows[:, 0].tolist() == [4, -1, -1, -1, -1, 1, 2, 3]
