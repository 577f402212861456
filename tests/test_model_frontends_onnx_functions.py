"""Functions of one value and upsampling from ONNX, equal to ONNX Runtime on every integer."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx
from onnxgen import Model, coded, differing, grid, quantized
from tercet.model.frontends.onnx import compare, read
from tercet.model.layers import NetworkError, Relu
from tercet.model.layers.upsample import Upsample

FUNCTIONS = {
    "LeakyRelu": {"alpha": 0.1},
    "HardSigmoid": {"alpha": 0.17, "beta": 0.48},
    "HardSwish": {},
    "Elu": {"alpha": 0.7},
    "Sigmoid": {},
    "Tanh": {},
    "Gelu": {},
    "GeluTanh": {"approximate": "tanh"},
    "PRelu": {},
    "SiLU": {},
}
EVERY = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)


def applied(model, name, x):
    """A function of x, as nodes."""
    if name == "SiLU":
        return model.node("Mul", x, model.node("Sigmoid", x))
    if name == "PRelu":
        return model.node("PRelu", x, model.constant(np.full((1, 1, 1), 0.21)))
    return model.node(name.removesuffix("Tanh") or "Tanh", x, **FUNCTIONS[name])


def model_of(model, output):
    """The bytes, in the operator set that has Gelu and HardSwish."""
    proto = model.proto(output)
    proto.opset_import[0].version = 20
    proto.ir_version = 9
    return proto.SerializeToString()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("case", range(4))
def test_every_value_equals_onnx_runtimes(name, dtype, case, seed):
    rng = np.random.default_rng([seed, case])
    model = Model(rng, (1, 16, 16))
    lowest = np.iinfo(dtype).min
    scale, zero_point = np.float32(rng.uniform(0.01, 0.06)), int(rng.integers(60, 200)) + lowest
    x = grid(model, "x", scale, zero_point, dtype)
    y = applied(model, name, x)
    y = grid(
        model, y, np.float32(rng.uniform(0.004, 0.04)), int(rng.integers(0, 99)) + lowest, dtype
    )
    batch = (EVERY + lowest - zero_point) * scale
    counts, network = differing(model_of(model, y), batch)
    assert sum(counts.values()) == 0, counts
    assert [layer.kind for layer in network.layers] == ["table"]


INTEGER = ["LeakyRelu", "Sigmoid", "SiLU"]  # the others stay in floats between integer operators


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *((name, "QDQ") for name in [*INTEGER, "HardSwish", "Tanh", "Elu"]),
        *((name, "QOperator") for name in INTEGER),
    ],
)
def test_a_model_that_onnx_runtime_quantized_is_equal(name, form, tmp_path, seed):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 8, 8))
    x = model.conv("x", (4, 2, 3, 3), pads=[1] * 4)
    x = applied(model, name, x)
    y = model.conv(x, (3, 4, 1, 1))
    batch = rng.normal(0, 2, (40, 2, 8, 8)).astype(np.float32)
    source = quantized(onnx.load_from_string(model_of(model, y)), tmp_path, batch, form)
    network = read(source)
    assert [layer.kind for layer in network.layers].count("table") == 1
    assert compare(source, network).startswith("equal to ONNX Runtime in all ")


def test_a_table_that_is_read_elsewhere_stays(seed):
    model = Model(np.random.default_rng(seed), (1, 16, 16))
    x = grid(model, "x", 0.03, 120)
    s = grid(model, model.node("Sigmoid", x), 0.004, 0)
    y = grid(model, model.node("Mul", s, x), 0.02, 17)
    y = grid(model, model.node("Add", y, s), 0.021, 15)
    source = model_of(model, y)
    network = read(source)
    assert [layer.kind for layer in network.layers] == ["table", "table", "add"]
    assert compare(source, network).startswith("equal to ONNX Runtime in all ")


def test_a_function_that_clamps_becomes_a_clamp(seed):
    model = Model(np.random.default_rng(seed), (1, 16, 16))
    x = grid(model, "x", 0.03, 120)
    y = grid(model, model.node("LeakyRelu", x, alpha=0.0), 0.03, 120)
    network = read(model_of(model, y))
    (layer,) = network.layers
    assert isinstance(layer, Relu)
    assert (layer.low, layer.high) == (120, 255)


def upsampled(seed, quantize=True, **attributes):
    inputs = attributes.pop("inputs", None)
    model = Model(np.random.default_rng(seed), (2, 3, 5))
    x = grid(model, "x", 0.03, 120)
    if not quantize:
        x = model.node("Conv", x, coded(model, 2, 2, 1, 1))
    inputs = inputs(model) if inputs else ["", model.constant([1, 1, 2, 3])]
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"} | attributes
    y = model.node("Resize", x, *inputs, **{"nearest_mode": "floor"} | attributes)
    return model_of(model, grid(model, y, 0.03, 120))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor"},
        {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"},
        {
            "coordinate_transformation_mode": "pytorch_half_pixel",
            "nearest_mode": "round_prefer_floor",
        },
        {"inputs": lambda model: ["", "", model.constant([6, 15], np.int64)], "axes": [2, 3]},
        {"inputs": lambda model: ["", model.constant([2, 3])], "axes": [2, 3]},
    ],
)
def test_a_resize_equals_onnx_runtimes(attributes, seed):
    source = upsampled(seed, **attributes)
    network = read(source)
    (layer,) = network.layers
    assert isinstance(layer, Upsample)
    assert layer.factor == (2, 3)
    assert compare(source, network).startswith("equal to ONNX Runtime in all ")


def test_a_quantized_resize_is_equal(tmp_path, seed):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 8, 8))
    x = model.conv("x", (4, 2, 3, 3), pads=[1] * 4)
    x = model.node("Resize", x, "", model.constant([1, 1, 2, 2]), mode="nearest")
    y = model.conv(x, (3, 4, 3, 3))
    batch = rng.random((40, 2, 8, 8), dtype=np.float32)
    source = quantized(onnx.load_from_string(model_of(model, y)), tmp_path, batch)
    network = read(source)
    assert [layer.kind for layer in network.layers][:3] == ["conv2d", "upsample", "conv2d"]
    assert compare(source, network).startswith("equal to ONNX Runtime in all ")


REFUSED = {
    "it resizes by (1.0, 1.0, 1.5, 2.0); enlarge rows and columns by integers": {
        "inputs": lambda model: ["", model.constant([1, 1, 1.5, 2])]
    },
    "it resizes by (1.0, 2.0, 2.0, 2.0); enlarge rows and columns by integers": {
        "inputs": lambda model: ["", model.constant([1, 2, 2, 2])]
    },
    "it has 2 factors for 4 axes; export the model again": {
        "inputs": lambda model: ["", model.constant([2, 2])]
    },
    "asymmetric with ceil does not repeat each value 2 times; use coordinate_transformation_mode "
    "asymmetric with nearest_mode floor": {"nearest_mode": "ceil"},
    "its sizes set the batch to 1; export the model with a fixed batch, or resize by scales": {
        "inputs": lambda model: ["", "", model.constant([1, 2, 6, 15], np.int64)]
    },
    "coordinate_transformation_mode is 'align_corners'; use asymmetric or half_pixel": {
        "coordinate_transformation_mode": "align_corners"
    },
    "it takes floats from Node 'conv3' (Conv); put a QuantizeLinear and a DequantizeLinear between "
    "the two": {"quantize": False},
}


@pytest.mark.parametrize("message", REFUSED)
def test_another_resize_is_refused(message, seed):
    with pytest.raises(NetworkError) as error:
        read(upsampled(seed, **REFUSED[message]))
    assert str(error.value).partition("(Resize): ")[2] == message


def test_slopes_per_channel_and_products_of_two_tensors_are_refused(seed):
    model = Model(np.random.default_rng(seed), (2, 3, 5))
    x = grid(model, "x", 0.03, 120)
    y = model.node("PRelu", x, model.constant([[[0.1]], [[0.2]]]))
    with pytest.raises(NetworkError, match="its 2 channels have slopes of their own; train it wi"):
        read(model_of(model, grid(model, y, 0.03, 120)))
    model = Model(np.random.default_rng(seed), (2, 3, 5))
    x = grid(model, "x", 0.03, 120)
    other = grid(model, model.node("Conv", x, coded(model, 2, 2, 1, 1)), 0.1, 9)
    y = grid(model, model.node("Mul", x, other), 0.03, 120)
    with pytest.raises(NetworkError, match="it multiplies two tensors of which neither is a funct"):
        read(model_of(model, y))
