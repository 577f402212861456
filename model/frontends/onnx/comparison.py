"""Comparison of a network with ONNX Runtime: every tensor, on images with all values."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...dtypes import Array, Integers
from ...layers import NetworkError
from ...network import QNetwork
from .network import read_with_names

__all__ = ["Comparison", "compare", "compared"]

IMAGES = 64
LARGEST = 1 << 22  # values of all images; limits the number of large images
STEP = 1  # the greatest difference that float32 rounding errors cause


@dataclass(frozen=True)
class Comparison:
    """The extent of a comparison and its differences.

    Parameters
    ----------
    images : the number of images
    values : of all tensors and images
    differing : the number of differing values by tensor, in the order of the network; only tensors
        with differences
    largest : the greatest difference, in steps of the tensor
    """

    images: int
    values: int
    differing: dict[str, int]
    largest: int

    def __str__(self) -> str:
        where = f"on {self.images} random images"
        if not self.differing:
            return f"equal to ONNX Runtime in all {self.values:,} values of all tensors {where}"
        of = ", ".join(f"{count:,} of {name}" for name, count in self.differing.items())
        return (
            f"{sum(self.differing.values()):,} of {self.values:,} values differ from ONNX "
            f"Runtime's, by {self.largest} at most, {where}: {of}; its float rounding errors "
            "decide where a sum lies close to a tie"
        )

    def require_close(self) -> None:
        """Raise NetworkError if a difference is greater than float rounding errors explain."""
        if self.largest > STEP:
            raise NetworkError(f"{self}; quantize every operator's output, or use --inexact")


def compare(source: str | Path | bytes, network: QNetwork, *, inexact: bool | None = None) -> str:
    """Compare a network with its source model and report in a sentence; see :func:`compared`.

    Raises NetworkError if it differs by more than float rounding errors, unless ``inexact``.
    """
    if find_spec("onnxruntime") is None:
        return "not compared with ONNX Runtime, which is not installed (pip install onnxruntime)"
    comparison = compared(source, network)
    if not inexact:
        comparison.require_close()
    return str(comparison)


def compared(source: str | Path | bytes, network: QNetwork, seed: int = 0) -> Comparison:
    """Compare a network with the model that it was read from, in ONNX Runtime.

    Parameters
    ----------
    source : as for ``onnx.read``
    network : its result
    seed : of the images, which contain every value of the network's input

    The tensors come from a session that outputs all of them. The scores come from a session of the
    unchanged model, since additional outputs can prevent fusion. Raises NetworkError if ONNX
    Runtime does not run the model.
    """
    from .session import output, session_trace

    tensor = network.tensors[network.input]
    count = max(1, min(IMAGES, LARGEST // int(np.prod(tensor.shape))))
    rng = np.random.default_rng(seed)
    lowest, highest = tensor.dtype.qmin, tensor.dtype.qmax
    levels = rng.integers(lowest, highest + 1, (count, *tensor.shape))
    real = (levels - tensor.zero_point).astype(np.float32) * np.float32(tensor.scale)
    _, image = read_with_names(source, inexact=True)[1][network.input]
    images = real.reshape(count, -1)[:, image.places.ravel()].reshape(count, *image.dims)
    try:
        theirs, scores = session_trace(source, images), output(source, images)
    except Exception as error:  # ONNX Runtime raises many types for a model that it cannot run
        reason = str(error).strip().splitlines()[0]
        raise NetworkError(
            f"ONNX Runtime does not run the model ({reason}); export it again"
        ) from None
    if len(scores) < count:  # count is no multiple of the model's fixed batch size
        count = len(scores)
    ours = network.trace(theirs[network.input])
    differences = {name: _distance(ours[name], theirs[name]) for name in theirs}
    differences[network.output] = np.maximum(
        differences[network.output], _scores_distance(network, ours[network.output], scores)
    )
    return Comparison(
        count,
        sum(values.size for values in differences.values()),
        {
            name: int(np.count_nonzero(differences[name]))
            for name in network.tensors
            if name in differences and differences[name].any()
        },
        max(int(values.max()) for values in differences.values()),
    )


def _distance(ours: Array, theirs: Array) -> Integers:
    return np.abs(ours.astype(np.int64) - theirs.astype(np.int64))


def _scores_distance(network: QNetwork, ours: Array, scores: Array) -> Integers:
    """The distance, in steps, of scores (N, H, W, C) from a model's output, floats or integers."""
    tensor = network.tensors[network.output]
    maps = scores.transpose(0, 2, 3, 1) if scores.ndim == 4 else scores.reshape(ours.shape)
    if np.issubdtype(maps.dtype, np.floating):
        maps = np.rint(maps / np.float32(tensor.scale)).astype(np.int64) + tensor.zero_point
    return _distance(ours, maps)
