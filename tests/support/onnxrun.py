"""Networks to export, and ONNX Runtime beside the golden model; import it where both are there."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
from tercet.model import QNetwork
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.exporters.onnx import write
from tercet.model.frontends.onnx.session import session_of
from tercet.model.fuzz.convs import network_of
from tercet.model.fuzz.draws import INT8, UINT8, random_weights
from tercet.model.layers import Tensor
from tercet.model.layers.conv import Conv2d
from tercet.model.layers.linear import Linear
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding
from tercet.model.search.policies import fixed, float32

LEVELS = [
    ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
]
FUSED = LEVELS[2:]


def session(content, level=None, optimized=None, config=None):
    def options():
        made = ort.SessionOptions()
        made.intra_op_num_threads = 1
        if level is not None:
            made.graph_optimization_level = level
        if optimized is not None:
            made.optimized_model_filepath = str(optimized)
        return made

    return session_of(content, config, options)


def every_tensor(content, network):
    """The model with every tensor of the network among its outputs."""
    model = onnx.load_from_string(content)
    inner = list(model.graph.value_info)
    model.graph.output.extend(v for v in inner if v.name in network.tensors)
    return model.SerializeToString()


def assert_equal(network, images, level=None, content=None, config=None):
    """ONNX Runtime gives every tensor of the golden model, in its dtype."""
    content = every_tensor(write(network) if content is None else content, network)
    running = session(content, level, config=config)
    names = [output.name for output in running.get_outputs()]
    expected = network.trace(images)
    assert {*names, network.input} == set(expected)
    x = np.ascontiguousarray(network.images(images).transpose(0, 3, 1, 2))
    for name, got in zip(names, running.run(names, {network.input: x}), strict=True):
        wanted = expected[name].transpose(0, 3, 1, 2)
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted.reshape(got.shape), err_msg=name)


def facts(content):
    """{layer: its node's metadata}"""
    nodes = onnx.load_from_string(content).graph.node
    return {n.name: {p.key: p.value for p in n.metadata_props} for n in nodes if n.metadata_props}


def forms(content):
    return {name: f["form"] for name, f in facts(content).items() if "form" in f}


def operators(rng, image=UINT8, small=INT8, rounding=Rounding.HALF_UP, weight_type=INT8, bits=16):
    """All operators, a fork, and tensors at one position; every grid drawn."""
    builder = Builder("operators")
    rescale = fixed(bits, rounding)

    def grid(dtype):
        zero_point = int(rng.integers(dtype.qmin, dtype.qmax, endpoint=True))
        return Grid(dtype, float(rng.uniform(0.01, 0.05)), zero_point)

    def weights(*shape):
        return random_weights(rng, shape, weight_type, symmetric=bool(rng.integers(2)))

    def bias(count):
        return rng.integers(-3000, 3000, count)

    x = builder.input((7, 6, 2), grid(image))
    around = Window(padding=(1, 1, 1, 1))
    a = builder.conv2d(
        "a", x, weights(4, 3, 3, 2), bias(4), Output(grid(image), rescale), window=around
    )
    b = builder.conv2d(
        "b", a, weights(4, 3, 3, 1), bias(4), Output(grid(small), rescale), window=around, groups=4
    )
    y = builder.add("sum", a, b, Output(grid(small), rescale))
    middle = (small.qmin + small.qmax) // 2
    y = builder.relu("relu", y, middle, small.qmax - 1)
    y = builder.max_pool2d("max", y, (3, 2), Window((2, 1), (1, 0, 1, 1)))
    y = builder.avg_pool2d(
        "avg", y, (2, 3), Window((2, 2), (1, 1, 0, 1)), Output(grid(image), rescale)
    )
    y = builder.flatten("flat", y)
    count = y.shape[2]
    y = builder.linear("fc1", y, weights(7, 1, 1, count), bias(7), Output(grid(image), rescale))
    z = builder.linear(
        "fc2", y, weights(7, 1, 1, 7), np.zeros(7, np.int64), Output(grid(image), rescale)
    )
    y = builder.add("sum2", y, z, Output(grid(image), rescale))
    y = builder.relu("relu2", y, image.qmin + 1, image.qmax)
    y = builder.max_pool2d("max2", y, (1, 1), Window())
    y = builder.conv2d(
        "again", y, weights(5, 3, 3, 7), bias(5), Output(grid(image), rescale), window=around
    )
    builder.avg_pool2d("logits", y, (1, 1), Window(), Output(grid(small), rescale))
    return builder.network()


def with_offsets(rng, net):
    """The network with offsets of up to some output steps, one or one per channel."""
    layers = []
    for layer in net.layers:
        if hasattr(layer, "requant"):
            most = 3 << layer.requant.shift
            channels = layer.out_channels if isinstance(layer, Conv2d) else 1
            count = int(rng.choice([1, channels]))
            offsets = tuple(int(v) for v in rng.integers(-most, most, count, endpoint=True))
            layer = replace(layer, requant=replace(layer.requant, offsets=offsets))
        layers.append(layer)
    return QNetwork(net.name, net.input, net.tensors, layers)


def two_inputs(rng, rounding, *, zero_point=100, multiplier=None, offset=0, low=0, high=255):
    """A linear layer acc = (x0 - Zx) + 127 * (x1 - Zx) + bias: 65536 images give every acc."""
    requant = Requant(
        (int(rng.integers(1, 1 << 16)) if multiplier is None else multiplier,),
        22,
        rounding,
        low,
        high,
        offsets=(offset,),
    )
    x = Tensor("image", (1, 1, 2), UINT8, 0.5, zero_point)
    y = Tensor("logits", (1, 1, 1), UINT8, 0.25, int(rng.integers(0, 256)))
    weights = Weights(np.array([1, 127]).reshape(1, 1, 1, 2), INT8, (0.01,))
    bias = rng.integers(-2000, 2000, 1)
    return network_of(x, [Linear("fc", "image", "logits", weights, bias, requant=requant)], [y])


EVERY_PAIR = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).reshape(-1, 1, 1, 2)


def fused_chain(rng):
    """A convolution over the whole map and two linear layers, by ONNX Runtime's own factors."""
    builder = Builder("chain")
    x = builder.input((5, 4, 3), Grid(UINT8, 0.02, 7))
    for name, count, scale in (("a", 6, 25.0), ("b", 8, 8e3), ("c", 5, 3e6)):
        shape = (count, *x.shape)
        scales = rng.uniform(1, 2, count).astype(np.float32)
        weights = Weights(rng.integers(-127, 128, shape), INT8, tuple(scales.tolist()))
        grid = Grid(UINT8, scale, int(rng.integers(256)))
        rescale = float32(list(np.float32(x.scale) * scales / np.float32(scale)))
        bias = rng.integers(-999, 999, count)
        add = builder.conv2d if name == "a" else builder.linear
        x = add(name, x, weights, bias, Output(grid, rescale))
    return builder.network()
