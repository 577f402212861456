"""Rows in beats of one width become rows in beats of a width that does not divide them."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Array, Const, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import counter

__all__ = ["RowBuffer", "RowGeometry"]


@dataclass(frozen=True)
class RowGeometry:
    """The beats of a row at the input and at the output.

    values : values of a row
    taken : values of an input beat; divides ``values``
    given : values of an output beat; in a row's last one, the values beyond the row are arbitrary
    """

    values: int
    taken: int
    given: int

    @property
    def beats(self) -> int:
        """Input beats of a row."""
        return self.values // self.taken

    @property
    def results(self) -> int:
        """Output beats of a row."""
        return -(-self.values // self.given)

    @property
    def needs(self) -> list[int]:
        """For each output beat, the number of input beats that must have come before."""
        ends = (min((k + 1) * self.given, self.values) for k in range(self.results))
        return [-(-end // self.taken) for end in ends]

    @property
    def frees(self) -> list[int]:
        """For 0 to all output beats sent, the number of input beats that are no longer needed."""
        return [min(k * self.given, self.values) // self.taken for k in range(self.results + 1)]


class RowBuffer(wiring.Component):
    """Buffer a row and send it in beats of another width.

    Parameters
    ----------
    shape : shape of a value
    geometry : the beats of a row

    Members
    -------
    i : stream of ``geometry.taken`` values per beat
    o : stream of ``geometry.given`` values per beat

    A beat is taken if all values that it overwrites have been sent, or are sent in the same cycle.
    So rows follow each other without a gap: a row takes as many cycles as it has input beats or
    output beats, whichever are more. Latency: 1 cycle from the last input beat that an output beat
    needs. Combinational: ``o.ready`` to ``i.ready``.

    Raises ValueError if input beats do not divide a row, or if output beats divide it or are
    longer.
    """

    LATENCY = 1

    def __init__(self, *, shape: Shape, geometry: RowGeometry):
        g = geometry
        if g.values % g.taken or g.values % g.given == 0 or g.given > g.values:
            raise ValueError(
                f"A row of {g.values} values must be whole beats that come, not of {g.taken}, and "
                f"be none that leave, not of {g.given}"
            )
        self._shape, self._geometry = shape, g
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(shape, g.taken))),
                "o": Out(stream.Signature(data.ArrayLayout(shape, g.given))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self._geometry
        ahead = Signal(range(2 * g.beats + 1))  # input beats of the row being sent, and later
        row = Signal(data.ArrayLayout(self._shape, g.values), reset_less=True)
        takes = Signal()
        sends = Signal()
        segment, _ = counter(m, "segment", g.beats, takes)
        part, ends = counter(m, "part", g.results, sends)
        room = [ahead < g.beats + free for free in g.frees]
        m.d.comb += [
            self.o.valid.eq(ahead >= Array(g.needs)[part]),
            sends.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(Mux(sends, Array(room[1:])[part], Array(room[:-1])[part])),
            takes.eq(self.i.valid & self.i.ready),
            *(self.o.payload[lane].eq(self._lane(row, lane)[part]) for lane in range(g.given)),
        ]
        m.d.sync += ahead.eq(ahead + takes - Mux(sends & ends, g.beats, 0))
        for at in range(g.values):
            with m.If(takes & (segment == at // g.taken)):
                m.d.sync += row[at].eq(self.i.payload[at % g.taken])
        return m

    def _lane(self, row: data.View, lane: int) -> Array:
        """The value of a lane in each output beat of the row.

        Beyond the row's end a lane repeats its last value, or sends 0 if that one has been sent and
        may be overwritten.
        """
        g = self._geometry
        places = [part * g.given + lane for part in range(g.results)]
        stays = g.frees[-2] * g.taken
        if places[-1] < g.values:
            return Array(row[at] for at in places)
        again = row[places[-2]] if places[-2] >= stays else Const(0, self._shape)
        return Array([*(row[at] for at in places[:-1]), again])
