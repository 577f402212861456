"""Programs and worker processes, which never outlive the process that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from types import FrameType
from typing import TypeVar

__all__ = ["Stopped", "in_parallel", "run", "stoppable"]

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_running: set[subprocess.Popen[str]] = set()


class Stopped(KeyboardInterrupt):
    """A signal requests the end of the process. ``number`` is the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turn the signals that request an end into Stopped, so that open resources are closed.

    Only the first signal raises Stopped; later ones do not disturb the cleanup. A signal that was
    already ignored, as with nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        for other in taken:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    try:
        for number in taken:
            signal.signal(number, stop)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    merged: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program and wait for it; an exception during the wait kills it and its children.

    Parameters
    ----------
    env : the whole environment (default: this process's)
    log : receives stdout and stderr; stdout of the result is then empty
    merged : whether stderr goes into stdout, as is usual for a log

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
            process_group=0,  # so that its children can be killed with it
        )
        _running.add(process)
        try:
            with process:  # waits for it, and closes its pipes
                try:
                    stdout, stderr = process.communicate()
                except BaseException:
                    _kill(process)
                    raise
        finally:
            _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, stdout or "", stderr or "")


def in_parallel(
    function: Callable[..., T], calls: Iterable[Sequence[object]], count: int
) -> Generator[T]:
    """Call a function in ``count`` worker processes; yield results in order of completion.

    An exception in this process ends the workers and the programs that they run.
    """
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_serve)
    try:
        # Workers inherit the mask: Ctrl-C reaches them too, but this process decides their end.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            jobs = [pool.submit(function, *words) for words in calls]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for job in as_completed(jobs):
            yield job.result()
    except BaseException:
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _serve() -> None:
    """Make SIGTERM end a worker at once, together with its programs."""

    def end(number: int, frame: FrameType | None) -> None:
        try:
            for process in list(_running):
                _kill(process)
        finally:
            os._exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
