"""The search for concatenations: equal to tables where that can be, and honest where it cannot."""

import numpy as np
import pytest
from tercet.model.fuzz.draws import INT8, UINT8
from tercet.model.layers import Tensor
from tercet.model.layers.concat import Concat
from tercet.model.requant import Rounding, requantize
from tercet.model.search.concat import search_concat


def table_of(x, y):
    """Rounded as engines do, in float32, ties to even."""
    q = (np.arange(x.dtype.qmin, x.dtype.qmax + 1) - x.zero_point).astype(np.float32)
    quotient = q * np.float32(x.scale) / np.float32(y.scale)
    return np.rint(quotient).astype(np.int64) + y.zero_point


def check(scales, zero_points, dtype, clamp):
    *inputs, y = (
        Tensor(f"x{n}", (1, 1, 1), dtype, float(scale), zero_point)
        for n, (scale, zero_point) in enumerate(zip(scales, zero_points, strict=True))
    )
    tables = [table_of(x, y) for x in inputs]
    requant, wrong = search_concat(tables, inputs, y, clamp)
    names = [x.name for x in inputs]
    layer = Concat(name="c", input=names[0], output="y", others=tuple(names[1:]), requant=requant)
    for index, (x, table) in enumerate(zip(inputs, tables, strict=True)):
        q = np.arange(x.dtype.qmin, x.dtype.qmax + 1) - x.zero_point
        made = requantize(q, layer.requant_of(index), y.zero_point)
        assert int((made != np.clip(table, *clamp)).sum()) == wrong[index]
    return requant, wrong


@pytest.mark.parametrize("dtype", [UINT8, INT8], ids=str)
def test_random_grids_are_met_half_up(dtype, seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        scales = rng.uniform(0.001, 0.1, 4).astype(np.float32)
        zero_points = rng.integers(dtype.qmin, dtype.qmax, 4, endpoint=True).tolist()
        clamp = sorted(rng.integers(dtype.qmin, dtype.qmax, 2, endpoint=True).tolist())
        requant, wrong = check(scales, zero_points, dtype, tuple(clamp))
        assert not any(wrong)
        assert requant.rounding is Rounding.HALF_UP
        assert max(requant.multipliers) < 1 << 25


@pytest.mark.parametrize("ratio", [0.5, 1.5, 0.25, 2.5])
def test_ties_are_met_half_even_beside_any_other_grid(ratio):
    requant, wrong = check((ratio / 64, 0.0173, 1 / 64), (100, 7, 30), UINT8, (0, 255))
    assert not any(wrong)
    assert requant.rounding is Rounding.HALF_EVEN
    assert requant.multipliers[0] == ratio * (1 << requant.shift)


def test_a_table_that_no_rounding_makes_is_told():
    x = Tensor("x", (1, 1, 1), UINT8, 0.02, 0)
    table = np.arange(256)
    table[[40, 90]] += 1, -1
    assert search_concat([table, np.arange(256)], [x, x], x, (0, 255))[1] == [2, 0]
