"""The narrowest forms: equal to their definitions on literally every accumulator, and no wider than
they must be."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from anylayers import any_layers
from smallnet import network
from tercet.model import NetworkError, load
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.dtypes import IntType
from tercet.model.formats.json_file import shipped
from tercet.model.layers import Requantizing, Tensor
from tercet.model.requant import MAX_MULTIPLIER, Requant, Rounding, fixed_point, requantize
from tercet.model.requant.staircase import channel_of
from tercet.model.search.narrowest import narrowed, narrowest, proven
from tercet.model.search.policies import factors, fixed

CHUNK = 1 << 20  # accumulators at once


def tensor(zero_point=0, bits=8):
    return Tensor("y", (1, 1, 1), IntType(bits, signed=True), 1.0, zero_point)


def search(requant, lo, hi, zero_point=0):
    """The narrowest form over the reach of each channel."""
    return narrowest(requant, (), tensor(zero_point), (np.array(lo), np.array(hi)))


def assert_equal_everywhere(found, definition, lo, hi, zero_point=0):
    """Compare both on every accumulator of every channel; of one where all channels share them."""
    for channel, ends in enumerate(zip(lo, hi, strict=True)):
        one, other = channel_of(found, channel), channel_of(definition, channel)
        for start in range(int(ends[0]), int(ends[1]) + 1, CHUNK):
            acc = np.arange(start, min(start + CHUNK, int(ends[1]) + 1))
            expected = requantize(acc, other, zero_point)
            np.testing.assert_array_equal(requantize(acc, one, zero_point), expected)


def drawn(rng, channels):
    """A definition of small numbers, its zero point and the reach of each channel."""
    shift = int(rng.integers(3, 11))
    low = int(rng.integers(-9, 4))
    definition = Requant(
        multipliers=tuple(rng.integers(1, 1 << shift, channels).tolist()),
        shift=shift,
        rounding=Rounding(rng.choice([rule.value for rule in Rounding])),
        low=low,
        high=low + int(rng.integers(1, 12)),
        offsets=(int(rng.integers(-(3 << shift), 3 << shift)) if rng.integers(2) else 0,),
    )
    lo = rng.integers(-90, 1, channels)
    return definition, int(rng.integers(-4, 4)), lo, lo + rng.integers(0, 120, channels)


def narrower_exists(definition, lo, hi, zero_point, bits):
    """Whether any M below 2**bits, n of 1 or more and B, half-up, give the same; all are tried."""
    acc = np.arange(lo, hi + 1)
    expected = requantize(acc, definition, zero_point)
    outputs = np.arange(definition.low + 1, definition.high + 1)[:, None]
    reached = expected >= outputs
    far = 1 << 40
    for shift, multiplier in product(range(1, definition.shift + 1), range(1, 1 << bits)):
        # B must bring what reaches an output up to its step, and nothing else
        missing = ((outputs - zero_point) << shift) - (acc * multiplier + (1 << shift - 1))
        least = missing.max(where=reached, initial=-far)
        if least < missing.min(where=~reached, initial=far):
            return True
    return False


@pytest.mark.parametrize("channels", [1, 3])
def test_it_equals_its_definition_on_every_accumulator(channels, seed):
    rng, narrower = np.random.default_rng([seed, channels]), 0
    for _ in range(300):
        definition, zero_point, lo, hi = drawn(rng, channels)
        found = search(definition, lo, hi, zero_point)
        assert_equal_everywhere(found, definition, lo, hi, zero_point)
        assert found is definition or found.reference == definition
        bits = [max(form.multipliers).bit_length() for form in (found, definition)]
        assert bits[0] <= bits[1]
        narrower += bits[0] < bits[1]
        assert search(found, lo, hi, zero_point) == found
    assert narrower > 100


def test_of_one_channel_no_narrower_form_is_left(seed):
    rng, wide = np.random.default_rng(seed), 0
    for _ in range(60):
        definition, zero_point, lo, hi = drawn(rng, 1)
        found = search(definition, lo, hi, zero_point)
        bits = max(found.multipliers).bit_length() - 1
        wide += bits > 1
        assert not narrower_exists(definition, lo[0], hi[0], zero_point, bits)
    assert wide > 10


@pytest.mark.parametrize("name", shipped())
def test_shipped_networks_give_what_16_bits_define_on_every_accumulator(name):
    net = load(name)
    for layer in net.layers:
        if not isinstance(layer, Requantizing):
            continue
        definition, y = layer.requant.definition, net.tensors[layer.output]
        scales = factors(layer, tuple(net.tensors[x] for x in layer.reads), y)
        assert (definition.multipliers, definition.shift) == fixed_point(scales, 16)
        assert (definition.rounding, definition.offsets) == (Rounding.HALF_UP, (0,))
        lo, hi = layer.sum_bounds(net)
        if len(lo):  # all channels share their numbers: one range holds what each can reach
            ends = [lo.min()], [hi.max()]
            assert_equal_everywhere(layer.requant, definition, *ends, y.zero_point)
        else:
            assert layer.requant.reference is None
        count = int(hi.max() - lo.min() + 1) if layer.requant.reference else 0
        assert proven(layer, net) == count


def test_most_of_their_narrower_multipliers_shed_twos_alone():
    narrower, further = 0, []
    for net in map(load, shipped()):
        for layer in net.layers:
            if isinstance(layer, Requantizing) and layer.requant.reference:
                (m,) = layer.requant.definition.multipliers
                bits = (m // (m & -m)).bit_length()  # without its twos
                narrower += 1
                if max(layer.requant.multipliers).bit_length() < bits:
                    further.append((net.name, layer.name))
    assert narrower == 30
    assert further == [("lenet_avg", "pool1"), ("mobilenet", "pool")]


def test_a_layer_that_is_not_what_it_refers_to_is_found_by_name():
    net = load("plain")
    layers = any_layers(net)
    (m,) = layers[1].requant.multipliers
    layers[1] = replace(layers[1], requant=replace(layers[1].requant, multipliers=(m + 1,)))
    with pytest.raises(NetworkError) as caught:
        proven(layers[1], net)
    assert str(caught.value) == (
        "Layer 'conv2': requant differs from its reference: channel 0: accumulator 2236 gives 11, "
        "the reference M of 16 bits over 2**23 10"
    )


def test_a_float32_rounding_becomes_a_bare_constant():
    definition = Requant((10737419,), 33, Rounding.FLOAT32, 0, 255)
    found = search(definition, [-100_000], [300_000])
    assert (found.rounding, found.reference) == (Rounding.HALF_UP, definition)
    assert max(found.multipliers).bit_length() < 24
    assert_equal_everywhere(found, definition, [-100_000], [300_000])


def test_a_reference_by_name_stays():
    requant = Requant((40960,), 20, Rounding.HALF_UP, 0, 255, reference="half_even")
    found = search(requant, [0], [1000])
    assert found.reference == "half_even"
    assert max(found.multipliers) < 40960


def test_more_steps_than_are_searched_lose_their_twos():
    wide = Requant((3 << 10, MAX_MULTIPLIER - 7), 20, Rounding.HALF_AWAY, -(1 << 30), 1 << 30)
    found = search(wide, [-9000, -9000], [9000, 9000])
    assert (found.multipliers, found.shift) == ((3 << 7, (MAX_MULTIPLIER - 7) >> 3), 17)
    assert_equal_everywhere(found, wide, [-9000, -9000], [9000, 9000])


def addition(bits):
    """A network of one addition whose multipliers share factors of two."""
    builder = Builder("net")
    grids = [Grid(IntType(bits, signed=False), scale, 3) for scale in (0.5, 0.375, 1.0)]
    x = builder.input((1, 1, 2), grids[0])
    y = builder.avg_pool2d(
        "pool", x, (1, 1), Window(), Output(grids[1], fixed(16, Rounding.HALF_UP))
    )
    builder.add("add", x, y, Output(grids[2], fixed(16, Rounding.HALF_UP)))
    return builder.network()


def test_an_addition_is_compared_on_all_pairs():
    net = addition(bits=8)
    found = narrowed(net)
    layer = found.producer("logits")
    assert max(layer.requant.multipliers) == 4
    assert proven(layer, found) == 1 << 16
    lie = replace(layer, requant=replace(layer.requant, multipliers=(4, 5)))
    with pytest.raises(NetworkError, match=r"^Layer 'add': .* pairs differ$"):
        proven(lie, found)
    images = np.random.default_rng(0).integers(0, 256, (50, 1, 1, 2))
    np.testing.assert_array_equal(found(images), net(images))


def test_a_wide_addition_loses_its_twos_unchecked():
    found = narrowed(addition(bits=10))
    layer = found.producer("logits")
    assert max(layer.requant.multipliers) == 4
    with pytest.raises(
        NetworkError, match=r"^Layer 'add': a reference of an addition above 8 bits"
    ):
        proven(layer, found)


def test_layers_without_a_requantization_stay_what_they_are():
    net = network()
    assert [layer.name for layer in narrowed(net).layers] == [layer.name for layer in net.layers]
