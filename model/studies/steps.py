"""Steps whose results are kept in the output folder; a step runs again only if its key changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from .rows import Facts, Store, fingerprint, sources

__all__ = ["Steps", "hash_of"]

SOURCES = ("model/**/*.py", "hw/*.py", "gen/**/*.py")  # a simulation depends on its Verilog
TOOLS = ("tercet", "amaranth", "pyosys", "numpy")


@dataclass
class Steps:
    """The steps of one output folder.

    folder : of the results; each step's facts are in steps/STEP.json below it
    repeated : the names of the steps that ran, in order; all others were as before
    """

    folder: Path
    repeated: list[str] = field(default_factory=list)

    def run(
        self,
        name: str,
        parts: Sequence[str | bytes],
        outputs: Sequence[str],
        make: Callable[[], Facts],
    ) -> Facts:
        """The facts of a step, made anew or as before.

        Parameters
        ----------
        parts : everything that the step depends on, beside tercet and its tools
        outputs : the files that it writes, below the folder; if one is missing or changed, the step
            runs again
        make : runs the step

        An interrupted step leaves no facts, and so runs again.
        """
        store = Store(self.folder / "steps")
        tools = [f"{tool} {metadata.version(tool)}" for tool in TOOLS]
        key = fingerprint(sources(*SOURCES), *tools, *parts)

        def made() -> Facts:
            self.repeated.append(name)
            facts = make()
            return {"facts": facts, "files": self._hashes(outputs)}

        found = store.kept(f"{name}.json", key, made)
        if found["files"] != self._hashes(outputs):
            (store.folder / f"{name}.json").unlink()
            found = store.kept(f"{name}.json", key, made)
        facts: Facts = found["facts"]
        return facts

    def _hashes(self, outputs: Sequence[str]) -> dict[str, str]:
        paths = {name: self.folder / name for name in outputs}
        return {name: hash_of(path) if path.is_file() else "" for name, path in paths.items()}


def hash_of(path: Path) -> str:
    """A hash of a file, or of all files of a folder and their names. Raises OSError."""
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(each for each in path.rglob("*") if each.is_file())
    return fingerprint(*(f"{each.relative_to(path)} {hash_of(each)}" for each in files))
