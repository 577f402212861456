"""What cannot be read from ONNX is refused in one sentence, and nothing else is opened."""

import re

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnx import helper
from onnxbroken import CONV, QUANTIZE, attribute, conv, field, proto, refusal
from onnxgen import Model
from tercet.model.frontends.onnx import read
from tercet.model.layers import NetworkError


def height(model):
    return model.graph.input[0].type.tensor_type.shape.dim[2]


def turned_around(model):
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def cyclic(model):
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def subgraph(model):
    graph = helper.make_graph([], "inner", [], [])
    conv(model).attribute.append(helper.make_attribute("body", graph))


EXTENTS = (
    "The input 'x' must have the extents (N, C, H, W) or (N, K), each but N fixed and at most "
    "65536, not (N, 2, {}, 8); export it with a fixed shape"
)

REFUSED = {
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
        "The output 'conv4' is not quantized; put a QuantizeLinear after its operator",
    ),
    "two outputs": (
        lambda model: model.graph.output.append(model.graph.input[0]),
        "The model must have one input and one output, not 1 and 2; cut the others off",
    ),
    "old operators": (
        lambda model: setattr(model.opset_import[0], "version", 7),
        "The model's operator set must be 10 to 28, not 7; export it with one of these",
    ),
    "input of halves": (
        lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 10),
        "The input 'x' must be float32; export module.float()",
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


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_is_refused(case):
    change, message = REFUSED[case]
    assert refusal(change) == message


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
