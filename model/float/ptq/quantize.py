"""Post-training quantization: from a float graph and calibration images to an integer network.

    activations  a range per tensor, observed over the calibration images, see ``observers.py``
    weights      batch normalization folded in; a range per tensor or per output channel
    bias         int32 at scale Sx * Sw
    multiplier   Sx * Sw / Sy as M / 2**n, see ``requant.fixed_point``; then the fewest bits of M
                 with the same outputs, see ``search/narrowest.py``

The input is raw pixels with scale 1/255 and zero point 0, or with the grid of a normalization. ReLU
and ReLU6 fuse into the layer before them as its clamp. The inputs of a concatenation share one
grid. The class scores have at least 8 bits, so that few of them are equal. All this runs in
float64; the same arguments give the same network on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...builder import Grid
from ...dtypes import Array
from ...layers import NetworkError, Shape, in_layer
from ...layers.weights import Weights
from ...network import QNetwork
from ...requant import Rounding
from ...search.narrowest import narrowing
from ...search.policies import fixed
from . import graph as g
from .graph import Graph
from .lower import has_grid, lower, source_of
from .normalize import normalized
from .observers import observer_of
from .schemes import PIXELS, Scheme
from .weights import least_scales, quantize_weights

__all__ = [
    "Options",
    "Schemes",
    "accuracy",
    "calibration_images",
    "entered",
    "observed",
    "pixels_of",
    "prepare",
    "quantize",
    "share_grids",
]

SCORE_BITS = 8  # of the class scores, at least


@dataclass(frozen=True)
class Schemes:
    """The quantization schemes of a layer's weights and of its output."""

    weights: Scheme = field(default_factory=lambda: Scheme(symmetric=True))
    activations: Scheme = field(default_factory=Scheme)

    def __post_init__(self) -> None:
        if self.weights.bits > 8:
            raise NetworkError(f"weights must have 2 to 8 bits, not {self.weights.bits}")
        if self.activations.per_channel:
            raise NetworkError("activations must have one scale, not one per channel")


@dataclass(frozen=True)
class Options:
    """The options of post-training quantization.

    Parameters
    ----------
    schemes : of every layer
    layers : by name, for single layers, instead of ``schemes``
    multiplier_bits : the width of the largest M, 1 to 31
    rounding : of acc * M / 2**n; this and ``multiplier_bits`` define the outputs. The network then
        gets the fewest bits with the same outputs, see ``search/narrowest.py``
    mean, std : of a normalization that the float network expects, per channel or one for all
    """

    schemes: Schemes = field(default_factory=Schemes)
    layers: Mapping[str, Schemes] = field(default_factory=dict)
    multiplier_bits: int = 16
    rounding: Rounding = Rounding.HALF_UP
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        if not 1 <= self.multiplier_bits <= 31:
            raise NetworkError(f"multiplier bits must be 1 to 31, not {self.multiplier_bits}")

    @property
    def normalizes(self) -> bool:
        """Whether the float network expects normalized images."""
        return set(self.mean) != {0.0} or set(self.std) != {1.0}

    def of(self, graph: Graph, layer: str) -> Schemes:
        """The schemes of a layer; the scores' activations have at least 8 bits."""
        chosen = self.layers.get(layer, self.schemes)
        if layer in self.layers or layer != graph.output:
            return chosen
        bits = max(chosen.activations.bits, SCORE_BITS)
        return replace(chosen, activations=replace(chosen.activations, bits=bits))

    def require_layers(self, graph: Graph) -> None:
        """Refuse options for layers that do not exist or have no grid of their own."""
        names = [node.name for node in graph.nodes if has_grid(node)]
        for name in self.layers:
            if name not in names:
                raise NetworkError(
                    f"There is no layer {name!r} to quantize; there are {', '.join(names)}"
                )


def prepare(graph: Graph, options: Options) -> tuple[Graph, Grid]:
    """Fuse and fold a graph and merge the normalization; return the graph and its image's grid."""
    return entered(g.fold(g.fuse(graph)), options)


def entered(graph: Graph, options: Options) -> tuple[Graph, Grid]:
    """A fused graph with the normalization merged, and its image's grid."""
    options.require_layers(graph)
    if not options.normalizes:
        return graph, PIXELS
    return normalized(graph, options.mean, options.std)


