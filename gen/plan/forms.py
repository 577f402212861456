"""The forms that a network's layers can take together: for a number of cycles, one of each layer.

A form is how much a part does at once. Streams are as narrow as the pace allows: a layer's results
come in beats of the least lanes with which an image's beats are no more than the cycles between
images, or more where its sums come in bursts that fewer would hold up. So layers are chosen one
after another, each with the beats that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...model.layers import Tensor
from ...model.network import QNetwork
from ..parts.part import Part, divisors
from .choose import Options
from .links import Links

__all__ = ["Choice", "Form", "Forms"]


@dataclass(frozen=True)
class Form:
    """A layer's part, as it may be chosen.

    read : lanes of the beats in which its input comes
    """

    part: Part
    read: int

    @property
    def pace(self) -> int:
        """Cycles from one beat of its input to the next, at least; more than 1 where a converter
        collects them."""
        return self.part.input_lanes // math.gcd(self.read, self.part.input_lanes)

    @property
    def price(self) -> tuple[int, int, int]:
        """What is compared first: fewer multipliers are cheaper, those that requantize included;
        where no others are, fewer activations at once."""
        part = self.part
        total = part.multipliers + part.requantizer_multipliers
        return total, part.multipliers, 0 if part.multipliers else part.input_lanes

    @property
    def least_cycles(self) -> int:
        """No more than ``busy_cycles``, and quick to tell."""
        return max(self.part.fewest_cycles, self.part.beats * self.pace)

    @property
    def own_cycles(self) -> int:
        """Exactly the cycles of an image where only the converter before the part holds it up."""
        return self.part.cycles_fed(self.read)

    @cached_property
    def busy_cycles(self) -> int:
        """Cycles of an image, or a few more where its input comes slowly."""
        return max(self.part.busy_cycles, self.least_cycles, self.part.paced_cycles(self.pace))


@dataclass(frozen=True)
class Choice:
    """A form of each layer, in order.

    input_lanes : values of a beat of the network's input
    whole_lanes : the same, or where those do not divide a row the least that do and are as fast
    """

    forms: tuple[Form, ...]
    input_lanes: int
    whole_lanes: int

    @property
    def multipliers(self) -> int:
        """Of all engines."""
        return sum(form.part.multipliers for form in self.forms)

    @property
    def cycles(self) -> int:
        """Of the slowest layer, which sets the pace unless layers wait for each other."""
        return max(form.busy_cycles for form in self.forms)


class Forms:
    """The forms of a network's layers.

    Parameters
    ----------
    network, links : the network, and which stream goes where
    parts : of each layer by name, in order, in any form
    """

    def __init__(self, network: QNetwork, links: Links, parts: Mapping[str, Part]) -> None:
        self.links = links
        self._input, self._parts = network.tensors[network.input], parts
        self._known: dict[tuple[str, int, int], Options[Form]] = {}

    @property
    def single_cycles(self) -> int:
        """The cycles in which values come one at a time, or those of the slowest layer that takes
        one at a time, if that is slower."""
        values = math.prod(self._input.shape)
        return max(values, *(part.single.busy_cycles for part in self._parts.values()))

    def cycles_at_least(self, multipliers: int) -> int:
        """The cycles of which no plan of so many multipliers takes fewer."""
        multiplies = sum(part.multiplies for part in self._parts.values())
        return -(-multiplies // max(multipliers, 1))

    def _input_lanes(self, cycles: int) -> int:
        """Values of a beat of the network's input. Where a single layer reads it that takes several
        pixels at once, as many as it can take; they need not divide a row."""
        readers = [self._parts[link.target] for link in self.links.readers[""] if link.target]
        first = readers[0]
        if len(readers) > 1 or not first.whole_pixels:
            return _least(self._input, _widths(self._input), cycles)
        channels = self._input.shape[2]
        pixels = [channels * count for count in first.whole_pixels]
        return _least(self._input, sorted({*divisors(channels), *pixels}), cycles)

    def cheapest(self, cycles: int) -> Choice | None:
        """The cheapest form of each layer that takes at most so many cycles; None where a layer has
        none."""
        lanes = {"": self._input_lanes(cycles)}
        chosen = []
        for name, part in self._parts.items():
            read = math.gcd(*(lanes[link.source] for link in self.links.into(part.layer)))
            out = self.links.out.source == name  # results leave one by one
            written = 1 if out else _least(part.y, _widths(part.y), cycles)
            form = self._forms(part, read, written).cheapest(cycles)
            if form is None:
                return None
            chosen.append(form)
            lanes[name] = form.part.output_lanes
        whole = _widths(self._input)
        divides = lanes[""] in whole
        lanes_in = lanes[""] if divides else _least(self._input, whole, cycles)
        return Choice(tuple(chosen), lanes[""], lanes_in)

    def _forms(self, part: Part, read: int, written: int) -> Options[Form]:
        """The forms that read beats of ``read`` lanes and write of ``written`` or more."""
        key = part.name, read, written
        if key not in self._known:
            wide = [lanes for lanes in _widths(part.y) if lanes >= written]
            self._known[key] = Options(list(_readable(part, read, part.choices(read, wide))))
        return self._known[key]


def _readable(part: Part, read: int, made: Iterator[Part]) -> Iterator[Form]:
    """The parts that can take an input that comes in beats of ``read`` lanes."""
    values, row = math.prod(part.x.shape), part.x.shape[1] * part.x.shape[2]
    for each in made:
        lanes = each.input_lanes
        padded = row % read or each.beats * lanes != values  # beats that do not fill their row
        if read == lanes or not padded:
            yield Form(each, read)


def _widths(tensor: Tensor) -> list[int]:
    """The lanes that a tensor's beats may have: a part of a pixel, or pixels that divide a row."""
    _, width, channels = tensor.shape
    return sorted({*divisors(channels), *(channels * count for count in divisors(width))})


def _least(tensor: Tensor, widths: Sequence[int], cycles: int) -> int:
    """The least lanes with which an image takes no more than ``cycles`` beats; else the most."""
    height, width, channels = tensor.shape
    for lanes in widths:
        if height * -(-width * channels // lanes) <= cycles:
            return lanes
    return widths[-1]
