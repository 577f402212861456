"""The float networks by name, and the files with their weights.

PyTorch is imported only when a module is built or its array shapes are needed. The networks of
stride 3 can therefore be read and quantized with numpy alone. A checkpoint is an .npz of a module's
arrays by PyTorch's names and one JSON text, ``facts``; it is read without pickle.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...dtypes import Array
from ...files import write_whole
from ...layers import NetworkError
from .stride3 import INPUT_SHAPE, STRIDE3, build_copies

if TYPE_CHECKING:
    from torch import nn

    from ..ptq.graph import Graph

__all__ = [
    "NETS",
    "Checkpoint",
    "Floats",
    "Net",
    "build",
    "input_shape_of",
    "load",
    "net_of",
    "save",
    "shipped",
    "state_of",
]

ZOO = Path(__file__).parents[2] / "zoo" / "float"
MAX_UNPACKED = 8_000_000  # bytes; a small compressed file can unpack to any size
SUFFIXES = (".pt", ".pth")  # of PyTorch's own files, see state_dicts.py
UNUSED = "num_batches_tracked"  # batch norm's count of batches, which is not used here

Floats = npt.NDArray[np.float32]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Net:
    """A float network.

    Parameters
    ----------
    input_shape : (H, W, C) of its images; the pixel p, 0 to 255, enters as p / 255
    module : builds it with PyTorch's initial weights: float32 (N, C, H, W) -> (N, 10)
    shapes : returns its arrays' shapes by their names in the module's state dict
    """

    input_shape: tuple[int, int, int]
    module: Callable[[], nn.Module]
    shapes: Callable[[], Shapes]


def _stride3(name: str) -> Net:
    shapes: Shapes = {f"{spec.name}.weight": spec.shape for spec in STRIDE3[name]}
    return Net(INPUT_SHAPE, partial(build_copies, name), lambda: shapes)


def _ordinary(name: str, input_shape: tuple[int, int, int]) -> Net:
    """A network of ``modules.py``, imported on first use."""

    def module() -> nn.Module:
        from .modules import MODULES

        return MODULES[name]()

    def shapes() -> Shapes:
        import torch

        with torch.device("meta"):  # allocates no memory and draws no initial weights
            state = module().state_dict()
        return {key: tuple(t.shape) for key, t in state.items() if not key.endswith(UNUSED)}

    return Net(input_shape, module, shapes)


NETS: dict[str, Net] = {
    "plain": _stride3("plain"),
    "separable": _stride3("separable"),
    "mnist_cnn": _ordinary("mnist_cnn", (28, 28, 1)),
    "mnist_cnn_bn": _ordinary("mnist_cnn_bn", (28, 28, 1)),
    "lenet_avg": _ordinary("lenet_avg", (28, 28, 1)),
    "lenet_max": _ordinary("lenet_max", (32, 32, 1)),
    "mobilenet": _ordinary("mobilenet", (28, 28, 3)),
}


def net_of(name: str) -> Net:
    """A network by its name. Raises NetworkError for an unknown one."""
    if name not in NETS:
        raise NetworkError(f"There is no float network named {name!r}; there are {', '.join(NETS)}")
    return NETS[name]


def input_shape_of(name: str) -> tuple[int, int, int]:
    """(H, W, C) of a network's images. Raises NetworkError for an unknown name."""
    return net_of(name).input_shape


def build(name: str) -> nn.Module:
    """Build a network's module with PyTorch's initial weights: float32 (N, C, H, W) -> (N, 10).

    Raises NetworkError for an unknown name.
    """
    return net_of(name).module()


