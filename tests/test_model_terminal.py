"""Output in any encoding, and of any name."""

import io
import sys

import pytest
from tercet.gen.cli import main
from tercet.model.terminal import console, encodable


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
