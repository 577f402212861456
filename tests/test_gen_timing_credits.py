"""Which engines get credits, and that parts with them take the cycles that the plan says."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from amaranth import unsigned
from anylayers import any_layers
from channelends import sink, source
from hwsim import PAUSES, run_ports
from randomnets import random_network
from tercet.gen.parts.alone import simulated_cycles
from tercet.gen.parts.conv import ConvPart
from tercet.gen.parts.credits_needed import CREDITS, MANY_MULTIPLIERS, credits_for, keeps_up
from tercet.gen.parts.engine_steps import engine_steps
from tercet.gen.timing.channel import Channel, run
from tercet.gen.timing.credits import credited
from tercet.hw.geometry import PatchGeometry
from tercet.hw.patch import PatchEngine, PatchSpec
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import random_tensor


@pytest.mark.slow
@pytest.mark.parametrize("windows", [False, True])
def test_a_convolution_with_many_multipliers_knows_its_cycles(windows, seed):
    rng = np.random.default_rng([seed, 5, windows])
    seen = Counter()
    for _ in range(12):
        shape = (*rng.integers(2, 9, 2).tolist(), int(rng.integers(2, 5)))
        network = random_network(
            rng, shape=shape, depth=1, argmax=False, windows=windows, out_channels=12, groups=1
        )
        base = ConvPart.of(network, any_layers(network)[0])
        for part in base.choices(1, [1, 2, 3, 4]):
            if part.geometry.multipliers < MANY_MULTIPLIERS:
                assert part.credits == 0
                continue
            seen[part.credits] += 1
            assert part.engine_cycles <= part.cycles == simulated_cycles(part), part.geometry
    assert all(seen[credits] for credits in ((1, CREDITS) if windows else (0, 1, CREDITS))), seen


def part_with(rng, *, shape, kernel, stride, outputs, form, pixels=1, per_channel=None):
    """A convolution in a form: P, channels at once, results at once."""
    x = random_tensor(rng, "x", shape)
    sizes = {"groups": 1, "out_channels": outputs, "kernel": kernel, "stride": stride}
    conv, y = random_conv(rng, x, **sizes, per_channel=per_channel)
    part = ConvPart.of(network_of(x, [conv], [y]), conv)
    pe, channels, results = form
    geometry = replace(part.geometry, pe=pe, channels_at_once=channels, pixels=pixels)
    if part.windows:
        windows = replace(part.windows, pixel_elements=shape[2] // channels)
        part = replace(part, windows=windows)
    return replace(part, geometry=geometry, output_lanes=results)


def assert_takes_its_cycles(part, pauses, seed):
    images = 2
    beats, results = images * part.beats, images * part.results
    values = [[0] * part.input_lanes] * beats
    runs = run_ports(part.component(), {"i": values}, {"o": results}, pauses=pauses, seed=seed)
    i = Channel()
    processes, o = part.processes([i], Channel, images)
    run([source(i, beats, pauses, seed), sink(o, results, pauses, seed), *processes])
    assert runs["o"].given == list(o.takes)
    assert runs["i"].taken == list(i.takes)[: len(runs["i"].taken)]


CASES = {  # and their credits
    "windows_one_by_one": ((5, 6, 4), (3, 3), (1, 1), 8, (8, 1, 1), 1),
    "windows_in_bursts": ((5, 6, 4), (2, 2), (1, 1), 12, (4, 2, 1), CREDITS),
    "windows_sent_too_slowly": ((5, 5, 2), (2, 2), (1, 1), 9, (9, 1, 1), CREDITS),
    "windows_of_a_beat": ((5, 6, 4), (1, 1), (2, 1), 8, (8, 4, 8), CREDITS),
    "patches": ((6, 6, 4), (3, 3), (3, 3), 8, (8, 1, 1), 1),
    "patches_in_bursts": ((4, 6, 8), (2, 2), (2, 2), 12, (4, 2, 1), CREDITS),
    "pointwise": ((4, 6, 8), (1, 1), (1, 1), 12, (4, 8, 4), CREDITS),
    "linear_in_a_long_burst": ((1, 1, 40), (1, 1), (1, 1), 90, (8, 1, 1), CREDITS),
    "patches_sent_too_slowly": ((4, 4, 2), (2, 2), (2, 2), 9, (9, 1, 1), 0),
    "patches_and_a_tail": ((4, 7, 3), (1, 3), (1, 3), 8, (8, 3, 8), CREDITS, 3),
    "patches_of_many_and_a_tail": ((3, 5, 2), (1, 2), (1, 2), 12, (4, 2, 4), CREDITS, 2),
}


@pytest.mark.parametrize("inputs", [630, 631])  # 65,520 and 65,624 bits of weights
def test_an_engine_with_weights_in_many_blocks_has_credits_and_takes_its_cycles(inputs, seed):
    rng = np.random.default_rng([seed, inputs])
    shape = 1, 1, inputs
    sizes = {"shape": shape, "kernel": (1, 1), "stride": (1, 1), "outputs": 13}
    part = part_with(rng, **sizes, form=(1, 1, 1), per_channel=False)
    part = replace(part, sequential=part.may_be_sequential)
    assert part.sequential
    assert part.requantizer_slots > 1
    assert part.credits == (CREDITS if inputs == 631 else 0)
    waits = 0 if part.credits else part.results * (part.requantizer_slots - 1)
    assert part.engine_cycles == part.cycles == inputs * part.results + waits
    assert_takes_its_cycles(part, "none", seed)


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("case", CASES)
def test_a_layer_with_credits_takes_the_same_cycles(case, pauses, seed):
    shape, kernel, stride, outputs, form, credits, *pixels = CASES[case]
    rng = np.random.default_rng([seed, *case.encode()])
    sizes = {"shape": shape, "kernel": kernel, "stride": stride, "outputs": outputs}
    part = part_with(rng, **sizes, form=form, pixels=pixels[0] if pixels else 1)
    assert part.credits == credits
    assert_takes_its_cycles(part, pauses, seed)


def engine_of(case, credits):
    geometry = PatchGeometry(**CREDITED[case])
    g = geometry
    return PatchEngine(
        PatchSpec(
            geometry=g,
            activation=unsigned(8),
            zero_point=0,
            weights=np.ones((g.out_channels, *g.kernel, g.channels_per_group), np.int64),
            bias=[0] * g.out_channels,
            accumulator_width=20,
            credits=credits,
        )
    )


CREDITED = {
    "a_result_a_beat": {"height": 3, "width": 5, "kernel": (1, 1), "in_channels": 1},
    "slots": {"height": 1, "width": 6, "kernel": (1, 6), "in_channels": 2, "pe": 2},
    "many_slots": {"height": 1, "width": 2, "kernel": (1, 2), "in_channels": 1},
    "groups": {"height": 4, "width": 7, "kernel": (2, 2), "in_channels": 6, "groups": 3},
    "tails_as_long_as_a_patch": {
        **{"height": 3, "width": 7, "kernel": (1, 3), "in_channels": 3},
        **{"pe": 2, "channels_at_once": 3, "pixels": 3},
    },
    "tails_as_long_as_half_a_patch": {
        **{"height": 3, "width": 7, "kernel": (2, 4), "in_channels": 1, "pixels": 2},
    },
    "tails": {"height": 7, "width": 8, "kernel": (3, 3), "in_channels": 2, "channels_at_once": 2},
}
for each in CREDITED.values():
    each.setdefault("out_channels", 9)


@pytest.mark.parametrize("credits", [1, 3, 5, 17])
@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("case", CREDITED)
def test_an_engine_with_credits_takes_the_same_cycles(case, pauses, credits, seed):
    unit = engine_of(case, credits)
    steps = 2 * engine_steps(unit.spec.geometry)
    elements = sum(count for count, _, _ in steps)
    results = sum(count * made for count, _, made in steps)
    values = [[0] * unit.i.payload.shape().length] * elements
    runs = run_ports(unit, {"i": values}, {"o": results}, pauses=pauses, seed=seed)
    i, o = Channel(), Channel()
    ends = [source(i, elements, pauses, seed), sink(o, results, pauses, seed)]
    run([*ends, credited(i, o, unit.spec.latency, credits, steps)])
    assert runs["o"].given == list(o.takes)
    assert runs["i"].taken == list(i.takes)[: len(runs["i"].taken)]


def test_credits_are_as_few_as_hold_nothing_up(seed):
    rng = np.random.default_rng(seed)
    few = part_with(
        rng, shape=(1, 1, 9), kernel=(1, 1), stride=(1, 1), outputs=8, form=(8, 1, 1)
    ).geometry
    assert keeps_up(few, [8], 1)
    assert not keeps_up(few, [10], 1)  # a result comes every 9 cycles
    assert not keeps_up(few, [10], CREDITS)
    soon = replace(few, in_channels=7)  # further apart than one is on its way
    assert not keeps_up(soon, [1], 1)
    assert credits_for(soon, [1], windows=False) == CREDITS
    assert credits_for(few, [10], windows=True) == CREDITS
    assert credits_for(few, [10], windows=False) == 0
    assert credits_for(replace(few, pe=MANY_MULTIPLIERS - 1), [1, 1], windows=True) == 0
