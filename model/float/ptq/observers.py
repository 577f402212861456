"""Observers: the range over which a tensor's values are quantized.

* ``minmax``: the least and greatest value of all.
* ``moving``: a moving average of each batch's least and greatest value; a new batch has weight 0.1.
* ``percentile``: the range that leaves out an equal part of the values at either end.
* ``mse``: the range whose quantization has the least squared error, clipping included. It is
  searched on a histogram, one end at a time, in steps of 1/64 of the extremes. (Choukroun et al.,
  "Low-bit Quantization of Neural Networks for Efficient Inference", ICCVW 2019, 3.)

Each range is rounded to float32. Another machine's order of summation changes a value by about
2**-50 of it, which this rounding removes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ...dtypes import Integers
from ...layers import NetworkError
from .schemes import Scheme

__all__ = ["Observer", "extremes_of", "observer_of"]

BINS = 4096  # of a histogram, over [-2**k, 2**k)
STEPS = 64  # of the search for the least squared error
MOMENTUM = 0.1

Floats = npt.NDArray[np.float64]
Range = tuple[float, float]


class _MinMax:
    """An observer of one tensor over several batches."""

    def __init__(self) -> None:
        self.ends: Range | None = None

    def update(self, values: Floats) -> None:
        """Observe a batch, of any shape."""
        lo, hi = float(values.min()), float(values.max())
        self.ends = (lo, hi) if self.ends is None else self.joined(self.ends, (lo, hi))

    def joined(self, before: Range, new: Range) -> Range:
        return min(before[0], new[0]), max(before[1], new[1])

    def range(self, scheme: Scheme) -> Range:
        """The least and greatest value to be represented."""
        assert self.ends is not None
        return self.ends


class _Moving(_MinMax):
    def joined(self, before: Range, new: Range) -> Range:
        lo, hi = (old + MOMENTUM * (end - old) for old, end in zip(before, new, strict=True))
        return lo, hi


class _Histogram:
    """Counts of values in bins over [-2**k, 2**k); if k grows, pairs of bins merge exactly."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, dtype=np.int64)
        self.reach: float | None = None  # 2**k

    def update(self, values: Floats) -> None:
        largest = float(np.abs(values).max())
        if not math.isfinite(largest):
            raise NetworkError("its calibration values are not finite; train the network again")
        reach = 2.0 ** (math.frexp(largest)[1] if largest else -126)
        if self.reach is None:
            self.reach = reach
        while self.reach < reach:
            inner = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([np.zeros_like(inner), inner, np.zeros_like(inner)])
            self.counts = self.counts[len(inner) // 2 : len(inner) // 2 + BINS]
            self.reach *= 2
        index = np.floor((values.ravel() / self.reach + 1) * (BINS / 2)).astype(np.int64)
        self.counts += np.bincount(np.minimum(index, BINS - 1), minlength=BINS)

    @property
    def filled(self) -> tuple[Floats, Integers]:
        """The middle of each non-empty bin, and its count."""
        assert self.reach is not None
        middles = ((np.arange(BINS, dtype=np.float64) + 0.5) / (BINS / 2) - 1) * self.reach
        return middles[self.counts > 0], self.counts[self.counts > 0]

    def range(self, scheme: Scheme) -> Range:
        return HISTOGRAMS[scheme.observer](*self.filled, scheme)


Observer = _MinMax | _Histogram


def observer_of(scheme: Scheme) -> Observer:
    """A new observer for an activation."""
    if scheme.observer in HISTOGRAMS:
        return _Histogram()
    return {"minmax": _MinMax, "moving": _Moving}[scheme.observer]()


def extremes_of(values: Floats, scheme: Scheme) -> Range:
    """The range of an array that is completely known, such as weights; no histogram is needed."""
    flat = np.sort(values, axis=None)
    ones = np.ones(len(flat), dtype=np.int64)
    if scheme.observer in HISTOGRAMS:
        return HISTOGRAMS[scheme.observer](flat, ones, scheme)
    return float(flat[0]), float(flat[-1])


def _percentile(values: Floats, counts: Integers, scheme: Scheme) -> Range:
    """The least and greatest of the sorted values between which the percentile lies."""
    part = 1 - scheme.percentile / 100
    below = np.cumsum(counts) / counts.sum()
    first = int(np.searchsorted(below, part / 2, side="right"))
    last = int(np.searchsorted(below, 1 - part / 2, side="left"))
    return float(values[first]), float(values[min(last, len(values) - 1)])


def _least_squares(values: Floats, counts: Integers, scheme: Scheme) -> Range:
    """The range of least squared error. If symmetric, both ends are searched together; else the
    upper end first, then the lower, then both again. Ties go to the wider range."""
    lo, hi = min(float(values[0]), 0.0), max(float(values[-1]), 0.0)
    parts = [STEPS, STEPS]  # of lo and hi

    def error(low: int, high: int) -> float:
        return _squared_error(values, counts, lo * low / STEPS, hi * high / STEPS, scheme)

    tried = range(STEPS, 0, -1)
    if lo == hi:
        return lo, hi
    if scheme.symmetric:
        parts = [min(tried, key=lambda part: error(part, part))] * 2
    else:
        for _ in range(2):
            if hi:
                parts[1] = min(tried, key=lambda part: error(parts[0], part))
            if lo:
                parts[0] = min(tried, key=lambda part: error(part, parts[1]))
    return lo * parts[0] / STEPS, hi * parts[1] / STEPS


def _squared_error(values: Floats, counts: Integers, lo: float, hi: float, scheme: Scheme) -> float:
    grid = scheme.grid(lo, hi)
    q = np.clip(np.rint(values / grid.scale) + grid.zero_point, grid.dtype.qmin, grid.dtype.qmax)
    return float((counts * (values - (q - grid.zero_point) * grid.scale) ** 2).sum())


HISTOGRAMS = {"percentile": _percentile, "mse": _least_squares}  # observers of a distribution
