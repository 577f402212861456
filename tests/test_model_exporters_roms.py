"""ROM contents: every word at its address, as Verilog reads it."""

import json
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from anylayers import any_layers
from randomnets import random_network
from residualnet import residual
from smallnet import FIRST, TENSORS, network
from tercet.model import NetworkError, QNetwork, load
from tercet.model.dtypes import IntType
from tercet.model.exporters.roms import FORMATS, RomContents, rom_files, roms
from tercet.model.fuzz.convs import random_conv
from tercet.model.fuzz.draws import random_tensor
from tercet.model.layers import Flatten, Tensor
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding

UINT8 = IntType(8, signed=False)


def of(layer):
    return {rom.holds: rom for rom in roms(layer)}


@pytest.mark.parametrize("groups", [1, 2])
def test_weights_of_patches_stand_in_the_order_of_use(seed, groups):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (6, 6, 4))
    conv, _ = random_conv(rng, x, kernel=(2, 3), groups=groups, out_channels=6, symmetric=False)
    rom = of(conv)["weights"]
    zero_points, expected = conv.weights.zero_points_per_channel, []
    for ky, kx, group in np.ndindex(2, 3, groups):
        for ic, oc in np.ndindex(4 // groups, 6 // groups):
            channel = group * (6 // groups) + oc
            expected.append(conv.weights.values[channel, ky, kx, ic] - zero_points[channel])
    assert list(rom.words) == expected
    assert rom.order == (
        "kernel row, kernel column, group, input channel of the group, output channel of the group"
    )


@pytest.mark.parametrize(
    "window", [{"stride": (1, 1)}, {"padding": (0, 1, 0, 0)}, {"dilation": (2, 1)}]
)
def test_other_weights_stand_output_channel_by_output_channel(seed, window):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (6, 6, 4))
    conv, _ = random_conv(rng, x, kernel=(2, 3), groups=2, out_channels=6, **window)
    rom = of(conv)["weights"]
    expected = [conv.weights.values[oc, ky, kx, ic] for oc, ky, kx, ic in np.ndindex(6, 2, 3, 2)]
    assert list(rom.words) == expected
    assert rom.order == "output channel, kernel row, kernel column, input channel of the group"


@pytest.mark.parametrize(
    ("dtype", "zero_points", "width"),
    [
        (IntType(8, signed=True), (0,), 8),
        (IntType(4, signed=True), (0,), 4),
        (UINT8, (0,), 9),
        (UINT8, (128,), 8),
        (UINT8, (130,), 9),
        (UINT8, (200, 0, 7, 9), 9),
        (IntType(2, signed=True), (1,), 3),
        (IntType(4, signed=False), (8, 9, 8, 8), 5),
        (IntType(4, signed=False), (8,), 4),
    ],
)
def test_a_weight_has_the_width_of_its_type_less_its_zero_point(dtype, zero_points, width):
    ends = np.resize([dtype.qmin, dtype.qmax], (4, 3, 3, 2))
    conv = replace(FIRST, weights=Weights(ends, dtype, (1.0,), zero_points))
    rom = of(conv)["weights"]
    assert rom.width == width
    assert all(-(1 << (width - 1)) <= word < 1 << (width - 1) for word in rom.words)


def test_biases_multipliers_and_offsets_have_one_word_per_channel_or_one_for_all():
    requant = Requant((1, 2, 300, 4), 5, Rounding.HALF_EVEN, 0, 255, offsets=(0, -3, 9, 1))
    conv = replace(FIRST, bias=np.array([1, -2, 3, -(1 << 31)]), requant=requant)
    found = of(conv)
    assert list(found) == ["weights", "biases", "multipliers", "offsets"]
    per_channel = "output channel"
    assert found["biases"] == RomContents(
        "first", "biases", (1, -2, 3, -(1 << 31)), 32, True, per_channel
    )
    assert found["multipliers"] == RomContents(
        "first", "multipliers", (1, 2, 300, 4), 9, False, per_channel
    )
    assert found["offsets"] == RomContents("first", "offsets", (0, -3, 9, 1), 5, True, per_channel)
    shared = of(replace(conv, requant=Requant((7,), 0, Rounding.FLOOR, 0, 255, offsets=(5,))))
    assert shared["multipliers"].order == shared["offsets"].order == "one for all output channels"


def test_layers_without_weights_have_their_multipliers_or_nothing(seed):
    net = residual(np.random.default_rng(seed))
    found = {layer.name: list(of(layer)) for layer in net.layers}
    conv = ["weights", "biases", "multipliers"]
    assert found == {
        "a": conv, "b": conv, "sum": ["multipliers"], "relu": [], "max": [],
        "avg": ["multipliers"], "flat": [], "fc1": conv, "fc2": conv, "argmax": [],
    }  # fmt: skip
    assert of(net.layers[2])["multipliers"].order == "input"


def test_words_are_twos_complement_with_leading_zeros():
    assert RomContents("a", "weights", (0, 5, -1, -256, 255), 9, True, "").digits == [
        "000", "005", "1ff", "100", "0ff",
    ]  # fmt: skip


def test_each_format_writes_the_words_in_its_syntax():
    rom = RomContents("conv1", "weights", (1, -1, 127), 8, True, "output channel")
    assert FORMATS["mem"]("net", rom) == (
        "// net.conv1: weights, 3 words of 8 bits, two's complement\n"
        "// order, the last fastest: output channel\n01\nff\n7f\n"
    )
    assert FORMATS["hex"]("net", rom) == "01\nff\n7f\n"
    assert FORMATS["coe"]("net", rom) == (
        "memory_initialization_radix=16;\nmemory_initialization_vector=\n01,\nff,\n7f;\n"
    )
    unsigned = RomContents("conv1", "multipliers", (255,), 8, False, "one for all output channels")
    assert FORMATS["mem"]("net", unsigned) == (
        "// net.conv1: multipliers, 1 words of 8 bits, unsigned\n"
        "// order, the last fastest: one for all output channels\nff\n"
    )


def test_the_index_lists_every_file():
    files = rom_files(network(), "hex")
    index = json.loads(files.pop("index.json"))
    assert (index["network"], index["format"]) == ("net", "hex")
    first, second = index["layers"]
    assert {key: first[key] for key in first if key != "files"} == {
        "name": "first",
        "kind": "conv2d",
        "weights": {
            "output channels": 4,
            "kernel rows": 3,
            "kernel columns": 3,
            "input channels per group": 2,
        },
        "groups": 1,
        "shift": 5,
        "rounding": "half_even",
        "clamp": [0, 255],
        "input_zero_points": [3],
        "output_zero_point": 0,
    }
    assert first["files"][2] == {
        "file": "first_multipliers.hex",
        "holds": "multipliers",
        "width": 3,
        "depth": 4,
        "signed": False,
        "order": "output channel",
    }
    listed = [entry for layer in (first, second) for entry in layer["files"]]
    assert [entry["file"] for entry in listed] == list(files)
    for entry in listed:
        assert files[entry["file"]].count("\n") == entry["depth"]


def test_a_network_without_constants_is_refused():
    flat = Tensor("flat", (1, 1, 126), UINT8, 0.1, 3)
    net = QNetwork(
        "net", "image", {"image": TENSORS["image"], "flat": flat}, [Flatten("f", "image", "flat")]
    )
    message = "Network 'net' has no weights or multipliers to write"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        rom_files(net, "mem")


BENCH = """module bench;
  reg {sign} [{width}-1:0] rom [0:{depth}-1];
  integer i;
  initial begin
    $readmemh("{file}", rom);
    for (i = 0; i < {depth}; i = i + 1) $display("%0d", rom[i]);
  end
endmodule
"""


@pytest.mark.icarus
@pytest.mark.parametrize("form", ["mem", "hex"])
def test_verilog_reads_every_word(seed, form, tmp_path):
    rng = np.random.default_rng(seed)
    net = random_network(rng, shape=(6, 6, 2), depth=1, bias=True, symmetric=False)
    files = rom_files(net, form)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (layer,) = json.loads(files["index.json"])["layers"]
    of_layer = of(net.layers[0])
    for entry in layer["files"]:
        sign = "signed" if entry["signed"] else ""
        source = BENCH.format(**(entry | {"file": tmp_path / entry["file"], "sign": sign}))
        (tmp_path / "bench.v").write_text(source)
        subprocess.run(["iverilog", "-g2012", "-o", "bench", "bench.v"], cwd=tmp_path, check=True)
        shown = subprocess.run(
            ["vvp", "bench"], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert [int(line) for line in shown.stdout.split()] == list(of_layer[entry["holds"]].words)
        assert shown.stderr == ""


def test_the_coe_holds_the_shipped_weights():
    net = load("plain")
    conv = any_layers(net)[0]
    text = rom_files(net, "coe")["conv1_weights.coe"]
    words = re.findall(r"[0-9a-f]{2}(?=[,;]\n)", text.partition("vector=\n")[2])
    values = np.array([int(word, 16) for word in words], dtype=np.uint8).view(np.int8)
    expected = conv.weights.values.transpose(1, 2, 3, 0).ravel()
    np.testing.assert_array_equal(values, expected)
