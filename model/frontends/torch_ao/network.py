"""PyTorch's eager-mode int8 networks (torch.ao.quantization), read into integers.

``read`` returns an integer network. Its input is the integers of the module's QuantStub, and it
equals PyTorch's own engine at every layer. ``engines.py`` has the arithmetic of the engines,
``operators.py`` the supported modules. ``convert`` makes such modules from float ones.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.ao.nn import quantized as nnq

from ...dtypes import Array, Bounds
from ...golden.fastconv import accumulate
from ...layers import Flatten, Layer, NetworkError, Requantizing, Tensor
from ...layers.add import Add
from ...layers.concat import Concat
from ...layers.conv import Conv2d
from ...layers.pool import AvgPool2d
from ...network import QNetwork
from ...ordered import Ordered, OrderedBuilder, raster
from ...requant import Requant, Rounding
from ...requant.multipliers import NoMultiplierError, closest, narrow
from ...requant.staircase import Target, differences
from ...search.add import outputs_of_pairs, search_add
from .concat import cat_requant, values_that_differ
from .conversion import convert, pixels, quantized_state, with_state
from .engines import add_table, pool_targets, require_engine, target_of
from .operators import Answer, add_input, add_step, bias_of
from .run import Step, record

__all__ = ["convert", "differing", "module_trace", "pixels", "read", "read_state_dict"]

SAMPLE = 200  # images in one run, to limit memory


def _between_stubs(steps: list[Step]) -> list[Step]:
    """The steps from Quantize to the one before DeQuantize. Raises NetworkError for other steps."""
    if not steps or not isinstance(steps[0].module, nnq.Quantize):
        raise NetworkError(
            "The module must start with a converted QuantStub; "
            "prepare, calibrate and convert it with torch.ao.quantization"
        )
    kinds = [type(step.module) for step in steps]
    if nnq.DeQuantize not in kinds:
        raise NetworkError("The module must end with a DeQuantStub; add one after its last layer")
    end = kinds.index(nnq.DeQuantize)
    for step in steps[end + 1 :]:
        if not isinstance(step.module, nn.Flatten):
            reason = f"{type(step.module).__name__} after the DeQuantStub stays in floats"
            raise step.refuse(reason, "move it out of the module")
    used = {value for step in steps[: end + 1] for value in step.inputs}
    for step in steps[:end]:
        if step.output not in used:
            raise step.refuse("nothing uses its output", "take it out of the module")
    return steps[:end]


def _assemble(steps: list[Step], name: str, answer: Answer) -> tuple[QNetwork, dict[str, Any]]:
    """The network, with requantizations from ``answer``, and its tensors in the recorded run."""
    first, *others = _between_stubs(steps)
    builder = OrderedBuilder(name)
    y = add_input(builder, first)
    held, values = {first.output: y}, {y.tensor.name: _integers(first, y)}
    for step in others:
        inputs = [held[value] for value in step.inputs if value in held]
        if len(inputs) != len(step.inputs):
            raise step.refuse(
                "it reads a tensor that no layer wrote", "quantize once, at the start"
            )
        y = held[step.output] = add_step(builder, step, inputs, answer)
        values[y.tensor.name] = _integers(step, y)
    network = builder.network(y)
    values = {network.output if key == builder.last else key: v for key, v in values.items()}
    for layer in network.layers:
        if isinstance(layer, Flatten):  # the same values in raster order
            values[layer.output] = values[layer.input].reshape(
                -1, 1, 1, math.prod(values[layer.input].shape[1:])
            )
    return network, values


def _integers(step: Step, y: Ordered) -> Array:
    """A step's output in the network's order: uint8 (N, H, W, C)."""
    assert step.output.integers is not None
    return raster(step.output.integers, y)


def _unanswered(
    step: Step, layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds
) -> Requant:
    """A placeholder requantization; only its clamp is valid."""
    assert isinstance(layer, Requantizing)
    return replace(layer.requant, multipliers=(1,) * len(inputs))


def module_trace(module: nn.Module, images: torch.Tensor) -> dict[str, npt.NDArray[np.uint8]]:
    """Run a converted module and return every quantized tensor's integers (int_repr).

    Parameters
    ----------
    images : float32 (N, C, H, W), the module's input

    Returns uint8 (N, H, W, C) by the tensor's name in the result of ``read``. ``image`` is the
    output of the QuantStub and the input of the integer network. A flattened tensor is in the
    integer network's order, channels last.
    """
    return _assemble(record(module, images), "trace", _unanswered)[1]


def _targets(
    engine: str, step: Step, layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds
) -> list[Target]:
    """The engine's requantizations of a layer; for a pool one per rule, most channels first."""
    if isinstance(layer, AvgPool2d):
        whole = isinstance(step.module, nn.AdaptiveAvgPool2d)
        last = step.inputs[0].channels_last
        return pool_targets(layer, inputs[0], reach, whole=whole, channels_last=last)
    assert isinstance(layer, Conv2d)
    bias = bias_of(step)
    target = target_of(engine, inputs[0], layer, y, reach, bias)
    if not all(isfinite(value) for value in target.biases):
        raise step.refuse("its scales are too small for its bias", "let an observer choose them")
    return [target]


