"""The requantizer: ``model.requant`` in hardware, one accumulator a cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth import Const, Module, Shape, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.dtypes import signed_width
from ..model.requant import Requant
from .counter import counter
from .operand import clamped, operand_shape
from .pipeline import stage
from .rescale import Rescale, require_numbers
from .rom import Rom
from .storage import Storage, rom_storage

__all__ = ["Requantizer"]


class Requantizer(wiring.Component):
    """y = clamp(round((acc * M[channel] + B[channel]) / 2**n) + zero_point, low, high), see
    ``model.requant``.

    Parameters
    ----------
    requant : M and B (one, or one per channel), n, the rounding rule, the clamp
    zero_point : of y
    channels : OC; accumulators arrive channels last, so the channel is counted, modulo OC
    accumulator_width : bits of acc, signed
    activation : shape of y
    beside : the layer's other ROMs, see :class:`Rom`
    read_cycles : of its own ROM, at least

    Members
    -------
    i : stream of one accumulator a beat
    o : stream of one activation a beat

    Throughput: one a cycle. Latency (``latency``): 4 cycles, and one or two more where the ROM is
    block RAM. The pipeline stalls as one while a beat waits. What lies beyond the range in which
    outputs change is clamped before the multiplication, so that the multiplier need not be wider
    (``operand.py``). Offsets are added with the rounding constant. What differs between channels,
    multipliers or addends or both, is in one ROM, a row for each channel, so that it never takes
    two block RAMs.
    Raises ValueError for a wrong number of multipliers or offsets, and what :class:`Rescale` does.
    """

    LATENCY = 2 + Rescale.LATENCY

    def __init__(
        self,
        *,
        requant: Requant,
        zero_point: int,
        channels: int,
        accumulator_width: int,
        activation: Shape,
        beside: Sequence[Storage] = (),
        read_cycles: int = 1,
    ):
        require_numbers(requant, multipliers=(1, channels), offsets=(1, channels))
        self._rescale = Rescale(requant=requant, zero_point=zero_point)
        self._scales = _scales(requant, zero_point)
        self._rom = self._make_rom(beside, read_cycles)
        self._read_cycles = self._rom.read_cycles if self._rom else read_cycles
        self._operand = operand_shape(requant, zero_point, accumulator_width)
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(signed(accumulator_width), 1))),
                "o": Out(stream.Signature(data.ArrayLayout(activation, 1))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from an accumulator to its activation."""
        return self.LATENCY + self.read_cycles - 1

    @property
    def read_cycles(self) -> int:
        """Cycles in which an accumulator waits for what its channel has of its own."""
        return self._read_cycles

    @staticmethod
    def read_cycles_of(requant: Requant, zero_point: int, beside: Sequence[Storage]) -> int:
        """The least ``read_cycles`` of a requantizer, without making it."""
        varying = _varying(_scales(requant, zero_point))
        if not varying:
            return 1
        bits = sum(_shape(values).width for values in varying.values())
        rows = max(map(len, varying.values()))
        return rom_storage(rows, bits, beside=beside).read_cycles

    @property
    def memories(self) -> tuple[Storage, ...]:
        """The ROM of what differs between channels; none where nothing does."""
        return (self._rom.storage.within("scales"),) if self._rom else ()

    def _make_rom(self, beside: Sequence[Storage], read_cycles: int) -> Rom | None:
        """A row for each channel, with what differs."""
        varying = _varying(self._scales)
        if not varying:
            return None
        fields = {name: _shape(values) for name, values in varying.items()}
        rows = list(zip(*varying.values(), strict=True))
        layout = data.StructLayout(fields)
        return Rom(rows=rows, layout=layout, beside=beside, read_cycles=read_cycles)

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
        acc = clamped(self.i.payload[0], self._operand)
        s = stage(m, enable, "s1", valid=self.i.valid, acc=acc)
        for number in range(2, self.read_cycles + 1):
            s = stage(m, enable, f"s{number}", **vars(s))

        # Multiply; an addend of the channel's own goes along.
        multipliers, addends = self._scales.values()
        multiplier = own.pop("multiplier", Const(multipliers[0], _shape(multipliers)))
        multiplier = multiplier[:-1]  # unsigned: none is negative
        name = f"s{self.read_cycles + 1}"
        s = stage(m, enable, name, valid=s.valid, product=s.acc * multiplier, **own)
        addend = getattr(s, "addend", addends[0])

        # Round, clamp, add the zero point.
        name = f"s{self.read_cycles + 2}"
        self._rescale.build(
            m, enable, name, valid=s.valid, product=s.product, addend=addend, o=self.o
        )
        return m


def _scales(requant: Requant, zero_point: int) -> dict[str, tuple[int, ...]]:
    """Multipliers and addends: one of each channel, or one where all are equal."""
    addends = Rescale(requant=requant, zero_point=zero_point).addends
    return {
        name: values if len(set(values)) > 1 else values[:1]
        for name, values in (("multiplier", requant.multipliers), ("addend", addends))
    }


def _varying(scales: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Those of which channels have their own."""
    return {name: values for name, values in scales.items() if len(values) > 1}


def _shape(values: tuple[int, ...]) -> Shape:
    """The signed shape that holds them, and 0."""
    return signed(signed_width(min(0, *values), max(0, *values)))
