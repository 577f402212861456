"""Writing a file whole or not at all: nobody ever reads half of one."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``content``, text as UTF-8, beside ``path``, then move it there in one step.

    Raises OSError where that fails; ``path`` is then as it was, and nothing is left beside it.
    """
    partial = path.parent / f"{path.name}.partial"
    try:
        partial.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # where no file can be made, none can be removed
            partial.unlink()
        raise
