"""What a network refuses, message by message, and what it tells about itself."""

from dataclasses import replace

import pytest
from smallnet import ARGMAX, FIRST, SECOND, changed, network, without
from tercet.model import NetworkError
from tercet.model.errors import UserError


def test_the_network_that_the_refusals_start_from_is_valid():
    net = network()
    assert net.output == "logits"
    assert net.producer("image") is None
    assert net.producer("map") is net.layers[0]
    assert network(layers=[FIRST, SECOND], **without("class")).output == "logits"


NAMES = "there are class, image, logits, map"
REFUSED = [
    ({"name": "2net"}, "Network name must be letters, digits and underscores, not '2net'"),
    ({"name": ""}, "Network name must be letters, digits and underscores, not ''"),
    ({"name": "nét"}, "Network name must be letters, digits and underscores, not 'nét'"),
    ({"layers": []}, "Network 'net': layers must not be empty"),
    (changed("map", name="card"), "Tensor 'map' calls itself 'card'"),
    ({"input": "picture"}, f"The network's input 'picture' is no tensor; {NAMES}"),
    ({"first": {"name": "a b"}}, "Layer 'a b': a name must be letters, digits and underscores"),
    ({"first": {"name": "second"}}, "Layer 'second': the name is used twice"),
    ({"first": {"input": "nil"}}, f"Layer 'first': input 'nil' is no tensor; {NAMES}"),
    ({"first": {"output": "nil"}}, f"Layer 'first': output 'nil' is no tensor; {NAMES}"),
    (
        {"layers": [SECOND, FIRST, ARGMAX]},
        "Layer 'second': input 'map' is written by no earlier layer",
    ),
    (
        {"layers": [FIRST, replace(FIRST, name="again")]},
        "Layer 'again': output 'map' is written already",
    ),
    ({"first": {"output": "image"}}, "Layer 'first': output 'image' is written already"),
    ({"layers": [FIRST]}, "Tensor 'class' is written by no layer"),
]


@pytest.mark.parametrize(("parts", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_network_that_breaks_a_rule_is_refused(parts, message):
    with pytest.raises(NetworkError) as caught:
        network(**parts)
    assert str(caught.value) == message


def test_network_errors_are_both_user_errors_and_value_errors():
    assert issubclass(NetworkError, UserError)
    assert issubclass(NetworkError, ValueError)
