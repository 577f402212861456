"""Activation functions and upsampling of float networks: definitions, tables, PTQ, QAT and PT2E."""

from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tercet.model.builder import Grid  # noqa: E402
from tercet.model.dtypes import IntType  # noqa: E402
from tercet.model.float.ptq.functions import FUNCTIONS, Function, tabulate  # noqa: E402
from tercet.model.float.ptq.quantize import Options, Schemes, prepare, quantize  # noqa: E402
from tercet.model.float.ptq.schemes import Scheme  # noqa: E402
from tercet.model.float.qat.network import QatNet  # noqa: E402
from tercet.model.frontends.torch_export import graph_of, read  # noqa: E402
from tercet.model.fuzz.draws import INT8, UINT8  # noqa: E402
from tercet.model.golden import trace_loop  # noqa: E402
from tercet.model.layers import NetworkError  # noqa: E402
from tercet.model.layers.conv import Conv2d  # noqa: E402
from tercet.model.layers.table import Table  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch

PARAMETERS = {"leaky_relu": (0.1,), "elu": (0.7,), "line": (0.2, 0.5)}
MODULES = {
    "LeakyReLU": lambda: nn.LeakyReLU(0.1, inplace=True),
    "PReLU": nn.PReLU,
    "PReLU of one slope": lambda: nn.PReLU(3, init=0.3),
    "Hardswish": lambda: nn.Hardswish(inplace=True),
    "Hardsigmoid": nn.Hardsigmoid,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "SiLU": lambda: nn.SiLU(inplace=True),
    "GELU": nn.GELU,
    "GELU by tanh": lambda: nn.GELU("tanh"),
    "ELU": lambda: nn.ELU(0.7, inplace=True),
}
SHAPE = (1, 6, 5)


