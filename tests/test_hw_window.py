"""The window reader against the definition of a window, alone and in front of the patch engine."""

import numpy as np
import pytest
from amaranth import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator
from hwsim import PAUSES, run_streams
from tercet.hw.geometry import PatchGeometry
from tercet.hw.patch import PatchEngine, PatchSpec
from tercet.hw.window import WindowReader, WindowSpec
from tercet.model.dtypes import signed_width
from tercet.model.fuzz.convs import random_conv
from tercet.model.fuzz.draws import random_images, random_tensor
from tercet.model.layers.conv import accumulate_loop
from tercet.model.layout import per_slot
from windowcheck import check_windows
from windowgen import RANDOM, WINDOWS, random_geometry, window_geometry


@pytest.mark.parametrize("pauses", ["output", "both"])
@pytest.mark.parametrize("name", WINDOWS)
def test_reads_every_window(name, pauses, seed):
    check_windows(window_geometry(*WINDOWS[name]), seed, pauses=pauses)


@pytest.mark.parametrize("case", range(RANDOM))
def test_reads_random_windows(case, seed):
    rng = np.random.default_rng([seed, case])
    pauses = str(rng.choice(list(PAUSES)))
    options = {"pauses": pauses, "fill": int(rng.integers(0, 256))}
    check_windows(random_geometry(rng), seed, lanes=int(rng.integers(1, 4)), **options)


@pytest.mark.parametrize(("shape", "fill"), [(signed(8), -128), (signed(5), 15), (unsigned(16), 0)])
def test_fills_in_every_type(shape, fill, seed):
    check_windows(window_geometry(*WINDOWS["padding_per_side"]), seed, shape=shape, fill=fill)


@pytest.mark.parametrize("reset_after", [1, 20, 50, 83])
@pytest.mark.parametrize("name", ["same_padding", "stride_above_kernel"])
def test_reset_returns_to_an_images_first_window(name, reset_after, seed):
    check_windows(window_geometry(*WINDOWS[name]), seed, pauses="both", reset_after=reset_after)


@pytest.mark.parametrize("taps", ["one", "row", "all"])
@pytest.mark.parametrize("name", WINDOWS)
def test_takes_the_cycles_that_the_geometry_says(name, taps, seed):
    kernel = WINDOWS[name][1]
    g = window_geometry(
        *WINDOWS[name], taps={"one": 1, "row": kernel[1], "all": kernel[0] * kernel[1]}[taps]
    )
    run, reader = check_windows(g, seed, images=4)
    last = run.given[g.beats - 1 :: g.beats]
    assert last[3] - last[2] == g.cycles()
    assert run.given[0] == run.taken[int(g.needed[0, 0]) - 1] + reader.spec.latency
    assert reader.spec.latency == 3 + (name == "buffer_in_blocks")


def test_takes_what_the_buffer_holds_while_nothing_is_read():
    g = window_geometry(*WINDOWS["first_row_never_read"])
    unit = WindowReader(WindowSpec(geometry=g, activation=unsigned(8), fill=0))
    assert [memory.bits for memory in unit.spec.memories] == [8 * g.capacity]
    taken = []

    async def drive(ctx):
        ctx.set(unit.i.valid, 1)
        for _ in range(2 * g.capacity):
            *_, ready = await ctx.tick().sample(unit.i.ready)
            taken.append(ready)

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    room = g.capacity + int(g.lowest[0, 0])  # those in front that no window needs take no place
    assert g.lowest[0, 0] > 0
    assert taken == [1] * room + [0] * (2 * g.capacity - room)


def test_refuses_a_fill_outside_the_type():
    with pytest.raises(ValueError, match=r"^fill must be a value of signed\(8\), not 128$"):
        WindowReader(
            WindowSpec(
                geometry=window_geometry(*WINDOWS["one_pixel"]), activation=signed(8), fill=128
            )
        )


class WindowEngine(wiring.Component):
    """Reader and patch engine in a row."""

    def __init__(self, reader, engine):
        self.reader, self.engine = reader, engine
        super().__init__(
            {
                "i": In(reader.i.signature.flip()),
                "o": Out(engine.o.signature),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader, m.submodules.engine = self.reader, self.engine
        connect(m, flipped(self.i), self.reader.i)
        connect(m, self.reader.o, self.engine.i)
        connect(m, self.engine.o, flipped(self.o))
        return m


# Those of the table with channels in groups, output channels, P.
CONVOLUTIONS = {
    "same_padding": (1, 5, 2),
    "stride_below_kernel": (2, 4, 1),
    "stride_above_kernel": (2, 2, 1),
    "padding_per_side": (1, 3, 3),
    "windows_in_the_padding": (1, 2, 1),
    "dilation_in_padding": (1, 2, 2),
    "dilation": (1, 1, 1),
    "subsampled": (3, 6, 2),
    "kernel_11": (1, 1, 1),
}


@pytest.mark.parametrize("pauses", ["none", "both"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_equals_golden_accumulators_of_any_convolution(name, pauses, seed):
    shape, kernel, stride, padding, dilation = WINDOWS[name]
    groups, out_channels, pe = CONVOLUTIONS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    x = random_tensor(rng, "x", shape)
    conv, _ = random_conv(
        rng,
        x,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=True,
        symmetric=False,
    )
    images = random_images(rng, x, 3)
    sums = np.stack([accumulate_loop(image, conv, x.zero_point) for image in images])
    beats = per_slot(sums.reshape(-1, out_channels).T, groups, pe)
    beats = beats.transpose(3, 0, 1, 2).reshape(-1, pe).tolist()
    lo, hi = conv.sums_within(0, 255, x.zero_point)
    engine = PatchEngine(
        PatchSpec(
            geometry=PatchGeometry(
                height=kernel[0],
                width=kernel[1],
                in_channels=shape[2],
                kernel=kernel,
                out_channels=out_channels,
                groups=groups,
                pe=pe,
            ),
            activation=unsigned(8),
            zero_point=x.zero_point,
            weights=conv.weights.centered,
            bias=conv.bias,
            accumulator_width=signed_width(int(lo.min()), int(hi.max())),
        )
    )
    reader = WindowReader(
        WindowSpec(
            geometry=window_geometry(*WINDOWS[name]), activation=unsigned(8), fill=x.zero_point
        )
    )
    sent = [[int(value)] for value in images.reshape(-1)]
    run = run_streams(WindowEngine(reader, engine), sent, len(beats), pauses=pauses, seed=seed)
    assert [list(payload) for payload in run.outputs] == beats
