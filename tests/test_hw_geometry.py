"""What the geometry refuses, and the numbers it gives."""

import numpy as np
import pytest
from tercet.hw.geometry import PatchGeometry

GOOD = {"height": 9, "width": 8, "in_channels": 4, "kernel": (3, 3), "out_channels": 6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "height must be a positive integer, not 0"),
        ({"pe": -1}, "pe must be a positive integer, not -1"),
        ({"kernel": (10, 3)}, "kernel must be at least 1x1 and fit the 9x8 map, not 10x3"),
        ({"kernel": (3, 0)}, "kernel must be at least 1x1 and fit the 9x8 map, not 3x0"),
        ({"groups": 3}, "groups must divide 4 input and 6 output channels, not 3"),
        (
            {"groups": 2, "pe": 4},
            "pe must be at most the 3 output channels of a group, not 4",
        ),
        (
            {"groups": 2, "channels_at_once": 3},
            "channels_at_once must divide the 2 of a group, or be those of whole groups that "
            "divide the 2, not 3",
        ),
        (
            {"pixels": 2, "channels_at_once": 4},
            "pixels must divide the 3 of a kernel's row, be those of whole patches that divide the "
            "2 of a row, or the 8 of a row, not 2",
        ),
        (
            {"pixels": 6},
            "channels_at_once must be all 4 where pixels are those of several patches, not 1",
        ),
        (
            {"groups": 2, "channels_at_once": 4, "pe": 2},
            "pe must be the 3 output channels of a group where sums of 2 cells are made at "
            "once, not 2",
        ),
    ],
)
def test_refuses_numbers_that_break_a_rule(change, message):
    with pytest.raises(ValueError) as error:
        PatchGeometry(**(GOOD | change))
    assert str(error.value) == message


def test_counts_patches_tails_slots_and_cycles():
    g = PatchGeometry(**GOOD, groups=2, pe=2)
    assert (g.rows, g.columns, g.tail_rows, g.tail_steps) == (3, 2, 0, 2)
    assert (g.slots, g.last_pe, g.outputs, g.channels_per_group) == (2, 1, 4, 2)
    assert (g.weight_depth, g.partial_sums) == (3 * 3 * 4 * 2, 2 * 4)
    flat = PatchGeometry(**GOOD | {"kernel": (1, 3)}, groups=2, pe=2)
    assert flat.partial_sums == flat.outputs == 4  # a patch ends before the next begins
    used = 3 * 2 * 9 * 4
    assert g.cycles == 2 * used + (9 * 8 * 4 - used)


def uses(g):
    """The partial sum of each step of one image, None for a dropped one, and whether it begins."""
    for y in range(g.height):
        for beat in range(g.row_beats):
            dropped = y >= g.rows * g.kernel[0] or beat >= g.column_steps * g.kx_steps
            for step in range(g.pixel_steps):
                group, within = divmod(step, g.channel_steps)
                for slot in range(1 if dropped else g.slots):
                    column = beat // g.kx_steps if g.kernel[0] > 1 else 0
                    entry = column * g.outputs + group * g.slots + slot
                    first = y % g.kernel[0] == beat % g.kx_steps == within == 0
                    yield (None, False) if dropped else (entry, first)


@pytest.mark.parametrize("case", range(300))
def test_knows_when_a_partial_sum_is_used_again(case, seed):
    """Each use finds its sum among the ``recent`` ones or comes ``apart`` or more steps later."""
    rng = np.random.default_rng([seed, case])
    groups, per_group, channels = rng.choice([1, 1, 2, 3], 3).tolist()
    kernel = tuple(rng.integers(1, 4, 2).tolist())
    whole = rng.integers(3) == 0  # all channels at once, and as many pixels as a kernel has
    at_once = {"pixels": kernel[1], "channels_at_once": groups * per_group} if whole else {}
    if rng.integers(3) == 0:
        at_once = {"channels_at_once": per_group}
    g = PatchGeometry(
        height=kernel[0] * 2 + int(rng.integers(kernel[0])),
        width=kernel[1] * int(rng.integers(1, 4)) + int(rng.integers(kernel[1])),
        in_channels=groups * per_group,
        kernel=kernel,
        out_channels=groups * channels,
        groups=groups,
        pe=channels if at_once else 1,
        **at_once,
    )
    stored: dict[int, int] = {}
    recent: list[int] = []
    distances = []
    for step, (entry, first) in enumerate(uses(g)):
        if entry is None:
            continue
        if not first and recent[: g.recent][-1:] != [entry]:
            distances.append(step - stored[entry])
        stored[entry] = step
        recent.insert(0, entry)
    assert not distances or min(distances) == g.apart > 2


def test_counts_what_comes_in_at_once():
    g = PatchGeometry(**GOOD, groups=2, pe=3, pixels=6, channels_at_once=4)
    assert (g.cells, g.column_cells, g.group_cells, g.terms, g.sums) == (4, 2, 2, 3 * 2, 12)
    assert g.multipliers == 3 * 6 * 4
    assert (g.row_beats, g.column_steps, g.tail_steps, g.beats) == (2, 1, 1, 9 * 2)
    part = PatchGeometry(**GOOD, pe=2, channels_at_once=2)
    assert (part.cells, part.terms, part.multipliers, part.slots) == (1, 2, 4, 3)
    assert part.beats == 9 * 8 * 2
    assert part.cycles == part.beats + 2 * (3 * 2 * 9 * 2)
