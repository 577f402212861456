"""Verilog and manifest: the same bytes, names a person knows, all or nothing."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from randomnets import random_network
from tercet.gen.cli import main
from tercet.gen.verilog.build import write_core
from tercet.model import NetworkError, load, save
from tercet.model.files import OutputError
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import random_tensor

BUILD = (
    "import sys; from pathlib import Path; from tercet.gen.verilog.build import write_core; "
    + ("from tercet.model import load; write_core(load(Path(sys.argv[1])), Path(sys.argv[2]))")
)


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(7)
    return random_network(rng, shape=(12, 12, 1), depth=2, argmax=True, per_channel=True, bias=True)


@pytest.fixture(scope="module")
def core(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("core")
    return write_core(network, folder), folder, (folder / "rtl" / "net.v").read_text()


def test_gives_the_same_bytes_in_another_process(network, core, tmp_path):
    _, folder, verilog = core
    save(network, tmp_path / "net.json")
    subprocess.run(
        [sys.executable, "-c", BUILD, tmp_path / "net.json", tmp_path / "out"],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "1"},
    )
    assert (tmp_path / "out" / "rtl" / "net.v").read_text() == verilog
    assert (tmp_path / "out" / "manifest.json").read_bytes() == (
        folder / "manifest.json"
    ).read_bytes()


def test_names_modules_and_signals_as_the_python_does(core):
    _, _, verilog = core
    modules = re.findall(r"^module (\S+?)\(", verilog, re.MULTILINE)
    assert {"net", "net__conv0", "net__conv0__engine", "net__conv0__engine__walk"} <= set(modules)
    assert "\\" not in verilog, "an escaped name"
    for name in ("conv0_o__valid", "s1_activation", "s3_product0", "frame_error", "kx", "ky"):
        assert re.search(rf"\b{name}\b", verilog), name
    ports = "clk, rst, frame_bad, frame_error, frame_error_clear, frame_good, m_axis_tdata, "
    assert f"\nmodule net({ports}" in verilog


def test_holds_no_path_and_no_date(core, tmp_path):
    _, folder, verilog = core
    text = verilog + (folder / "manifest.json").read_text()
    assert not re.search(r"/home|/tmp|/root|/usr|/opt|\.py\b|20\d\d-\d\d", text)


def test_begins_with_what_an_engineer_asks(core):
    facts, _, verilog = core
    lines = verilog.splitlines()[:5]
    assert lines[0].startswith("// net: a quantized CNN as an AXI4-Stream core")
    assert f"{facts['cycles_per_image']} cycles between images" in lines[1]


def test_manifest_has_the_promised_keys(network, core):
    facts, folder, _ = core
    assert facts == json.loads((folder / "manifest.json").read_text())
    assert set(facts) == {
        *(
            "network",
            "verilog",
            "top",
            "prefix",
            "goal",
            "shortfall",
            "utilization",
            "cycles_per_image",
            "first_cycles",
            "latency_cycles",
            "input_lanes",
            "input",
            "multipliers",
            "rom_bits",
        ),
        *("accumulator_bits", "layers", "left_out", "queues", "ports", "streams", "plan", "tools"),
    }
    assert facts["rom_bits"] == sum(layer["rom_bits"] for layer in facts["layers"])
    for layer in facts["layers"]:
        assert {"name", "instance", "kind", "multipliers", "cycles", "rom_bits"} <= set(layer)
        assert layer["fifo_depth"] >= 0
    assert facts["ports"]["m_axis_tuser"]["direction"] == "out"


@pytest.mark.parametrize(
    ("row_aligned", "facts", "line"),
    [
        (
            False,
            {"values_per_beat": 4, "beats_per_row": 7, "beats_per_frame": 196, "last": 4},
            "4 values per input beat, 7 beats per row, 196 per frame; every beat is full",
        ),
        (
            True,
            {"values_per_beat": 3, "beats_per_row": 10, "beats_per_frame": 280, "last": 1},
            "3 values per input beat, 10 beats per row, 280 per frame; the last beat of a row "
            "holds 1 value, and its other lanes are ignored",
        ),
    ],
)
def test_tells_how_images_come_in(row_aligned, facts, line, tmp_path, capsys):
    written = write_core(load("plain"), tmp_path, 280, row_aligned=row_aligned)
    facts["last_beat_values"] = facts.pop("last")
    assert written["input"] == facts
    assert written["ports"]["s_axis_tdata"]["width"] == 8 * facts["values_per_beat"]
    assert f" {line}. " in (tmp_path / "rtl" / "plain.v").read_text().replace("\n//", "")
    options = ["plan", "plain", "--cycles", "280", *["--row-aligned"] * row_aligned]
    assert main(options) == 0
    assert line in capsys.readouterr().out


def test_writes_nothing_where_a_layer_is_refused(tmp_path, seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (6, 6, 1))
    (first, y), (second, z) = (random_conv(rng, x, name=name) for name in ("first", "second"))
    network = network_of(x, [first, second], [y, z])  # nobody reads the first one's output
    with pytest.raises(NetworkError):
        write_core(network, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_gives_one_sentence(network, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError) as error:
        write_core(network, tmp_path / "file")
    assert str(error.value) == (
        f"The output folder {tmp_path}/file cannot be written: Not a directory; "
        "name another with -o"
    )


def test_leaves_no_half_where_the_manifest_cannot_be_written(network, tmp_path):
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(OutputError, match=r"cannot be written: Is a directory; name another"):
        write_core(network, tmp_path)
    assert not list((tmp_path / "rtl").iterdir())
