"""The command line's --json: the facts, and files that cannot be written."""

import json

import pytest
from fakecommands import fail, installer
from tercet.gen import cli


@pytest.fixture
def commands(monkeypatch):
    return installer(monkeypatch)


def test_json_holds_the_facts_with_sorted_keys(commands, tmp_path):
    target = tmp_path / "facts.json"
    commands(count=lambda args: ({"b": [1, 2.5], "a": {"d": None, "c": "é"}}, False))
    assert cli.main(["count", "--json", str(target)]) == 1  # facts of a failure count too
    assert json.loads(target.read_text()) == {"b": [1, 2.5], "a": {"d": None, "c": "é"}}
    assert target.read_text().startswith('{\n  "a": {\n    "c"')
    assert target.read_text().endswith("}\n")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("absent/x.json", "{dir}/absent is not a writable folder"),
        ("file/x.json", "{dir}/file is not a writable folder"),
        ("folder", "it is a folder"),
        ("n" * 251 + ".json", "File name too long"),
    ],
)
def test_json_that_cannot_be_written_is_one_sentence(commands, capsys, tmp_path, place, message):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    commands(count=lambda args: ({}, True))
    path = tmp_path / place
    assert cli.main(["count", "--json", str(path)]) == 1
    assert capsys.readouterr().err == (
        f"tercet count: error: The file {path} cannot be written: {message.format(dir=tmp_path)}\n"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_json_without_a_place_is_refused_before_the_run(commands, tmp_path):
    commands(count=fail(AssertionError("ran")))
    assert cli.main(["count", "--json", str(tmp_path / "absent" / "x.json")]) == 1


def test_facts_that_are_no_json_leave_the_old_file(commands, tmp_path):
    target = tmp_path / "facts.json"
    target.write_text("old")
    commands(count=lambda args: ({"x": float("nan")}, True))
    with pytest.raises(ValueError, match=r"^Out of range float values"):
        cli.main(["count", "--json", str(target)])
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
