"""Sources and sinks at channels of the timing model, with the pauses of hwsim.py or none."""

import numpy as np
from hwsim import PAUSES


def source(o, beats, pauses, seed, index=0):
    """What ``hwsim`` sends, by the same draws: a beat after pauses from when the last was taken."""
    rng, into = np.random.default_rng([*np.atleast_1d(seed), index]), PAUSES[pauses][0]
    cycle = 0
    for _ in range(beats):
        while rng.random() < into:
            cycle += 1
        cycle = (yield from o.put(cycle)) + 1


def sink(i, beats, pauses, seed, index=1):
    """What ``hwsim`` takes: a beat in the first cycle, of those it draws, that is no pause."""
    rng, out_of = np.random.default_rng([*np.atleast_1d(seed), index]), PAUSES[pauses][1]
    cycle = -1
    for _ in range(beats):
        offered = yield from i.get()
        ready = False
        while cycle < offered or not ready:
            cycle += 1
            ready = rng.random() >= out_of
        i.take(cycle)


def free_source(o, beats):
    cycle = -1
    for _ in range(beats):
        cycle = yield from o.put(cycle + 1)


def free_sink(i, beats):
    for _ in range(beats):
        i.take((yield from i.get()))
