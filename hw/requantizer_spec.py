"""The specs of requantizers: of one or several lanes, with a multiplier or digit by digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from amaranth import Shape, signed

from ..model.dtypes import signed_width
from ..model.requant import Requant
from .operand import operand_shape
from .rescale import Rescale, require_numbers
from .storage import Storage, rom_storage

__all__ = ["RequantizerSpec", "requantizer_slots", "value_shape"]

DIGIT = 2  # bits; with more, the table of multiples does not fit the LUTs of the adder


def requantizer_slots(operand: Shape) -> int:
    """Cycles that a requantizer without a multiplier takes for an operand of this shape.

    One to begin, and one for each digit.
    """
    return 1 + -(-operand.width // DIGIT)


@dataclass(frozen=True, kw_only=True)
class RequantizerSpec:
    """The spec of a requantizer.

    Parameters
    ----------
    requant : M and B (one, or one per channel), n, the rounding rule, the clamp
    zero_point : zero point of y
    channels : OC; accumulators arrive channels last, so the channel is counted, modulo OC
    accumulator_width : bits of acc, signed
    activation : shape of y
    beside : the layer's other ROMs, see :class:`Rom`
    lanes : R, accumulators per beat; divides OC or is a multiple of it
    sequential : whether products are added up digit by digit, without a DSP block
    least_read_cycles : the least number of cycles to read the ROM

    Raises ValueError for a wrong number of multipliers, offsets or lanes.
    """

    requant: Requant
    zero_point: int
    accumulator_width: int
    activation: Shape
    channels: int = 1
    beside: Sequence[Storage] = ()
    lanes: int = 1
    sequential: bool = False
    least_read_cycles: int = 1

    def __post_init__(self) -> None:
        counts = (1,) if self.sequential else (1, self.channels)
        require_numbers(self.requant, multipliers=counts, offsets=counts)
        if self.lanes < 1 or (self.channels % self.lanes and self.lanes % self.channels):
            raise ValueError(
                f"lanes must divide the {self.channels} channels or be a multiple, not {self.lanes}"
            )

    @property
    def latency(self) -> int:
        """Cycles from an accumulator, or the last of its slots, to its activation."""
        if self.sequential:
            return 1 + Rescale.LATENCY
        return 2 + Rescale.LATENCY + self.each[0].read_cycles - 1

    @property
    def slots(self) -> int:
        """Cycles per accumulator."""
        return requantizer_slots(self.operand) if self.sequential else 1

    @property
    def memories(self) -> tuple[Storage, ...]:
        """ROMs of the values that differ between channels, one per lane; none if none differ."""
        if self.sequential:
            return ()
        if self.lanes > 1:
            return tuple(
                memory.within(f"lane{index}")
                for index, lane in enumerate(self.each)
                for memory in lane.memories
            )
        return (self.storage.within("scales"),) if self.storage else ()

    @cached_property
    def each(self) -> tuple[RequantizerSpec, ...]:
        """The spec of each lane, for its own channels; all have the slowest lane's read cycles."""
        if self.lanes == 1:
            return (self,)
        step = min(self.lanes, self.channels)
        own = [
            replace(
                self,
                requant=_every(self.requant, lane, step),
                channels=self.channels // step,
                lanes=1,
            )
            for lane in range(step)
        ]
        slowest = max(spec.read_cycles for spec in own)
        own = [replace(spec, least_read_cycles=slowest) for spec in own]
        return tuple(own[lane % step] for lane in range(self.lanes))

    @cached_property
    def operand(self) -> Shape:
        """The shape of an accumulator as it is multiplied."""
        return operand_shape(self.requant, self.zero_point, self.accumulator_width)

    @cached_property
    def scales(self) -> dict[str, tuple[int, ...]]:
        """Multipliers and addends: one for each channel, or one if all are equal."""
        addends = Rescale(requant=self.requant, zero_point=self.zero_point).addends
        return {
            name: values if len(set(values)) > 1 else values[:1]
            for name, values in (("multiplier", self.requant.multipliers), ("addend", addends))
        }

    @property
    def varying(self) -> dict[str, tuple[int, ...]]:
        """The entries of ``scales`` that differ between channels."""
        return {name: values for name, values in self.scales.items() if len(values) > 1}

    @property
    def storage(self) -> Storage | None:
        """Rows, bits and kind of the ROM of ``varying``; None if nothing varies."""
        if not self.varying:
            return None
        bits = sum(value_shape(values).width for values in self.varying.values())
        rows = max(map(len, self.varying.values()))
        return rom_storage(rows, bits, beside=self.beside)

    @property
    def read_cycles(self) -> int:
        """Cycles in which an accumulator waits for the values of its channel."""
        needed = self.storage.read_cycles if self.storage else 1
        return max(needed, self.least_read_cycles)


def value_shape(values: tuple[int, ...]) -> Shape:
    """The narrowest signed shape that holds the values and 0."""
    return signed(signed_width(min(0, *values), max(0, *values)))


def _every(requant: Requant, first: int, step: int) -> Requant:
    """The requantization of every ``step``-th channel from ``first`` on."""

    def own(values: Sequence[int]) -> tuple[int, ...]:
        return tuple(values[first::step]) if len(values) > 1 else tuple(values)

    return replace(requant, multipliers=own(requant.multipliers), offsets=own(requant.offsets))
