"""The program ``tercet``. An interrupt ends it without a traceback, even during imports."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> int:
    """Run the process's own command line and return its exit code."""
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:  # during imports; later, ``cli.main`` handles it
        sys.stderr.write("tercet: interrupted\n")
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # while the interpreter exits
