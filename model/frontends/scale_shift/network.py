"""LeNets with a scale, a shift and a zero point per layer, as written by hand for FPGAs.

The form: unsigned 8-bit weights w with one zero point Z per layer, and a real scale s, given as m
and n with m / 2**n near s. Activations stay wide; real value = q / gain, starting with raw pixels:

    out = ((sum x * (w - Z) + round(bias * gain / (m / 2**n))) * m) >> n

The shift is arithmetic, so it floors. ``round`` is that of Python, numpy and torch: ties to even,
in the floating type of the stored bias (float32 in a PyTorch state dict), division included. A ReLU
and a 2x2 average pool (rounded to nearest, ties to even) follow the first layers.

Activations are not reduced to 8 bits. Each output is as wide as the ranges of its channels require
(``widths.py``), so the clamp never acts and the integers are those of the formula.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...builder import Builder, Grid, Output, Window
from ...dtypes import INT32, UINT8, Array, IntType
from ...float.statefile import State, by_layer, read_state
from ...layers import NetworkError, require
from ...layers.conv import Conv2d
from ...layers.linear import Linear
from ...layers.pool import AvgPool2d
from ...layers.weights import Weights, channels_last
from ...network import QNetwork
from ...requant import MAX_MULTIPLIER, MAX_SHIFT, Requant, Rounding
from .widths import WIDE, Widths

__all__ = ["Triple", "read"]

POOL = (2, 2)  # kernel and stride of an average pool
AVERAGE = Requant((1,), 2, Rounding.HALF_EVEN, -WIDE, WIDE)

Triple = tuple[int, int, int]  # m, n, Z


@dataclass(frozen=True)
class _Shape:
    """The parameters that the arrays do not state; see :func:`read`."""

    gain: float
    size: tuple[int, int]
    paddings: Sequence[int]
    relus: int
    pools: int
    max_bits: int

    def __post_init__(self) -> None:
        require(
            bool(np.isfinite(self.gain)) and self.gain > 0,
            f"gain must be positive and finite, not {self.gain}",
        )
        require(
            len(self.size) == 2 and min(self.size) >= 1,
            f"size must be rows and columns, at least 1, not {list(self.size)}",
        )
        require(
            min(self.paddings, default=0) >= 0,
            f"paddings must be at least 0, not {list(self.paddings)}",
        )
        require(2 <= self.max_bits <= 32, f"max_bits must be 2 to 32, not {self.max_bits}")


def read(
    source: str | os.PathLike[str] | State,
    triples: Mapping[str, Sequence[int]],
    *,
    name: str = "lenet",
    gain: float = 256,
    size: tuple[int, int] = (28, 28),
    paddings: Sequence[int] = (2,),
    relus: int = 2,
    pools: int = 2,
    max_bits: int = 32,
) -> QNetwork:
    """Read a network in this form; its layers are those of the state dict, in its order.

    Parameters
    ----------
    source : a file of ``statefile.read_state``, or arrays by name: ``X.weight`` (OC, IC, KH, KW) or
        (OC, IC), integers 0 to 255 of any dtype; ``X.bias`` (OC,), floats, or integers that are
        already rounded; a layer without a bias has none. The inputs of linear layers are channels
        first, as PyTorch flattens
    triples : (m, n, Z) by layer name
    name : the network's
    gain : an activation q represents q / gain; 256 for raw pixels of 0 to 255
    size : rows and columns of an image
    paddings : of the first convolutions, on all four sides; 0 for the others
    relus, pools : the number of layers with a ReLU, and of convolutions with a pool, counted from
        the first
    max_bits : of an activation. Fewer bits than the ranges require make narrower hardware, but
        values outside saturate, and the scores equal the formula's only if no value saturates

    Raises NetworkError, which names the layer.
    """
    shape = _Shape(gain, size, paddings, relus, pools, max_bits)
    state = source if isinstance(source, Mapping) else read_state(source)
    layers = by_layer(state)
    for layer in sorted(set(layers) ^ set(triples)):
        what = "its m, n and Z are missing" if layer in layers else "it is not in the state dict"
        raise NetworkError(f"Layer {layer!r}: {what}; there are {', '.join(layers)}")
    network = _Network(name, shape, layers)
    for layer, arrays in layers.items():
        network.layer(layer, arrays, _triple(layer, triples[layer]))
    return network.builder.network()


def _triple(layer: str, triple: Sequence[int]) -> Triple:
    integers = all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in triple)
    require(
        len(triple) == 3 and integers,
        f"Layer {layer!r}: m, n and Z must be three integers, not {list(triple)}",
    )
    m, n, zero_point = map(int, triple)
    for what, value, least, most in (
        ("m", m, 1, MAX_MULTIPLIER),
        ("n", n, 0, MAX_SHIFT),
        ("Z", zero_point, 0, UINT8.qmax),
    ):
        require(
            least <= value <= most,
            f"Layer {layer!r}: {what} must be {least} to {most}, not {value}",
        )
    return m, n, zero_point


def _weights(layer: str, values: Array, triple: Triple) -> Weights:
    """Weights in the builder's axes, (OC, KH, KW, IC)."""
    m, n, zero_point = triple
    require(
        values.ndim in (2, 4) and values.size > 0 and values.dtype.kind in "iuf",
        f"Layer {layer!r}: weights must be numbers (OC, IC, KH, KW) or (OC, IC), "
        f"not {values.dtype} {list(values.shape)}",
    )
    require(
        bool(np.isfinite(values).all()) and bool((values == np.floor(values)).all()),
        f"Layer {layer!r}: weights must be integers 0 to 255, but some are fractions; "
        "store the quantized weights, zero point included",
    )
    require(
        UINT8.contains(values),
        f"Layer {layer!r}: weights must lie in [0, 255], but reach "
        f"[{values.min():.0f}, {values.max():.0f}]; store them with their zero point added",
    )
    integers = channels_last(values.astype(np.int64))
    return Weights(integers, UINT8, (m / 2.0**n,), (zero_point,))


