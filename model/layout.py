"""The order of tensors on streams and of weights in ROMs, for hw, gen and sim.

* An activation stream carries a tensor in raster order, channels last: row by row, column by
  column, channel by channel. A beat carries one or several consecutive values. A beat never
  continues into the next row: if a row's values do not fill its last beat, the remaining lanes are
  ignored.
* A patch engine multiplies each activation, as it arrives, by the weights of P output channels at
  once, in slots: slot s covers the output channels s*P to s*P + P - 1 of the activation's group.
  Its ROM has one row for each slot, in the order of use over one patch: kernel row, kernel column,
  group, input channel within the group, slot. Lane p of a row is output channel s*P + p of the
  group; lanes after the last channel are 0.
* If several pixels or channels enter at once, a ROM's row has the weights of all of them, pixel by
  pixel, channel by channel, P of each. Adjacent patches share these weights.
"""

from __future__ import annotations

import numpy as np

from .dtypes import Integers

__all__ = ["as_beats", "in_bytes", "per_slot", "weight_rows"]


def as_beats(maps: Integers, lanes: int, fill: int = 0) -> Integers:
    """Arrange maps (N, H, W, C) as beats (N, beats, lanes); ``fill`` pads the end of a row."""
    images, height, width, channels = maps.shape
    beats = -(-width * channels // lanes)
    rows = np.full((images, height, beats * lanes), fill, dtype=np.int64)
    rows[:, :, : width * channels] = maps.reshape(images, height, -1)
    return rows.reshape(images, height * beats, lanes)


def in_bytes(beats: Integers, bits: int) -> list[int]:
    """Convert beats (..., lanes) to TDATA words; each value is sign-extended from ``bits`` to whole
    bytes, the first one in the least significant bytes."""
    wide = -(-bits // 8) * 8
    mask = (1 << wide) - 1
    return [
        sum((value & mask) << (lane * wide) for lane, value in enumerate(beat))
        for beat in beats.reshape(-1, beats.shape[-1]).tolist()
    ]


def per_slot(values: Integers, groups: int, pe: int) -> Integers:
    """Arrange one value per output channel by group and slot.

    Parameters
    ----------
    values : (OC, ...); OC = groups * channels per group
    groups, pe : of the engine; pe is P

    Returns (groups, slots, P, ...), with zeros after a group's last channel.
    """
    per_group = len(values) // groups
    slots = -(-per_group // pe)
    padded = np.zeros((groups, slots * pe, *values.shape[1:]), dtype=np.int64)
    padded[:, :per_group] = values.reshape(groups, per_group, *values.shape[1:])
    return padded.reshape(groups, slots, pe, *values.shape[1:])


def weight_rows(
    weights: Integers, groups: int, pe: int, pixels: int = 1, channels_at_once: int = 1
) -> Integers:
    """The rows of a patch engine's weight ROM.

    Parameters
    ----------
    weights : (OC, KH, KW, IC / groups), zero points subtracted
    groups, pe : of the engine; pe is P
    pixels : N, pixels of a kernel row that enter at once; divides KW
    channels_at_once : C, channels of each pixel that enter at once; divides IC / groups or is a
        multiple of it

    Returns (KH * KW * IC * slots / (N * C), N * C * P), in the module's order.
    """
    _, height, width, group = weights.shape
    terms, cells = min(channels_at_once, group), max(1, channels_at_once // group)
    arranged = per_slot(weights, groups, pe)  # (groups, slots, P, KH, KW, ICG)
    arranged = arranged.reshape(
        *(groups // cells, cells), *arranged.shape[1:3], height, *(width // pixels, pixels),
        *(group // terms, terms),
    )  # fmt: skip
    # (KH, KW steps, group steps, channel steps, slots, pixels, cells, terms, P)
    walk = arranged.transpose(4, 5, 0, 7, 2, 6, 1, 8, 3)
    return walk.reshape(-1, pixels * channels_at_once * pe)
