"""A list of random steps as a PyTorch module, in floats or in the form that PT2E gives it."""

from __future__ import annotations

import math

import numpy as np
import torch
from modulefuzz import IMAGE, Step
from onnxgen import Model
from torch import nn
from torch.ao.quantization.fx import _decomposed
from torch.nn import functional

assert _decomposed.quantized_decomposed_lib  # registers the operators
Q = torch.ops.quantized_decomposed
INT8 = (-128, 127, torch.int8)
# Of a LeakyReLU, a float32; with 0.1 and equal scales float64 would decide exact ties.
SLOPE = float(np.float32(0.1234567))
GRIDS = (
    "conv",
    "linear",
    "relu6",
    "leaky",
    "swish",
    "avg",
    "mean",
    "add",
    "cat",
)  # what has a grid of its own


class Fuzzed(nn.Module):
    """The module of a list of steps, its parameters drawn by ``seed``."""

    def __init__(self, steps: list[Step], seed: int) -> None:
        super().__init__()
        self.steps, self.seed = steps, seed
        torch.manual_seed(seed)
        dims: list[tuple[int, ...]] = [IMAGE]
        with torch.no_grad():
            values = [torch.zeros(2, *IMAGE)]
            for number, step in enumerate(steps):
                part = self._part(step, dims[step.reads[0]])
                if part is not None:
                    self.add_module(f"p{number}", part)
                values.append(self.step(number, [values[at] for at in step.reads]))
                dims.append(tuple(values[-1].shape[1:]))
        self.eval()

    @staticmethod
    def _part(step: Step, dims: tuple[int, ...]) -> nn.Module | None:
        args = step.args
        if step.op == "conv":
            return nn.Conv2d(
                dims[0], args["out"], args["kernel"], args["stride"], args["pad"],
                groups=args["groups"],
            )  # fmt: skip
        if step.op == "linear":
            return nn.Linear(dims[0], args["out"])
        if step.op == "norm":
            norm = nn.BatchNorm2d(dims[0]).eval()
            for values, ends in (
                (norm.weight, (-1, 2)), (norm.bias, (-1, 1)), (norm.running_mean, (-1, 1)),
                (norm.running_var, (0.1, 2)),
            ):  # fmt: skip
                nn.init.uniform_(values, *ends)
            return norm
        return None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [self.finish(-1, x)]
        for number, step in enumerate(self.steps):
            values.append(self.finish(number, self.step(number, [values[at] for at in step.reads])))
        return values[-1]

    def finish(self, number: int, x: torch.Tensor) -> torch.Tensor:
        """What becomes of a step's output; number -1 is the image."""
        return x

    def step(self, number: int, inputs: list[torch.Tensor]) -> torch.Tensor:
        """One step."""
        step, x = self.steps[number], inputs[0]
        args = step.args
        if step.op in ("conv", "linear", "norm"):
            return getattr(self, f"p{number}")(x)
        if step.op == "relu":
            return torch.relu(x)
        if step.op == "relu6":
            return functional.relu6(x)
        if step.op == "leaky":
            return functional.leaky_relu(x, SLOPE)
        if step.op == "swish":
            return functional.hardswish(x)
        if step.op == "up":
            return functional.interpolate(x, scale_factor=args["factor"])
        if step.op == "max":
            return functional.max_pool2d(x, args["kernel"], args["stride"], args["pad"])
        if step.op == "avg":
            return functional.avg_pool2d(x, args["kernel"], args["stride"], args["pad"])
        if step.op == "mean":
            return functional.adaptive_avg_pool2d(x, 1)
        if step.op == "add":
            return x + inputs[1]
        if step.op == "cat":
            return torch.cat(inputs, 1)
        if step.op == "permute":
            return x.permute(0, *(axis + 1 for axis in args["axes"]))
        assert step.op == "view"
        return self.view(x, args["shape"], args["way"])

    @staticmethod
    def view(x: torch.Tensor, shape: tuple[int, ...], way: int) -> torch.Tensor:
        """A reshape, by one of PyTorch's ways to have it."""
        if way == 0 and len(shape) == 1:
            return x.flatten(1)
        if way == 1 and len(shape) == 3 and x.ndim == 2:
            return x.unflatten(1, shape)
        if way == 2 and len(shape) == 1 and math.prod(x.shape[2:]) == 1:
            return x.squeeze(-1).squeeze(-1) if x.ndim == 4 else x
        if way == 2 and shape[1:] == (1, 1) and x.ndim == 2:
            return x.unsqueeze(2).unsqueeze(-1)
        if way == 3:
            return x.contiguous().view(x.shape[0], *shape)
        return x.reshape(-1, *shape)


