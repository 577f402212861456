"""What cannot be read from ONNX is refused in one sentence, and nothing else is opened."""

import re

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper
from onnxgen import Model
from tercet.model.frontends.onnx import read
from tercet.model.layers import NetworkError


def proto():
    """A convolution with a bias, in QDQ form; constants count from 0 in the order given here."""
    model = Model(np.random.default_rng(0), (2, 9, 8))

    def grid(x, scale, zero_point):
        names = model.constant(scale), model.constant(zero_point, np.uint8)
        x = model.node("QuantizeLinear", x, *names)
        return model.node("DequantizeLinear", x, *names)

    x = grid("x", 0.01, 0)  # 0, 1
    weights = model.constant(model.rng.integers(-9, 9, (3, 2, 3, 3)), np.int8)  # 2
    w = model.node("DequantizeLinear", weights, model.constant(0.02))  # 3
    bias = model.constant([1, 2, 3], np.int32)  # 4
    b = model.node("DequantizeLinear", bias, model.constant(0.0002))  # 5
    return model.proto(grid(model.node("Conv", x, w, b), 0.03, 10))  # 6, 7


def node(model, op):
    return next(node for node in model.graph.node if node.op_type == op)


def constant(number, values):
    """A change of one constant."""

    def change(model):
        tensor = model.graph.initializer[number]
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), tensor.name))

    return change


def attribute(op, name, value):
    return lambda model: node(model, op).attribute.append(helper.make_attribute(name, value))


def field(of, name, value):
    return lambda model: setattr(of(model), name, value)


def conv(model):
    return node(model, "Conv")


def height(model):
    return model.graph.input[0].type.tensor_type.shape.dim[2]


def external(model):
    tensor = model.graph.initializer[2]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")


def turned_around(model):
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def cyclic(model):
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def truncated(model):
    model.graph.initializer[2].raw_data = b"abc"


def huge(model):
    model.graph.initializer[2].dims[0] = 1 << 40


def subgraph(model):
    graph = helper.make_graph([], "inner", [], [])
    conv(model).attribute.append(helper.make_attribute("body", graph))


def float_bias(model):
    floats = numpy_helper.from_array(np.ones(3, np.float32), "floats")
    model.graph.initializer.append(floats)
    conv(model).input[2] = "floats"


