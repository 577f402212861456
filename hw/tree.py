"""Sums of many products: a tree of adders, with a register after every two levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from amaranth import Module
from amaranth.hdl import Value

from .pipeline import stage

__all__ = ["add_in_stages", "tree_stages"]

ADDENDS = 4  # of one stage: two adders in series, about as slow as a multiplier


def tree_stages(terms: int) -> int:
    """Number of stages in which :func:`add_in_stages` makes one sum of ``terms`` terms."""
    stages = 0
    while terms > 1:
        terms, stages = -(-terms // ADDENDS), stages + 1
    return stages


def add_in_stages(
    m: Module,
    enable: Value,
    first: int,
    *,
    sums: Sequence[Sequence[Value]],
    control: Mapping[str, Value],
) -> list[SimpleNamespace]:
    """Add the terms of each of ``sums``, in stages ``s<first>`` and so on; all have equally many.

    Returns the registers of the stages: ``control`` by name in each, and in the last ``sum0``,
    ``sum1`` and so on. There is no stage if each sum has one term.
    """
    stages: list[SimpleNamespace] = []
    while len(sums[0]) > 1:
        groups = [
            [sum(terms[at : at + ADDENDS]) for at in range(0, len(terms), ADDENDS)]
            for terms in sums
        ]
        done = len(groups[0]) == 1
        names = [
            [f"sum{index}" if done else f"part{index}_{part}" for part in range(len(parts))]
            for index, parts in enumerate(groups)
        ]
        values = {
            name: part
            for of_names, parts in zip(names, groups, strict=True)
            for name, part in zip(of_names, parts, strict=True)
        }
        now = stage(m, enable, f"s{first + len(stages)}", **control, **values)
        sums = [[getattr(now, name) for name in of_names] for of_names in names]
        control = {name: getattr(now, name) for name in control}
        stages.append(now)
    return stages
