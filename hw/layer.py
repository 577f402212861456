"""Layers of several components: a window reader if needed, the engine, and a requantizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from amaranth import Module, Shape
from amaranth.lib import data
from amaranth.lib.wiring import connect, flipped

from .component import SpecComponent
from .geometry import PatchGeometry
from .lanes import Serializer
from .maxpool import MaxPool, max_pool_latency
from .patch import PatchEngine, PatchSpec
from .requant import Requantizer
from .requantizer_spec import RequantizerSpec
from .requantizers import Requantizers
from .sequential import SequentialRequantizer
from .storage import Storage
from .sums import SumsSpec
from .window import WindowReader, WindowSpec

__all__ = ["ConvLayer", "ConvSpec", "MaxPoolLayer", "MaxPoolSpec", "requantizer_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvSpec:
    """The spec of a convolution.

    Parameters
    ----------
    engine : makes the sums, P for each cell and beat
    requantizer : turns them into activations, R at once; R divides the engine's sums and the sums
        of its last slot. Its ROM gives way to the engine's (``beside``)
    windows : a window reader before the engine, whose map is then one window in a single row, ky by
        ky; None if the engine's patches are the windows
    """

    engine: PatchSpec
    requantizer: RequantizerSpec
    windows: WindowSpec | None = None

    def __post_init__(self) -> None:
        roms = tuple(memory for memory in self.engine.memories if not memory.writable)
        object.__setattr__(self, "requantizer", replace(self.requantizer, beside=roms))

    @property
    def latency(self) -> int:
        """Cycles from the last step of a patch in the engine to its first result."""
        serializer = Serializer.LATENCY if self.serializes else 0
        return self.engine.latency + self.requantizer.latency + serializer

    @property
    def serializes(self) -> bool:
        """Whether the engine makes more sums at once than are requantized at once."""
        return self.engine.geometry.sums != self.requantizer.lanes

    @cached_property
    def memories(self) -> tuple[Storage, ...]:
        """The memories of the window reader, the engine and the requantizer."""
        return (
            *_of_windows(self.windows),
            *(memory.within("engine") for memory in self.engine.memories),
            *(memory.within("requantizer") for memory in self.requantizer.memories),
        )


class ConvLayer(SpecComponent[ConvSpec]):
    """y = clamp(round((acc * M + B) / 2**n) + zero_point, low, high), with acc from a PatchEngine.

    Parameters
    ----------
    spec : spec of the layer

    Members
    -------
    i : input stream of the window reader, or of the engine if there is no window reader
    o : stream of R activations per beat, raster order, channels last

    Latency: the sum of the window reader's, the engine's, the requantizer's, and the serializer's
    if the engine makes more than R sums per beat. Throughput: the engine's, or R results per cycle
    if that is slower.
    """

    def __init__(self, spec: ConvSpec):
        self._engine = PatchEngine(spec.engine)
        self._windows = WindowReader(spec.windows) if spec.windows else None
        first = self._windows or self._engine
        y = data.ArrayLayout(spec.requantizer.activation, spec.requantizer.lanes)
        super().__init__(spec, i=first.i.payload.shape(), o=y)
        self._requantizer = requantizer_of(spec.requantizer)

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
        geometry = engine.spec.geometry
        if not self._spec.serializes:
            connect(m, engine.o, requantizer.i)
        else:
            m.submodules.serializer = serializer = Serializer(
                layout=engine.o.payload.shape(),
                slots=geometry.slots,
                last_lanes=geometry.cells * geometry.last_pe,
                at_once=self._spec.requantizer.lanes,
            )
            connect(m, engine.o, serializer.i)
            connect(m, serializer.o, requantizer.i)
        connect(m, requantizer.o, flipped(self.o))
        return m


def requantizer_of(
    spec: RequantizerSpec,
) -> Requantizer | Requantizers | SequentialRequantizer:
    """The component of a spec: one requantizer, R of them, or the sequential one."""
    if spec.sequential:
        return SequentialRequantizer(spec)
    return Requantizer(spec) if spec.lanes == 1 else Requantizers(spec)


@dataclass(frozen=True, kw_only=True)
class MaxPoolSpec:
    """The spec of a maximum pool.

    Parameters
    ----------
    geometry : geometry of the pool; of one window if there is a window reader
    activation : shape of the activations
    windows : a window reader before the pool, which pads with the type's least value; None if the
        pool's patches are the windows
    """

    geometry: PatchGeometry
    activation: Shape
    windows: WindowSpec | None = None

    @property
    def latency(self) -> int:
        """Cycles of the pool, from a window's last activation to its maximum."""
        return max_pool_latency(self._maxima)

    @property
    def memories(self) -> tuple[Storage, ...]:
        """The memories of the window reader and the pool."""
        return (*_of_windows(self.windows), self._maxima.storage.within("pool.maxima"))

    @property
    def _maxima(self) -> SumsSpec:
        return SumsSpec(self.geometry, self.geometry.channels_at_once * self.activation.width)


class MaxPoolLayer(SpecComponent[MaxPoolSpec]):
    """y = max of x over each window, for each channel.

    Parameters
    ----------
    spec : spec of the layer

    Members
    -------
    i, o : streams of ``geometry.channels_at_once`` activations per beat in raster order, channels
        last

    Latency and throughput: as of the window reader and the pool.
    """

    def __init__(self, spec: MaxPoolSpec):
        self._pool = MaxPool(geometry=spec.geometry, activation=spec.activation)
        self._windows = WindowReader(spec.windows) if spec.windows else None
        activations = data.ArrayLayout(spec.activation, spec.geometry.channels_at_once)
        super().__init__(spec, i=activations, o=activations)

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


def _of_windows(windows: WindowSpec | None) -> tuple[Storage, ...]:
    """The buffers of a window reader, if there is one."""
    return tuple(memory.within("windows") for memory in windows.memories) if windows else ()
