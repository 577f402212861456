"""The README: its Python runs as it stands, and its figures are those that are tested."""

import re
from pathlib import Path

import numpy as np
import pytest
from shippedfigures import SHIPPED

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
    rows = re.findall(
        r"^\| `(\w+)` \|.*?\| ([\d.]+) % \| ([\d.]+) % \|$",
        section("The networks"),
        re.MULTILINE,
    )
    assert {name for name, *_ in rows} == SHIPPED.keys()
    for name, floats, integers in rows:
        count, *figures, _ = SHIPPED[name]
        if count == 10000:
            assert [float(floats), float(integers)] == [round(100 * f, 2) for f in figures]
