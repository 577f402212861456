"""Seven made-up digits, and a folder that holds them as MNIST's test set."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from tercet.model import data
from tercet.model.data import Digits

IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    """The bytes of an IDX file of unsigned bytes."""
    magic = 0x0800 + array.ndim if magic is None else magic
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(gzip.compress(content, mtime=0))
    return folder / name


def seven_digits() -> Digits:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (7, 28, 28), dtype=np.uint8)
    return Digits(images, rng.integers(0, 10, 7, dtype=np.uint8), "made up")


def only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the seven digits as MNIST's test set; nothing cached, no network."""

    def refuse(url: str) -> bytes:
        raise OSError(f"no network for {url}")

    named, digits = tmp_path / "named", seven_digits()
    named.mkdir()
    write(named, IMAGES, idx(digits.images))
    write(named, LABELS, idx(digits.labels))
    monkeypatch.setenv("TERCET_DATA", str(named))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "_fetch", refuse)
    return named
