"""Tables as parts of a core."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...hw.table import Table as TableComponent
from ...hw.table import TableSpec
from ...model.layers.table import Table
from ..timing.channel import Channel
from ..timing.processes import Pipeline
from .part import LanesPart, Model, NewChannel, divisors, shape_of

__all__ = ["TablePart"]


@dataclass(frozen=True)
class TablePart(LanesPart):
    """A function of one value, as a ROM for each value of a beat."""

    COMPONENT = TableComponent

    layer: Table

    def choices(self, read: int, written: Sequence[int]) -> Iterator[TablePart]:
        _, width, channels = self.x.shape
        for lanes in divisors(math.gcd(read, width * channels)):
            if channels % lanes == 0 or lanes % channels == 0:
                yield replace(self, lanes=lanes)

    @property
    def cycles(self) -> int:
        return self.beats

    @cached_property
    def spec(self) -> TableSpec:
        """The spec of the hardware."""
        return TableSpec(
            activation=shape_of(self.x.dtype),
            result=shape_of(self.y.dtype),
            first=self.layer.first,
            values=self.layer.values,
            lanes=self.lanes,
        )

    def processes(self, inputs: Sequence[Channel], new: NewChannel, images: int) -> Model:
        (i,) = inputs
        o, beats = new(), [(images * self.results, 1, 1)]
        return Pipeline(i, o, self.spec.latency, beats).processes(), o
