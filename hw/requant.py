"""The requantizer: ``model.requant`` in hardware, one accumulator a cycle."""

from __future__ import annotations

from amaranth import Const, Module, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import counter
from .operand import clamped
from .pipeline import stage
from .requantizer_spec import RequantizerSpec, value_shape
from .rescale import Rescale
from .rom import Rom

__all__ = ["Requantizer"]


class Requantizer(wiring.Component):
    """y = clamp(round((acc * M[channel] + B[channel]) / 2**n) + zero_point, low, high), see
    ``model.requant``.

    Parameters
    ----------
    spec : its numbers, of one lane

    Members
    -------
    i : stream of one accumulator a beat
    o : stream of one activation a beat

    Throughput: one a cycle. Latency (``spec``): 4 cycles, and one or two more where the ROM is
    block RAM. The pipeline stalls as one while a beat waits. What lies beyond the range in which
    outputs change is clamped before the multiplication, so that the multiplier need not be wider
    (``operand.py``). Offsets are added with the rounding constant. What differs between channels,
    multipliers or addends or both, is in one ROM, a row for each channel, so that it never takes
    two block RAMs.
    Raises ValueError as :class:`Rescale` does.
    """

    LATENCY = 2 + Rescale.LATENCY

    def __init__(self, spec: RequantizerSpec):
        self._spec = spec
        self._rescale = Rescale(requant=spec.requant, zero_point=spec.zero_point)
        self._rom = self._make_rom()
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(signed(spec.accumulator_width), 1))),
                "o": Out(stream.Signature(data.ArrayLayout(spec.activation, 1))),
            }
        )

    @property
    def spec(self) -> RequantizerSpec:
        """The numbers given."""
        return self._spec

    def _make_rom(self) -> Rom | None:
        """A row for each channel, with what differs."""
        spec = self._spec
        if not spec.varying:
            return None
        return Rom(
            rows=list(zip(*spec.varying.values(), strict=True)),
            layout=data.StructLayout({n: value_shape(v) for n, v in spec.varying.items()}),
            beside=spec.beside,
            read_cycles=spec.read_cycles,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        m.d.comb += [enable.eq(~self.o.valid | self.o.ready), self.i.ready.eq(enable)]

        # Stage 0: take an accumulator, address what its channel has of its own.
        own: dict[str, Value] = {}
        if self._rom is not None:
            m.submodules.scales = rom = self._rom
            channel, _ = counter(m, "channel", rom.storage.rows, enable & self.i.valid)
            m.d.comb += [rom.en.eq(enable), rom.address.eq(channel)]
            own = {name: rom.row[name] for name, _ in rom.row.shape()}
        acc = clamped(self.i.payload[0], self._spec.operand)
        s = stage(m, enable, "s1", valid=self.i.valid, acc=acc)
        for number in range(2, self._spec.read_cycles + 1):
            s = stage(m, enable, f"s{number}", **vars(s))

        # Multiply; an addend of the channel's own goes along.
        multipliers, addends = self._spec.scales.values()
        multiplier = own.pop("multiplier", Const(multipliers[0], value_shape(multipliers)))
        multiplier = multiplier[:-1]  # unsigned: none is negative
        name = f"s{self._spec.read_cycles + 1}"
        s = stage(m, enable, name, valid=s.valid, product=s.acc * multiplier, **own)
        addend = getattr(s, "addend", addends[0])

        # Round, clamp, add the zero point.
        name = f"s{self._spec.read_cycles + 2}"
        self._rescale.build(
            m, enable, name, valid=s.valid, product=s.product, addend=addend, o=self.o
        )
        return m
