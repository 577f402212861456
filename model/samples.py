"""A user's own images and labels, from .npz, .npy and IDX files, and folders of pictures.

Layout and range are told from the numbers; what could mean two things is refused, with the numbers
that gave it away. Nothing is unpickled.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .data import DataError
from .layers import Shape

__all__ = ["MODES", "Samples", "add_data_arguments", "data_uri", "read_samples"]

LAYOUTS = ("nhwc", "nchw")
PICTURES = (".png", ".jpg", ".jpeg")
MODES = {1: "L", 3: "RGB"}  # of Pillow, by the channels of a network
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_BYTES = 1 << 32  # of an IDX file's numbers

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, and their labels if there are any.

    Parameters
    ----------
    images : uint8 (N, H, W, C), pixels
    labels : int64 (N,), or None
    source : a description of the source, for messages
    numbers : int64 (N,), the index of each image in the source
    classes : the names of the classes in the order of their labels; empty if they have none
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    source: str
    numbers: npt.NDArray[np.int64]
    classes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, images: Array, labels: Array | None, source: str, classes: tuple[str, ...] = ()
    ) -> Samples:
        """All samples of a source."""
        return cls(images, labels, source, np.arange(len(images)), classes)

    def __len__(self) -> int:
        return len(self.images)

    def at(self, chosen: Any) -> Samples:
        """The samples that a slice or an array of indices chooses."""
        labels = None if self.labels is None else self.labels[chosen]
        return replace(
            self, images=self.images[chosen], labels=labels, numbers=self.numbers[chosen]
        )

    def require_labels_below(self, classes: int, network: str) -> None:
        """Raise DataError for a label that a network of so many scores cannot give."""
        if self.labels is not None and self.labels.max(initial=0) >= classes:
            if classes == 1:
                raise DataError(
                    f"Network {network!r} has one score, which states no class, and the images of "
                    f"{self.source} have labels; leave the labels out"
                )
            raise DataError(
                f"Network {network!r} has {classes} scores, and the images of {self.source} "
                f"have the label {self.labels.max()}; give labels from 0 to {classes - 1}"
            )

    def spread(self, count: int) -> Samples:
        """``count`` samples, or all if there are fewer, evenly spaced over all classes."""
        count = min(count, len(self))
        return self.at(np.arange(count) * len(self) // count)

    def split(self, first: int, second: int | None, seed: int) -> tuple[Samples, Samples]:
        """``first`` samples drawn by ``seed``, and ``second`` others; None for all others.

        Raises DataError if there are fewer samples.
        """
        if not 1 <= first <= len(self) - (second or 1):
            raise DataError(
                f"{first} images to calibrate on and {second or 'all'} others to measure the "
                f"accuracy on are more than the {len(self)} of {self.source}; choose fewer with "
                "--split C,M"
            )
        order = np.random.RandomState(seed).permutation(len(self))  # its stream is frozen (NEP 19)
        ends = first, len(self) if second is None else first + second
        others = self.at(np.sort(order[slice(*ends)]))
        others = replace(others, source=f"other images of {self.source}")
        return self.at(np.sort(order[: ends[0]])), others


def add_data_arguments(parser: argparse.ArgumentParser, use: str) -> None:
    """Add --data and --layout, which :func:`read_samples` takes; ``use`` says what for."""
    parser.add_argument("--data", type=Path, metavar="DATA", help=use)
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        help="order of the axes of --data (default: told from the shape)",
    )


def read_samples(path: Path, shape: Shape, layout: str | None = None) -> Samples:
    """Read images and their labels.

    Parameters
    ----------
    path : .npz with ``images`` and, if there are any, ``labels``; .npy; IDX, with or without gzip,
        whose labels are in the file of the same name with ``labels-idx1`` for ``images-idx3``; or a
        folder of pictures, with a sub-folder for each class (see :func:`_pictures`)
    shape : (H, W, C) of the network's input; of a vector (1, 1, K)
    layout : ``nhwc`` or ``nchw``; None to tell it from the shape

    Images are integers 0..255, or floats 0..1 for pixels / 255. Raises DataError.
    """
    if path.is_dir():
        return _pictures(path, shape)
    where = f"The file {path}"
    try:
        images, labels = _arrays(path, where)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{where} holds no numbers that can be read ({str(error).splitlines()[0]}); save it "
            "with numpy.savez(file, images=images, labels=labels)"
        ) from None
    pixels = _pixels(_laid_out(images, shape, layout, where), where)
    checked = None if labels is None else _labels(labels, len(pixels), where)
    return Samples.of(pixels, checked, path.name)


def _arrays(path: Path, where: str) -> tuple[Array, Array | None]:
    """The images and labels as the file has them."""
    content = path.read_bytes()
    if content[:2] == b"PK":
        with np.load(BytesIO(content), allow_pickle=False) as file:
            if "images" not in file:
                if any(name.endswith("/data.pkl") for name in file.files):
                    raise DataError(
                        f"{where} is a file of PyTorch; save its tensors with numpy.savez(file, "
                        "images=images.numpy(), labels=labels.numpy())"
                    )
                found = ", ".join(file.files) or "nothing"
                raise DataError(
                    f"{where} must have an array 'images', and it has {found}; save it with "
                    "numpy.savez(file, images=images, labels=labels)"
                )
            arrays: dict[str, Array] = {name: file[name] for name in file.files}
            return arrays["images"], arrays.get("labels")
    if content[:6] == b"\x93NUMPY":
        return np.load(BytesIO(content), allow_pickle=False), None
    beside = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    has_labels = beside != path and beside.is_file()
    return _idx(content), _idx(beside.read_bytes()) if has_labels else None


def _idx(content: bytes) -> Array:
    """The numbers of an IDX file: 0, 0, type, number of axes; big-endian extents; numbers."""
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if content[:2] != b"\0\0" or len(content) < 4 or content[2] not in IDX_TYPES:
        raise ValueError("it is no .npz, .npy or IDX file")
    axes = content[3]
    extents = struct.unpack_from(f">{axes}I", content, 4) if len(content) >= 4 + 4 * axes else ()
    dtype = np.dtype(IDX_TYPES[content[2]])
    count = int(np.prod([float(extent) for extent in extents]))
    if not extents or count * dtype.itemsize != len(content) - 4 - 4 * axes or count > MAX_BYTES:
        raise ValueError("its header does not fit its length")
    numbers = np.frombuffer(content, dtype, offset=4 + 4 * axes)
    return numbers.reshape(extents).astype(dtype.newbyteorder("="))


def _pictures(folder: Path, shape: Shape) -> Samples:
    """The PNG and JPEG pictures of a folder.

    The sub-folders are the classes, in the order of their names as text: "10" is before "2", as in
    torchvision's ImageFolder and Keras, since training has numbered the classes so. Hidden ones,
    such as .ipynb_checkpoints, are none. The pictures of a folder without sub-folders have no
    labels. A network of one channel gets the luma of a colour picture (ITU-R 601, as in Pillow and
    torchvision).
    """
    where = f"The folder {folder}"
    try:
        names = sorted(_folders_in(folder))
        paths = [_pictures_in(folder / name) for name in names] or [_pictures_in(folder)]
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}") from None
    flat = [path for each in paths for path in each]
    if not flat:
        raise DataError(f"{where} has no {', '.join(PICTURES)} files; {_way_to_pictures(folder)}")
    images = np.stack([_picture(path, shape) for path in flat])
    labels = np.repeat(np.arange(len(paths)), [len(each) for each in paths]) if names else None
    return Samples.of(images, labels, folder.name, tuple(names))


def _folders_in(folder: Path) -> list[str]:
    """The names of the sub-folders that are not hidden."""
    return [
        each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")
    ]


def _way_to_pictures(folder: Path) -> str:
    """The advice for a folder without pictures, whose sub-folders may have folders of classes."""
    for name in sorted(_folders_in(folder)):
        if any(_pictures_in(folder / name / inner) for inner in _folders_in(folder / name)):
            return f"give {folder / name}, which has the folders of the classes"
    return "give a folder of pictures"


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)


def _picture(path: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    """A picture as pixels (H, W, C)."""
    from PIL import Image, UnidentifiedImageError

    height, width, channels = shape
    if channels not in MODES:
        raise DataError(
            f"A picture has 1 or 3 channels, and the network reads {channels}; give an .npz of "
            f"images (N, {height}, {width}, {channels})"
        )
    try:
        with Image.open(path) as picture:
            if picture.size != (width, height):
                raise DataError(
                    f"The picture {path} must be {height}x{width} (rows x columns), not "
                    f"{picture.height}x{picture.width}; resize it as the training did"
                )
            if picture.mode not in ("1", "L", "P", "RGB"):
                raise DataError(
                    f"The picture {path} must be of 8-bit grey or colour without transparency, not "
                    f"of Pillow's mode {picture.mode}; convert it as the training did"
                )
            plain = picture.convert("RGB") if picture.mode == "P" else picture
            pixels = np.asarray(plain.convert(MODES[channels]), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"The picture {path} is damaged or is none; leave it out") from None
    return pixels.reshape(shape)


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """An image (H, W, C) as a PNG in a data URI; C as in ``MODES``."""
    from PIL import Image

    content = BytesIO()
    channels = pixels.shape[2]
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    picture.save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def _laid_out(images: Array, shape: Shape, layout: str | None, where: str) -> Array:
    """The images as (N, H, W, C)."""
    height, width, channels = shape
    if images.ndim == 3 and channels == 1:
        images = images[..., np.newaxis]
    elif images.ndim == 2 and (height, width) == (1, 1):
        images = images[:, np.newaxis, np.newaxis]
    last, first = images.shape[1:] == shape, images.shape[1:] == (channels, height, width)
    if last and first and channels > 1 and layout is None:
        raise DataError(
            f"{where}: images of {list(images.shape)} can be channels last or first; say which by "
            "--layout nhwc or --layout nchw"
        )
    if first and (layout == "nchw" or (layout is None and not last)):
        return images.transpose(0, 2, 3, 1)
    if not last or layout == "nchw":
        maps = f"(N, {height}, {width}, {channels}) or (N, {channels}, {height}, {width})"
        wanted = f"vectors (N, {channels})" if (height, width) == (1, 1) else maps
        raise DataError(
            f"{where}: images must be {wanted}, not {list(images.shape)}; "
            f"{_way_to_shape(images, shape, layout)}"
        )
    return images


def _way_to_shape(images: Array, shape: Shape, layout: str | None) -> str:
    """The advice for images of another shape than the network takes."""
    height, width, channels = shape
    found = images.shape[1:]
    if found in (shape, (channels, height, width)):
        return f"leave out --layout {layout}"
    vectors = len(found) == 1 or (height, width) == (1, 1)
    if vectors and math.prod(found) == math.prod(shape):
        return "reshape them"
    if (height, width) in (found[:2], found[1:]):
        return f"give images with the network's number of channels, {channels}"
    return "resize them to what the network takes"


def _pixels(images: Array, where: str) -> npt.NDArray[np.uint8]:
    """The images as pixels 0..255."""
    if not len(images):
        raise DataError(f"{where}: there are no images in it; give some")
    if images.dtype.kind not in "uif":
        raise DataError(f"{where}: images must be numbers, not {images.dtype}; give pixels")
    least, greatest = float(images.min()), float(images.max())
    span = f"{least:g} to {greatest:g}"
    if images.dtype.kind == "f":
        if not (least >= 0 and greatest <= 1):
            raise DataError(
                f"{where}: float images must be pixels / 255, 0 to 1, not {span}; "
                f"{_way_to_range(least, greatest)}"
            )
        images = np.rint(images * 255)
    elif not (least >= 0 and greatest <= 255):
        raise DataError(f"{where}: pixels must be 0 to 255, not {span}; scale them to bytes")
    elif greatest <= 1:
        raise DataError(
            f"{where}: its integers are {span}, too few for pixels of 0 to 255; give images * 255, "
            "or floats of 0 to 1"
        )
    pixels: npt.NDArray[np.uint8] = images.astype(np.uint8)
    return pixels


def _way_to_range(least: float, greatest: float) -> str:
    """The advice for float images that are not pixels / 255."""
    if least >= 0 and greatest <= 255:
        return "give images / 255, or pixels as uint8"
    if least >= -1 and greatest <= 1:
        return "of images scaled to -1..1 give (images + 1) / 2, and --mean 0.5 --std 0.5"
    return "give pixels as uint8, and a normalization by --mean and --std"


def _labels(labels: Array, count: int, where: str) -> npt.NDArray[np.int64]:
    """The labels as int64 (N,)."""
    flat = labels.reshape(-1)
    if labels.dtype.kind not in "ui" or len(flat) != count or (flat < 0).any():
        raise DataError(
            f"{where}: labels must be {count} class numbers from 0 on, not {labels.dtype} of "
            f"{list(labels.shape)}; {_way_to_labels(labels, count)}"
        )
    return flat.astype(np.int64)


def _way_to_labels(labels: Array, count: int) -> str:
    """The advice for labels that are no class numbers."""
    if labels.ndim == 2 and len(labels) == count and labels.shape[1] > 1:
        return "of one-hot labels give labels.argmax(axis=1)"
    if labels.dtype.kind == "f" and labels.size == count and (labels == np.rint(labels)).all():
        return "give labels.astype(int)"
    return "give the index of the class of each image"
