from itertools import islice

import numpy as np
import pytest
from tercet.sim.bench.framing import FramePins, FrameRule
from tercet.sim.bench.stream import (
    Monitor,
    ProtocolError,
    Sink,
    Source,
    Wire,
    no_pauses,
    random_pauses,
)


class Signal:
    """Stands in for a cocotb signal, and counts how often it is written."""

    def __init__(self, value=0):
        self._value = value
        self.writes = 0

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, value):
        self._value = value
        self.writes += 1

    @property
    def _handle(self):
        """The object below cocotb's handle."""
        return self

    def get_signal_val_binstr(self):
        return self._value if isinstance(self._value, str) else f"{self._value:b}"


class Port:
    def __init__(self, pauses=(), seed=1, bits=8):
        self.valid, self.ready, self.data, self.last = Signal(), Signal(), Signal(), Signal()
        self.taken = []
        self.source = Source(
            valid=self.valid,
            ready=self.ready,
            data=self.data,
            last=self.last,
            bits=bits,
            pauses=iter(pauses) if pauses else no_pauses(),
            rng=np.random.default_rng(seed),
        )
        self.monitor = Monitor(
            name="port",
            valid=self.valid,
            ready=self.ready,
            payload=[self.data, self.last],
            taken=lambda values, cycle: self.taken.append((cycle, *values)),
        )

    def run(self, readies):
        offers = []
        for cycle, ready in enumerate(readies):
            self.source.drive()
            self.ready.value = ready
            offers.append(self.valid.value)
            self.monitor.sample(cycle)
            self.source.sample(cycle)
        return offers


def test_source_drives_a_bus_of_any_width():
    port = Port(bits=224)
    port.source.send([(1 << 223, 1)])
    port.run([0, 1])
    assert port.taken == [(1, 1 << 223, 1)]
    port.source.drive()  # noise
    assert 0 <= port.data.value < 1 << 224


def test_source_starts_idle_and_offers_one_beat_a_cycle():
    port = Port()
    assert port.run([1, 1]) == [0, 0]
    port.source.send([(10, 0), (11, 0), (12, 1)])
    assert port.run([1] * 4) == [1, 1, 1, 0]
    assert port.taken == [(0, 10, 0), (1, 11, 0), (2, 12, 1)]
    assert port.source.idle


def test_source_holds_a_beat_until_it_is_taken():
    port = Port(pauses=[False, True, True, False])
    port.source.send([(10, 0), (11, 1)])
    # Pauses delay the second offer by two cycles; they never take back the first.
    assert port.run([0, 0, 1, 0, 0, 0, 1]) == [1, 1, 1, 0, 0, 1, 1]
    assert port.taken == [(2, 10, 0), (6, 11, 1)]


def test_source_drives_noise_while_it_offers_nothing():
    port = Port()
    seen = set()
    for _ in range(50):
        port.run([1])
        seen.add((port.data.value, port.last.value))
    assert len(seen) > 20
    assert port.taken == []


def test_source_forgets_its_beats_at_a_restart():
    port = Port()
    port.source.send([(10, 0), (11, 1)])
    port.run([0])
    port.source.restart()
    assert port.source.idle
    port.monitor.restart()
    assert port.run([1, 1]) == [0, 0]


def test_source_writes_only_what_changes():
    port = Port()
    port.source.send([(3, 0)] * 10)
    port.run([1] * 10)
    assert (port.valid.writes, port.data.writes, port.last.writes) == (1, 1, 1)


def sunk(offers, pauses, patient=False):
    """What a sink says while valid takes the values of ``offers``."""
    ready, valid = Signal(), Signal()
    sink = Sink(ready=ready, valid=valid, pauses=iter(pauses), patient=patient)
    seen = []
    for valid.value in offers:
        sink.drive()
        seen.append(ready.value)
    return seen


def test_sink_pauses_while_a_beat_is_offered():
    assert sunk([1, 1, 1, 1], [True, False, False, True]) == [0, 1, 1, 0]


def test_sink_keeps_its_pauses_for_when_a_beat_is_offered():
    assert sunk([0, 1, 0, 0, 1, 1, 0, 1], [False, True, True, False]) == [0, 1, 1, 1, 0, 0, 0, 1]


def test_patient_sink_is_ready_only_once_something_is_offered():
    assert sunk([0, 0, 1, 1, 0, "X"], no_pauses(), patient=True) == [0, 0, 1, 1, 0, 0]


def watched(*cycles):
    """Run a monitor over cycles of (valid, ready, payload)."""
    valid, ready, payload = Signal(), Signal(), Signal()
    taken = []
    monitor = Monitor(
        name="conv1",
        valid=valid,
        ready=ready,
        payload=[payload],
        taken=lambda values, cycle: taken.append((cycle, *values)),
    )
    for cycle, (valid.value, ready.value, payload.value) in enumerate(cycles):
        monitor.sample(cycle)
    return monitor, taken


def test_monitor_passes_on_transfers_and_counts_stalls():
    monitor, taken = watched((0, 1, 1), (1, 0, 5), (1, 0, 5), (1, 1, 5), (1, 1, 6), (0, 0, 7))
    assert taken == [(3, 5), (4, 6)]
    assert (monitor.transfers, monitor.stalled_cycles) == (2, 2)


