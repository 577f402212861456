"""What slow tools make of an input, kept in a file with a hash of everything that decides it.

A test asks the fixture ``kept`` for its facts. They come from the file if its hash is current. If
not, they are computed, and a warning names the command that writes them to the file.
"""

import ast
import json
import warnings
from importlib import metadata
from pathlib import Path

from simcore import alone
from tercet.model.files import write_whole
from tercet.model.studies.rows import fingerprint, sources

FILE = Path(__file__).parent.parent / "data" / "kept.json"
COMMAND = "pytest -m yosys --keep"

# They decide every fact: how Yosys is called, and how the tests count what it gives.
SOURCES = ("gen/flow/*.py", "model/processes.py")
HELPERS = ("ecp5cases.py", "keptfacts.py", "occupied.py", "synthesized.py")


def key_of(test_file, test, *parts):
    """The hash of what decides facts: Yosys, its callers, the test, and ``parts``."""
    helpers = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in HELPERS]
    code = code_of(test_file.read_text(encoding="utf-8"), test)
    return fingerprint(sources(*SOURCES), *helpers, metadata.version("pyosys"), code, *parts)


def code_of(text, test):
    """The text of a test function, and of what its file has beside imports and other tests."""
    lines, kept = text.splitlines(), []
    for node in ast.parse(text).body:
        name = getattr(node, "name", "")
        other = name.startswith("test_") and name != test
        if not (other or isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr))):
            first = min(each.lineno for each in (node, *getattr(node, "decorator_list", ())))
            kept += lines[first - 1 : node.end_lineno]
    return "\n".join(kept)


def facts_of(name, key, make, *, file=FILE, keep=None, anew=False):
    """The facts kept under ``name`` if their key is the same, or else the result of ``make``.

    keep : a folder for the lock under which computed facts are written to the file; None if they
        are not written
    anew : compute them whatever is kept, and compare

    Facts are what JSON holds. Raises AssertionError if ``anew`` finds others under the same key.
    """
    found = _read(file).get(name)
    if found is not None and found["key"] != _key(key, found["facts"]):
        found = None
    if found is not None and not anew:
        return found["facts"]
    facts = json.loads(json.dumps(make()))
    if found is not None:
        assert facts == found["facts"], f"{file.name} has other facts of {name} under the same key"
    elif keep is not None:
        with alone(keep):
            everything = _read(file) | {name: {"key": _key(key, facts), "facts": facts}}
            write_whole(file, _text(everything))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn(f"{name} is not in {file.name}; `{COMMAND}` writes it", stacklevel=1)
    return facts


def _key(key, facts):
    return fingerprint(key, json.dumps(facts, sort_keys=True))


def _read(file):
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _text(everything):
    """A line for each test."""
    lines = [f" {json.dumps(name)}: {json.dumps(everything[name])}" for name in sorted(everything)]
    return "{\n" + ",\n".join(lines) + "\n}\n"
