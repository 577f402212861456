"""Definitions that a narrower requantization was proven equal to: in the data, in both kinds of
file, and what is wrong with one."""

from dataclasses import replace

import pytest
from anylayers import any_layers
from documents import edited, refusal
from smallnet import network
from tercet.model import NetworkError
from tercet.model.formats import text_file
from tercet.model.formats.json_file import dumps, loads
from tercet.model.requant import Requant, Rounding

DEFINITION = Requant((2, 4, 6, 8), 6, Rounding.HALF_EVEN, 0, 255)
OFFSETS = Requant((12,), 4, Rounding.FLOOR, 0, 255, offsets=(1, -2, 0, 9))


def defined(definition):
    requant = replace(network().layers[0].requant, reference=definition, offsets=(5,))
    return network({"requant": requant})


@pytest.mark.parametrize("definition", [DEFINITION, OFFSETS])
def test_it_comes_back_from_both_kinds_of_file(definition):
    net = defined(definition)
    layers = any_layers(net)
    for back in (loads(dumps(net)), text_file.loads(text_file.dumps(net))):
        first, second, *_ = any_layers(back)
        assert first.requant == layers[0].requant
        assert first.requant.definition == definition
        assert second.requant.definition is second.requant
        assert dumps(back) == dumps(net)


def test_it_takes_one_line():
    assert (
        '        "reference": {"multipliers": [12], "shift": 4, "rounding": "floor", '
        '"offsets": [1, -2, 0, 9]},\n        "offsets": [5]\n'
    ) in dumps(defined(OFFSETS))
    assert (
        "\n  reference multipliers 12 shift 4 rounding floor offsets 1 -2 0 9\n  offsets 5\n"
    ) in text_file.dumps(defined(OFFSETS))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            replace(DEFINITION, reference="half_even"),
            "reference must be a definition, which has no reference itself",
        ),
        (replace(DEFINITION, low=1), "reference must have the clamp [0, 255], not [1, 255]"),
    ],
)
def test_it_must_be_a_definition_of_the_same_outputs(reference, message):
    with pytest.raises(ValueError) as caught:
        replace(DEFINITION, reference=reference)
    assert str(caught.value) == message


NUMBERS = {"multipliers": [2, 4, 6, 8], "shift": 6, "rounding": "half_even"}
BAD = [
    (7, "Layer 'first': requant: field 'reference' must be a text, not 7"),
    ({}, "Layer 'first': requant: reference: the field 'multipliers' is missing"),
    (NUMBERS | {"n": 1}, "Layer 'first': requant: reference: the field 'n' is unknown"),
    (
        NUMBERS | {"clamp": [0, 255]},
        "Layer 'first': requant: reference: the field 'clamp' is unknown",
    ),
    (
        NUMBERS | {"shift": 6.5},
        "Layer 'first': requant: reference: field 'shift' must be an integer, not 6.5",
    ),
    (NUMBERS | {"shift": 62}, "Layer 'first': reference: shift must be 0 to 61, not 62"),
    (
        NUMBERS | {"multipliers": [1, 2]},
        "Layer 'first': reference: multipliers must number 1 or 4, not 2",
    ),
    (
        NUMBERS | {"offsets": [0, 0]},
        "Layer 'first': reference: offsets must number 1 or 4, not 2",
    ),
]


@pytest.mark.parametrize(("reference", "message"), BAD)
def test_what_is_wrong_with_one_in_a_network_file_is_told(reference, message):
    assert refusal(edited(["layers", 0, "requant", "reference"], reference)) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("multipliers 1 shift 2", "requant: reference: the field 'rounding' is missing"),
        ("multipliers 1 shift 2 shift 3", "reference has 'shift' twice"),
        ("multipliers 1 shift 2 3", "reference takes one word, not 2"),
        ("multipliers 1 shift two", "reference must be integers, not 'two'"),
        ("multipliers", "reference must be one of half_even, "),
        ("shift 2 multipliers 1", "reference takes one word, not 4"),
    ],
)
def test_what_is_wrong_with_one_in_a_text_is_told_with_its_line(words, message):
    text = text_file.dumps(network()).replace("reference none", f"reference {words}", 1)
    with pytest.raises(NetworkError) as caught:
        text_file.loads(text)
    where, _, said = str(caught.value).partition(": ")
    assert where in ("line 29", "line 49")
    assert said.removeprefix("Layer 'first': ").startswith(message)
