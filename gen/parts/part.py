"""Parts of a core: for each layer its hardware, its cost and its cycles.

The width of a stream between parts is set by the part that writes it (``output_lanes``). If the
reader needs other beats (``input_lanes``), a converter precedes it, see ``hw/lanes.py``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, repeat
from typing import Any, ClassVar, Self

import numpy as np
from amaranth import Shape, signed, unsigned
from amaranth.lib import wiring

from ...hw.centered import centered_width
from ...hw.geometry import PatchGeometry
from ...hw.storage import Storage
from ...hw.window import WindowSpec
from ...hw.window_geometry import WindowGeometry
from ...model.builder import Window
from ...model.dtypes import Integers, IntType
from ...model.layers import Layer, Tensor
from ...model.network import QNetwork
from ..timing.channel import Channel, Process
from ..timing.processes import Step, Windows
from .alone import simulated_cycles
from .engine_steps import engine_steps
from .products import Product

__all__ = [
    "LanesPart",
    "Model",
    "MultipliesNothing",
    "NewChannel",
    "Part",
    "WindowedPart",
    "WithoutEngine",
    "WithoutMemory",
    "centered_bits",
    "divisors",
    "shape_of",
    "windows_of",
]

NewChannel = Callable[[], Channel]
Model = tuple[list[Process], Channel]  # processes, and the channel of their output


def shape_of(dtype: IntType) -> Shape:
    """The Amaranth shape of an integer type."""
    return signed(dtype.bits) if dtype.signed else unsigned(dtype.bits)


def centered_bits(x: Tensor) -> int:
    """Bits of a tensor's values after subtraction of the zero point, as signed integers."""
    return centered_width(shape_of(x.dtype), x.zero_point)


