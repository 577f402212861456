"""Digits: where MNIST's files are looked for, and what stands in for them."""

from __future__ import annotations

import hashlib
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from mnistfiles import IMAGES, LABELS, only_folder, seven_digits
from tercet.model import data
from tercet.model.data import (
    DataError,
    Digits,
    MissingError,
    cache_folder,
    digits_for_simulation,
    fit_to,
    mnist,
)


@pytest.fixture
def digits() -> Digits:
    return seven_digits()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return only_folder(tmp_path, monkeypatch)


def test_reads_as_many_images_as_the_header_says(folder: Path, digits: Digits) -> None:
    found = mnist("test")
    assert np.array_equal(found.images, digits.images)
    assert np.array_equal(found.labels, digits.labels)
    assert found.images.dtype == found.labels.dtype == np.uint8
    assert found.source == "MNIST test images"
    assert len(found) == 7


def test_reads_the_cache_where_the_named_folder_lacks_a_file(folder: Path, digits: Digits) -> None:
    cache_folder().mkdir(parents=True)
    for name in (IMAGES, LABELS):
        (folder / name).rename(cache_folder() / name)
    assert np.array_equal(mnist("test").images, digits.images)


def test_cache_lies_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "tercet" / "mnist"


def test_downloads_into_the_cache_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, digits: Digits
) -> None:
    files = {name: (folder / name).read_bytes() for name in (IMAGES, LABELS)}
    fetched: list[str] = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        return files[url.rsplit("/", 1)[1]]

    monkeypatch.setattr(data, "_fetch", fetch)
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(data, "CHECKSUMS", sums)
    monkeypatch.delenv("TERCET_DATA")
    for _ in range(2):
        assert np.array_equal(mnist("test").images, digits.images)
    assert fetched == [data.MIRROR + IMAGES, data.MIRROR + LABELS]
    assert sorted(path.name for path in cache_folder().iterdir()) == [IMAGES, LABELS]


