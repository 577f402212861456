"""The steps of a converted torch.ao module, recorded while it runs: one step for each module call.

The tensors themselves show the data flow: a step reads the output of an earlier step. A computation
between modules belongs to no step and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.ao.nn import quantized as nnq

from ...dtypes import Array
from ...layers import NetworkError

__all__ = ["Step", "Value", "record"]

FUNCTIONS = ("add", "add_relu", "add_scalar", "mul", "mul_scalar", "cat", "matmul", "sub")
SAME = (nn.Identity, nn.Dropout, nn.Dropout2d, nnq.Dropout)  # no effect at inference


@dataclass(frozen=True, eq=False)
class Value:
    """A copy of a tensor, made when the tensor was computed.

    Parameters
    ----------
    shape, dtype : PyTorch's
    integers : of a quantized tensor, in PyTorch's order; None for any other
    scale, zero_point : of a quantized tensor; else 1 and 0
    channels_last : whether ATen treats it as channels-last memory
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    integers: Array | None = None
    scale: float = 1.0
    zero_point: int = 0
    channels_last: bool = False

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Value:
        """Copy a tensor."""
        shape, dtype = tuple(tensor.shape), tensor.dtype
        if not tensor.is_quantized or tensor.qscheme() != torch.per_tensor_affine:
            return cls(shape, dtype)
        last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        integers = np.array(tensor.int_repr().numpy())
        return cls(shape, dtype, integers, tensor.q_scale(), tensor.q_zero_point(), last)


@dataclass(frozen=True)
class Step:
    """One call: of a module, or of a function of an ``nnq.QFunctional`` by its name."""

    name: str
    function: str
    module: nn.Module
    inputs: tuple[Value, ...]
    output: Value

    def refuse(self, reason: str, way_out: str) -> NetworkError:
        """The error for a step that cannot be read, with the reason and a way out."""
        return refusal(self.name, reason, way_out)


def refusal(name: str, reason: str, way_out: str) -> NetworkError:
    return NetworkError(f"Layer {name!r}: {reason}; {way_out}")


class _Recorder:
    """The steps of a run so far, and the value of each tensor."""

    def __init__(self, images: torch.Tensor) -> None:
        self.steps: list[Step] = []
        self.kept: list[torch.Tensor] = [images]  # kept alive, so that no other gets its id
        self.values = {id(images): Value.of(images)}
        self.calls: dict[str, int] = {}

    def call(
        self, name: str, function: str, module: nn.Module, inputs: tuple[Any, ...], output: Any
    ) -> None:
        """Record a call."""
        flat = chain.from_iterable(x if isinstance(x, list | tuple) else [x] for x in inputs)
        tensors = [x for x in flat if isinstance(x, torch.Tensor)]
        for tensor in tensors:
            if id(tensor) not in self.values:
                raise refusal(
                    name,
                    "its input comes from no module",
                    "write all operations between it and the module before it as modules, "
                    "additions as torch.ao.nn.quantized.FloatFunctional",
                )
        if not isinstance(output, torch.Tensor) or not tensors:
            reason = f"{type(module).__name__} must make one tensor of tensors"
            raise refusal(name, reason, "return tensors one by one")
        taken = tuple(self.values[id(tensor)] for tensor in tensors)
        self.kept.append(output)
        if isinstance(module, SAME):
            self.values[id(output)] = taken[0]
            return
        self.values[id(output)] = value = Value.of(output)
        count = self.calls[name] = self.calls.get(name, 0) + 1
        again = name if count == 1 else f"{name}_call{count}"
        self.steps.append(Step(again, function, module, taken, value))


@contextmanager
def _watched(module: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Record the calls of a module's leaves and of its QFunctionals."""
    handles, patched = [], []
    functional = [m for m in module.modules() if isinstance(m, nnq.QFunctional)]
    inside = {id(part) for m in functional for part in m.modules()}
    for name, part in module.named_modules():
        if isinstance(part, nnq.QFunctional):
            for function in FUNCTIONS:
                if hasattr(part, function):
                    setattr(part, function, _noted(recorder, name, function, part))
                    patched.append((part, function))
        elif id(part) not in inside and (isinstance(part, nnq.Linear) or not any(part.children())):

            def hook(leaf: nn.Module, x: tuple[Any, ...], y: Any, name: str = name) -> None:
                recorder.call(name, "forward", leaf, x, y)

            handles.append(part.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for part, function in patched:
            delattr(part, function)


def _noted(recorder: _Recorder, name: str, function: str, part: nn.Module) -> Any:
    """A function of a QFunctional that records each call."""
    original = getattr(part, function)

    @wraps(original)
    def noted(*inputs: Any, **named: Any) -> Any:
        output = original(*inputs, **named)
        inputs = (*inputs, *named.values())
        recorder.call(name, function, part, inputs, output)
        return output

    return noted


def record(module: nn.Module, images: torch.Tensor) -> list[Step]:
    """Run a module and return its steps, in execution order.

    Parameters
    ----------
    images : float32 (N, C, H, W), or the module's other input format

    Raises NetworkError if the module cannot run, if a computation is outside its submodules, or if
    it returns anything but the output of its last step.
    """
    if isinstance(module, torch.fx.GraphModule):
        raise NetworkError(
            "Modules of FX graph mode (convert_fx) are not read; quantize in eager mode "
            "(torch.ao.quantization.convert), or by PT2E for frontends.pt2e"
        )
    if not isinstance(images, torch.Tensor):
        raise NetworkError(
            f"The images must be a float32 torch.Tensor (N, C, H, W), not {type(images).__name__}; "
            "torch_ao.pixels makes one of uint8 images (N, H, W, C)"
        )
    recorder = _Recorder(images)
    with torch.no_grad(), _watched(module, recorder):
        try:
            result = module(images)
        except NetworkError:
            raise
        except Exception as error:  # PyTorch raises many types if shapes or types do not fit
            after = f" after layer {recorder.steps[-1].name!r}" if recorder.steps else ""
            reason = str(error).strip().partition("\n")[0].partition(". ")[0]
            raise NetworkError(
                f"The module fails on the images{after}: {reason}; "
                "it must run on them as converted, additions by FloatFunctional"
            ) from None
    steps = recorder.steps
    if steps and (
        not isinstance(result, torch.Tensor)
        or recorder.values.get(id(result)) is not steps[-1].output
    ):
        raise NetworkError(
            "The module computes something after its last submodule; return that one's output"
        )
    return steps
