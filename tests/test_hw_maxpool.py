"""Maximum pools of several channels a beat against the golden pool."""

import numpy as np
import pytest
from amaranth import signed
from hwsim import PAUSES, run_streams
from tercet.hw.geometry import PatchGeometry
from tercet.hw.maxpool import MaxPool
from tercet.hw.storage import Kind
from tercet.hw.sums import SumsSpec
from tercet.model.dtypes import IntType
from tercet.model.fuzz.draws import random_images, random_tensor
from tercet.model.layers.pool import MaxPool2d, pool_max_loop


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize(
    ("shape", "kernel", "channels"),
    [
        *[((4, 6, 4), (2, 2), 2), ((7, 8, 3), (2, 3), 3), ((1, 6, 4), (1, 2), 4)],
        *[((4, 10, 28), (2, 2), 1), ((4, 10, 40), (2, 2), 2)],  # maxima in block RAM
        *[((4, 22, 12), (2, 2), 4), ((4, 86, 3), (2, 2), 1)],  # and too soon used again to be late
    ],
)
def test_several_channels_at_once_equal_golden(shape, kernel, channels, pauses, seed):
    rng = np.random.default_rng([seed, *shape])
    x = random_tensor(rng, "x", shape, IntType(8, True))
    images = random_images(rng, x, 3)
    layer = MaxPool2d("pool", "x", "y", kernel=kernel, stride=kernel, padding=(0, 0, 0, 0))
    out = (shape[0] // kernel[0], shape[1] // kernel[1], shape[2])
    expected = np.stack([pool_max_loop(image, layer, out) for image in images])
    geometry = PatchGeometry.depthwise(
        height=shape[0], width=shape[1], channels=shape[2], kernel=kernel, channels_at_once=channels
    )
    beats = expected.reshape(-1, channels).tolist()
    pool = MaxPool(geometry=geometry, activation=signed(8))
    run = run_streams(
        pool,
        images.reshape(-1, channels).tolist(),
        len(beats),
        pauses=pauses,
        seed=seed,
    )
    assert [list(payload) for payload in run.outputs] == beats
    if pauses == "none":
        assert len(run.taken) == 3 * geometry.cycles
        assert np.diff(run.taken).tolist() == [1] * (len(run.taken) - 1)
        beat = ((kernel[0] - 1) * shape[1] + kernel[1] - 1) * (shape[2] // channels)
        assert run.given[0] == run.taken[beat] + pool.latency
        late = SumsSpec(geometry, 8 * channels).storage.kind is Kind.BLOCK and geometry.apart > 3
        assert pool.latency == 2 + late == 2 + (shape in ((4, 10, 28), (4, 10, 40)))


def test_refuses_several_pixels():
    geometry = PatchGeometry(
        **{"height": 2, "width": 4, "in_channels": 2, "kernel": (2, 2), "out_channels": 2},
        **{"groups": 2, "pixels": 2, "channels_at_once": 2},
    )
    with pytest.raises(ValueError, match=r"^pixels must come one at a time, not 2$"):
        MaxPool(geometry=geometry, activation=signed(8))
