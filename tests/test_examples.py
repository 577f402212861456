"""The notebooks of examples/: committed without outputs; each runs as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TIMEOUT = 300  # seconds for a cell


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs a notebook in an empty folder: (its name, an expression for one more
    cell) -> what the expression gives, as data."""
    for package in ("torch", "onnx", "onnxscript", "sklearn", "matplotlib"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))
    folder = tmp_path / "notebook"
    folder.mkdir()

    def results(name, expression):
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        code = f"import json; print(json.dumps({expression}))"
        notebook.cells.append(nbformat.v4.new_code_cell(code))
        nbclient.NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        ).execute()
        return json.loads(notebook.cells[-1].outputs[0].text)

    return results


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_not_committed(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert [cell["id"] for cell in cells if cell["outputs"] or cell["execution_count"]] == []


def test_all_notebooks_are_run():
    assert [path.stem for path in NOTEBOOKS] == ["own_cnn", "qat_4_bits"]


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.verilator
def test_own_cnn(run, tmp_path):
    found = run(
        "own_cnn",
        "[exit_code, simulation['mismatches'], simulation['values_compared'], int_accuracy]",
    )
    exit_code, mismatches, compared, accuracy = found
    assert (exit_code, mismatches) == (0, 0)
    assert compared > 20_000
    assert accuracy > 0.95
    assert (tmp_path / "notebook" / "build" / "own_cnn" / "out" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.torch
def test_qat_4_bits(run):
    float_accuracy, before, after = run("qat_4_bits", "[float_accuracy, before, after]")
    assert float_accuracy > 0.95
    assert abs(before["8"] - float_accuracy) < 0.005
    assert before["4"] < float_accuracy - 0.005
    assert before["4"] < after["4"]
    assert before["3"] + 0.02 < after["3"]