def quantize(
    graph: Graph,
    images: npt.NDArray[np.uint8],
    options: Options | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> QNetwork:
    """Quantize a float graph with ranges that are observed on calibration images.

    Parameters
    ----------
    images : uint8 (N, H, W, C), N at least 1; see :func:`pixels_of`
    report : called with the number of images processed so far

    Returns the integer network, with the float network's name, closed by an argmax that writes the
    tensor ``class``. Raises NetworkError, which names the layer, if a range is empty or infinite,
    or a bias or multiplier does not fit.
    """
    options = options or Options()
    folded, image = prepare(graph, options)
    grids = {g.IMAGE: image}
    for name, (lo, hi) in observed(folded, image, images, options, report).items():
        with in_layer(name):
            grids[name] = options.of(folded, name).activations.grid(lo, hi)
    share_grids(folded, grids)
    weights = dict(_weights(folded, grids, options))
    defined = fixed(options.multiplier_bits, options.rounding)
    return lower(folded, grids, weights, narrowing(defined))


def share_grids(graph: Graph, grids: dict[str, Grid]) -> None:
    """Give tensors that only a concatenation reads its grid, if their types agree.

    Their values are then rounded once instead of twice, and the concatenation only reorders. Pools
    and clips in between keep the grid.
    """
    nodes, readers = graph.by_name, graph.readers
    for node in reversed(graph.nodes):  # backwards, so that a grid passes to earlier concatenations
        for name in node.inputs if isinstance(node, g.Concat) else ():
            while name in nodes and readers[name] == 1 and not has_grid(nodes[name]):
                (name,) = nodes[name].inputs
            if name in nodes and readers[name] == 1 and grids[name].dtype == grids[node.name].dtype:
                grids[name] = grids[node.name]


def pixels_of(images: npt.ArrayLike, shape: Shape) -> npt.NDArray[np.uint8]:
    """Check calibration images and return them as uint8 (N, H, W, C).

    Parameters
    ----------
    images : integers in 0..255, (N, H, W, C), or (N, H, W) if C is 1, or vectors (N, C); N at least
        1
    shape : (C, H, W) of the network's input

    Raises NetworkError, with a way out, if they have another shape, type or range.
    """
    channels, height, width = shape
    wanted = (
        f"Calibration images must be pixels 0..255 of the shape (N, {height}, {width}, {channels})"
    )
    try:
        array = np.asarray(images)
    except (TypeError, ValueError):
        raise NetworkError(
            f"{wanted}, and no numpy array can be made of these; stack them"
        ) from None
    if array.ndim == 3 and channels == 1:
        array = array[..., np.newaxis]
    elif array.ndim == 2 and (height, width) == (1, 1):
        array = array[:, np.newaxis, np.newaxis]
    if array.shape[1:] == shape and array.shape[1:] != (height, width, channels):
        way_out = "give images.transpose(0, 2, 3, 1)"
        raise NetworkError(f"{wanted}, not channels first, {list(array.shape)}; {way_out}")
    if array.ndim != 4 or array.shape[1:] != (height, width, channels):
        way_out = "resize them, or read the network for their shape, (C, H, W)"
        raise NetworkError(f"{wanted}, not {list(array.shape)}; {way_out}")
    if not np.issubdtype(array.dtype, np.integer):
        way_out = "of values 0..1 make (images * 255).round().astype(np.uint8)"
        raise NetworkError(f"{wanted}, not {array.dtype}; {way_out}")
    if not len(array):
        raise NetworkError(f"{wanted}, N at least 1, and there are none; give some")
    least, greatest = array.min(), array.max()
    if least < 0 or greatest > 255:
        raise NetworkError(f"{wanted}, not {least}..{greatest}; scale them to bytes")
    return array.astype(np.uint8, copy=False)


def observed(
    graph: Graph,
    image: Grid,
    images: npt.NDArray[np.uint8],
    options: Options,
    report: Callable[[int], None],
) -> dict[str, tuple[float, float]]:
    """The range of every node that has its own grid, rounded to float32; for folded graphs."""
    from .execute import batches

    images = pixels_of(images, graph.shape)
    schemes = {
        node.name: options.of(graph, node.name).activations
        for node in graph.nodes
        if has_grid(node)
    }
    observers = {name: observer_of(scheme) for name, scheme in schemes.items()}
    done = 0
    for part, values in batches(graph, images, image):
        for name, observer in observers.items():
            with in_layer(name):
                observer.update(values[name])
        done += len(part)
        report(done)
    ranges = {}
    for name, scheme in schemes.items():
        with in_layer(name), np.errstate(over="ignore"):  # an infinite range is refused later
            lo, hi = observers[name].range(scheme)
            ranges[name] = float(np.float32(lo)), float(np.float32(hi))
    return ranges


def _weights(
    graph: Graph, grids: Mapping[str, Grid], options: Options
) -> Iterator[tuple[str, Weights]]:
    for node in graph.nodes:
        if isinstance(node, g.Weighted):
            with in_layer(node.name):
                scheme = options.of(graph, node.name).weights
                x, y = grids[source_of(graph, node.inputs[0])], grids[node.name]
                least = least_scales(node.bias, x, y, options.multiplier_bits)
                yield node.name, quantize_weights(node.weight, scheme, least)


def accuracy(scores: Array, labels: npt.NDArray[np.integer[Any]]) -> float:
    """The fraction of images whose greatest score is the label's; ties go to the first.

    Parameters
    ----------
    scores : (N, classes), or (N, 1, 1, classes)
    labels : integers (N,)
    """
    return float((scores.reshape(len(labels), -1).argmax(axis=1) == labels).mean())


def calibration_images(
    images: npt.NDArray[np.uint8], count: int, seed: int
) -> npt.NDArray[np.uint8]:
    """Draw ``count`` of the images (N, ...) by ``seed``, the same ones in every numpy version.

    Raises NetworkError if ``count`` is below 1 or above N.
    """
    if not 1 <= count <= len(images):
        raise NetworkError(f"calibration images must number 1 to {len(images)}, not {count}")
    order = np.random.RandomState(seed).permutation(len(images))  # its stream is frozen (NEP 19)
    return images[np.sort(order[:count])]