CONV = "Node 'conv4' (Conv): "
QUANTIZE = "Node 'quantizelinear0' (QuantizeLinear): "
WEIGHTS = "Node 'dequantizelinear2' (DequantizeLinear): "
EXTENTS = (
    "The input 'x' must have the extents (N, C, H, W) or (N, K), each but N fixed and at most "
    "65536, not (N, 2, {}, 8); export it with a fixed shape"
)
REFUSED = {
    "zero scale": (
        constant(0, np.float32(0)),
        QUANTIZE + "scale 'constant0' must be positive and finite, not 0.0; "
        "calibrate the model again",
    ),
    "negative scale": (
        constant(3, np.float32(-1)),
        WEIGHTS + "scale 'constant3' must be positive and finite, not -1.0; "
        "calibrate the model again",
    ),
    "no number": (
        constant(3, np.float32(np.nan)),
        WEIGHTS + "scale 'constant3' must be positive and finite, not nan; "
        "calibrate the model again",
    ),
    "infinite scale": (
        constant(6, np.float32(np.inf)),
        "Node 'quantizelinear5' (QuantizeLinear): scale 'constant6' must be positive and finite, "
        "not inf; calibrate the model again",
    ),
    "a factor that overflows": (
        lambda model: [constant(number, np.float32(3e38))(model) for number in (3, 5)],
        CONV + "the bias has another scale than the accumulator; "
        "quantize it at the product of input scale and weight scale",
    ),
    "float64": (
        constant(3, np.float64(1)),
        WEIGHTS + "scale 'constant3' is float64 with the extents []; "
        "use float32, per tensor or per channel",
    ),
    "activations per channel": (
        constant(0, np.ones(2, np.float32)),
        QUANTIZE + "activations are quantized per channel; quantize them per tensor",
    ),
    "weights along another axis": (
        constant(3, np.ones(2, np.float32)),
        CONV + "weight scales run along axis 1; quantize per output channel (0)",
    ),
    "too few scales": (
        lambda model: (
            constant(3, np.ones(2, np.float32))(model),
            attribute("DequantizeLinear", "axis", 0)(model),
            model.graph.node[2].attribute.append(helper.make_attribute("axis", 0)),
        ),
        CONV + "2 weight scales and 1 zero points do not go with 3 output channels; "
        "give one, or one per channel",
    ),
    "int16": (
        constant(1, np.int16(0)),
        QUANTIZE + "zero point 'constant1' is int16; "
        "quantize to uint8 or int8, per tensor or per channel",
    ),
    "types mixed": (
        constant(7, np.int8(0)),
        CONV + "input, weights and output are uint8, int8 and int8; "
        "give input and output one type, int8 activations int8 weights",
    ),
    "bias of another scale": (
        constant(5, np.float32(0.1)),
        CONV + "the bias has another scale than the accumulator; "
        "quantize it at the product of input scale and weight scale",
    ),
    "bias too short": (
        constant(4, np.ones(1, np.int32)),
        CONV + "the bias is int32 with the extents [1]; use int32 (3,)",
    ),
    "bias in floats": (
        float_bias,
        CONV + "input 'floats' is no quantized constant; "
        "quantize weights as int8 or uint8, a bias as int32",
    ),
    "weights of three axes": (
        constant(2, np.ones((3, 2, 3), np.int8)),
        CONV + "weights have 3 axes; use a 2-d convolution (OC, IC, KH, KW)",
    ),
    "wide weights": (
        constant(2, np.ones((3, 2, 3, 3), np.int32)),
        CONV + "weights are int32; quantize them as int8 or uint8",
    ),
    "tensor missing": (
        lambda model: model.graph.initializer.remove(model.graph.initializer[2]),
        WEIGHTS + "input 'constant2' is written by no earlier node; "
        "sort the graph, or add the missing tensor",
    ),
    "tensor truncated": (
        truncated,
        WEIGHTS + "tensor 'constant2' does not hold the values its type and extents ask for; "
        "export the model again",
    ),
    "tensor of absurd extents": (
        huge,
        WEIGHTS + "tensor 'constant2' has the extents [1099511627776, 2, 3, 3]; "
        "export the model again",
    ),
    "tensor elsewhere": (
        external,
        WEIGHTS + "tensor 'constant2' is stored outside the file; "
        "save the model with all tensors inside",
    ),
    "unsorted": (
        turned_around,
        "Node 'dequantizelinear6' (DequantizeLinear): input 'quantizelinear5' is written by no "
        "earlier node; sort the graph, or add the missing tensor",
    ),
    "cyclic": (
        cyclic,
        QUANTIZE + "input 'dequantizelinear6' is written by no earlier node; "
        "sort the graph, or add the missing tensor",
    ),
    "written twice": (
        lambda model: model.graph.node[1].output.__setitem__(0, "quantizelinear0"),
        "Node 'dequantizelinear1' (DequantizeLinear): output 'quantizelinear0' is written twice; "
        "rename one of them",
    ),
    "subgraph": (
        subgraph,
        CONV + "subgraphs are not supported; export a plain chain of operators",
    ),
    "operator of another domain": (
        field(conv, "domain", "my.ops"),
        CONV + "operators of 'my.ops' are not supported; export without them",
    ),
    "batch normalization": (
        field(conv, "op_type", "BatchNormalization"),
        "Node 'conv4' (BatchNormalization): the operator is not supported; "
        "fold it into the convolution (onnxruntime.quantization.preprocess)",
    ),
    "groups": (
        attribute("Conv", "group", 2),
        "Layer 'conv4': groups=2 must divide 3 output channels and split the 2 channels of "
        "'image' into the 2 of the weights",
    ),
    "no stride": (
        attribute("Conv", "strides", [0, 1]),
        CONV + "strides [0, 1] and dilations [1, 1] must be at least 1; export the model again",
    ),
    "absurd pads": (
        attribute("Conv", "pads", [1 << 40, 0, 0, 0]),
        CONV + "pads must be 4 integers of at most 1024, not [1099511627776, 0, 0, 0]; "
        "use a 2-d operator",
    ),
    "text for a list": (
        attribute("Conv", "strides", "1"),
        CONV + "strides must be a list of integers; export the model again",
    ),
    "another kernel": (
        attribute("Conv", "kernel_shape", [2, 2]),
        CONV + "kernel_shape must be [3, 3], not [2, 2]; export again",
    ),
    "unknown padding": (
        attribute("Conv", "auto_pad", "ODD"),
        CONV + "auto_pad is b'ODD'; give explicit pads",
    ),
    "blocks": (
        attribute("QuantizeLinear", "block_size", 2),
        QUANTIZE + "block_size must be 0, not 2; quantize per tensor or per channel",
    ),
    "output in floats": (
        lambda model: setattr(model.graph.output[0], "name", "conv4"),
        "The output 'conv4' is not quantized; put a QuantizeLinear behind its operator",
    ),
    "two outputs": (
        lambda model: model.graph.output.append(model.graph.input[0]),
        "The model must have one input and one output, not 1 and 2; cut the others off",
    ),
    "old operators": (
        lambda model: setattr(model.opset_import[0], "version", 7),
        "The model's operator set must be 10 to 28, not 7; export it with one of these",
    ),
    "input of integers": (
        lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 2),
        "The input 'x' must be float32; let a QuantizeLinear make integers of it",
    ),
    "height unknown": (field(height, "dim_param", "H"), EXTENTS.format("H")),
    "height negative": (field(height, "dim_value", -4), EXTENTS.format(-4)),
    "height absurd": (field(height, "dim_value", 1 << 40), EXTENTS.format(1 << 40)),
    "kernel too large": (
        field(height, "dim_value", 2),
        "Layer 'conv4': the kernel does not fit its input; make the map larger or pad it",
    ),
}


