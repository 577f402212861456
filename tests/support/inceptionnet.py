"""A small network as Inception has them: branches of unlike windows, joined by their channels."""

import numpy as np
from residualnet import INT8, RESCALE, UINT8
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.dtypes import IntType
from tercet.model.layers.weights import Weights

SAME = Window(padding=(1, 1, 1, 1))


def inception(rng, one_grid=True, rescale=RESCALE):
    """A convolution, a fork to a 1x1 and a 3x3 convolution and a maximum pool with a 1x1 one behind
    it, their concatenation, another of that and what was forked, and a linear layer.

    one_grid : whether the branches are on the grid of the first concatenation, so that it rounds
        nothing; the second always does
    """
    builder = Builder("inception")
    grid, other = Grid(UINT8, 0.02, 10), Grid(INT8, 0.05, -3)
    apart = [grid] * 3 if one_grid else [grid, other, Grid(IntType(6, signed=False), 0.1, 0)]

    def conv(name, x, channels, size, grid):
        shape = (channels, size, size, x.shape[2])
        weights = Weights(rng.integers(-127, 128, shape), INT8, (0.01,))
        bias = rng.integers(-99, 99, channels)
        window = SAME if size == 3 else Window()
        return builder.conv2d(name, x, weights, bias, Output(grid, rescale), window=window)

    x = builder.input((3, 4, 2), Grid(UINT8, 1 / 255, 0))
    stem = conv("stem", x, 3, 1, grid)
    one = conv("one", stem, 2, 1, apart[0])
    three = conv("three", stem, 3, 3, apart[1])
    pool = builder.max_pool2d("pool", stem, (3, 3), SAME)
    pooled = conv("pooled", pool, 1, 1, apart[2])
    y = builder.concat("branches", [one, three, pooled], Output(grid, rescale))
    y = builder.concat("dense", [y, stem, x], Output(other, rescale, (-100, 90)))
    y = builder.avg_pool2d("avg", y, (3, 4), Window(), Output(grid, rescale))
    weights = Weights(rng.integers(-127, 128, (4, 1, 1, 11)), INT8, (0.01,))
    builder.linear("fc", y, weights, np.zeros(4, np.int64), Output(grid, rescale))
    return builder.network()
