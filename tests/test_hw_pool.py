"""Pools in hardware against the golden ones: maxima, and averages by the patch engine."""

import numpy as np
import pytest
from amaranth import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from hwsim import PAUSES, run_streams
from tercet.hw.geometry import PatchGeometry
from tercet.hw.layer import ConvLayer, ConvSpec
from tercet.hw.maxpool import MaxPool
from tercet.hw.patch import PatchSpec
from tercet.hw.requantizer_spec import RequantizerSpec
from tercet.hw.window import WindowReader, WindowSpec
from tercet.hw.window_geometry import WindowGeometry
from tercet.model.dtypes import IntType, signed_width
from tercet.model.fuzz.draws import random_images, random_requant, random_tensor
from tercet.model.layers.pool import AvgPool2d, MaxPool2d, pool_max_loop, pool_sum_loop
from tercet.model.layers.windows import output_extents
from tercet.model.requant import Requant, Rounding, requantize

# (height, width, channels), kernel = stride
PATCHES = {
    "one_pixel": ((1, 1, 1), (1, 1)),
    "one_channel": ((4, 6, 1), (2, 2)),
    "two_channels": ((4, 4, 2), (2, 2)),
    "tails": ((7, 8, 3), (2, 3)),
    "rows_alone": ((5, 1, 2), (2, 1)),
    "columns_alone": ((1, 7, 1), (1, 3)),
    "whole_map": ((4, 5, 3), (4, 5)),
    "whole_map_one_channel": ((3, 3, 1), (3, 3)),
}
# (height, width, channels), kernel, stride, padding
OVERLAPPING = {
    "stride_below": ((6, 7, 2), (3, 3), (2, 2), (0, 0, 0, 0)),
    "stride_above": ((7, 8, 1), (2, 2), (3, 4), (0, 0, 0, 0)),
    "padding": ((5, 6, 2), (3, 3), (2, 1), (1, 1, 1, 1)),
    "padding_per_side": ((4, 5, 1), (2, 3), (1, 2), (1, 0, 0, 2)),
}
CASES = {name: (shape, kernel, kernel, (0, 0, 0, 0)) for name, (shape, kernel) in PATCHES.items()}
CASES |= OVERLAPPING


