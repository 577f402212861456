"""What the hardware refuses, before a file is written."""

from dataclasses import replace

import numpy as np
import pytest
from tercet.gen.parts.kinds import PARTS
from tercet.gen.plan import make_plan
from tercet.gen.verilog.build import write_core
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import random_tensor
from tercet.model.layers import Argmax, NetworkError
from tercet.model.layers.pool import MaxPool2d
from tercet.model.requant import Requant, Rounding


def refusal(network):
    with pytest.raises(NetworkError) as error:
        make_plan(network)
    return str(error.value)


def test_refuses_a_layer_that_nobody_reads(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (6, 6, 1))
    first, y = random_conv(rng, x, name="first")
    second, z = random_conv(rng, x, name="second")
    assert refusal(network_of(x, [first, second], [y, z])) == (
        "Layer 'first': no layer reads its output; leave it out"
    )


def test_refuses_a_kind_that_has_no_part(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (6, 6, 1))
    conv, y = random_conv(rng, x)
    monkeypatch.delitem(PARTS, "conv2d")
    assert refusal(network_of(x, [conv], [y])) == (
        "Layer 'conv': kind 'conv2d' is not in hardware; leave the layer out"
    )


def test_refuses_an_argmax_alone(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (1, 1, 4))
    index = replace(random_tensor(rng, "class", (1, 1, 1)), zero_point=0)
    network = network_of(x, [Argmax("argmax", "image", "class")], [index])
    assert refusal(network) == (
        "Network 'net': there must be a layer to build apart from argmax and layers that change no "
        "value; add one"
    )


def test_refuses_an_argmax_in_the_middle(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (1, 1, 4))
    index = replace(random_tensor(rng, "class", (1, 1, 1)), zero_point=0)
    conv, y = random_conv(rng, index, kernel=(1, 1))
    network = network_of(x, [Argmax("argmax", "image", "class"), conv], [index, y])
    assert refusal(network) == (
        "Layer 'argmax': an argmax must be the last layer in hardware; move it there"
    )


def test_refuses_float32_where_it_has_no_halves_and_writes_nothing(seed, tmp_path):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (2, 2, 1))
    conv, y = random_conv(rng, x, output_type=IntType(24, signed=True), rounding=Rounding.FLOAT32)
    y = replace(y, zero_point=0)
    conv = replace(conv, requant=Requant((3,), 4, Rounding.FLOAT32, -5, 1 << 22))
    network = network_of(x, [conv], [y])
    with pytest.raises(NetworkError) as error:
        write_core(network, tmp_path / "out")
    assert str(error.value) == (
        "Layer 'conv': with float32 rounding, outputs must be within 4194303 of the zero point in "
        "hardware, not 4194304; give the output fewer bits, or another rounding rule"
    )
    assert not (tmp_path / "out").exists()
    within = replace(conv, requant=replace(conv.requant, high=(1 << 22) - 1))
    make_plan(network_of(x, [within], [y]))


def test_plans_a_network_that_multiplies_nothing(seed):
    x = random_tensor(np.random.default_rng(seed), "image", (4, 4, 2))
    y = replace(x, name="maxima", shape=(2, 2, 2))
    pool = MaxPool2d("pool", x.name, y.name, kernel=(2, 2), stride=(2, 2))
    plan = make_plan(network_of(x, [pool], [y]))
    assert (plan.multipliers, plan.utilization) == (0, 0)