def _pooled(targets: list[Target]) -> Requant:
    """The requantization of an average pool: half-up if possible, else a rule with ties."""
    first, *others = targets
    for rule in (Rounding.HALF_UP, Rounding.HALF_EVEN, Rounding.FLOAT32):
        try:
            requant = narrow(first, rule)
        except NoMultiplierError:
            continue
        equal = not any(differences(other, requant)[0] for other in others)
        return requant if equal else replace(requant, reference=None)
    return closest(first)


class _Search:
    """Finds requantizations; a layer that no M, B and n equal stays open, with its target."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.open: dict[str, Target] = {}

    def __call__(
        self, step: Step, layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds
    ) -> Requant:
        if isinstance(layer, Add):
            a, b = inputs
            clamp = layer.requant.low, layer.requant.high
            return search_add(add_table(a, b, y), a, b, y, clamp)[0]
        if isinstance(layer, Concat):
            return cat_requant(step, layer, inputs, y)
        targets = _targets(self.engine, step, layer, inputs, y, reach)
        if isinstance(layer, AvgPool2d):
            return _pooled(targets)
        try:
            return narrow(targets[0])
        except NoMultiplierError:
            self.open[layer.name] = targets[0]
            return _unanswered(step, layer, inputs, y, reach)


def _contradictory(target: Target) -> list[int]:
    """The channels that have no M, B and n."""
    bad = []
    for channel in range(len(target.scales)):
        try:
            narrow(target.only(channel))
        except NoMultiplierError:
            bad.append(channel)
    return bad


def _seen(
    module: nn.Module, network: QNetwork, images: torch.Tensor, targets: Mapping[str, Target]
) -> dict[str, list[Counter[int]]]:
    """The number of occurrences of each accumulator on images, for channels without M, B and n."""
    counts = {name: [Counter[int]() for _ in target.scales] for name, target in targets.items()}
    channels = {name: _contradictory(target) for name, target in targets.items()}
    for part in images.split(SAMPLE):
        values = module_trace(module, part)
        for layer in network.layers:
            if layer.name in targets:
                assert isinstance(layer, Conv2d)
                x = network.tensors[layer.input]
                acc = accumulate(values[x.name], layer, x.zero_point)
                for channel in channels[layer.name]:
                    found, times = np.unique(acc[..., channel], return_counts=True)
                    pairs = zip(found.tolist(), times.tolist(), strict=True)
                    counts[layer.name][channel].update(dict(pairs))
    return counts


def _require_exact_sums(network: QNetwork, values: Mapping[str, Array]) -> None:
    """Refuse a module if a layer differs from its own integers by more than one step."""
    for layer in network.layers:
        if not isinstance(layer, Conv2d):
            continue
        tensors = {name: network.tensors[name] for name in (layer.input, layer.output)}
        alone = QNetwork(network.name, layer.input, tensors, [layer])
        exact = alone.trace(values[layer.input])[layer.output]
        distance = np.abs(exact.astype(np.int64) - values[layer.output])
        if distance.max(initial=0) > 1:
            raise NetworkError(
                f"Layer {layer.name!r}: {np.count_nonzero(distance > 1)} of {distance.size} values "
                "of the module differ from those of its own integers, by up to "
                f"{distance.max()}, since PyTorch's kernels add pairs of products in saturating 16 "
                "bits; calibrate to 7 bits (an observer with reduce_range=True), or take the exact "
                "sums by inexact=True"
            )


def read(
    module: nn.Module,
    name: str,
    images: torch.Tensor,
    engine: str | None = None,
    *,
    inexact: bool = False,
) -> QNetwork:
    """Read a converted eager-mode module into an integer network.

    The network's input is the integers of the module's QuantStub (``module_trace(...)["image"]``),
    not pixels. Each layer's M, B and n equal the engine on every accumulator that the layer can
    reach, and the layer's ``requant.reference`` names the engine's rule (additions, equal on every
    pair, have no name). If no M, B and n are equal, they differ on as few accumulators as possible,
    preferably on ones that ``images`` do not cause; ``reference`` is then None, and ``differing``
    counts the differences.

    Parameters
    ----------
    module : QuantStub, modules of ``operators.py`` in any nesting, DeQuantStub; converted
    name : the network's
    images : float32 (N, C, H, W), the module's input; a sample of its typical inputs
    engine : fbgemm, onednn or x86, for which the module was converted; by default PyTorch's current
        one
    inexact : accept a module that saturates on ``images``, and read its integers as if sums were
        exact

    Raises NetworkError, which names the layer, the reason and a way out, for any other module, and
    if the module's results on ``images`` do not match its own integers.
    """
    engine = engine or torch.backends.quantized.engine
    require_engine(engine)
    network = _searched(module, name, images, engine)
    for part in () if inexact else images.split(SAMPLE):
        _require_exact_sums(network, module_trace(module, part))
    return network


def _searched(module: nn.Module, name: str, images: torch.Tensor, engine: str) -> QNetwork:
    """The network, with the requantizations that equal the engine's on most accumulators."""
    search = _Search(engine)
    network, _ = _assemble(record(module, images[:1]), name, search)
    if not search.open:
        return network
    seen = _seen(module, network, images, search.open)
    found = {layer: closest(target, seen=seen[layer]) for layer, target in search.open.items()}
    return network.requantized(lambda layer: found.get(layer.name, layer.requant))


