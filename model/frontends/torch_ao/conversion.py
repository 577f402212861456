"""Conversion of float modules to torch.ao's eager-mode int8: fuse, prepare, calibrate, convert.

torch.ao is deprecated. Only this file, ``run.py``, ``network.py`` and ``operators.py`` use it.
"""

from __future__ import annotations

import copy
import io
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.ao import quantization as ao
from torch.ao.nn.quantized import FloatFunctional

from ...float.nets.modules import InvertedResidual
from ...layers import NetworkError
from .engines import in_force

__all__ = ["convert", "convert_on", "pixels", "quantized_state", "with_state"]

# The sequences that fuse_modules fuses to one module, the longest first.
FUSED = (
    (nn.Conv2d, nn.BatchNorm2d, nn.ReLU),
    (nn.Conv2d, nn.BatchNorm2d),
    (nn.Conv2d, nn.ReLU),
    (nn.Linear, nn.ReLU),
)


class _Residual(InvertedResidual):
    """An inverted residual whose addition torch.ao can quantize."""

    def __init__(self, block: InvertedResidual) -> None:
        nn.Module.__init__(self)
        self.residual = block.residual
        for name, child in block.named_children():
            self.add_module(name, child)
        if self.residual:
            self.sum = FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu1(self.bn1(self.expand(x)))
        y = self.relu2(self.bn2(self.depthwise(y)))
        y = self.bn3(self.project(y))
        return self.sum.add(x, y) if self.residual else y


def _additions(module: nn.Module) -> None:
    """Replace inverted residuals, in place."""
    for name, child in list(module.named_children()):
        if isinstance(child, InvertedResidual):
            setattr(module, name, _Residual(child))
        else:
            _additions(child)


def _fusions(module: nn.Module) -> list[list[str]]:
    """The fusions: paths of consecutive modules in the same parent."""
    paths: list[list[str]] = []
    for name, parent in module.named_modules():
        children = list(parent.named_children())
        at = 0
        while at < len(children):
            kinds = [type(child) for _, child in children[at:]]
            pattern = next((p for p in FUSED if tuple(kinds[: len(p)]) == p), ())
            if pattern:
                group = children[at : at + len(pattern)]
                paths.append([f"{name}.{child}" if name else child for child, _ in group])
            at += max(len(pattern), 1)
    return paths


def convert(net: nn.Module, images: npt.NDArray[np.uint8], engine: str = "x86") -> nn.Sequential:
    """Quantize a float network by torch.ao: fuse, prepare, calibrate, convert for ``engine``.

    Parameters
    ----------
    net : a sequence of modules, each called after the one before it, as float/nets/nets.py builds
        them; it is not changed
    images : uint8 (N, H, W) or (N, H, W, C), the calibration images; the pixel p enters as p / 255
    engine : one of ``engines.ENGINES``; its default qconfig is used

    Returns the converted module: float (N, C, H, W) -> float (N, classes). Raises NetworkError for
    an unknown engine.
    """
    return convert_on(net, pixels(images), engine)


def convert_on(net: nn.Module, images: torch.Tensor, engine: str) -> nn.Sequential:
    """:func:`convert` for calibration images as the network takes them."""
    layers = OrderedDict(copy.deepcopy(net).named_children())
    ends: dict[str, nn.Module] = {"dequant": ao.DeQuantStub()}
    last = next(reversed(layers))
    if isinstance(layers[last], nn.Flatten):  # of scores: it may stay in floats
        ends[last] = layers.pop(last)
    chain = nn.Sequential(OrderedDict({"quant": ao.QuantStub(), **layers, **ends}))
    _additions(chain)
    with in_force(engine):
        fused = ao.fuse_modules(chain.eval(), _fusions(chain))  # copies
        fused.qconfig = ao.get_default_qconfig(engine)
        converted: nn.Sequential = _converted(fused, images)
    return converted


def _converted(net: nn.Module, images: torch.Tensor) -> nn.Module:
    """Prepare, calibrate and convert a module that has its qconfig."""
    prepared = ao.prepare(net)
    with torch.no_grad():
        prepared(images)
    converted: nn.Module = ao.convert(prepared)
    return converted


def pixels(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Convert images to a network's input.

    images : uint8 (N, H, W) or (N, H, W, C)

    Returns float32 (N, C, H, W), 0..1.
    """
    channels_first = images[:, np.newaxis] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    floats = channels_first.astype(np.float32) / np.float32(255)
    return torch.from_numpy(np.ascontiguousarray(floats))


def quantized_state(source: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    """A quantized module's state dict, given as a mapping or as a file of torch.save.

    The file is read with ``weights_only=True``. Raises NetworkError, which names the file, for any
    other file.
    """
    if isinstance(source, Mapping):
        return source
    name = os.fspath(source)
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise NetworkError(f"The state dict {name} cannot be read: {error.strerror}") from None
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # torch, pickle and zipfile each have their own error types
        state = None
    if not isinstance(state, Mapping):
        raise NetworkError(
            f"The state dict {name} is no file that torch.load(..., weights_only=True) reads; "
            "save the state dict itself: torch.save(module.state_dict(), path)"
        )
    return state


def with_state(
    state: Mapping[str, Any], net: nn.Module, images: torch.Tensor, engine: str
) -> nn.Module:
    """The converted module of a float one, with the quantized weights and scales of a state dict.

    Raises NetworkError if torch.ao cannot convert the module, or if names or shapes differ.
    """
    net = copy.deepcopy(net).eval()
    with in_force(engine):
        if getattr(net, "qconfig", None) is None:
            net.qconfig = ao.get_default_qconfig(engine)
        try:
            module = _converted(net, images)
        except Exception as error:  # PyTorch raises many types if shapes or types do not fit
            raise NetworkError(
                f"The float module cannot be converted: {_first_line(error)}; give it as it was "
                "before torch.ao's prepare, stubs included, modules fused"
            ) from None
        # The versions of its modules' layouts, which a plain mapping does not have.
        versions = getattr(state, "_metadata", module.state_dict()._metadata)
        given: Any = OrderedDict(state)
        given._metadata = versions
        try:
            module.load_state_dict(given)
        except Exception as error:
            raise NetworkError(
                f"The state dict does not fit the float module: {_first_line(error)}; give the "
                "module that it was saved from, fused alike, and the qconfig that it had"
            ) from None
    return module


def _first_line(error: Exception) -> str:
    """The first two lines of an error's text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]).rstrip(".;") or type(error).__name__
