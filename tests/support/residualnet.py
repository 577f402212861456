"""A small network with a fork, an addition and both pools, and the weights of such networks."""

import numpy as np
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.dtypes import IntType
from tercet.model.layers.weights import Weights
from tercet.model.requant import Rounding
from tercet.model.search.policies import fixed

UINT8, INT8 = IntType(8, signed=False), IntType(8, signed=True)
RESCALE = fixed(16, Rounding.HALF_UP)


def weights(rng, *shape, zero_point=0):
    values = rng.integers(-127, 128, shape)
    return Weights(values, INT8, (0.01,), (zero_point,))


def residual(rng, rescale=RESCALE):
    """A convolution, a fork, an addition, both pools, and two linear layers."""
    builder = Builder("residual")
    grid, small = Grid(UINT8, 0.02, 10), Grid(INT8, 0.05, -3)
    x = builder.input((6, 6, 2), Grid(UINT8, 1 / 255, 0))
    window = Window(padding=(1, 1, 1, 1))
    a = builder.conv2d(
        "a",
        x,
        weights(rng, 4, 3, 3, 2),
        rng.integers(-99, 99, 4),
        Output(grid, rescale),
        window=window,
    )
    b = builder.conv2d(
        "b",
        a,
        weights(rng, 4, 3, 3, 1, zero_point=5),
        np.zeros(4, np.int64),
        Output(small, rescale, (-3, 100)),
        window=window,
        groups=4,
    )
    y = builder.add("sum", a, b, Output(grid, rescale))
    y = builder.relu("relu", y, 10, 200)
    y = builder.max_pool2d("max", y, (2, 2), Window(stride=(2, 2)))
    y = builder.avg_pool2d("avg", y, (2, 2), Window(), Output(small, rescale))
    y = builder.flatten("flat", y)
    y = builder.linear(
        "fc1", y, weights(rng, 7, 1, 1, 16), np.zeros(7, np.int64), Output(grid, rescale)
    )
    builder.linear(
        "fc2", y, weights(rng, 10, 1, 1, 7), np.zeros(10, np.int64), Output(grid, rescale)
    )
    return builder.network()
