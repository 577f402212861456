"""The requantizer: ``model.requant`` in hardware, one accumulator per cycle."""

from __future__ import annotations

from amaranth import Const, Module, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data

from .component import SpecComponent
from .counter import counter
from .operand import clamped
from .pipeline import stage
from .requantizer_spec import RequantizerSpec, value_shape
from .rescale import Rescale
from .rom import Rom

__all__ = ["Requantizer"]


class Requantizer(SpecComponent[RequantizerSpec]):
    """y = clamp(round((acc * M[channel] + B[channel]) / 2**n) + zero_point, low, high), see
    ``model.requant``.

    Parameters
    ----------
    spec : spec of the requantizer, with one lane

    Members
    -------
    i : stream of one accumulator per beat
    o : stream of one activation per beat

    Throughput: one per cycle. Latency (``spec.latency``): 4 cycles, one or two more if the ROM is
    block RAM. The whole pipeline stalls while a beat waits. An accumulator outside the active range
    is clamped to it before the multiplication, which keeps the multiplier narrow (``operand.py``).
    The rounding constant is added together with the offset. The multipliers and addends that differ
    between channels are in one ROM, a row for each channel, so they never take two block RAMs.

    Raises ValueError as :class:`Rescale` does.
    """

    def __init__(self, spec: RequantizerSpec):
        self._rescale = Rescale(requant=spec.requant, zero_point=spec.zero_point)
        acc = data.ArrayLayout(signed(spec.accumulator_width), 1)
        super().__init__(spec, i=acc, o=data.ArrayLayout(spec.activation, 1))
        self._rom = self._make_rom()

    def _make_rom(self) -> Rom | None:
        """A ROM with a row for each channel, of the values that differ; None if none differ."""
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

        # Stage 0: take an accumulator, address the values of its channel.
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

        # Multiply; if the channel has its own addend, pass it on.
        multipliers, addends = self._spec.scales.values()
        multiplier = own.pop("multiplier", Const(multipliers[0], value_shape(multipliers)))
        multiplier = multiplier[:-1]  # unsigned, because none is negative
        name = f"s{self._spec.read_cycles + 1}"
        s = stage(m, enable, name, valid=s.valid, product=s.acc * multiplier, **own)
        addend = getattr(s, "addend", addends[0])

        # Round, clamp, add the zero point.
        name = f"s{self._spec.read_cycles + 2}"
        self._rescale.build(
            m, enable, name, valid=s.valid, product=s.product, addend=addend, o=self.o
        )
        return m
