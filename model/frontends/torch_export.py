"""Float PyTorch modules, read through ``torch.export`` and quantized.

``float/torch_export/module.py`` lists the supported operators; ``float/ptq/quantize.py`` quantizes
the module.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import nn

from ..float.ptq.quantize import Options, quantize
from ..float.torch_export.module import graph_of
from ..network import QNetwork

__all__ = ["graph_of", "read"]


def read(
    module: nn.Module,
    shape: tuple[int, ...],
    name: str,
    images: npt.NDArray[np.uint8],
    options: Options | None = None,
) -> QNetwork:
    """Read a float module and quantize it.

    Parameters
    ----------
    module, shape, name : as in :func:`graph_of`
    images : uint8 (N, H, W, C), or (N, K), raw pixels for calibration; p enters the module as p /
        255, or normalized by the options' mean and std
    options : see ``ptq.quantize.Options``

    Raises NetworkError as :func:`graph_of` and :func:`quantize` do.
    """
    return quantize(graph_of(module, shape, name), images, options)
