"""Handwritten digits: MNIST from its IDX files, or scikit-learn's bundled digits instead.

Sources: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", its section on file
formats; ``sklearn.datasets.load_digits``, 1797 images of 8x8 counts 0 to 16. MNIST is read from the
folder in TERCET_DATA, or else from the user's cache. If neither has it, it is downloaded into the
cache and checked against its published checksum.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import urllib.request
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from .dtypes import Integers
from .errors import UserError
from .files import write_whole

__all__ = [
    "DataError",
    "Digits",
    "MissingError",
    "Split",
    "cache_folder",
    "digits_for_simulation",
    "fit_to",
    "mnist",
    "training_digits",
]

Split = Literal["train", "test"]
Bytes = npt.NDArray[np.uint8]

SIZE = 28  # rows and columns of an image, pixels
TRAINING_COUNT = 15_000  # images
MAX_COUNT = 1_000_000  # images; a header that claims more is not MNIST's
TIMEOUT_SECONDS = 5.0
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}
# MD5 of the published files, as torchvision's MNIST pins them. They detect damage, not tampering.
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


class DataError(UserError, ValueError):
    """Images or labels are not available; the message is one sentence for the user."""


class MissingError(DataError):
    """The MNIST files are not there, as opposed to malformed."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Images with their labels.

    Parameters
    ----------
    images : uint8 (N, 28, 28), 0 background to 255 ink
    labels : uint8 (N,), 0 to 9
    source : a description of the source, for messages
    """

    images: Bytes
    labels: Bytes
    source: str

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> Digits:
        """The first ``count`` digits. Raises DataError if there are fewer."""
        if not 1 <= count <= len(self):
            raise DataError(
                f"count must be 1 to the {len(self)} images of {self.source}, not {count}"
            )
        return Digits(self.images[:count], self.labels[:count], self.source)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Digits:
        """The digits whose entry in ``chosen``, bool (N,), is true."""
        return Digits(self.images[chosen], self.labels[chosen], self.source)


def cache_folder() -> Path:
    """The folder for downloads: tercet/mnist in $XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tercet" / "mnist"


def mnist(split: Split) -> Digits:
    """Read MNIST's training or test images; the header states the count, which may be below 60,000.

    Raises DataError if the files are neither on disk nor downloadable, or if one is malformed.
    """
    if split not in PREFIXES:
        raise DataError(f"split must be one of {', '.join(PREFIXES)}, not {split!r}")
    images_path, labels_path = _find(PREFIXES[split])
    images = _read_idx(images_path, 3)
    labels = _read_idx(labels_path, 1)
    if images.shape[1:] != (SIZE, SIZE):
        raise DataError(
            f"The MNIST file {images_path} must hold images of {SIZE}x{SIZE} pixels, "
            f"not {images.shape[1]}x{images.shape[2]}"
        )
    if len(images) != len(labels):
        raise DataError(
            f"The MNIST file {labels_path} holds {len(labels)} labels for the {len(images)} images "
            f"of {images_path.name}; take both from one source"
        )
    if labels.max() > 9:
        raise DataError(f"The MNIST file {labels_path} must hold labels 0 to 9, not {labels.max()}")
    return Digits(images, labels, f"MNIST {split} images")


def training_digits() -> Digits:
    """The first 15,000 of MNIST's training images, for training and calibration.

    Raises DataError as :func:`mnist` does, and if there are fewer.
    """
    return mnist("train").first(TRAINING_COUNT)


def digits_for_simulation(count: int) -> Digits:
    """Return ``count`` digits: MNIST's first test images, or else scikit-learn's first digits.

    Raises DataError if ``count`` is below 1 or above the number of images, if an MNIST file is
    malformed, or if neither source is available.
    """
    try:
        digits = mnist("test")
    except MissingError as error:
        digits = _bundled_digits(error)
    return digits.first(count)


