"""Float models of one's own, quantized and measured on images of one's own."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..float.nets.nets import load
from ..float.ptq.graph import Graph
from ..float.ptq.normalize import NAME as NORMALIZE
from ..float.ptq.quantize import Options, prepare, quantize
from ..layers import NetworkError
from ..names import identifier
from ..network import QNetwork
from ..samples import Samples
from ..terminal import progress
from .models import EXPORT, format_of
from .options import CALIBRATING

__all__ = [
    "MEASURED",
    "Own",
    "classes_of",
    "graph_of",
    "measured",
    "quantize_own",
    "quantized",
    "remarks_of",
    "split",
    "verdict_of",
]


LOW = 0.7  # of the accuracy: a float network below it gets advice
MUCH = 0.02  # of the accuracy: a greater loss gets advice
MEASURED = 200  # calibration images on which signal-to-noise ratios are measured
BATCH = 256  # images
Split = tuple[int | None, int | None]  # images that calibrate, and others that measure
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Own:
    """A quantized network, and both networks on images that did not calibrate it.

    Parameters
    ----------
    calibrating : the number of images that calibrated it
    layers : the facts of ``layer_facts``
    measuring : the other images, M of them
    float_classes, int_classes : int64 (M,), the class that each network gives
    """

    network: QNetwork
    calibrating: int
    layers: list[dict[str, Any]]
    measuring: Samples
    float_classes: Classes
    int_classes: Classes

    def figures(self) -> dict[str, Any]:
        """The number and source of the measuring images and, if they have labels, accuracies."""
        labels = self.measuring.labels
        figures = {"images": len(self.measuring), "source": self.measuring.source}
        if labels is None:
            return figures
        return figures | {
            "int_accuracy": float((self.int_classes == labels).mean()),
            "float_accuracy": float((self.float_classes == labels).mean()),
        }


def graph_of(model: str, form: str | None = None, name: str | None = None) -> Graph:
    """The float graph of a model file.

    form : one of ``models.FLOAT``; by default, the file's own
    name : the network's; by default from the model or its file

    Raises NetworkError for a file of another format.
    """
    form = form or format_of(model)
    if form == "float-onnx":
        from ..frontends.onnx_float import graph_of as of_onnx

        return of_onnx(model, name)
    if form == "pt2":
        from ..float.torch_export.archive import loaded
        from ..float.torch_export.module import graph_of_program

        return graph_of_program(loaded(model), name or identifier(Path(model).stem))
    if form == "checkpoint":
        graph = load(model).graph()
        return replace(graph, name=name or graph.name)
    raise NetworkError(
        f"The model {model} has weights without their network; of a network of your own, {EXPORT}; "
        f"of a shipped one, call tercet quantize {shlex.quote(model)} --net NET -o NET.json"
    )


def split(samples: Samples, counts: Split, seed: int) -> tuple[Samples, Samples]:
    """The samples that calibrate, and others that measure. Raises DataError if there are too few.

    counts : of both; None for 1000 but at most half, and for all others
    seed : of the choice
    """
    calibrating, measuring = counts
    count = calibrating or max(min(CALIBRATING, len(samples) // 2), 1)
    return samples.split(count, measuring, seed)


def quantize_own(graph: Graph, calibration: Samples, others: Samples, options: Options) -> Own:
    """Quantize a float graph on some samples, and run both networks on others.

    Raises NetworkError as ``quantize`` does.
    """
    from ..float.ptq.report import layer_facts  # needs PyTorch, and an integer network does not

    network = quantized(graph, calibration.images, options)
    folded, _ = prepare(graph, options)
    layers = layer_facts(network, folded, calibration.images[:MEASURED])
    return measured(network, graph, len(calibration), layers, others, options)


def measured(
    network: QNetwork,
    graph: Graph,
    calibrating: int,
    layers: list[dict[str, Any]],
    others: Samples,
    options: Options,
) -> Own:
    """An integer network and the float graph that it was made of, on samples; see ``Own``."""
    from ..float.ptq.execute import batches

    folded, image = prepare(graph, options)
    floats = np.zeros(len(others), np.int64)
    with progress("measuring, float", len(others)) as report:
        done = 0
        for part, tensors in batches(folded, others.images, image):
            scores = tensors[folded.output].reshape(len(part), -1)
            floats[done : done + len(part)] = scores.argmax(axis=1)
            done += len(part)
            report(done)
    integers = classes_of(network, others.images)
    return Own(network, calibrating, layers, others, floats, integers)


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


def remarks_of(
    network: QNetwork, layers: list[dict[str, Any]], figures: dict[str, Any]
) -> list[str]:
    """What a user should know of a quantization: an added layer, a low accuracy, a loss."""
    remarks = []
    if any(layer.name == NORMALIZE for layer in network.layers):
        remarks.append(
            f"Layer {NORMALIZE!r} was added: it normalizes the pixels, since no convolution after "
            "it can do so exactly"
        )
    if figures.get("float_accuracy", 1) < LOW:
        remarks.append(
            f"The float network recognizes {100 * figures['float_accuracy']:.1f} % of the images. "
            "If it was better in training, these images differ from those of the training: compare "
            "the range of the pixels (0 to 255), the normalization (--mean, --std) and the order "
            "of the classes"
        )
    if figures.get("float_accuracy", 0) - figures.get("int_accuracy", 0) > MUCH:
        remarks.append(_advice(layers))
    return remarks


def verdict_of(figures: dict[str, Any]) -> str:
    """The accuracies in a sentence."""
    if "int_accuracy" not in figures:
        return "no accuracy, since the images have no labels"
    lost = 100 * (figures["float_accuracy"] - figures["int_accuracy"])
    return (
        f"integers {figures['int_accuracy']:.4f}, float {figures['float_accuracy']:.4f}, "
        f"{'lost' if lost >= 0 else 'gained'} {abs(lost):.2f} points on the {figures['images']} "
        f"{figures['source']}"
    )


def _advice(layers: list[dict[str, Any]]) -> str:
    """The layers that lose most, and what to try."""
    noisy = [facts for facts in layers if facts["activation_sqnr_db"] is not None]
    worst = sorted(noisy, key=lambda facts: float(facts["activation_sqnr_db"]))[:3]
    named = ", ".join(f"{each['layer']} ({each['activation_sqnr_db']:.1f} dB)" for each in worst)
    return (
        f"More than {100 * MUCH:.0f} points are lost; the signal-to-noise ratios are lowest after "
        f"{named}. Try --per-channel, --observer mse, or more bits for them by --layer NAME=8,10"
    )
