"""One seed for everything random in the tests: --seed, shown in the header and on failure."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed", type=int, default=20250, metavar="N", help="seed of all that is random in tests"
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
