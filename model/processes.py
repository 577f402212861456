"""Programs run to their end: none outlives the one that started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["end_all", "run"]

_running: set[subprocess.Popen[str]] = set()


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    merged: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program and wait for it; an exception meanwhile kills it and all that it started.

    Parameters
    ----------
    env : the whole environment (default: this process's)
    log : receives stdout and stderr; stdout of the result is then empty
    merged : stderr goes into stdout, where it belongs in a log

    Returns the exit code and the output, read as UTF-8. Raises OSError if the program cannot be
    started or ``log`` cannot be written.
    """
    with contextlib.ExitStack() as stack:
        out = subprocess.PIPE if log is None else stack.enter_context(log.open("w"))
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            process_group=0,  # so that what it starts can be ended with it
        )
        _running.add(process)
        try:
            stdout, stderr = process.communicate()
        except BaseException:
            _end(process)
            raise
        finally:
            _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, stdout or "", stderr or "")


def end_all() -> None:
    """Kill every program that runs, with all that it started."""
    for process in list(_running):
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
