"""Beats of several lanes to beats of fewer, and to beats of more."""

from itertools import pairwise

import numpy as np
import pytest
from amaranth import signed, unsigned
from amaranth.lib import data
from hwsim import PAUSES, Chain, run_streams
from tercet.hw.lanes import Packer, Serializer, converter, steps_between


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize(
    ("lanes", "slots", "last_lanes", "at_once"),
    [
        *[(1, 1, 1, 1), (3, 1, 3, 1), (2, 3, 2, 1), (2, 3, 1, 1), (4, 2, 3, 1)],
        *[(4, 1, 4, 2), (6, 3, 3, 3), (8, 2, 4, 2), (3, 1, 3, 3), (6, 2, 6, 2)],
    ],
)
def test_serializer_sends_used_lanes_in_order(lanes, slots, last_lanes, at_once, pauses, seed):
    beats = np.random.default_rng(seed).integers(-512, 512, (12, lanes)).tolist()
    sent = [
        value
        for index, beat in enumerate(beats)
        for value in beat[: last_lanes if index % slots == slots - 1 else lanes]
    ]
    expected = np.reshape(sent, (-1, at_once)).tolist()
    unit = Serializer(
        layout=data.ArrayLayout(signed(10), lanes),
        slots=slots,
        last_lanes=last_lanes,
        at_once=at_once,
    )
    run = run_streams(unit, beats, len(expected), pauses=pauses, seed=seed)
    assert [list(payload) for payload in run.outputs] == expected
    if pauses == "none":
        assert np.diff(run.given).tolist() == [1] * (len(expected) - 1)
        assert run.given[0] - run.taken[0] == Serializer.LATENCY


def test_serializer_refuses_more_last_lanes_than_lanes():
    with pytest.raises(ValueError, match=r"^last_lanes must be 1 to 2, not 3$"):
        Serializer(layout=data.ArrayLayout(8, 2), slots=1, last_lanes=3)


def test_serializer_refuses_lanes_that_do_not_come_out_even():
    message = r"^at_once must divide the 4 lanes and the 3 of the last beat, not 2$"
    with pytest.raises(ValueError, match=message):
        Serializer(layout=data.ArrayLayout(8, 4), slots=2, last_lanes=3, at_once=2)


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize(("lanes", "beats"), [(1, 2), (1, 3), (2, 2), (3, 4), (1, 9)])
def test_packer_collects_beats_in_order(lanes, beats, pauses, seed):
    sent = np.random.default_rng(seed).integers(-512, 512, (beats * 20, lanes))
    expected = sent.reshape(20, -1).tolist()
    unit = Packer(layout=data.ArrayLayout(signed(10), lanes), beats=beats)
    run = run_streams(unit, sent.tolist(), 20, pauses=pauses, seed=seed)
    assert [list(payload) for payload in run.outputs] == expected
    if pauses == "none":
        assert np.diff(run.taken).tolist() == [1] * (len(sent) - 1)
        assert run.given[0] - run.taken[beats - 1] == Packer.LATENCY


@pytest.mark.parametrize("reset_after", [1, 4, 7])
def test_packer_forgets_at_reset(reset_after, seed):
    sent = np.random.default_rng(seed).integers(-512, 512, (30, 1))
    unit = Packer(layout=data.ArrayLayout(signed(10), 1), beats=3)
    run = run_streams(unit, sent.tolist(), 10, pauses="both", seed=seed, reset_after=reset_after)
    assert [list(payload) for payload in run.outputs] == sent.reshape(10, 3).tolist()


def test_packer_refuses_a_single_beat():
    with pytest.raises(ValueError, match=r"^beats must be at least 2, not 1$"):
        Packer(layout=data.ArrayLayout(8, 1), beats=1)


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize(
    ("lanes", "wanted", "steps"),
    [(3, 3, []), (6, 2, [2]), (2, 6, [6]), (4, 6, [2, 6]), (9, 6, [3, 6]), (2, 3, [1, 3])],
)
def test_converters_keep_the_order(lanes, wanted, steps, pauses, seed):
    assert steps_between(lanes, wanted) == steps
    sent = np.random.default_rng(seed).integers(0, 256, 36 * lanes)
    widths = [lanes, *steps_between(lanes, wanted)]
    between = {f"to{b}": converter(unsigned(8), a, b) for a, b in pairwise(widths)}
    unit = Chain(between, lanes, wanted)
    expected = sent.reshape(-1, wanted).tolist()
    run = run_streams(
        unit, sent.reshape(-1, lanes).tolist(), len(expected), pauses=pauses, seed=seed
    )
    assert [list(payload) for payload in run.outputs] == expected
