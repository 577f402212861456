"""Measured rows in files, so a long study can be interrupted and single rows repeated."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import write_whole

__all__ = ["Facts", "NotMeasuredError", "Store", "fingerprint", "sources"]

Facts = dict[str, Any]
PACKAGE = Path(__file__).parents[2]


def fingerprint(*parts: str | bytes) -> str:
    """A hash of everything that a row depends on."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


@cache
def sources(*patterns: str) -> str:
    """A hash of the names and contents of the project's files that match the patterns."""
    found = {pattern: sorted(PACKAGE.glob(pattern)) for pattern in patterns}
    assert all(found.values()), found  # without this, a row would not notice that a folder moved
    files = [path for paths in found.values() for path in paths]
    files = [path for path in files if path.is_file()]
    names = [str(path.relative_to(PACKAGE)) for path in files]
    return fingerprint(*names, *(path.read_bytes() for path in files))


class NotMeasuredError(UserError):
    """A row is not stored and must not be measured; the message says why."""


@dataclass
class Store:
    """A folder of rows.

    refusal : why missing rows must not be measured; None if they are measured
    """

    folder: Path
    refusal: str | None = None

    def kept(self, name: str, key: str, make: Callable[[], Facts]) -> Facts:
        """The facts in folder/name if their key is the same, or else the result of ``make``.

        Raises NotMeasuredError if they are missing and ``refusal`` is set.
        """
        path = self.folder / name
        with contextlib.suppress(OSError, ValueError):
            found: Facts = json.loads(path.read_text(encoding="utf-8"))
            if found.get("key") == key:
                return dict(found.get("facts", found))  # files of version 0.1 have no "facts"
        if self.refusal is not None:
            raise NotMeasuredError(self.refusal)
        facts = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"key": key, "facts": facts}, indent=1, sort_keys=True)
        write_whole(path, text + "\n")
        return facts
