"""Kept facts of slow tools: used if their hash is current, computed and written if not."""

import json

import keptfacts
import pytest
from keptfacts import code_of, facts_of, key_of


class Tool:
    """Counts its calls, and gives what it is told to."""

    def __init__(self, result):
        self.result, self.calls = result, 0

    def __call__(self):
        self.calls += 1
        return self.result


@pytest.fixture
def file(tmp_path):
    """A file with the facts [1] under the name "a" and the key "old"."""
    path = tmp_path / "kept.json"
    facts_of("a", "old", Tool((1,)), file=path, keep=tmp_path / "lock")
    return path


def test_current_facts_are_not_computed(file):
    tool = Tool([2])
    assert facts_of("a", "old", tool, file=file) == [1]
    assert tool.calls == 0


@pytest.mark.parametrize(("name", "key"), [("a", "new"), ("b", "old")])
def test_others_are_computed_with_a_warning_that_says_how_to_keep_them(name, key, file):
    before = file.read_text()
    message = rf"^{name} is not in kept\.json; `pytest -m yosys --keep` writes it$"
    with pytest.warns(UserWarning, match=message):
        assert facts_of(name, key, Tool((2,)), file=file) == [2]
    assert file.read_text() == before


def test_computed_facts_are_written_beside_the_others(file, tmp_path):
    facts_of("b", "key", Tool(2), file=file, keep=tmp_path / "lock")
    facts_of("a", "new", Tool(3), file=file, keep=tmp_path / "lock")
    assert facts_of("a", "new", Tool(None), file=file) == 3
    assert facts_of("b", "key", Tool(None), file=file) == 2


def test_facts_that_were_edited_are_computed(file):
    file.write_text(file.read_text().replace("[1]", "[7]"))
    with pytest.warns(UserWarning, match=r"^a is not in kept\.json"):
        assert facts_of("a", "old", Tool([1]), file=file) == [1]


def test_facts_computed_anew_must_be_the_kept_ones(file):
    assert facts_of("a", "old", Tool([1]), file=file, anew=True) == [1]
    with pytest.raises(
        AssertionError, match=r"^kept\.json has other facts of a under the same key"
    ):
        facts_of("a", "old", Tool([2]), file=file, anew=True)


def test_the_key_tells_sources_tools_and_inputs_apart(tmp_path, monkeypatch):
    test = tmp_path / "test_x.py"
    test.write_text("def test_a():\n    one\n")
    keys = [key_of(test, "test_a"), key_of(test, "test_a", "input"), key_of(test, "test_a", b"x")]
    test.write_text("def test_a():\n    two\n")
    keys.append(key_of(test, "test_a"))
    monkeypatch.setattr(keptfacts, "SOURCES", ("gen/flow/*.py", "model/files.py"))
    keys.append(key_of(test, "test_a"))
    monkeypatch.setattr(keptfacts, "HELPERS", ("pages.py",))
    keys.append(key_of(test, "test_a"))
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0")
    keys.append(key_of(test, "test_a"))
    assert len({*keys}) == len(keys)


def test_other_tests_and_imports_decide_no_fact():
    own = "A = 1\n@mark\ndef test_a():\n    A\ndef helper():\n    A"
    more = f'"""Doc."""\nimport x\n{own}\n@mark\ndef test_b():\n    pass\n'
    assert code_of(more, "test_a") == code_of(own, "test_a") == own
    assert code_of(own.replace("1", "2"), "test_a") != own


def test_kept_facts_belong_to_tests():
    """The facts of a test that is renamed or removed leave the file too."""
    for name in json.loads(keptfacts.FILE.read_text()):
        file, test = name.partition("[")[0].split("::")
        assert f"def {test}(" in (keptfacts.FILE.parents[1] / f"{file}.py").read_text(), name
