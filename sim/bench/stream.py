"""Streams in a bench: a source, a sink with pauses, and a monitor. None of them uses the model.

``bench.Bench`` steps all three: it calls ``drive`` directly after a clock edge, when inputs change,
and ``sample`` directly before the next one, when all signals have settled and the handshake decides
a transfer.
Source of the rules: AMBA AXI-Stream Protocol Specification (ARM IHI 0051), 2.2 handshake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, repeat
from random import Random
from typing import Any

import numpy as np

__all__ = ["Monitor", "ProtocolError", "Sink", "Source", "Wire", "no_pauses", "random_pauses"]

Handle = Any  # a cocotb signal: .value reads and writes
Value = int | str  # str if a signal has X or Z bits, as the simulator writes it


class ProtocolError(AssertionError):
    """A stream broke a rule; the message names the rule, the stream and the cycle."""


def no_pauses() -> Iterator[bool]:
    """Never pause."""
    return repeat(False)


def random_pauses(rng: np.random.Generator, flow: int, stall: int) -> Iterator[bool]:
    """Pauses (True) and no pauses (False), one for each cycle in which a beat could be transferred.

    There are three kinds of stretches, in random order: without pauses, pauses only, and random
    bits. Their lengths are log-uniform, so single cycles are as common as long stalls. The second
    stretch and every eighth one after it are pauses of full length.

    Parameters
    ----------
    flow, stall : the longest stretch without pauses and the longest pause, in cycles, at least 1

    Raises ValueError if one is below 1.
    """
    if min(flow, stall) < 1:
        raise ValueError(f"The longest stretch must be at least 1, not {min(flow, stall)}")
    return _stretches(rng, flow, stall)


def _stretches(rng: np.random.Generator, flow: int, stall: int) -> Iterator[bool]:
    for stretch in count(1):
        share, kind = rng.random(), rng.integers(3)
        if stretch % 8 == 2:
            yield from repeat(True, stall)
        elif kind == 0:
            yield from repeat(False, int(flow**share))
        elif kind == 1:
            yield from repeat(True, int(stall**share))
        else:
            yield from rng.integers(2, size=int(flow**share), dtype=bool).tolist()


class Wire:
    """A signal that the bench samples.

    Its bits come from the object below cocotb's handle if there is one. The handle would make a
    Logic or a LogicArray of each sample, which takes about a third of a simulation.
    """

    def __init__(self, handle: Handle) -> None:
        inner = getattr(handle, "_handle", None)
        self._bits: Callable[[], str] = getattr(
            inner, "get_signal_val_binstr", lambda: str(handle.value)
        )

    def read(self) -> Value:
        """The unsigned value of the signal, or its text if bits are undefined."""
        bits = self._bits()
        try:
            return int(bits, 2)
        except ValueError:
            return bits.upper()

    def bit(self, name: str) -> bool:
        """The value of a one-bit signal. Raises ProtocolError if it is undefined."""
        bits = self._bits()
        if bits == "1":
            return True
        if bits == "0":
            return False
        raise ProtocolError(f"{name} is {bits.upper()}, neither 0 nor 1")


class Pin:
    """An input of the core, written only when its value changes, because writes are slow."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._value: int | None = None

    def set(self, value: int) -> None:
        if value != self._value:
            self._value = value
            self._handle.value = value


