"""Digits: files of MNIST that are malformed, damaged or closed to reading are refused."""

from __future__ import annotations

import errno
import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mnistfiles import IMAGES, LABELS, idx, only_folder, write
from tercet.model.data import DataError, digits_for_simulation, mnist


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return only_folder(tmp_path, monkeypatch)


ZEROS = np.zeros((7, 28, 28), dtype=np.uint8)
MALFORMED = {
    "wrong magic": (
        IMAGES,
        idx(ZEROS, magic=0x0D03),
        "must start with the IDX magic number 0x00000803, not 0x00000d03",
    ),
    "labels for images": (
        IMAGES,
        idx(ZEROS[0, 0]) + bytes(8),
        "must start with the IDX magic number 0x00000803, not 0x00000801",
    ),
    "no header": (LABELS, b"\0\0\x08\x01\0\0", "is truncated: its header is incomplete"),
    "empty": (LABELS, b"", "is truncated: its header is incomplete"),
    "short": (
        IMAGES,
        idx(ZEROS)[:-1],
        "is truncated: its header promises 5488 bytes, 5487 follow",
    ),
    "long": (
        LABELS,
        idx(ZEROS[0, 0, :7]) + b"\0",
        "is too long: bytes follow the 7 that its header promises",
    ),
    "no images": (
        IMAGES,
        idx(ZEROS[:0]),
        "has the sizes [0, 28, 28] in its header, which MNIST cannot have",
    ),
    "huge": (
        IMAGES,
        struct.pack(">4I", 0x0803, 0xFFFFFFFF, 28, 28),
        "has the sizes [4294967295, 28, 28] in its header, which MNIST cannot have",
    ),
    "other size": (IMAGES, idx(ZEROS[:, :8, :8]), "must hold images of 28x28 pixels, not 8x8"),
    "other count": (
        LABELS,
        idx(ZEROS[0, 0, :6]),
        f"holds 6 labels for the 7 images of {IMAGES}; take both from one source",
    ),
    "no digit": (
        LABELS,
        idx(np.arange(4, 11, dtype=np.uint8)),
        "must hold labels 0 to 9, not 10",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_refuses_a_malformed_file(folder: Path, case: str) -> None:
    name, content, reason = MALFORMED[case]
    path = write(folder, name, content)
    with pytest.raises(DataError, match=f"^{re.escape(f'The MNIST file {path} {reason}')}$"):
        mnist("test")
    with pytest.raises(DataError, match=f"^{re.escape(f'The MNIST file {path} {reason}')}$"):
        digits_for_simulation(1)  # a broken file is reported, not papered over


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-20],
        lambda raw: raw[:-8] + bytes(8),  # the checksum
        lambda raw: raw[:10] + bytes([raw[10] ^ 6]) + raw[11:],  # the kind of the first block
        lambda raw: b"PK" + raw[2:],
    ],
    ids=["cut", "checksum", "block", "no gzip"],
)
def test_refuses_a_damaged_gzip(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    path = folder / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    message = f"The MNIST file {path} is not a complete gzip file; download it again"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        mnist("test")


def test_refuses_a_file_it_may_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(path: Path, mode: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(gzip, "GzipFile", forbid)
    message = f"The MNIST file {folder / IMAGES} cannot be read: Permission denied"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        mnist("test")
