"""Grids and integer weights in exact rationals; observers against brute force."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from tercet.model import NetworkError
from tercet.model.builder import Grid
from tercet.model.dtypes import IntType
from tercet.model.float.ptq.observers import extremes_of, observer_of
from tercet.model.float.ptq.schemes import OBSERVERS, Scheme
from tercet.model.float.ptq.weights import least_scales, quantize_bias, quantize_weights
from tercet.model.layers.weights import Weights
from tercet.model.requant import fixed_point

HALF = Fraction(1, 2) + Fraction(1, 1 << 40)


@pytest.mark.parametrize("bits", [2, 4, 7, 8, 16])
def test_affine_grids_are_the_formulas(seed, bits):
    rng = np.random.default_rng(seed)
    edges = [(0.0, 1.0), (-1.0, 0.0), (0.5, 2.0), (-3.0, -2.0), (-1e-30, 1e30), (-127.5, 127.5)]
    for rmin, rmax in [*edges, *np.sort(rng.normal(0, 5, (300, 2)), axis=1).tolist()]:
        grid = Scheme(bits).grid(rmin, rmax)
        low, high = min(Fraction(rmin), Fraction(0)), max(Fraction(rmax), Fraction(0))
        exact = (high - low) / ((1 << bits) - 1)
        assert abs(Fraction(grid.scale) / exact - 1) < Fraction(1, 1 << 52)
        assert abs(grid.zero_point + low / Fraction(grid.scale)) <= HALF
        assert 0 <= grid.zero_point < 1 << bits
        assert grid.dtype == IntType(bits, signed=False)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_symmetric_grids_have_the_greater_end_and_no_zero_point(bits):
    qmax = (1 << (bits - 1)) - 1
    for lo, hi, reach in ((-3.0, 1.0, 3.0), (-1.0, 3.0, 3.0), (0.5, 2.0, 2.0), (-2.0, -1.0, 2.0)):
        grid = Scheme(bits, symmetric=True).grid(lo, hi)
        assert grid == Grid(IntType(bits, signed=True), reach / qmax, 0)


def test_ties_go_to_the_even_zero_point():
    assert Scheme().grid(-0.5, 254.5).zero_point == 0
    assert Scheme().grid(-1.5, 253.5).zero_point == 2


def test_a_reduced_range_has_the_scale_of_one_bit_less_in_the_whole_type():
    affine, symmetric = Scheme(8, reduced=True), Scheme(8, symmetric=True, reduced=True)
    assert affine.grid(0, 127) == Grid(IntType(8, signed=False), 1.0, 0)
    assert affine.grid(-64, 63).zero_point == 64
    assert symmetric.grid(-63, 1) == Grid(IntType(8, signed=True), 1.0, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scheme(1), "bits must be 2 to 16, not 1"),
        (lambda: Scheme(17), "bits must be 2 to 16, not 17"),
        (lambda: Scheme(2, reduced=True), "a reduced range needs 3 bits at least, not 2"),
        (
            lambda: Scheme(observer="median"),
            "observer must be one of minmax, moving, percentile, mse, not 'median'",
        ),
        (
            lambda: Scheme(percentile=50),
            "percentile must lie above 50 and up to 100, not 50",
        ),
        (
            lambda: Scheme().grid(0.0, 0.0),
            "all its calibration values are 0; train the network again",
        ),
        (
            lambda: Scheme().grid(float("nan"), 1.0),
            "its range [nan, 1.0] is not finite; train the network again",
        ),
        (
            lambda: Scheme().grid(0.0, float("inf")),
            "its range [0.0, inf] is not finite; train the network again",
        ),
        (
            lambda: quantize_weights(np.zeros((2, 1, 1, 1)), Scheme(symmetric=True)),
            "its weights are all 0; train the network again",
        ),
        (
            lambda: quantize_weights(np.ones((2, 1, 1, 1)), Scheme(9, symmetric=True)),
            "weights must have 2 to 8 bits, not 9",
        ),
        (
            lambda: quantize_bias(
                np.array([3.0]),
                Grid(IntType(8, signed=False), 1e-5, 0),
                Weights(np.ones((1, 1, 1, 1), np.int64), IntType(8, signed=True), (1e-5,)),
            ),
            "its bias of 3 does not fit int32 at the scale of inputs times weights; its weights "
            "are too small for it, scale them up",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(NetworkError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_are_the_nearest_on_their_grid(seed, bits, per_channel, symmetric):
    values = np.random.default_rng(seed).normal(0.1, 1, (5, 2, 3, 4)).astype(np.float32)
    weights = quantize_weights(values, Scheme(bits, symmetric=symmetric, per_channel=per_channel))
    assert weights.values.shape == (5, 3, 4, 2)
    assert weights.dtype == IntType(bits, signed=symmetric)
    assert len(weights.scales) == len(weights.zero_points) == (5 if per_channel else 1)
    assert all(z == 0 for z in weights.zero_points) is symmetric
    for oc, ic, y, x in np.ndindex(values.shape):
        channel = oc if per_channel else 0
        exact = Fraction(float(values[oc, ic, y, x])) / Fraction(weights.scales[channel])
        q = int(weights.values[oc, y, x, ic]) - weights.zero_points[channel]
        assert abs(q - exact) <= (HALF if symmetric else HALF + Fraction(1, 2))
    if symmetric:
        tops = np.abs(weights.values)
        tops = tops.max(axis=(1, 2, 3)) if per_channel else tops.max()
        assert np.all(tops == (1 << (bits - 1)) - 1)


def test_a_channel_of_zeros_takes_the_largest_scale():
    values = np.array([0.0, 1.0, 2.0]).reshape(3, 1, 1, 1)
    weights = quantize_weights(values, Scheme(symmetric=True, per_channel=True))
    assert weights.scales == (2 / 127, 1 / 127, 2 / 127)
    assert weights.values.ravel().tolist() == [0, 127, 127]


@pytest.mark.parametrize("bits", [8, 16, 31])
@pytest.mark.parametrize("magnitude", [1e-2, 1e-5, 1e-9, 1e-30])
def test_a_tiny_channel_gets_a_scale_by_which_its_bias_can_be_had(magnitude, bits):
    x, y = Grid(IntType(8, signed=False), 1 / 255, 0), Grid(IntType(8, signed=False), 0.02, 10)
    values, bias = np.array([[1.0, -0.5], [magnitude, 0.0]]), np.array([0.3, 1.7])
    scheme = Scheme(symmetric=True, per_channel=True)
    weights = quantize_weights(values, scheme, least_scales(bias, x, y, bits))
    assert weights.scales[0] == 1 / 127
    steps = quantize_bias(bias, x, weights)
    factors = [Fraction(x.scale) * Fraction(s) / Fraction(y.scale) for s in weights.scales]
    multipliers, shift = fixed_point(factors, bits)
    for step, multiplier, real in zip(steps.tolist(), multipliers, bias, strict=True):
        output = Fraction(step * multiplier, 1 << shift)
        assert abs(output - Fraction(real) / Fraction(y.scale)) <= HALF


def test_scales_that_suffice_stay_what_they_are(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (6, 4)) * rng.uniform(0.2, 1, (6, 1))
    grid = Grid(IntType(8, signed=False), 1 / 255, 0)
    least = least_scales(rng.normal(0, 0.2, 6), grid, grid, 16)
    scheme = Scheme(symmetric=True, per_channel=True)
    assert quantize_weights(values, scheme, least).scales == quantize_weights(values, scheme).scales


def test_weights_of_a_linear_layer_have_four_axes():
    weights = quantize_weights(np.array([[1.0, -2.0, 0.5]]), Scheme(symmetric=True))
    assert weights.values.tolist() == [[[[64, -127, 32]]]]


def test_a_bias_is_rounded_at_the_scale_of_the_sums():
    weights = Weights(np.ones((3, 1, 1, 1), np.int64), IntType(8, signed=True), (0.5, 0.25, 1.0))
    grid = Grid(IntType(8, signed=False), 0.5, 7)
    assert quantize_bias(np.array([1.0, -0.3, 1.25]), grid, weights).tolist() == [4, -2, 2]


def observed(name, parts, scheme=None):
    scheme = scheme or Scheme(observer=name)
    observer = observer_of(scheme)
    for part in parts:
        observer.update(np.asarray(part, dtype=np.float64))
    return observer.range(scheme)


def test_minmax_and_moving_average():
    parts = [[-1.0, 2.0], [0.0, 12.0], [-11.0, 1.0]]
    assert observed("minmax", parts) == (-11.0, 12.0)
    lo, hi = -1.0, 2.0
    for part in parts[1:]:
        lo, hi = lo + 0.1 * (min(part) - lo), hi + 0.1 * (max(part) - hi)
    assert observed("moving", parts) == (lo, hi)


@pytest.mark.parametrize("percentile", [90.0, 99.0, 100.0])
def test_the_percentile_leaves_out_what_it_says(seed, percentile):
    values = np.random.default_rng(seed).normal(0, 3, (20, 1000))
    scheme = Scheme(observer="percentile", percentile=percentile)
    lo, hi = observed("percentile", values, scheme)
    step = 2 * 16 / 4096  # of the histogram: the values stay below 16
    inside = ((values >= lo - step) & (values <= hi + step)).mean()
    tightly = ((values >= lo + step) & (values <= hi - step)).mean()
    assert tightly <= percentile / 100 <= inside
    exact = extremes_of(values, scheme)
    assert abs(exact[0] - lo) <= step
    assert abs(exact[1] - hi) <= step


def test_histograms_merge_exactly_as_they_grow(seed):
    values = np.random.default_rng(seed).normal(0, 1, 5000) * 2.0 ** np.arange(5000).clip(0, 12)
    grown: Any
    at_once: Any
    grown, at_once = (observer_of(Scheme(observer="mse")) for _ in range(2))
    for part in np.split(np.sort(np.abs(values)) * np.sign(values), 50):
        grown.update(part)
    at_once.update(np.sort(np.abs(values)) * np.sign(values))
    assert np.array_equal(grown.counts, at_once.counts)
    assert grown.reach == at_once.reach
    assert grown.counts.sum() == 5000


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_least_squares_beats_minmax_on_long_tails(seed, bits, symmetric):
    values = np.random.default_rng(seed).laplace(0, 1, 20000)

    def error(name):
        scheme = Scheme(bits, symmetric=symmetric, observer=name)
        grid = scheme.grid(*extremes_of(values, scheme))
        q = np.clip(np.rint(values / grid.scale) + grid.zero_point, *scheme.ends)
        return ((values - (q - grid.zero_point) * grid.scale) ** 2).mean()

    assert error("mse") < error("minmax") * (0.99 if bits == 8 else 0.5)
    assert error("mse") <= error("percentile")


@pytest.mark.parametrize("name", OBSERVERS)
def test_observers_of_constant_values(name):
    assert observed(name, [[3.0, 3.0], [3.0]])[1] == pytest.approx(3.0, rel=1e-3)
    if name in ("minmax", "moving"):
        assert observed(name, [[0.0, 0.0]]) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["percentile", "mse"])
def test_histograms_refuse_what_is_not_finite(name):
    message = r"^its calibration values are not finite; train the network again$"
    with pytest.raises(NetworkError, match=message):
        observed(name, [[1.0, float("inf")]])