def test_the_model_is_read_as_it_is():
    assert [layer.kind for layer in read(proto().SerializeToString()).layers] == ["conv2d"]


def test_a_bias_of_zeros_may_have_any_scale():
    model = proto()
    constant(4, np.zeros(3, np.int32))(model)
    constant(5, np.float32(9))(model)
    assert not read(model.SerializeToString()).layers[0].bias.any()


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_is_refused(case):
    model = proto()
    change, message = REFUSED[case]
    change(model)
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        read(model.SerializeToString())


def pool(op, **attributes):
    """The error of a pool between a QuantizeLinear and a DequantizeLinear."""
    model = Model(np.random.default_rng(0), (1, 7, 7))
    names = model.constant(0.1), model.constant(0, np.uint8)
    x = model.node("DequantizeLinear", model.node("QuantizeLinear", "x", *names), *names)
    names = model.constant(0.0871), names[1]
    y = model.node("QuantizeLinear", model.node(op, x, **attributes), *names)
    source = model.proto(model.node("DequantizeLinear", y, *names)).SerializeToString()
    with pytest.raises(NetworkError) as caught:
        read(source)
    return str(caught.value).removeprefix(f"Node '{op.lower()}2' ({op}): ")


def test_pools_that_are_not_supported():
    square = {"kernel_shape": [2, 2], "strides": [2, 2]}
    assert pool("AveragePool", **square, pads=[1, 1, 0, 0]) == (
        "padding that does not count divides by another number at the border; "
        "set count_include_pad=1, or pad with a Conv before it"
    )
    assert pool("MaxPool", **square, ceil_mode=1) == (
        "ceil_mode adds a window that hangs over the map; set ceil_mode=0, or pad the map"
    )
    assert pool("MaxPool", **square, dilations=[2, 2]) == (
        "dilations must be [1, 1], not [2, 2]; use a pool without dilation"
    )
    assert pool("MaxPool", kernel_shape=[0, 2]) == (
        "kernel_shape is [0, 2]; pool 1 to 65536 positions"
    )
    assert pool("ReduceMean", axes=[1]) == ("axes are [1]; average over height and width, [2, 3]")


@pytest.mark.parametrize("data", [b"no model" * 9, b"\0" * 50, b"\x08\x07"])
def test_what_is_no_model(data):
    with pytest.raises(
        NetworkError, match=r"^The (data is no ONNX model|file holds no ONNX graph);"
    ):
        read(data)


def test_paths_that_cannot_be_read(tmp_path):
    path = tmp_path / "net.onnx"
    message = re.escape(f"Cannot read {path}: No such file or directory")
    with pytest.raises(NetworkError, match=f"^{message}$"):
        read(path)
    path.write_bytes(proto().SerializeToString())
    assert read(path).name == "net"
    assert read(str(path), "other").name == "other"


def test_damage_anywhere_is_refused_or_read(seed):
    rng = np.random.default_rng(seed)
    whole, messages = proto().SerializeToString(), []
    for _ in range(300):
        data = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for at in rng.integers(len(data), size=rng.integers(1, 5)) if data else ():
            data[at] = rng.integers(256)
        try:
            read(bytes(data))
        except NetworkError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(len(message.splitlines()) == 1 for message in messages)
