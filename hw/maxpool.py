"""Maximum pooling with a kernel equal to the stride, without a line buffer.

As in the patch engine, windows do not overlap, so each activation belongs to one window. The maxima
of a row of windows wait in a small memory until the next row of pixels arrives. Any other pool has
a window reader before it, which pads with the type's least value, and a map that is one window.
"""

from __future__ import annotations

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .centered import value_range
from .geometry import PatchGeometry
from .pipeline import stage
from .sums import PartialSums, SumsSpec
from .walk import PatchWalk

__all__ = ["MaxPool", "max_pool_latency"]


def max_pool_latency(maxima: SumsSpec) -> int:
    """Cycles from a window's last activation to its maximum, with ``maxima`` to store them."""
    return MaxPool.LATENCY + maxima.lead - 1


class MaxPool(wiring.Component):
    """The greatest activation of each window, for each channel, see ``model.layers.pool``.

    Parameters
    ----------
    geometry : geometry of the windows, with one output channel for each input channel, each a group
        of its own (``PatchGeometry.depthwise``), and a beat of one pixel's ``channels_at_once``
    activation : shape of the activations

    Members
    -------
    i, o : streams of ``channels_at_once`` activations per beat, raster order, channels last

    Throughput: one beat per cycle. Latency (``latency``): 2 cycles from a window's last activation
    of a channel to its maximum, 3 if the maxima wait in block RAM and are not used again within
    three steps. The whole pipeline stalls while a beat waits. Rows and columns that do not fill a
    window are dropped.

    Raises ValueError if channels are not groups of their own, or if a beat has several pixels.
    """

    LATENCY = 2

    def __init__(self, *, geometry: PatchGeometry, activation: Shape):
        if not geometry.in_channels == geometry.groups == geometry.out_channels:
            raise ValueError(
                f"geometry must have as many groups and output channels as the "
                f"{geometry.in_channels} input channels, not {geometry.groups} and "
                f"{geometry.out_channels}"
            )
        if geometry.pixels > 1:
            raise ValueError(f"pixels must come one at a time, not {geometry.pixels}")
        self._geometry = geometry
        self._activations = data.ArrayLayout(activation, geometry.channels_at_once)
        self._maxima = PartialSums(
            layout=self._activations, begins=self._activations, geometry=geometry
        )
        activations = stream.Signature(self._activations)
        super().__init__({"i": In(activations), "o": Out(activations)})

    @property
    def geometry(self) -> PatchGeometry:
        """The geometry of the windows."""
        return self._geometry

    @property
    def latency(self) -> int:
        """Cycles from a window's last activation to its maximum."""
        return max_pool_latency(self._maxima.spec)

    @property
    def _names(self) -> list[str]:
        """Names of the activations of a beat."""
        channels = self._geometry.channels_at_once
        return ["x"] if channels == 1 else [f"x{at}" for at in range(channels)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        m.d.comb += enable.eq(~self.o.valid | self.o.ready)

        # Stage 0: take an activation, fetch the maximum so far.
        m.submodules.walk = walk = PatchWalk(geometry=self._geometry)
        m.submodules.maxima = maxima = self._maxima
        m.d.comb += [
            walk.step.eq(self.i.valid & enable),
            self.i.ready.eq(enable),
            maxima.en.eq(enable),
            maxima.fetch.eq(walk.partial),
        ]
        s = stage(
            m,
            enable,
            "s1",
            valid=self.i.valid & ~walk.drop,
            first=walk.first,
            last=walk.last,
            fresh=walk.fresh,
            partial=walk.partial,
            **{name: self.i.payload[at] for at, name in enumerate(self._names)},
        )

        for number in range(2, maxima.spec.lead + 1):
            s = stage(m, enable, f"s{number}", **vars(s))

        # Compare; the last activation of a window makes a beat.
        m.d.comb += [
            maxima.first.eq(s.first),
            maxima.fresh.eq(s.fresh),
            maxima.store.eq(s.valid),
            maxima.address.eq(s.partial),
            self.o.payload.eq(maxima.sums),
        ]
        for at, name in enumerate(self._names):
            x, held = getattr(s, name), maxima.held[at]
            m.d.comb += [
                maxima.start[at].eq(value_range(x.shape())[0]),
                maxima.total[at].eq(Mux(x > held, x, held)),
            ]
        with m.If(enable):
            m.d.sync += self.o.valid.eq(s.valid & s.last)
        return m
