"""What the shell of a core owes to a frame, beat by beat, and a watch on its error flag."""

from __future__ import annotations

from .stream import ProtocolError

__all__ = ["ErrorFlag", "FrameRule"]

FLAG_CYCLES = 8  # from the beat that shows a frame to be wrong to frame_error


class FrameRule:
    """Judge frames: one ends at TLAST or at its ``length``-th beat, whichever comes first.

    It is right where the two coincide.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self.restart()

    def restart(self) -> None:
        """Start anew, as after a reset."""
        self.right = 0
        self.wrong = 0
        self._beats = 0

    def beat(self, last: bool) -> None:
        """Note a beat that was taken."""
        self._beats += 1
        full = self._beats == self._length
        if full and last:
            self.right += 1
        elif full or last:
            self.wrong += 1
        if full or last:
            self._beats = 0


class ErrorFlag:
    """Check that frame_error rises soon after the first wrong frame, not before, and then stays."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Expect the flag low, as after a reset."""
        self._up = False
        self._due: int | None = None

    def sample(self, flag: bool, wrong: int, cycle: int) -> None:
        """Look at the flag in a cycle before which ``wrong`` wrong frames had ended.

        Raises ProtocolError.
        """
        if wrong and self._due is None:
            self._due = cycle + FLAG_CYCLES
        if flag and not wrong:
            raise ProtocolError(f"frame_error is up in cycle {cycle} without a wrong frame")
        if self._up and not flag:
            raise ProtocolError(f"frame_error fell in cycle {cycle} without a reset")
        if self._due is not None and cycle >= self._due and not flag:
            raise ProtocolError(
                f"frame_error is down in cycle {cycle}, {FLAG_CYCLES} after a wrong frame"
            )
        self._up = flag
