"""Float ONNX models: the float graph equals ONNX Runtime, and what is refused says a way out."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

import json  # noqa: E402

import onnxruntime as ort  # noqa: E402
from onnx import helper  # noqa: E402
from onnxgen import Model, grid  # noqa: E402
from tercet.gen.cli import main  # noqa: E402
from tercet.model import load  # noqa: E402
from tercet.model.float.ptq import graph as g  # noqa: E402
from tercet.model.float.ptq.execute import trace  # noqa: E402
from tercet.model.frontends.onnx_float import graph_of, read  # noqa: E402
from tercet.model.frontends.onnx_float.attributes import KNOWN  # noqa: E402
from tercet.model.frontends.onnx_float.operators import OPERATORS  # noqa: E402
from tercet.model.layers import NetworkError  # noqa: E402

pytestmark = pytest.mark.torch
SHAPE = (2, 6, 8)


def source_of(model, output, opset=17):
    proto = model.proto(output)
    proto.opset_import[0].version = opset
    proto.ir_version = 9
    return proto.SerializeToString()


def padded(model):
    """Zeros by a Pad, then by the convolution itself; and before an average pool."""
    x = model.node("Pad", "x", model.constant([0, 0, 1, 0, 0, 0, 0, 2], np.int64))
    x = model.conv(x, (3, 2, 3, 3), pads=[0, 1, 2, 0])
    x = model.node("Pad", x, model.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    return model.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])


def normed(model):
    """A batch norm, biases by Add, weights that are transposed in the graph, log-softmax."""
    x = model.conv("x", (4, 2, 3, 3), bias=False, auto_pad="SAME_UPPER")
    constants = [model.constant(model.rng.uniform(0.5, 1.5, 4)) for _ in range(4)]
    x = model.node("Relu", model.node("BatchNormalization", x, *constants, epsilon=1e-3))
    x = model.conv(x, (3, 4, 1, 1), bias=False)
    x = model.node("Add", model.constant(model.rng.normal(0, 1, (1, 3, 1, 1))), x)
    x = model.node("Flatten", model.node("ReduceMean", x, axes=[2, 3], keepdims=1))
    x = model.node("MatMul", x, model.node("Transpose", model.weights(5, 3)))
    x = model.node("Add", x, model.constant(model.rng.normal(0, 1, 5)))
    return model.node("LogSoftmax", x, axis=1)


def functions(model):
    """Each function of one value, joined."""
    ways = []
    for op, options in (
        ("LeakyRelu", {"alpha": 0.2}),
        ("HardSwish", {}),
        ("HardSigmoid", {}),
        ("HardSigmoid", {"alpha": 1 / 6}),
        ("Elu", {"alpha": 0.5}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("Gelu", {"approximate": "tanh"}),
        ("Gelu", {}),
        ("LeakyRelu", {"alpha": 1.0}),
        ("LeakyRelu", {"alpha": 0.0}),
    ):
        ways.append(model.node(op, model.conv("x", (2, 2, 1, 1)), **options))
    y = model.conv("x", (2, 2, 1, 1))
    ways.append(model.node("Mul", model.node("Sigmoid", y), y))
    ways.append(model.node("Mul", y, model.node("HardSigmoid", y, alpha=1 / 6)))
    ways.append(model.node("PRelu", y, model.constant([[[0.3]], [[0.3]]])))
    return model.conv(model.node("Concat", *ways, axis=1), (3, 2 * len(ways), 2, 2))


def shaped(model):
    """A U-Net's way down and up, extents from the graph, a clip and a residual."""
    x = model.node("Clip", model.conv("x", (4, 2, 3, 3), pads=[1] * 4), "", model.constant(1.5))
    y = model.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    y = model.node("Resize", y, "", model.constant([1, 1, 2, 2]), mode="nearest")
    x = model.node("Add", model.node("Dropout", y), model.node("Identity", x))
    x = model.node("GlobalAveragePool", x)
    batch = model.node("Gather", model.node("Shape", x), model.constant([0], np.int64))
    shape = model.node("Concat", batch, model.constant([-1], np.int64), axis=0)
    x = model.node("Reshape", x, shape)
    return model.node("Softmax", model.gemm(x, 4, 3), axis=-1)


