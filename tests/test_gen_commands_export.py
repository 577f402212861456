"""``tercet export`` as a user calls it."""

import json
from importlib import metadata
from types import SimpleNamespace

import pytest
from smallnet import network
from tercet.gen import cli
from tercet.gen.commands import export as command_export
from tercet.model import save
from tercet.model.exporters import roms
from tercet.model.formats import text_file
from tercet.model.formats.json_file import dumps


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """A function that exports a small network: words -> (exit code, standard error)."""
    point = SimpleNamespace(name="export", load=lambda: command_export)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point])
    save(network(), tmp_path / "net.json")

    def run(*words):
        code = cli.main(["export", str(tmp_path / "net.json"), *map(str, words)])
        return code, capsys.readouterr().err

    return run


def test_text_is_the_networks_own(call, tmp_path):
    facts = tmp_path / "facts.json"
    assert call("--format", "text", "-o", tmp_path / "net.txt", "--json", facts) == (0, "")
    text = (tmp_path / "net.txt").read_text()
    assert dumps(text_file.loads(text)) == dumps(network())
    assert json.loads(facts.read_text()) == {
        "network": "net",
        "format": "text",
        "files": ["net.txt"],
        "bytes": len(text),
    }


@pytest.mark.parametrize("form", ["mem", "hex", "coe"])
def test_rom_contents_fill_a_folder(call, tmp_path, form):
    folder = tmp_path / "deep" / "roms"
    assert call("--format", form, "-o", folder) == (0, "")
    found = {path.name: path.read_text() for path in folder.iterdir()}
    assert found == roms.rom_files(network(), form)


def test_an_unknown_format_lists_those_there_are(call, tmp_path):
    assert call("--format", "tflite", "-o", tmp_path / "x") == (
        1,
        "tercet export: error: There is no format 'tflite' to export; "
        "there are coe, hex, mem, onnx, text\n",
    )


def test_a_missing_onnx_says_what_to_install(call, tmp_path, monkeypatch):
    def missing(name, package):
        assert (name, package) == ("...model.exporters.onnx", "tercet.gen.commands")
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(command_export, "import_module", missing)
    assert call("--format", "onnx", "-o", tmp_path / "x.onnx") == (
        1,
        "tercet export: error: needs the package 'onnx', which is not installed; "
        "get it with: pip install 'tercet[onnx]'\n",
    )
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize("explicit", [False, True])
def test_onnx_is_written_as_the_exporter_gives_it(call, tmp_path, monkeypatch, explicit):
    def write(net, explicit):
        return f"{net.name} {explicit}".encode()

    monkeypatch.setattr(command_export, "import_module", lambda *_: SimpleNamespace(write=write))
    words = ["--explicit"] if explicit else []
    assert call("--format", "onnx", "-o", tmp_path / "x.onnx", *words) == (0, "")
    assert (tmp_path / "x.onnx").read_bytes() == f"net {explicit}".encode()


def test_onnx_comes_from_the_exporter_there_is(call, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    assert call("--format", "onnx", "-o", tmp_path / "x.onnx") == (0, "")
    assert onnx.load(tmp_path / "x.onnx").graph.name == "net"


def test_explicit_belongs_to_onnx(call, tmp_path):
    assert call("--format", "text", "-o", tmp_path / "x.txt", "--explicit") == (
        1,
        "tercet export: error: --explicit belongs to --format onnx alone\n",
    )


@pytest.mark.parametrize(
    ("form", "place", "message"),
    [
        ("text", "absent/x.txt", "file {path} cannot be written: No such file or directory"),
        ("text", "folder", "file {path} cannot be written: Is a directory"),
        ("mem", "file", "folder {path} cannot be written: File exists"),
        ("mem", "file/roms", "folder {path} cannot be written: Not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence(call, tmp_path, form, place, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    before, path = sorted(tmp_path.rglob("*")), tmp_path / place
    message = message.format(path=path)
    assert call("--format", form, "-o", path) == (
        1,
        f"tercet export: error: The output {message}; name another with -o\n",
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_could_not_be_filled_does_not_stay(call, tmp_path, monkeypatch):
    def full(contents):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command_export, "write_all", full)
    code, message = call("--format", "mem", "-o", tmp_path / "roms")
    assert code == 1
    assert message.endswith("cannot be written: No space left on device; name another with -o\n")
    assert not (tmp_path / "roms").exists()
