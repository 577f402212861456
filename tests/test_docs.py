"""docs/: the site builds without a warning; its Python, figures and names are the tested ones."""

import json
import os
import re
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import keptplans
import numpy as np
import pytest
from pages import code, sections, tables
from shippedfigures import SHIPPED
from tercet.gen.cli import main
from tercet.model import load

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="MkDocs is not installed; make docs")
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    built = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert built >= {"index.html", "arithmetic.html", "contributing.html", "api/core.html"}
    for path in built:
        text = (tmp_path / path).read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]* src=\"?([^ \">]+)", text)
        loaded += re.findall(r"<link[^>]* href=\"?([^ \">]+)", text)
        assert loaded
        assert [url for url in loaded if "//" in url] == [], path


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text()))
def test_a_link_of_the_readme_leads_to_a_file(link):
    assert (ROOT / link).is_file()


@pytest.mark.torch
def test_the_python_runs_as_it_stands(tmp_path, monkeypatch, seed):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    code = re.sub(r"^    ", "", page("python.md").split("\n", 1)[1], flags=re.MULTILINE)
    images = np.random.default_rng(seed).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 28), torch.nn.Flatten())
    monkeypatch.chdir(tmp_path)
    names = {"images": images, "module": module}
    exec(compile(code, "python.md", "exec"), names)
    assert names["net"].name == "mine"
    assert (tmp_path / "mine.json").is_file()


