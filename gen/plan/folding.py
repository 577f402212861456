"""A folding by hand as the goal of a plan: P, S and R of each layer, from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...model.formats.json_fields import Fields, decode, integer
from ...model.layers import NetworkError
from .forms import Choice, Folding, Forms
from .goals import Goal
from .plan import Plan

__all__ = ["FoldingGoal"]


@dataclass(frozen=True)
class FoldingGoal(Goal):
    """The forms that a folding states; see ``Forms.folded``.

    source : the file, for messages
    """

    source: str
    folding: Mapping[str, Folding]
    input_lanes: int | None = None
    cycles: int | None = None

    @classmethod
    def read(cls, path: Path) -> FoldingGoal:
        """Read a file: {LAYER: {"P": P, "S": S, "R": R}, ...}, or the manifest of a core.

        A manifest gives the same core again. Raises NetworkError for any other file.
        """
        try:
            content = decode(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise NetworkError(f"The folding {path} cannot be read: {reason}") from None
        except NetworkError as error:
            raise NetworkError(f"The folding {path}: {error}") from None
        try:
            if isinstance(content, dict) and "plan" in content:
                lanes = integer(content["input_lanes"])
                cycles = max(integer(layer["cycles"]) for layer in content["layers"])
                return cls(path.name, _folding(content["plan"]), lanes, cycles)
            return cls(path.name, _folding(content))
        except (NetworkError, KeyError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, NetworkError) else "it is no whole manifest"
            raise NetworkError(
                f"The folding {path}: {reason}; give "
                '{"LAYER": {"P": 1, "S": 1, "R": 1}, ...}, or a manifest.json'
            ) from None

    def __str__(self) -> str:
        return f"the folding of {self.source}"

    def choose(self, forms: Forms) -> Choice:
        return forms.folded(self.folding, self.input_lanes, self.cycles)

    def limit(self, plan: Plan) -> str:
        return ""

    def facts(self) -> dict[str, Any]:
        return {"folding": self.source}


def _folding(content: object) -> dict[str, Folding]:
    """P, S and R of each layer. Raises NetworkError."""
    layers = Fields("the folding", content)
    folding: dict[str, Folding] = {}
    for name in list(layers.left):
        fields = Fields(f"layer {name!r}", layers.take(name, lambda value: value))
        folding[name] = {letter: fields.take(letter, integer) for letter in ("P", "S", "R")}
        fields.done()
    return folding
