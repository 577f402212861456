"""Checkpoints from PyTorch's own files: a state dict as ``torch.save`` writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...layers import NetworkError
from ..statefile import read_state
from .nets import UNUSED, Checkpoint

__all__ = ["load_state_dict"]


def load_state_dict(path: Path, network: str) -> Checkpoint:
    """Read a state dict of one of ``NETS``, tensors only: no code in the file is executed.

    Parameters
    ----------
    network : a name of ``nets.NETS``; the file does not state it

    Raises NetworkError, one sentence that names the file, if the file has other contents.
    """
    state = {
        name: np.ascontiguousarray(values, dtype=np.float32)
        for name, values in read_state(path).items()
        if not name.endswith(UNUSED)
    }
    try:
        return Checkpoint(network, state, {"source": path.name})
    except NetworkError as error:
        raise NetworkError(f"The checkpoint {path}: {error}") from None
