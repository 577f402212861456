"""Rows that come in beats of one width leave in beats of another that does not divide them."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Array, Const, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import counter

__all__ = ["RowBuffer", "RowGeometry"]


@dataclass(frozen=True)
class RowGeometry:
    """A row as it comes and as it leaves.

    values : of a row
    taken : values of a beat that comes; divides ``values``
    given : values of a beat that leaves; what a row's last one has beyond the row is arbitrary
    """

    values: int
    taken: int
    given: int

    @property
    def beats(self) -> int:
        """Beats of a row that come."""
        return self.values // self.taken

    @property
    def results(self) -> int:
        """Beats of a row that leave."""
        return -(-self.values // self.given)

    @property
    def needs(self) -> list[int]:
        """The beats that must have come before each one leaves."""
        ends = (min((k + 1) * self.given, self.values) for k in range(self.results))
        return [-(-end // self.taken) for end in ends]

    @property
    def frees(self) -> list[int]:
        """The beats of which nothing is needed any more once so many have left, 0 to all."""
        return [min(k * self.given, self.values) // self.taken for k in range(self.results + 1)]


class RowBuffer(wiring.Component):
    """Hold a row, each beat where it belongs, and send it in other beats.

    Parameters
    ----------
    shape : of a value
    geometry : of a row

    Members
    -------
    i : stream of ``geometry.taken`` values a beat
    o : stream of ``geometry.given`` values a beat

    A beat is taken where all that it overwrites has left, in the same cycle at the latest, so that
    rows follow each other without a gap: as many cycles a row as beats come or leave, whichever are
    more. Latency: 1 cycle from the last beat that a result needs. Combinational: ``o.ready`` to
    ``i.ready``.
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
        ahead = Signal(range(2 * g.beats + 1))  # beats that came of the row that leaves, and later
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
        """What a lane sends in each part of the row. Beyond the row's end the same once more, or 0
        where that has left and may be overwritten."""
        g = self._geometry
        places = [part * g.given + lane for part in range(g.results)]
        stays = g.frees[-2] * g.taken
        if places[-1] < g.values:
            return Array(row[at] for at in places)
        again = row[places[-2]] if places[-2] >= stays else Const(0, self._shape)
        return Array([*(row[at] for at in places[:-1]), again])
