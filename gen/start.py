"""The program ``tercet``: interrupted, it ends without a traceback from its first import on."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> int:
    """Run the process's own command line and return its exit code."""
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:  # while importing; later, the command line takes it
        sys.stderr.write("tercet: interrupted\n")
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the interpreter's own end
