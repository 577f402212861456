"""Figures kept in files, so that a long bench can be interrupted and one row be made anew."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...model.errors import UserError
from ...model.files import write_whole

__all__ = ["Facts", "NotMeasuredError", "Store", "fingerprint", "sources"]

Facts = dict[str, Any]
PACKAGE = Path(__file__).parents[2]


def fingerprint(*parts: str | bytes) -> str:
    """A hash of all that a figure hangs on."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


@cache
def sources(*patterns: str) -> str:
    """A hash of the files that these patterns find in the project, names and contents."""
    found = {pattern: sorted(PACKAGE.glob(pattern)) for pattern in patterns}
    assert all(found.values()), found  # a folder that moved would never be stale
    files = [path for paths in found.values() for path in paths]
    files = [path for path in files if path.is_file()]
    names = [str(path.relative_to(PACKAGE)) for path in files]
    return fingerprint(*names, *(path.read_bytes() for path in files))


class NotMeasuredError(UserError):
    """A figure is not there and is not to be made; the message says why."""


@dataclass
class Store:
    """A folder of figures.

    refusal : why what is not there is not made; None where it is made
    """

    folder: Path
    refusal: str | None = None

    def kept(self, name: str, key: str, make: Callable[[], Facts]) -> Facts:
        """What an earlier run left in folder/name under the same key, or else what ``make`` gives.

        Raises NotMeasuredError where it would have to be made but is refused.
        """
        path = self.folder / name
        with contextlib.suppress(OSError, ValueError):
            found: Facts = json.loads(path.read_text(encoding="utf-8"))
            if found["key"] == key:
                return dict(found["facts"])
        if self.refusal is not None:
            raise NotMeasuredError(self.refusal)
        facts = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"key": key, "facts": facts}, indent=1, sort_keys=True)
        write_whole(path, text + "\n")
        return facts
