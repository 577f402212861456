"""Foldings by hand: a manifest gives its core again; illegal values are refused."""

import json

import pytest
from tercet.gen.plan import make_plan
from tercet.gen.plan.folding import FoldingGoal
from tercet.gen.plan.goals import MultiplierGoal
from tercet.gen.verilog.manifest import manifest
from tercet.model import NetworkError, load

ONES = {"P": 1, "S": 1, "R": 1}
PLAIN = {"conv1": {"P": 3, "S": 1, "R": 1}, "conv2": {"P": 2, "S": 1, "R": 1}, "conv3": ONES}


@pytest.fixture
def planned(tmp_path):
    """A function that plans a network for the folding of a JSON value."""

    def plan(content, name="plain"):
        path = tmp_path / "folding.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return make_plan(load(name), FoldingGoal.read(path))

    return plan


def facts(plan):
    return {name: value for name, value in manifest(plan).items() if name != "goal"}


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        *(("plain", goal) for goal in (None, 4185, 600, 112, 1, MultiplierGoal(20))),
        *(("separable", goal) for goal in (4185, 600, 1)),
        *(("lenet_avg", goal) for goal in (None, MultiplierGoal(20))),
    ],
    ids=str,
)
def test_a_manifest_gives_its_core_again(name, goal, planned):
    plan = make_plan(load(name), goal)
    expected = facts(plan) | {"shortfall": ""}
    assert facts(planned(manifest(plan), name)) == expected


def test_a_folding_by_hand_is_as_fast_as_it_can_be(planned):
    plan = planned(PLAIN)
    assert {layer.name: layer.part.form for layer in plan.layers} == PLAIN
    assert (plan.cycles_per_image, plan.multipliers, plan.shortfall) == (784, 6, "")
    assert plan.goal == {"folding": "folding.json"}
    wide = PLAIN | {"conv1": {"P": 3, "S": 9, "R": 3}}
    assert planned(wide).cycles_per_image == 747  # conv2's; conv1 would take fewer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1": {"P": 4, "S": 1, "R": 1}}, "Layer 'conv1': P must be one of 1, 2, 3, not 4"),
        (  # of all widths of the input
            {"conv1": {"P": 3, "S": 2, "R": 3}},
            "Layer 'conv1': S must be one of 1, 3, 9, 27 with P = 3, not 2",
        ),
        ({"conv2": {"P": 2, "S": 5, "R": 1}}, "Layer 'conv2': S must be one of "),
        ({"conv2": {"P": 2, "S": 1, "R": 7}}, "Layer 'conv2': R must be one of "),
        ({"conv9": ONES}, "Layer 'conv9' has no hardware; give P, S and R of conv1, conv2, conv3"),
        (
            {"conv1": {"P": 3, "S": 1}},
            "The folding {path}: layer 'conv1': the field 'R' is missing",
        ),
        ({"conv1": ONES | {"T": 1}}, "The folding {path}: layer 'conv1': the field 'T' is unknown"),
        ({"conv1": ONES | {"P": "3"}}, "field 'P' must be an integer, not \"3\""),
        ({"conv1": [3, 1, 1]}, "layer 'conv1' must be an object, not [3, 1, 1]"),
        ({"plan": PLAIN}, "The folding {path}: it is no whole manifest; give"),
    ],
)
def test_what_a_folding_cannot_be_is_refused(change, message, planned, tmp_path):
    with pytest.raises(NetworkError) as raised:
        planned(PLAIN | change)
    assert message.format(path=tmp_path / "folding.json") in str(raised.value)


def test_a_layer_left_out_and_other_files_are_refused(planned, tmp_path):
    with pytest.raises(NetworkError, match=r"^Layer 'conv3' is missing in the folding; give P, S"):
        planned({name: PLAIN[name] for name in ("conv1", "conv2")})
    with pytest.raises(NetworkError, match=r"folding\.json: not JSON: "):
        planned("{")
    with pytest.raises(NetworkError, match=r"^The folding .* must be an object, not \[\]"):
        planned([])
    with pytest.raises(NetworkError, match=r"^The folding .*missing cannot be read: No such file"):
        FoldingGoal.read(tmp_path / "missing")
    lanes = manifest(make_plan(load("plain"))) | {"input_lanes": 5}
    with pytest.raises(NetworkError, match=r"^The input cannot have 5 values a beat with"):
        planned(lanes)
