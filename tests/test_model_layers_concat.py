"""Concatenations: the fast form against the loop, the loop against exact rationals, refusals."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from anylayers import any_layers
from channelranges import channel_ranges
from randomnets import random_concat
from rationals import requantize_exactly
from tercet.model import NetworkError, golden
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.dtypes import IntType
from tercet.model.formats import json_file, text_file
from tercet.model.fuzz.convs import network_of
from tercet.model.fuzz.draws import INT8, UINT8, random_images
from tercet.model.layers import Relu, Tensor
from tercet.model.layers.concat import Concat, joined
from tercet.model.requant import MAX_MULTIPLIER, Requant, Rounding, requantize
from tercet.model.search.policies import by_reference, fixed

RULES = list(Rounding)


def both(network, images):
    """Every tensor by the fast forms, which equal the loops, also through both kinds of file."""
    fast, loop = golden.trace(network, images), golden.trace_loop(network, images)
    for name, values in loop.items():
        assert fast[name].dtype == values.dtype
        np.testing.assert_array_equal(fast[name], values)
    text = json_file.dumps(network)
    assert json_file.dumps(json_file.loads(text)) == text
    assert json_file.dumps(text_file.loads(text_file.dumps(network))) == text
    return fast


@pytest.mark.parametrize("case", range(24))
def test_each_channel_is_rounded_once_by_its_own_factor(case, seed):
    rng = np.random.default_rng([seed, case])
    network = random_concat(rng, rounding=RULES[case % len(RULES)])
    layer = any_layers(network)[-1]
    images = random_images(rng, network.tensors[network.input], 4)
    traced = both(network, images)
    y, at = network.tensors[layer.output], 0
    for index, name in enumerate(layer.reads):
        x, requant = network.tensors[name], layer.requant_of(index)
        factor = Fraction(requant.multipliers[0], 1 << requant.shift)
        offset = Fraction(requant.offsets[0], requant.multipliers[0])
        for value, got in zip(
            traced[name].ravel(),
            traced[y.name][..., at : at + x.shape[2]].ravel(),
            strict=True,
        ):
            assert got == requantize_exactly(
                int(value) - x.zero_point + offset,
                factor,
                requant.rounding,
                y.zero_point,
                requant.low,
                requant.high,
            )
        at += x.shape[2]


def test_every_case_of_the_generator_is_met(seed):
    found = [random_concat(np.random.default_rng([seed, case])) for case in range(60)]
    layers = [any_layers(network)[-1] for network in found]
    assert {len(layer.reads) for layer in layers} == {2, 3, 4}
    copies = [layer.copies(net) for layer, net in zip(layers, found, strict=True)]
    assert 10 < sum(copies) < 50
    assert any(layer.requant.has_offsets for layer in layers)
    assert any(len(set(layer.reads)) < len(layer.reads) for layer in layers)


def test_the_ranges_of_channels_are_exact(seed):
    for case in range(20):
        rng = np.random.default_rng([seed, case])
        network = random_concat(rng)
        images = random_images(rng, network.tensors[network.input], 40)
        traced = network.trace(images)
        for name, (low, high) in channel_ranges(network).items():
            values = traced[name].reshape(-1, traced[name].shape[3])
            assert (low <= values.min(axis=0)).all()
            assert (values.max(axis=0) <= high).all()
        layer = any_layers(network)[-1]
        low, high = network.value_range(layer.output)
        assert (low, high) == (layer.requant.low, layer.requant.high)


GRID = Grid(UINT8, 0.5, 10)


def builder_of(*grids):
    """A builder, its image, and the image requantized to each of the grids."""
    builder, rescale = Builder("net"), fixed(16, Rounding.HALF_UP)
    x = builder.input((2, 3, 2), GRID)
    moved = [
        builder.avg_pool2d(f"x{index}", x, (1, 1), Window(), Output(grid, rescale))
        for index, grid in enumerate(grids)
    ]
    return builder, [x, *moved]


def test_one_grid_is_a_mere_order(seed):
    builder, (x,) = builder_of()
    y = builder.relu("relu", x, 10, 90)

    def never(*_):
        raise AssertionError("nothing is to be rescaled")

    builder.concat("cat", [x, y, x], Output(GRID, never))
    network = builder.network()
    layer = any_layers(network)[-1]
    assert layer.requant == Requant((1,), 0, Rounding.HALF_UP, 0, 255, "half_even")
    assert layer.copies(network)
    images = random_images(np.random.default_rng(seed), network.tensors["image"], 3)
    traced = both(network, images)
    expected = np.concatenate([images, traced["relu"], images], axis=3)
    np.testing.assert_array_equal(traced["logits"], expected)


@pytest.mark.parametrize(
    "rescale", [fixed(16, Rounding.HALF_AWAY), by_reference()], ids=["fixed", "by_reference"]
)
def test_the_factors_are_those_of_the_scales(rescale, seed):
    grids = [Grid(INT8, 0.11, -3), Grid(IntType(5, signed=True), 1.3, 2)]
    builder, inputs = builder_of(*grids)
    builder.concat("cat", inputs, Output(GRID, rescale, (10, 200)))
    network = builder.network()
    layer = any_layers(network)[-1]
    images = random_images(np.random.default_rng(seed), network.tensors["image"], 8)
    traced = both(network, images)
    assert not layer.copies(network)
    for index, (x, name) in enumerate(zip(inputs, layer.reads, strict=True)):
        got = traced["logits"][..., 2 * index : 2 * index + 2]
        if layer.requant.reference is not None:
            factor = Fraction(x.scale) / Fraction(GRID.scale)
            expected = [
                requantize_exactly(int(q) - x.zero_point, factor, Rounding.HALF_EVEN, 10, 10, 200)
                for q in traced[name].ravel()
            ]
        else:
            expected = requantize(
                traced[name].astype(np.int64) - x.zero_point, layer.requant_of(index), 10
            ).ravel()
        assert got.ravel().tolist() == list(expected)
    every = np.arange(INT8.qmin, INT8.qmax + 1) - inputs[0].zero_point  # image is on the grid
    unchanged = np.clip(every + 10, 10, 200)
    assert requantize(every, layer.requant_of(0), 10).tolist() == unchanged.tolist()


def test_joined_requantizations_stay_what_they_are(seed):
    rng = np.random.default_rng(seed)
    x = np.arange(-255, 256)
    for _ in range(50):
        single = [
            Requant(
                (int(rng.integers(1, 4096)),), int(shift), Rounding.HALF_UP, -128, 127,
                offsets=(int(rng.integers(-999, 999)),),
            )
            for shift in rng.integers(0, 15, 3)
        ]  # fmt: skip
        whole = joined(single)
        layer = Concat(name="c", input="a", output="y", others=("b", "c"), requant=whole)
        for index, requant in enumerate(single):
            np.testing.assert_array_equal(
                requantize(x, layer.requant_of(index), 3), requantize(x, requant, 3)
            )


def test_joined_requantizations_must_fit_one_shift():
    ends = [Requant((m,), n, Rounding.HALF_UP, 0, 255) for m, n in ((3, 40), (5, 1))]
    with pytest.raises(ValueError) as error:
        joined(ends)
    assert str(error.value) == (
        f"the scales of its inputs are too far apart for multipliers of at most {MAX_MULTIPLIER} "
        "over one shift; requantize them to closer ones before"
    )


X = Tensor("x", (2, 3, 2), UINT8, 1.0, 0)
LAYER = Concat(
    name="cat", input="x", output="y", others=("z",), requant=Requant((1,), 0, RULES[0], 0, 255)
)
Z, Y = replace(X, name="z"), replace(X, name="y", shape=(2, 3, 4))
PAIRS = [Requant((1,) * m, 0, RULES[0], 0, 255, offsets=(0,) * n) for m, n in ((3, 1), (1, 3))]


@pytest.mark.parametrize(
    ("requant", "zero_point", "copies"),
    [
        ({}, 7, True),
        ({"multipliers": (4, 4), "shift": 2, "offsets": (0, 0)}, 7, True),
        ({"multipliers": (4, 5), "shift": 2}, 7, False),
        ({"multipliers": (2,), "shift": 2}, 7, False),
        ({"offsets": (0, 1)}, 7, False),
        ({"low": 1}, 7, False),
        ({"high": 254}, 7, False),
        ({}, 8, False),
    ],
)
def test_values_are_copied_only_where_nothing_changes(requant, zero_point, copies, seed):
    x, z = replace(X, zero_point=7), replace(Z, zero_point=7)
    relu = Relu(name="relu", input="x", output="z", low=0, high=255)
    layer = replace(LAYER, requant=replace(LAYER.requant, **requant))
    network = network_of(x, [relu, layer], [z, replace(Y, zero_point=zero_point)])
    assert layer.copies(network) == copies
    images = random_images(np.random.default_rng(seed), x, 3)
    whole = np.concatenate([images, images], axis=3)
    assert np.array_equal(both(network, images)["y"], whole) == copies


@pytest.mark.parametrize(
    ("layer", "z", "y", "message"),
    [
        (replace(LAYER, others=()), Z, Y, "it must concatenate two tensors or more, not 1"),
        (
            LAYER,
            replace(Z, shape=(3, 2, 2)),
            Y,
            "'x' and 'z' must have the same height and width, not [2, 3, 2] and [3, 2, 2]",
        ),
        (
            LAYER,
            Z,
            replace(Y, shape=(2, 3, 5)),
            "output 'y' must have the shape [2, 3, 4], not [2, 3, 5]",
        ),
        (replace(LAYER, requant=PAIRS[0]), Z, Y, "multipliers must number 1 or 2, not 3"),
        (replace(LAYER, requant=PAIRS[1]), Z, Y, "offsets must number 1 or 2, not 3"),
        (
            replace(LAYER, requant=Requant((1,), 0, RULES[0], 0, 256)),
            Z,
            Y,
            "the clamp [0, 256] must lie in [0, 255] as uint8 of 'y' does",
        ),
    ],
)
def test_what_does_not_fit_is_refused(layer, z, y, message):
    network = SimpleNamespace(tensors={"x": X, "z": z, "y": y})
    with pytest.raises(NetworkError) as error:
        layer.validate(network)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"others": ["relu"],', "", "Layer 'cat': the field 'others' is missing"),
        ('["relu"]', '["relu", 1]', "Layer 'cat': field 'others' must be a text, not 1"),
        (
            '["relu"]',
            '["fog"]',
            "Layer 'cat': input 'fog' is no tensor; there are image, logits, relu",
        ),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused(old, new, message):
    builder, (x,) = builder_of()
    builder.concat("cat", [x, builder.relu("relu", x, 10, 90)], Output(GRID, fixed(8, RULES[0])))
    text = json_file.dumps(builder.network())
    assert old in text
    with pytest.raises(NetworkError) as error:
        json_file.loads(text.replace(old, new))
    assert str(error.value) == message
