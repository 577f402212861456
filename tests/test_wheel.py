"""The wheel holds every folder, and works where nothing else of the checkout is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("tercet", "model", "hw", "gen", "sim")


def run(*command, cwd, **environment):
    env = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the checkout's files, built in a folder of its own."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(out), str(source), cwd=out)
    (path,) = out.iterdir()
    return path


def test_it_holds_every_file(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    held = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    wanted = {
        str(
            path.relative_to(ROOT)
            if folder == "tercet"
            else Path("tercet") / path.relative_to(ROOT)
        )
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".json", ".npz", ".md", ".jinja", ".css")
    }
    assert held == wanted


def test_it_writes_verilog_in_an_empty_environment(wheel, tmp_path):
    home = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(home), cwd=tmp_path)
    python = str(home / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", "--no-deps", "--no-compile", str(wheel), cwd=tmp_path)
    # The packages that it needs are those of this environment, in which tercet is a link that only
    # a site folder would follow.
    needed = {"cwd": tmp_path, "PYTHONPATH": sysconfig.get_path("purelib")}
    where = run(python, "-c", "import tercet.gen; print(tercet.gen.__file__)", **needed)
    assert Path(where.strip()).is_relative_to(home)
    run(python, str(home / "bin" / "tercet"), "verilog", "plain", "-o", str(tmp_path), **needed)
    verilog = (tmp_path / "rtl" / "plain.v").read_text()
    assert "module plain(" in verilog
