"""Layers as parts of a core: what each builds, costs and how long it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from amaranth import Shape, signed, unsigned
from amaranth.lib import wiring

from ..hw.geometry import PatchGeometry
from ..hw.layer import ConvLayer
from ..hw.patch import PatchEngine
from ..hw.requant import Requantizer
from ..hw.window_geometry import WindowGeometry
from ..model.conv import Conv2d
from ..model.dtypes import IntType, signed_width
from ..model.layers import Layer, Tensor
from ..model.network import QNetwork
from ..model.ranges import accumulator_ranges
from .timing import Channel, Pipeline, Process, Windows, serializer

__all__ = ["ConvPart", "Part", "shape_of"]

NewChannel = Callable[[], Channel]


def shape_of(dtype: IntType) -> Shape:
    """The hardware's shape of a type."""
    return signed(dtype.bits) if dtype.signed else unsigned(dtype.bits)


@dataclass(frozen=True)
class Part(ABC):
    """A layer in hardware: streams in, one stream out, an activation a beat.

    layer : of the network
    x, y : the tensors it reads and writes
    """

    layer: Layer
    x: Tensor
    y: Tensor

    @property
    def name(self) -> str:
        """The layer's."""
        return self.layer.name

    @property
    def results(self) -> int:
        """Beats of one image on the way out."""
        height, width, channels = self.y.shape
        return height * width * channels

    @property
    @abstractmethod
    def busy_cycles(self) -> int:
        """Cycles that one image takes when neither side ever waits."""

    @property
    def multipliers(self) -> int:
        """Multipliers beside those that requantize."""
        return 0

    @property
    def requantizer_multipliers(self) -> int:
        """Multipliers that requantize."""
        return 0

    @property
    def multiplies(self) -> int:
        """Multiplications of one image, requantization left out."""
        return 0

    @property
    def accumulator_width(self) -> int | None:
        """Bits of a sum; None where nothing is summed."""
        return None

    @property
    def partial_sum_bits(self) -> int:
        """Bits of the sums that wait for the rest of their patch."""
        return 0

    @abstractmethod
    def component(self) -> wiring.Component:
        """The hardware: streams ``i`` (or ``i_a`` and ``i_b``) and ``o``, and its ``rom_bits``."""

    @abstractmethod
    def processes(
        self, inputs: Sequence[Channel], new: NewChannel, images: int
    ) -> tuple[list[Process], Channel]:
        """Its processes in the timing model, and the channel that they end in."""


@dataclass(frozen=True)
class ConvPart(Part):
    """A convolution: window reader where windows are no patches, engine, serializer, requantizer.

    geometry : the engine's; of one window where there is a window reader
    windows : of the window reader
    sum_width : bits of a sum, from the range analysis
    """

    layer: Conv2d
    geometry: PatchGeometry
    windows: WindowGeometry | None
    sum_width: int

    @classmethod
    def of(cls, network: QNetwork, conv: Conv2d, lanes: int) -> ConvPart:
        """The part with ``lanes`` output channels at once."""
        x, y = network.tensors[conv.input], network.tensors[conv.output]
        windows = None if _is_patches(conv, x, y) else _windows(conv, x)
        height, width = conv.kernel if windows else x.shape[:2]
        geometry = PatchGeometry(
            height=height,
            width=width,
            in_channels=x.shape[2],
            kernel=conv.kernel,
            out_channels=conv.out_channels,
            groups=conv.groups,
            lanes=lanes,
        )
        lo, hi = accumulator_ranges(network, conv)
        return cls(conv, x, y, geometry, windows, signed_width(int(lo.min()), int(hi.max())))

    @property
    def positions(self) -> int:
        """Maps that the engine sees in one image: its windows, or the image itself."""
        return self.windows.rows * self.windows.columns if self.windows else 1

    @property
    def busy_cycles(self) -> int:
        engine = self.positions * self.geometry.busy_cycles
        return max(engine, self.windows.busy_cycles) if self.windows else engine

    @property
    def multipliers(self) -> int:
        return self.geometry.lanes

    @property
    def requantizer_multipliers(self) -> int:
        return 1

    @property
    def multiplies(self) -> int:
        return self.y.shape[0] * self.y.shape[1] * self.layer.weights.values.size

    @property
    def accumulator_width(self) -> int:
        return self.sum_width

    @property
    def partial_sum_bits(self) -> int:
        return self.geometry.partial_sums * self.geometry.lanes * self.sum_width

    def component(self) -> ConvLayer:
        engine: dict[str, Any] = {
            "geometry": self.geometry,
            "activation": shape_of(self.x.dtype),
            "zero_point": self.x.zero_point,
            "weights": self.layer.weights.centered,
            "bias": self.layer.bias,
            "accumulator_width": self.sum_width,
        }
        requantizer: dict[str, Any] = {
            "requant": self.layer.requant,
            "zero_point": self.y.zero_point,
            "activation": shape_of(self.y.dtype),
        }
        return ConvLayer(engine=engine, requantizer=requantizer, windows=self.windows)

    def processes(
        self, inputs: Sequence[Channel], new: NewChannel, images: int
    ) -> tuple[list[Process], Channel]:
        (i,) = inputs
        processes: list[Process] = []
        if self.windows:
            windows = new()
            processes += Windows(i, windows, self.windows, images).processes()
            i = windows
        g, sums, maps = self.geometry, new(), images * self.positions
        steps = chain.from_iterable(repeat(engine_steps(g), maps))
        processes += Pipeline(i, sums, PatchEngine.LATENCY, steps).processes()
        if g.lanes > 1:
            beats, sums = sums, new()
            per_group = [g.lanes] * (g.slots - 1) + [g.last_lanes]
            lanes = chain.from_iterable(repeat(per_group, maps * g.rows * g.columns * g.groups))
            processes.append(serializer(beats, sums, lanes))
        o = new()
        results = repeat((1, 1), images * self.results)
        processes += Pipeline(sums, o, Requantizer.LATENCY, results).processes()
        return processes, o


def _is_patches(conv: Conv2d, x: Tensor, y: Tensor) -> bool:
    """Whether the windows are the patches that tile the map from its corner, or the only one."""
    if any(conv.padding) or conv.dilation != (1, 1):
        return False
    alone = y.shape[:2] == (1, 1) == (x.shape[0] // conv.kernel[0], x.shape[1] // conv.kernel[1])
    return conv.stride == conv.kernel or alone


def _windows(conv: Conv2d, x: Tensor) -> WindowGeometry:
    height, width, channels = x.shape
    return WindowGeometry(
        height=height,
        width=width,
        channels=channels,
        kernel=conv.kernel,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
    )


def engine_steps(geometry: PatchGeometry) -> list[tuple[int, int]]:
    """For each activation of an image, (cycles it takes, beats of sums it makes)."""
    g = geometry
    steps = []
    for row in range(g.height):
        in_rows = row < g.rows * g.kernel[0]
        for column in range(g.width):
            used = in_rows and column < g.columns * g.kernel[1]
            closes = row % g.kernel[0] == g.kernel[0] - 1 and column % g.kernel[1] == (
                g.kernel[1] - 1
            )
            for channel in range(g.in_channels):
                ends_group = channel % g.channels_per_group == g.channels_per_group - 1
                made = g.slots if used and closes and ends_group else 0
                steps.append((g.slots if used else 1, made))
    return steps
