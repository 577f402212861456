"""What a piece of work costs in CPU time and memory."""

from __future__ import annotations

import re
import resource
from pathlib import Path

__all__ = ["Stopwatch", "cpu_seconds"]

OWN, CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN


class Stopwatch:
    """CPU seconds since it was made, of the process and of children that ended, and peak memory.

    The peak is that since the process began: work whose peak counts wants a process of its own.
    """

    def __init__(self) -> None:
        self._start = cpu_seconds()

    def read(self) -> tuple[float, float]:
        """CPU seconds and MiB."""
        children = resource.getrusage(CHILDREN).ru_maxrss
        return cpu_seconds() - self._start, max(_own_peak(), children) / 1024


def cpu_seconds() -> float:
    """What the process and its children that ended have used so far."""
    return sum(sum(resource.getrusage(kind)[:2]) for kind in (OWN, CHILDREN))


def _own_peak() -> int:
    """KiB. A process inherits ``ru_maxrss`` from the one that started it, but not Linux's VmHWM."""
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text("ascii"), re.MULTILINE)
        if found:
            return int(found[1])
    return resource.getrusage(OWN).ru_maxrss
