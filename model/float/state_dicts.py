"""Checkpoints from PyTorch's own files: a state dict as ``torch.save`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..layers import NetworkError
from .nets import UNUSED, Checkpoint

__all__ = ["load_state_dict"]


def load_state_dict(path: Path, network: str) -> Checkpoint:
    """Read a state dict of one of ``NETS``, tensors alone: nothing in the file is executed.

    Parameters
    ----------
    network : a name of ``nets.NETS``; the file does not tell

    Raises NetworkError, one sentence that names the file, where it holds anything else.
    """
    state = _tensors(path)
    arrays = {
        name: np.ascontiguousarray(tensor.detach().to(torch.float32).numpy())
        for name, tensor in state.items()
        if not name.endswith(UNUSED)
    }
    try:
        return Checkpoint(network, arrays, {"source": path.name})
    except NetworkError as error:
        raise NetworkError(f"The checkpoint {path}: {error}") from None


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise NetworkError(f"The checkpoint {path} cannot be read: {error.strerror}") from None
    except Exception:  # torch, zipfile and the unpickler each have their own for damaged bytes
        content = None
    named = content if isinstance(content, dict) else {}
    if not named or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in named.items()
    ):
        raise NetworkError(
            f"The checkpoint {path}: it is no state dict of tensors by name; "
            "write it with torch.save(module.state_dict(), path)"
        )
    return named
