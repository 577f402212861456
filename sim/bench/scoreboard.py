"""In-order comparison of what a core gives with what it should give."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Line", "Mismatch", "Scoreboard", "ScoreboardError"]

Shape = tuple[int, int, int]


class ScoreboardError(AssertionError):
    """Values differ, are missing or are too many; the message is for a person."""


@dataclass(frozen=True)
class Mismatch:
    """Where a value first differed, and by how much; ``got`` is text where bits are undefined."""

    tensor: str
    image: int
    row: int
    column: int
    channel: int
    expected: int
    got: int | str
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.tensor}, image {self.image}, row {self.row}, column {self.column}, "
            f"channel {self.channel}: expected {self.expected}, got {self.got} (seed {self.seed})"
        )


@dataclass
class Line:
    """One stream's expectations, in raster order, channels last.

    Parameters
    ----------
    name : as mismatches show it
    shape : (H, W, C) of one image
    tensor : the tensor whose values these are; None for a side band such as TLAST
    board : learns of each mismatch
    """

    name: str
    shape: Shape
    tensor: str | None
    board: Scoreboard
    compared: int = 0
    mismatches: int = 0
    surplus: int = 0
    muted: bool = False  # neither compares nor expects
    _since_restart: int = 0
    _images: deque[tuple[int, Sequence[int]]] = field(default_factory=deque)
    _position: int = 0  # within the first image of _images

    @property
    def size(self) -> int:
        """Values of one image."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def expect(self, image: int, values: Sequence[int]) -> None:
        """Queue an image's values, flat in raster order."""
        if self.muted:
            return
        if len(values) != self.size:
            raise ValueError(f"{self.name} has {self.size} values an image, not {len(values)}")
        self._images.append((image, values))

    def receive(self, got: int | str) -> None:
        """Compare one value with the next that is expected."""
        if self.muted:
            return
        if not self._images:
            self.surplus += 1
            return
        image, values = self._images[0]
        expected = values[self._position]
        if got != expected:
            self.mismatches += 1
            row, rest = divmod(self._position, self.shape[1] * self.shape[2])
            column, channel = divmod(rest, self.shape[2])
            self.board.note(
                Mismatch(self.name, image, row, column, channel, expected, got, self.board.seed)
            )
        self.compared += 1
        self._since_restart += 1
        self._position += 1
        if self._position == self.size:
            self._images.popleft()
            self._position = 0

    def restart(self) -> None:
        """Expect nothing any more, as after a reset; what was compared stays compared."""
        self._images.clear()
        self._position = 0
        self._since_restart = 0

    def problem(self, expected_images: int) -> str | None:
        """What is wrong at the end of a run of ``expected_images`` since the last restart."""
        expected = expected_images * self.size
        if self.mismatches:
            return f"{self.mismatches} of {self.compared} values of {self.name} differ"
        if self.surplus:
            return f"{self.name} gave {self.surplus} more than the {expected} values expected"
        if not self.muted and self._since_restart != expected:
            return f"{self.name} gave {self._since_restart} of the {expected} values expected"
        return None


class Scoreboard:
    """All lines of a bench.

    Parameters
    ----------
    seed : of the run, so that a mismatch tells how to see it again
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.first_mismatch: Mismatch | None = None
        self._lines: list[Line] = []

    def line(self, name: str, shape: Shape, tensor: str | None) -> Line:
        """Open a line; see :class:`Line`."""
        line = Line(name, shape, tensor, self)
        self._lines.append(line)
        return line

    def note(self, mismatch: Mismatch) -> None:
        """Keep the mismatch if it is the first one in time, so the one nearest to the cause."""
        if self.first_mismatch is None:
            self.first_mismatch = mismatch

    @property
    def _by_tensor(self) -> dict[str, list[int]]:
        counts: dict[str, list[int]] = {}
        for line in self._lines:
            if line.tensor is not None:
                counts.setdefault(line.tensor, []).append(line.compared)
        return counts

    @property
    def tensors_compared(self) -> int:
        """Tensors of which at least one value was compared."""
        return sum(min(counts) > 0 for counts in self._by_tensor.values())

    @property
    def values_compared(self) -> int:
        """Tensor values compared; one that passes several monitors counts once."""
        return sum(min(counts) for counts in self._by_tensor.values())

    @property
    def mismatches(self) -> int:
        """Values that differed or that nobody expected, side bands included."""
        return sum(line.mismatches + line.surplus for line in self._lines)

    def restart(self) -> None:
        """Expect nothing any more, on every line."""
        for line in self._lines:
            line.restart()

    def finish(self, expected_images: int) -> None:
        """Require that exactly ``expected_images`` came since the last restart, all right.

        Call it after some quiet cycles, so that a value too many has had its chance to come.
        Raises ScoreboardError.
        """
        problems = [text for line in self._lines if (text := line.problem(expected_images))]
        if problems:
            first = f"first mismatch: {self.first_mismatch}" if self.first_mismatch else None
            tail = first or f"seed {self.seed}"
            raise ScoreboardError(f"{'; '.join(problems)}; {tail}")
