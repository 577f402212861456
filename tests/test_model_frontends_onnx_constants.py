"""Constants of a model in ONNX that cannot be read are refused in one sentence."""

import numpy as np
import pytest
from anylayers import any_layers

pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper
from onnxbroken import CONV, QUANTIZE, attribute, constant, conv, proto, refusal
from tercet.model import NetworkError
from tercet.model.frontends.onnx import compare, read


def external(model):
    tensor = model.graph.initializer[2]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")


def truncated(model):
    model.graph.initializer[2].raw_data = b"abc"


def huge(model):
    model.graph.initializer[2].dims[0] = 1 << 40


def float_bias(model):
    floats = numpy_helper.from_array(np.ones(3, np.float32), "floats")
    model.graph.initializer.append(floats)
    conv(model).input[2] = "floats"


WEIGHTS = "Node 'dequantizelinear2' (DequantizeLinear): "

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
        WEIGHTS + "tensor 'constant2' does not have the values for its type and extents; "
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
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_constant_that_breaks_a_rule_is_refused(case):
    change, message = REFUSED[case]
    assert refusal(change) == message


def test_a_bias_of_zeros_may_have_any_scale():
    model = proto()
    constant(4, np.zeros(3, np.int32))(model)
    constant(5, np.float32(9))(model)
    assert not any_layers(read(model.SerializeToString()))[0].bias.any()


@pytest.fixture
def outside(tmp_path):
    """A function that saves the model with its weights in a file; returns its path."""

    def save(location="weights.bin", at="weights.bin", offset=0):
        model = proto()
        tensor = model.graph.initializer[2]
        (tmp_path / "model").mkdir(exist_ok=True)
        place = tmp_path / "model" / at
        place.write_bytes(bytes(offset) + tensor.raw_data)
        length = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": location, "offset": offset, "length": length}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        path = tmp_path / "model" / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return save


@pytest.mark.parametrize("offset", [0, 64])
def test_tensors_in_a_file_beside_the_model_are_read(outside, offset):
    network, expected = read(outside(offset=offset)), read(proto().SerializeToString())
    (conv,), (whole,) = any_layers(network), any_layers(expected)
    assert np.array_equal(conv.weights.values, whole.weights.values)
    assert compare(outside(offset=offset), network).startswith("equal to ONNX Runtime in all ")


def test_tensors_elsewhere_are_refused(outside, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(54))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "secret")
    for location in ("../secret", str(tmp_path / "secret"), "link", "missing", ""):
        path = outside(location)
        with pytest.raises(NetworkError) as raised:
            read(path)
        start = f"The tensor 'constant2' of {path} cannot be read from its file ("
        assert str(raised.value).startswith(start), location
        assert str(raised.value).endswith(
            "); keep both files in one folder, or save the model with all tensors inside"
        )
    path = outside()
    (path.parent / "weights.bin").write_bytes(b"short")
    with pytest.raises(NetworkError, match=r"cannot be read from its file"):
        read(path)
