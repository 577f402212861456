"""Network files: the way out and back, bad content, and places that cannot be read or written."""

import json
from dataclasses import replace

import numpy as np
import pytest
from anylayers import any_layers
from documents import edited, refusal
from randomnets import random_network
from smallnet import TENSORS, network
from tercet.model import NetworkError, load, save, shipped
from tercet.model.formats import json_file
from tercet.model.formats.json_file import dumps, loads
from tercet.model.fuzz.draws import random_images


@pytest.mark.parametrize("case", range(20))
def test_a_network_comes_back_as_it_was(seed, case, tmp_path):
    rng = np.random.default_rng([seed, case])
    net = random_network(rng, windows=bool(case % 2), symmetric=False, bias=True)
    save(net, tmp_path / "net.json")
    back = load(tmp_path / "net.json")
    save(back, tmp_path / "again.json")
    assert (tmp_path / "net.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    assert dict(back.tensors) == dict(net.tensors)
    images = random_images(rng, net.tensors[net.input], 3)
    for name, values in net.trace(images).items():
        assert np.array_equal(values, back.trace(images)[name])


@pytest.mark.parametrize("scale", [5e-324, 2.2250738585072014e-308, 0.1, 1 / 3, 1e300, 12345678.9])
def test_a_scale_comes_back_to_the_last_bit(scale):
    net = network(tensors=TENSORS | {"map": replace(TENSORS["map"], scale=scale)})
    assert loads(dumps(net)).tensors["map"].scale == scale


def test_a_reference_comes_back():
    requant = replace(network().layers[0].requant, reference="half_even")
    assert any_layers(loads(dumps(network({"requant": requant}))))[0].requant == requant


def test_a_whole_number_stands_for_a_scale():
    assert loads(json.dumps(edited(("tensors", "map", "scale"), 2))).tensors["map"].scale == 2.0


def test_a_person_can_read_and_diff_the_file():
    lines = [line.strip() for line in dumps(network()).splitlines()]
    assert lines[:4] == ["{", '"format": "tercet-network",', '"version": 1,', '"name": "net",']
    assert '"zero_points": [0],' in lines
    assert sum(line.startswith(('"image": {', '"map": {', '"class": {')) for line in lines) == 3
    assert sum(line.startswith("[[[1, 1], [1, 1], [1, 1]], ") for line in lines) == 4
    assert max(map(len, lines)) < 120
    assert dumps(network()).endswith("}\n")


FIRST = ("layers", 0)
WEIGHTS = (*FIRST, "weights")
REQUANT = (*FIRST, "requant")
BAD = [
    ("", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ("# a comment", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ('{"format": 1', "not JSON: Expecting ',' delimiter: line 1 column 13 (char 12)"),
    ('{"a": 1, "b": 2, "a": 3}', "not JSON: the key 'a' stands twice"),
    ('{"a": NaN}', "not JSON: NaN is no JSON number; every number must be finite"),
    ('{"a": [Infinity]}', "not JSON: Infinity is no JSON number; every number must be finite"),
    ("-Infinity", "not JSON: -Infinity is no JSON number; every number must be finite"),
    (edited(["format"], "onnx"), "field 'format' must be 'tercet-network', not 'onnx'"),
    (
        edited(["version"], 2),
        "field 'version' must be 1, not 2; write the file with this tercet",
    ),
    (edited(["name"], "a-b"), "Network name must be letters, digits and underscores, not 'a-b'"),
    (edited(["layers"], {}), "The file: field 'layers' must be a list, not {}"),
    (edited(["tensors"], []), "Field 'tensors' must be an object, not []"),
    (
        edited(["tensors", "map", "type"], "float32"),
        "Tensor 'map': field 'type' is wrong: "
        "An integer type is named like uint8 or int12, not 'float32'",
    ),
    (
        edited(["tensors", "map", "type"], "int64"),
        "Tensor 'map': field 'type' is wrong: An integer type must have 1 to 32 bits, not 64",
    ),
    (
        edited(["tensors", "map", "shape"], [2, 3]),
        "Tensor 'map': field 'shape' must be a list of 3, not [2, 3]",
    ),
    (
        edited(["tensors", "map", "shape"], [2, 3, 0]),
        "Tensor 'map': shape must be three positive extents (H, W, C), not [2, 3, 0]",
    ),
    (
        edited(["tensors", "map", "shape"], [3, 2, 4]),
        "Layer 'first': output 'map' must have the shape [2, 3, 4], not [3, 2, 4]",
    ),
    (
        edited(["tensors", "map", "zero_point"], 256),
        "Tensor 'map': zero_point must lie in [0, 255] as uint8 does, not 256",
    ),
    *(
        (
            edited(["tensors", "map", "scale"], scale),
            f"Tensor 'map': scale must be positive and finite, not {float(scale)}",
        )
        for scale in (0, -0.0, -1, 0.0)
    ),
    (
        json.dumps(edited(["tensors", "map", "scale"], 12345)).replace("12345", "1e999"),
        "Tensor 'map': scale must be positive and finite, not inf",
    ),
    (
        edited(["tensors", "map", "scale"], 10**400),
        f"Tensor 'map': field 'scale' must fit a float64, not 1{'0' * 36}...",
    ),
    (
        edited([*WEIGHTS, "scales"], [0.0]),
        "Layer 'first': weight scale must be positive and finite, not 0.0",
    ),
    (
        edited([*FIRST, "kind"], "conv3d"),
        "Layer 'first': field 'kind' must be one of conv2d, linear, max_pool2d, avg_pool2d, add, "
        "concat, relu, table, upsample, flatten, argmax, not 'conv3d'",
    ),
    (
        edited([*FIRST, "stride"], [3]),
        "Layer 'first': field 'stride' must be a list of 2, not [3]",
    ),
    (
        edited([*FIRST, "bias"], [0, 0, 0, 1 << 63]),
        "Layer 'first': field 'bias' must hold integers of at most 64 bits",
    ),
    (
        edited([*FIRST, "bias"], [0]),
        "Layer 'first': bias must be 4 int32 values, not 1 or some out of range",
    ),
    (
        edited([*WEIGHTS, "values", 3, 2, 2, 1], 128),
        "Layer 'first': weights must lie in [-128, 127] as int8 does, but reach [1, 128]",
    ),
    (
        edited([*WEIGHTS, "values", 0, 0, 0, 0], 1.5),
        "Layer 'first': weights: field 'values' must be an integer, not 1.5",
    ),
    (
        edited([*WEIGHTS, "values", 0, 0, 0], [1]),
        "Layer 'first': weights: field 'values' must be lists of equal length",
    ),
    (
        edited([*WEIGHTS, "values", 0], 1),
        "Layer 'first': weights: field 'values' must be a list, not 1",
    ),
    (
        edited([*WEIGHTS, "values"], lambda values: values[:3]),
        "Layer 'first': bias must be 3 int32 values, not 4 or some out of range",
    ),
    (
        edited([*WEIGHTS, "values"], []),
        "Layer 'first': weights must have the shape (OC, KH, KW, IC / groups), not [0]",
    ),
    (
        edited([*REQUANT, "rounding"], "nearest"),
        "Layer 'first': requant: field 'rounding' must be one of half_even, half_up, half_away, "
        "floor, float32, not 'nearest'",
    ),
    (
        edited([*REQUANT, "multipliers"], [1, 2, 3, 0]),
        "Layer 'first': multiplier must be 1 to 2147483647, not 0",
    ),
    (
        edited([*REQUANT, "multipliers"], [1 << 31]),
        "Layer 'first': multiplier must be 1 to 2147483647, not 2147483648",
    ),
    (edited([*REQUANT, "shift"], 62), "Layer 'first': shift must be 0 to 61, not 62"),
    (edited([*REQUANT, "shift"], -1), "Layer 'first': shift must be 0 to 61, not -1"),
    (
        edited([*REQUANT, "reference"], "half_odd"),
        "Layer 'first': reference must be one of half_even, float32_half_even, float32_chain, "
        "float32_fused or null, not 'half_odd'",
    ),
    (edited([*REQUANT, "clamp"], [9, 8]), "Layer 'first': clamp must rise, not [9, 8]"),
    (
        edited([*REQUANT, "clamp"], [0, 256]),
        "Layer 'first': the clamp [0, 256] must lie in [0, 255] as uint8 of 'map' does",
    ),
]


@pytest.mark.parametrize(("document", "message"), BAD, ids=[message for _, message in BAD])
def test_a_bad_file_is_refused(document, message, tmp_path):
    assert refusal(document) == message
    path = tmp_path / "bad.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(NetworkError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("text", ["[" * 200_000, '{"version": ' + "9" * 5000 + "}"])
def test_json_beyond_all_measure_is_refused_too(text):
    assert refusal(text).startswith("not JSON: ")


def test_the_shipped_networks_are_written_as_save_writes_them():
    for name in shipped():
        net = load(name)
        assert net.name == name
        assert (json_file.ZOO / f"{name}.json").read_text() == dumps(net)


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A folder of shipped networks, with two of them."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setattr(json_file, "ZOO", folder)
    for name in ("small", "large"):
        save(network(name=name), folder / f"{name}.json")
    return folder


def test_a_shipped_network_has_a_name(zoo):
    assert shipped() == ["large", "small"]
    assert load("small").name == "small"


@pytest.mark.parametrize("name", ["medium", "", "Small", ".."])
def test_an_unknown_name_gives_those_there_are(zoo, name):
    with pytest.raises(NetworkError) as caught:
        load(name)
    assert str(caught.value) == (
        f"There is no network named {name!r}; shipped are large, small, "
        "and a path to a network file ends in .json"
    )


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("absent.json", "No such file or directory"),
        ("absent/net.json", "No such file or directory"),
        ("zoo", "Is a directory"),
        ("zoo/small.json/net.json", "Not a directory"),
        ("latin.json", json_file.NO_TEXT),
        ("n" * 300 + ".json", "File name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(zoo, tmp_path, place, reason):
    (tmp_path / "latin.json").write_bytes('{"name": "é"}'.encode("latin-1"))
    path = tmp_path / place
    for source in (path, str(path)):
        with pytest.raises(NetworkError) as caught:
            load(source)
        assert str(caught.value) == f"The network file {path} cannot be read: {reason}"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("absent/net.json", "No such file or directory"),
        ("zoo", "Is a directory"),
        ("zoo/small.json/net.json", "Not a directory"),
        ("n" * 252 + ".json", "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_leaves_nothing(zoo, tmp_path, place, reason):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NetworkError) as caught:
        save(network(), tmp_path / place)
    assert str(caught.value) == (f"The network file {tmp_path / place} cannot be written: {reason}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.json"
    save(network(), path)
    before = path.read_bytes()

    def half(self, data):
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", half)
    with pytest.raises(NetworkError) as caught:
        save(network(name="other"), path)
    assert (
        str(caught.value) == f"The network file {path} cannot be written: No space left on device"
    )
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
