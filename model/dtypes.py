"""Integer types of tensors, weights and accumulators: 1 to 32 bits, signed or unsigned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["INT8", "INT32", "UINT8", "Array", "Bounds", "IntType", "Integers", "signed_width"]

Array = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]
Bounds = tuple[Integers, Integers]  # the least and the greatest values, two arrays of one shape


@dataclass(frozen=True)
class IntType:
    """An integer type of ``bits`` bits; two's complement if ``signed``.

    ``str()`` gives its name, such as ``uint8`` or ``int12``; :meth:`parse` reads it.
    """

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 32:
            raise ValueError(f"An integer type must have 1 to 32 bits, not {self.bits}")

    @classmethod
    def parse(cls, name: str) -> IntType:
        """Read a name such as ``uint8``. Raises ValueError for any other text."""
        match = re.fullmatch(r"(u?)int([1-9][0-9]?)", name)
        if match is None:
            raise ValueError(f"An integer type is named like uint8 or int12, not {name!r}")
        return cls(bits=int(match[2]), signed=not match[1])

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @property
    def qmin(self) -> int:
        """The smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def qmax(self) -> int:
        """The largest value."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def numpy(self) -> np.dtype[Any]:
        """The narrowest numpy dtype that can represent every value."""
        size = next(size for size in (8, 16, 32) if self.bits <= size)
        return np.dtype(f"{'int' if self.signed else 'uint'}{size}")

    def contains(self, values: npt.ArrayLike) -> bool:
        """Whether every value lies in [qmin, qmax]; true of an empty array."""
        array = np.asarray(values)
        return array.size == 0 or (int(array.min()) >= self.qmin and int(array.max()) <= self.qmax)


UINT8, INT8, INT32 = IntType(8, signed=False), IntType(8, signed=True), IntType(32, signed=True)


def signed_width(lo: int, hi: int) -> int:
    """The fewest bits of a two's complement number that can represent both ``lo`` and ``hi``."""
    return 1 + max((value if value >= 0 else ~value).bit_length() for value in (lo, hi))
