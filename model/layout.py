"""The order in which tensors travel on streams and weights sit in ROMs, for hw, gen and sim.

* An activation stream carries a tensor in raster order, channels last: row by row, column by
  column, channel by channel, one value per beat.
* A patch engine multiplies each activation, as it arrives, with the weights of P output channels
  at once, in slots: slot s covers the output channels s*P to s*P + P - 1 of the activation's group.
  Its ROM holds one row per slot, in the order of use over one patch: kernel row, kernel column,
  group, input channel within the group, slot. Lane p of a row is output channel s*P + p of the
  group; lanes past the last channel hold 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["per_slot", "weight_rows"]


def per_slot(values: npt.NDArray[np.int64], groups: int, lanes: int) -> npt.NDArray[np.int64]:
    """Arrange one value per output channel by group and slot.

    Parameters
    ----------
    values : (OC, ...); OC = groups * channels per group
    groups, lanes : of the engine; lanes is P

    Returns (groups, slots, lanes, ...), zeros in the lanes past a group's last channel.
    """
    per_group = len(values) // groups
    slots = -(-per_group // lanes)
    padded = np.zeros((groups, slots * lanes, *values.shape[1:]), dtype=np.int64)
    padded[:, :per_group] = values.reshape(groups, per_group, *values.shape[1:])
    return padded.reshape(groups, slots, lanes, *values.shape[1:])


def weight_rows(weights: npt.NDArray[np.int64], groups: int, lanes: int) -> npt.NDArray[np.int64]:
    """The rows of a patch engine's weight ROM.

    Parameters
    ----------
    weights : (OC, KH, KW, IC / groups), zero points subtracted
    groups, lanes : of the engine; lanes is P

    Returns (KH * KW * IC * slots, lanes), in the module's order.
    """
    arranged = per_slot(weights, groups, lanes)  # (groups, slots, lanes, KH, KW, ICG)
    walk = arranged.transpose(3, 4, 0, 5, 1, 2)  # (KH, KW, groups, ICG, slots, lanes)
    return walk.reshape(-1, lanes)
