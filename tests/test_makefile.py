"""The Makefile and what it stands on: commands that exist, versions that are all pinned."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
]
TARGETS = [
    *("setup", "sim", "test", "quick", "verilog", "plan", "synth", "pnr", "fuzz", "fingerprints"),
    *("bench", "fuzz-modules", "accuracy", "requantizers", "lint", "newcomer", "check", "clean"),
    *("build", "browser", "docs"),
]


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def make(*words):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=ROOT,
        env=environment,  # without what the make around `make test` leaves there
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_that_the_makefile_names_exists():
    named = re.findall(r"\$\(TERCET\) (\w+)", MAKEFILE)
    assert named
    assert set(named) <= set(PROJECT["entry-points"]["tercet.commands"])


@pytest.mark.skipif(shutil.which("make") is None, reason="make is missing")
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_made(target):
    assert make("--dry-run", "--always-make", target)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is missing")
def test_make_alone_lists_the_targets():
    listed = re.findall(r"^make ([\w-]+)", make(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(TARGETS)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is missing")
def test_variables_reach_the_commands():
    goal = "GOAL=--fps 9 --clock 7"
    words = make("--dry-run", "sim", "NET=some/net.json", "SIM=icarus", "N=7", goal)
    assert " ".join(words.split()).endswith(
        "tercet sim 'some/net.json' --simulator icarus --images 7 --fps 9 --clock 7"
    )
    words = make("--dry-run", "build", "MODEL=my net.onnx", "DATA=my images", "N=7", goal)
    assert " ".join(words.split()).endswith(
        "tercet build 'my net.onnx' --data 'my images' --simulator verilator --images 7 --fps 9 "
        "--clock 7"
    )
    assert "--data" not in make("--dry-run", "build", "MODEL=plain")
    words = make("--dry-run", "synth", "NET=separable", "TARGET=ice40")
    assert words.split()[-4:] == ["synth", "'separable'", "--target", "ice40"]
    for target in ("plan", "verilog"):
        words = make("--dry-run", target, "NET=separable", "GOAL=--multipliers 64")
        assert words.split()[-4:] == [target, "'separable'", "--multipliers", "64"]


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_every_requirement_is_pinned_inside_its_range(line):
    requirement = Requirement(line)
    versions = {canonical(name): version for name, version in pins().items()}
    assert requirement.specifier.contains(versions[canonical(requirement.name)])


def test_pins_are_sorted_whole_versions():
    names = [canonical(name) for name in pins()]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    assert all(
        re.fullmatch(r"[0-9]+(\.[0-9]+)*(\.post[0-9]+)?", version) for version in pins().values()
    )
    assert "setuptools" in names  # it builds the editable install without the network
