"""Whether processes still run."""

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
