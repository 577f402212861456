"""Files written whole or not at all, whoever else writes; temporary folders; locks."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from otherprocess import holder
from tercet.model import files
from tercet.model.errors import UserError
from tercet.model.files import locked, temporary_folder, write_all, write_whole

SIZE = 1_000_000
WRITER = """
import sys, pathlib
from tercet.model.files import write_whole
for _ in range(60):
    write_whole(pathlib.Path(sys.argv[1]), sys.argv[2] * 1_000_000)
"""


def test_two_writers_never_tear_a_file(tmp_path):
    path = tmp_path / "x.v"
    write_whole(path, "A" * SIZE)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, letter], stderr=subprocess.PIPE)
        for letter in "AB"
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        content = path.read_bytes()
        seen.add((len(content), *set(content)))
    assert [writer.communicate()[1] for writer in writers] == [b"", b""]
    assert seen <= {(SIZE, ord("A")), (SIZE, ord("B"))}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_nothing_is_left_beside_a_file_however_writing_ends(tmp_path, monkeypatch, error):
    def broken(self, target):
        raise error

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(error):
        write_all({tmp_path / "a.v": "x", tmp_path / "b.json": "y"})
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    link, file = tmp_path / "link", tmp_path / "folder" / "file"
    link.symlink_to(file)
    for text in ("new", "newer"):
        write_whole(link, text)
        assert link.is_symlink()
        assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_what_is_no_file_is_written_to_as_it_is(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=write_whole, args=(path, "text"))
    writer.start()
    assert path.read_text() == "text"
    writer.join()
    assert path.is_fifo()


def test_a_name_may_be_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("n" * 255)
    write_whole(path, "text")
    assert path.read_text() == "text"


@pytest.mark.parametrize("name", ["plain", "a b", "a;b", "a#b", "a$b", "a'b", 'a"b', "a:b", "ü"])
def test_a_temporary_folder_has_a_path_that_every_tool_takes(tmp_path, monkeypatch, name):
    place = tmp_path / name
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with temporary_folder() as folder:
        assert folder.is_dir()
        assert re.fullmatch("[A-Za-z0-9_./+-]+", os.path.realpath(folder))
        assert (folder.parent == place) == (name == "plain")
        (folder / "file").touch()
    assert not folder.exists()


def test_says_where_nothing_temporary_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    monkeypatch.setattr(files, "PLACES", ())
    with pytest.raises(UserError) as caught, temporary_folder():
        pass
    assert str(caught.value) == (
        f"Temporary files cannot be written ({tmp_path / 'absent'}: No such file or directory); "
        "set TMPDIR to a writable folder whose path has only letters, digits and ._+-"
    )


@pytest.mark.parametrize("filled", [True, False])
def test_a_second_run_waits_for_the_folder_and_says_so(tmp_path, caplog, filled):
    folder = tmp_path / "build"
    first = holder(folder)
    if filled:
        (folder / "file").touch()  # else the first removes it, and the second makes it anew
    got = threading.Event()

    def second():
        with locked(folder):
            (folder / "second").touch()
            got.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not got.wait(0.3)
    assert caplog.messages == [f"Another run uses the folder {folder}; this one waits for it"]
    first.communicate("\n")
    thread.join(timeout=30)
    assert (folder / "second").is_file()


def test_a_locked_folder_that_stays_empty_is_removed(tmp_path):
    with locked(tmp_path / "build") as nothing:
        assert nothing is None
        assert (tmp_path / "build").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "before").mkdir()
    with locked(tmp_path / "before"):
        pass
    assert (tmp_path / "before").is_dir()
