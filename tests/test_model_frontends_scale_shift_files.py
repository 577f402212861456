"""Hand-made integer LeNets: files of state dicts, and those that are refused."""

import io
import zipfile

import numpy as np
import pytest
from scaleshift import ARGUMENTS, SMALL, TRIPLES, saved, state_dict
from tercet.model import NetworkError
from tercet.model.float import statefile
from tercet.model.formats.json_file import dumps
from tercet.model.frontends.scale_shift import read
from tercet.model.frontends.scale_shift.from_float import to_scale_shift


def test_an_npz_file_reads_as_its_arrays_do(seed, tmp_path):
    state, triples = to_scale_shift(state_dict(np.random.default_rng(seed)))
    assert dumps(read(saved(tmp_path, state), triples)) == dumps(read(state, triples))


@pytest.mark.torch
def test_a_pt_file_reads_as_its_tensors_do(seed, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    state, triples = to_scale_shift(state_dict(np.random.default_rng(seed)))
    tensors = {name: torch.from_numpy(values) for name, values in state.items()}
    torch.save(tensors, tmp_path / "lenet.pt")
    assert dumps(read(tmp_path / "lenet.pt", triples)) == dumps(read(state, triples))
    assert dumps(read(tensors, triples)) == dumps(read(state, triples))


def file_refusal(path):
    with pytest.raises(NetworkError) as caught:
        read(path, TRIPLES, **ARGUMENTS)
    return str(caught.value)


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "x.bin"
    assert file_refusal(path) == f"The state dict {path} must be an .npz or a .pt file"
    path = tmp_path / "x.npz"
    assert file_refusal(path) == (
        f"The state dict {path} cannot be read: No such file or directory"
    )


NO_ARRAY = (
    "which is not a complete array of numbers (pickled objects are not read); "
    "save it again as numbers"
)


def test_damaged_and_pickled_npz_files_are_refused(tmp_path):
    path = saved(tmp_path, SMALL)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert file_refusal(path) == (
            f"The state dict {path} is not a complete .npz file; save it again with numpy.savez"
        )
    directory = whole.index(b"PK\x01\x02")
    unknown_version = whole[: directory + 6] + b"\xd7" + whole[directory + 7 :]
    for damaged in (b"XX" + whole[2:], unknown_version):
        path.write_bytes(damaged)
        assert file_refusal(path) == (
            f"The state dict {path} is not a complete .npz file; save it again with numpy.savez"
        )
    at = whole.index(b"\x82" * 9)
    path.write_bytes(whole[:at] + b"\x83" + whole[at + 1 :])  # against its checksum
    assert file_refusal(path) == f"The state dict {path} holds 'conv1.weight', {NO_ARRAY}"
    objects = saved(tmp_path, {"conv1.weight": np.array([{}, None], dtype=object)}, "objects.npz")
    assert file_refusal(objects) == f"The state dict {objects} holds 'conv1.weight', {NO_ARRAY}"


def zipped(path, *entries):
    array = io.BytesIO()
    np.save(array, SMALL["conv1.weight"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, array.getvalue() if content is None else content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_names_that_stand_twice_and_bombs_are_refused(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.npz", ("conv1.weight.npy", None), ("conv1.weight.npy", None))
    assert file_refusal(path) == f"The state dict {path} holds 'conv1.weight' twice; save it again"
    zipped(path, ("conv1.weight.npy", None), ("notes.txt", "hello"))
    assert file_refusal(path) == f"The state dict {path} holds 'notes.txt', {NO_ARRAY}"
    monkeypatch.setattr(statefile, "MAX_UNPACKED", 1000)
    zipped(path, ("conv1.weight.npy", bytes(1001)))
    assert file_refusal(path) == (
        f"The state dict {path} unpacks to 1001 bytes, more than the 1000 read here"
    )


@pytest.mark.torch
def test_pt_files_that_are_no_state_dict_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "x.pt"
    message = (
        f"The state dict {path} is no file of tensors by name that "
        "torch.load(..., weights_only=True) reads; "
        "save the state dict itself: torch.save(net.state_dict(), path)"
    )
    for content in (torch.nn.Conv2d(1, 1, 1), [1, 2], {"conv1.weight": [1]}, {1: torch.zeros(1)}):
        torch.save(content, path)
        assert file_refusal(path) == message
    path.write_bytes(path.read_bytes()[:100])
    assert file_refusal(path) == message
