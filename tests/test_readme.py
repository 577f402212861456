"""The README: its Python runs as it stands, and its figures are those that are tested."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import keptplans
import numpy as np
import pytest
from pages import code, tables
from shippedfigures import SHIPPED
from tercet.model import load

README = (Path(__file__).parent.parent / "README.md").read_text()


def section(title):
    return re.search(rf"^## {title}$(.*?)^## ", README, re.MULTILINE | re.DOTALL)[1]


@pytest.mark.torch
def test_the_python_runs_as_it_stands(tmp_path, monkeypatch, seed):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    code = re.sub(r"^    ", "", section("From Python"), flags=re.MULTILINE)
    images = np.random.default_rng(seed).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 28), torch.nn.Flatten())
    monkeypatch.chdir(tmp_path)
    names = {"images": images, "module": module}
    exec(compile(code, "README.md", "exec"), names)
    assert names["net"].name == "mine"
    assert (tmp_path / "mine.json").is_file()


def test_the_figures_are_the_tested_ones():
    ((_, *rows),) = tables(section("The networks"))
    assert {code(row[0])[0] for row in rows} == SHIPPED.keys()
    for (name,), weights, floats, integers in ((code(row[0]), *row[2:]) for row in rows):
        layers = [layer for layer in load(name).layers if hasattr(layer, "weights")]
        assert weights == f"{sum(layer.weights.values.size for layer in layers):,}"
        count, *figures, _ = SHIPPED[name]
        if count == 10000:
            assert [floats, integers] == [f"{100 * figure:.2f} %" for figure in figures]


@pytest.fixture(scope="module")
def plans(pytestconfig):
    """The facts of the plans that the README states, from the file or, if it is old, made anew."""
    facts = keptplans.kept()
    if facts is not None:
        return facts
    advice = (
        f"{keptplans.FILE.name} is older than what decides a plan; {keptplans.COMMAND} renews it"
    )
    if pytestconfig.getoption("--quick"):
        pytest.skip(advice)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn(advice, stacklevel=1)
    return keptplans.facts_of_plans()


def multipliers(layers):
    """Multipliers of layers, as a cell of the README."""
    if len(layers) > 1 and set(layers) == {1}:
        return f"1 in each of {len(layers)}"
    return " + ".join(map(str, layers))


def test_the_plans_of_the_networks_are_those_made(plans):
    _, (_, *small), (_, *large) = tables(section("The core"))
    for row in (*small, *large):
        facts = plans[code(row[0])[0]]
        assert row[1:3] == [f"{facts['cycles_per_image']:,}", f"{facts['latency_cycles']:,}"]
        layers = multipliers(facts["multipliers_of_layers"])
        assert row[3] == (layers if row in small else str(facts["multipliers"]))
        assert row[4].replace(",", "") == str(facts["rom_bits"])
    assert {code(row[0])[0] for row in (*small, *large)} == SHIPPED.keys()


def test_the_plans_of_plain_are_those_made(plans):
    ((_, *rows),) = [table for table in tables(section("Plans")) if table[0][0] == "`plain`"]
    found = {}
    for goal, *cells in rows:
        facts = plans[f"plain {code(goal)[0]}"]
        found[f"plain {code(goal)[0]}"] = facts
        assert cells == [
            str(facts["cycles_per_image"]),
            str(facts["latency_cycles"]),
            str(facts["values_per_beat"]),
            str(facts["multipliers"]),
            f"{facts['utilization']:.2f}",
        ]
    assert found.keys() == plans.keys() - SHIPPED.keys()


def test_kept_plans_know_all_files_that_decide_them():
    script = (
        "import keptplans, sys\n"
        "keptplans.make_plan(keptplans.load('plain'))\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'tercet'))"
    )
    command = [sys.executable, "-c", script]
    folder = Path(keptplans.__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    root = Path(keptplans.PACKAGE)
    known = {path for pattern in keptplans.SOURCES for path in root.glob(pattern)}
    assert {Path(file) for file in done.stdout.split()} - known == set()