class Gridded(Fuzzed):
    """The same, its values quantized and dequantized as a PT2E program has them."""

    observing = True  # the ranges of its values, in floats

    def __init__(self, steps: list[Step], seed: int, images: torch.Tensor) -> None:
        super().__init__(steps, seed)
        self.scales: dict[int, float] = {}
        with torch.no_grad():
            self(images)
        self.observing = False
        for number, step in enumerate(steps):
            if step.op in ("conv", "linear"):
                weight = getattr(self, f"p{number}").weight.detach()
                scale = self._float32(weight.abs().max() / 127)
                self.scales[~number - 1] = scale
                self.register_buffer(f"w{number}", torch.round(weight / scale).to(torch.int8))

    @staticmethod
    def _float32(x: torch.Tensor) -> float:
        return float(x.to(torch.float32))

    def finish(self, number: int, x: torch.Tensor) -> torch.Tensor:
        if number >= 0 and self.steps[number].op not in GRIDS:
            return x
        if self.observing:
            self.scales[number] = max(self._float32(x.abs().max() / 110), 1e-6)
        grid = self.scales[number], 0 if number % 2 else 5
        return Q.dequantize_per_tensor(Q.quantize_per_tensor(x, *grid, *INT8), *grid, *INT8)

    def step(self, number: int, inputs: list[torch.Tensor]) -> torch.Tensor:
        step = self.steps[number]
        if step.op == "norm":  # a program has it folded into the convolution
            return inputs[0]
        if self.observing or step.op not in ("conv", "linear"):
            return super().step(number, inputs)
        part, scale = getattr(self, f"p{number}"), self.scales[~number - 1]
        weight = Q.dequantize_per_tensor(
            getattr(self, f"w{number}"), scale, 0, -127, 127, torch.int8
        )
        if step.op == "linear":
            return functional.linear(inputs[0], weight, part.bias)
        return functional.conv2d(
            inputs[0], weight, part.bias, part.stride, part.padding, groups=part.groups
        )


def onnx_nodes(module: Fuzzed, model: Model, fold: bool = True) -> str:
    """Write a module as nodes of a float ONNX model; the name of its output.

    fold : whether a batch norm is worked into the convolution before it
    """
    values, steps = ["x"], module.steps
    for number, step in enumerate(steps):
        args, names = step.args, [values[at] for at in step.reads]
        window = {}
        if "kernel" in args:
            pads = [*args["pad"], *args["pad"]]
            window = {"kernel_shape": args["kernel"], "strides": args["stride"], "pads": pads}
        if step.op == "conv":
            behind = steps[number + 1].op if number + 1 < len(steps) else ""
            norm = getattr(module, f"p{number + 1}") if fold and behind == "norm" else None
            weights = _folded(getattr(module, f"p{number}"), norm)
            constants = [model.constant(array) for array in weights]
            made = model.node("Conv", names[0], *constants, group=args["groups"], **window)
        elif step.op == "norm" and fold:
            made = names[0]
        elif step.op == "norm":
            part = getattr(module, f"p{number}")
            arrays = (part.weight, part.bias, part.running_mean, part.running_var)
            constants = [model.constant(array.detach().numpy()) for array in arrays]
            made = model.node("BatchNormalization", names[0], *constants, epsilon=part.eps)
        elif step.op == "linear":
            part = getattr(module, f"p{number}")
            constants = [model.constant(x.detach().numpy()) for x in (part.weight, part.bias)]
            made = model.node("Gemm", names[0], *constants, transB=1)
        elif step.op == "relu6":
            made = model.node("Clip", names[0], model.constant(0.0), model.constant(6.0))
        elif step.op == "leaky":
            made = model.node("LeakyRelu", names[0], alpha=SLOPE)
        elif step.op == "swish":
            made = model.node("HardSwish", names[0])
        elif step.op == "up":
            scales = model.constant([1, 1, *args["factor"]])
            made = model.node("Resize", names[0], "", scales, mode="nearest")
        elif step.op == "avg":
            made = model.node("AveragePool", names[0], count_include_pad=1, **window)
        elif step.op == "permute":
            perm = [0, *(axis + 1 for axis in args["axes"])]
            made = model.node("Transpose", names[0], perm=perm)
        elif step.op == "view":
            made = _onnx_view(model, names[0], args["shape"], args["way"])
        else:
            simple = {"relu": "Relu", "max": "MaxPool", "mean": "GlobalAveragePool", "add": "Add"}
            axis = {"axis": 1} if step.op == "cat" else {}
            made = model.node(simple.get(step.op, "Concat"), *names, **window, **axis)
        values.append(made)
    return values[-1]


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> list[np.ndarray]:
    """Weight and bias, a batch norm worked in."""
    if norm is None:
        return [conv.weight.detach().numpy(), conv.bias.detach().numpy()]
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = (conv.bias - norm.running_mean) * gain + norm.bias
    return [(conv.weight * gain[:, None, None, None]).detach().numpy(), bias.detach().numpy()]


def _onnx_view(model: Model, x: str, shape: tuple[int, ...], way: int) -> str:
    if way == 0 and len(shape) == 1:
        return model.node("Flatten", x)
    batch = 0 if way == 3 else -1
    return model.node("Reshape", x, model.constant([batch, *shape], np.int64))
