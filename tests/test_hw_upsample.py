"""Upsampling in hardware: values, cycles, pauses and resets, and the timing model beside it."""

import numpy as np
import pytest
from amaranth import signed
from channelends import sink, source
from hwsim import PAUSES, run_streams
from tercet.gen.timing.channel import Channel, run
from tercet.gen.timing.processes import Windows
from tercet.hw.storage import Kind
from tercet.hw.upsample import Upsample, UpsampleSpec

SHAPES = [  # height, width, elements of a pixel, factor
    (3, 4, 2, (2, 2)),
    (2, 1, 1, (2, 1)),
    (1, 1, 1, (1, 2)),
    (3, 2, 1, (1, 3)),
    (4, 3, 1, (3, 1)),
    (2, 3, 3, (2, 3)),
]


def spec_of(height, width, channels, factor, lanes=1, bits=8):
    return UpsampleSpec(
        height=height,
        width=width,
        pixel_elements=channels,
        factor=factor,
        activation=signed(bits),
        lanes=lanes,
    )


def check(spec, rng, images=3, **options):
    shape = (images, spec.height, spec.width, spec.pixel_elements, spec.lanes)
    half = 1 << (spec.activation.width - 1)
    x = rng.integers(-half, half, shape)
    (fy, fx), unit = spec.factor, Upsample(spec)
    expected = x.repeat(fy, axis=1).repeat(fx, axis=2).reshape(-1, spec.lanes).tolist()
    sent = x.reshape(-1, spec.lanes).tolist()
    found = run_streams(unit, sent, len(expected), **options)
    assert [list(payload) for payload in found.outputs] == expected
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_reading_never_waits(shape, seed):
    spec = spec_of(*shape)
    run = check(spec, np.random.default_rng(seed))
    first = spec.pixel_elements - 1 + spec.latency
    assert run.given[0] == first
    beats = 3 * spec.elements * np.prod(spec.factor)
    if spec.pixel_elements == 1:
        assert run.given == list(range(first, first + beats))
    assert run.given[-1] - run.given[len(run.given) // 3 * 2 - 1] == beats // 3


@pytest.mark.parametrize("reset_after", [0, 9])
@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_waits_and_resets_as_streams_do(shape, pauses, reset_after, seed):
    spec = spec_of(*shape, lanes=2)
    options = {"pauses": pauses, "reset_after": reset_after, "seed": seed}
    check(spec, np.random.default_rng(seed), images=12, **options)


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_timing_model_takes_the_same_cycles(shape, pauses, seed):
    spec = spec_of(*shape)
    found = check(spec, np.random.default_rng(seed), pauses=pauses, seed=seed)
    i, o = Channel(), Channel()
    beats = [3 * spec.elements, 3 * spec.elements * int(np.prod(spec.factor))]
    ends = [source(i, beats[0], pauses, seed, 0), sink(o, beats[1], pauses, seed, 1)]
    run([*ends, *Windows(i, o, spec, 3, spec.latency).processes()])
    assert found.taken == list(i.takes)
    assert found.given == list(o.takes)


def test_a_large_row_is_in_block_ram(seed):
    spec = spec_of(2, 40, 3, (2, 2), bits=12)
    assert spec.storage.kind is Kind.BLOCK
    assert (spec.latency, spec.memories[0].name, spec.capacity) == (3, "buffer", 123)
    run = check(spec, np.random.default_rng(seed), images=2)
    assert run.given[0] == 2 + spec.latency


def test_needed_and_lowest_follow_the_passes():
    spec = spec_of(2, 2, 3, (2, 2))
    assert spec.needed.tolist() == [[3, 3, 6, 6], [3, 3, 6, 6], [9, 9, 12, 12], [9, 9, 12, 12]]
    assert spec.lowest.tolist() == [[0, 0, 0, 0], [0, 0, 3, 3], [6, 6, 6, 6], [6, 6, 9, 9]]