@pytest.mark.parametrize("make", [padded, normed, functions, shaped])
def test_the_graph_equals_onnx_runtime(make, seed):
    rng = np.random.default_rng(seed)
    model = Model(rng, SHAPE)
    source = source_of(model, make(model), opset=20 if make is functions else 17)
    images = rng.normal(0, 1, (5, *SHAPE)).astype(np.float32)
    theirs = ort.InferenceSession(source).run(None, {"x": images})[0].reshape(5, -1)
    graph = g.fold(g.fuse(graph_of(source, "net")))
    ours = trace(graph, torch.from_numpy(images).double())[graph.output].reshape(5, -1)
    if make in (normed, shaped):  # the scores before the softmax
        ours = torch.log_softmax(ours, 1)
        theirs = theirs if make is normed else np.log(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_it_is_quantized_as_a_module_is(seed):
    rng = np.random.default_rng(seed)
    model = Model(rng, SHAPE)
    source = source_of(model, shaped(model))
    images = rng.integers(0, 256, (30, 6, 8, 2), dtype=np.uint8)
    network = read(source, images, name="unet")
    assert [layer.kind for layer in network.layers] == [
        *("conv2d", "max_pool2d", "upsample", "add", "avg_pool2d", "linear", "argmax")
    ]
    real = torch.from_numpy(images.transpose(0, 3, 1, 2) / 255)
    graph = g.fold(g.fuse(graph_of(source)))
    floats = trace(graph, real)[graph.output].reshape(30, -1).numpy()
    scores = network.tensors[network.output]
    found = (network(images).reshape(30, -1).astype(float) - scores.zero_point) * scores.scale
    assert np.square(found - floats).mean() < 0.001 * np.square(floats).mean()


def refusal(make, opset=17):
    model = Model(np.random.default_rng(0), SHAPE)
    with pytest.raises(NetworkError) as error:
        graph_of(source_of(model, make(model), opset))
    return str(error.value).partition("): ")[2] or str(error.value)


def per_channel(model):
    return model.node("PRelu", "x", model.constant([[[0.1]], [[0.2]]]))


def pad_then(op, **options):
    def make(model):
        x = model.node("Pad", "x", model.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
        return model.node(op, x, **options)

    return make


NORMALIZE = (
    "leave the normalization out of the model, and give its mean and std to the quantization"
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda model: model.node("Sub", "x", model.constant(0.5)),
            f"the operator is not supported; {NORMALIZE}",
        ),
        (
            lambda model: model.node("Mul", "x", model.constant(0.5)),
            f"it multiplies an activation by a constant; {NORMALIZE}",
        ),
        (
            lambda model: model.node("Add", "x", model.constant(0.5)),
            "it adds a constant to what is no convolution's or linear layer's own output; "
            f"{NORMALIZE}",
        ),
        (
            lambda model: model.node("Erf", model.conv("x", (2, 2, 1, 1))),
            "the operator is not supported; export GELU as one operator, by opset_version=20 or "
            "newer",
        ),
        (
            lambda model: model.node("Relu", model.node("Softmax", "x", axis=1)),
            "it is not at the end of the model; end the model with it, or leave it out",
        ),
        (
            lambda model: model.node("Mul", "x", model.conv("x", (2, 2, 1, 1))),
            "it multiplies two tensors of which neither is a sigmoid of the other; multiply x by "
            "Sigmoid(x), as SiLU does",
        ),
        (
            per_channel,
            "its 2 channels have slopes of their own; train it with one slope for all channels",
        ),
        (
            pad_then("MaxPool", kernel_shape=[2, 2]),
            "it reads 'pad0', which a Pad made larger; pad in front of a convolution or an average "
            "pool alone",
        ),
        (
            lambda model: model.node(
                "Pad", "x", model.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), model.constant(1.0)
            ),
            "it pads by [0, 0, 1, 1, 0, 0, 1, 1] with 1; pad rows and columns by zeros",
        ),
        (
            lambda model: model.node("Clip", "x", model.constant(0.5), model.constant(2.0)),
            "it clips to [0.5, 2.0], which does not contain 0 and other values; use Relu, or a "
            "Clip from 0 to 6",
        ),
        (
            lambda model: grid(model, model.conv("x", (2, 2, 1, 1)), 0.1, 3),
            "the model is quantized; read it as a quantized model: tercet import MODEL --format "
            "onnx",
        ),
        (
            lambda model: model.node("Gemm", "x", model.weights(3, 2), transB=1),
            "it reads [2, 6, 8], and not a vector; put a Flatten before it, or use a 1x1 "
            "convolution",
        ),
        (
            lambda model: model.node("Identity", "x"),
            "Network 'net': the model returns its image; there must be a layer",
        ),
    ],
)
def test_what_is_refused_says_a_way_out(make, message):
    assert refusal(make) == message


