"""A user's own images: every kind of file, layouts, ranges, and what gives a mistake away."""

import gzip
import struct

import numpy as np
import pytest
from tercet.model.data import DataError
from tercet.model.samples import Samples, read_samples

SHAPE = (3, 4, 2)
COUNT = 5


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


LABELS = np.array([3, 0, 1, 2, 9])


def idx(array):
    code = {"u1": 8, "i4": 0x0C}[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_npz_has_images_and_labels(images, tmp_path):
    np.savez(tmp_path / "both.npz", images=images, labels=LABELS[:, None])
    np.savez_compressed(tmp_path / "alone.npz", images=images)
    both, alone = (read_samples(tmp_path / f"{name}.npz", SHAPE) for name in ("both", "alone"))
    assert np.array_equal(both.images, images)
    assert both.labels is not None
    assert both.labels.tolist() == LABELS.tolist()
    assert np.array_equal(alone.images, images)
    assert alone.labels is None


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_find_their_labels(packed, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 4), dtype=np.uint8)
    end = ".gz" if packed else ""
    for name, array in (("images-idx3", images), ("labels-idx1", LABELS.astype(np.int32))):
        content = gzip.compress(idx(array)) if packed else idx(array)
        (tmp_path / f"my-{name}-ubyte{end}").write_bytes(content)
    found = read_samples(tmp_path / f"my-images-idx3-ubyte{end}", (3, 4, 1))
    assert np.array_equal(found.images[..., 0], images)
    assert found.labels is not None
    assert found.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (lambda x: x, SHAPE),
        (lambda x: x.transpose(0, 3, 1, 2), SHAPE),
        (lambda x: x.astype(np.int64), SHAPE),
        (lambda x: (x / 255).astype(np.float32), SHAPE),
        (lambda x: x[..., :1], (3, 4, 1)),
        (lambda x: x[..., 0], (3, 4, 1)),
        (lambda x: x[:, None, :, :, 0], (3, 4, 1)),
        (lambda x: x.reshape(COUNT, -1), (1, 1, 24)),
    ],
)
def test_layout_and_type_are_told_from_the_numbers(made, shape, images, tmp_path):
    np.save(tmp_path / "x.npy", made(images))
    found = read_samples(tmp_path / "x.npy", shape)
    expected = images[..., : shape[2]] if shape[0] > 1 else images.reshape(COUNT, 1, 1, -1)
    assert found.images.dtype == np.uint8
    assert np.array_equal(found.images, expected)


def test_an_ambiguous_layout_is_asked_for(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 2, 2, 2), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(
        DataError, match=r"can be channels last or first; say which by --layout nhw"
    ):
        read_samples(tmp_path / "x.npy", (2, 2, 2))
    assert np.array_equal(read_samples(tmp_path / "x.npy", (2, 2, 2), "nhwc").images, images)
    first = read_samples(tmp_path / "x.npy", (2, 2, 2), "nchw").images
    assert np.array_equal(first, images.transpose(0, 2, 3, 1))


def test_a_split_shares_no_image(images, tmp_path):
    np.savez(tmp_path / "x.npz", images=images, labels=LABELS)
    samples = read_samples(tmp_path / "x.npz", SHAPE)
    left, right = samples.split(2, None, seed=1)
    assert (len(left), len(right)) == (2, 3)
    assert left.labels is not None
    assert right.labels is not None
    assert sorted([*left.labels, *right.labels]) == sorted(LABELS.tolist())
    again, _ = samples.split(2, None, seed=1)
    assert np.array_equal(again.images, left.images)
    with pytest.raises(DataError) as error:
        samples.split(5, None, seed=1)
    assert str(error.value) == (
        "5 images to calibrate on and all others to measure the accuracy on are more than the 5 "
        "of x.npz; choose fewer with --split C,M"
    )
    left, right = samples.split(1, 2, seed=1)
    assert (len(left), len(right)) == (1, 2)
    with pytest.raises(DataError, match=r"^3 images .* and 3 others .* are more than the 5 of"):
        samples.split(3, 3, seed=1)


def test_samples_are_spread_over_all(images, tmp_path):
    np.savez(tmp_path / "x.npz", images=images, labels=LABELS)
    samples = read_samples(tmp_path / "x.npz", SHAPE)
    assert samples.spread(2).numbers.tolist() == [0, 2]
    assert samples.spread(9).numbers.tolist() == [0, 1, 2, 3, 4]
    assert samples.spread(3).at([1]).numbers.tolist() == [1]