def state_of(module: nn.Module) -> dict[str, Floats]:
    """The arrays of a module by its own names, as in a checkpoint."""
    state = module.state_dict()
    return {name: t.numpy().copy() for name, t in state.items() if not name.endswith(UNUSED)}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network.

    Parameters
    ----------
    network : a name of ``NETS``
    state : float32 arrays, finite, by their names in the module's state dict ("conv1.weight")
    facts : its training and the accuracy reached; JSON values only
    """

    network: str
    state: Mapping[str, Floats]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = net_of(self.network).shapes()
        for name in sorted(set(self.state) ^ set(shapes)):
            what = "unknown" if name in self.state else "missing"
            raise NetworkError(f"the array {name!r} is {what} in {self.network}")
        for name, shape in shapes.items():
            values = self.state[name]
            if values.shape != shape or values.dtype != np.float32:
                raise NetworkError(
                    f"the array {name!r} must be float32 {list(shape)}, "
                    f"not {values.dtype} {list(values.shape)}"
                )
            if not np.isfinite(values).all():
                raise NetworkError(f"the array {name!r} must be finite")
            if name.endswith("running_var") and (values < 0).any():
                raise NetworkError(f"the variances {name!r} must not be negative")

    def module(self) -> nn.Module:
        """The network's module with these arrays, in evaluation mode."""
        import torch

        with torch.random.fork_rng(devices=[]):  # building draws initial weights, replaced below
            net = build(self.network)
        state = {name: torch.from_numpy(values.copy()) for name, values in self.state.items()}
        net.load_state_dict(state, strict=False)  # all except the counts of batches
        return net.eval()

    def graph(self) -> Graph:
        """The network as a float graph, with batch normalizations as separate nodes."""
        from ..torch_export.module import graph_of

        height, width, channels = input_shape_of(self.network)
        return graph_of(self.module(), (channels, height, width), self.network)


def shipped() -> list[str]:
    """The names of the checkpoints that ship with tercet."""
    return sorted(path.stem for path in ZOO.glob("*.npz"))


def load(source: str) -> Checkpoint:
    """Read a checkpoint: a shipped one by name, or a file by its path.

    Raises NetworkError, one sentence that names the file, if it does not exist or is no checkpoint.
    """
    path = ZOO / f"{source}.npz" if source in shipped() else Path(source)
    if path.name == source and not path.suffix:
        raise NetworkError(
            f"There is no checkpoint named {source!r}; shipped are {', '.join(shipped())}, "
            "and a path to a checkpoint ends in .npz"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NetworkError(f"The checkpoint {path} cannot be read: {error.strerror}") from None
    try:
        return _decode(content)
    except NetworkError as error:
        raise NetworkError(f"The checkpoint {source}: {error}") from None


def _decode(content: bytes) -> Checkpoint:
    """Read the bytes of a checkpoint. Raises NetworkError."""
    try:
        arrays = _unpack(content)
        facts = json.loads(str(arrays.pop("facts")))
        network = facts.pop("network")
    except Exception:  # zipfile, zlib, numpy and json each raise their own types for damaged bytes
        network = None
    if not isinstance(network, str):
        raise NetworkError(
            "it is no .npz file of arrays and a JSON text 'facts' that names its network; "
            "make it again with tercet train"
        )
    wide = {n: a.astype(np.float32) if a.dtype == np.float16 else a for n, a in arrays.items()}
    return Checkpoint(network, wide, facts)


def _unpack(content: bytes) -> dict[str, Array]:
    """The arrays of an .npz. Raises ValueError, or a reader's error, if it is none."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED:
            raise ValueError("unpacks to more than any network")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if not all(isinstance(values, np.ndarray) for values in arrays.values()):
        raise ValueError("holds an entry that is no array")
    return arrays


def _narrow(values: Floats) -> Array:
    """The values as float16 if all of them are exact in it."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), values) else values


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, whole or not at all; the same one gives the same bytes.

    Arrays whose values are exact in float16 are written as float16 and read back as float32. Raises
    NetworkError if the file cannot be written.
    """
    facts = json.dumps({"network": checkpoint.network, **checkpoint.facts}, sort_keys=True)
    arrays = {name: _narrow(values) for name, values in checkpoint.state.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in {**arrays, "facts": np.array(facts)}.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, values, allow_pickle=False)
            # A ZipInfo has a fixed date, so the bytes do not depend on the clock.
            info = zipfile.ZipInfo(f"{name}.npy")
            archive.writestr(info, entry.getvalue(), zipfile.ZIP_DEFLATED)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise NetworkError(f"The checkpoint {path} cannot be written: {error.strerror}") from None
