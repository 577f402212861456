"""The float networks' layers and modules, and the files of their weights."""

import json
import re
import zipfile

import numpy as np
import pytest
from tercet.model import NetworkError
from tercet.model.float.nets.nets import (
    NETS,
    Checkpoint,
    build,
    input_shape_of,
    load,
    net_of,
    save,
    shipped,
)
from tercet.model.float.nets.stride3 import STRIDE3, ConvSpec, build_copies, layers_of


def checkpoint(network="separable", seed=3, **facts):
    rng = np.random.default_rng(seed)
    weights = {
        f"{spec.name}.weight": rng.normal(0, 0.3, spec.shape).astype(np.float32)
        for spec in layers_of(network)
    }
    return Checkpoint(network, weights, facts)


@pytest.mark.parametrize(("network", "count"), [("plain", 729), ("separable", 171)])
def test_weights_number_what_the_layers_say(network, count):
    assert sum(np.prod(spec.shape) for spec in STRIDE3[network]) == count


@pytest.mark.torch
@pytest.mark.parametrize(
    ("network", "maps"),
    [
        ("plain", [(3, 9, 9), (6, 3, 3), (10, 1, 1)]),
        ("separable", [(1, 9, 9), (3, 9, 9), (3, 3, 3), (6, 3, 3), (6, 1, 1), (10, 1, 1)]),
    ],
)
def test_modules_have_the_layers_and_maps(network, maps):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    net, found = build(network), []
    x = torch.zeros(2, 1, 28, 28)
    for name, module in net.named_children():
        x = module(x)
        if name in {spec.name for spec in STRIDE3[network]}:
            assert module.bias is None
            found.append(tuple(x.shape[1:]))
    assert found == maps
    assert x.shape == (2, 10)
    assert sum(p.numel() for p in net.parameters()) == sum(
        np.prod(s.shape) for s in STRIDE3[network]
    )
    kinds = [type(module).__name__ for module in net]
    between = ["Conv2d", "Conv2d", "ReLU"] if network == "separable" else ["Conv2d", "ReLU"]
    assert kinds == [*between * 2, *between[:-1], "Flatten"]


@pytest.mark.torch
@pytest.mark.parametrize("network", STRIDE3)
def test_copies_compute_apart_from_each_other(network):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    singles = [checkpoint(network, seed) for seed in range(3)]
    both = build_copies(network, copies=3)
    with torch.no_grad():
        for name in singles[0].state:
            stacked = np.concatenate([single.state[name] for single in singles])
            both.get_parameter(name).copy_(torch.from_numpy(stacked))
        images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
        together = both(images).view(4, 3, 10)
        for copy, single in enumerate(singles):
            assert torch.allclose(together[:, copy], single.module()(images), atol=1e-5)


def test_an_unknown_network_is_refused_with_the_names_there_are():
    names = "plain, separable, mnist_cnn, mnist_cnn_bn, lenet_avg, lenet_max, mobilenet"
    for function in (net_of, build, input_shape_of):
        message = f"There is no float network named 'resnet'; there are {names}"
        with pytest.raises(NetworkError, match=f"^{message}$"):
            function("resnet")
    message = (
        "The network 'lenet_avg' is no chain of convolutions of stride 3, as plain, separable are"
    )
    with pytest.raises(NetworkError, match=f"^{message}$"):
        layers_of("lenet_avg")


