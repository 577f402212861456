"""The forms of a network's layers: for a number of cycles, the cheapest form of each layer.

A form is the parallelism of a part. Streams are as narrow as the cycles per image allow: a layer's
output has the fewest lanes with which an image takes no more beats than there are cycles per image.
It has more lanes if its sums come in bursts that fewer lanes would delay. The lanes of a layer's
input are those of the layers before it, so the forms are chosen layer by layer, in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...model.layers import NetworkError, Tensor
from ...model.network import QNetwork
from ..parts.part import Part, divisors
from .links import Links

__all__ = ["Choice", "Folding", "Form", "Forms", "Options"]

Folding = Mapping[str, int]  # P, S and R of a layer


class _IllegalError(Exception):
    """A value of a folding that a layer cannot have, at one width of the core's input.

    place : of the layer and of the value; the values before it are legal
    legal : the values that the layer can have at this width
    """

    def __init__(
        self, layer: str, wanted: Folding, name: str, place: tuple[int, int], legal: set[int]
    ) -> None:
        super().__init__(layer, name)
        self.layer, self.wanted, self.name = layer, wanted, name
        self.place, self.legal = place, legal


def _refusal(errors: Sequence[_IllegalError]) -> NetworkError:
    """The error for a folding that is legal at no width: what is wrong at those that get farthest.

    The layer can have the values that it has at any of these widths.
    """
    last = max(errors, key=lambda error: error.place)
    legal = set().union(*(error.legal for error in errors if error.place == last.place))
    given = "".join(f" with {n} = {last.wanted[n]}" for n in ("P", "S")[: last.place[1] - 1])
    return NetworkError(
        f"Layer {last.layer!r}: {last.name} must be one of "
        f"{', '.join(map(str, sorted(legal)))}{given}, not {last.wanted[last.name]}"
    )


@dataclass(frozen=True)
class Form:
    """A part that can be chosen for a layer.

    read : lanes of its input stream, before a converter
    """

    part: Part
    read: int

    @property
    def interval(self) -> int:
        """The fewest cycles between input beats; above 1 if a converter collects them."""
        return self.part.input_lanes // math.gcd(self.read, self.part.input_lanes)

    @property
    def price(self) -> tuple[int, int, int]:
        """The sort key of forms, cheapest first.

        Fewer multipliers are cheaper, requantizers included. Without multipliers in the engine,
        fewer activations at once are cheaper.
        """
        part = self.part
        total = part.multipliers + part.requantizer_multipliers
        return total, part.multipliers, 0 if part.multipliers else part.input_lanes

    @property
    def cycles_bound(self) -> int:
        """A lower bound on ``cycles`` that is cheap to compute."""
        return max(self.part.cycles_bound, self.part.beats * self.interval)

    @property
    def cycles_alone(self) -> int:
        """Exact cycles of an image if nothing but the converter before the part delays it."""
        return self.part.cycles_alone(self.read)

    @cached_property
    def cycles(self) -> int:
        """Cycles of an image; up to a few too many if its input is slow."""
        return max(self.part.cycles, self.cycles_bound, self.part.engine_cycles_at(self.interval))


class Options:
    """The forms of a layer; among equal ones the first is used.

    ``cycles`` of a form may be slow to compute; its lower bound ``cycles_bound`` is fast. The bound
    decides if it can, so ``cycles`` is computed for few forms.
    """

    def __init__(self, forms: Sequence[Form]) -> None:
        self.forms = sorted(forms, key=lambda each: (*each.price, each.cycles_bound))

    def cheapest(self, cycles: int) -> Form | None:
        """The cheapest form within ``cycles``; ties go to the fastest. None if none fits."""
        best: Form | None = None
        for each in self.forms:
            if best and (each.price > best.price or each.cycles_bound >= best.cycles):
                break
            if each.cycles_bound <= cycles and each.cycles <= cycles:
                best = each if best is None or each.cycles < best.cycles else best
        return best


@dataclass(frozen=True)
class Choice:
    """A form for each layer, in order.

    input_lanes : values in a beat of the network's input
    whole_lanes : the same if they divide a row, else the fewest that divide a row and are as fast
    """

    forms: tuple[Form, ...]
    input_lanes: int
    whole_lanes: int

    @property
    def multipliers(self) -> int:
        """Multipliers of all engines."""
        return sum(form.part.multipliers for form in self.forms)

    @property
    def cycles(self) -> int:
        """Cycles of the slowest layer: the cycles per image unless layers wait for each other."""
        return max(form.cycles for form in self.forms)


class Forms:
    """The forms of a network's layers.

    Parameters
    ----------
    network, links : the network, and the streams between its layers
    parts : a part for each layer by name, in order, in any form
    """

    def __init__(self, network: QNetwork, links: Links, parts: Mapping[str, Part]) -> None:
        self.links = links
        self._input, self._parts = network.tensors[network.input], parts
        self._known: dict[tuple[str, int, int], Options] = {}

    @property
    def single_cycles(self) -> int:
        """Cycles per image with one activation at a time in every layer and in the input stream."""
        values = math.prod(self._input.shape)
        return max(values, *(part.single.cycles for part in self._parts.values()))

    @property
    def weight_bits(self) -> int:
        """Bits of all weights, which every plan stores."""
        return sum(part.weight_bits for part in self._parts.values())

    def cycles_at_least(self, multipliers: int) -> int:
        """A lower bound on the cycles of plans with ``multipliers`` multipliers."""
        multiplies = sum(part.multiplies for part in self._parts.values())
        return -(-multiplies // max(multipliers, 1))

    def _input_widths(self) -> list[int]:
        """The lanes allowed for the network's input.

        If the only reader can take several pixels at once, the lanes may be any of its choices;
        they need not divide a row.
        """
        readers = [self._parts[link.target] for link in self.links.readers[""] if link.target]
        first = readers[0]
        if len(readers) > 1 or not first.whole_pixels:
            return _widths(self._input)
        channels = self._input.shape[2]
        pixels = [channels * count for count in first.whole_pixels]
        return sorted({*divisors(channels), *pixels})

    def cheapest(self, cycles: int) -> Choice | None:
        """The cheapest form of each layer within ``cycles``; None if a layer has no such form."""

        def pick(part: Part, read: int) -> Form | None:
            out = self.links.out.source == part.name  # results leave the core one by one
            written = 1 if out else _least(part.y, _widths(part.y), cycles)
            return self._forms(part, read, written).cheapest(cycles)

        return self._chosen(_least(self._input, self._input_widths(), cycles), cycles, pick)

    def _chosen(
        self, lanes_in: int, cycles: int, pick: Callable[[Part, int], Form | None]
    ) -> Choice | None:
        """The forms that ``pick`` gives for each part and the lanes that it reads.

        None if there is none for a part.
        """
        lanes = {"": lanes_in}
        chosen = []
        for name, part in self._parts.items():
            read = math.gcd(*(lanes[link.source] for link in self.links.into(part.layer)))
            form = pick(part, read)
            if form is None:
                return None
            chosen.append(form)
            lanes[name] = form.part.output_lanes
        whole = _widths(self._input)
        divides = lanes_in in whole
        return Choice(
            tuple(chosen), lanes_in, lanes_in if divides else _least(self._input, whole, cycles)
        )

    def folded(
        self, folding: Mapping[str, Folding], input_lanes: int | None, cycles: int | None
    ) -> Choice:
        """The forms with P, S and R by hand.

        Parameters
        ----------
        folding : {"P": P, "S": S, "R": R} for each layer
        input_lanes : values in a beat of the core's input; by default the fewest that make the
            core as fast as this folding can be
        cycles : among forms of equal P, S and R the cheapest within these cycles is chosen; by
            default within those of the slowest layer

        Raises NetworkError, with the legal values, for a value that a layer cannot have.
        """
        self._require_layers(folding)
        refusals: list[_IllegalError] = []
        found: list[Choice] = []
        for lanes in self._input_widths():
            try:
                fastest = self._folded(folding, lanes, 0).cycles
                budget = cycles or max(fastest, self._beats(lanes))
                found.append(self._folded(folding, lanes, budget))
            except _IllegalError as error:
                refusals.append(error)
        if not found:
            raise _refusal(refusals)
        if input_lanes is not None:
            found = [each for each in found if input_lanes in (each.input_lanes, each.whole_lanes)]
        if not found:
            raise NetworkError(
                f"The input cannot have {input_lanes} values a beat with this folding; leave "
                "input_lanes out, and the fewest are taken"
            )
        return min(found, key=lambda each: max(each.cycles, self._beats(each.input_lanes)))

    def _beats(self, lanes: int) -> int:
        height, width, channels = self._input.shape
        return height * -(-width * channels // lanes)

    def _require_layers(self, folding: Mapping[str, Folding]) -> None:
        """Refuse a folding of other layers than those with hardware."""
        for name in sorted({*folding} ^ {*self._parts}):
            what = "has no hardware" if name in folding else "is missing in the folding"
            raise NetworkError(
                f"Layer {name!r} {what}; give P, S and R of {', '.join(self._parts)}"
            )

    def _folded(self, folding: Mapping[str, Folding], lanes: int, cycles: int) -> Choice:
        """The forms with P, S and R by hand: the cheapest within ``cycles``, else the fastest."""

        places = {name: place for place, name in enumerate(self._parts)}

        def pick(part: Part, read: int) -> Form:
            wanted, place = folding[part.name], places[part.name]
            forms: Sequence[Form] = self._forms(part, read, 1).forms
            for at, name in enumerate(("P", "S", "R"), 1):
                fitting = [form for form in forms if form.part.form[name] == wanted[name]]
                if not fitting:
                    legal = {form.part.form[name] for form in forms}
                    raise _IllegalError(part.name, wanted, name, (place, at), legal)
                forms = fitting
            cheap = Options(forms).cheapest(cycles)
            return cheap or min(forms, key=lambda form: form.cycles)

        choice = self._chosen(lanes, cycles, pick)
        assert choice is not None
        return choice

    def _forms(self, part: Part, read: int, written: int) -> Options:
        """The forms that read beats of ``read`` lanes and write ``written`` lanes or more."""
        key = part.name, read, written
        if key not in self._known:
            wide = [lanes for lanes in _widths(part.y) if lanes >= written]
            self._known[key] = Options(list(_readable(part, read, part.choices(read, wide))))
        return self._known[key]


def _readable(part: Part, read: int, made: Iterator[Part]) -> Iterator[Form]:
    """Forms of the parts of ``made`` that can take an input in beats of ``read`` lanes."""
    values, row = math.prod(part.x.shape), part.x.shape[1] * part.x.shape[2]
    for each in made:
        lanes = each.input_lanes
        padded = row % read or each.beats * lanes != values  # beats that do not fill their row
        if read == lanes or not padded:
            yield Form(each, read)


def _widths(tensor: Tensor) -> list[int]:
    """The lanes allowed for a tensor: a part of a pixel, or whole pixels that divide a row."""
    _, width, channels = tensor.shape
    return sorted({*divisors(channels), *(channels * count for count in divisors(width))})


def _least(tensor: Tensor, widths: Sequence[int], cycles: int) -> int:
    """The fewest lanes with which an image takes at most ``cycles`` beats; if none, the most."""
    height, width, channels = tensor.shape
    for lanes in widths:
        if height * -(-width * channels // lanes) <= cycles:
            return lanes
    return widths[-1]
