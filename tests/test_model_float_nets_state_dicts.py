"""State dicts of PyTorch's own: read without running anything, or refused."""

import argparse

import numpy as np
import pytest
from tercet.model import NetworkError
from tercet.model.float.nets import nets
from tercet.model.formats.json_file import ZOO

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from tercet.model.commands import quantize as command_quantize  # noqa: E402
from tercet.model.float.nets.state_dicts import load_state_dict  # noqa: E402

pytestmark = pytest.mark.torch


def saved(content, tmp_path):
    path = tmp_path / "net.pt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", ["plain", "mnist_cnn_bn"])
def test_a_state_dict_is_the_checkpoint(name, tmp_path):
    shipped = nets.load(name)
    found = load_state_dict(saved(shipped.module().state_dict(), tmp_path), name)
    assert found.network == name
    assert found.state.keys() == shipped.state.keys()
    for key, values in found.state.items():
        np.testing.assert_array_equal(values, shipped.state[key])


@pytest.mark.mnist
def test_quantizing_it_gives_the_shipped_network(tmp_path, capsys):
    path = saved(nets.load("plain").module().state_dict(), tmp_path)
    parser = argparse.ArgumentParser()
    command_quantize.add_arguments(parser)
    words = [str(path), "--net", "plain", "-o", str(tmp_path / "net.json"), "--split", "1000,10"]
    command_quantize.run(parser.parse_args(words))
    assert (tmp_path / "net.json").read_bytes() == (ZOO / "plain.json").read_bytes()
    with pytest.raises(NetworkError) as caught:
        command_quantize.run(parser.parse_args([str(path)]))
    assert str(caught.value) == (
        f"The checkpoint {path} has weights without their network; of a network of your own, "
        "export the module itself, in Python: torch.export.save(torch.export.export(module.eval(), "
        '(torch.zeros(2, C, H, W),)), "mine.pt2"); of a shipped one, add --net, one of '
        f"{', '.join(nets.NETS)}"
    )


class Code:
    """What a hostile file would have run."""

    def __reduce__(self):
        return print, ("run",)


NO_STATE = (
    "is no file of tensors by name that torch.load(..., weights_only=True) reads; save the state "
    "dict itself: torch.save(net.state_dict(), path)"
)


def refusal(path):
    with pytest.raises(NetworkError) as caught:
        load_state_dict(path, "plain")
    return str(caught.value)


@pytest.mark.parametrize("content", [{"conv1.weight": Code()}, [1, 2], {1: torch.zeros(3)}])
def test_anything_else_is_refused(content, tmp_path, capsys):
    path = saved(content, tmp_path)
    assert refusal(path) == f"The state dict {path} {NO_STATE}"
    assert "run" not in capsys.readouterr().out


def test_other_tensors_are_refused(tmp_path):
    path = saved({"conv1.weight": torch.zeros(3)}, tmp_path)
    assert refusal(path) == f"The checkpoint {path}: the array 'conv2.weight' is missing in plain"
    path = saved({"conv1.weight": torch.zeros(3, dtype=torch.bfloat16)}, tmp_path)
    assert refusal(path) == (
        f"The state dict {path} holds tensors that are no plain numbers; "
        "save the module's .float().state_dict()"
    )


@pytest.mark.parametrize("size", [0, 1, 100, 3000])
def test_truncated_files_are_refused(size, tmp_path):
    path = saved(nets.load("plain").module().state_dict(), tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(path) == f"The state dict {path} {NO_STATE}"


def test_an_absent_file_is_refused(tmp_path):
    path = tmp_path / "none.pt"
    assert refusal(path) == f"The state dict {path} cannot be read: No such file or directory"