def test_arrays_that_float16_holds_are_stored_in_it(tmp_path):
    exact = checkpoint()
    halves = {n: v.astype(np.float16).astype(np.float32) for n, v in exact.state.items()}
    mixed = {**halves, "pw1.weight": exact.state["pw1.weight"]}
    save(Checkpoint("separable", mixed), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        kinds = {name: archive[name].dtype for name in mixed}
    assert kinds == {n: np.float32 if n == "pw1.weight" else np.float16 for n in mixed}
    after = load(str(tmp_path / "a.npz"))
    for name, values in mixed.items():
        assert after.state[name].dtype == np.float32
        assert np.array_equal(after.state[name], values)


@pytest.mark.parametrize("value", [1e30, -1e30, 1e-30, 65520.0])
def test_values_beyond_float16_keep_their_float32(value, tmp_path):
    state = dict(checkpoint().state)
    state["pw1.weight"] = np.full((3, 1, 1, 1), value, np.float32)
    save(Checkpoint("separable", state), tmp_path / "a.npz")
    assert np.array_equal(load(str(tmp_path / "a.npz")).state["pw1.weight"], state["pw1.weight"])


def test_a_spec_says_the_shape_of_its_weights():
    assert ConvSpec("dw", 6, 6, 3, groups=6).shape == (6, 1, 3, 3)
    assert ConvSpec("pw", 6, 10, 1).shape == (10, 6, 1, 1)


def test_a_checkpoint_survives_its_file(tmp_path):
    before = checkpoint(seed=5, epoch=7)
    save(before, tmp_path / "a.npz")
    after = load(str(tmp_path / "a.npz"))
    assert after.network == "separable"
    assert after.facts == {"epoch": 7}
    assert after.state.keys() == before.state.keys()
    for name, values in before.state.items():
        assert np.array_equal(after.state[name], values)
        assert after.state[name].dtype == np.float32


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        save(checkpoint(epoch=7, accuracy=0.5), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def refused(path, reason):
    message = f"The checkpoint {path}: {reason}"
    return pytest.raises(NetworkError, match=f"^{re.escape(message)}$")


NO_CHECKPOINT = (
    "it is no .npz file of arrays and a JSON text 'facts' that names its network; "
    "make it again with tercet train"
)


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip at all", b"\x80\x04K\x01.", b"PK\x05\x06" + bytes(18)],
    ids=["empty", "text", "pickle", "no entries"],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with refused(path, NO_CHECKPOINT):
        load(str(path))


def test_a_cut_checkpoint_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    save(checkpoint(), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with refused(path, NO_CHECKPOINT):
            load(str(path))


def test_a_damaged_checkpoint_is_refused_or_whole(tmp_path, seed):
    path = tmp_path / "x.npz"
    save(checkpoint(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(seed)
    messages = []
    for at in rng.integers(0, len(whole), 100):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        try:
            load(str(path))  # a byte of a date may do no harm
        except NetworkError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(message.startswith(f"The checkpoint {path}: ") for message in messages)


@pytest.mark.parametrize("facts", ["[1]", "{}", "no json", '{"network": []}'])
def test_facts_that_name_no_network_are_refused(tmp_path, facts):
    path = tmp_path / "x.npz"
    np.savez(path, facts=np.array(facts), **checkpoint().state)
    with refused(path, NO_CHECKPOINT):
        load(str(path))


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    facts = np.array(json.dumps({"network": "separable"}))
    np.savez(path, facts=facts, **{"dw1.weight": np.array([{}], dtype=object)})
    with refused(path, NO_CHECKPOINT):
        load(str(path))


WRONG = {
    "missing": (None, "the array 'pw1.weight' is missing in separable"),
    "shape": (
        np.zeros((3, 1, 3, 3), np.float32),
        "the array 'pw1.weight' must be float32 [3, 1, 1, 1], not float32 [3, 1, 3, 3]",
    ),
    "dtype": (
        np.zeros((3, 1, 1, 1)),
        "the array 'pw1.weight' must be float32 [3, 1, 1, 1], not float64 [3, 1, 1, 1]",
    ),
    "nan": (
        np.full((3, 1, 1, 1), np.nan, np.float32),
        "the array 'pw1.weight' must be finite",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_refused_by_name(tmp_path, case):
    values, reason = WRONG[case]
    state = dict(checkpoint().state)
    del state["pw1.weight"]
    if values is not None:
        state["pw1.weight"] = values
    path = tmp_path / "x.npz"
    np.savez(path, facts=np.array(json.dumps({"network": "separable"})), **state)
    with refused(path, reason):
        load(str(path))


def test_an_entry_that_is_no_array_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    save(checkpoint(), path)
    with zipfile.ZipFile(path) as whole:
        entries = {name: whole.read(name) for name in whole.namelist()}
    del entries["dw1.weight.npy"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**entries, "dw1.weight": b"no array"}.items():
            archive.writestr(name, content)
    with refused(path, NO_CHECKPOINT):
        load(str(path))


def test_a_few_bytes_that_unpack_to_many_are_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    zeros = np.zeros((3, 1, 1000, 1000), np.float32)
    facts = np.array(json.dumps({"network": "separable"}))
    np.savez_compressed(path, facts=facts, **{"pw1.weight": zeros})
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(np, "load", None)  # what is not called cannot unpack
    with refused(path, NO_CHECKPOINT):
        load(str(path))


def test_an_unknown_array_is_refused():
    state = {**checkpoint().state, "fc.weight": np.zeros(1, np.float32)}
    message = "the array 'fc.weight' is unknown in separable"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        Checkpoint("separable", state)


def test_an_absent_checkpoint_is_refused(tmp_path):
    names = ", ".join(shipped())
    message = (
        f"There is no checkpoint named 'plane'; shipped are {names}, "
        "and a path to a checkpoint ends in .npz"
    )
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        load("plane")
    path = tmp_path / "x.npz"
    message = f"The checkpoint {path} cannot be read: No such file or directory"
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        load(str(path))


def test_an_unwritable_checkpoint_leaves_nothing(tmp_path):
    path = tmp_path / "none" / "x.npz"
    message = f"The checkpoint {path} cannot be written: No such file or directory"
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        save(checkpoint(), path)
    assert list(tmp_path.iterdir()) == []


def test_networks_ship_trained():
    assert set(shipped()) >= STRIDE3.keys()
    assert set(shipped()) <= NETS.keys()
    for name in STRIDE3:
        assert load(name).network == name
