"""The search for additions: equal to a table where that can be, and honest where it cannot."""

import numpy as np
import pytest
from tercet.model.dtypes import IntType
from tercet.model.layers import Tensor
from tercet.model.layers.add import Add, add
from tercet.model.requant import Rounding, requantize
from tercet.model.search.add import search_add, search_one

UINT8, INT8 = IntType(8, signed=False), IntType(8, signed=True)


def tensor(name, dtype, scale, zero_point):
    return Tensor(name, (1, 1, 1), dtype, float(np.float32(scale)), zero_point)


def values(x):
    return np.arange(x.dtype.qmin, x.dtype.qmax + 1)


def in_floats(a, b, y):
    """An addition in float32, rounded after each step: dequantize, add, divide, quantize."""
    reals = [np.float32(x.scale) * (values(x) - x.zero_point).astype(np.float32) for x in (a, b)]
    total = (reals[0][:, None] + reals[1][None, :]) / np.float32(y.scale)
    rounded = np.rint(total).astype(np.int64) + y.zero_point
    return np.clip(rounded, y.dtype.qmin, y.dtype.qmax)


def outputs(requant, a, b, y):
    layer = Add("add", "a", "y", other="b", requant=requant)
    zero_points = (a.zero_point, b.zero_point, y.zero_point)
    return add(values(a)[:, None], values(b)[None, :], layer, zero_points)


@pytest.mark.parametrize("dtype", [UINT8, INT8])
def test_pairs_equal_an_addition_in_floats(seed, dtype):
    rng = np.random.default_rng(seed)
    for _ in range(5):
        scales, zero_points = rng.uniform(0.01, 0.05, 3), rng.integers(-20, 20, 3)
        a, b, y = (
            tensor(name, dtype, scale, int(max(zero_point, dtype.qmin)))
            for name, scale, zero_point in zip("aby", scales, zero_points, strict=True)
        )
        table = in_floats(a, b, y)
        requant, left = search_add(table, a, b, y, (dtype.qmin, dtype.qmax))
        assert left <= 1  # one addition in a hundred has near ties that contradict each other
        assert (outputs(requant, a, b, y) != table).sum() == left


def test_the_clamp_narrows_the_outputs():
    a, b, y = tensor("a", UINT8, 0.1, 3), tensor("b", INT8, 0.2, 0), tensor("y", UINT8, 0.15, 9)
    requant, left = search_add(in_floats(a, b, y), a, b, y, (9, 200))
    assert left == 0
    np.testing.assert_array_equal(outputs(requant, a, b, y), in_floats(a, b, y).clip(9, 200))


@pytest.mark.parametrize("zero_point", [0, 128])
def test_ties_to_even_where_the_scales_are_simple(zero_point):
    a, b, y = (tensor(n, UINT8, s, zero_point) for n, s in (("a", 0.25), ("b", 0.25), ("y", 0.5)))
    requant, left = search_add(in_floats(a, b, y), a, b, y, (0, 255))
    assert left == 0
    assert requant.rounding is Rounding.HALF_EVEN
    np.testing.assert_array_equal(outputs(requant, a, b, y), in_floats(a, b, y))


def test_what_no_multipliers_equal_is_counted():
    a, b, y = (tensor(name, UINT8, 0.1, 0) for name in "aby")
    table = np.minimum(values(a)[:, None] + values(b)[None, :], 255)
    table[3, 4], table[10, 0] = 9, 8
    requant, left = search_add(table, a, b, y, (0, 255))
    assert left == (outputs(requant, a, b, y) != table).sum() == 2


def test_a_table_over_one_input():
    x, y = tensor("x", INT8, 0.037, -5), tensor("y", UINT8, 0.021, 77)
    real = np.float32(x.scale) * (values(x) + 5).astype(np.float32) / np.float32(y.scale)
    table = np.clip(np.rint(real).astype(np.int64) + 77, 0, 255)
    requant, left = search_one(table, x, y, (0, 255))
    assert left == 0
    assert len(requant.multipliers) == 1
    np.testing.assert_array_equal(requantize(values(x) + 5, requant, 77), table)


def test_factors_too_large_for_any_multiplier():
    x, y = tensor("x", INT8, 1e6, 0), tensor("y", UINT8, 1e-6, 0)
    with pytest.raises(
        ValueError, match=r"^factors up to 1000000002524\.7573 do not fit 2147483647$"
    ):
        search_one(np.zeros(256), x, y, (0, 255))