def fit_to(images: Bytes, shape: tuple[int, int, int]) -> Bytes:
    """Adapt grey images to a network's input: zeros evenly around them, the channel repeated.

    Parameters
    ----------
    images : uint8 (N, 28, 28)
    shape : (H, W, C); H and W are 28 plus an even number of pixels, C is 1 or 3

    Returns uint8 (N, H, W, C). Raises DataError for other images and other shapes.
    """
    if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE):
        raise DataError(
            f"images must be uint8 (N, {SIZE}, {SIZE}), not {images.dtype} {images.shape}"
        )
    height, width, channels = shape
    margins = [size - SIZE for size in (height, width)]
    if any(margin < 0 or margin % 2 for margin in margins) or channels not in (1, 3):
        raise DataError(
            f"Digits of {SIZE}x{SIZE} pixels fit a network that takes 1 or 3 channels and {SIZE} "
            f"pixels or an even number more along each side, not {height}x{width}x{channels}"
        )
    padded = np.pad(images, ((0, 0), *((margin // 2, margin // 2) for margin in margins)))
    return np.repeat(padded[..., np.newaxis], channels, axis=3)


def _find(prefix: str) -> tuple[Path, Path]:
    """The paths of images and labels in the first folder with both; downloads missing files."""
    names = (f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz")
    cache = cache_folder()
    named = os.environ.get("TERCET_DATA")
    for folder in ([Path(named)] if named else []) + [cache]:
        if all((folder / name).is_file() for name in names):
            return folder / names[0], folder / names[1]
    try:
        for name in names:
            if not (cache / name).is_file():
                _download(name, cache)
    except (OSError, HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)  # URLError wraps what the socket said
        reason = getattr(cause, "strerror", None) or cause
        raise MissingError(
            f"{names[0]} and {names[1]} are neither in TERCET_DATA ({named or 'not set'}) nor in "
            f"{cache}, and downloading failed ({reason}); set TERCET_DATA to a folder with both"
        ) from None
    return cache / names[0], cache / names[1]


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        body: bytes = response.read()
    return body


def _download(name: str, folder: Path) -> None:
    """Write one file into ``folder``, complete and with the right checksum, or not at all."""
    content = _fetch(MIRROR + name)
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != CHECKSUMS[name]:
        raise ValueError(f"{name} came with the MD5 {found}, not {CHECKSUMS[name]}")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / name, content)


def _read_idx(path: Path, ndim: int) -> Bytes:
    """Read unsigned bytes of ``ndim`` dimensions. Raises DataError, which names the file."""
    where = f"The MNIST file {path}"
    try:
        with gzip.GzipFile(path, "rb") as file:
            return _parse_idx(file, ndim)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{where} is not a complete gzip file; download it again") from None
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from None
    except DataError as error:
        raise DataError(f"{where} {error}") from None


def _parse_idx(file: gzip.GzipFile, ndim: int) -> Bytes:
    """Read an IDX stream: 0, 0, 8 for unsigned bytes, ndim; big-endian sizes; bytes."""
    magic = 0x0800 + ndim
    header = file.read(4 + 4 * ndim)
    if len(header) < 4 + 4 * ndim:
        raise DataError("is truncated: its header is incomplete")
    found, *sizes = struct.unpack(f">{1 + ndim}I", header)
    if found != magic:
        raise DataError(f"must start with the IDX magic number {magic:#010x}, not {found:#010x}")
    if not 1 <= sizes[0] <= MAX_COUNT or any(not 1 <= size <= SIZE for size in sizes[1:]):
        raise DataError(f"has the sizes {sizes} in its header, which MNIST cannot have")
    expected = int(np.prod(sizes))
    body = file.read(expected)
    if len(body) < expected:
        raise DataError(f"is truncated: its header promises {expected} bytes, {len(body)} follow")
    if file.read(1):
        raise DataError(f"is too long: bytes follow the {expected} that its header promises")
    return np.frombuffer(body, dtype=np.uint8).reshape(sizes).copy()  # writable


def _bundled_digits(missing: DataError) -> Digits:
    """scikit-learn's digits at MNIST's size. Raises DataError if scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(
            f"{missing}, or install scikit-learn, whose bundled digits serve as well"
        ) from None
    bunch = load_digits()
    images = _enlarge(bunch.images.astype(np.int64))
    return Digits(
        images, bunch.target.astype(np.uint8), "scikit-learn's bundled digits, scaled to 28x28"
    )


def _enlarge(images: Integers) -> Bytes:
    """Scale 8x8 counts to 28x28 pixels: bilinear to MNIST's box of 20x20, then a margin of 4.

    Integer arithmetic gives the same bytes on every machine.

    Parameters
    ----------
    images : int64 (N, 8, 8), 0 to 16

    Returns uint8 (N, 28, 28).
    """
    rows = np.zeros((20, 8), dtype=np.int64)  # tenths of each of 8 inputs in each of 20 outputs
    for out in range(20):
        position = min(
            max(4 * out - 3, 0), 70
        )  # tenths: (out + 1/2) * 8 / 20 - 1/2, inside the image
        left, tenths = divmod(position, 10)
        rows[out, left] += 10 - tenths
        rows[out, min(left + 1, 7)] += tenths
    box = (rows @ images @ rows.T * 255 + 800) // 1600  # 10 * 10 * 16 is full ink; rounds half up
    return np.pad(box, ((0, 0), (4, 4), (4, 4))).astype(np.uint8)
