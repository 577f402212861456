"""Text output of digits: drawings in braille dots, and labels beside predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["drawing", "verdict_lines"]

BRAILLE = 0x2800
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # 4 rows, 2 columns
INK = 100  # a pixel above this value is a dot
PER_LINE = 20
MAX_SHOWN = 100


def drawing(images: npt.NDArray[np.uint8]) -> list[str]:
    """Draw images side by side, one dot per pixel; at most 7 lines, 16 columns per image.

    Parameters
    ----------
    images : uint8 (N, 28, 28), from 0 (background) to 255 (ink)
    """
    cells = images.reshape(-1, 7, 4, 14, 2).transpose(0, 1, 3, 2, 4) > INK  # (N, 7, 14, 4, 2)
    codes = (cells * DOTS).sum(axis=(3, 4))
    used = [row for row in range(7) if codes[:, row].any()]
    return [
        "  ".join(
            "".join(chr(BRAILLE + code) if code else " " for code in image[row]) for image in codes
        )
        for row in range(used[0] if used else 0, used[-1] + 1 if used else 0)
    ]


def verdict_lines(labels: Sequence[int], predictions: Sequence[Any]) -> list[str]:
    """Labels and predictions as lines, with a mark below each prediction that differs."""
    lines = []
    for start in range(0, min(len(labels), MAX_SHOWN), PER_LINE):
        shown, got = labels[start : start + PER_LINE], predictions[start : start + PER_LINE]
        marks = " ".join("^" if a != b else " " for a, b in zip(shown, got, strict=False)).rstrip()
        lines.append("label       " + " ".join(map(str, shown)))
        lines.append("recognized  " + " ".join(map(str, got)))
        if marks:
            lines.append("            " + marks)
    if len(labels) > MAX_SHOWN:
        lines.append(f"... and {len(labels) - MAX_SHOWN} more")
    return lines
