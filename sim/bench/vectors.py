"""The input of a bench: settings as JSON, images and golden values as arrays.

The golden values come from ``QNetwork.trace``; the bench computes none. A bench runs inside the
simulator, so the host passes everything in files. Nothing is pickled.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...model.dtypes import Array, Integers
from ...model.files import write_all
from ...model.layers import Argmax, Tensor
from ...model.network import QNetwork

__all__ = ["SETTINGS", "InnerStream", "Port", "Vectors", "read_vectors", "write_vectors"]

SETTINGS = "TERCET_BENCH"  # the environment variable that names the settings file


@dataclass(frozen=True)
class Port:
    """The form of a tensor's values on wires.

    lanes : values in a beat; each row begins with a new beat
    """

    tensor: str
    shape: tuple[int, int, int]
    bits: int
    signed: bool
    lanes: int = 1

    @property
    def beats(self) -> int:
        """Beats of one image."""
        return self.shape[0] * -(-self.shape[1] * self.shape[2] // self.lanes)

    @property
    def bytes_bits(self) -> int:
        """The width of a value in an AXI4-Stream data field: bits rounded up to whole bytes."""
        return -(-self.bits // 8) * 8

    @property
    def data_bits(self) -> int:
        """The width of an AXI4-Stream data field."""
        return self.lanes * self.bytes_bits


@dataclass(frozen=True)
class InnerStream:
    """A layer's output inside the core, as the manifest describes it."""

    port: Port
    scope: str
    valid: str
    ready: str
    payload: str


@dataclass(frozen=True)
class Vectors:
    """One run's settings and values.

    Parameters
    ----------
    seed : seed of all random numbers in the run
    cycles_per_image, first_cycles, latency_cycles : as the manifest states them
    input, output : the tensors at s_axis and at m_axis
    classes : the tensor at m_axis_tuser if the network ends with an argmax, else None
    streams : the monitored inner streams
    values : every tensor by name, int64 (N, H * W * C), raster order, channels last
    facts : the file to which each test appends a line of JSON
    progress : the file with the number of images done
    """

    seed: int
    cycles_per_image: int
    first_cycles: tuple[int, ...]
    latency_cycles: int
    input: Port
    output: Port
    classes: Port | None
    streams: tuple[InnerStream, ...]
    values: Mapping[str, Integers]
    facts: Path
    progress: Path

    @property
    def images(self) -> int:
        """The number of images, N."""
        return len(self.values[self.input.tensor])


def _port(tensor: Tensor, lanes: int = 1) -> Port:
    return Port(tensor.name, tensor.shape, tensor.dtype.bits, tensor.dtype.signed, lanes)


def write_vectors(
    network: QNetwork, manifest: Mapping[str, Any], images: Array, folder: Path, seed: int
) -> Path:
    """Run the golden model on ``images`` and write the input of a bench to ``folder``.

    Returns the path of the settings file.
    """
    trace = network.trace(images)
    last = network.layers[-1]
    classes = asdict(_port(network.tensors[last.output])) if isinstance(last, Argmax) else None
    streams = [
        {"port": asdict(_port(network.tensors[stream["tensor"]], stream["lanes"]))}
        | {key: stream[key] for key in ("scope", "valid", "ready", "payload")}
        for stream in manifest["streams"]
    ]
    settings = {
        "seed": seed,
        "cycles_per_image": manifest["cycles_per_image"],
        "first_cycles": manifest["first_cycles"],
        "latency_cycles": manifest["latency_cycles"],
        "input": asdict(_port(network.tensors[network.input], manifest["input_lanes"])),
        "output": asdict(_port(network.tensors[network.output])),
        "classes": classes,
        "streams": streams,
        "tensors": list(trace),  # the order of the arrays: a name need not be a file name
    }
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"tensor_{index}": trace[name] for index, name in enumerate(trace)}
    np.savez(packed := io.BytesIO(), **arrays)
    path = folder / "settings.json"
    text = json.dumps(settings, indent=2) + "\n"
    write_all({folder / "vectors.npz": packed.getvalue(), path: text})
    for left_over in (folder / "facts.jsonl", folder / "progress"):
        left_over.unlink(missing_ok=True)
    return path


def _read_port(fields: dict[str, Any]) -> Port:
    return Port(**fields | {"shape": tuple(fields["shape"])})


def read_vectors(path: Path) -> Vectors:
    """Read the files of :func:`write_vectors`; ``path`` is the settings file."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    with np.load(path.parent / "vectors.npz", allow_pickle=False) as arrays:
        values = {
            name: arrays[f"tensor_{index}"].astype(np.int64)
            for index, name in enumerate(settings.pop("tensors"))
        }
    for name in ("input", "output", "classes"):
        settings[name] = settings[name] and _read_port(settings[name])
    return Vectors(
        **settings
        | {
            "first_cycles": tuple(settings["first_cycles"]),
            "streams": tuple(
                InnerStream(**stream | {"port": _read_port(stream["port"])})
                for stream in settings["streams"]
            ),
        },
        values={name: array.reshape(len(array), -1) for name, array in values.items()},
        facts=path.parent / "facts.jsonl",
        progress=path.parent / "progress",
    )
