"""What the geometry refuses, and the numbers it gives."""

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
