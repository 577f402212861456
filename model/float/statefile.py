"""State dicts from .npz and .pt files: arrays by PyTorch's names, read without pickle."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..dtypes import Array
from ..layers import NetworkError, require

__all__ = ["State", "by_layer", "read_state"]

State = Mapping[str, Array]
MAX_UNPACKED = 1 << 28  # bytes; a small compressed file can unpack to any size


def read_state(path: str | os.PathLike[str]) -> State:
    """Read a state dict: .npz as numpy.savez writes it, .pt or .pth as torch.save does.

    A .pt file needs PyTorch and is read with ``weights_only=True``. Returns arrays by name, in the
    file's order. Raises NetworkError, one sentence that names the file, for any other file.
    """
    name = os.fspath(path)
    suffix = Path(name).suffix
    if suffix not in (".npz", ".pt", ".pth"):
        raise NetworkError(f"The state dict {name} must be an .npz or a .pt file")
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise NetworkError(f"The state dict {name} cannot be read: {error.strerror}") from None
    try:
        return _from_npz(content) if suffix == ".npz" else _from_pt(content)
    except NetworkError as error:
        raise NetworkError(f"The state dict {name} {error}") from None


def _from_npz(content: bytes) -> State:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
        arrays = np.load(io.BytesIO(content), allow_pickle=False)
    except (
        Exception
    ):  # zipfile raises several types for damaged bytes, numpy another for a file that is no zip
        raise NetworkError("is not a complete .npz file; save it again with numpy.savez") from None
    entries, size = [info.filename for info in infos], sum(info.file_size for info in infos)
    for entry in sorted(entries):
        if entries.count(entry) > 1:
            raise NetworkError(f"holds {entry.removesuffix('.npy')!r} twice; save it again")
    if size > MAX_UNPACKED:
        raise NetworkError(f"unpacks to {size} bytes, more than the {MAX_UNPACKED} read here")
    state = {}
    with arrays:
        for entry in arrays.files:
            try:
                values = arrays[entry]
            except Exception:  # an object array, or an error of zlib or numpy for damaged bytes
                values = None
            if not isinstance(values, np.ndarray):
                raise NetworkError(
                    f"holds {entry!r}, which is not a complete array of numbers (pickled objects "
                    "are not read); save it again as numbers"
                )
            state[entry] = values
    return state


def _from_pt(content: bytes) -> State:
    import torch

    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # torch, pickle and zipfile each have their own error types
        loaded = None
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    ):
        raise NetworkError(
            "is no file of tensors by name that torch.load(..., weights_only=True) reads; "
            "save the state dict itself: torch.save(net.state_dict(), path)"
        )
    try:
        return {name: value.detach().numpy() for name, value in loaded.items()}
    except (TypeError, RuntimeError):  # bfloat16, sparse or quantized tensors have no numpy form
        raise NetworkError(
            "holds tensors that are no plain numbers; save the module's .float().state_dict()"
        ) from None


def by_layer(state: State) -> dict[str, dict[str, Array]]:
    """The arrays ``weight`` and, if there is one, ``bias`` of each layer, in the file's order.

    Raises NetworkError for an array of another name, and for a layer without weights.
    """
    layers: dict[str, dict[str, Array]] = {}
    for key, values in state.items():
        layer, _, kind = key.rpartition(".")
        require(
            layer.isidentifier() and layer.isascii() and kind in ("weight", "bias"),
            f"Array {key!r}: arrays must be called like conv1.weight and conv1.bias; "
            "remove all others, and fold batch norm into the weights",
        )
        layers.setdefault(layer, {})[kind] = np.asarray(values)
    require(bool(layers), "The state dict is empty; it must hold conv1.weight and so on")
    for layer, arrays in layers.items():
        require("weight" in arrays, f"Layer {layer!r}: the array '{layer}.weight' is missing")
    return layers
