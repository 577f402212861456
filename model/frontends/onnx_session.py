"""ONNX Runtime's own integers, to compare an integer network with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from .onnx import read_with_names

__all__ = ["session_trace"]


def session_trace(
    source: str | Path | bytes,
    images: npt.NDArray[np.float32],
    config: dict[str, str] | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Run a quantized model in ONNX Runtime (CPU) and give every quantized tensor's integers.

    Parameters
    ----------
    images : float32 (N, C, H, W) or (N, K), as the model takes them
    config : entries of the session's configuration; none in a default session

    Returns integers (N, H, W, C) by the name that ``read`` gives the tensor: ``image`` is what the
    first QuantizeLinear makes of the images, and what the integer network takes.
    """
    network, names = read_with_names(source, inexact=True)
    model = onnx.load_model_from_string(
        source if isinstance(source, bytes) else Path(source).read_bytes()
    )
    had = {output.name for output in model.graph.output}
    for name, _ in names.values():
        if name not in had:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of quantized weights that it leaves alone
    for key, value in (config or {}).items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = session.run(
        [name for name, _ in names.values()], {session.get_inputs()[0].name: images}
    )
    return {
        tensor: _channels_last(values, order).reshape(-1, *network.tensors[tensor].shape)
        for (tensor, (_, order)), values in zip(names.items(), found, strict=True)
    }


def _channels_last(values: npt.NDArray[Any], order: tuple[int, ...]) -> npt.NDArray[Any]:
    """(N, C, H, W), or (N, C * H * W) with ``order`` (H, W, C), as (N, H, W, C)."""
    if values.ndim == 4:
        return values.transpose(0, 2, 3, 1)
    height, width, channels = order
    maps = values.reshape(len(values), channels, height, width)
    return maps.transpose(0, 2, 3, 1)
