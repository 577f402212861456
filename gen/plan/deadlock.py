"""What queues must hold so that a core cannot stop, whoever pauses, by counting beats alone.

Where streams part and meet again, a layer that reads both waits for a beat of one, which comes only
after so many beats from where they parted; meanwhile the other stream's beats have to be somewhere.
A core whose queues hold them never stops. Each component is a Kahn process whose streams are
bounded: what one of them does never keeps another from what it could do, so if one order of steps
goes through to the end, every order does (Kahn, 1974; Keller, "A fundamental theorem of
asynchronous parallel computation", 1975; for marked graphs Commoner et al., 1971). One that does is
to pass a beat on only when everything behind has come to rest; what a queue holds in that order is
what is counted here. Pauses and latencies only choose another order. Pipelines hold beats as well,
but count for nothing: how many depends on time, as one that stalls does not close its gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..parts.part import Part
from .links import Link, Links

__all__ = ["holds_results", "least_depths"]

Integers = npt.NDArray[np.int64]


def least_depths(
    parts: Sequence[Part], links: Links, beats: int, lanes: int = 1
) -> dict[Link, int]:
    """The beats that each link must hold so that the core cannot stop; links without need left out.

    beats, lanes : of the network's input: beats of one image, values of a beat
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
            # For each result: what the other stream must give, and what was taken of this one.
            wanted = _before(needs[other.source], takes[other])
            taken = np.concatenate([[0], takes[link][:-1]])
            depths[link] = max(depths.get(link, 0), _held(needs[link.source], wanted, taken))
    return {link: depth for link, depth in depths.items() if depth}


def holds_results(parts: Sequence[Part], links: Links, beats: int, lanes: int = 1) -> bool:
    """Whether results may wait for an image's last value, and its verdict with it: where some come
    before that, or where one way has that value before another."""
    inputs = {part.name: links.into(part.layer) for part in parts}
    needs = _needs(parts, inputs, _takes(parts, inputs, lanes), "", beats)[links.out.source]
    return len(links.readers[""]) > 1 or int(needs[0]) < beats


def _takes(
    parts: Sequence[Part], inputs: Mapping[str, Sequence[Link]], lanes: int
) -> dict[Link, Integers]:
    """For each link and beat of its reader's results, how many beats of the writer must be in. What
    the reader takes at once is made of several beats of the writer, or is a part of one."""
    written = {"": lanes} | {part.name: part.output_lanes for part in parts}
    return {
        link: -(-part.needs(link.port) * part.input_lanes // written[link.source])
        for part in parts
        for link in inputs[part.name]
    }


def _before(needs: Integers, beats: Integers) -> Integers:
    """What so many beats of a stream need; nothing where there are none."""
    return np.concatenate([[0], needs])[beats]


def _held(needs: Integers, wanted: Integers, taken: Integers) -> int:
    """The most beats of a stream that wait while beats from where it parted are wanted elsewhere.

    The last of those need not have come through here: a fork gives it to who has room.
    """
    return max(int((np.searchsorted(needs, wanted - 1, side="right") - taken).max()), 0)


def _above(parts: Sequence[Part], inputs: Mapping[str, Sequence[Link]]) -> dict[str, list[str]]:
    """For each layer those that every way from the input to it passes, itself the last."""
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
    """For each beat of an image behind ``parted`` how many of its beats must come before."""
    results = {"": beats} | {part.name: part.results for part in parts}
    needs = {parted: np.arange(1, results[parted] + 1)}
    for part in parts:
        reads = inputs[part.name]
        if part.name != parted and all(link.source in needs for link in reads):
            of_each = [_before(needs[link.source], takes[link]) for link in reads]
            needs[part.name] = np.maximum.reduce(of_each)
    return needs
