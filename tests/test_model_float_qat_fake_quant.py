"""Fake quantization: grids, straight-through and step gradients, delay, observers, freezing."""

import numpy as np
import pytest
from tercet.model.layers import NetworkError

torch = pytest.importorskip("torch")
from tercet.model.float.ptq.schemes import Scheme  # noqa: E402
from tercet.model.float.ptq.weights import quantize_weights  # noqa: E402
from tercet.model.float.qat.fake_quant import FakeQuantize  # noqa: E402
from tercet.model.float.qat.layers import QatConv2d, QatLinear  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch

SCHEMES = [
    Scheme(bits=bits, symmetric=symmetric) for bits in (2, 4, 7, 8, 16) for symmetric in (0, 1)
]


def ranged(scheme, low=-0.7, high=1.9, **options):
    made = FakeQuantize(scheme, **options)
    made.set_range(low, high)
    return made


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_an_activation_lands_on_the_grid_that_the_scheme_gives_the_range(scheme, seed):
    x = torch.from_numpy(np.random.default_rng(seed).uniform(-2, 3, 1000))
    y = ranged(scheme).double().eval()(x)
    grid = scheme.grid(float(np.float32(-0.7)), float(np.float32(1.9)))
    q = np.clip(
        np.rint(x.numpy() / grid.scale),
        *(end - grid.zero_point for end in (grid.dtype.qmin, grid.dtype.qmax)),
    )
    assert np.array_equal(y.numpy(), q * grid.scale)
    assert ranged(scheme).grid() == grid


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("observer", ["minmax", "mse", "percentile"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_weights_become_those_of_post_training_quantization(observer, symmetric, per_channel, seed):
    scheme = Scheme(4, symmetric, per_channel, observer)
    values = np.random.default_rng(seed).normal(0, 1, (6, 2, 3, 3)).astype(np.float32)
    values[2] = 0
    made = FakeQuantize(scheme, 6 if per_channel else 1, weights=True).double()
    y = made(torch.from_numpy(values).double()).numpy()
    weights = quantize_weights(values, scheme)
    scales, zero_points = made.grids()
    assert np.array_equal(zero_points, weights.zero_points)
    # a searched range is no float32 itself, and is rounded to one here
    assert np.allclose(scales, weights.scales, rtol=1e-7 if observer == "mse" else 0, atol=0)
    levels = np.rint(y / scales.reshape(-1, 1, 1, 1))
    assert np.array_equal(levels, weights.centered.transpose(0, 3, 1, 2))


def test_the_gradient_passes_where_nothing_is_clamped():
    made = ranged(Scheme(bits=4, symmetric=True), -7, 7)  # a step of 1, levels -8 to 7
    x = torch.tensor([-9.0, -8.6, -8.4, -0.5, 0.2, 7.4, 7.6, 20.0], requires_grad=True)
    y = made.eval()(x)
    assert y.tolist() == [-8, -8, -8, 0, 0, 7, 7, 7]
    y.backward(torch.arange(1.0, 9.0))
    assert x.grad.tolist() == [0, 0, 3, 4, 5, 6, 0, 0]


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_the_gradient_of_a_learned_step_is_the_formula(symmetric, weights, seed):
    scheme = Scheme(bits=3, symmetric=symmetric)
    made = ranged(scheme, weights=weights, learned=True).double()
    rng = np.random.default_rng(seed)
    x, gradient = rng.uniform(-3, 3, (5, 8)), rng.normal(0, 1, (5, 8))
    made(torch.from_numpy(x)).backward(torch.from_numpy(gradient))
    step, zero_point = made.grids()[0][0], made.grids()[1][0]
    qmin, qmax = scheme.ends if weights else (scheme.dtype.qmin, scheme.dtype.qmax)
    expected = 0.0
    for value, g in zip(x.ravel() / step, gradient.ravel(), strict=True):
        rounded = np.rint(value)
        if rounded < qmin - zero_point:
            expected += g * (qmin - zero_point)
        elif rounded > qmax - zero_point:
            expected += g * (qmax - zero_point)
        else:
            expected += g * (rounded - value)
    expected *= ((40 if weights else 8) * scheme.ends[1]) ** -0.5
    expected *= step  # dS / d(ratio)
    assert made.ratio.grad.item() == pytest.approx(expected, rel=1e-12)


def test_learned_steps_per_channel_have_gradients_of_their_own():
    made = FakeQuantize(Scheme(4, True, True), 2, weights=True, learned=True)
    made.set_range([-1, -1], [1, 1])
    made(torch.tensor([[0.3, 0.7], [0.0, 0.0]])).sum().backward()
    assert made.ratio.grad[0] != 0
    assert made.ratio.grad[1] == 0


def test_a_delay_passes_values_on_while_observing():
    made = FakeQuantize(Scheme(bits=2, symmetric=True), delay=2)
    x = torch.tensor([0.1, 0.9])
    assert [made(x).tolist() == x.tolist() for _ in range(4)] == [True, True, False, False]
    assert made.grid().scale == np.float32(0.9)
    assert made.eval()(x).tolist() == [0, pytest.approx(0.9)]


def test_a_learned_step_starts_from_what_the_delay_observed():
    made = FakeQuantize(Scheme(bits=2, symmetric=True), delay=2, learned=True)
    for value in (1.0, 2.0, 50.0, 50.0):
        made(torch.tensor([value]))
    assert made.ratio.item() == 1
    assert made.grid().scale == pytest.approx(1.1)  # 1, and a tenth of the way to 2


def test_ranges_follow_by_a_tenth_until_they_are_frozen():
    made = FakeQuantize(Scheme(symmetric=True))
    made(torch.tensor([-1.0, 2.0]))
    made(torch.tensor([-3.0, 4.0]))
    assert (made.low.item(), made.high.item()) == pytest.approx((-1.2, 2.2))
    made.freeze()
    made(torch.tensor([-30.0, 40.0]))
    assert (made.low.item(), made.high.item()) == pytest.approx((-1.2, 2.2))


def test_evaluation_observes_nothing():
    made = ranged(Scheme(), -1, 1).eval()
    made(torch.tensor([-30.0, 40.0]))
    assert (made.low.item(), made.high.item(), made.count.item()) == (-1, 1, 0)


def test_a_learned_step_is_learned_on_behind_a_frozen_range():
    made = FakeQuantize(Scheme(symmetric=True), delay=3, learned=True)
    made(torch.tensor([-1.0, 2.0]))
    made.freeze()
    for _ in range(3):
        y = made(torch.tensor([-30.0, 40.0]))
    assert made.grid().scale == 2 / 127
    y.sum().backward()
    assert made.ratio.grad.item() != 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: FakeQuantize(Scheme()).grid(),
            "its range is not known yet; run images through the network in training mode first",
        ),
        (
            lambda: ranged(Scheme(), 0, 0).grid(),
            "all its values are 0; train the network again",
        ),
        (
            lambda: ranged(Scheme(), 0, np.inf).grid(),
            "its range is not finite; train at a lower rate",
        ),
        (
            lambda: QatConv2d(1, 1, 1, scheme=Scheme(bits=9)),
            "weights must have 2 to 8 bits, not 9",
        ),
        (
            lambda: QatConv2d(1, 1, 1, scheme=Scheme(), norm=nn.BatchNorm2d(1, momentum=None)),
            "A batch norm that folds must track running statistics by a momentum; build it with "
            "track_running_stats=True and a number",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(NetworkError) as caught:
        make()
    assert str(caught.value) == message


def pair(affine=True, delay=0, linear=False):
    """A folded layer, and the plain layer and batch norm that it stands for."""
    torch.manual_seed(3)
    if linear:
        plain, norm = nn.Linear(5, 4), nn.BatchNorm1d(4, affine=affine)
        own = nn.BatchNorm1d(4, affine=affine)
        folded = QatLinear(5, 4, scheme=Scheme(8, True, True), norm=own, delay=delay)
    else:
        plain, norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, affine=affine)
        own = nn.BatchNorm2d(4, affine=affine)
        folded = QatConv2d(3, 4, 3, padding=1, scheme=Scheme(8, True, True), norm=own, delay=delay)
    if affine:
        nn.init.uniform_(norm.weight, -1, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    own.load_state_dict(norm.state_dict())
    folded.load_state_dict(plain.state_dict(), strict=False)
    shape = (16, 5) if linear else (8, 3, 6, 6)
    return folded.double(), nn.Sequential(plain, norm).double(), torch.rand(shape).double()


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_a_folded_norm_without_quantization_is_a_batch_norm(affine, linear):
    folded, plain, x = pair(affine, delay=10, linear=linear)
    for _ in range(3):
        ours, theirs = folded(x), plain(x)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(folded.norm.running_mean, plain[1].running_mean)
    torch.testing.assert_close(folded.norm.running_var, plain[1].running_var)
    for each in (ours, theirs):
        (each**2).sum().backward()
    torch.testing.assert_close(folded.weight.grad, plain[0].weight.grad, rtol=1e-9, atol=1e-9)


def test_frozen_statistics_are_those_so_far():
    folded, plain, x = pair(delay=10)
    folded(x), plain(x)
    folded.freeze()
    before = folded.norm.running_mean.clone()
    torch.testing.assert_close(folded(x), plain.eval()(x), rtol=1e-12, atol=1e-12)
    assert torch.equal(folded.norm.running_mean, before)


def test_the_folded_weights_are_what_is_quantized():
    folded, _, x = pair()
    folded(x)
    gain = folded.norm.weight / torch.sqrt(folded.norm.running_var + folded.norm.eps)
    folded.freeze()
    exact = (folded.weight * gain[:, None, None, None]).detach().numpy()
    expected = quantize_weights(exact, Scheme(8, True, True))
    folded.quantize.frozen.fill_(False)  # so that the range follows the new statistics
    folded(x)
    weights = folded.integers()
    assert np.array_equal(weights.values, expected.values)
    levels = torch.from_numpy(weights.centered.transpose(0, 3, 1, 2).copy())
    on_grid = levels * torch.tensor(weights.scales, dtype=torch.float64)[:, None, None, None]
    bias = torch.from_numpy(folded.numbers()[1])
    folded.freeze()
    torch.testing.assert_close(
        folded(x), nn.functional.conv2d(x, on_grid, bias, padding=1), rtol=1e-12, atol=1e-12
    )
