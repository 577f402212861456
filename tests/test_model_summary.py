"""What a network and a plan look like in a prompt and in a notebook."""

from html.parser import HTMLParser

from smallnet import network
from tercet.gen.plan import make_plan
from tercet.model import load
from tercet.model.summary import html_table, text_table


class Cells(HTMLParser):
    """The text of each cell."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_data(self, data):
        self.found.append(data)


def test_a_network_is_one_line():
    expected = "QNetwork('plain': 4 layers, 729 weights, 28 x 28 x 1 uint8 -> 1 x 1 x 10 uint8)"
    assert repr(load("plain")) == expected
    assert "\n" not in repr(load("mobilenet"))


def test_the_summary_has_a_line_for_each_layer():
    lines = load("plain").summary().splitlines()
    assert lines[0] == repr(load("plain"))
    assert [line.split() for line in lines[1:]] == [
        ["layer", "kind", "output", "type", "weights"],
        ["-" * len(lines[2])],
        ["image", "input", "28", "x", "28", "x", "1", "uint8"],
        ["conv1", "conv2d", "9", "x", "9", "x", "3", "uint8", "27"],
        ["conv2", "conv2d", "3", "x", "3", "x", "6", "uint8", "162"],
        ["conv3", "conv2d", "1", "x", "1", "x", "10", "uint8", "540"],
        ["argmax", "argmax", "1", "x", "1", "x", "1", "uint4"],
    ]


def test_a_notebook_shows_the_same_cells():
    net = network()
    assert Cells(net._repr_html_()).found[0] == repr(net)
    assert [layer.name for layer in net.layers if layer.name not in net._repr_html_()] == []


def test_a_plan_is_one_line_and_a_table():
    plan = make_plan(load("plain"))
    assert repr(plan) == (
        "Plan('plain': 784 cycles per image, latency 1,045 cycles, 6 multipliers)"
    )
    cells = Cells(plan._repr_html_()).found
    assert cells[1:8] == ["layer", "P", "S", "R", "multipliers", "cycles", "utilization"]
    assert cells[8:15] == ["conv1", "3", "1", "1", "3", "784", "93%"]


def test_names_cannot_break_a_table():
    page = html_table("<b>", ("a", "b>"), [("<i>", 1)])
    assert Cells(page).found == ["<b>", "a", "b", "<i>", "1"]
    assert text_table("t", ("a", "b>"), [("xyz", 1), ("x", 100)]) == (
        "t\na      b\n--------\nxyz    1\nx    100"
    )
