"""Atomic writing of files, temporary folders, and folders that one run locks at a time."""

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

__all__ = [
    "OutputError",
    "TemporaryError",
    "locked",
    "output_folder",
    "temporary_folder",
    "write_all",
    "write_whole",
]

logger = logging.getLogger(__name__)

SAFE = r"[A-Za-z0-9_./+-]+"  # make and Yosys accept these characters in a path
PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # if the system's own choice has other characters


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``content``, text as UTF-8, next to ``path``, then move it there in one step.

    Raises OSError if that fails; ``path`` is then unchanged. No partial file remains in either
    case.
    """
    write_all({path: content})


def write_all(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files, text as UTF-8: all next to their paths first, then all moved there.

    A link is followed. A path that is no regular file, such as a pipe or /dev/stdout, is written
    directly. Raises OSError if writing fails; no partial file remains in either case.
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
            # a name that no other writer has and that is short enough for the file system
            moves.append((target.parent / f".{os.urandom(8).hex()}.partial", target))
            moves[-1][0].write_bytes(data)
        for partial, target in moves:
            partial.replace(target)
    finally:
        for partial, _ in moves:
            with contextlib.suppress(OSError):  # moved, or never made
                partial.unlink()


class TemporaryError(UserError, OSError):
    """No temporary file can be written."""


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder whose path needs no quoting in make, Yosys and shells; removed at the end.

    It is in the system's folder for temporary files, or in another such folder if that path has
    blanks or similar characters. Raises TemporaryError if no folder can be written.
    """
    folder = _temporary()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary() -> Path:
    places, reasons = list(PLACES), []
    with contextlib.suppress(OSError):  # if Python finds no folder at all
        places.insert(0, tempfile.gettempdir())
    for place in dict.fromkeys(map(os.path.realpath, places)):
        if re.fullmatch(SAFE, place):
            try:
                return Path(tempfile.mkdtemp(prefix="tercet-", dir=place))
            except OSError as error:
                reasons.append(f"{place}: {error.strerror}")
    raise TemporaryError(
        f"Temporary files cannot be written ({', '.join(reasons)}); set TMPDIR to a "
        "writable folder whose path has only letters, digits and ._+-"
    )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes; wait, with a warning, while another one has the lock.

    The folder is created if it does not exist, and removed again if it is then left empty. Raises
    OSError if it cannot be created.
    """
    made = not folder.exists()
    handle = _lock(folder)
    try:
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):  # it is not empty, which is the usual case
                folder.rmdir()
        os.close(handle)


def _lock(folder: Path) -> int:
    """The handle of a locked folder; after a wait, still the folder that has this name."""
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
        os.close(handle)  # the process that had the lock has removed the folder


class OutputError(UserError, OSError):
    """An output folder cannot be written."""

    def __init__(self, directory: Path, error: OSError, option: str = "-o") -> None:
        super().__init__(
            f"The output folder {directory} cannot be written: {error.strerror}; "
            f"name another with {option}"
        )


@contextlib.contextmanager
def output_folder(directory: Path, option: str = "-o") -> Iterator[Path]:
    """Lock the output folder of an option; another run with the same folder waits.

    Raises OutputError if the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(directory))
        except OSError as error:
            raise OutputError(directory, error, option) from None
        yield directory
