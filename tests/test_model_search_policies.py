"""Rescaling by float32 factors: exactly what an engine multiplies by, or refused."""

import numpy as np
import pytest
from tercet.model.builder import Builder, Grid, Output
from tercet.model.dtypes import IntType
from tercet.model.golden.fastconv import accumulate
from tercet.model.layers import NetworkError
from tercet.model.layers.weights import Weights
from tercet.model.requant import Rounding, requantize
from tercet.model.search.policies import float32

UINT8, INT8 = IntType(8, signed=False), IntType(8, signed=True)


def layer_of(factors, weights, bias=None):
    """A linear layer rescaled by float32 factors, from uint8 to int8 with zero point 7."""
    builder = Builder("net")
    x = builder.input((1, 1, weights.shape[1]), Grid(UINT8, 0.1, 3))
    builder.linear(
        "fc",
        x,
        Weights(weights[:, None, None], INT8, (0.01,)),
        np.zeros(len(weights), np.int64) if bias is None else bias,
        Output(Grid(INT8, 0.2, 7), float32(factors)),
    )
    return builder.network().layers[0]


def as_engines_do(acc, factors):
    """Multiplied in float32, rounded, zero point added, saturated."""
    product = acc.astype(np.float32) * np.array(factors, np.float32)
    return np.clip(np.rint(product).astype(np.int64) + 7, -128, 127)


def test_per_channel_factors_are_held_exactly(seed):
    rng = np.random.default_rng(seed)
    factors = rng.uniform(0.001, 0.03, 6).astype(np.float32)
    layer = layer_of(factors, rng.integers(-127, 128, (6, 40)), rng.integers(-999, 999, 6))
    assert layer.requant.rounding is Rounding.FLOAT32
    for multiplier, factor in zip(layer.requant.multipliers, factors, strict=True):
        assert multiplier / 2.0**layer.requant.shift == factor
    images = rng.integers(0, 256, (2000, 1, 1, 40))
    acc = accumulate(images, layer, 3)
    np.testing.assert_array_equal(requantize(acc, layer.requant, 7), as_engines_do(acc, factors))


def test_factors_too_far_apart_are_searched_on_every_accumulator():
    factors = [np.float32(0.0123456), np.float32(3.1e-5)]
    layer = layer_of(factors, np.array([[5, -7], [100, 90]]))
    wide = [multiplier / 2.0**layer.requant.shift for multiplier in layer.requant.multipliers]
    assert wide != [float(factor) for factor in factors]
    acc = np.arange(-1771, 50000)[:, None] * np.ones(2, np.int64)
    acc[:, 0] = acc[:, 0].clip(-1764, 1260)
    acc[:, 1] = acc[:, 1].clip(-570, 47880)
    np.testing.assert_array_equal(requantize(acc, layer.requant, 7), as_engines_do(acc, factors))


def test_accumulators_beyond_float32_pass_where_they_saturate():
    layer = layer_of([np.float32(1e-3)], np.full((1, 600), 127))
    assert layer.requant.rounding is Rounding.FLOAT32
    assert layer.requant.multipliers[0] / 2.0**layer.requant.shift == np.float32(1e-3)


def test_accumulators_that_float32_rounds_are_searched():
    factor, bias = np.float32(2.9e-6), 20_000_001
    layer = layer_of([factor], np.array([[127] * 9]), np.array([bias]))
    assert layer.requant.reference == "float32_half_even"
    acc = np.arange(bias - 3 * 127 * 9, bias + 252 * 127 * 9 + 1)[:, None]
    assert (acc.astype(np.float32) != acc).any()
    np.testing.assert_array_equal(requantize(acc, layer.requant, 7), as_engines_do(acc, [factor]))


def test_too_many_accumulators_to_search():
    with pytest.raises(
        NetworkError,
        match=r"^Layer 'fc': float32 does not hold its 97155001 accumulators or its factors, and "
        r"they are too many to be searched \(at most 67108864\); use fewer input channels$",
    ):
        layer_of([np.float32(1e-7)], np.full((1, 3000), 127))


@pytest.mark.parametrize("factor", [0.0, -1.0, np.inf, np.nan])
def test_factors_that_are_none(factor):
    with pytest.raises(
        NetworkError,
        match=rf"^Layer 'fc': the factor must be positive and finite in float32, not {factor}$",
    ):
        layer_of([np.float32(factor)], np.ones((1, 2), np.int64))
