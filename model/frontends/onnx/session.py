"""ONNX Runtime's integers, for comparison with an integer network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as exceptions

from ...dtypes import Array
from ...ordered import raster
from .graph import content_of
from .network import read_with_names

__all__ = ["output", "session_of", "session_trace"]

# On x86 without VNNI, kernels of uint8 * int8 add pairs of products in saturating 16 bits, unless
# a session requests exact ones. The entry has no effect on other CPUs.
EXACT = {"session.x64quantprecision": "1"}


def session_of(
    model: bytes,
    config: dict[str, str] | None = None,
    options: Callable[[], onnxruntime.SessionOptions] = onnxruntime.SessionOptions,
) -> onnxruntime.InferenceSession:
    """A session on the CPU whose integer sums are exact.

    Parameters
    ----------
    config : further entries of the session's configuration
    options : makes the session options; by default those of a default session
    """

    def session(entries: dict[str, str]) -> onnxruntime.InferenceSession:
        made = options()
        made.log_severity_level = 3  # errors only: it warns of quantized weights that it ignores
        for key, value in entries.items():
            made.add_session_config_entry(key, value)
        return onnxruntime.InferenceSession(model, made, providers=["CPUExecutionProvider"])

    config = config or {}
    try:
        return session({**EXACT, **config})
    except (exceptions.Fail, exceptions.NotImplemented):
        # With this entry it makes weights unsigned, and fails if several nodes or int8 activations
        # share them; sums with int8 activations are exact without it.
        return session(config)


def session_trace(
    source: str | Path | bytes,
    images: npt.NDArray[np.float32],
    config: dict[str, str] | None = None,
) -> dict[str, Array]:
    """Run a quantized model in ONNX Runtime (CPU) and return every quantized tensor's integers.

    Parameters
    ----------
    images : float32 (N, C, H, W) or (N, K), the model's input
    config : further entries of the session's configuration; without them it is a default session,
        but with exact sums on every CPU, see :func:`session_of`

    Returns integers (N, H, W, C) by the tensor's name in the result of ``read``. ``image`` is the
    output of the first QuantizeLinear and the input of the integer network.
    """
    _, names = read_with_names(source, inexact=True)
    model = onnx.load_model_from_string(content_of(source))
    had = {output.name for output in model.graph.output}
    for name, _ in names.values():
        if name not in had:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = session_of(model.SerializeToString(), config)
    found = _run(session, [name for name, _ in names.values()], images)
    return {
        tensor: raster(values, seen)
        for (tensor, (_, seen)), values in zip(names.items(), found, strict=True)
    }


def output(source: str | Path | bytes, images: npt.NDArray[np.float32]) -> Array:
    """The output of a session of the unchanged model, for images as in :func:`session_trace`."""
    session = session_of(content_of(source))
    (found,) = _run(session, [session.get_outputs()[0].name], images)
    return found


def _run(
    session: onnxruntime.InferenceSession, names: list[str], images: npt.NDArray[np.float32]
) -> list[Array]:
    """Run a session on batches of the model's fixed batch size, if it has one."""
    (taken,) = session.get_inputs()
    size = taken.shape[0] if isinstance(taken.shape[0], int) else len(images)
    parts = [
        session.run(names, {taken.name: images[start : start + size]})
        for start in range(0, len(images) - size + 1, size)
    ]
    return [np.concatenate(found) for found in zip(*parts, strict=True)]
