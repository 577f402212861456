"""Other processes: whether one still runs, and one that holds a folder."""

import subprocess
import sys
import time
from pathlib import Path


def gone(pid):
    """Whether a process is no more, or will be in a moment; a zombie is no more."""
    end = time.monotonic() + 10
    while (state := _state(pid)) not in "ZX" and time.monotonic() < end:
        time.sleep(0.02)
    return state in "ZX"


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except OSError:
        return "X"


HOLDER = """
import sys, pathlib
from tercet.model.files import locked
with locked(pathlib.Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.readline()
"""


def holder(folder):
    """A process that has a folder until it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "has it\n"
    return process
