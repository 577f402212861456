"""Output in any encoding, and of any name."""

import io
import sys

import pytest
from tercet.gen.cli import main
from tercet.model.terminal import console, encodable, print_table


class Output(io.TextIOWrapper):
    """A stdout of an encoding."""

    def __init__(self, encoding):
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, newline="\n")

    def text(self):
        self.flush()
        return self.bytes.getvalue().decode(self.encoding)


@pytest.fixture
def printed(monkeypatch):
    def run(encoding, *words):
        monkeypatch.setattr(sys, "stdout", Output(encoding))
        assert main(list(words)) == 0
        return sys.stdout.text()

    return run


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_bars_are_drawn_in_what_the_encoding_has(printed, encoding):
    text = printed(encoding, "plan", "separable")
    legend = "█ multiplying  ▒ busy otherwise  ░ waiting"
    bar = "█" if encoding in ("cp437", "utf-8") else "#"
    assert (legend in text) == (bar == "█")
    assert ("# multiplying  + busy otherwise  . waiting" in text) == (bar == "#")
    assert bar * 5 in text.replace(legend, "")


@pytest.mark.parametrize("words", [["show", "plain"], ["plan", "separable", "--sweep"], ["--help"]])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_everything_is_printed_somehow(printed, words, encoding):
    shown, whole = printed(encoding, *words), printed("utf-8", *words)
    assert len(shown.splitlines()) == len(whole.splitlines())
    assert "?" not in shown


def test_a_character_takes_one_column_whatever_it_becomes(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Output("ascii"))
    encodable()
    sys.stdout.write("│█▒░●→\N{BRAILLE PATTERN DOTS-1}层\udc80|")
    assert sys.stdout.text() == "|#+.*>.??|"


@pytest.mark.parametrize("name", ["a [red]b[/red]", ":smile:", "[/]", "a\\[b]"])
def test_names_are_printed_as_they_are(monkeypatch, name):
    monkeypatch.setattr(sys, "stdout", Output("utf-8"))
    console().print(name)
    assert sys.stdout.text() == f"{name}\n"


def test_a_folder_with_brackets_is_printed_as_it_is(printed, tmp_path):
    folder = tmp_path / "a [red]b[] :x:"
    assert printed("utf-8", "verilog", "separable", "-o", str(folder)).startswith(f"{folder}/rtl/")


def table_lines(width, columns, rows):
    """The lines of a table on a console of ``width`` columns."""
    from rich.console import Console

    text = io.StringIO()
    out = Console(file=text, width=width, highlight=False, markup=False)
    print_table(out, "title", columns, rows)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]


def test_a_wide_table_is_split_and_keeps_its_first_column():
    columns = ["layer", *(f"column {n}>" for n in range(9))]
    rows = [[f"a long name {n}", *(10**n + m for m in range(9))] for n in range(3)]
    lines = table_lines(60, columns, rows)
    assert all(len(line) <= 60 for line in lines)
    heads = [line for line in lines if line.lstrip().startswith("layer")]
    found = " ".join(heads).replace("layer", "").split()
    assert found == [word for n in range(9) for word in ("column", str(n))]
    assert len(heads) > 1
    for n in range(3):
        found = [line for line in lines if f"a long name {n}" in line]
        assert len(found) == len(heads)
        numbers = [int(x) for line in found for x in line.split(f"name {n}")[1].split()]
        assert numbers == [10**n + m for m in range(9)]


def test_a_table_that_fits_is_whole_and_a_wide_cell_is_not_cut():
    assert len(table_lines(80, ["a", "b>"], [["x", 1]])) == 4  # title, heading, rule, row
    lines = table_lines(20, ["a", "b"], [["name", "y" * 40]])
    assert any("y" * 40 in line for line in lines)


def test_a_notebook_gets_plain_lines(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Output("utf-8"))
    out = console()
    with out.status("working"):  # without ipywidgets rich would warn
        out.print("a line", style="green", soft_wrap=True)
    assert sys.stdout.text() == "a line\n"
