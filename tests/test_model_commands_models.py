"""What a model file is, told from its bytes; the network or the way to it."""

import io
import shlex
import zipfile

import numpy as np
import pytest
from smallnet import network
from tercet.gen.cli import main
from tercet.model import NetworkError, load
from tercet.model.commands.models import EXPORT, FLOAT, INTEGER, format_of, network_of
from tercet.model.float.nets import nets
from tercet.model.formats import json_file, text_file


def archive(**entries):
    """The bytes of a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def model(tmp_path):
    """A function that writes bytes to a file whose name says nothing; returns the path."""

    def write(content):
        path = tmp_path / "a model"
        path.write_bytes(content)
        return str(path)

    return write


def onnx_model(op):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    make = onnx.helper.make_tensor_value_info
    x, y = (make(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node(op, ["x"], ["y"])], "g", [x], [y])
    return onnx.helper.make_model(graph).SerializeToString()


def saved(value):
    """What ``torch.save`` writes."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    buffer = io.BytesIO()
    torch.save(value(torch), buffer)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def program(graph):
    """As much of a saved program as tells its format."""
    return archive(**{"net/archive_format": "pt2", "net/models/model.json": graph})


CONTENTS = {
    "network": lambda: json_file.dumps(network()).encode(),
    "text": lambda: b"# mine\n" + text_file.dumps(network()).encode(),
    "onnx": lambda: onnx_model("DequantizeLinear"),
    "float-onnx": lambda: onnx_model("Relu"),
    "checkpoint": lambda: (nets.ZOO / "plain.npz").read_bytes(),
    "pt2": lambda: program('{"target": "torch.ops.aten.relu.default"}'),
    "pt2e": lambda: program('{"target": "torch.ops.quantized_decomposed.dequantize"}'),
    "state-dict": lambda: saved(lambda torch: torch.nn.Conv2d(1, 2, 3).state_dict()),
}


def test_every_format_is_told_in_these_tests():
    assert set(CONTENTS) == {*INTEGER, *FLOAT}


@pytest.mark.parametrize("form", CONTENTS)
def test_the_content_tells_the_format(form, model):
    assert format_of(model(CONTENTS[form]())) == form


def test_arrays_without_a_network_are_a_state_dict(model):
    assert format_of(model(npz(a=np.zeros(3)))) == "state-dict"


def test_names_and_missing_files_are_networks(tmp_path):
    assert format_of("plain") == "network"
    assert format_of(str(tmp_path / "missing.onnx")) == "network"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: saved(lambda torch: torch.nn.Linear(2, 3)), "a pickle that names torch.nn."),
        (
            lambda: b"\x80\x04K\x01.",
            "a pickle, which runs code when it is loaded; export the mod",
        ),
        (lambda: archive(**{"m/code/a.py": "", "m/data.pkl": ""}), "a TorchScript program, which"),
        (lambda: b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite model, which is not read"),
        (lambda: b"\x89HDF\r\n\x1a\n", "a Keras model (HDF5), which is not read; export the float"),
        (lambda: b"PK\x03\x04 and no more", "a damaged archive; save it again"),
        (lambda: archive(**{"a.txt": ""}), "an archive of a.txt, which is no model; give an ONNX"),
        (lambda: archive(), "an archive of nothing, which is no model; give an ONNX"),
    ],
)
def test_other_files_are_refused_by_their_kind(content, message, model):
    path = model(content())
    with pytest.raises(NetworkError) as raised:
        format_of(path)
    assert f"The model {path} is {message}" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 a picture", b"\0\1\2", b"  \n"])
def test_what_is_nothing_of_all_this_is_refused(content, model):
    pytest.importorskip("onnx", reason="onnx is not installed")
    path = model(content)
    with pytest.raises(NetworkError) as raised:
        format_of(path)
    assert str(raised.value) == (
        f"The model {path} has no format that tercet reads; give an ONNX model, a checkpoint or a "
        "network file"
    )


def test_a_module_is_refused_without_running_it(model, tmp_path):
    witness = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(witness), "w"))

    path = model(saved(lambda torch: {"conv.weight": Evil()}))
    with pytest.raises(NetworkError, match=r"is a pickle that names _?io\.open, which runs code"):
        format_of(path)
    assert not witness.exists()


@pytest.mark.parametrize("form", ["network", "text"])
def test_networks_are_read_from_each_format(form, model):
    path = model(CONTENTS[form]())
    assert json_file.dumps(network_of(path)) == json_file.dumps(network())
    assert network_of("plain").name == load("plain").name


def test_a_float_model_names_the_command_that_quantizes_it(model):
    path = model(CONTENTS["checkpoint"]())
    with pytest.raises(NetworkError) as raised:
        network_of(path)
    assert str(raised.value) == (
        f"{path} is a float checkpoint; make integers of it by tercet quantize "
        f"{shlex.quote(path)} -o NET.json"
    )


def test_commands_read_every_integer_format(model, tmp_path, capsys):
    path = model(CONTENTS["text"]())
    assert main(["verilog", path, "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "rtl" / "net.v").is_file()
    assert main(["import", path, "-o", str(tmp_path / "net.json")]) == 0
    assert (tmp_path / "net.json").read_text() == json_file.dumps(network())
    capsys.readouterr()
    path = model(CONTENTS["network"]())
    assert main(["import", path]) == 1
    assert capsys.readouterr().err == (
        f"tercet import: error: {path} is a network file already; use it as it is\n"
    )
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert main(["quantize", path]) == 1
    assert capsys.readouterr().err == (
        f"tercet quantize: error: {path} is an integer network, and so quantized already; write "
        f"its Verilog by tercet verilog {shlex.quote(path)}\n"
    )


@pytest.mark.torch
@pytest.mark.parametrize("command", ["quantize", "qat", "build"])
def test_weights_without_their_network_are_refused_with_the_way_out(command, model, capsys):
    path = model(saved(lambda torch: {"weight": torch.zeros(2)}))
    assert main([command, path, "--data", "x.npz"]) == 1
    message = capsys.readouterr().err
    assert message.startswith(
        f"tercet {command}: error: The model {path} has weights without their network; "
    )
    assert EXPORT in message


@pytest.mark.torch
@pytest.mark.parametrize("command", ["quantize", "qat"])
def test_a_missing_model_is_said_to_be_missing(command, capsys, tmp_path):
    path = tmp_path / "mine.onnx"
    assert main([command, str(path), "--data", "x.npz"]) == 1
    assert capsys.readouterr().err == (
        f"tercet {command}: error: The model {path} cannot be read: No such file or directory\n"
    )