class Source:
    """Offers beats of (data, last) on an AXI4-Stream input.

    It starts idle. An offered beat stays until it is taken; a pause only delays the next offer.
    While nothing is offered, data and last are random.

    Parameters
    ----------
    valid, ready, data, last : the port's signals
    bits : width of data, whole bytes
    pauses : True delays an offer by a cycle
    rng : generator of the random data
    """

    def __init__(
        self,
        *,
        valid: Handle,
        ready: Handle,
        data: Handle,
        last: Handle,
        bits: int,
        pauses: Iterator[bool],
        rng: np.random.Generator,
    ) -> None:
        self._valid, self._data, self._last = Pin(valid), Pin(data), Pin(last)
        self._ready = Wire(ready)
        self._bits = bits
        self._pauses = pauses
        self._noise = Random(rng.bytes(8))  # a draw takes a tenth of the time of one of numpy
        self._frames: deque[Iterator[tuple[int, int]]] = deque()
        self._ahead: tuple[int, int] | None = None  # the beat to offer next
        self._offering = False

    @property
    def idle(self) -> bool:
        """Whether all sent beats have been taken."""
        return self._ahead is None and not self._offering

    def send(self, beats: Iterable[tuple[int, int]]) -> None:
        """Queue beats of (data, last), data as unsigned bits; the iterable is read beat by beat."""
        self._frames.append(iter(beats))
        if self._ahead is None:
            self._look_ahead()

    def _look_ahead(self) -> None:
        self._ahead = None
        while self._ahead is None and self._frames:
            self._ahead = next(self._frames[0], None)
            if self._ahead is None:
                self._frames.popleft()

    def restart(self) -> None:
        """Drop the queue and stop offering, as in a reset."""
        self._frames.clear()
        self._ahead = None
        self._offering = False

    def drive(self) -> None:
        """Set valid, data and last for the coming clock edge."""
        if self._offering:
            return
        if self._ahead is not None and not next(self._pauses):
            data, last = self._ahead
            self._look_ahead()
            self._offering = True
            self._valid.set(1)
            self._data.set(data)
            self._last.set(last)
        else:
            noise = self._noise.getrandbits(self._bits + 1)
            self._valid.set(0)
            self._data.set(noise >> 1)
            self._last.set(noise & 1)

    def sample(self, cycle: int) -> None:
        """Record whether the beat is taken at the coming clock edge."""
        if self._offering and self._ready.bit("s_axis_tready"):
            self._offering = False


class Sink:
    """Drives ready of an output.

    A pause counts from the offer of a beat, so a long pause stalls the core for its whole length.

    Parameters
    ----------
    valid, ready : the port's handshake
    pauses : True keeps ready low for a cycle in which a beat is offered
    patient : whether ready also waits for valid, which is allowed for a sink; valid of a core must
        not wait for ready
    """

    def __init__(
        self, *, valid: Handle, ready: Handle, pauses: Iterator[bool], patient: bool = False
    ) -> None:
        self._valid = Wire(valid)
        self._ready = Pin(ready)
        self._pauses = pauses
        self._patient = patient
        self._ready.set(0)

    def drive(self) -> None:
        """Set ready for the coming clock edge; valid has settled since the last one."""
        if self._valid.read() == 1:
            self._ready.set(int(not next(self._pauses)))
        elif self._patient:
            self._ready.set(0)


class Monitor:
    """Watches a stream, reports each transfer, and checks that an offered beat stays until taken.

    Parameters
    ----------
    name : name of the stream in messages
    valid, ready : the handshake signals
    payload : the payload signals; a transfer is the sequence of their values
    taken : called with (payload values, cycle) at each transfer
    """

    def __init__(
        self,
        *,
        name: str,
        valid: Handle,
        ready: Handle,
        payload: Sequence[Handle],
        taken: Callable[[list[Value], int], None],
    ) -> None:
        self.name = name
        self.transfers = 0
        self.stalled_cycles = 0
        self._valid_name, self._ready_name = f"{name}: valid", f"{name}: ready"
        self._valid, self._ready = Wire(valid), Wire(ready)
        self._payload = tuple(map(Wire, payload))
        self._taken = taken
        self._held: list[Value] | None = None

    def restart(self) -> None:
        """Forget the offered beat; a reset may withdraw it."""
        self._held = None

    def sample(self, cycle: int) -> None:
        """Sample the stream directly before a clock edge. Raises ProtocolError."""
        if not self._valid.bit(self._valid_name):
            if self._held is not None:
                raise ProtocolError(
                    f"{self.name}: valid fell in cycle {cycle} before {_text(self._held)} was taken"
                )
            return
        values = [wire.read() for wire in self._payload]
        if self._held is not None and values != self._held:
            raise ProtocolError(
                f"{self.name}: payload changed from {_text(self._held)} to {_text(values)} "
                f"in cycle {cycle} before it was taken"
            )
        if self._ready.bit(self._ready_name):
            self._held = None
            self.transfers += 1
            self._taken(values, cycle)
        else:
            self._held = values
            self.stalled_cycles += 1


def _text(values: list[Value]) -> str:
    return " ".join(map(str, values))
