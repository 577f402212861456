"""Random chains of convolutions and random concatenations, for tests that fix some parameters."""

from dataclasses import replace

from tercet.model.dtypes import IntType
from tercet.model.fuzz.concats import random_concat_requant
from tercet.model.fuzz.convs import argmax_of, network_of, random_conv, random_window
from tercet.model.fuzz.draws import INT8, UINT8, drawn, random_tensor
from tercet.model.layers.concat import Concat

TYPES = (UINT8, INT8, IntType(4, signed=True), IntType(11, signed=False))


def random_network(rng, *, shape=None, depth=None, windows=False, argmax=None, **conv_arguments):
    """A chain of ``depth`` convolutions, with a final argmax if ``argmax`` is true.

    ``windows`` draws any kernel, stride, padding and dilation instead of those for the patch
    engine. ``conv_arguments`` are passed to every :func:`random_conv`. With an argmax the last
    kernel covers the whole map.
    """
    if shape is None:
        shape = (*(int(extent) for extent in rng.integers(1, 20, 2)), int(rng.integers(1, 5)))
    depth = int(rng.integers(1, 4)) if depth is None else depth
    closes = drawn(rng, argmax)
    x = tensor = random_tensor(rng, "image", shape)
    layers = []
    tensors = []
    for index in range(depth):
        height, width, _ = tensor.shape
        geometry = random_window(rng, height, width) if windows else {}
        if closes and index == depth - 1:
            geometry = {"kernel": (height, width)}
        conv, tensor = random_conv(rng, tensor, name=f"conv{index}", **(geometry | conv_arguments))
        layers.append(conv)
        tensors.append(tensor)
    if closes:
        closing, tensor = argmax_of(tensor)
        layers.append(closing)
        tensors.append(tensor)
    return network_of(x, layers, tensors)


def random_concat(rng, *, shape=None, rounding=None, one_grid=None):
    """Several convolutions of one image, 1x1 and 3x3, and a concatenation of their outputs. It may
    also read the image, or one output twice.

    one_grid : whether all tensors are on one grid, so that nothing is rounded
    """
    if shape is None:
        shape = (*(int(extent) for extent in rng.integers(1, 6, 2)), int(rng.integers(1, 4)))
    one_grid = drawn(rng, one_grid)
    x = random_tensor(rng, "image", shape)
    branches = [_branch(rng, x, index, one_grid) for index in range(int(rng.integers(1, 4)))]
    tensors = [y for _, y in branches]
    more = [*tensors, x][int(rng.integers(len(tensors) + 1))]
    read = [*tensors, more] if len(tensors) == 1 or rng.integers(2) else list(tensors)
    read = [read[index] for index in rng.permutation(len(read))]
    channels = sum(tensor.shape[2] for tensor in read)
    y = random_tensor(rng, "logits", (*shape[:2], channels), _type(rng, one_grid))
    y = _moved(y, x) if one_grid else y
    concat = Concat(
        name="concat",
        input=read[0].name,
        output=y.name,
        others=tuple(tensor.name for tensor in read[1:]),
        requant=random_concat_requant(rng, read, y, rounding=rounding),
    )
    return network_of(x, [*(conv for conv, _ in branches), concat], [*tensors, y])


def _branch(rng, x, index, one_grid):
    """A convolution that keeps height and width, and its output."""
    size = int(rng.choice([1, 3]))
    conv, y = random_conv(
        rng,
        x,
        name=f"conv{index}",
        kernel=(size, size),
        stride=(1, 1),
        padding=(size // 2,) * 4,
        output_type=_type(rng, one_grid),
        relu=False,
    )
    return conv, _moved(y, x) if one_grid else y


def _type(rng, one_grid):
    return UINT8 if one_grid else TYPES[int(rng.integers(len(TYPES)))]


def _moved(y, x):
    """``y`` on the grid of ``x``."""
    return replace(y, scale=x.scale, zero_point=x.zero_point)
