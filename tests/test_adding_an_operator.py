"""docs/adding-an-operator.md: what it names exists, what it quotes stands there, and its tables are
complete."""

import re
from pathlib import Path

import pytest
from tercet.gen.parts.kinds import PARTS
from tercet.model.formats.json_layers import KINDS
from tercet.model.golden.fast import FAST
from tercet.model.layers import Layer

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "adding-an-operator.md").read_text()

NOT_BUILT = {"flatten", "argmax"}  # an order, and the way out


def test_the_paths_it_names_exist():
    named = set(re.findall(r"\b(?:docs|gen|hw|model|sim|tests)/[\w/]*\.?\w*", PAGE))
    assert len(named) > 30
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_what_it_quotes_stands_there():
    quotes = re.findall(r"^`([\w/]+\.py)`:\n\n((?:(?: {4}.*)?\n)+)", PAGE, re.MULTILINE)
    assert len(quotes) == 6
    for path, quote in quotes:
        source, at = (ROOT / path).read_text(), 0
        for line in filter(None, map(str.strip, quote.splitlines())):
            if line != "...":
                assert line in source[at:], (path, line)
                at = source.index(line, at) + len(line)


TABLES = re.findall(r"^\| `([A-Z]+)` \| `([\w/]+\.py)`", PAGE, re.MULTILINE)
TABLES += re.findall(r"`([A-Z]+)` (?:of|in) `([\w/]+\.py)`", PAGE)


@pytest.mark.parametrize(("table", "name"), TABLES)
def test_the_tables_stand_where_it_says(table, name):
    assert re.search(rf"^{table}\b.* = ", (ROOT / name).read_text(), re.MULTILINE)


def test_every_kind_of_layer_is_in_every_table():
    kinds = set(KINDS)
    assert all(made.kind == kind for kind, (made, _) in KINDS.items())
    assert set(FAST) == kinds
    assert set(PARTS) == kinds - NOT_BUILT
    for made, _ in KINDS.values():
        assert made.compute is not Layer.compute, made
        assert made.channel_bounds is not Layer.channel_bounds, made


def test_every_kind_of_layer_is_exported():
    pytest.importorskip("onnx", reason="onnx is not installed")
    from tercet.model.exporters.onnx.export import WRITERS

    assert set(WRITERS) == set(KINDS)