@dataclass(frozen=True)
class Part(ABC):
    """A layer in hardware: it reads streams and writes one, with one or more activations a beat.

    layer : the layer of the network
    x, y : the tensors that it reads and writes
    """

    layer: Layer
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, network: QNetwork, layer: Any) -> Self:
        """The part of a layer that reads one tensor, at its narrowest."""
        return cls(layer, network.tensors[layer.input], network.tensors[layer.output])

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    @property
    def handshake(self) -> str:
        """The port whose valid and ready belong to the output stream in the Verilog."""
        return "o"

    @property
    def ports(self) -> tuple[str, ...]:
        """The component's input streams, in the order of the tensors that the layer reads."""
        return ("i",)

    @property
    def input_lanes(self) -> int:
        """Activations in a beat of the input."""
        return 1

    @property
    def output_lanes(self) -> int:
        """Activations in a beat of the output; they divide a row of the map."""
        return 1

    @property
    def beats(self) -> int:
        """Input beats of one image; no beat spans two rows."""
        height, width, channels = self.x.shape
        return height * -(-width * channels // self.input_lanes)

    @property
    def form(self) -> dict[str, int]:
        """The parallelism: P output channels, S activations and R results at once."""
        return {"P": 1, "S": self.input_lanes, "R": self.output_lanes}

    @property
    def weight_bits(self) -> int:
        """Bits of the layer's weights, unless they are a constant."""
        return 0

    @property
    def results(self) -> int:
        """Output beats of one image."""
        return math.prod(self.y.shape) // self.output_lanes

    @property
    @abstractmethod
    def cycles(self) -> int:
        """Cycles of one image if neither input nor output ever pauses."""

    @property
    def engine_cycles(self) -> int:
        """A lower bound on ``cycles`` that is cheap to compute."""
        return self.cycles

    @property
    def cycles_bound(self) -> int:
        """A lower bound on ``cycles`` that takes no time to compute."""
        return self.engine_cycles

    def engine_cycles_at(self, interval: int) -> int:
        """About ``engine_cycles`` if an input beat comes only every ``interval`` cycles."""
        return max(self.engine_cycles, self.beats * interval)

    def cycles_alone(self, read: int) -> int:
        """Exact cycles of an image if a converter collects its beats of ``read`` lanes."""
        interval = self.input_lanes // math.gcd(read, self.input_lanes)
        return max(self.cycles, self.engine_cycles_at(interval))

    @property
    def whole_pixels(self) -> list[int]:
        """The choices of pixels in a beat, above 1, if the part is the first of a network.

        They need not divide a row.
        """
        return []

    def choices(self, read: int, written: Sequence[int]) -> Iterator[Part]:
        """The forms that the part can have.

        read : lanes of its input stream, before a converter
        written : the lanes that its output may have
        """
        yield self

    @property
    def single(self) -> Part:
        """The fastest form that takes one activation at a time."""
        return self

    @property
    @abstractmethod
    def multipliers(self) -> int:
        """Multipliers without those that requantize."""

    @property
    @abstractmethod
    def requantizer_multipliers(self) -> int:
        """Multipliers that requantize."""

    @abstractmethod
    def products(self) -> list[Product]:
        """The multipliers with the widths of their factors, without those that are only wires."""

    @abstractmethod
    def features(self) -> Counter[str]:
        """Features for the LUT estimate, without products and memories; see ``cost/luts.py``."""

    @property
    def multiplies(self) -> int:
        """Multiplications of one image, without requantization."""
        return 0

    @property
    def accumulator_width(self) -> int | None:
        """Bits of a sum; None if the layer sums nothing."""
        return None

    @property
    def partial_sum_bits(self) -> int:
        """Bits of the memory of partial sums."""
        return 0

    def needs(self, port: int) -> Integers:
        """For each output beat of an image, the number of beats of an input that it needs."""
        return np.arange(1, self.results + 1)

    @property
    @abstractmethod
    def memories(self) -> tuple[Storage, ...]:
        """All memories, named by their paths in the component."""

    @abstractmethod
    def component(self) -> wiring.Component:
        """The hardware component, with the streams ``ports`` and ``o``."""

    def requantizer(self) -> wiring.Component:
        """The component that requantizes, as a study measures it; here the whole component."""
        return self.component()

    @abstractmethod
    def processes(self, inputs: Sequence[Channel], new: NewChannel, images: int) -> Model:
        """The processes of the part in the timing model, and the channel of its output."""


class WithoutEngine:
    """What a part inherits first that has no engine: it multiplies only to requantize."""

    @property
    def multipliers(self) -> int:
        return 0

    def features(self) -> Counter[str]:
        return Counter()


class WithoutMemory:
    """What a part inherits first that has no memory."""

    @property
    def memories(self) -> tuple[Storage, ...]:
        return ()


class FromSpec(ABC):
    """A part whose component has a spec, which knows the memories."""

    COMPONENT: ClassVar[type[Any]]

    @property
    @abstractmethod
    def spec(self) -> Any:
        """The spec of the component."""

    @property
    def memories(self) -> tuple[Storage, ...]:
        memories: tuple[Storage, ...] = self.spec.memories
        return memories

    def component(self) -> wiring.Component:
        component: wiring.Component = self.COMPONENT(self.spec)
        return component


class MultipliesNothing:
    """What a part inherits first that has no multiplier."""

    @property
    def multipliers(self) -> int:
        return 0

    @property
    def requantizer_multipliers(self) -> int:
        return 0

    def products(self) -> list[Product]:
        return []


@dataclass(frozen=True)
class LanesPart(FromSpec, MultipliesNothing, WithoutEngine, Part):
    """A layer without an engine that reads and writes ``lanes`` values at once."""

    lanes: int = 1

    @property
    def input_lanes(self) -> int:
        return self.lanes

    @property
    def output_lanes(self) -> int:
        return self.lanes


@dataclass(frozen=True)
class WindowedPart(FromSpec, Part):
    """A layer of windows: an engine, with a window reader before it if windows are not patches.

    geometry : of the engine; of a single window if there is a window reader
    windows : geometry of the window reader, or None if there is none
    """

    geometry: PatchGeometry
    windows: WindowGeometry | None

    @property
    def input_lanes(self) -> int:
        return self.geometry.channels_at_once * (1 if self.windows else self.geometry.pixels)

    @property
    def positions(self) -> int:
        """Maps that the engine processes in one image: its windows, or the image itself."""
        return self.windows.rows * self.windows.columns if self.windows else 1

    @property
    def cycles(self) -> int:
        return self.engine_cycles

    @cached_property
    def engine_cycles(self) -> int:
        if self.windows is None:
            return self.geometry.cycles
        return self._window_cycles(1)

    def engine_cycles_at(self, interval: int) -> int:
        """About ``engine_cycles`` if an input beat comes only every ``interval`` cycles."""
        if self.windows is None or interval == 1:
            return max(self.engine_cycles, self.beats * interval)
        return self._window_cycles(interval)

    @property
    def cycles_bound(self) -> int:
        """A lower bound on ``cycles`` that takes no time to compute."""
        if self.windows is None:
            return self.engine_cycles
        steps = self.windows.beats * self.geometry.slots
        return max(steps, self.windows.elements, math.prod(self.y.shape) // self.output_lanes)

    def needs(self, port: int) -> Integers:
        if self.windows is not None:
            needed = np.maximum.accumulate(self.windows.needed.reshape(-1))  # windows come in order
            each = math.prod(self.y.shape) // self.positions
        else:
            counts, _, made = np.array(engine_steps(self.geometry)).T
            needed = np.flatnonzero(np.repeat(made > 0, counts)) + 1
            g = self.geometry
            each = g.cells * (g.out_channels // g.groups)
        lanes = self.output_lanes
        return np.repeat(needed, each)[lanes - 1 :: lanes]  # a beat needs its last result

    def cycles_alone(self, read: int) -> int:
        if self.input_lanes // math.gcd(read, self.input_lanes) == 1:
            return super().cycles_alone(read)
        return simulated_cycles(self, read)

    @property
    def partial_sum_bits(self) -> int:
        width = self.accumulator_width or self.x.dtype.bits  # a maximum is an activation
        return self.geometry.partial_sums * self.geometry.sums * width

    def engine_features(self, sum_width: int, product_width: int) -> Counter[str]:
        """The features of window reader and engine.

        sum_width, product_width : bits of a sum and of a product; in a maximum pool, of a maximum
            and of an activation
        """
        g = self.geometry
        return Counter(
            windows=int(self.windows is not None),
            window_bits=g.taps * g.channels_at_once * self.x.dtype.bits if self.windows else 0,
            sum_bits=g.sums * sum_width,
            tree_bits=g.sums * (g.terms - 1) * product_width,
        )

    def read(self, i: Channel, new: NewChannel, images: int) -> Model:
        """The processes of the window reader, and the channel that the engine reads."""
        if self.windows is None:
            return [], i
        o = new()
        return Windows(i, o, self.windows, images, self.reader.latency).processes(), o

    def _window_cycles(self, interval: int) -> int:
        """Cycles of an image after a window reader whose input comes every ``interval`` cycles."""
        assert self.windows is not None
        ahead = self.reader.latency - 1
        return _window_cycles(self.windows, self.geometry.slots, interval, ahead)

    @property
    def fill(self) -> int:
        """The value of the padding."""
        return self.x.zero_point

    @cached_property
    def reader(self) -> WindowSpec:
        """The window reader's spec; only if there are ``windows``."""
        assert self.windows is not None
        return WindowSpec(
            geometry=self.windows,
            activation=shape_of(self.x.dtype),
            lanes=self.geometry.channels_at_once,
            fill=self.fill,
        )

    def steps(self, images: int) -> Iterator[Step]:
        """The engine's steps; see :func:`engine_steps`."""
        maps = repeat(engine_steps(self.geometry), images * self.positions)
        return chain.from_iterable(maps)


def windows_of(
    x: Tensor, y: Tensor, kernel: tuple[int, int], window: Window
) -> WindowGeometry | None:
    """The geometry of a layer's window reader, or None if the layer needs none.

    It needs none if its windows are patches that tile the map from its corner, or if there is only
    one window. The engine then takes the map in raster order.
    """
    alone = y.shape[:2] == (1, 1) == (x.shape[0] // kernel[0], x.shape[1] // kernel[1])
    plain = not any(window.padding) and window.dilation == (1, 1)
    if plain and (window.stride == kernel or alone):
        return None
    height, width, channels = x.shape
    return WindowGeometry(
        height=height,
        width=width,
        pixel_elements=channels,
        kernel=kernel,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
    )


@cache
def _window_cycles(windows: WindowGeometry, slots: int, interval: int, ahead: int) -> int:
    return windows.cycles(slots, interval, ahead)


def divisors(number: int) -> list[int]:
    """The divisors of a number, ascending, including 1 and the number."""
    return [count for count in range(1, number + 1) if number % count == 0]