def test_monitor_refuses_a_payload_that_changes_while_stalled():
    with pytest.raises(ProtocolError) as caught:
        watched((1, 0, 5), (1, 1, 6))
    assert str(caught.value) == (
        "conv1: payload changed from 5 to 6 in cycle 1 before it was taken"
    )


def test_monitor_refuses_a_valid_that_falls_while_stalled():
    with pytest.raises(ProtocolError) as caught:
        watched((1, 0, 5), (0, 1, 5))
    assert str(caught.value) == "conv1: valid fell in cycle 1 before 5 was taken"


@pytest.mark.parametrize(("cycle", "wire"), [(("X", 1, 5), "valid"), ((1, "X", 5), "ready")])
def test_monitor_refuses_undefined_handshakes(cycle, wire):
    with pytest.raises(ProtocolError) as caught:
        watched(cycle)
    assert str(caught.value) == f"conv1: {wire} is X, neither 0 nor 1"


def test_monitor_passes_undefined_payload_on_as_text():
    _, taken = watched((1, 1, "X"))
    assert taken == [(0, "X")]


def test_pauses_repeat_with_their_seed_and_cover_short_and_long():
    def drawn(seed):
        return list(islice(random_pauses(np.random.default_rng(seed), 1000, 500), 50_000))

    pauses = drawn(5)
    assert pauses == drawn(5) != drawn(6)
    assert 0.3 < sum(pauses) / len(pauses) < 0.7
    flows = "".join("01"[pause] for pause in pauses).split("1")
    assert max(map(len, flows)) > 500
    runs = "".join("01"[pause] for pause in pauses).split("0")
    lengths = {len(run) for run in runs}
    assert {1, 2, 3} < lengths
    assert max(lengths) >= 500


def test_pauses_need_a_length():
    with pytest.raises(ValueError, match=r"^The longest stretch must be at least 1, not 0$"):
        random_pauses(np.random.default_rng(1), 5, 0)


def judged(beats, length=4):
    rule = FrameRule(length)
    for last in beats:
        rule.beat(bool(last))
    return rule.right, rule.wrong


@pytest.mark.parametrize(
    ("beats", "verdict"),
    [
        ([0, 0, 0, 1], (1, 0)),
        ([0, 0, 1, 0, 0, 0, 1], (1, 1)),  # early, then right
        ([1, 0, 0, 0, 1], (1, 1)),  # a single beat
        ([0, 0, 0, 0, 1, 0, 0, 0, 1], (1, 2)),  # late by one: the stray beat is a short frame
        ([0, 0, 0, 0, 0, 0, 0, 1], (1, 1)),  # missing, then right
        ([0, 0, 0], (0, 0)),  # not over
    ],
)
def test_frame_rule(beats, verdict):
    assert judged(beats) == verdict


def pinned(*cycles):
    """Look at cycles of (good, bad, error, right frames so far, wrong ones, clear)."""
    pins = FramePins()
    for cycle, (good, bad, error, right, wrong, clear) in enumerate(cycles):
        pins.sample((bool(good), bool(bad), bool(error)), (right, wrong), bool(clear), cycle)
    return pins


def test_the_pins_tell_of_each_frame_and_the_flag_stays_until_it_is_cleared():
    pins = pinned(
        (0, 0, 0, 0, 0, 0),
        (1, 0, 0, 1, 0, 0),
        (0, 1, 1, 1, 1, 0),
        (0, 0, 1, 1, 1, 1),  # cleared
        (0, 0, 0, 1, 1, 1),
        (0, 1, 1, 1, 2, 1),  # the wrong frame goes before the clear
        (0, 0, 0, 1, 2, 0),
    )
    pins.restart()
    pins.sample((False, False, False), (0, 0), False, 7)


@pytest.mark.parametrize(
    ("cycles", "message"),
    [
        ([(0, 0, 1, 0, 0, 0)], "frame_error is up in cycle 0, when 0 right and 0 wrong"),
        ([(0, 1, 1, 0, 1, 0), (0, 0, 0, 0, 1, 0)], "frame_error is down in cycle 1, when 0 right"),
        ([(0, 1, 1, 0, 1, 1), (0, 0, 1, 0, 1, 0)], "frame_error is up in cycle 1, when 0 right"),
        ([(0, 0, 0, 0, 1, 0)], "frame_bad is down in cycle 0, when 0 right and 1 wrong"),
        ([(0, 0, 0, 1, 0, 0)], "frame_good is down in cycle 0, when 1 right and 0 wrong"),
        ([(1, 0, 0, 1, 0, 0), (1, 0, 0, 1, 0, 0)], "frame_good is up in cycle 1, when 1 right"),
    ],
)
def test_the_pins_must_tell_what_happened(cycles, message):
    with pytest.raises(ProtocolError, match=rf"^{message}.* frames have ended since the reset$"):
        pinned(*cycles)


class OnlyValue:
    """A signal of which only the value is known, as cocotb writes it."""

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize("kind", [Signal, OnlyValue])
def test_wire_reads_integers_and_text_with_undefined_bits(kind):
    assert [Wire(kind(bits)).read() for bits in ("0", "101", "1x0")] == [0, 5, "1X0"]
    assert [Wire(kind(bits)).bit("ready") for bits in "01"] == [False, True]
    with pytest.raises(ProtocolError, match=r"^ready is Z, neither 0 nor 1$"):
        Wire(kind("z")).bit("ready")
