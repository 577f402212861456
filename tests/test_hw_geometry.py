"""What the geometry refuses, and the numbers it gives."""

import numpy as np
import pytest
from tercet.hw.geometry import PatchGeometry

GOOD = {"height": 9, "width": 8, "in_channels": 4, "kernel": (3, 3), "out_channels": 6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "height must be a positive integer, not 0"),
        ({"lanes": -1}, "lanes must be a positive integer, not -1"),
        ({"kernel": (10, 3)}, "kernel must be at least 1x1 and fit the 9x8 map, not 10x3"),
        ({"kernel": (3, 0)}, "kernel must be at least 1x1 and fit the 9x8 map, not 3x0"),
        ({"groups": 3}, "groups must divide 4 input and 6 output channels, not 3"),
        (
            {"groups": 2, "lanes": 4},
            "lanes must be at most the 3 output channels of a group, not 4",
        ),
    ],
)
def test_refuses_numbers_that_break_a_rule(change, message):
    with pytest.raises(ValueError) as error:
        PatchGeometry(**(GOOD | change))
    assert str(error.value) == message


def test_counts_patches_tails_slots_and_cycles():
    g = PatchGeometry(**GOOD, groups=2, lanes=2)
    assert (g.rows, g.columns, g.tail_rows, g.tail_columns) == (3, 2, 0, 2)
    assert (g.slots, g.last_lanes, g.outputs, g.channels_per_group) == (2, 1, 4, 2)
    assert (g.weight_depth, g.partial_sums) == (3 * 3 * 4 * 2, 2 * 4)
    flat = PatchGeometry(**GOOD | {"kernel": (1, 3)}, groups=2, lanes=2)
    assert flat.partial_sums == flat.outputs == 4  # a patch ends before the next begins
    used = 3 * 2 * 9 * 4
    assert g.busy_cycles == 2 * used + (9 * 8 * 4 - used)


def uses(g):
    """The partial sum of each step of one image, None for a dropped one, and whether it begins."""
    for y in range(g.height):
        for x in range(g.width):
            dropped = y >= g.rows * g.kernel[0] or x >= g.columns * g.kernel[1]
            for channel in range(g.in_channels):
                group, within = divmod(channel, g.channels_per_group)
                for slot in range(1 if dropped else g.slots):
                    column = x // g.kernel[1] if g.kernel[0] > 1 else 0
                    entry = column * g.outputs + group * g.slots + slot
                    first = y % g.kernel[0] == x % g.kernel[1] == within == 0
                    yield (None, False) if dropped else (entry, first)


@pytest.mark.parametrize("case", range(300))
def test_knows_when_a_partial_sum_is_used_again(case, seed):
    """Each use finds its sum among the ``recent`` ones or comes ``apart`` or more steps later."""
    rng = np.random.default_rng([seed, case])
    groups, per_group, channels = rng.choice([1, 1, 2, 3], 3).tolist()
    kernel = tuple(rng.integers(1, 4, 2).tolist())
    g = PatchGeometry(
        height=kernel[0] * 2 + int(rng.integers(kernel[0])),
        width=kernel[1] * int(rng.integers(1, 4)) + int(rng.integers(kernel[1])),
        in_channels=groups * per_group,
        kernel=kernel,
        out_channels=groups * channels,
        groups=groups,
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
