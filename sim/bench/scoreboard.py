"""In-order comparison of a core's values with the golden values."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Line", "Mismatch", "Scoreboard", "ScoreboardError"]

Shape = tuple[int, int, int]


class ScoreboardError(AssertionError):
    """Values differ, are missing or are surplus; the message is for the user."""


@dataclass(frozen=True)
class Mismatch:
    """A value that differs, and its place; ``got`` is text if bits are undefined."""

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
    """The expected values of one stream, in raster order, channels last.

    Parameters
    ----------
    name : name in messages
    shape : (H, W, C) of one image
    tensor : the tensor of the values; None for a sideband signal such as TLAST
    board : the scoreboard that records each mismatch
    """

    name: str
    shape: Shape
    tensor: str | None
    board: Scoreboard
    compared: int = 0
    mismatches: int = 0
    surplus: int = 0
    muted: bool = False  # if true, it compares and expects nothing
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
        """Compare one value with the next expected one."""
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
        """Drop all expected values, as after a reset; counts of compared values remain."""
        self._images.clear()
        self._position = 0
        self._since_restart = 0

    def problem(self, expected_images: int) -> str | None:
        """What is wrong after ``expected_images`` since the last restart; None if nothing is."""
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
    seed : seed of the run; mismatches state it, so that they can be reproduced
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.first_mismatch: Mismatch | None = None
        self._lines: list[Line] = []

    def line(self, name: str, shape: Shape, tensor: str | None) -> Line:
        """Add a line; see :class:`Line`."""
        line = Line(name, shape, tensor, self)
        self._lines.append(line)
        return line

    def note(self, mismatch: Mismatch) -> None:
        """Keep the mismatch if it is the first in time, which is nearest to the cause."""
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
        """Number of tensors with at least one compared value."""
        return sum(min(counts) > 0 for counts in self._by_tensor.values())

    @property
    def values_compared(self) -> int:
        """Number of compared tensor values; a value that several monitors see counts once."""
        return sum(min(counts) for counts in self._by_tensor.values())

    @property
    def mismatches(self) -> int:
        """Number of values that differed or were surplus, including sideband signals."""
        return sum(line.mismatches + line.surplus for line in self._lines)

    def restart(self) -> None:
        """Drop the expected values of every line."""
        for line in self._lines:
            line.restart()

    def finish(self, expected_images: int) -> None:
        """Require that exactly ``expected_images`` came since the last restart, without mismatch.

        Call it after some idle cycles, so that surplus values have had time to come.
        Raises ScoreboardError.
        """
        problems = [text for line in self._lines if (text := line.problem(expected_images))]
        if problems:
            first = f"first mismatch: {self.first_mismatch}" if self.first_mismatch else None
            tail = first or f"seed {self.seed}"
            raise ScoreboardError(f"{'; '.join(problems)}; {tail}")
