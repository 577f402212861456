"""Files written whole or not at all, temporary folders, and folders used by one run at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from .errors import UserError

__all__ = ["TemporaryError", "locked", "temporary_folder", "write_all", "write_whole"]

logger = logging.getLogger(__name__)

SAFE = r"[A-Za-z0-9_./+-]+"  # make and Yosys take these characters in a path
PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # where the system's own choice has others


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``content``, text as UTF-8, beside ``path``, then move it there in one step.

    Raises OSError where that fails; ``path`` is then as it was. Nothing is left beside it, however
    this ends.
    """
    write_all({path: content})


def write_all(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files, text as UTF-8: all beside their paths first, then all moved there.

    A link is followed. What is no file, such as a pipe or /dev/stdout, is written to as it is.
    Raises OSError where that fails; nothing is left beside the paths, however this ends.
    """
    moves: list[tuple[Path, Path]] = []
    try:
        for path, content in contents.items():
            if path.is_dir():  # found before anything is moved
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            data = content if isinstance(content, bytes) else content.encode("utf-8")
            if path.exists() and not path.is_file():
                path.write_bytes(data)
                continue
            target = Path(os.path.realpath(path))
            # a name that no other writer has, and no longer than the file system allows
            moves.append((target.parent / f".{os.urandom(8).hex()}.partial", target))
            moves[-1][0].write_bytes(data)
        for partial, target in moves:
            partial.replace(target)
    finally:
        for partial, _ in moves:
            with contextlib.suppress(OSError):  # moved, or never made
                partial.unlink()


class TemporaryError(UserError, OSError):
    """Nothing temporary can be written."""


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder whose path make, Yosys and shells take as it is; removed at the end.

    It lies where the system has its temporary files, or in another such place where that path has
    blanks or the like. Raises TemporaryError where none can be written.
    """
    folder = _temporary()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary() -> Path:
    places, reasons = list(PLACES), []
    with contextlib.suppress(OSError):  # where Python finds no place at all
        places.insert(0, tempfile.gettempdir())
    for place in dict.fromkeys(map(os.path.realpath, places)):
        if re.fullmatch(SAFE, place):
            try:
                return Path(tempfile.mkdtemp(prefix="tercet-", dir=place))
            except OSError as error:
                reasons.append(f"{place}: {error.strerror}")
    raise TemporaryError(
        f"Temporary files cannot be written ({', '.join(reasons)}); set TMPDIR to a folder that "
        "can be, of letters, digits and ._+- alone"
    )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have a folder alone among all processes; wait, with a warning, while another has it.

    It is made where it is not there, and removed again if it is left empty then. Raises OSError
    where it cannot be made.
    """
    made = not folder.exists()
    handle = _lock(folder)
    try:
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):  # it holds something, as it should
                folder.rmdir()
        os.close(handle)


def _lock(folder: Path) -> int:
    """The handle of a locked folder, which is the one under that name even after a wait."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.warning("Another run uses the folder %s; this one waits for it", folder)
                fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), folder.stat()):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # whoever had it has removed it