class Windowed(wiring.Component):
    """A window reader and what computes on its windows."""

    def __init__(self, reader, unit):
        self.reader, self.unit = reader, unit
        super().__init__({"i": In(reader.i.signature.flip()), "o": Out(unit.o.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader, m.submodules.unit = self.reader, self.unit
        connect(m, flipped(self.i), self.reader.i)
        connect(m, self.reader.o, self.unit.i)
        connect(m, self.unit.o, flipped(self.o))
        return m


def pooled(shape, kernel, stride, padding, activation, fill, build):
    """What ``build`` makes of a geometry, behind a window reader where windows overlap."""
    height, width, channels = shape
    if stride == kernel and not any(padding):
        return build(
            PatchGeometry.depthwise(height=height, width=width, channels=channels, kernel=kernel)
        )
    geometry = WindowGeometry(
        height=height,
        width=width,
        pixel_elements=channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
    )
    window = PatchGeometry.depthwise(
        height=kernel[0], width=kernel[1], channels=channels, kernel=kernel
    )
    reader = WindowReader(WindowSpec(geometry=geometry, activation=activation, fill=fill))
    return Windowed(reader, build(window))


def output_shape(shape, kernel, stride, padding):
    return (*output_extents(shape, kernel, stride, padding), shape[2])


def check_max(name, dtype, pauses, seed, reset_after=0):
    shape, kernel, stride, padding = CASES[name]
    rng = np.random.default_rng([seed, *name.encode()])
    x = random_tensor(rng, "x", shape, IntType.parse(dtype))
    activation = signed(x.dtype.bits) if x.dtype.signed else unsigned(x.dtype.bits)
    images = random_images(rng, x, 4)
    layer = MaxPool2d("pool", "x", "y", kernel=kernel, stride=stride, padding=padding)
    out = output_shape(shape, kernel, stride, padding)
    expected = np.stack([pool_max_loop(image, layer, out) for image in images]).reshape(-1)
    unit = pooled(
        shape,
        kernel,
        stride,
        padding,
        activation,
        x.dtype.qmin,
        lambda geometry: MaxPool(geometry=geometry, activation=activation),
    )
    sent = [[int(value)] for value in images.reshape(-1)]
    run = run_streams(unit, sent, len(expected), pauses=pauses, seed=seed, reset_after=reset_after)
    assert [payload[0] for payload in run.outputs] == expected.tolist()
    return run, unit


@pytest.mark.parametrize(("dtype", "pauses"), [*zip(["uint8", "int8"] * 2, PAUSES, strict=True)])
@pytest.mark.parametrize("name", CASES)
def test_max_pool_equals_golden(name, dtype, pauses, seed):
    check_max(name, dtype, pauses, seed)


@pytest.mark.parametrize("reset_after", [3, 29])
def test_max_pool_forgets_at_reset(reset_after, seed):
    check_max("tails", "int5", "both", seed, reset_after)


@pytest.mark.parametrize("name", PATCHES)
def test_max_pool_takes_an_activation_a_cycle(name, seed):
    run, unit = check_max(name, "uint8", "none", seed)
    g = unit.geometry
    assert run.taken == list(range(run.taken[0], run.taken[0] + len(run.taken)))
    assert g.cycles == g.height * g.width * g.in_channels
    last = ((g.kernel[0] - 1) * g.width + g.kernel[1] - 1) * g.in_channels
    assert run.given[0] == run.taken[last] + unit.latency
    assert unit.latency == 2


def test_max_pool_refuses_channels_that_meet():
    geometry = PatchGeometry(height=2, width=2, in_channels=4, kernel=(2, 2), out_channels=4)
    with pytest.raises(ValueError) as error:
        MaxPool(geometry=geometry, activation=unsigned(8))
    assert str(error.value) == (
        "geometry must have as many groups and output channels as the 4 input channels, not 1 and 4"
    )


@pytest.mark.parametrize(("dtype", "pauses"), [("int8", "none"), ("uint8", "both")])
@pytest.mark.parametrize("name", CASES)
def test_average_pool_is_a_convolution_with_ones(name, dtype, pauses, seed):
    shape, kernel, stride, padding = CASES[name]
    rng = np.random.default_rng([seed, *name.encode()])
    x = random_tensor(rng, "x", shape, IntType.parse(dtype))
    out = output_shape(shape, kernel, stride, padding)
    y = random_tensor(rng, "y", out, IntType.parse(dtype))
    activation = signed(8) if x.dtype.signed else unsigned(8)
    any_requant = Requant((1,), 0, Rounding.FLOOR, y.dtype.qmin, y.dtype.qmax)
    layer = AvgPool2d(
        "pool", "x", "y", kernel=kernel, stride=stride, padding=padding, requant=any_requant
    )
    lo, hi = layer.bounds(x.dtype.qmin, x.dtype.qmax, x.zero_point)
    requant = random_requant(rng, np.array([lo]), np.array([hi]), y, per_channel=False)
    images = random_images(rng, x, 3)
    sums = np.stack([pool_sum_loop(image, layer, x.zero_point, out) for image in images])
    expected = requantize(sums, requant, y.zero_point).reshape(-1)

    def engine(geometry):
        ones = np.ones((geometry.out_channels, *kernel, 1), dtype=np.int64)
        width = signed_width(lo, hi)
        unit = ConvLayer(
            ConvSpec(
                engine=PatchSpec(
                    geometry=geometry,
                    activation=activation,
                    zero_point=x.zero_point,
                    weights=ones,
                    bias=[0] * geometry.out_channels,
                    accumulator_width=width,
                ),
                requantizer=RequantizerSpec(
                    requant=requant,
                    zero_point=y.zero_point,
                    channels=geometry.out_channels,
                    accumulator_width=width,
                    activation=activation,
                ),
            )
        )
        assert not any(memory.bits for memory in unit.spec.memories if not memory.writable)
        return unit

    unit = pooled(shape, kernel, stride, padding, activation, x.zero_point, engine)
    sent = [[int(value)] for value in images.reshape(-1)]
    run = run_streams(unit, sent, len(expected), pauses=pauses, seed=seed)
    assert [payload[0] for payload in run.outputs] == expected.tolist()
