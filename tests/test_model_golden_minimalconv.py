"""Three columns with four products for two outputs: equal to the loops, and only where exact."""

from dataclasses import replace

import numpy as np
import pytest
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import random_conv
from tercet.model.fuzz.draws import INT8, UINT8, random_images, random_tensor
from tercet.model.golden.minimalconv import MinimalConv, fast_conv
from tercet.model.layers.conv import accumulate_loop
from tercet.model.layers.weights import Weights

UINT16 = IntType(16, signed=False)
CASES = {  # (H, W, C), rows of the pool, arguments of random_conv
    "square": ((8, 8, 16), 2, {"kernel": (3, 3)}),
    "a-column-left-over": ((7, 9, 16), 2, {"kernel": (3, 3)}),
    "one-row": ((1, 6, 17), 1, {"kernel": (1, 3)}),
    "rows-of-stride-2": ((9, 6, 16), 1, {"kernel": (2, 3), "stride": (2, 1)}),
    "rows-dilated": ((9, 6, 16), 3, {"kernel": (2, 3), "dilation": (3, 1)}),
    "padded": ((4, 5, 16), 2, {"kernel": (3, 3), "padding": (1, 0, 2, 3)}),
    "groups": ((4, 6, 32), 2, {"kernel": (3, 3), "groups": 2, "out_channels": 32}),
}


def pooled(images, conv, zero_point, rows):
    """The definition: the greatest of the loops' sums in each window of ``rows`` by 2."""
    acc = np.stack([accumulate_loop(image, conv, zero_point) for image in images])
    n, height, width, channels = acc.shape
    acc = acc[:, : height // rows * rows, : width // 2 * 2]
    return acc.reshape(n, height // rows, rows, width // 2, 2, channels).max(axis=(2, 4))


def sums(fast, images):
    """What a fast convolution makes of images (N, H, W, C), as int64 of the same order."""
    parts = [acc.astype(np.float64) for _, acc in fast(images.transpose(1, 3, 2, 0))]
    whole = np.concatenate(parts).transpose(3, 0, 2, 1) + fast.constants
    assert np.array_equal(whole, whole.astype(np.int64))
    return whole.astype(np.int64)


def draw(rng, case, dtype, zero_point, **numbers):
    shape, rows, arguments = CASES[case]
    x = random_tensor(rng, "x", shape, dtype, zero_point)
    window = {"stride": (1, 1), "groups": 1, "out_channels": 16} | arguments
    conv, _ = random_conv(rng, x, bias=True, **window, **numbers)
    return conv, random_images(rng, x, 3), rows


@pytest.mark.parametrize(("dtype", "zero_point"), [(UINT8, 0), (UINT8, 131), (INT8, -7)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_it_equals_the_loops_and_is_taken(case, dtype, zero_point, seed):
    rng = np.random.default_rng([seed, *case.encode()])
    conv, images, rows = draw(rng, case, dtype, zero_point)
    fast = fast_conv(conv, zero_point, dtype.qmin, dtype.qmax, (rows, 2))
    assert isinstance(fast, MinimalConv)
    assert np.array_equal(sums(fast, images), pooled(images, conv, zero_point, rows))


def test_it_is_left_where_a_partial_sum_could_pass_what_float32_holds(seed):
    rng = np.random.default_rng(seed)
    conv, images, rows = draw(rng, "one-row", UINT16, 0)
    images[:] = rng.integers(65_000, 65_536, images.shape)
    for weight, minimal in ((1, True), (3, False)):  # below 2**23, and above
        values = np.full((16, 1, 3, 17), weight)
        same = replace(conv, weights=Weights(values, INT8, (1.0,)))
        fast = fast_conv(same, 0, 0, UINT16.qmax, (rows, 2))
        assert isinstance(fast, MinimalConv) == minimal
        assert np.array_equal(sums(fast, images), pooled(images, same, 0, rows))


@pytest.mark.parametrize(
    ("arguments", "pool"),
    [
        ({"kernel": (3, 2)}, (2, 2)),
        ({"kernel": (3, 3), "stride": (1, 2)}, (1, 2)),
        ({"kernel": (3, 3), "dilation": (1, 2)}, (1, 2)),
        ({"kernel": (3, 3)}, (2, 1)),
        ({"kernel": (3, 3)}, (2, 3)),
        ({"kernel": (3, 3), "groups": 2}, (2, 2)),  # 8 channels each
    ],
)
def test_other_layers_run_the_ordinary_way(arguments, pool, seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (9, 10, 16))
    window = {"stride": (1, 1), "groups": 1, "out_channels": 32} | arguments
    conv, _ = random_conv(rng, x, **window)
    assert not isinstance(fast_conv(conv, x.zero_point, 0, 255, pool), MinimalConv)
