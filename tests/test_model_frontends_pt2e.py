"""PT2E programs: what is read equals their exact value on every element, or they are refused."""

import warnings

import numpy as np
import pytest
from tercet.model.add import Add
from tercet.model.arith import Rounding
from tercet.model.builder import Grid
from tercet.model.conv import Conv2d
from tercet.model.data import MissingError, fit_to, mnist, training_digits
from tercet.model.dtypes import IntType
from tercet.model.float.nets import input_shape_of, load
from tercet.model.layers import Requantizing
from tercet.model.netfile import dumps
from tercet.model.pool import AvgPool2d

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
with warnings.catch_warnings():  # torchao uses torch.jit.script_method as it is imported
    warnings.simplefilter("ignore")
    pytest.importorskip("torchao.quantization.pt2e", reason="torchao is not installed")
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import (
        convert_pt2e,
        prepare_pt2e,
        prepare_qat_pt2e,
    )
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

from tercet.model.frontends.pt2e import read  # noqa: E402
from tercet.model.frontends.pt2e_run import trace  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:XNNPACKQuantizer is deprecated!:UserWarning"),
    pytest.mark.filterwarnings("ignore:erase_node:UserWarning"),
]

UINT8 = IntType(8, signed=False)


class Convolutions(nn.Module):
    """Stride, padding, dilation, groups, depthwise, ReLU6 and a linear layer behind a map."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2), bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False)
        self.norm2 = nn.BatchNorm2d(12)
        self.pointwise = nn.Conv2d(12, 5, 1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(5 * 7 * 11, 9)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = nn.functional.hardtanh(self.grouped(x), 0.0, 1.0)
        x = nn.functional.relu6(self.norm2(self.depthwise(x)))
        return self.fc(self.drop(self.pointwise(x)).flatten(1))


class Residual(nn.Module):
    """Additions, with a ReLU and without, and the mean of a map."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 1, bias=False)
        self.fc = nn.Linear(6, 7, bias=False)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.conv(x))
        x = x + self.conv2(x)
        return self.fc(x.mean((2, 3)))


class Pools(nn.Module):
    """Pools that overlap and that are padded; a pool between convolution and ReLU."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.conv2 = nn.Conv2d(4, 8, 3)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.conv(x)), 3, stride=2, padding=1)
        x = torch.relu(nn.functional.max_pool2d(self.conv2(x), 2, stride=1))
        x = nn.functional.avg_pool2d(x, 3, stride=2, padding=1)
        x = self.mean(x)
        return self.fc(x.view(x.shape[0], -1))


SHAPES = {Convolutions: (3, 14, 11), Residual: (2, 9, 9), Pools: (1, 17, 17)}
BATCH = 16


def exported(module, example, seed):
    """The module as torch.export has it, its batch norms' statistics drawn as if trained."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values, ends in (
                (part.weight, (-1, 2)),
                (part.bias, (-1, 1)),
                (part.running_mean, (-1, 1)),
                (part.running_var, (0.1, 2)),
            ):
                nn.init.uniform_(values, *ends)
    return torch.export.export(module, (example,)).module()


def xnn(**config):
    """XNNPACK's quantizer, as torchao ships it for its tests."""
    config = xnnpack.get_symmetric_quantization_config(**config)
    return xnnpack.XNNPACKQuantizer().set_global(config)


def images_of(shape, seed, count=BATCH):
    """Images of both signs."""
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(seed)) * 2 - 0.7


def converted(module, shape, seed, quantizer=None):
    """A module quantized by PT2E, calibrated on other images than it is run on."""
    example = images_of(shape, seed + 1)
    prepared = prepare_pt2e(exported(module.eval(), example, seed), quantizer or xnn())
    prepared(example)
    return convert_pt2e(prepared)


def check(program, images, **options):
    """Check that every element of every tensor equals the program's in float64; the network."""
    net = read(program, "net", **options)
    theirs = trace(program, images, exact=True, **options)
    ours = net.trace(theirs["image"])
    for name, values in theirs.items():
        assert len(np.unique(values)) > 5, f"{name} is dull"
        assert np.array_equal(values, ours[name]), name
    for layer in net.layers:
        if isinstance(layer, Requantizing):
            assert layer.requant.reference == "half_even", layer.name
    return net


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("kind", SHAPES)
def test_every_element_equals_the_exact_program(kind, per_channel, seed):
    program = converted(kind(), SHAPES[kind], seed, xnn(is_per_channel=per_channel))
    net = check(program, images_of(SHAPES[kind], seed, 40))  # two batches and a half
    counts = [len(x.weights.scales) for x in net.layers if isinstance(x, Conv2d)]
    assert (max(counts) > 1) == per_channel


