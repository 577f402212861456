"""The text of the Verilog: names, comments, replications, and what other tools stop at."""

import re
import tempfile

import numpy as np
import pytest
from amaranth import unsigned
from inceptionnet import inception
from residualnet import residual
from tercet.gen.plan import make_plan
from tercet.gen.verilog.core import Core
from tercet.gen.verilog.emit import to_verilog
from tercet.gen.verilog.prose import prose
from tercet.hw.argmax import Argmax
from tercet.model import load


@pytest.fixture(scope="module")
def texts(seed):
    """The Verilog of some cores, by a name."""
    rng = np.random.default_rng(seed)
    nets = {"plain": load("plain"), "separable": load("separable"), "residual": residual(rng)}
    plans = {name: make_plan(network) for name, network in nets.items()}
    plans |= {"wide": make_plan(load("plain"), 112), "inception": make_plan(inception(rng), 30)}
    return {name: to_verilog(Core(plan=plan), "net", "a core") for name, plan in plans.items()}


def modules_of(text):
    """(the comment's lines, name, body) of each module."""
    pattern = r"((?:^// [^\n]*\n)*)^module (\w+)\((.*?)^endmodule"
    return re.findall(pattern, text, re.MULTILINE | re.DOTALL)


def test_every_wire_has_a_name(texts):
    for text in texts.values():
        assert not re.search(r"\b_\d+_", text)
        assert "\\" not in text
        assert "$" not in re.sub(r"\$(?:un)?signed\(", "", text)


def test_no_name_is_declared_twice(texts):
    declaration = re.compile(r"^  (?:wire|reg)\b[^;=]*?(\w+)(?: \[\d+:0\])?(?: = .*)?;", re.M)
    for text in texts.values():
        for _, module, body in modules_of(text):
            names = declaration.findall(body)
            assert len(set(names)) == len(names) > 0, module


def test_a_comment_says_what_each_module_does_and_its_latency(texts):
    for text in texts.values():
        for comment, module, _ in modules_of(text):
            said = " ".join(line.removeprefix("// ") for line in comment.splitlines())
            assert re.search(r"\w+: .*; latency \d+ cycles?\.$", said), module
            assert all(len(line) <= 100 for line in comment.splitlines())
    comments = {module: comment for comment, module, _ in modules_of(texts["plain"])}
    assert comments["net__conv1__engine"] == (
        "// PatchEngine: acc[oc] = bias[oc] + sum over the patch of (x - zero_point) * weight[oc], "
        "for each\n// patch; latency 4 cycles.\n"
    )


def test_nobody_stops_at_an_attribute_inside_an_expression(texts):
    for text in texts.values():
        assert not re.search(r"full_case|parallel_case|casez|\(\* init|generator", text)
        attributes = re.findall(r"\(\*.*\*\)", text)
        assert len(attributes) == len(re.findall(r"^  \(\*.*\*\)$", text, re.MULTILINE))


def test_no_alias_that_nobody_reads(texts):
    for text in texts.values():
        for _, module, body in modules_of(text):
            outputs = re.findall(r"^  output (?:\[\S+\] )?(\w+);", body, re.MULTILINE)
            for alias in set(re.findall(r"^  assign (\w+) = \w+;", body, re.MULTILINE)) - {
                *outputs
            }:
                uses = re.findall(rf"\b{alias}\b", body)
                assert len(uses) > 2, f"{module}: {alias}"  # its declaration, its assignment


def test_repeated_bits_are_replications(texts):
    assert any(re.search(r"\{\d+\{\w+(?:\[\d+\])?\}\}", text) for text in texts.values())
    for text in texts.values():
        for items in re.findall(r"\{ ([^{}]+) \}", text):
            parts = items.split(", ")
            assert not any(
                a == b == c for a, b, c in zip(parts, parts[1:], parts[2:], strict=False)
            )


def test_writes_replications_and_names():
    assert prose("  assign y = { a[1], a[1], a[1], b, b, 2'h0 };\n") == (
        "  assign y = { {3{a[1]}}, b, b, 2'h0 };\n"
    )
    module = (
        "module m(a);\n  wire a_and;\n  wire \\a_$and_B_Y ;\n  reg \\x_$sdffe_Q_EN_1 ;\n"
        "  wire _3_;\n"
        "  assign \\a_$and_B_Y  = a & \\x_$sdffe_Q_EN_1 ;\nendmodule\n"
    )
    assert prose(module) == (
        "module m(a);\n  wire a_and;\n  wire a_and_2;\n  reg x_enable_1;\n  wire read;\n"
        "  assign a_and_2 = a & x_enable_1;\nendmodule\n"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files left open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_pyverilog_reads_it(texts, tmp_path):
    parser = pytest.importorskip("pyverilog.vparser.parser", reason="needs the extra peers")
    for name, text in texts.items():
        (tmp_path / f"{name}.v").write_text(text)
        with tempfile.TemporaryDirectory() as tables:
            tree, _ = parser.parse([str(tmp_path / f"{name}.v")], outputdir=tables, debug=False)
        assert len(tree.description.definitions) == len(modules_of(text))


def test_a_component_alone_has_its_comment():
    text = to_verilog(Argmax(activation=unsigned(8), classes=10), "top", "one line")
    assert text.startswith("// one line\n")
    assert "Throughput" not in text
    assert "// Argmax: Pass scores through, each with the index of the greatest score" in text
