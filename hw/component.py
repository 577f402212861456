"""Components that are built from one spec and turn one stream into another."""

from __future__ import annotations

from typing import Generic, TypeVar

from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SpecComponent"]

Spec = TypeVar("Spec")


class SpecComponent(wiring.Component, Generic[Spec]):
    """A component with one input and one output stream, built from one spec.

    Parameters
    ----------
    spec : spec of the component, a frozen dataclass
    i, o : shapes of a beat of the streams ``i`` and ``o``
    """

    def __init__(self, spec: Spec, *, i: ShapeLike, o: ShapeLike):
        self._spec = spec
        super().__init__({"i": In(stream.Signature(i)), "o": Out(stream.Signature(o))})

    @property
    def spec(self) -> Spec:
        """The spec of the component."""
        return self._spec
