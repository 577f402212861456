"""Execution of PT2E programs: in float32 as PyTorch does, or in float64, nearly exact."""

import torch
from tercet.model.frontends.pt2e.network import reading
from tercet.model.ordered import raster


def trace(program, images, *, exact=False, output=None):
    """Run a program and return the integers of every quantize node.

    Parameters
    ----------
    images : float32 (N, C, H, W); run in batches of the size for which the program was exported
    exact : compute in float64 with the stored scales and biases. This is practically exact if
        scales are float32 numbers, as observers choose them. Otherwise compute in float32, as
        PyTorch does
    output : as in ``pt2e.read``; nothing is traced for it

    Returns int64 (N, H, W, C) by the tensor's name in ``pt2e.read(program)``: ``image`` is the
    network's input. Raises NetworkError as ``read`` does.
    """
    found = reading(program, output=output)
    (image,) = found.program.graph_signature.user_inputs
    (node,) = (node for node in found.program.graph.nodes if node.name == image)
    size = node.meta["val"].shape[0]
    step = size if isinstance(size, int) else max(len(images), 1)
    parts = []
    for start in range(0, len(images), step):
        part = images[start : start + step]
        whole = torch.cat([part, part[-1:].expand(step - len(part), *part.shape[1:])])
        values = _run(found, whole, exact)
        parts.append({name: value[: len(part)] for name, value in values.items()})
    return {
        name: raster(
            torch.cat([part[name] for part in parts]).to(torch.int64).numpy(), found.orders[name]
        )
        for name in parts[0]
    }


def _run(found, images, exact):
    """The integers of one batch, by tensor."""
    env = dict(_stored(found.program))
    (image,) = found.program.graph_signature.user_inputs
    env[str(image)] = images
    if exact:
        env = {key: v.double() if v.dtype == torch.float32 else v for key, v in env.items()}
    integers = {}
    with torch.no_grad():
        for node in found.program.graph.nodes:
            if node.op != "call_function":
                continue
            args = torch.fx.map_arg(node.args, lambda read: env[read.name])
            kwargs = torch.fx.map_arg(node.kwargs, lambda read: env[read.name])
            operators = EXACT if exact else {}
            env[node.name] = operators.get(str(node.target), node.target)(*args, **kwargs)
            if node.name in found.tensors:
                integers[found.tensors[node.name]] = env[node.name]
    if found.network.input not in integers:  # it is quantized after a pool, or clipped
        integers[found.network.input] = _image(found, env[str(image)])
    return integers


def _image(found, images):
    """The network's input integers, from real images."""
    tensor = found.network.tensors[found.network.input]
    dtype = torch.int8 if tensor.dtype.signed else torch.uint8
    low, high = tensor.dtype.qmin, tensor.dtype.qmax
    return _quantize(images.double(), tensor.scale, tensor.zero_point, low, high, dtype)


def _stored(program):
    """Parameters, buffers and constants by the names of their nodes."""
    signature = program.graph_signature
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    found = {**program.constants, **program.state_dict}
    return {node: found[key] for node, key in names.items()}


def _quantize(x, scale, zero_point, low, high, dtype):
    """Quantize by one division, which keeps exact ties; PyTorch multiplies by the reciprocal."""
    return torch.clamp(torch.round(x / scale) + zero_point, low, high).to(dtype)


def _dequantize(q, scale, zero_point, low, high, dtype):
    return (q.double() - zero_point) * scale


def _dequantize_per_channel(q, scales, zero_points, axis, low, high, dtype):
    shape = [-1 if index == axis else 1 for index in range(q.ndim)]
    centered = q.double() if zero_points is None else q.double() - zero_points.reshape(shape)
    return centered * scales.reshape(shape).double()


EXACT = {
    "quantized_decomposed.quantize_per_tensor.default": _quantize,
    "quantized_decomposed.dequantize_per_tensor.default": _dequantize,
    "quantized_decomposed.dequantize_per_channel.default": _dequantize_per_channel,
}
