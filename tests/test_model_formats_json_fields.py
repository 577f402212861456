"""Strict reading: each field of a network file missing, unknown, or of the wrong type."""

import copy
import json

import pytest
from documents import DOCUMENT, OBJECTS, at, edited, refusal

FIELDS = [(path, where, field) for path, where in OBJECTS.items() for field in at(path)]


@pytest.mark.parametrize(("path", "where", "field"), FIELDS)
def test_a_missing_field_is_named(path, where, field):
    document = copy.deepcopy(DOCUMENT)
    place = document
    for step in path:
        place = place[step]
    del place[field]
    if field == "name" and path[:1] == ("layers",):
        where = f"Layer {path[1]}"
    assert refusal(document) == f"{where}: the field {field!r} is missing"


@pytest.mark.parametrize(("path", "where"), OBJECTS.items())
def test_an_unknown_field_is_named(path, where):
    document = edited((*path, "extra"), 1) if path else DOCUMENT | {"extra": 1}
    assert refusal(document) == f"{where}: the field 'extra' is unknown"


@pytest.mark.parametrize(("path", "where"), OBJECTS.items())
@pytest.mark.parametrize("value", [[], None, 1, False])
def test_what_should_be_an_object_and_is_none_is_named(path, where, value):
    if path[:1] == ("layers",) and len(path) == 2:
        where = f"Layer {path[1]}"
    document = edited(path, value) if path else value
    assert refusal(document) == f"{where} must be an object, not {json.dumps(value)}"


INTEGERS = [
    *[((), "version"), (("tensors", "map"), "zero_point"), (("layers", 0), "groups")],
    (("layers", 0, "requant"), "shift"),
]
INTEGERS_IN_LISTS = [
    *[(("tensors", "map"), "shape"), (("layers", 0), "stride"), (("layers", 0), "padding")],
    *[(("layers", 0), "dilation"), (("layers", 0), "bias")],
    *[(("layers", 0, "weights"), "zero_points"), (("layers", 0, "requant"), "multipliers")],
    (("layers", 0, "requant"), "clamp"),
]


@pytest.mark.parametrize("value", [True, 1.0, 1e2, "1", None, [1], {}])
@pytest.mark.parametrize(("path", "field"), INTEGERS)
def test_an_integer_is_nothing_else(path, field, value):
    expected = f"{OBJECTS[path]}: field {field!r} must be an integer, not {json.dumps(value)}"
    assert refusal(edited((*path, field), value)) == expected


@pytest.mark.parametrize("value", [False, 2.5, "1", None, [1]])
@pytest.mark.parametrize(("path", "field"), INTEGERS_IN_LISTS)
def test_the_integers_of_a_list_are_nothing_else(path, field, value):
    expected = f"{OBJECTS[path]}: field {field!r} must be an integer, not {json.dumps(value)}"
    assert refusal(edited((*path, field, 0), value)) == expected


@pytest.mark.parametrize("value", [True, "0.5", None, [0.5]])
@pytest.mark.parametrize("path", [("tensors", "map"), ("layers", 0, "weights")])
def test_a_scale_is_a_number(path, value):
    scale = (*path, "scale") if "scale" in at(path) else (*path, "scales", 0)
    field = scale[len(path)]
    expected = f"{OBJECTS[path]}: field {field!r} must be a number, not {json.dumps(value)}"
    assert refusal(edited(scale, value)) == expected


@pytest.mark.parametrize(
    ("path", "field"),
    [
        *[((), "format"), ((), "name"), ((), "input"), (("tensors", "map"), "type")],
        *[(("layers", 0), field) for field in ("kind", "input", "output")],
        *[(("layers", 0, "weights"), "type"), (("layers", 0, "requant"), "rounding")],
        (("layers", 0, "requant"), "reference"),
    ],
)
def test_a_name_is_a_text(path, field):
    opening = f"{OBJECTS[path]}: field {field!r} "
    opening += "is wrong: must" if field == "type" else "must"
    assert refusal(edited((*path, field), 5)) == f"{opening} be a text, not 5"
