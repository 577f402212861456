"""The float networks: their layers, their PyTorch modules, and the files that keep their weights.

The layers are plain data and the files plain arrays, so that quantizing needs numpy alone; PyTorch
is imported where a module is built. A checkpoint is an .npz of float32 weights by layer name and
one JSON text, ``facts``; it is read without pickle.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..files import write_whole
from ..layers import NetworkError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETS", "Checkpoint", "ConvSpec", "build", "layers_of", "load", "save", "shipped"]

INPUT_SHAPE = (28, 28, 1)
ZOO = Path(__file__).parent.parent / "zoo" / "float"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ConvSpec:
    """A bias-free convolution whose stride is its kernel; rows and columns left over are dropped.

    Parameters
    ----------
    kernel : rows and columns, and the stride along both
    groups : as in torch.nn.Conv2d; in_channels of them make it depthwise
    relu : whether a ReLU follows
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    groups: int = 1
    relu: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the weights: (OC, IC / groups, KH, KW)."""
        return (self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel)


# Input 1x28x28, pixels scaled to 0..1; output ten scores; maps 28 -> 9 -> 3 -> 1.
NETS: dict[str, tuple[ConvSpec, ...]] = {
    "plain": (  # 729 weights
        ConvSpec("conv1", 1, 3, 3, relu=True),
        ConvSpec("conv2", 3, 6, 3, relu=True),
        ConvSpec("conv3", 6, 10, 3),
    ),
    "separable": (  # 171 weights: the same three, each split into depthwise and pointwise
        ConvSpec("dw1", 1, 1, 3),
        ConvSpec("pw1", 1, 3, 1, relu=True),
        ConvSpec("dw2", 3, 3, 3, groups=3),
        ConvSpec("pw2", 3, 6, 1, relu=True),
        ConvSpec("dw3", 6, 6, 3, groups=6),
        ConvSpec("pw3", 6, 10, 1),
    ),
}


def layers_of(name: str) -> tuple[ConvSpec, ...]:
    """The convolutions of a network by its name. Raises NetworkError for an unknown one."""
    if name not in NETS:
        raise NetworkError(f"There is no float network named {name!r}; there are {', '.join(NETS)}")
    return NETS[name]


def build(name: str, copies: int = 1) -> nn.Sequential:
    """Build a network's module, or ``copies`` independent ones in one, side by side as groups.

    The modules are named like the layers, ``relu`` and the layer's number follow a layer with one,
    and a ``flatten`` closes: float32 (N, 1, 28, 28) -> (N, copies * 10), copy by copy.

    Raises NetworkError for an unknown name.
    """
    from torch import nn

    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for spec in layers_of(name):
        first = not modules  # the image is shared by all copies
        modules[spec.name] = nn.Conv2d(
            spec.in_channels * (1 if first else copies),
            spec.out_channels * copies,
            spec.kernel,
            stride=spec.kernel,
            groups=spec.groups * (1 if first else copies),
            bias=False,
        )
        if spec.relu:
            modules[f"relu{spec.name[-1]}"] = nn.ReLU()
    modules["flatten"] = nn.Flatten()
    return nn.Sequential(modules)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network.

    Parameters
    ----------
    network : a name of ``NETS``
    weights : float32 (OC, IC / groups, KH, KW) by layer name, finite
    facts : how it was trained and what it reached; JSON values only
    """

    network: str
    weights: Mapping[str, Floats]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        specs = layers_of(self.network)
        for name in sorted(set(self.weights) ^ {spec.name for spec in specs}):
            what = "unknown" if name in self.weights else "missing"
            raise NetworkError(f"the weights of layer {name!r} are {what} in {self.network}")
        for spec in specs:
            values = self.weights[spec.name]
            if values.shape != spec.shape or values.dtype != np.float32:
                raise NetworkError(
                    f"the weights of layer {spec.name!r} must be float32 {list(spec.shape)}, "
                    f"not {values.dtype} {list(values.shape)}"
                )
            if not np.isfinite(values).all():
                raise NetworkError(f"the weights of layer {spec.name!r} must be finite")

    def module(self) -> nn.Sequential:
        """The network's module with these weights, in evaluation mode."""
        import torch

        net = build(self.network)
        state = {f"{name}.weight": torch.from_numpy(w.copy()) for name, w in self.weights.items()}
        net.load_state_dict(state)
        return net.eval()


def shipped() -> list[str]:
    """The names of the checkpoints that ship with tercet."""
    return sorted(path.stem for path in ZOO.glob("*.npz"))


def load(source: str) -> Checkpoint:
    """Read a checkpoint: a shipped one by name, or a file by its path.

    Raises NetworkError, one sentence that names the file, where it is absent or no checkpoint.
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
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        facts = json.loads(str(arrays.pop("facts")))
        network = facts.pop("network")
    except (
        Exception
    ):  # zipfile, zlib, numpy and json each have their own for bytes that are damaged
        network = None
    if not isinstance(network, str):
        raise NetworkError(
            "it is no .npz file of arrays and a JSON text 'facts' that names its network; "
            "make it anew with tercet train"
        )
    return Checkpoint(network, arrays, facts)


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, whole or not at all; the same one gives the same bytes.

    Raises NetworkError where the file cannot be written.
    """
    facts = json.dumps({"network": checkpoint.network, **checkpoint.facts}, sort_keys=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in {**checkpoint.weights, "facts": np.array(facts)}.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, values, allow_pickle=False)
            # A ZipInfo of its own has a fixed date, so that no clock gets into the bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise NetworkError(f"The checkpoint {path} cannot be written: {error.strerror}") from None
