"""Writing files whole or not at all: nobody ever reads half of one."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_all", "write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``content``, text as UTF-8, beside ``path``, then move it there in one step.

    Raises OSError where that fails; ``path`` is then as it was, and nothing is left beside it.
    """
    write_all({path: content})


def write_all(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files, text as UTF-8: all beside their paths first, then all moved there.

    Raises OSError where that fails; nothing is left beside the paths then.
    """
    partials = {path: path.parent / f"{path.name}.partial" for path in contents}
    try:
        for path, content in contents.items():
            if path.is_dir():  # found before anything is moved
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            data = content if isinstance(content, bytes) else content.encode("utf-8")
            partials[path].write_bytes(data)
        for path, partial in partials.items():
            partial.replace(path)
    except OSError:
        for partial in partials.values():
            with contextlib.suppress(OSError):  # where no file can be made, none can be removed
                partial.unlink()
        raise