def test_refuses_a_download_with_a_wrong_checksum(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "_fetch", lambda url: b"something else")
    monkeypatch.delenv("TERCET_DATA")
    md5 = "6c7ba9c5a141421e1c03cb9807c97c74"
    message = (
        f"{IMAGES} and {LABELS} are neither in TERCET_DATA (not set) nor in {cache_folder()}, and "
        f"downloading failed ({IMAGES} came with the MD5 {md5}, not {data.CHECKSUMS[IMAGES]}); "
        "set TERCET_DATA to a folder with both"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        mnist("test")
    assert not cache_folder().exists()


def test_says_where_it_looked(folder: Path, tmp_path: Path) -> None:
    names = "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
    url = f"{data.MIRROR}train-images-idx3-ubyte.gz"
    message = (
        f"{names} are neither in TERCET_DATA ({folder}) nor in {tmp_path}/cache/tercet/mnist, and "
        f"downloading failed (no network for {url}); set TERCET_DATA to a folder with both"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        mnist("train")


def test_refuses_an_unknown_split() -> None:
    with pytest.raises(DataError, match=r"^split must be one of train, test, not 'validation'$"):
        mnist("validation")


def test_simulation_takes_mnist_first(folder: Path, digits: Digits) -> None:
    found = digits_for_simulation(3)
    assert np.array_equal(found.images, digits.images[:3])
    assert np.array_equal(found.labels, digits.labels[:3])
    assert found.source == "MNIST test images"


@pytest.mark.parametrize("count", [0, -1, 8])
def test_simulation_refuses_a_count_that_there_is_not(folder: Path, count: int) -> None:
    message = rf"^count must be 1 to the 7 images of MNIST test images, not {count}$"
    with pytest.raises(DataError, match=message):
        digits_for_simulation(count)


def test_simulation_takes_bundled_digits_without_mnist(folder: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    (folder / IMAGES).unlink()
    found = digits_for_simulation(1797)
    assert found.source == "scikit-learn's bundled digits, scaled to 28x28"
    assert found.images.shape == (1797, 28, 28)
    assert found.images.dtype == found.labels.dtype == np.uint8
    assert found.labels[:10].tolist() == list(range(10))
    assert found.images.max() == 255
    digest = hashlib.sha256(found.images.tobytes()).hexdigest()
    assert digest == "de77a57d67c2b949670a7cf0384f375dea4496a1381113ae82360db7fc84ce03"
    message = f"count must be 1 to the 1797 images of {found.source}, not 1798"
    with pytest.raises(DataError, match=f"^{message}$"):
        digits_for_simulation(1798)


def test_says_what_to_do_without_scikit_learn(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / IMAGES).unlink()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError) as caught:
        digits_for_simulation(1)
    assert str(caught.value).endswith(
        "; set TERCET_DATA to a folder with both, "
        "or install scikit-learn, whose bundled digits serve as well"
    )


def test_enlarging_interpolates_exactly() -> None:
    counts = np.random.default_rng(2).integers(0, 17, (8, 8))
    big = data._enlarge(counts[np.newaxis])[0]
    assert not big[[0, 1, 2, 3, 24, 25, 26, 27]].any()
    assert not big[:, [0, 1, 2, 3, 24, 25, 26, 27]].any()

    def taps(out: int) -> list[tuple[int, Fraction]]:
        """The inputs and weights of one of 20 outputs over 8 inputs."""
        position = min(max(Fraction(2 * out + 1, 2) * 8 / 20 - Fraction(1, 2), 0), 7)
        left = int(position)
        return [(left, 1 - position + left), (min(left + 1, 7), position - left)]

    for y, x in np.ndindex(20, 20):
        exact = sum(wy * wx * int(counts[r, c]) for r, wy in taps(y) for c, wx in taps(x))
        assert big[4 + y, 4 + x] == (exact * 255 / 16 + Fraction(1, 2)) // 1


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 1), (28, 28, 3), (30, 34, 3)])
def test_digits_fit_a_network(digits: Digits, shape: tuple[int, int, int]) -> None:
    found = fit_to(digits.images, shape)
    assert (found.shape, found.dtype) == ((7, *shape), np.uint8)
    top, left = (shape[0] - 28) // 2, (shape[1] - 28) // 2
    for channel in range(shape[2]):
        inside = found[:, top : top + 28, left : left + 28, channel]
        assert np.array_equal(inside, digits.images)
        assert found[..., channel].sum(dtype=np.int64) == digits.images.sum(dtype=np.int64)
    assert fit_to(digits.images[:0], shape).shape == (0, *shape)


@pytest.mark.parametrize(
    "shape", [(27, 28, 1), (28, 31, 1), (26, 28, 3), (28, 28, 2), (28, 28, 0), (0, 0, 1)]
)
def test_refuses_a_network_that_digits_do_not_fit(
    digits: Digits, shape: tuple[int, int, int]
) -> None:
    message = (
        "Digits of 28x28 pixels fit a network that takes 1 or 3 channels and 28 pixels or an even "
        f"number more along each side, not {shape[0]}x{shape[1]}x{shape[2]}"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        fit_to(digits.images, shape)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 28, 28), np.float32),
        np.zeros((28, 28), np.uint8),
        np.zeros((2, 28, 27), np.uint8),
        np.zeros((2, 28, 28, 1), np.uint8),
    ],
    ids=["float", "one", "narrow", "channel"],
)
def test_refuses_to_fit_what_is_no_digits(images: np.ndarray) -> None:
    message = f"images must be uint8 (N, 28, 28), not {images.dtype} {images.shape}"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        fit_to(images, (28, 28, 1))


@pytest.mark.mnist
def test_real_mnist_is_read() -> None:
    try:
        found = mnist("test")
    except MissingError as error:
        pytest.skip(str(error))
    assert found.images.shape == (10_000, 28, 28)
    assert found.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert int(found.images.sum(dtype=np.int64)) == 264_923_200
