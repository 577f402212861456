"""Float models of one's own, quantized and measured on images of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..float.ptq.execute import batches
from ..float.ptq.graph import Graph
from ..float.ptq.quantize import Options, prepare, quantize
from ..float.ptq.report import layer_facts
from ..layers import NetworkError
from ..network import QNetwork
from ..samples import Samples
from ..terminal import progress
from .models import format_of

__all__ = [
    "CALIBRATING",
    "MEASURED",
    "Own",
    "classes_of",
    "graph_of",
    "quantize_own",
    "quantized",
]

CALIBRATING = 1000  # images, by default
MEASURED = 200  # calibration images on which signal-to-noise ratios are measured
BATCH = 256  # images
Split = tuple[int | None, int | None]  # images that calibrate, and others that measure
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Own:
    """A quantized network, and both networks on images that did not calibrate it.

    Parameters
    ----------
    graph : the folded float graph
    calibrating : the number of images that calibrated it
    layers : the facts of ``layer_facts``
    measuring : the other images, M of them
    float_classes, int_classes : int64 (M,), the class that each network gives
    """

    network: QNetwork
    graph: Graph
    calibrating: int
    layers: list[dict[str, Any]]
    measuring: Samples
    float_classes: Classes
    int_classes: Classes

    def figures(self) -> dict[str, Any]:
        """The number and source of the measuring images and, if they have labels, accuracies."""
        labels = self.measuring.labels
        source = self.measuring.source
        figures = {"images": len(self.measuring), "source": f"other images of {source}"}
        if labels is None:
            return figures
        return figures | {
            "int_accuracy": float((self.int_classes == labels).mean()),
            "float_accuracy": float((self.float_classes == labels).mean()),
        }


def graph_of(model: str, form: str | None = None) -> Graph:
    """The float graph of a model file of one's own.

    form : one of ``models.FLOAT``; by default, the file's own

    Raises NetworkError for a file of another format.
    """
    form = form or format_of(model)
    if form == "float-onnx":
        from ..frontends.onnx_float import graph_of as of_onnx

        return of_onnx(model)
    raise NetworkError(f"{model} is no float model that has images of its own")


def quantize_own(graph: Graph, samples: Samples, options: Options, split: Split, seed: int) -> Own:
    """Quantize a float graph on some samples, and run both networks on the others.

    split : how many samples calibrate (None: 1000, but at most half), and how many others measure
        (None: all)
    seed : of the choice

    Raises DataError if there are too few samples, and NetworkError as ``quantize`` does.
    """
    calibrating, measuring = split
    count = calibrating or max(min(CALIBRATING, len(samples) // 2), 1)
    calibration, others = samples.split(count, measuring, seed)
    network = quantized(graph, calibration.images, options)
    folded, image = prepare(graph, options)
    layers = layer_facts(network, folded, calibration.images[:MEASURED])
    floats = np.zeros(len(others), np.int64)
    with progress("measuring, float", len(others)) as report:
        done = 0
        for part, tensors in batches(folded, others.images, image):
            scores = tensors[folded.output].reshape(len(part), -1)
            floats[done : done + len(part)] = scores.argmax(axis=1)
            done += len(part)
            report(done)
    integers = classes_of(network, others.images)
    return Own(network, folded, count, layers, others, floats, integers)


def quantized(graph: Graph, images: npt.NDArray[np.uint8], options: Options) -> QNetwork:
    """Quantize with a progress bar; ``images`` as for ``quantize``."""
    with progress("calibrating, images", len(images)) as report:
        return quantize(graph, images, options, report)


def classes_of(network: QNetwork, images: npt.NDArray[Any]) -> Classes:
    """The class of each image (N, H, W, C) in the golden model, int64 (N,), with a progress bar.

    The class is the index of the greatest score; ties go to the first.
    """
    classes = np.zeros(len(images), np.int64)
    with progress("measuring, integers", len(images)) as report:
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            classes[start : start + BATCH] = network(part).reshape(len(part), -1).argmax(axis=1)
            report(start + len(part))
    return classes
