"""Random networks over all operators: what they cover, and ONNX Runtime beside the golden model."""

from collections import Counter

import numpy as np
import pytest
from tercet.model.formats import text_file
from tercet.model.formats.json_file import dumps, loads
from tercet.model.formats.json_layers import KINDS
from tercet.model.fuzz.draws import random_images
from tercet.model.fuzz.networks import network_of_seed
from tercet.model.golden import trace_loop

RULES = {"half_even", "half_up", "half_away", "floor", "float32"}
SEEDS = range(250)


@pytest.fixture(scope="module")
def networks():
    return {seed: network_of_seed(seed) for seed in SEEDS}


def test_the_same_seed_gives_the_same_network():
    assert dumps(network_of_seed(7)) == dumps(network_of_seed(7))
    assert dumps(network_of_seed(7)) != dumps(network_of_seed(8))


def test_every_kind_rule_and_width_comes_up(networks):
    layers = [layer for network in networks.values() for layer in network.layers]
    convolutions = [layer for layer in layers if layer.kind == "conv2d"]
    tensors = [tensor for network in networks.values() for tensor in network.tensors.values()]
    requants = [layer.requant for layer in layers if hasattr(layer, "requant")]
    assert {layer.kind for layer in layers} == set(KINDS)
    assert {requant.rounding.value for requant in requants} == RULES
    assert {tensor.dtype.bits for tensor in tensors} >= set(range(2, 17))
    assert {tensor.dtype.signed for tensor in tensors} == {False, True}
    assert {conv.weights.dtype.bits for conv in convolutions} == set(range(2, 9))
    assert {min(conv.kernel) > 5 for conv in convolutions} == {False, True}
    assert {conv.groups for conv in convolutions} >= {1, 2, 3, 4}
    for choices in (
        {any(conv.weights.zero_points) for conv in convolutions},
        {max(conv.dilation) > 1 for conv in convolutions},
        {len(set(conv.padding)) > 1 for conv in convolutions},
        {conv.stride[0] != conv.stride[1] for conv in convolutions},
        {len(requant.multipliers) > 1 for requant in requants},
        {requant.has_offsets for requant in requants},
    ):
        assert choices == {False, True}


def test_most_results_vary(networks):
    """Networks whose values are all alike would find nothing."""
    constant = Counter()
    for seed, network in networks.items():
        images = random_images(np.random.default_rng(seed), network.tensors[network.input], 3)
        for name, values in network.trace(images).items():
            constant[values.size > 6 and name != "class" and values.min() == values.max()] += 1
    assert constant[True] < constant[False] / 4


def test_both_forms_and_both_files_agree(networks):
    for seed, network in networks.items():
        images = random_images(np.random.default_rng(seed), network.tensors[network.input], 3)
        again = loads(dumps(network)).trace(images)
        assert dumps(text_file.loads(text_file.dumps(network))) == dumps(network), seed
        slow = trace_loop(network, network.images(images))
        for name, values in network.trace(images).items():
            np.testing.assert_array_equal(values, slow[name], err_msg=f"seed {seed}, {name}")
            np.testing.assert_array_equal(values, again[name], err_msg=f"seed {seed}, {name}")


@pytest.mark.parametrize("part", range(4))
def test_onnx_runtime_computes_the_same(networks, part):
    """An arithmetic of its own: its convolutions, pools and integers, by elementary operators."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    from onnxrun import assert_equal
    from tercet.model.exporters.onnx import write

    for seed in list(SEEDS)[part::4]:
        network = networks[seed]
        images = random_images(np.random.default_rng(seed), network.tensors[network.input], 3)
        assert_equal(network, images, content=write(network, explicit=True))
