"""The rule of frames, beat by beat, and a check of the frame_* pins of a core."""

from __future__ import annotations

from .stream import ProtocolError

__all__ = ["FramePins", "FrameRule"]


class FrameRule:
    """Count right and wrong frames.

    A frame ends at TLAST or at its ``length``-th beat, whichever comes first. It is right if the
    two coincide.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self.restart()

    def restart(self) -> None:
        """Start again, as after a reset."""
        self.right = 0
        self.wrong = 0
        self._beats = 0

    def beat(self, last: bool) -> None:
        """Record a beat that was taken."""
        self._beats += 1
        full = self._beats == self._length
        if full and last:
            self.right += 1
        elif full or last:
            self.wrong += 1
        if full or last:
            self._beats = 0


PINS = ("frame_good", "frame_bad", "frame_error")


class FramePins:
    """Check frame_good, frame_bad and frame_error in each cycle against the frames that ended."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Expect all pins low, as after a reset."""
        self._ended = (0, 0)
        self._error = False
        self._clear = False

    def sample(
        self, pins: tuple[bool, bool, bool], ended: tuple[int, int], clear: bool, cycle: int
    ) -> None:
        """Check the pins in a cycle.

        Parameters
        ----------
        pins : frame_good, frame_bad, frame_error
        ended : right and wrong frames that had ended before this cycle
        clear : frame_error_clear, which takes effect in the next cycle

        Raises ProtocolError.
        """
        (right, wrong), (before_right, before_wrong) = ended, self._ended
        bad = wrong > before_wrong
        error = bad or (self._error and not self._clear)
        wanted = (right > before_right, bad, error)
        for name, up, pin in zip(PINS, wanted, pins, strict=True):
            if pin != up:
                raise ProtocolError(
                    f"{name} is {'up' if pin else 'down'} in cycle {cycle}, when {right} right "
                    f"and {wrong} wrong frames have ended since the reset"
                )
        self._ended, self._error, self._clear = ended, error, clear
