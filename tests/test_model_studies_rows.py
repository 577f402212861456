"""The rows of a study: made once for the same key, and kept in files."""

import json

import pytest
from tercet.model.studies.rows import NotMeasuredError, Store, fingerprint, sources


def test_a_row_is_made_once_for_the_same_key(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"n": len(made)}

    store = Store(tmp_path)
    assert [store.kept("a/b.json", key, make)["n"] for key in "xxyyx"] == [1, 1, 2, 2, 3]
    store.refusal = "no time"
    assert store.kept("a/b.json", "x", make) == {"n": 3}
    with pytest.raises(NotMeasuredError, match=r"^no time$"):
        store.kept("a/b.json", "z", make)


def test_a_broken_file_is_made_anew(tmp_path):
    (tmp_path / "b.json").write_text('{"key": "x", "fa')
    assert Store(tmp_path).kept("b.json", "x", lambda: {"n": 1}) == {"n": 1}
    assert json.loads((tmp_path / "b.json").read_text()) == {"key": "x", "facts": {"n": 1}}


def test_a_row_of_an_earlier_version_is_kept(tmp_path):
    (tmp_path / "c.json").write_text('{"key": "x", "n": 5}')
    assert Store(tmp_path).kept("c.json", "x", lambda: {"n": 1})["n"] == 5


def test_fingerprints_tell_parts_apart():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("ab", b"c") == fingerprint("ab", "c")
    assert sources("gen/flow/*.py") != sources("gen/flow/synth.py")
