"""Documents of studies: templates, tables, notes."""

import re
from pathlib import Path

import pytest
from tercet.model.errors import UserError
from tercet.model.studies.document import filled, number, prepare, reasons, table, write

ROOT = Path(__file__).parent.parent
TEMPLATES = {
    "accuracy": "model/commands",
    "performance": "sim/measure",
    "requantizers": "gen/studies",
}


def test_tables_and_notes():
    assert table(["a"], []) == "Nothing was measured.\n"
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    assert (number(None), number(12345.6)) == ("-", "12,346")
    assert reasons([]) == ""
    assert table(["a", "b>"], [["1", 2]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"
    assert reasons([("x", "p", "why"), ("x", "q", "why"), ("y", "p", "why")], whole=2) == (
        "\nNot measured:\n\n- x; y (p): why\n"
    )


def test_a_template_is_filled(tmp_path):
    path, words = tmp_path / "t.md", "word " * 30
    path.write_text("# A {x}\n\n{words} {x}\n\n- {x}\n  b\n\n{x}\n\n{empty}\n\nc\nd\n")
    assert filled(path, x="{1}", words=words, empty="") == (
        f"# A {{1}}\n\n{('word ' * 20).strip()}\n{'word ' * 10}{{1}}\n\n"
        "- {1}\n  b\n\n{1}\n\nc\nd\n"
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_document_has_the_text_of_its_template(name):
    template = (ROOT / TEMPLATES[name] / f"{name}.md").read_text()
    document = (ROOT / "docs" / f"{name}.md").read_text()
    assert max(map(len, template.splitlines())) <= 100
    for block in template.strip().split("\n\n"):
        fixed = [re.escape(text) for text in re.split(r"\{\w+\}", " ".join(block.split()))]
        assert re.search(".*".join(fixed), " ".join(document.split())), block


def test_a_document_that_cannot_be_written_is_one_sentence(tmp_path):
    prepare(tmp_path / "made" / "a.md")
    write(tmp_path / "made" / "a.md", "a\n", {tmp_path / "made" / "b.svg": "b"})
    assert (tmp_path / "made" / "a.md").read_text() == "a\n"
    assert (tmp_path / "made" / "b.svg").read_text() == "b"
    path = tmp_path / "made" / "a.md" / "c.md"
    for make in (lambda: prepare(path), lambda: write(path, "c")):
        with pytest.raises(UserError, match=rf"^The document {re.escape(str(path))} cannot be "):
            make()