ZEROS = np.zeros((COUNT, *SHAPE), np.uint8)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            ZEROS[:, :2] + 9,
            "images must be (N, 3, 4, 2) or (N, 2, 3, 4), not [5, 2, 4, 2]; resize them to what "
            "the network takes",
        ),
        (
            ZEROS.reshape(COUNT, -1) + 9,
            "images must be (N, 3, 4, 2) or (N, 2, 3, 4), not [5, 24]; reshape them",
        ),
        (
            ZEROS[..., :1] + 9,
            "images must be (N, 3, 4, 2) or (N, 2, 3, 4), not [5, 3, 4, 1]; give images with the "
            "network's number of channels, 2",
        ),
        (
            ZEROS + 255.0,
            "float images must be pixels / 255, 0 to 1, not 255 to 255; give images / 255, or "
            "pixels as uint8",
        ),
        (
            np.linspace(-1, 1, 120).reshape(ZEROS.shape),
            "float images must be pixels / 255, 0 to 1, not -1 to 1; of images scaled to -1..1 "
            "give (images + 1) / 2, and --mean 0.5 --std 0.5",
        ),
        (
            np.linspace(-2, 2.5, 120).reshape(ZEROS.shape),
            "float images must be pixels / 255, 0 to 1, not -2 to 2.5; give pixels as uint8, and a "
            "normalization by --mean and --std",
        ),
        (
            np.full(ZEROS.shape, np.nan),
            "float images must be pixels / 255, 0 to 1, not nan to nan; give pixels as uint8, and "
            "a normalization by --mean and --std",
        ),
        (ZEROS.astype(int) - 1, "pixels must be 0 to 255, not -1 to -1; scale them to bytes"),
        (
            ZEROS + 1,
            "its integers are 1 to 1, too few for pixels of 0 to 255; give images * 255, or floats "
            "of 0 to 1",
        ),
        (ZEROS[:0], "there are no images in it; give some"),
        (ZEROS.astype("U1"), "images must be numbers, not <U1; give pixels"),
    ],
)
def test_what_is_no_image_is_refused_with_its_numbers(array, message, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, array)
    with pytest.raises(DataError) as error:
        read_samples(path, SHAPE)
    assert str(error.value) == f"The file {path}: {message}"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: np.savez(path, x=ZEROS, y=LABELS),
            "must have an array 'images', and it has x, y; save it with numpy.savez(file, "
            "images=images, labels=labels)",
        ),
        (
            lambda path: np.savez(path, images=ZEROS + 9, labels=LABELS[:4]),
            ": labels must be 5 class numbers from 0 on, not int64 of [4]; give the index of the "
            "class of each image",
        ),
        (
            lambda path: np.savez(path, images=ZEROS + 9, labels=LABELS / 1.5),
            ": labels must be 5 class numbers from 0 on, not float64 of [5]; give the index of the "
            "class of each image",
        ),
        (
            lambda path: np.savez(path, images=ZEROS + 9, labels=LABELS * 1.0),
            ": labels must be 5 class numbers from 0 on, not float64 of [5]; give "
            "labels.astype(int)",
        ),
        (
            lambda path: np.savez(path, images=ZEROS + 9, labels=np.eye(10)[LABELS]),
            ": labels must be 5 class numbers from 0 on, not float64 of [5, 10]; of one-hot labels "
            "give labels.argmax(axis=1)",
        ),
        (
            lambda path: np.savez(path, images=np.array([{}], dtype=object)),
            "holds no numbers that can be read (Object arrays cannot be loaded when "
            "allow_pickle=False); save it with numpy.savez(file, images=images, labels=labels)",
        ),
        (
            lambda path: path.write_bytes(b"text"),
            "holds no numbers that can be read (it is no .npz, .npy or IDX file); save it with "
            "numpy.savez(file, images=images, labels=labels)",
        ),
        (
            lambda path: path.write_bytes(b"PK\x03\x04broken"),
            "holds no numbers that can be read (File is not a zip file); save it with "
            "numpy.savez(file, images=images, labels=labels)",
        ),
        (
            lambda path: path.write_bytes(idx(ZEROS)[:-1]),
            "holds no numbers that can be read (its header does not fit its length); save it with "
            "numpy.savez(file, images=images, labels=labels)",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(write, message, tmp_path):
    path = tmp_path / "x.npz"
    write(path)
    with pytest.raises(DataError) as error:
        read_samples(path, SHAPE)
    assert str(error.value).removeprefix(f"The file {path}").lstrip() == message


def test_a_layout_that_the_shape_contradicts_is_refused(images, tmp_path):
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(DataError, match=r"not \[5, 3, 4, 2\]; leave out --layout nchw$"):
        read_samples(tmp_path / "x.npy", SHAPE, "nchw")


def test_maps_for_a_network_of_vectors_are_to_be_reshaped(images, tmp_path):
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(DataError, match=r"be vectors \(N, 24\), not \[5, 3, 4, 2\]; reshape them$"):
        read_samples(tmp_path / "x.npy", (1, 1, 24))


@pytest.mark.torch
def test_tensors_of_pytorch_are_refused_with_the_way_out(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.save((torch.zeros(2), torch.zeros(2)), tmp_path / "x.pt")
    with pytest.raises(DataError) as error:
        read_samples(tmp_path / "x.pt", SHAPE)
    assert str(error.value) == (
        f"The file {tmp_path / 'x.pt'} is a file of PyTorch; save its tensors with "
        "numpy.savez(file, images=images.numpy(), labels=labels.numpy())"
    )


def test_a_label_without_a_score_is_refused(images):
    samples = Samples.of(images, LABELS, "x.npz")
    samples.require_labels_below(10, "net")
    samples.at(slice(0)).require_labels_below(1, "net")
    Samples.of(images, None, "x.npz").require_labels_below(1, "net")
    with pytest.raises(DataError) as error:
        samples.require_labels_below(9, "net")
    assert str(error.value) == (
        "Network 'net' has 9 scores, and the images of x.npz have the label 9; give labels from 0 "
        "to 8"
    )
    with pytest.raises(DataError) as error:
        samples.require_labels_below(1, "net")
    assert str(error.value) == (
        "Network 'net' has one score, which states no class, and the images of x.npz have labels; "
        "leave the labels out"
    )


@pytest.fixture
def picture(tmp_path):
    """A function that writes a picture (H, W) or (H, W, 3) below a folder; returns the folder."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

    def write(name, pixels):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(path)
        return tmp_path / "pictures"

    return write


def test_sub_folders_are_the_classes(picture):
    grey = np.random.default_rng(0).integers(0, 256, (4, 3, 4), dtype=np.uint8)
    for pixels, name in zip(grey, ("10/b.png", "9/z.png", "10/a.png", "9/notes.PNG"), strict=True):
        folder = picture(name, pixels)
    (folder / "9" / "readme.txt").write_text("no picture")
    found = read_samples(folder, (3, 4, 1))
    assert found.classes == ("10", "9")  # as text, like torchvision's ImageFolder
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(found.images[..., 0], grey[[2, 0, 3, 1]])


def test_hidden_folders_are_no_classes(picture):
    folder = picture("cat/a.png", np.zeros((3, 4), np.uint8))
    (folder / ".ipynb_checkpoints").mkdir()
    assert read_samples(folder, (3, 4, 1)).classes == ("cat",)


def test_a_folder_above_the_classes_names_one(picture):
    folder = picture("test/cat/a.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError) as error:
        read_samples(folder, (3, 4, 1))
    assert str(error.value) == (
        f"The folder {folder} has no .png, .jpg, .jpeg files; give {folder / 'test'}, which has "
        "the folders of the classes"
    )


def test_a_folder_without_sub_folders_has_no_labels(picture):
    colour = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    folder = picture("a.png", colour)
    found = read_samples(folder, (3, 4, 3))
    assert (found.labels, found.classes) == (None, ())
    assert np.array_equal(found.images[0], colour)
    luma = read_samples(folder, (3, 4, 1)).images[0, ..., 0]
    exact = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - exact).max() <= 0.5 + 1e-3


def test_jpeg_is_read(picture):
    folder = picture("a.jpg", np.full((8, 8, 3), 77, np.uint8))
    assert (read_samples(folder, (8, 8, 3)).images == 77).all()


@pytest.mark.parametrize(
    ("pixels", "shape", "message"),
    [
        (np.zeros((3, 5), np.uint8), (3, 4, 1), "a.png must be 3x4 (rows x columns), not 3x5; res"),
        (np.zeros((3, 4, 4), np.uint8), (3, 4, 3), "transparency, not of Pillow's mode RGBA; con"),
        (np.zeros((3, 4), np.uint16), (3, 4, 1), "transparency, not of Pillow's mode I;16; con"),
        (np.zeros((3, 4), np.uint8), (3, 4, 2), "A picture has 1 or 3 channels, and the network"),
    ],
)
def test_pictures_of_another_kind_are_refused(pixels, shape, message, picture):
    folder = picture("a.png", pixels)
    with pytest.raises(DataError) as error:
        read_samples(folder, shape)
    assert message in str(error.value)


def test_folders_without_pictures_and_damaged_pictures_are_refused(picture, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no \.png, \.jpg, \.jpeg files; give a folder"):
        read_samples(tmp_path / "empty", (3, 4, 1))
    folder = picture("a.png", np.zeros((30, 40), np.uint8))
    whole = (folder / "a.png").read_bytes()
    for content in (b"", b"no picture", whole[:40], whole[:-20]):
        (folder / "a.png").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.png is damaged or is none; leave it out$"):
            read_samples(folder, (30, 40, 1))
