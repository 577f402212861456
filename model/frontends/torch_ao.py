"""PyTorch's eager-mode int8 networks (torch.ao.quantization): made, run, and read into integers.

``read`` gives an integer network that takes the integers of the module's QuantStub and equals
PyTorch's own engine at every layer; what the engines compute is in ``torch_engines.py``. torch.ao
is deprecated: it is touched in this file alone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.ao import quantization as ao
from torch.ao.nn import quantized as nnq
from torch.ao.nn.intrinsic import quantized as nniq

from ..arith import Rounding
from ..conv import Conv2d, accumulate
from ..dtypes import IntType
from ..layers import Argmax, Layer, NetworkError, Tensor
from ..narrow import NoMultiplierError, closest, narrow
from ..network import QNetwork
from ..ranges import accumulator_bounds
from ..requant import Requant
from ..weights import Weights
from .torch_engines import in_force, require_engine, target_of

__all__ = ["convert", "module_trace", "pixels", "read"]

UINT8 = IntType(8, signed=False)
INT8 = IntType(8, signed=True)
SAMPLE = 1000  # images whose accumulators are counted at once


@dataclass(frozen=True)
class _Step:
    """One module's part in a run: what it took, what it gave."""

    name: str
    module: nn.Module
    input: torch.Tensor
    output: torch.Tensor

    def refuse(self, reason: str, way_out: str) -> NetworkError:
        return NetworkError(f"Layer {self.name!r}: {reason}; {way_out}")


def convert(
    net: nn.Sequential, images: npt.NDArray[np.uint8], engine: str = "x86"
) -> nn.Sequential:
    """Quantize a float network by torch.ao: fuse, prepare, calibrate, convert for ``engine``.

    Parameters
    ----------
    net : a chain of Conv2d, ReLU and Flatten, as float/nets.py builds it; left as it is
    images : uint8 (N, H, W), the calibration images; the pixel p enters as p / 255
    engine : one of ``torch_engines.ENGINES``; its default qconfig is used

    Returns the converted module: float (N, 1, H, W) -> float (N, classes). Raises NetworkError for
    an unknown engine.
    """
    layers = OrderedDict(net.named_children())
    flatten = layers.pop("flatten")
    pairs = [list(pair) for pair in pairwise(layers) if isinstance(layers[pair[1]], nn.ReLU)]
    ends = {"dequant": ao.DeQuantStub(), "flatten": flatten}
    chain = nn.Sequential(OrderedDict({"quant": ao.QuantStub(), **layers, **ends}))
    with in_force(engine):
        fused = ao.fuse_modules(chain.eval(), pairs)  # copies
        fused.qconfig = ao.get_default_qconfig(engine)
        prepared = ao.prepare(fused)
        with torch.no_grad():
            prepared(pixels(images))
        converted: nn.Sequential = ao.convert(prepared)
    return converted