def _bias(layer: str, values: Array, gain: float, triple: Triple) -> Array:
    """round(bias * gain / (m / 2**n)), ties to even, in the bias's own floating type."""
    m, n, _ = triple
    require(
        values.dtype.kind in "iuf" and bool(np.isfinite(values).all()),
        f"Layer {layer!r}: biases must be finite numbers, not {values.dtype} "
        "or some that are infinite or none",
    )
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = np.rint(values * gain / (m / 2.0**n))
    require(
        bool(np.isfinite(values).all()) and INT32.contains(values),
        f"Layer {layer!r}: biases must fit 32 bits after rounding, but reach "
        f"{np.abs(values.astype(np.float64)).max(initial=0):.6g}; take a smaller gain",
    )
    return values.astype(np.int64)


class _Network:
    """The network under construction, with the range of each channel of its latest tensor."""

    def __init__(self, name: str, shape: _Shape, layers: Mapping[str, Mapping[str, Array]]) -> None:
        self.builder, self.shape = Builder(name), shape
        first, arrays = next(iter(layers.items()))
        require(
            arrays["weight"].ndim == 4,
            f"Layer {first!r}: the first layer must be a convolution with weights "
            f"(OC, IC, KH, KW), not {list(arrays['weight'].shape)}",
        )
        channels = arrays["weight"].shape[1]
        self.x = self.builder.input((*shape.size, channels), Grid(UINT8, 1 / shape.gain, 0))
        most = IntType(shape.max_bits, signed=True)
        self.widths = Widths(np.zeros(channels, np.int64), np.full(channels, UINT8.qmax), most)
        self.count = 0  # number of layers so far

    def layer(self, name: str, arrays: Mapping[str, Array], triple: Triple) -> None:
        """Add a convolution or a linear layer, with its ReLU and pool."""
        weights = _weights(name, arrays["weight"], triple)
        channels = len(weights.values)
        stored = arrays.get("bias", np.zeros(channels))
        require(
            stored.shape == (channels,),
            f"Layer {name!r}: biases must be {channels} numbers, not {list(stored.shape)}",
        )
        bias = _bias(name, stored, self.shape.gain, triple)
        m, n, _ = triple
        low = 0 if self.count < self.shape.relus else -WIDE
        requant = Requant((m,), n, Rounding.FLOOR, low, WIDE)
        if arrays["weight"].ndim == 2:
            self._linear(name, weights, bias, requant)
        else:
            self._conv2d(name, weights, bias, requant)
            if self.count < self.shape.pools:
                self._pool(f"pool{self.count + 1}")
        self.count += 1

    def _conv2d(self, name: str, weights: Weights, bias: Array, requant: Requant) -> None:
        behind = self.count >= len(self.shape.paddings)
        window = Window(padding=(0 if behind else self.shape.paddings[self.count],) * 4)
        _require_inputs(name, weights, self.x.shape[2], "channels")
        alone = Conv2d(
            name, self.x.name, name, weights, bias, requant=requant, padding=window.padding
        )
        output = self._output(alone)
        self.x = self.builder.conv2d(name, self.x, weights, bias, output, window=window)

    def _linear(self, name: str, weights: Weights, bias: Array, requant: Requant) -> None:
        height, width, channels = self.x.shape
        given = height * width * channels
        _require_inputs(name, weights, given, "values")
        # PyTorch flattens channels first, Flatten channels last
        split = weights.values.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        weights = replace(weights, values=split.reshape(len(split), 1, 1, given))
        self.widths.flatten(height * width)
        self.x = self.builder.flatten(f"flatten{self.count + 1}", self.x)
        output = self._output(Linear(name, self.x.name, name, weights, bias, requant=requant))
        self.x = self.builder.linear(name, self.x, weights, bias, output)

    def _pool(self, name: str) -> None:
        alone = AvgPool2d(name, self.x.name, name, kernel=POOL, stride=POOL, requant=AVERAGE)
        self.x = self.builder.avg_pool2d(name, self.x, POOL, Window(POOL), self._output(alone))

    def _output(self, layer: Conv2d | AvgPool2d) -> Output:
        """An output wide enough for all values of ``layer``, with the clamp at their ends."""
        dtype, requant = self.widths.widen(layer)
        clamp = requant.low, requant.high
        return Output(Grid(dtype, 1 / self.shape.gain, 0), lambda *_: requant, clamp)


def _require_inputs(name: str, weights: Weights, given: int, what: str) -> None:
    taken = weights.values.shape[3]
    require(
        taken == given,
        f"Layer {name!r}: its weights take {taken} {what}, but {given} come in; "
        "a state dict holds its layers in the order in which they run",
    )