def shown():
    """[(page, command, output)] of the commands that need the network ``plain`` alone."""
    found = []
    for path in sorted(DOCS.rglob("*.md")):
        blocks = re.findall(
            r"(?:^    .*\n|^\n(?=    ))+", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        for block in blocks:
            first, *lines = (line[4:] for line in block.strip("\n").splitlines())
            if re.match(r"\$ tercet (show|plan|verilog|export) plain", first):
                name = path.relative_to(DOCS).as_posix()
                found.append((name, first.removeprefix("$ tercet "), lines))
    return found


@pytest.mark.parametrize(("name", "words", "output"), shown())
def test_a_command_prints_what_the_page_shows(name, words, output, tmp_path, monkeypatch, capsys):
    foldings = dict(re.findall(r'^```json title="(.*?)"\n(.*?)^```', page(name), re.M | re.S))
    monkeypatch.chdir(tmp_path)
    if "--folding wrong.json" in words:
        foldings["wrong.json"] = foldings["folding.json"].replace('"S": 3', '"S": 2')
    for file, text in foldings.items():
        Path(file).write_text(text)
    if "p112/manifest.json" in words:
        assert main(["verilog", "plain", "--cycles", "112", "-o", "p112"]) == 0
        capsys.readouterr()
    main(words.split())
    printed = "".join(capsys.readouterr()).splitlines()
    assert [line.rstrip() for line in printed if line.strip()] == list(filter(None, output))


@pytest.mark.slow
@pytest.mark.torch
def test_the_script_of_the_quickstart_makes_what_it_says(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    (script,) = re.findall(
        r'^```python title="mine.py"\n(.*?)^```', page("quickstart.md"), re.M | re.S
    )
    (tmp_path / "mine.py").write_text(script)
    subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, check=True, capture_output=True)
    words = ["mine.pt2", "--data", "mine.npz", "--split", "200,597", "-o", "mine.json"]
    monkeypatch.chdir(tmp_path)
    assert main(["quantize", *words, "--json", "facts.json"]) == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["int_accuracy"] > 0.96
    assert (tmp_path / "mine.onnx").is_file()


def test_the_figures_are_the_tested_ones():
    ((_, *rows),) = tables(page("networks.md"))
    assert {code(row[0])[0] for row in rows} == SHIPPED.keys()
    for (name,), weights, floats, integers in ((code(row[0]), *row[2:]) for row in rows):
        layers = [layer for layer in load(name).layers if hasattr(layer, "weights")]
        assert weights == f"{sum(layer.weights.values.size for layer in layers):,}"
        count, *figures, _ = SHIPPED[name]
        if count == 10000:
            assert [floats, integers] == [f"{100 * figure:.2f} %" for figure in figures]


def peers():
    """{core: its cells on ECP5}, as performance.md has them."""
    rows = tables(sections(page("performance.md"))["Beside other generators"])[0]
    return {row[0]: row for row in rows if row[2:] and row[3] == "ECP5"}


def test_the_comparison_has_the_measured_rows():
    (_, *rows), *_ = tables(page("comparison.md"))
    measured = peers()
    for core, cycles, *cells in rows:
        _, wanted, _, _, luts, ffs, dsps, rams, _, clock, images, _ = measured[core]
        assert [cycles, *cells] == [wanted, luts, ffs, dsps, rams, clock, images]


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_the_headline_is_measured(name):
    text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
    core, nngen = peers()["tercet, one value a clock"], peers()["nngen 1.3.4"]
    found = re.search(
        r"takes ([\d,]+) LUT4, ([\d,]+) flip-flops and (\d+) DSP blocks,? at ([\d.]+) MHz: "
        r"([\d,]+) images per second\. That is 1/(\d+) of the LUTs .*?at (\d+) times its images",
        text,
    )
    assert list(found.groups()[:5]) == [*core[4:7], core[9], core[10]]
    luts, images = ([int(row[at].replace(",", "")) for row in (core, nngen)] for at in (4, 10))
    assert found[6] == f"{luts[1] / luts[0]:.0f}"
    assert found[7] == f"{images[0] / images[1]:.0f}"


def read_operators(column):
    """The names in a column of the table of front ends; PT2E's own are in the last row."""
    rows = tables(sections(page("operators.md"))["What the front ends read"])[0][1:]
    return [name for row in rows for name in code(row[column])]


def test_operators_names_those_of_onnx():
    onnx = pytest.importorskip("tercet.model.frontends.onnx.operators", exc_type=ImportError)
    names = read_operators(3)
    assert set(names) == onnx.OPERATORS.keys()


def test_operators_names_those_of_float_networks():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from tercet.model.float.torch_export.operators import OPERATORS
    from tercet.model.frontends.onnx_float.operators import OPERATORS as FLOAT_ONNX
    from tercet.model.frontends.pt2e.operators import PT2E_OPERATORS

    names = read_operators(1)
    assert len(set(names)) == len(names)
    assert set(names) == PT2E_OPERATORS.keys()
    assert {name for name in names if "quantized" not in name} == OPERATORS.keys()
    assert set(read_operators(2)) == FLOAT_ONNX.keys()


def test_operators_names_those_of_torch_ao():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tercet.model.frontends.torch_ao.operators import OPERATORS

    assert set(read_operators(4)) == {kind.__name__ for kind in OPERATORS}


def test_operators_says_what_becomes_of_each_layer():
    from tercet.gen.parts.kinds import PARTS
    from tercet.model.formats.json_layers import KINDS

    rows = tables(sections(page("operators.md"))["What becomes of it"])[0][1:]
    assert {code(row[0])[0] for row in rows} == KINDS.keys()
    without = {code(row[0])[0] for row in rows if row[1].startswith("none")}
    assert KINDS.keys() - PARTS.keys() == {*without, "argmax"}  # the core's shell has the argmax


@pytest.fixture(scope="module")
def plans(pytestconfig):
    """The facts of the plans that the pages state, from the file or, if it is old, made anew."""
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
    """Multipliers of layers, as a cell of a page."""
    if len(layers) > 1 and set(layers) == {1}:
        return f"1 in each of {len(layers)}"
    return " + ".join(map(str, layers))


def test_the_plans_of_the_networks_are_those_made(plans):
    _, (_, *small), (_, *large) = tables(page("core.md"))
    for row in (*small, *large):
        facts = plans[code(row[0])[0]]
        assert row[1:3] == [f"{facts['cycles_per_image']:,}", f"{facts['latency_cycles']:,}"]
        layers = multipliers(facts["multipliers_of_layers"])
        assert row[3] == (layers if row in small else str(facts["multipliers"]))
        assert row[4].replace(",", "") == str(facts["rom_bits"])
    assert {code(row[0])[0] for row in (*small, *large)} == SHIPPED.keys()


def test_the_plans_of_plain_are_those_made(plans):
    ((_, *rows),) = [table for table in tables(page("plans.md")) if table[0][0] == "`plain`"]
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