def test_layers_are_named_like_modules_and_relus_are_clamps(seed):
    net = read(converted(Pools(), SHAPES[Pools], seed), "net")
    assert [(layer.name, layer.kind) for layer in net.layers] == [
        ("conv", "conv2d"), ("max_pool2d", "max_pool2d"),
        ("conv2", "conv2d"), ("max_pool2d_2", "max_pool2d"), ("relu_2", "relu"),
        ("avg_pool2d", "avg_pool2d"), ("mean", "avg_pool2d"),
        ("fc", "linear"), ("argmax", "argmax"),
    ]  # fmt: skip
    assert net.layers[0].requant.low == net.tensors["conv"].zero_point


def test_an_exported_program_is_read_like_the_graph_module(seed):
    shape = SHAPES[Pools]
    program = converted(Pools(), shape, seed)
    again = torch.export.export(program, (images_of(shape, seed),))
    assert dumps(read(again, "net")) == dumps(read(program, "net"))


def test_any_number_of_images_is_read_and_run(seed):
    shape = (1, 6, 6)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4))
    batch = ({0: torch.export.Dim("n", min=1, max=64)},)
    dynamic = torch.export.export(net.eval(), (images_of(shape, seed),), dynamic_shapes=batch)
    prepared = prepare_pt2e(dynamic.module(), xnn())
    prepared(images_of(shape, seed))
    program = torch.export.export(
        convert_pt2e(prepared), (images_of(shape, seed),), dynamic_shapes=batch
    )
    check(program, images_of(shape, seed, 37))


def test_scores_in_floats_are_brought_to_the_grid_that_is_given(seed):
    """X86InductorQuantizer leaves the last layer's output in floats."""
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    shape = SHAPES[Convolutions]
    program = converted(Convolutions(), shape, seed, quantizer)
    grid = Grid(IntType(8, signed=True), 2.0**-5, 5)
    net = check(program, images_of(shape, seed), output=grid)
    assert net.tensors["image"].dtype == UINT8
    images = images_of(shape, seed)
    scores = net(trace(program, images, output=grid)["image"])
    with torch.no_grad():
        real = program(images).double().numpy()
    assert np.array_equal(scores, np.clip(np.rint(real / grid.scale) + 5, -128, 127))


def test_quantization_aware_training(seed):
    shape = (1, 8, 8)
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(144, 5)
    images = images_of(shape, seed)
    prepared = prepare_qat_pt2e(
        exported(nn.Sequential(*layers).train(), images, seed), xnn(is_qat=True)
    )
    prepared(images)
    move_exported_model_to_eval(prepared)
    check(convert_pt2e(prepared), images_of(shape, seed + 2))


class Hand(nn.Module):
    """A program written by hand: ``forward(self, x)`` as a function."""

    def __init__(self, forward, **buffers):
        super().__init__()
        self.function = forward
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(2)
        for name, values in buffers.items():
            self.register_buffer(name, torch.as_tensor(values))

    def forward(self, x):
        return self.function(self, x)


def by_hand(forward, shape=(1, 4, 4), **buffers):
    """The exported program of a function, for four images."""
    module = Hand(forward, **buffers).eval()
    return torch.export.export(module, (torch.zeros(4, *shape),))


Q = torch.ops.quantized_decomposed
INT8 = (-128, 127, torch.int8)
UINT7 = (0, 127, torch.uint8)


def on_grid(x, scale=0.5, zero_point=3, dtype=INT8):
    """Quantized, and back."""
    q = Q.quantize_per_tensor(x, scale, zero_point, *dtype)
    return Q.dequantize_per_tensor(q, scale, zero_point, *dtype)