def test_every_operator_has_its_inputs_and_attributes():
    assert set(KNOWN) == set(OPERATORS)
    from onnx import defs

    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.name in KNOWN and schema.since_version > 10:
            known = KNOWN[schema.name]
            assert [name for name in schema.attributes if not known.covers(name)] == []
            assert known.inputs is None or len(schema.inputs) <= known.inputs, schema.name


def test_an_attribute_that_is_not_known_is_refused():
    def make(model):
        y = model.node("Relu", model.conv("x", (2, 2, 1, 1)))
        model.nodes[-1].attribute.append(helper.make_attribute("frobnicate", 1))
        return y

    assert refusal(make) == (
        "its attribute 'frobnicate' is not known; leave it out, or export the model by an earlier "
        "operator set"
    )


def test_the_command_quantizes_a_model_of_ones_own(tmp_path, capsys, seed):
    rng = np.random.default_rng(seed)
    model = Model(rng, SHAPE)
    (tmp_path / "my.onnx").write_bytes(source_of(model, shaped(model)))
    images = rng.integers(0, 256, (40, *SHAPE), dtype=np.uint8)
    real = images.astype(np.float32) / 255
    session = ort.InferenceSession((tmp_path / "my.onnx").read_bytes())
    labels = session.run(None, {"x": real})[0].argmax(axis=1)
    np.savez(tmp_path / "my.npz", images=images, labels=labels)
    words = ["quantize", str(tmp_path / "my.onnx"), "-o", str(tmp_path / "my.json")]
    facts = tmp_path / "facts.json"
    data = ["--data", str(tmp_path / "my.npz"), "--split", "15", "--json", str(facts)]
    assert main([*words, *data]) == 0
    found = json.loads(facts.read_text())
    assert (found["images"], found["float_accuracy"]) == (25, 1.0)  # the labels are its own
    assert found["int_accuracy"] > 0.8
    assert "lost" in capsys.readouterr().out
    assert main([*words, *data, "--mean", "0.2", "0.6", "--std", "0.3"]) == 0
    assert "Layer 'normalize' was added: it normalizes the pixels" in capsys.readouterr().out
    assert main([*words, *data, "--bits-w", "2", "--bits-a", "2"]) == 0
    printed = capsys.readouterr().out
    worst = min(
        (each for each in json.loads(facts.read_text())["layers"]),
        key=lambda each: each["activation_sqnr_db"],
    )
    assert f"ratios are lowest after {worst['layer']} (" in printed
    assert main([*words, *data]) == 0
    assert "ratios are lowest" not in capsys.readouterr().out
    network = load(str(tmp_path / "my.json"))
    assert network.tensors[network.input].shape == (6, 8, 2)
    assert main(words) == 1
    assert capsys.readouterr().err == (
        "tercet quantize: error: Network 'my' needs images to calibrate on; give them by --data "
        "DATA, an .npz with images (N, 6, 8, 2) and labels\n"
    )


def test_other_commands_name_the_one_that_quantizes(tmp_path, capsys):
    model = Model(np.random.default_rng(0), SHAPE)
    path = tmp_path / "my.onnx"
    path.write_bytes(source_of(model, shaped(model)))
    assert main(["import", str(path), "--format", "onnx", "-o", str(tmp_path / "my.json")]) == 1
    assert capsys.readouterr().err == (
        "tercet import: error: The model computes in floats; quantize it by tercet quantize MODEL "
        "--data FILE, or by onnxruntime.quantization before\n"
    )
    assert main(["plan", str(path)]) == 1
    assert capsys.readouterr().err == (
        f"tercet plan: error: {path} is a float ONNX model; make integers of it by tercet quantize "
        f"{path} --data DATA -o NET.json\n"
    )
    assert not (tmp_path / "my.json").exists()