def net_of(activation):
    """A module with an activation, an upsampling and a convolution after each."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        activation,
        nn.Upsample(scale_factor=2),
        nn.Conv2d(3, 3, 3),
        activation,
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3 * 5 * 4, 5),
    ).eval()


def pixels(seed, count=30):
    shape = (count, SHAPE[1], SHAPE[2], SHAPE[0])
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_definition_is_pytorchs(name):
    function = Function(name, PARAMETERS.get(name, ()))
    x = torch.linspace(-9, 9, 999, dtype=torch.float64)
    expected = function.of_tensor(x)
    found = [float(function(Fraction(value))) for value in x.tolist()]
    assert np.allclose(found, expected.numpy(), rtol=1e-12, atol=1e-15)
    assert float(function(Fraction(-2000))) == pytest.approx(
        float(function.of_tensor(torch.tensor(-2000.0, dtype=torch.float64))), abs=1e-300
    )


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("x", "y"), [(UINT8, INT8), (INT8, UINT8), (IntType(10, False), INT8)])
def test_a_table_is_rounded_to_the_nearest(name, x, y):
    function = Function(name, PARAMETERS.get(name, ()))
    into, out = Grid(x, 0.043, (x.qmin + x.qmax) // 2), Grid(y, 0.021, y.qmin + 30)
    table = tabulate(function, into, out)
    assert table.shape == (1 << x.bits,)
    real = torch.tensor([into.scale * (q - into.zero_point) for q in range(x.qmin, x.qmax + 1)],
                        dtype=torch.float64)  # fmt: skip
    steps = function.of_tensor(real).numpy() / out.scale + out.zero_point
    assert (np.abs(table - steps.clip(y.qmin, y.qmax)) <= 0.5 + 1e-9).all()


def test_ties_go_to_even():
    half = Function("leaky_relu", (0.5,))
    table = tabulate(half, Grid(IntType(4, True), 0.1, 0), Grid(INT8, 0.1, 0))
    assert table.tolist() == [-4, -4, -3, -2, -2, -2, -1, 0, 0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("name", MODULES)
def test_ptq_makes_tables_and_upsampling(name, seed):
    module, images = net_of(MODULES[name]()), pixels(seed)
    network = read(module, SHAPE, "net", images)
    kinds = ["conv2d", "table", "upsample", "conv2d", "table", "max_pool2d", "flatten", "linear"]
    assert [layer.kind for layer in network.layers] == [*kinds, "argmax"]
    fast, loop = network.trace(images[:3]), trace_loop(network, network.images(images[:3]))
    assert all(np.array_equal(fast[tensor], loop[tensor]) for tensor in loop)
    graph, _ = prepare(graph_of(module, SHAPE, "net"), Options())
    functions = [node.function for node in graph.nodes if hasattr(node, "function")]
    for layer, function in zip((network.layers[1], network.layers[4]), functions, strict=True):
        assert isinstance(layer, Table)
        x, y = (network.tensors[tensor] for tensor in (layer.input, layer.output))
        grids = (Grid(t.dtype, t.scale, t.zero_point) for t in (x, y))
        low = layer.first - x.dtype.qmin
        assert list(layer.values) == tabulate(function, *grids)[low:].tolist()[: len(layer.values)]
    with torch.no_grad():
        scores = module(torch.from_numpy(images.transpose(0, 3, 1, 2) / 255).float()).numpy()
    y = network.tensors[network.output]
    real = (network(images).reshape(len(images), -1).astype(float) - y.zero_point) * y.scale
    noise = np.square(real - scores).mean() / np.square(scores).mean()
    assert noise < 0.02


@pytest.mark.parametrize("name", ["LeakyReLU", "SiLU", "Hardswish"])
def test_qat_computes_what_its_network_does(name, seed):
    images = pixels(seed)
    schemes = Schemes(weights=Scheme(6, True), activations=Scheme(6))
    net = QatNet.of(graph_of(net_of(MODULES[name]()), SHAPE, "net"), images, Options(schemes))
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.rand(8, *SHAPE)).square().sum().backward()
        optimizer.step()
    net = net.double().eval()
    network, found = net.lower(), net.integers(images)
    ours = network.trace(images)
    for layer in network.layers[:-1]:
        if layer.kind in ("conv2d", "table", "upsample"):
            assert np.array_equal(found[layer.name], ours[layer.output]), layer.name


def test_a_function_that_clamps_is_fused_away(seed):
    images = pixels(seed)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.LeakyReLU(0.0), nn.LeakyReLU(1.0)).eval()
    network = read(module, SHAPE, "net", images)
    assert [layer.kind for layer in network.layers] == ["conv2d"]
    (layer,), y = network.layers, network.tensors[network.output]
    assert isinstance(layer, Conv2d)
    assert layer.requant.low == y.zero_point


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.PReLU(3),
            "Layer 'layer_1': its 3 channels have slopes of their own; train nn.PReLU() with one "
            "slope, num_parameters=1",
        ),
        (
            nn.Upsample(scale_factor=1.5),
            "Layer 'layer_1': it upsamples [6, 5] to [9, 7]; upsample by an integer, such as "
            "scale_factor=2",
        ),
        (
            nn.SELU(),
            "Layer 'layer_1': the operator aten.selu.default is not supported; replace it by "
            "convolutions, linear layers, pools, additions, concatenations, activation functions "
            "of one value and nearest-neighbour upsampling",
        ),
    ],
)
def test_what_is_no_table_is_refused(module, message):
    if isinstance(module, nn.PReLU):
        nn.init.uniform_(module.weight)
    with pytest.raises(NetworkError) as error:
        graph_of(nn.Sequential(nn.Conv2d(1, 3, 1), module).eval(), SHAPE, "net")
    assert str(error.value) == message


def test_options_of_single_layers_reach_tables(seed):
    module, images = net_of(nn.SiLU()), pixels(seed)
    schemes = Schemes(activations=Scheme(5))
    graph = graph_of(module, SHAPE, "net")
    names = [node.name for node in graph.nodes if hasattr(node, "function")]
    network = quantize(graph, images, Options(layers={names[0]: schemes}))
    assert network.tensors[network.layers[1].output].dtype.bits == 5
    with pytest.raises(NetworkError, match="must have at most 10 bits, not 12; requantize it to f"):
        quantize(graph, images, Options(Schemes(activations=Scheme(12))))