def test_quantizations_wherever_they_stand(seed):
    """Clips, pools and flattenings before and behind them, and what has two grids."""

    def forward(net, x):
        x = on_grid(torch.clamp(nn.functional.max_pool2d(x, 2), min=-1.0), 0.02, 100, UINT7)
        weights = Q.dequantize_per_tensor(net.w, 0.03, 6, 0, 15, torch.uint8)
        bias = Q.dequantize_per_tensor(net.b, 0.0005, 0, -(2**31), 2**31 - 1, torch.int32)
        x = nn.functional.conv2d(x, weights, bias, padding=1)
        x = on_grid(nn.functional.hardtanh(nn.functional.max_pool2d(x, 2), -1.0, 2.0), 0.1, 7)
        x = torch.relu(x)  # stays on the grid without being quantized again
        scales = Q.dequantize_per_channel(net.w2, net.scales, None, 0, -127, 127, torch.int8)
        x = on_grid(nn.functional.conv2d(x, scales), 0.25, -9)
        x = on_grid(nn.functional.hardtanh(x, -2.0, 3.0), 0.25, -9)
        x = on_grid(on_grid(x.flatten(1), 0.125, 4), 0.1875, 3)
        weights = Q.dequantize_per_tensor(net.w3, 0.01, 0, *INT8)
        return on_grid(nn.functional.linear(x, weights))

    rng = np.random.default_rng(seed)
    program = by_hand(
        forward,
        (2, 20, 24),
        w=rng.integers(0, 16, (4, 2, 3, 3), np.uint8),
        b=rng.integers(-3000, 3000, 4, np.int32),
        w2=rng.integers(-127, 128, (3, 4, 2, 2), np.int8),
        scales=np.float32([0.012, 0.008, 0.01]),
        w3=rng.integers(-128, 128, (6, 3 * 4 * 5), np.int8),
    )
    net = check(program, images_of((2, 20, 24), seed, 4) * 3)
    assert str(net.tensors["image"].dtype) == "uint7"
    assert str(net.layers[2].weights.dtype) == "uint4"
    assert [layer.kind for layer in net.layers] == [
        "max_pool2d", "relu", "conv2d", "max_pool2d", "relu", "relu", "conv2d", "relu",
        "flatten", "avg_pool2d", "avg_pool2d", "linear", "argmax",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kernel", "scale", "reference", "rounding"),
    [
        (4, 0.5, "half_even", Rounding.HALF_EVEN),  # 1 / 16, a tie for each sum of 16 k + 8
        (6, 0.5, None, Rounding.HALF_UP),  # 1 / 36, ties in both directions and not dyadic
        (5, 0.5, "half_even", Rounding.HALF_UP),  # 1 / 25, no ties
        (6, 0.7123, "half_even", Rounding.HALF_UP),  # no ties either
    ],
)
def test_averages_at_ties(kernel, scale, reference, rounding, seed):
    def forward(_, x):
        return on_grid(on_grid(x).mean((2, 3)), scale)

    program = by_hand(forward, (200, kernel, kernel))
    net = read(program)
    (layer,) = (layer for layer in net.layers if isinstance(layer, AvgPool2d))
    assert (layer.requant.reference, layer.requant.rounding) == (reference, rounding)
    rng = np.random.default_rng(seed)
    middle = rng.integers(-100, 100, (20, 1, 1, 200))
    x = np.clip(middle + rng.integers(-9, 10, (20, kernel, kernel, 200)), -128, 127)
    sums = (x - 3).sum(axis=(1, 2))
    value = sums * 0.5 / (scale * kernel**2)  # ties are exact in float64
    ties = value - np.floor(value) == 0.5
    nearest = np.rint(value) if reference else np.floor(value + 0.5)
    assert np.array_equal(net(x), np.clip(nearest + 3, -128, 127))
    assert ties.any() == (rounding is Rounding.HALF_EVEN or reference is None)


def test_ties_of_averages_go_either_way_in_float32(seed):
    """What keeps float32 from being equalled: a sum of 4 k + 2 is a tie, but for its errors."""

    scale = float(np.float32(0.1))

    def forward(_, x):
        return on_grid(nn.functional.avg_pool2d(on_grid(x, scale), 2), scale)

    program = by_hand(forward, (1, 64, 64))
    images = images_of((1, 64, 64), seed, 4) * 10
    exact, float32 = (trace(program, images, exact=flag) for flag in (True, False))
    assert np.array_equal(exact["image"], float32["image"])
    net = read(program)
    assert np.array_equal(net.trace(exact["image"])["logits"], exact["logits"])
    different = exact["logits"] != float32["logits"]
    windows = exact["image"].reshape(4, 32, 2, 32, 2, 1).astype(int) - 3
    ties = windows.sum(axis=(2, 4)) % 4 == 2
    assert not different[~ties].any()
    assert 0 < different.sum() < ties.sum()


def test_additions_whose_ties_are_exact(seed):
    def forward(_, x):
        x = on_grid(x, 0.25)
        return on_grid(x + on_grid(x, 0.5), 1.0)

    net = check(by_hand(forward, (1, 8, 8)), images_of((1, 8, 8), seed, 4) * 30)
    (layer,) = (layer for layer in net.layers if isinstance(layer, Add))
    assert (layer.requant.reference, layer.requant.rounding) == ("half_even", Rounding.HALF_EVEN)


@pytest.mark.mnist
def test_a_trained_lenet_on_mnist():
    shape = input_shape_of("lenet_max")

    def pixels(digits):
        return torch.from_numpy(fit_to(digits.images, shape).transpose(0, 3, 1, 2)) / 255

    try:
        training, digits = training_digits().first(100), mnist("test").first(500)
    except MissingError as error:
        pytest.skip(str(error))
    example = pixels(training)
    graph = torch.export.export(load("lenet_max").module(), (example,)).module()
    prepared = prepare_pt2e(graph, xnn(is_per_channel=True))
    prepared(example)
    program = convert_pt2e(prepared)
    net = check(program, pixels(digits))
    exact, float32 = (trace(program, pixels(digits), exact=flag) for flag in (True, False))
    assert (net(exact["image"]).argmax(axis=1) == digits.labels).mean() > 0.98
    compared = sum(values.size for values in exact.values())
    different = sum(int((exact[name] != float32[name]).sum()) for name in exact)
    assert compared == 4_759_000
    assert different < 20  # 1 with AVX-512; float32 sums in another order miss others
