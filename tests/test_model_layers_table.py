"""Tables: the definition, ranges, files, and what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from channelranges import channel_ranges
from tablenet import tables
from tercet.model import golden
from tercet.model.builder import Builder, Grid
from tercet.model.dtypes import IntType
from tercet.model.formats import json_file, text_file
from tercet.model.fuzz.draws import INT8, UINT8, random_images
from tercet.model.layers import NetworkError, Tensor
from tercet.model.layers.table import Table, look_up

TYPES = [IntType(bits, signed) for bits in (1, 3, 8, 10) for signed in (False, True)]


@pytest.mark.parametrize("x", TYPES, ids=str)
@pytest.mark.parametrize("y", [UINT8, IntType(12, signed=True)], ids=str)
def test_each_value_gives_its_entry(x, y, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(y.qmin, y.qmax + 1, 1 << x.bits)
    builder = Builder("net")
    image = builder.input((1, 1 << x.bits, 1), Grid(x, 1.0, 0))
    builder.table("table", image, values, Grid(y, 0.5, 3))
    network = builder.network()
    every = np.arange(x.qmin, x.qmax + 1).astype(x.numpy)
    images = np.stack([every, rng.permutation(every)]).reshape(2, 1, -1, 1)
    expected = np.stack([values[image.astype(int) - x.qmin] for image in images.reshape(2, -1)])
    for trace in (golden.trace, golden.trace_loop):
        got = trace(network, images)["logits"]
        assert got.dtype == y.numpy
        assert np.array_equal(got.reshape(2, -1), expected)


def test_a_table_keeps_what_can_be_reached(seed):
    network = tables(np.random.default_rng(seed))
    by_name = {layer.name: layer for layer in network.layers}
    assert (by_name["noise"].first, len(by_name["noise"].values)) == (-128, 256)
    assert (by_name["half"].first, len(by_name["half"].values)) == (10, 191)
    assert len(by_name["few"].values) == 16
    images = random_images(np.random.default_rng(seed), network.tensors["image"], 50)
    trace = golden.trace(network, images)
    bounds = channel_ranges(network)
    for layer in network.layers:
        low, high = network.value_range(layer.output)
        values = trace[layer.output]
        assert low <= values.min()
        assert values.max() <= high
        if layer.kind == "table":
            assert {low, high} == {min(layer.values), max(layer.values)}
            least, greatest = bounds[layer.output]
            assert (least <= values.min(axis=(0, 1, 2))).all()
            assert (values.max(axis=(0, 1, 2)) <= greatest).all()


def test_the_bounds_of_a_channel_are_those_of_its_own_values():
    layer = Table("table", "x", "y", first=-2, values=(5, -7, 3, 9, 0))
    low, high = layer.channel_bounds([(np.array([-2, 0, 2]), np.array([2, 1, 2]))], (0, 0))
    assert (low.tolist(), high.tolist()) == ([-7, 3, 0], [9, 9, 0])
    assert look_up(np.array([[-2], [2]]), layer).tolist() == [[5], [0]]


@pytest.mark.parametrize("form", [json_file, text_file])
def test_both_kinds_of_file_give_it_back(form, seed):
    network = tables(np.random.default_rng(seed))
    again = form.loads(form.dumps(network))
    assert form.dumps(again) == form.dumps(network)
    for layer, other in zip(network.layers, again.layers, strict=True):
        if layer.kind == "table":
            assert layer == other


@pytest.mark.parametrize(
    ("first", "values", "y", "changes"),
    [
        (0, range(256), UINT8, False),
        (0, [*range(255), 254], UINT8, True),
        (0, range(256), IntType(9, signed=False), True),  # the stream has other beats
    ],
)
def test_a_table_of_what_comes_in_has_no_effect(first, values, y, changes):
    x = Tensor("x", (1, 2, 3), UINT8, 1.0, 0)
    layer = Table("t", "x", "y", first=first, values=tuple(values))
    tensors = {"x": x, "y": Tensor("y", (1, 2, 3), y, 1.0, 0)}
    network = SimpleNamespace(tensors=tensors, value_range=lambda name: (0, 255))
    layer.validate(network)
    assert layer.changes_nothing(network) == (not changes)


X, Y = Tensor("x", (2, 3, 1), INT8, 1.0, 0), Tensor("y", (2, 3, 1), UINT8, 1.0, 0)
LAYER = Table("t", "x", "y", first=-100, values=(7,) * 200)


@pytest.mark.parametrize(
    ("layer", "x", "y", "message"),
    [
        (
            LAYER,
            replace(X, dtype=IntType(11, signed=True)),
            Y,
            "input 'x' of a table must have at most 10 bits, not 11; requantize it to fewer before",
        ),
        (
            LAYER,
            X,
            replace(Y, shape=(3, 2, 1)),
            "output 'y' must have the shape [2, 3, 1], not [3, 2, 1]",
        ),
        (
            replace(LAYER, values=(7,) * 229),
            X,
            Y,
            "its entries must be for values in [-128, 127] as int8 of 'x' has, not [-100, 128]",
        ),
        (
            replace(LAYER, values=()),
            X,
            Y,
            "its entries must be for values in [-128, 127] as int8 of 'x' has, not [-100, -101]",
        ),
        (
            replace(LAYER, first=-98),
            X,
            Y,
            "it must have an entry for each value of 'x' in [-100, 99], not just for [-98, 101]",
        ),
        (
            replace(LAYER, values=(7,) * 199),
            X,
            Y,
            "it must have an entry for each value of 'x' in [-100, 99], not just for [-100, 98]",
        ),
        (
            replace(LAYER, values=(7,) * 199 + (256,)),
            X,
            Y,
            "its entries must lie in [0, 255] as uint8 of 'y' does, but reach [7, 256]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(layer, x, y, message):
    tensors = {"x": x, "y": y}
    network = SimpleNamespace(tensors=tensors, value_range=lambda name: (-100, 99))
    with pytest.raises(NetworkError) as error:
        layer.validate(network)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"first": 0', '"first": 0.5', "Layer 'table': field 'first' must be an integer, not 0.5"),
        ('"values": [7, ', '"values": ["a", ', "Layer 'table': field 'values' must be an integer"),
        (
            '"values": [7, ',
            '"values": [',
            "Layer 'table': it must have an entry for each value of 'image' in [0, 255], not just "
            "for [0, 254]",
        ),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused(old, new, message):
    builder = Builder("net")
    image = builder.input((1, 2, 1), Grid(UINT8, 1.0, 0))
    builder.table("table", image, np.full(256, 7), Grid(UINT8, 0.5, 0))
    text = json_file.dumps(builder.network())
    assert old in text
    with pytest.raises(NetworkError) as error:
        json_file.loads(text.replace(old, new))
    assert str(error.value).startswith(message)
