"""The timing processes against the components, cycle for cycle, with the same pauses."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth import unsigned
from amaranth.lib import data
from channelends import free_sink, free_source, sink, source
from hwsim import PAUSES, Chain, run_ports
from tercet.gen.parts.engine_steps import engine_steps
from tercet.gen.timing.channel import Channel, run
from tercet.gen.timing.converters import packer, serializer
from tercet.gen.timing.processes import Fifo, Pipeline, Windows, fork, join
from tercet.hw.add import Add
from tercet.hw.fork import Fork
from tercet.hw.geometry import PatchGeometry
from tercet.hw.lanes import Packer, Serializer
from tercet.hw.maxpool import MaxPool
from tercet.hw.requantizer_spec import RequantizerSpec
from tercet.hw.sequential import SequentialRequantizer
from tercet.hw.stream import StreamFifo
from tercet.hw.window import WindowReader, WindowSpec
from tercet.model.requant import Requant, Rounding
from windowgen import RANDOM, WINDOWS, random_geometry, window_geometry


def check_windows(g, pauses, seed, images=3):
    values = [[0]] * (images * g.elements)
    unit = WindowReader(WindowSpec(geometry=g, activation=unsigned(8), fill=0))
    beats = images * g.beats
    runs = run_ports(unit, {"i": values}, {"o": beats}, pauses=pauses, seed=seed)
    i, o = Channel(), Channel()
    processes = Windows(i, o, g, images, unit.spec.latency).processes()
    ends = [source(i, len(values), pauses, seed), sink(o, beats, pauses, seed)]
    run([*processes, *ends])
    assert runs["o"].given == list(o.takes)
    taken = runs["i"].taken
    # a tail that no window needs may come after the end
    assert taken == list(i.takes)[: len(taken)]
    assert len(values) - len(taken) < g.elements


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("name", ["same_padding", "stride_above_kernel", "windows_in_the_padding"])
def test_windows_take_the_same_cycles(name, pauses, seed):
    check_windows(window_geometry(*WINDOWS[name]), pauses, seed)


@pytest.mark.parametrize("case", range(RANDOM))
def test_random_windows_take_the_same_cycles(case, seed):
    rng = np.random.default_rng([seed, 7, case])
    check_windows(random_geometry(rng), str(rng.choice(list(PAUSES))), [seed, case])


def check_cycles(g, slots, reader_latency):
    """The geometry's formula against reader and engine, which the plan's lanes come from."""
    images, latency = 9 + 400 // (g.beats * slots), 3  # until it is settled
    windows = images * g.rows * g.columns
    i, between, o = Channel(), Channel(), Channel()
    steps = [(g.window - 1, slots, 0), (1, slots, 1)] * windows
    engine = Pipeline(between, o, latency, steps)
    processes = [
        *Windows(i, between, g, images, reader_latency).processes(),
        *engine.processes(),
    ]
    ends = [free_source(i, images * g.elements), free_sink(o, windows)]
    run([*processes, *ends])
    last = list(o.takes)[g.rows * g.columns - 1 :: g.rows * g.columns]
    assert last[-1] - last[-2] == g.cycles(slots, ahead=reader_latency - 1), (g, slots)


@pytest.mark.parametrize("reader_latency", [3, 4])
@pytest.mark.parametrize("slots", [1, 2, 3, 5])
@pytest.mark.parametrize("name", WINDOWS)
def test_the_geometry_knows_its_cycles(name, slots, reader_latency):
    check_cycles(window_geometry(*WINDOWS[name]), slots, reader_latency)


def test_random_geometries_know_their_cycles(seed):
    rng = np.random.default_rng([seed, 11])
    for _ in range(100):
        check_cycles(random_geometry(rng), int(rng.integers(1, 6)), int(rng.integers(3, 5)))


@pytest.mark.parametrize("pauses", PAUSES)
def test_a_fork_takes_the_same_cycles(pauses, seed):
    unit = Fork(shape=unsigned(8))
    runs = run_ports(unit, {"i": [0] * 90}, {"o_a": 90, "o_b": 90}, pauses=pauses, seed=seed)
    i, a, b = Channel(), Channel(), Channel()
    ends = [sink(a, 90, pauses, seed, 1), sink(b, 90, pauses, seed, 2)]
    run([source(i, 90, pauses, seed), fork(i, [a, b], 90), *ends])
    measured = runs["i"].taken, runs["o_a"].given, runs["o_b"].given
    assert measured == (list(i.takes), list(a.takes), list(b.takes))


@pytest.mark.parametrize("pauses", PAUSES)
def test_an_addition_takes_the_same_cycles(pauses, seed):
    unit = Add(
        requant=Requant((1, 1), 1, Rounding.FLOOR, 0, 255),
        zero_points=(0, 0, 0),
        activations=(unsigned(8), unsigned(8), unsigned(8)),
    )
    inputs = {"i_a": [[0]] * 90, "i_b": [[0]] * 90}
    runs = run_ports(unit, inputs, {"o": 90}, pauses=pauses, seed=seed)
    a, b, both, o = (Channel() for _ in range(4))
    pipeline = Pipeline(both, o, Add.LATENCY, [(90, 1, 1)])
    ends = [source(a, 90, pauses, seed, 0), source(b, 90, pauses, seed, 1)]
    ends.append(sink(o, 90, pauses, seed, 2))
    run([*ends, join([a, b], both, 90), *pipeline.processes()])
    assert (runs["i_a"].taken, runs["i_b"].taken) == (list(a.takes), list(b.takes))
    assert runs["o"].given == list(o.takes)


@pytest.mark.parametrize("pauses", PAUSES)
def test_a_maximum_pool_takes_the_same_cycles(pauses, seed):
    geometry = PatchGeometry.depthwise(height=5, width=7, channels=2, kernel=(2, 3))
    unit = MaxPool(geometry=geometry, activation=unsigned(8))
    steps = 2 * engine_steps(geometry)
    elements = sum(count for count, _, _ in steps)
    results = sum(count * made for count, _, made in steps)
    sent = {"i": [[0]] * elements}
    runs = run_ports(unit, sent, {"o": results}, pauses=pauses, seed=seed)
    i, o = Channel(), Channel()
    pipeline = Pipeline(i, o, unit.latency, steps)
    ends = [source(i, elements, pauses, seed), sink(o, results, pauses, seed)]
    run([*ends, *pipeline.processes()])
    assert runs["o"].given == list(o.takes)
    assert runs["i"].taken == list(i.takes)[: len(runs["i"].taken)]


@pytest.mark.parametrize("pauses", ["none", "output"])
@pytest.mark.parametrize("beats", [2, 3, 4])
def test_beats_are_packed_in_the_same_cycles(beats, pauses, seed):
    """Of a serializer, for a pool that takes most at once, and stands still while a maximum waits
    for another serializer."""
    lanes = 3
    channels = lanes * beats
    geometry = PatchGeometry.depthwise(height=6, width=4, channels=channels, kernel=(2, 2))
    pool = MaxPool(geometry=replace(geometry, channels_at_once=channels), activation=unsigned(8))
    layout, all_at_once = data.ArrayLayout(8, lanes), data.ArrayLayout(8, channels)
    ends = {"slots": 1, "last_lanes": channels}
    chain = {
        "before": Serializer(layout=all_at_once, at_once=lanes, **ends),
        "pack": Packer(layout=layout, beats=beats),
        "pool": pool,
        "behind": Serializer(layout=all_at_once, at_once=1, **ends),
    }
    steps = 2 * engine_steps(pool.geometry)
    wide = sum(count for count, _, _ in steps)
    made = sum(count * made for count, _, made in steps)
    sent = {"i": [[0] * channels] * wide}
    unit, results = Chain(chain, channels, 1), made * channels
    runs = run_ports(unit, sent, {"o": results}, pauses=pauses, seed=seed)
    i, narrow, packed, maxima, o = (Channel() for _ in range(5))
    processes = [
        serializer(i, narrow, [beats] * wide),
        packer(narrow, packed, beats, wide),
        *Pipeline(packed, maxima, pool.latency, steps).processes(),
        serializer(maxima, o, [channels] * made),
    ]
    run([source(i, wide, pauses, seed), *processes, sink(o, results, pauses, seed)])
    assert runs["o"].given == list(o.takes)
    assert runs["i"].taken == list(i.takes)[: len(runs["i"].taken)]


@pytest.mark.parametrize("depth", [3, 6, 40])
@pytest.mark.parametrize("pauses", PAUSES)
def test_a_queue_takes_the_same_cycles(pauses, depth, seed):
    unit = StreamFifo(shape=unsigned(40), depth=depth)
    runs = run_ports(unit, {"i": [0] * 150}, {"o": 150}, pauses=pauses, seed=seed)
    fifo = Fifo(Channel(), Channel(), 150, depth, unit.spec.latency)
    ends = [source(fifo.i, 150, pauses, seed), sink(fifo.o, 150, pauses, seed)]
    run([*ends, *fifo.processes()])
    assert (runs["i"].taken, runs["o"].given) == (list(fifo.i.takes), list(fifo.o.takes))


@pytest.mark.parametrize("pauses", PAUSES)
def test_a_slow_requantizer_takes_the_same_cycles(pauses, seed):
    unit = SequentialRequantizer(
        RequantizerSpec(
            sequential=True,
            requant=Requant((200,), 12, Rounding.HALF_UP, 0, 255),
            zero_point=0,
            accumulator_width=18,
            activation=unsigned(8),
        )
    )
    runs = run_ports(unit, {"i": [[0]] * 60}, {"o": 60}, pauses=pauses, seed=seed)
    i, o = Channel(), Channel()
    pipeline = Pipeline(i, o, unit.spec.latency, [(60, unit.spec.slots, 1)])
    run([source(i, 60, pauses, seed), sink(o, 60, pauses, seed), *pipeline.processes()])
    assert (runs["i"].taken, runs["o"].given) == (list(i.takes), list(o.takes))
