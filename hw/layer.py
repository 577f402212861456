"""Layers of several components in a row: window reader if need be, engine and what follows it."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .geometry import PatchGeometry
from .lanes import Serializer
from .maxpool import MaxPool
from .patch import PatchEngine
from .requant import Requantizer
from .requantizers import Requantizers
from .sequential import SequentialRequantizer
from .storage import Storage
from .window import WindowReader
from .window_geometry import WindowGeometry

__all__ = ["ConvLayer", "MaxPoolLayer"]


class ConvLayer(wiring.Component):
    """y = clamp(round((acc * M + B) / 2**n) + zero_point, low, high), acc a PatchEngine's sums.

    Parameters
    ----------
    engine : parameters of the PatchEngine, which makes the sums, P of each cell a beat
    requantizer : parameters of the Requantizer, which makes them activations again; its channels
        and accumulator width are the engine's
    windows : of a WindowReader before the engine, whose map is then one window in a row, ky by ky;
        None where the engine's patches are the windows
    lanes : R, results requantized at once; divides the engine's sums, and those of its last slot
    sequential : whether the requantizer is the slow one without a DSP block; with one lane

    Members
    -------
    i : stream of what the engine takes a beat, or a window reader for it (one tap)
    o : stream of R activations a beat, raster order, channels last

    Latency: that of the window reader, of the engine, of the serializer where the engine makes more
    than R sums a beat, and of the requantizer. The throughput is the engine's, or R results a cycle
    where that is slower.
    """

    def __init__(
        self,
        *,
        engine: dict[str, Any],
        requantizer: dict[str, Any],
        windows: WindowGeometry | None = None,
        lanes: int = 1,
        sequential: bool = False,
    ):
        self._engine = PatchEngine(**engine)
        self._windows: WindowReader | None = None
        if windows:
            self._windows = WindowReader(
                geometry=windows,
                activation=engine["activation"],
                lanes=engine["geometry"].channels,
                fill=engine["zero_point"],
            )
        first = self._windows or self._engine
        y = stream.Signature(data.ArrayLayout(requantizer["activation"], lanes))
        super().__init__({"i": In(first.i.signature.flip()), "o": Out(y)})
        self._lanes = lanes
        requantizer |= {
            "channels": engine["geometry"].out_channels,
            "accumulator_width": engine["accumulator_width"],
            "beside": [memory for memory in self._engine.memories if not memory.writable],
        }
        self._requantizer: Requantizer | Requantizers | SequentialRequantizer
        if sequential:
            del requantizer["channels"], requantizer["beside"]
            self._requantizer = SequentialRequantizer(**requantizer)
        elif lanes == 1:
            self._requantizer = Requantizer(**requantizer)
        else:
            self._requantizer = Requantizers(lanes=lanes, **requantizer)

    @property
    def latencies(self) -> tuple[int, int]:
        """Cycles of the engine, from the last step of a beat to its sums, and of the
        requantizer."""
        return self._engine.latency, self._requantizer.latency

    @property
    def latency(self) -> int:
        """Cycles from the last step of a patch in the engine to its first result."""
        serializer = 0 if self._engine.geometry.sums == self._lanes else Serializer.LATENCY
        return sum(self.latencies) + serializer

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
        if geometry.sums == self._lanes:
            connect(m, engine.o, requantizer.i)
        else:
            m.submodules.serializer = serializer = Serializer(
                layout=engine.o.payload.shape(),
                slots=geometry.slots,
                last_lanes=geometry.cells * geometry.last_lanes,
                at_once=self._lanes,
            )
            connect(m, engine.o, serializer.i)
            connect(m, serializer.o, requantizer.i)
        connect(m, requantizer.o, flipped(self.o))
        return m


class MaxPoolLayer(wiring.Component):
    """y = max of x over each window, for each channel.

    Parameters
    ----------
    geometry : the pool's; of one window where there is a window reader
    activation : shape of the activations
    least : the type's least value, which the padding holds
    windows : of a WindowReader before the pool; None where its patches are the windows

    Members
    -------
    i, o : streams of ``geometry.channels`` activations a beat, raster order, channels last

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
            self._windows = WindowReader(
                geometry=windows, activation=activation, lanes=geometry.channels, fill=least
            )
        activations = stream.Signature(data.ArrayLayout(activation, geometry.channels))
        super().__init__({"i": In(activations), "o": Out(activations)})

    @property
    def latency(self) -> int:
        """Cycles of the pool, from a window's last activation to its maximum."""
        return self._pool.latency

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
    """The buffers of a window reader, if there is one."""
    return tuple(memory.within("windows") for memory in windows.memories) if windows else ()
