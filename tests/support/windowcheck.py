"""The window reader held to the definition of a window."""

import numpy as np
from amaranth import unsigned
from hwsim import run_streams
from tercet.hw.window import WindowReader, WindowSpec
from windowgen import windows_of

UINT8 = unsigned(8)


def check_windows(
    geometry, seed, *, images=3, shape=UINT8, fill=7, pauses="none", reset_after=0, lanes=1
):
    g = geometry
    rng = np.random.default_rng(seed)
    low = -(shape.signed << (shape.width - 1))
    values = rng.integers(
        low, low + (1 << shape.width), (images, g.height, g.width, g.pixel_elements * lanes)
    )
    expected = windows_of(values, g, fill, lanes)
    reader = WindowReader(WindowSpec(geometry=g, activation=shape, fill=fill, lanes=lanes))
    run = run_streams(
        reader,
        values.reshape(-1, lanes).tolist(),
        len(expected),
        pauses=pauses,
        seed=seed,
        reset_after=reset_after,
    )
    assert [list(payload) for payload in run.outputs] == expected
    return run, reader
