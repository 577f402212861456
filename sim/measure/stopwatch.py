"""Measurement of CPU time and memory."""

from __future__ import annotations

import re
import resource
from pathlib import Path

__all__ = ["Stopwatch", "cpu_seconds"]

OWN, CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN


class Stopwatch:
    """CPU seconds since its creation, and peak memory, of the process and its ended children.

    The peak counts from the start of the process, so work must run in a separate process for its
    own peak.
    """

    def __init__(self) -> None:
        self._start = cpu_seconds()

    def read(self) -> tuple[float, float]:
        """CPU seconds, and the peak memory in MiB."""
        children = resource.getrusage(CHILDREN).ru_maxrss
        return cpu_seconds() - self._start, max(_own_peak(), children) / 1024


def cpu_seconds() -> float:
    """CPU seconds of the process and of its ended children."""
    return sum(sum(resource.getrusage(kind)[:2]) for kind in (OWN, CHILDREN))


def _own_peak() -> int:
    """The peak memory of this process in KiB.

    ``ru_maxrss`` is inherited from the parent process, Linux's VmHWM is not.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text("ascii"), re.MULTILINE)
        if found:
            return int(found[1])
    return resource.getrusage(OWN).ru_maxrss