def read_state_dict(
    source: str | os.PathLike[str] | Mapping[str, Any],
    net: nn.Module,
    name: str,
    images: torch.Tensor,
    engine: str | None = None,
    *,
    inexact: bool = False,
) -> QNetwork:
    """Read the state dict of a converted module, given the float module that it came from.

    Parameters
    ----------
    source : a file as torch.save writes it, read with ``weights_only=True``, or the state dict
    net : the float module before torch.ao's prepare: with its stubs, fused. It is not changed. If
        it has no qconfig, the engine's default is used
    name, images, engine, inexact : as in :func:`read`

    Raises NetworkError for a file that is no state dict, and for one that does not fit ``net``.
    """
    engine = engine or torch.backends.quantized.engine
    require_engine(engine)
    module = with_state(quantized_state(source), net, images[:1], engine)
    return read(module, name, images, engine, inexact=inexact)


def differing(
    network: QNetwork, module: nn.Module, images: torch.Tensor, engine: str
) -> dict[str, tuple[int, int]]:
    """Count the values that a network requantizes differently from PyTorch's engine.

    Returns {layer: (how many differ, how many there are)}: reachable accumulators over all channels
    of convolutions and linear layers, reachable sums of average pools (once for each rule that some
    channels have), pairs of inputs of additions, values of each input of concatenations.
    """
    layers = {layer.name: layer for layer in network.layers}
    counts: dict[str, tuple[int, int]] = {}

    def count(
        step: Step, layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds
    ) -> Requant:
        made = layers[layer.name]
        assert isinstance(made, Requantizing)
        if isinstance(made, Add):
            counts[layer.name] = _pairs_that_differ(made, inputs, y)
        elif isinstance(made, Concat):
            counts[layer.name] = values_that_differ(step, made, inputs, y)
        else:
            targets = _targets(engine, step, layer, inputs, y, reach)
            results = [differences(target, made.requant) for target in targets]
            counts[layer.name] = sum(d for d, _ in results), sum(n for _, n in results)
        return made.requant

    _assemble(record(module, images[:1]), network.name, count)
    return counts


def _pairs_that_differ(layer: Add, inputs: tuple[Tensor, ...], y: Tensor) -> tuple[int, int]:
    a, b = inputs
    expected = np.clip(add_table(a, b, y), layer.requant.low, layer.requant.high)
    return int((outputs_of_pairs(layer.requant, inputs, y) != expected).sum()), expected.size