def pixels(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Images uint8 (N, H, W) as a network takes them: float32 (N, 1, H, W) in 0..1."""
    return torch.from_numpy(images[:, np.newaxis].astype(np.float32) / np.float32(255))


def _run(module: nn.Module, images: torch.Tensor) -> list[_Step]:
    """Run a module and write down its leaves in order, checked to be one chain and nothing else."""
    steps: list[_Step] = []

    def note(name: str) -> Any:
        def hook(leaf: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            steps.append(_Step(name, leaf, inputs[0], output))

        return hook

    leaves = {name: leaf for name, leaf in module.named_modules() if not any(leaf.children())}
    handles = [
        leaf.register_forward_hook(note(name))
        for name, leaf in leaves.items()
        if not isinstance(leaf, nn.Identity)  # what fusing leaves behind
    ]
    try:
        with torch.no_grad():
            result = module(images)
    finally:
        for handle in handles:
            handle.remove()
    value = images
    for step in steps:
        if step.input is not value:
            way_out = (
                "write what stands between it and the module before it as modules in one chain"
            )
            raise step.refuse("its input comes from no module", way_out)
        value = step.output
    if result is not value:
        raise NetworkError(
            "The module computes something after its last submodule; return that one's output"
        )
    return steps


def _convolutions(steps: list[_Step]) -> list[_Step]:
    """The convolutions between Quantize and DeQuantize. Raises NetworkError for all else."""
    if not steps or not isinstance(steps[0].module, nnq.Quantize):
        raise NetworkError(
            "The module must start with a converted QuantStub; "
            "prepare, calibrate and convert it with torch.ao.quantization"
        )
    kinds = [type(step.module) for step in steps]
    if nnq.DeQuantize not in kinds:
        raise NetworkError("The module must end with a DeQuantStub; add one after its last layer")
    end = kinds.index(nnq.DeQuantize)
    for step in steps[1:end]:
        if type(step.module) not in (nnq.Conv2d, nniq.ConvReLU2d):
            raise step.refuse(
                f"{type(step.module).__name__} is not supported",
                "there are Conv2d and ReLU, the ReLU fused into the Conv2d by fuse_modules",
            )
    for step in steps[end + 1 :]:
        if not isinstance(step.module, nn.Flatten):
            reason = f"{type(step.module).__name__} after the DeQuantStub stays in floats"
            raise step.refuse(reason, "move it out of the module")
    return steps[1:end]


def _identifier(name: str) -> str:
    """A layer's name from a module's: letters, digits and underscores."""
    text = name.replace(".", "_")
    return text if text.isidentifier() else f"layer_{text}"


def _names(convolutions: list[_Step]) -> list[str]:
    """The tensors' names: the last one's is logits, the others' their layers'."""
    return [*(_identifier(step.name) for step in convolutions[:-1]), "logits"]


def module_trace(module: nn.Module, images: torch.Tensor) -> dict[str, npt.NDArray[np.uint8]]:
    """Run a converted module and give every quantized tensor's integers (int_repr).

    Parameters
    ----------
    images : float32 (N, C, H, W), as the module takes them

    Returns uint8 (N, H, W, C) by the name that ``read`` gives the tensor: ``image`` is what the
    QuantStub makes of the images, and what the integer network takes.
    """
    steps = _run(module, images)
    convolutions = _convolutions(steps)
    outputs = {"image": steps[0], **dict(zip(_names(convolutions), convolutions, strict=True))}
    return {
        name: step.output.int_repr().permute(0, 2, 3, 1).contiguous().numpy()
        for name, step in outputs.items()
    }


def _tensor(name: str, step: _Step) -> Tensor:
    """The quantized tensor that a step gives."""
    value = step.output
    if value.dtype != torch.quint8:
        raise step.refuse(f"its output is {value.dtype}", "choose quint8 activations")
    shape, scale = (*value.shape[2:], value.shape[1]), _float32(step, value.q_scale())
    return Tensor(name, shape, UINT8, scale, value.q_zero_point())


def _float32(step: _Step, scale: float) -> float:
    """Check that a scale is what the engines make of it."""
    if float(np.float32(scale)) != scale:
        raise step.refuse(f"its scale {scale} is no float32", "let an observer choose the scale")
    return scale


def _weights(step: _Step) -> Weights:
    weight = step.module.weight()  # (OC, IC / groups, KH, KW)
    if weight.dtype != torch.qint8:
        raise step.refuse(f"its weights are {weight.dtype}", "choose qint8 weights")
    if weight.qscheme() == torch.per_channel_affine:
        scales = weight.q_per_channel_scales().tolist()
        zero_points = weight.q_per_channel_zero_points().tolist()
    else:
        scales, zero_points = [weight.q_scale()], [weight.q_zero_point()]
    return Weights(
        values=weight.int_repr().permute(0, 2, 3, 1).numpy(),
        dtype=INT8,
        scales=tuple(_float32(step, scale) for scale in scales),
        zero_points=tuple(zero_points),
    )


def _conv2d(step: _Step, x: Tensor, y: Tensor) -> Conv2d:
    """The layer with a requantization still to be found."""
    module = step.module
    bias = module.bias()
    if bias is not None and bias.any():
        reason = "the engine adds its bias in float32, which no integer bias equals"
        raise step.refuse(reason, "build it with bias=False")
    if module.padding_mode != "zeros":
        raise step.refuse(f"padding_mode {module.padding_mode!r} is not supported", "use 'zeros'")
    weights = _weights(step)
    top, left = module.padding
    return Conv2d(
        name=_identifier(step.name),
        input=x.name,
        output=y.name,
        weights=weights,
        bias=np.zeros(len(weights.values), dtype=np.int64),
        requant=Requant(
            multipliers=(1,),
            shift=0,
            rounding=Rounding.HALF_UP,
            low=y.zero_point if isinstance(module, nniq.ConvReLU2d) else UINT8.qmin,
            high=UINT8.qmax,
        ),
        stride=tuple(module.stride),
        padding=(top, left, top, left),
        dilation=tuple(module.dilation),
        groups=module.groups,
    )


def _seen(layer: Conv2d, x: Tensor, step: _Step) -> list[Counter[int]]:
    """How often a run led to each accumulator, per output channel."""
    counts = [Counter[int]() for _ in range(layer.out_channels)]
    for part in step.input.int_repr().permute(0, 2, 3, 1).split(SAMPLE):
        acc = accumulate(part.numpy(), layer, x.zero_point)
        for channel, count in enumerate(counts):
            values, times = np.unique(acc[..., channel], return_counts=True)
            count.update(dict(zip(values.tolist(), times.tolist(), strict=True)))
    return counts


def read(module: nn.Module, name: str, images: torch.Tensor, engine: str | None = None) -> QNetwork:
    """Read a converted eager-mode module into an integer network.

    The network's input is the integers of the module's QuantStub (``module_trace(...)["image"]``),
    not pixels. Each layer's M and n equal the engine on every accumulator the layer can reach, and
    the layer's ``requant.reference`` names the engine's rule; where no M and n do, they differ on
    as few as they can, on those that ``images`` lead to last of all, ``reference`` is None and
    ``torch_engines.differing`` counts them.

    Parameters
    ----------
    module : a chain QuantStub, Conv2d with or without fused ReLU, DeQuantStub, Flatten; converted
    name : the network's
    images : float32 (N, C, H, W), as the module takes them; a sample of what it will meet
    engine : fbgemm, onednn or x86, for which the module was converted; by default the one in force

    Raises NetworkError that names the layer, the reason and a way out for anything else.
    """
    engine = engine or torch.backends.quantized.engine
    require_engine(engine)
    steps = _run(module, images)
    convolutions = _convolutions(steps)
    x = _tensor("image", steps[0])
    tensors, layers = {"image": x}, list[Layer]()
    ends = x.dtype.qmin, x.dtype.qmax
    for step, output in zip(convolutions, _names(convolutions), strict=True):
        y = tensors[output] = _tensor(output, step)
        layer = _conv2d(step, x, y)
        reach = accumulator_bounds(layer, *ends, x.zero_point)
        target = target_of(engine, x, layer, y, reach)
        try:
            requant = narrow(target)
        except NoMultiplierError:
            requant = closest(target, seen=_seen(layer, x, step))
        layers.append(replace(layer, requant=requant))
        x, ends = y, (requant.low, requant.high)
    if x.shape[:2] == (1, 1):
        tensors["class"] = Tensor("class", (1, 1, 1), UINT8, 1.0, 0)
        layers.append(Argmax("argmax", x.name, "class"))
    return QNetwork(name, "image", tensors, layers)
