"""The report: what its facts say, its drawings, and that names cannot break the page."""

from html.parser import HTMLParser

import pytest
from tercet.gen.plan import make_plan
from tercet.gen.report import accuracy_facts, network_facts, render
from tercet.gen.report.charts import boxes_and_edges, ticks, waves
from tercet.gen.verilog.manifest import manifest
from tercet.model import load

VOID = {"meta", "link", "img", "br"}


class Checker(HTMLParser):
    """Checks that elements nest, and keeps ids, links and text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.text, self.loads = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.loads += [given[key] for key in ("src", "href") if key in given and tag != "a"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Nothing: SVG's elements without contents close themselves."""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def facts():
    """The facts of a build of ``plain``, without its simulation."""
    network = load("plain")
    plan = make_plan(network)
    core = {**manifest(plan), "verilog": "rtl/plain.v", "top": "plain", "prefix": "plain"}
    simulation = {
        **{"simulator": "verilator", "pauses": "none", "seed": 1, "images": 2, "source": "mine"},
        **{"values_compared": 616, "tensors_compared": 4, "mismatches": 0, "failure": None},
        **{"first_mismatch": None, "cycles_per_image": 784, "latency_cycles": 1045},
    }
    return {
        "network": "plain",
        "model": {"file": "plain.json", "format": "network", "what": "an integer network"},
        "reading": {"equality": None, "classes": []},
        "core": {
            "manifest": core,
            "spans": {layer.name: list(layer.span) for layer in plan.layers},
        },
        "simulation": simulation,
        "synthesis": {},
        "layers": network_facts(network, core),
        "tools": {"tercet": "0"},
        "command": "tercet build plain",
    }


def checked(page):
    """The parsed page, without open elements, double ids, dead links, or files to load."""
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert {link.removeprefix("#") for link in checker.links} <= set(checker.ids)
    assert all(source.startswith("data:") for source in checker.loads)
    return " ".join(" ".join(checker.text).split())


def test_the_page_states_the_facts(facts):
    page = render(facts)
    assert render(facts) == page
    text = checked(page)
    assert "The RTL equals the integer network: 616 values of 2 images compared, 0 differ." in text
    assert "784 planned, 784 measured" in text
    assert "conv3 conv2d 1 x 1 x 10 uint8, 540 weights int8" in text
    assert "s_axis_tdata in 8" in text
    for section in ("accuracy", "quantization", "resources"):
        assert f'id="{section}"' not in page


def test_a_failure_is_not_dressed_up(facts):
    simulation = facts["simulation"] | {
        "failure": "value 3 of 'conv1' is 4, not 5",
        "mismatches": 1,
    }
    text = checked(render(facts | {"simulation": simulation}))
    assert "The RTL does not pass: value 3 of 'conv1' is 4, not 5" in text
    assert "The RTL equals" not in text


def rows(*classes):
    return [
        {"image": str(n), "label": label, "float": floats, "integer": integer}
        for n, (label, floats, integer) in enumerate(classes)
    ]


def test_every_section_is_there_if_there_are_facts_for_it(facts):
    accuracy = accuracy_facts(rows(("0", "0", "0"), ("1", "1", "0"), ("1", "1", "1")), ["<b>", "&"])
    layer = {
        **{"layer": "conv1", "range": [0.0, 1.3], "type": "uint8", "scale": 0.005},
        **{"zero_point": 0, "weight_type": "int8", "weight_scales": [0.1, 0.2]},
        **{"weight_sqnr_db": 40.04, "activation_sqnr_db": None, "multipliers": [], "shift": 3},
    }
    whole = facts | {
        "quantization": {
            **{"calibrating": 9, "images": 3, "float_accuracy": 1.0, "int_accuracy": 2 / 3},
            **{"layers": [layer], "remarks": ["Layer 'x' was <added>"], "classes": ["<b>", "&"]},
        },
        "accuracy": accuracy,
        "sampled": {"RTL": 0.5},
        "synthesis": {"ecp5": {"luts": 547, "dsps": 8}},
        "core": facts["core"]
        | {"clock_mhz": 50.0, "device": {"luts": {"used": 9, "there": 6}}}
        | {"manifest": facts["core"]["manifest"] | {"goal": {"device": "up5k"}}},
    }
    pictures = [{"src": "data:,", "label": "&", "float": "&", "integer": "<b>", "image": "1"}]
    page = render(whole, pictures)
    text = checked(page)
    assert "<b>, &" not in page
    assert "& read as <b>" in text
    assert "label <b> & <b> 1 & 1 1" in text
    assert "Layer 'x' was <added>." in text
    assert "int8, 2 scales 40.0 exact" in text
    assert "Of up5k, by the plan" in text
    assert "RTL, on the simulated images 2 50.00 %" in text
    assert "images/s at 50 MHz 63,776" in text


def test_accuracy_is_counted_from_the_rows():
    found = accuracy_facts(
        rows(("0", "0", "0"), ("2", "2", "1"), ("", "", "1"), ("1", "", "1")), []
    )
    assert found["names"] == ["0", "1", "2"]
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert found["misread"] == ["1"]
    assert found["changed"] == 1
    many = accuracy_facts(rows(("30", "30", "30")), [])
    assert (len(many["names"]), many["confusion"]) == (31, [])


def test_the_network_has_a_box_a_layer_and_an_edge_a_stream():
    network = load("mobilenet")
    facts = network_facts(network, {"layers": [], "left_out": ["pool"]})
    assert [layer["name"] for layer in facts] == ["input", *(each.name for each in network.layers)]
    assert [layer["name"] for layer in facts if not layer["hardware"]] == ["pool"]
    boxes, edges = boxes_and_edges(facts)
    assert len({box.y for box in boxes}) == len(facts)
    add = next(index for index, layer in enumerate(facts) if layer["kind"] == "add")
    into = sorted(edge.lane for edge in edges if edge.end == boxes[add].y)
    assert into == [0, 1]
    assert len(edges) == sum(len(layer["reads"]) for layer in facts)


def test_edges_that_overlap_have_lanes_of_their_own():
    layers = [
        {"name": str(n), "reads": reads} for n, reads in enumerate([[], ["0"], ["1", "0"], []])
    ]
    layers[3]["reads"] = ["2", "1"]
    lanes = {(edge.start, edge.end): edge.lane for edge in boxes_and_edges(layers)[1]}
    assert sorted(lanes.values()) == [0, 0, 0, 1, 2]


@pytest.mark.parametrize(("most", "expected"), [(9, [0, 2, 4, 6, 8]), (1045, [0, 500, 1000])])
def test_ticks_are_round(most, expected):
    assert ticks(most) == expected


def test_signals_change_with_the_beats():
    drawn = {wave.name: wave for wave in waves(784, 10)}
    assert [text for _, _, text in drawn["s_axis_tdata"].cells] == ["0", "1", "2", "…", "783"]
    assert [text for _, _, text in drawn["m_axis_tdata"].cells] == ["0", "…", "9"]
    assert drawn["s_axis_tlast"].points == "0,16 156,16 156,2 182,2 182,16 338,16"
    assert drawn["clk"].points.startswith("0,2 13,2 13,16 26,16 26,2")
