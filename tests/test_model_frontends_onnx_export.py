"""Networks as ONNX files: ONNX Runtime gives every tensor of the golden model, bit for bit."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from netgen import (
    INT8,
    UINT8,
    network_of,
    random_conv,
    random_images,
    random_network,
    random_tensor,
    random_weights,
)
from tercet.model import NetworkError, QNetwork, load
from tercet.model.arith import Rounding
from tercet.model.builder import Builder, Grid, Window
from tercet.model.conv import Conv2d
from tercet.model.data import mnist
from tercet.model.dtypes import IntType
from tercet.model.layers import Argmax, Flatten, Relu, Tensor
from tercet.model.linear import Linear
from tercet.model.ranges import accumulator_ranges
from tercet.model.requant import Requant, requantize
from tercet.model.rescale import fixed, float32
from tercet.model.weights import Weights

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from tercet.model.frontends.onnx import read  # noqa: E402
from tercet.model.frontends.onnx_export import write  # noqa: E402
from tercet.model.frontends.onnx_export_qdq import NoScaleError, weight_scales  # noqa: E402

LEVELS = [
    ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
]
FUSED = LEVELS[2:]


def session(content, level=None, optimized=None, config=None):
    options = ort.SessionOptions()
    for key, value in (config or {}).items():
        options.add_session_config_entry(key, value)
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if level is not None:
        options.graph_optimization_level = level
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


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
    a = builder.conv2d("a", x, weights(4, 3, 3, 2), bias(4), grid(image), rescale, window=around)
    b = builder.conv2d(
        "b", a, weights(4, 3, 3, 1), bias(4), grid(small), rescale, window=around, groups=4
    )
    y = builder.add("sum", a, b, grid(small), rescale)
    middle = (small.qmin + small.qmax) // 2
    y = builder.relu("relu", y, middle, small.qmax - 1)
    y = builder.max_pool2d("max", y, (3, 2), Window((2, 1), (1, 0, 1, 1)))
    y = builder.avg_pool2d("avg", y, (2, 3), Window((2, 2), (1, 1, 0, 1)), grid(image), rescale)
    y = builder.flatten("flat", y)
    count = y.shape[2]
    y = builder.linear("fc1", y, weights(7, 1, 1, count), bias(7), grid(image), rescale)
    z = builder.linear("fc2", y, weights(7, 1, 1, 7), np.zeros(7, np.int64), grid(image), rescale)
    y = builder.add("sum2", y, z, grid(image), rescale)
    y = builder.relu("relu2", y, image.qmin + 1, image.qmax)
    y = builder.max_pool2d("max2", y, (1, 1), Window())
    y = builder.conv2d(
        "again", y, weights(5, 3, 3, 7), bias(5), grid(image), rescale, window=around
    )
    builder.avg_pool2d("logits", y, (1, 1), Window(), grid(small), rescale)
    return builder.network()


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize(
    "widths", [(8, 8, 8), (2, 3, 2), (5, 7, 4), (16, 16, 8), (12, 8, 6), (20, 24, 3)]
)
def test_every_operator_width_and_rounding_gives_the_same_integers(seed, rounding, widths):
    rng = np.random.default_rng(seed)
    for signs in ((False, True, True), (True, False, False)):
        types = [IntType(bits, sign) for bits, sign in zip(widths, signs, strict=True)]
        for bits in (8, 30):
            net = operators(rng, types[0], types[1], rounding, types[2], bits)
            assert_equal(net, random_images(rng, net.tensors[net.input], 5))


@pytest.mark.parametrize("index", range(25))
def test_random_networks_give_the_same_integers(seed, index):
    rng = np.random.default_rng((seed, index))
    net = random_network(
        rng,
        windows=True,
        symmetric=bool(rng.integers(2)),
        weight_type=IntType(int(rng.integers(2, 9)), bool(rng.integers(2))),
        rounding=list(Rounding)[index % 5],
    )
    assert_equal(net, random_images(rng, net.tensors[net.input], 4))


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


@pytest.mark.parametrize("rounding", list(Rounding))
def test_offsets_by_layer_and_by_channel(seed, rounding):
    rng = np.random.default_rng(seed)
    for bits in (12, 30):
        net = with_offsets(rng, operators(rng, rounding=rounding, bits=bits))
        assert_equal(net, random_images(rng, net.tensors["image"], 5))


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_the_explicit_form_is_exact_at_every_optimization_level(seed, level):
    rng = np.random.default_rng(seed)
    for rounding in Rounding:
        net = operators(rng, rounding=rounding)
        content = write(net, explicit=True)
        assert set(forms(content).values()) == {"explicit"}
        assert_equal(net, random_images(rng, net.tensors[net.input], 3), level, content)


def targets(content, level, tmp_path):
    """How often each operator stands in what ONNX Runtime makes of a model."""
    path = tmp_path / "optimized.onnx"
    session(content, level, path)
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("level", FUSED, ids=str)
def test_every_layer_in_qdq_form_is_fused_and_no_other(seed, level, tmp_path):
    seen = Counter()
    for index in range(16):
        rng = np.random.default_rng((seed, index))
        if index % 2:
            net = random_network(
                rng,
                windows=True,
                rounding=list(Rounding)[index % 5],
                output_type=INT8 if index % 4 == 1 else UINT8,
            )
        else:
            image = INT8 if index % 4 == 2 else UINT8
            net = operators(rng, image, UINT8, Rounding.FLOAT32, bits=24)
        content = write(net)
        found = Counter(forms(content).values())
        got = targets(content, level, tmp_path)
        assert got["QLinearConv"] + got["QGemm"] == found["qdq"]
        assert got["QuantizeLinear"] == 0
        assert_equal(net, random_images(rng, net.tensors[net.input], 3), level, content)
        seen += found
    assert min(seen["qdq"], seen["explicit"]) >= 5


def test_weights_that_the_session_makes_unsigned_give_the_same_integers(seed):
    # what x86 without VNNI needs, so as not to saturate
    rng = np.random.default_rng(seed)
    config = {"session.x64quantprecision": "1"}
    for net in (fused_chain(rng), random_network(rng, shape=(12, 9, 3), windows=True)):
        assert "qdq" in forms(write(net)).values()
        assert_equal(net, random_images(rng, net.tensors["image"], 9), config=config)


@pytest.mark.mnist
@pytest.mark.parametrize("name", ["plain", "separable"])
@pytest.mark.parametrize("explicit", [False, True])
def test_the_shipped_networks_on_mnist(name, explicit):
    net = load(name)
    content = write(net, explicit=explicit)
    assert set(forms(content).values()) == {"explicit" if explicit else "qdq"}
    assert_equal(net, mnist("test").images[:1000, ..., None], content=content)


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
    return network_of(x, [Linear("fc", "image", "logits", weights, bias, requant)], [y])


EVERY_PAIR = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).reshape(-1, 1, 1, 2)


def test_every_accumulator_of_a_layer_in_both_forms(seed):
    rng = np.random.default_rng(seed)
    seen = set()
    for rounding in Rounding:
        # random; a power of two, so that ties abound; a float32 exactly
        for multiplier in (None, None, 1 << 14, 3 << 13):
            net = two_inputs(rng, rounding, multiplier=multiplier, low=3, high=250)
            content = write(net)
            seen.add((rounding, *forms(content).values()))
            assert_equal(net, EVERY_PAIR, content=content)
            assert_equal(net, EVERY_PAIR, content=write(net, explicit=True))
    assert seen >= {
        (Rounding.FLOOR, "explicit"),
        (Rounding.HALF_UP, "explicit"),
        *((rule, "qdq") for rule in Rounding if rule is not Rounding.FLOOR),
    }


def fused_output(layer, x, y, scale, acc):
    """What a fused node gives, told once more."""
    product = acc.astype(np.float32) * (np.float32(x.scale) * scale / np.float32(y.scale))
    return np.clip(np.rint(product) + y.zero_point, layer.requant.low, layer.requant.high)


def test_a_scale_is_found_where_there_is_one_and_holds_on_every_accumulator(seed):
    rng = np.random.default_rng(seed)
    found = refused = 0
    for index in range(60):
        offset = int(rng.integers(-3, 4)) << 15 if index % 3 == 0 else 0
        net = two_inputs(rng, list(Rounding)[index % 5], offset=offset)
        layer, x, y = net.layers[0], net.tensors["image"], net.tensors["logits"]
        reach = accumulator_ranges(net, layer)
        acc = np.arange(reach[0][0], reach[1][0] + 1)
        expected = requantize(acc[:, None], layer.requant, y.zero_point)[:, 0]
        try:
            (scale,) = weight_scales(layer, x, y, reach)
        except NoScaleError:
            refused += 1
            middle = np.float32(layer.requant.multipliers[0] / 2**22 * y.scale / x.scale)
            for scale in (middle.view(np.int32) + np.arange(-99, 100)).view(np.float32):
                assert (fused_output(layer, x, y, scale, acc) != expected).any()
        else:
            found += 1
            np.testing.assert_array_equal(fused_output(layer, x, y, scale, acc), expected)
    assert min(found, refused) >= 10


@pytest.mark.parametrize("rounding", list(Rounding))
def test_products_beyond_float64_and_offsets_are_exact(seed, rounding):
    rng = np.random.default_rng(seed)
    for multiplier, shift, offset in (
        ((1 << 31) - 1, 46, 0),
        ((1 << 31) - 1, 47, -(1 << 46) + 1),
        (1 << 30, 46, 1 << 45),
        (12345, 30, (1 << 61) - 1),
        (12345, 24, -(1 << 23)),
        (1, 0, 0),
        (1, 61, 1 << 60),
        (3 << 28, 52, 7),
    ):
        net = two_inputs(rng, rounding)
        requant = Requant((multiplier,), shift, rounding, 0, 255, offsets=(offset,))
        layer = replace(net.layers[0], requant=requant)
        changed = QNetwork(net.name, net.input, net.tensors, [layer])
        assert_equal(changed, EVERY_PAIR[:: int(rng.integers(5, 20))])


@pytest.mark.parametrize("rounding", list(Rounding))
def test_ties_beyond_float64(seed, rounding):
    # products of up to 54 bits; acc = (k + 1/2) * 2**15 is a tie, met by x0 - Zx + 127 * (x1 - Zx)
    rng = np.random.default_rng(seed)
    acc = (np.arange(-120, 120)[:, None] * 2 + 1) * (1 << 14) + np.array([-1, 0, 1])
    zero_point, bias = 1 << 15, int(rng.integers(-99, 99))
    images = np.full((acc.size, 1, 1, 4), zero_point)
    images[:, 0, 0, :2] += np.stack(np.divmod(acc.ravel() - bias, 127)[::-1], axis=-1)
    x = Tensor("image", (1, 1, 4), IntType(16, signed=False), 0.5, zero_point)
    y = Tensor("logits", (1, 1, 1), UINT8, 0.25, 128)
    requant = Requant((1 << 30,), 45, rounding, 0, 255)
    weights = Weights(np.array([1, 127, 127, 127]).reshape(1, 1, 1, 4), INT8, (0.01,))
    layer = Linear("fc", "image", "logits", weights, np.array([bias]), requant)
    net = network_of(x, [layer], [y])
    assert "Mod" in {node.op_type for node in onnx.load_from_string(write(net)).graph.node} or (
        rounding is Rounding.FLOAT32
    )
    assert_equal(net, images)


@pytest.mark.parametrize(
    ("kind", "bits", "count", "digits"),
    [
        ("conv2d", 3, 40_000, 2),
        ("linear", 8, 30_000, 4),
        ("conv2d", 16, 60, 2),
        ("linear", 16, 60, 2),
        ("avg_pool2d", 16, 1600, 2),
    ],
)
def test_sums_beyond_float32_are_split_into_digits(seed, kind, bits, count, digits):
    rng = np.random.default_rng(seed)
    builder = Builder("wide")
    image, zero_point = IntType(bits, signed=False), 1 << (bits - 1) if bits < 16 else 0
    rescale = fixed(30, Rounding.HALF_EVEN)
    shape = (40, 40, 1) if kind == "avg_pool2d" else (1, 1, count)
    x = builder.input(shape, Grid(image, 1.0, zero_point))
    middle = 128 if zero_point else 0
    if kind == "avg_pool2d":
        y = Grid(UINT8, 2.0 ** (bits - 8), middle)
        builder.avg_pool2d("logits", x, (40, 40), Window(), y, rescale)
    else:
        weights = Weights(rng.integers(-128, 128, (2, 1, 1, count)), INT8, (1.0,), (-128,))
        y = Grid(UINT8, count * 2.0 ** (bits - 1), middle)
        getattr(builder, kind)("logits", x, weights, np.array([1 << 20, -3]), y, rescale)
    net = builder.network()
    images = random_images(rng, x, 30)
    for image, level in zip(images[2:], np.linspace(0, 1, 28), strict=True):
        image[:] = image * level  # from black to bright, so that the sums differ
    assert_equal(net, images)
    content = write(net, explicit=True)
    assert_equal(net, images, content=content)
    sums = [n for n in onnx.load_from_string(content).graph.node if n.op_type in ("Conv", "Gemm")]
    assert len(sums) == digits
    assert len(np.unique(net(images))) > 20


def from_floats(content, network):
    """The model as the reader takes it: real images are quantized first, and scores come last."""
    model = onnx.load_from_string(content)
    graph, x = model.graph, network.tensors[network.input]
    images = graph.input[0]
    names = ["real", "real_scale", "real_zero_point"]
    graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(value, dtype), name)
        for value, dtype, name in (
            (x.scale, np.float32, names[1]),
            (x.zero_point, x.dtype.numpy, names[2]),
        )
    )
    graph.node.insert(0, onnx.helper.make_node("QuantizeLinear", names, [images.name]))
    images.name, images.type.tensor_type.elem_type = "real", onnx.TensorProto.FLOAT
    del graph.output[1:]
    return model.SerializeToString()


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
        x = add(name, x, weights, bias, grid, rescale)
    return builder.network()


@pytest.mark.parametrize("name", ["plain", "separable", "chain"])
def test_the_reader_reads_what_was_written_in_qdq_form(seed, name):
    rng = np.random.default_rng(seed)
    net = fused_chain(rng) if name == "chain" else load(name)
    content = write(net)
    assert set(forms(content).values()) == {"qdq"}
    again = read(from_floats(content, net))
    images = random_images(rng, net.tensors[net.input], 200)
    first, second = net.trace(images), again.trace(images)
    for layer in net.layers:
        if isinstance(layer, Conv2d):
            np.testing.assert_array_equal(second[layer.output], first[layer.output])
    np.testing.assert_array_equal(again(images), net(images))
    assert len(np.unique(net(images))) > 20


def test_zero_points_that_differ_by_channel_are_written_out(seed):
    # older versions of ONNX Runtime refuse them in the fused node
    net = fused_chain(np.random.default_rng(seed))
    first = net.layers[0]
    zero_points = (1, 2, 3, 3, 2, 1)
    layer = replace(first, weights=replace(first.weights, zero_points=zero_points))
    net = QNetwork("differing", net.input, net.tensors, [layer, *net.layers[1:]])
    content = write(net)
    assert facts(content)["a"]["why"] == "the zero points of the weights differ"
    assert_equal(net, random_images(np.random.default_rng(seed), net.tensors["image"], 50))


def test_one_session_takes_any_batch(seed):
    rng = np.random.default_rng(seed)
    net = operators(rng)
    running = session(write(net))
    assert [o.name for o in running.get_outputs()] == ["logits", "class"]
    assert running.get_inputs()[0].shape == ["N", 2, 7, 6]
    for count in (1, 5):
        images = random_images(rng, net.tensors["image"], count)
        scores, index = running.run(None, {"image": images.transpose(0, 3, 1, 2)})
        np.testing.assert_array_equal(scores, net(images))
        np.testing.assert_array_equal(index[:, 0], net(images).argmax(axis=1))


def test_the_same_network_gives_the_same_bytes(seed):
    first = operators(np.random.default_rng(seed))
    second = operators(np.random.default_rng(seed))
    assert write(first) == write(second)
    assert write(first) != write(first, explicit=True)


def test_names_of_the_network_come_before_those_of_the_file(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "first/acc", (4, 4, 2))
    first, y = random_conv(rng, x, name="first", kernel=(2, 2))
    y = replace(y, name="first/w")
    second, z = random_conv(rng, y, name="second", kernel=(2, 2))
    net = network_of(x, [replace(first, output="first/w"), second], [y, z])
    for explicit in (False, True):
        content = write(net, explicit=explicit)
        assert_equal(net, random_images(rng, x, 3), content=content)


@pytest.mark.parametrize(
    "kinds", ["flatten relu", "relu flatten", "argmax conv", "flatten conv", "conv relu conv"]
)
def test_tensors_at_one_position(seed, kinds):
    rng = np.random.default_rng(seed)
    image = tensor = random_tensor(rng, "image", (1, 1, 6))
    layers, tensors = [], []
    for index, kind in enumerate(kinds.split()):
        x, name = tensor, f"{kind}{index}"
        tensor = replace(x, name=name)
        if kind == "conv":
            layer, tensor = random_conv(rng, x, name=name)
        elif kind == "argmax":
            layer, tensor = Argmax(name, x.name, name), Tensor(name, (1, 1, 1), UINT8, 1.0, 0)
        elif kind == "relu":
            layer = Relu(name, x.name, name, low=30, high=200)
        else:
            layer = Flatten(name, x.name, name)
        layers.append(layer)
        tensors.append(tensor)
    assert_equal(network_of(image, layers, tensors), random_images(rng, image, 6))


def test_a_network_of_an_argmax_alone(seed):
    x = Tensor("image", (1, 1, 6), IntType(12, signed=True), 1.0, 0)
    y = Tensor("class", (1, 1, 1), IntType(3, signed=False), 1.0, 0)
    net = network_of(x, [Argmax("best", "image", "class")], [y])
    assert [o.name for o in session(write(net)).get_outputs()] == ["class"]
    images = random_images(np.random.default_rng(seed), x, 9)
    images[3] = 7  # equal scores: the first
    assert_equal(net, images)


def test_the_file_tells_scales_zero_points_forms_and_reasons():
    net = load("plain")
    conv1 = net.layers[0]
    net = QNetwork(
        "told",
        net.input,
        net.tensors,
        [replace(conv1, requant=replace(conv1.requant, rounding=Rounding.FLOOR)), *net.layers[1:]],
    )
    model = onnx.load_from_string(write(net))
    values = {v.name: v for v in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
    assert set(values) == set(net.tensors)
    for name, tensor in net.tensors.items():
        told = {p.key: p.value for p in values[name].metadata_props}
        assert told == {
            "type": str(tensor.dtype),
            "scale": repr(tensor.scale),
            "zero_point": str(tensor.zero_point),
        }
    told = facts(model.SerializeToString())
    assert set(told) == {layer.name for layer in net.layers}
    assert told["conv1"]["form"] == "explicit"
    assert told["conv1"]["why"] == "no float32 scale gives channel 0 the same integers"
    assert told["conv1"]["rounding"] == "floor"
    assert told["conv1"]["weight_scales"] == repr(conv1.weights.scales[0])
    assert told["conv2"]["form"] == "qdq"
    assert told["conv2"]["shift"] == str(net.layers[1].requant.shift)
    scales = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    assert scales["conv2/y_scale"] == np.float32(net.tensors["conv2"].scale)
    assert scales["conv2/x_scale"] == np.float32(net.tensors["conv1"].scale)
    assert (scales["conv2/weight_scales"] > 0).all()


def refused(net, message):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        write(net)


def test_what_onnx_cannot_carry_is_refused(seed):
    rng = np.random.default_rng(seed)
    wide = IntType(25, signed=True)
    x = random_tensor(rng, "image", (2, 2, 1), wide, 0)
    relu = Relu("relu", "image", "y", low=0, high=9)
    refused(
        network_of(x, [relu], [replace(x, name="y")]),
        "The input: 'image' must have at most 24 bits to be exported to ONNX, not 25; "
        "requantize it to fewer",
    )
    x = random_tensor(rng, "image", (2, 2, 1))
    conv, y = random_conv(rng, x, output_type=wide)
    refused(
        network_of(x, [conv], [y]),
        "Layer 'conv': 'conv_out' must have at most 24 bits to be exported to ONNX, not 25; "
        "requantize it to fewer",
    )
    for name in ("", "\ud800"):
        conv, y = random_conv(rng, x)
        refused(
            network_of(x, [replace(conv, output=name)], [replace(y, name=name)]),
            f"Layer 'conv': a tensor's name in ONNX must be a text, not {name!r}; rename it",
        )
    x = Tensor("image", (1, 1, 1 << 16), IntType(2, signed=True), 1.0, 0)
    weights = Weights(np.full((1, 1, 1, 1 << 16), -128), INT8, (1.0,))
    requant = Requant((1,), 20, Rounding.FLOOR, 0, 255)
    layer = Linear("fc", "image", "logits", weights, np.zeros(1, np.int64), requant)
    refused(
        network_of(x, [layer], [Tensor("logits", (1, 1, 1), UINT8, 1.0, 0)]),
        "Layer 'fc': the magnitudes of its weights must add up to less than 2**23 to be summed "
        "exactly in ONNX's float32, not to 8388608; split its input channels",
    )
