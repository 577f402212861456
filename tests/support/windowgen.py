"""Window geometries for tests: a table of corner cases, and random ones."""

import numpy as np
from tercet.hw.window_geometry import WindowGeometry
from tercet.model.fuzz.convs import random_window

# (height, width, channels), kernel, stride, padding (top, left, bottom, right), dilation
WINDOWS = {
    "one_pixel": ((1, 1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    "one_row": ((1, 7, 2), (1, 3), (1, 1), (0, 1, 0, 1), (1, 1)),
    "one_column": ((7, 1, 2), (3, 1), (1, 1), (1, 0, 1, 0), (1, 1)),
    "stride_below_kernel": ((6, 7, 2), (3, 3), (2, 2), (0, 0, 0, 0), (1, 1)),
    "stride_equals_kernel": ((6, 8, 1), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1)),
    "stride_above_kernel": ((8, 9, 2), (2, 2), (3, 4), (0, 0, 0, 0), (1, 1)),
    "strides_apart": ((7, 8, 1), (3, 2), (1, 3), (0, 0, 0, 0), (1, 1)),
    "subsampled": ((5, 7, 3), (1, 1), (2, 3), (0, 0, 0, 0), (1, 1)),
    "non_square": ((4, 9, 1), (2, 5), (1, 1), (0, 0, 0, 0), (1, 1)),
    "same_padding": ((5, 6, 2), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    "padding_per_side": ((5, 4, 1), (3, 4), (2, 1), (2, 0, 1, 3), (1, 1)),
    "wide_padding_shares_rows": ((2, 3, 1), (4, 3), (1, 1), (3, 2, 3, 2), (1, 1)),
    "windows_in_the_padding": ((2, 3, 1), (2, 2), (1, 2), (3, 3, 3, 4), (1, 1)),
    "nothing_but_padding": ((1, 1, 2), (1, 1), (2, 2), (1, 1, 1, 1), (1, 1)),
    "columns_never_read": ((3, 1, 1), (1, 1), (1, 2), (0, 1, 0, 1), (1, 1)),
    "dilation": ((7, 8, 1), (3, 2), (1, 1), (0, 0, 0, 0), (2, 3)),
    "dilation_in_padding": ((5, 5, 1), (3, 3), (1, 1), (2, 2, 2, 2), (2, 2)),
    "dilation_above_the_map": ((2, 3, 1), (2, 2), (1, 1), (4, 3, 3, 4), (4, 5)),
    "first_row_never_read": ((6, 6, 1), (3, 3), (2, 2), (1, 1, 1, 1), (2, 2)),
    "tail_rows_and_columns": ((8, 10, 1), (2, 3), (3, 5), (0, 0, 0, 0), (1, 1)),
    "whole_map": ((3, 4, 2), (3, 4), (1, 1), (0, 0, 0, 0), (1, 1)),
    "buffer_in_blocks": ((3, 14, 9), (2, 2), (1, 1), (0, 1, 0, 0), (1, 1)),
    "kernel_11": ((12, 11, 1), (11, 11), (1, 1), (0, 0, 0, 0), (1, 1)),
}
RANDOM = 20


def window_geometry(shape, kernel, stride, padding, dilation, taps=1):
    height, width, channels = shape
    return WindowGeometry(
        height=height,
        width=width,
        pixel_elements=channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        taps=taps,
    )


def some_taps(rng, kernel):
    """Any number of taps that may be read at once: a part of a kernel's row, or whole rows."""
    rows, columns = kernel
    parts = [part for part in range(1, columns + 1) if columns % part == 0]
    parts += [part * columns for part in range(2, rows + 1) if rows % part == 0]
    return int(rng.choice(parts))


def random_geometry(rng, beats=400):
    """Any window over a small map, at most ``beats`` elements of windows an image."""
    while True:
        height, width, channels = (int(extent) for extent in rng.integers(1, (9, 9, 4)))
        window = random_window(rng, height, width)
        geometry = WindowGeometry(
            height=height,
            width=width,
            pixel_elements=channels,
            taps=some_taps(rng, window["kernel"]),
            **window,
        )
        if geometry.beats <= beats:
            return geometry


def windows_of(images, geometry, fill, lanes=1):
    """The definition: all windows of images (N, H, W, C * lanes), in order, as beats (beats, taps *
    lanes)."""
    g = geometry
    elements = []
    for n, oy, ox, ky, kx in np.ndindex(len(images), g.rows, g.columns, *g.kernel):
        y = oy * g.stride[0] + ky * g.dilation[0] - g.padding[0]
        x = ox * g.stride[1] + kx * g.dilation[1] - g.padding[1]
        inside = 0 <= y < g.height and 0 <= x < g.width
        elements += images[n, y, x].tolist() if inside else [fill] * g.pixel_elements * lanes
    (ky, kx), (rows, columns) = g.kernel, g.block
    blocks = np.reshape(
        elements, (-1, ky // rows, rows, kx // columns, columns, g.pixel_elements, lanes)
    )
    return blocks.transpose(0, 1, 3, 5, 2, 4, 6).reshape(-1, g.taps * lanes).tolist()
