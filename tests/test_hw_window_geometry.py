"""The window tables against the taps themselves, and what the geometry refuses."""

import numpy as np
import pytest
from tercet.hw.window_geometry import WindowGeometry
from windowgen import WINDOWS, random_geometry, window_geometry


def taps_of(g):
    """The indices in the map that each window reads, one list a window."""
    indices = np.arange(g.elements).reshape(g.height, g.width, g.pixel_elements)
    windows = []
    for oy, ox in np.ndindex(g.rows, g.columns):
        ys = oy * g.stride[0] + np.arange(g.kernel[0]) * g.dilation[0] - g.padding[0]
        xs = ox * g.stride[1] + np.arange(g.kernel[1]) * g.dilation[1] - g.padding[1]
        ys, xs = ys[(ys >= 0) & (ys < g.height)], xs[(xs >= 0) & (xs < g.width)]
        windows.append(indices[np.ix_(ys, xs)].reshape(-1).tolist())
    return windows


def check(g):
    windows = taps_of(g)
    needed, lowest = g.needed.reshape(-1).tolist(), g.lowest.reshape(-1).tolist()
    least = g.elements + min((index for taps in windows for index in taps), default=0)
    for place in reversed(range(len(windows))):
        taps = windows[place]
        least = min([least, *taps])
        assert lowest[place] <= least  # nothing is given up that is still needed
        assert needed[place] - lowest[place] <= g.capacity  # and what is needed fits
        if taps:
            assert needed[place] == max(taps) + 1
        assert 1 <= needed[place] <= g.elements
    if all(windows):
        assert lowest == sorted(lowest)
        height, width = g.reach
        reached = ((height - 1) * g.width + width) * g.pixel_elements
        assert g.capacity <= reached + g.stride[1] * g.pixel_elements
    assert g.releases.sum() == g.needs.sum() == g.elements  # from image to image
    # one table for all rows, another for row ends, which is what the hardware has
    assert (g.needs[:, :-1] == g.needs[:1, :-1]).all()
    slides = (g.releases[:, :-1] > 0).any(axis=1, keepdims=True)
    assert (g.releases[:, :-1] == slides * g.releases[:, :-1].max(axis=0, initial=0)).all()
    assert (g.releases >= 0).all()


@pytest.mark.parametrize("name", WINDOWS)
def test_keeps_what_windows_need(name):
    check(window_geometry(*WINDOWS[name]))


def test_keeps_what_random_windows_need(seed):
    rng = np.random.default_rng([seed, 1])
    for _ in range(300):
        check(random_geometry(rng))


def test_gives_up_at_once_what_no_later_window_needs():
    g = window_geometry((5, 6, 2), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    assert g.lowest.tolist() == [
        [0] * 6,  # the second row of windows begins in the same row of the map
        [0, 0, 2, 4, 6, 8],
        [12, 12, 14, 16, 18, 20],
        [24, 24, 26, 28, 30, 32],
        [36, 36, 38, 40, 42, 44],
    ]
    assert g.needed[0].tolist() == [16, 18, 20, 22, 24, 24]
    assert g.capacity == (2 * 6 + 3) * 2 + 2


GOOD = {"height": 9, "width": 8, "pixel_elements": 4, "kernel": (3, 3)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be a positive integer, not 0"),
        ({"kernel": (0, 3)}, "kernel must be at least 1, not [0, 3]"),
        ({"stride": (1, 0)}, "stride must be at least 1, not [1, 0]"),
        ({"dilation": (0, 0)}, "dilation must be at least 1, not [0, 0]"),
        ({"padding": (0, 0, -1, 0)}, "padding must be at least 0, not [0, 0, -1, 0]"),
        (
            {"kernel": (3, 9)},
            "kernel must fit the padded 9x8 map, not reach 3x9",
        ),
        ({"dilation": (5, 1)}, "kernel must fit the padded 9x8 map, not reach 11x3"),
    ],
)
def test_refuses_numbers_that_break_a_rule(change, message):
    with pytest.raises(ValueError) as error:
        WindowGeometry(**(GOOD | change))
    assert str(error.value) == message
