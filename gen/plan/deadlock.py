"""Queue depths that prevent deadlock for all pauses, found by counting beats alone.

If a stream forks and its branches meet again, the layer at the join waits for a beat of one branch.
That beat needs a number of beats from the fork, and meanwhile the beats of the other branch must be
stored. A core whose queues can store them never deadlocks.

Each component is a Kahn process with bounded streams: a step of one component never disables a step
of another. So if one order of steps runs to the end, every order does (Kahn, 1974; Keller, "A
fundamental theorem of asynchronous parallel computation", 1975; for marked graphs Commoner et al.,
1971). One such order passes a beat on only when everything downstream has settled. This module
counts what each queue holds in that order. Pauses and latencies only choose another order.
Pipelines hold beats as well, but these are not counted: their number depends on time, because a
stalled pipeline does not close its gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...model.dtypes import Integers
from ..parts.part import Part
from .links import Link, Links

__all__ = ["holds_results", "least_depths"]


def least_depths(
    parts: Sequence[Part], links: Links, beats: int, lanes: int = 1
) -> dict[Link, int]:
    """The beats that each link must hold to prevent deadlock; links that need none are left out.

    beats : of one image at the network's input
    lanes : values in a beat of the network's input
    """
    inputs = {part.name: links.into(part.layer) for part in parts}
    above = _above(parts, inputs)
    takes = _takes(parts, inputs, lanes)
    depths: dict[Link, int] = {}
    for part in parts:
        reads = inputs[part.name]
        for link, other in ((a, b) for a in reads for b in reads if a != b):
            parted = next(
                name for name in reversed(above[link.source]) if name in above[other.source]
            )
            needs = _needs(parts, inputs, takes, parted, beats)
            # For each result: beats that the other stream needs, beats already taken of this one.
            wanted = _before(needs[other.source], takes[other])
            taken = np.concatenate([[0], takes[link][:-1]])
            depths[link] = max(depths.get(link, 0), _held(needs[link.source], wanted, taken))
    return {link: depth for link, depth in depths.items() if depth}


def holds_results(parts: Sequence[Part], links: Links, beats: int, lanes: int = 1) -> bool:
    """Whether results may have to wait for an image's last value, and so for its verdict.

    This is so if some results come before that value, or if the input is forked, so that one branch
    has the value before another.
    """
    inputs = {part.name: links.into(part.layer) for part in parts}
    needs = _needs(parts, inputs, _takes(parts, inputs, lanes), "", beats)[links.out.source]
    return len(links.readers[""]) > 1 or int(needs[0]) < beats


def _takes(
    parts: Sequence[Part], inputs: Mapping[str, Sequence[Link]], lanes: int
) -> dict[Link, Integers]:
    """For each link and each result of its reader, the number of beats that the writer must send.

    A beat that the reader takes may be several beats of the writer, or a part of one.
    """
    written = {"": lanes} | {part.name: part.output_lanes for part in parts}
    return {
        link: -(-part.needs(link.port) * part.input_lanes // written[link.source])
        for part in parts
        for link in inputs[part.name]
    }


def _before(needs: Integers, beats: Integers) -> Integers:
    """The needs of the first ``beats`` beats of a stream; 0 for no beats."""
    return np.concatenate([[0], needs])[beats]


def _held(needs: Integers, wanted: Integers, taken: Integers) -> int:
    """The most beats of a branch that wait while the other branch needs more beats from the fork.

    The last of the needed beats need not enter this branch: a fork sends it to the branch with
    room.
    """
    return max(int((np.searchsorted(needs, wanted - 1, side="right") - taken).max()), 0)


def _above(parts: Sequence[Part], inputs: Mapping[str, Sequence[Link]]) -> dict[str, list[str]]:
    """For each layer, the layers on all paths from the input to it, itself the last."""
    above = {"": [""]}
    for part in parts:
        common, *others = (above[link.source] for link in inputs[part.name])
        above[part.name] = [name for name in common if all(name in o for o in others)] + [part.name]
    return above


def _needs(
    parts: Sequence[Part],
    inputs: Mapping[str, Sequence[Link]],
    takes: Mapping[Link, Integers],
    parted: str,
    beats: int,
) -> dict[str, Integers]:
    """For each beat of each stream after ``parted``: the beats of ``parted`` that it needs."""
    results = {"": beats} | {part.name: part.results for part in parts}
    needs = {parted: np.arange(1, results[parted] + 1)}
    for part in parts:
        reads = inputs[part.name]
        if part.name != parted and all(link.source in needs for link in reads):
            of_each = [_before(needs[link.source], takes[link]) for link in reads]
            needs[part.name] = np.maximum.reduce(of_each)
    return needs
