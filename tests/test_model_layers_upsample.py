"""Upsampling: the definition, files, and what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from channelranges import channel_ranges
from tercet.model import golden
from tercet.model.builder import Builder, Grid
from tercet.model.formats import json_file, text_file
from tercet.model.fuzz.draws import INT8, UINT8, random_images
from tercet.model.layers import NetworkError, Tensor
from tercet.model.layers.upsample import Upsample

GRID = Grid(INT8, 0.1, -3)


def network_of(shape, factor):
    builder = Builder("net")
    x = builder.relu("relu", builder.input(shape, GRID), -3, 100)
    builder.upsample("up", x, factor)
    return builder.network()


@pytest.mark.parametrize("factor", [(1, 1), (2, 2), (3, 1), (1, 4), (2, 3)])
@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 5, 2), (3, 1, 1)])
def test_each_position_comes_factor_times(shape, factor, seed):
    network = network_of(shape, factor)
    images = random_images(np.random.default_rng(seed), network.tensors["image"], 3)
    fast, loop = golden.trace(network, images), golden.trace_loop(network, images)
    y = network.output
    assert network.tensors[y].shape == (shape[0] * factor[0], shape[1] * factor[1], shape[2])
    assert np.array_equal(fast[y], loop[y])
    assert fast[y].dtype == loop[y].dtype == np.int8
    for dy, dx in np.ndindex(factor):
        assert np.array_equal(loop[y][:, dy :: factor[0], dx :: factor[1]], loop["relu"])
    assert network.value_range(y) == (-3, 100)
    low, high = channel_ranges(network)[y]
    assert (low.tolist(), high.tolist()) == ([-3] * shape[2], [100] * shape[2])
    assert network.layers[1].changes_nothing(network) == (factor == (1, 1))


@pytest.mark.parametrize("form", [json_file, text_file])
def test_both_kinds_of_file_give_it_back(form):
    network = network_of((2, 3, 1), (2, 3))
    again = form.loads(form.dumps(network))
    assert again.layers[1] == network.layers[1]
    assert again.tensors == network.tensors


X, Y = Tensor("x", (2, 3, 1), UINT8, 1.0, 0), Tensor("y", (4, 9, 1), UINT8, 1.0, 0)
LAYER = Upsample("up", "x", "y", factor=(2, 3))


@pytest.mark.parametrize(
    ("layer", "y", "message"),
    [
        (replace(LAYER, factor=(0, 3)), Y, "the factor must be at least 1, not [0, 3]"),
        (
            LAYER,
            replace(Y, shape=(4, 6, 1)),
            "output 'y' must have the shape [4, 9, 1], not [4, 6, 1]",
        ),
        (
            LAYER,
            replace(Y, scale=0.5),
            "'y' must have the type, scale and zero point of 'x', since its values are the same",
        ),
    ],
)
def test_what_does_not_fit_is_refused(layer, y, message):
    with pytest.raises(NetworkError) as error:
        layer.validate(SimpleNamespace(tensors={"x": X, "y": y}))
    assert str(error.value) == message
