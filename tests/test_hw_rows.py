"""Rows in beats of one width to rows in beats of another that does not divide them."""

import numpy as np
import pytest
from amaranth import signed
from hwsim import PAUSES, run_streams
from tercet.gen.timing.channel import Channel, Process, even, run
from tercet.gen.timing.converters import row_buffer
from tercet.hw.rows import RowBuffer, RowGeometry
from tercet.model.layout import as_beats

SHOWN = [(28, 4, 3), (28, 7, 9), (28, 14, 27), (28, 28, 9), (5, 1, 4), (7, 7, 2), (9, 3, 2)]
ALL = [
    RowGeometry(values, taken, given)
    for values in range(2, 31)
    for taken in range(1, values + 1)
    for given in range(1, values)
    if values % taken == 0 and values % given
]


def rows_through(geometry, rows, seed, **options):
    """Send random rows; what must come out, and the run."""
    values = np.random.default_rng(seed).integers(-512, 512, (rows, 1, geometry.values, 1))
    sent = values.reshape(-1, geometry.taken).tolist()
    unit = RowBuffer(shape=signed(10), geometry=geometry)
    result = run_streams(unit, sent, rows * geometry.results, seed=seed, **options)
    return as_beats(values, geometry.given).reshape(-1, geometry.given), result


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("geometry", [RowGeometry(*numbers) for numbers in SHOWN], ids=str)
def test_rows_leave_whole_and_in_order(geometry, pauses, seed):
    expected, result = rows_through(geometry, 9, seed, pauses=pauses)
    used = as_beats(np.ones((9, 1, geometry.values, 1), int), geometry.given).reshape(-1) == 1
    got = np.array([list(payload) for payload in result.outputs])
    assert (got.reshape(-1)[used] == expected.reshape(-1)[used]).all()


def timed(geometry, rows):
    """The cycles that the timing model states: of each beat taken, of each that leaves."""
    i, o, beats = Channel(), Channel(), rows * geometry.results

    def sink() -> Process:
        o.room = lambda cycle: beats
        taken = 0
        while taken < beats:
            offer = yield from o.next()
            moved = even(offer.cycle, offer.interval, offer.lines, offer.count)
            o.taken(moved)
            taken += moved[0]

    i.offer(rows * geometry.beats, 0, 1)
    run([row_buffer(i, o, geometry, rows), sink()])
    return list(i.takes), list(o.takes)


@pytest.mark.parametrize("geometry", [RowGeometry(*numbers) for numbers in SHOWN], ids=str)
def test_cycles_are_those_of_the_timing_model(geometry, seed):
    _, result = rows_through(geometry, 9, seed)
    assert (result.taken, result.given) == timed(geometry, 9)
    assert result.given[0] == result.taken[geometry.needs[0] - 1] + RowBuffer.LATENCY


def test_a_row_takes_no_more_cycles_than_beats():
    assert len(ALL) > 500
    for geometry in ALL:
        ends = timed(geometry, 6)[1][geometry.results - 1 :: geometry.results]
        assert set(np.diff(ends)[2:]) == {max(geometry.beats, geometry.results)}, geometry


@pytest.mark.parametrize("reset_after", [1, 5, 8])
def test_forgets_a_row_half_seen(reset_after, seed):
    geometry = RowGeometry(28, 7, 9)
    expected, result = rows_through(geometry, 4, seed, pauses="both", reset_after=reset_after)
    assert [list(payload) for payload in result.outputs][:3] == expected[:3].tolist()


@pytest.mark.parametrize("numbers", [(28, 3, 9), (28, 4, 7), (5, 5, 6)])
def test_refuses_beats_that_do_not_suit(numbers):
    with pytest.raises(ValueError) as error:
        RowBuffer(shape=signed(8), geometry=RowGeometry(*numbers))
    assert str(error.value) == (
        f"A row of {numbers[0]} values must be whole beats that come, not of {numbers[1]}, and be "
        f"none that leave, not of {numbers[2]}"
    )
