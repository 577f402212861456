"""Layers of several components in a row: window reader if need be, engine and what follows it."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .geometry import PatchGeometry
from .maxpool import MaxPool
from .patch import PatchEngine
from .requant import Requantizer
from .storage import Storage
from .stream import Serializer
from .window import WindowReader
from .window_geometry import WindowGeometry

__all__ = ["ConvLayer", "MaxPoolLayer"]


class ConvLayer(wiring.Component):
    """Activations in, requantized activations out.

    Parameters
    ----------
    engine : parameters of the PatchEngine, which makes the sums, P a beat
    requantizer : parameters of the Requantizer, which makes them activations again, one a beat; its
        channels and accumulator width are the engine's
    windows : of a WindowReader before the engine, whose map is then one window; None where the
        engine's patches are the windows

    Members
    -------
    i, o : streams of one activation a beat, raster order, channels last

    Latency: that of the window reader, of the engine, of the serializer where P is above 1, and of
    the requantizer. The throughput is the engine's, or one result a cycle where that is slower.
    """

    def __init__(
        self,
        *,
        engine: dict[str, Any],
        requantizer: dict[str, Any],
        windows: WindowGeometry | None = None,
    ):
        activations = (engine["activation"], requantizer["activation"])
        x, y = (stream.Signature(data.ArrayLayout(shape, 1)) for shape in activations)
        super().__init__({"i": In(x), "o": Out(y)})
        self._engine = PatchEngine(**engine)
        self._windows: WindowReader | None = None
        if windows:
            self._windows = WindowReader(
                geometry=windows, activation=engine["activation"], fill=engine["zero_point"]
            )
        self._requantizer = Requantizer(
            channels=engine["geometry"].out_channels,
            accumulator_width=engine["accumulator_width"],
            beside=[memory for memory in self._engine.memories if not memory.writable],
            **requantizer,
        )

    @property
    def memories(self) -> tuple[Storage, ...]:
        """Those of the window reader, the engine and the requantizer."""
        return (
            *_of_windows(self._windows),
            *(memory.within("engine") for memory in self._engine.memories),
            *(memory.within("requantizer") for memory in self._requantizer.memories),
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = engine = self._engine
        m.submodules.requantizer = requantizer = self._requantizer
        if self._windows:
            m.submodules.windows = self._windows
            connect(m, flipped(self.i), self._windows.i)
            connect(m, self._windows.o, engine.i)
        else:
            connect(m, flipped(self.i), engine.i)
        geometry = engine.geometry
        if geometry.lanes == 1:
            connect(m, engine.o, requantizer.i)
        else:
            m.submodules.serializer = serializer = Serializer(
                layout=engine.o.payload.shape(),
                slots=geometry.slots,
                last_lanes=geometry.last_lanes,
            )
            connect(m, engine.o, serializer.i)
            connect(m, serializer.o, requantizer.i)
        connect(m, requantizer.o, flipped(self.o))
        return m


class MaxPoolLayer(wiring.Component):
    """A maximum pool of any windows.

    Parameters
    ----------
    geometry : the pool's; of one window where there is a window reader
    activation : shape of the activations
    least : the type's least value, which the padding holds
    windows : of a WindowReader before the pool; None where its patches are the windows

    Members
    -------
    i, o : streams of one activation a beat, raster order, channels last

    Latency and throughput: the window reader's and the pool's.
    """

    def __init__(
        self,
        *,
        geometry: PatchGeometry,
        activation: Shape,
        least: int,
        windows: WindowGeometry | None = None,
    ):
        self._pool = MaxPool(geometry=geometry, activation=activation)
        self._windows: WindowReader | None = None
        if windows:
            self._windows = WindowReader(geometry=windows, activation=activation, fill=least)
        activations = stream.Signature(data.ArrayLayout(activation, 1))
        super().__init__({"i": In(activations), "o": Out(activations)})

    @property
    def memories(self) -> tuple[Storage, ...]:
        """Those of the window reader and the pool."""
        pool = (memory.within("pool") for memory in self._pool.memories)
        return (*_of_windows(self._windows), *pool)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pool = pool = self._pool
        if self._windows:
            m.submodules.windows = self._windows
            connect(m, flipped(self.i), self._windows.i)
            connect(m, self._windows.o, pool.i)
        else:
            connect(m, flipped(self.i), pool.i)
        connect(m, pool.o, flipped(self.o))
        return m


def _of_windows(windows: WindowReader | None) -> tuple[Storage, ...]:
    """The buffer of a window reader, if there is one."""
    return (windows.storage.within("windows"),) if windows else ()
