"""The report's page: facts of a build in, HTML out. The page needs no network and no other file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2

from ...model.layers import Flatten
from ...model.layers.conv import Conv2d
from ...model.network import QNetwork
from ...model.studies.rows import Facts
from ..plan.device_goal import NAMES
from .charts import boxes_and_edges, ticks, waves

__all__ = ["accuracy_facts", "network_facts", "render"]

CONFUSED = 20  # classes of a confusion matrix at most
INPUT = "input"


def network_facts(network: QNetwork, manifest: Mapping[str, Any]) -> list[Facts]:
    """The layers of a network for its picture, the input first.

    Each has ``name``, ``kind``, ``shape`` (H, W, C), ``type``, ``reads`` (names of layers),
    ``weights`` (their number and type, or None), ``multiplies`` of an image, and ``hardware``:
    whether it has any.
    """
    tensor = network.tensors[network.input]
    names = {layer.name for layer in network.layers}
    first = next(name for name in (INPUT, f"{INPUT}_") if name not in names)
    producers = {network.input: first}
    multiplies = {layer["name"]: layer["multiplies"] for layer in manifest["layers"]}
    found: list[Facts] = [_layer_facts(first, "image", tensor, [])]
    for layer in network.layers:
        facts = _layer_facts(
            layer.name,
            layer.kind,
            network.tensors[layer.output],
            list(dict.fromkeys(producers[name] for name in layer.reads)),
        )
        if isinstance(layer, Conv2d):
            facts["weights"] = {
                "count": int(layer.weights.values.size),
                "type": str(layer.weights.dtype),
            }
        facts["multiplies"] = multiplies.get(layer.name, 0)
        facts["hardware"] = layer.name not in manifest["left_out"] and not isinstance(
            layer, Flatten
        )
        found.append(facts)
        producers[layer.output] = layer.name
    return found


def _layer_facts(name: str, kind: str, tensor: Any, reads: list[str]) -> Facts:
    return {
        "name": name,
        "kind": kind,
        "shape": list(tensor.shape),
        "type": str(tensor.dtype),
        "reads": reads,
        "weights": None,
        "multiplies": 0,
        "hardware": True,
    }


def accuracy_facts(rows: Sequence[Mapping[str, str]], classes: Sequence[str]) -> Facts:
    """The confusion of the integer network, from the rows of ``classes.csv``.

    classes : their names; by default their numbers

    ``confusion`` maps a label and a class to a count; ``misread`` has the rows whose integer class
    differs from the label, ``changed`` counts the images whose class quantization has changed.
    """
    labelled = [row for row in rows if row["label"] != ""]
    counts = Counter((int(row["label"]), int(row["integer"])) for row in labelled)
    size = 1 + max((number for pair in counts for number in pair), default=-1)
    names = [*classes, *map(str, range(len(classes), size))][: max(size, len(classes))]
    matrix = [[counts[label, found] for found in range(len(names))] for label in range(len(names))]
    return {
        "names": names,
        "confusion": matrix if len(names) <= CONFUSED else [],
        "misread": [row["image"] for row in labelled if row["label"] != row["integer"]],
        "changed": sum(row["float"] not in ("", row["integer"]) for row in rows),
    }


def render(facts: Mapping[str, Any], pictures: Sequence[Mapping[str, str]] = ()) -> str:
    """The page.

    Parameters
    ----------
    facts : of ``tercet build``, with ``layers`` (see :func:`network_facts`) and, if there are
        labels, ``accuracy`` (see :func:`accuracy_facts`)
    pictures : of misread images: ``src`` (a data URI), ``label``, ``float``, ``integer``, ``image``

    The same facts give the same bytes.
    """
    manifest = facts["core"]["manifest"]
    boxes, edges = boxes_and_edges(facts["layers"])
    confusion = facts["accuracy"]["confusion"] if "accuracy" in facts else []
    last = facts["layers"][-1]
    scores = facts["layers"][-2] if last["kind"] == "argmax" else last
    height, width, channels = scores["shape"]
    page: str = (
        _templates()
        .get_template("report.html.jinja")
        .render(
            facts=facts,
            core=facts["core"],
            manifest=manifest,
            pictures=pictures,
            boxes=boxes,
            edges=edges,
            ticks=ticks(manifest["latency_cycles"]),
            waves=waves(manifest["input"]["beats_per_frame"], height * width * channels),
            resources=NAMES,
            greatest=max(map(max, confusion), default=1),
        )
    )
    return page


@cache
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("tercet.gen.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["count"] = lambda number: f"{number:,}"
    made.filters["percent"] = lambda share: f"{100 * share:.2f} %"
    made.filters["short"] = lambda value: f"{value:.4g}"
    return made
