"""Networks put together layer by layer: what they compute, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from anylayers import any_layers
from rationals import requantize_exactly
from residualnet import RESCALE, UINT8, residual, weights
from tercet.model.builder import Builder, Grid, Output
from tercet.model.formats.json_file import dumps, loads
from tercet.model.golden import trace_loop
from tercet.model.layers import NetworkError
from tercet.model.names import identifier
from tercet.model.requant import Rounding
from tercet.model.search.policies import by_reference, factors


@pytest.mark.parametrize("rescale", [RESCALE, by_reference()], ids=["fixed", "by_reference"])
def test_a_network_runs_the_same_in_both_forms_and_through_its_file(seed, rescale):
    rng = np.random.default_rng(seed)
    net = residual(rng, rescale)
    images = rng.integers(0, 256, (3, 6, 6, 2))
    images[0], images[1] = 0, 255
    fast, slow = net.trace(images), trace_loop(net, net.images(images))
    again = loads(dumps(net))
    assert list(fast) == [
        "image", "a", "b", "sum", "relu", "max", "avg", "flat", "fc1", "logits", "class"
    ]  # fmt: skip
    for name, values in fast.items():
        np.testing.assert_array_equal(values, slow[name])
        np.testing.assert_array_equal(values, again.trace(images)[name])
    assert dumps(again) == dumps(net)
    assert [layer.kind for layer in net.layers[-3:]] == ["linear", "linear", "argmax"]


def test_offsets_go_through_the_file(seed):
    from dataclasses import replace

    net = residual(np.random.default_rng(seed))
    first = any_layers(net)[0]
    layer = replace(first, requant=replace(first.requant, offsets=(1, -2, 3, 0)))
    changed = type(net)(net.name, net.input, net.tensors, [layer, *net.layers[1:]])
    assert any_layers(loads(dumps(changed)))[0].requant == layer.requant
    assert '"offsets": [1, -2, 3, 0]' in dumps(changed)


def test_by_reference_is_the_exact_product_of_the_scales(seed):
    net = residual(np.random.default_rng(seed), by_reference())
    x, layer = net.tensors["image"], net.layers[0]
    (factor,) = factors(layer, (x,), net.tensors["a"])
    assert factor == Fraction(1 / 255) * Fraction(0.01) / Fraction(0.02)
    images = np.random.default_rng(seed).integers(0, 256, (2, 6, 6, 2))
    from tercet.model.golden.fastconv import accumulate

    acc = accumulate(net.images(images), layer, 0)
    expected = [
        requantize_exactly(int(value), factor, Rounding.HALF_EVEN, 10, 0, 255)
        for value in acc.ravel()
    ]
    assert net.trace(images)["a"].ravel().tolist() == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv1", "conv1"),
        ("blocks.0.conv", "blocks_0_conv"),
        ("/fc/Gemm", "fc_Gemm"),
        ("0", "layer_0"),
        ("größe", "gr__e"),
        ("", "layer_"),
    ],
)
def test_names_become_identifiers(name, expected):
    assert identifier(name) == expected


def refused(build):
    builder = Builder("net")
    x = builder.input((4, 4, 1), Grid(UINT8, 1.0, 0))
    with pytest.raises(NetworkError) as caught:
        build(builder, x, np.random.default_rng(0))
    return str(caught.value)


def test_what_does_not_fit_is_refused_by_layer():
    grid = Grid(UINT8, 1.0, 0)
    assert refused(
        lambda b, x, rng: b.conv2d(
            "big", x, weights(rng, 1, 5, 5, 1), np.zeros(1, np.int64), Output(grid, RESCALE)
        )
    ) == ("Layer 'big': the kernel does not fit its input; make the map larger or pad it")
    assert refused(
        lambda b, x, rng: b.linear(
            "fc", x, weights(rng, 1, 1, 1, 16), np.zeros(1, np.int64), Output(grid, RESCALE)
        )
    ) == (
        "Layer 'fc': input 'image' must be one position (1, 1, C), not [4, 4, 1]; "
        "put a flatten before it"
    )
    assert refused(lambda b, x, rng: [b.flatten("f", x), b.flatten("f", x)]) == (
        "Layer 'f': the name is used twice; rename one of them"
    )
    assert refused(lambda b, x, rng: b.network()) == "Network 'net': there must be a layer"
    far = Grid(UINT8, 1e-30, 0)
    assert refused(
        lambda b, x, rng: b.conv2d(
            "far", x, weights(rng, 1, 1, 1, 1), np.zeros(1, np.int64), Output(far, RESCALE)
        )
    ).startswith("Layer 'far': factors from 1e+28 to 1e+28 do not fit 16-bit multipliers")


@pytest.mark.parametrize("names", [("class", "argmax"), ("image", "logits"), ("logits", "class")])
def test_layers_may_have_the_names_that_the_builder_gives(names, seed):
    rng = np.random.default_rng(seed)
    builder, grid = Builder("net"), Grid(UINT8, 0.02, 10)
    y = builder.input((2, 2, 3), Grid(UINT8, 1 / 255, 0))
    for name, size in zip((*names, "last"), (1, 1, 2), strict=True):
        shape = (4, size, size, y.shape[2])
        y = builder.conv2d(
            name, y, weights(rng, *shape), np.zeros(4, np.int64), Output(grid, RESCALE)
        )
    network = builder.network()
    assert [layer.name for layer in network.layers[:-1]] == [*names, "last"]
    closing = network.layers[-1]
    assert (closing.kind, closing.input) == ("argmax", network.output)
    assert closing.name == ("argmax_2" if "argmax" in names else "argmax")
    assert closing.output == ("class_2" if "class" in names else "class")
    assert network.output == ("last" if "logits" in names else "logits")
    assert network(rng.integers(0, 256, (5, 2, 2, 3))).shape == (5, 4)
