"""Small networks with tables: of every shape of function, forked, with several values a beat."""

from residualnet import INT8, RESCALE, UINT8
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.dtypes import IntType
from tercet.model.layers.weights import Weights

UINT10 = IntType(10, signed=False)


def tables(rng, bits=8):
    """A convolution, a table of its outputs, another convolution whose ReLU leaves half the values,
    a table of these to another type, and a sum with a table of few values."""
    builder, grid = Builder("tables"), Grid(UINT8, 0.02, 10)
    wide = Grid(IntType(bits, signed=True), 0.05, -3)

    def conv(name, x, channels, size, grid, window=None, clamp=None):
        weights = Weights(
            rng.integers(-127, 128, (channels, size, size, x.shape[2])), INT8, (0.01,)
        )
        bias = rng.integers(-99, 99, channels)
        return builder.conv2d(name, x, weights, bias, Output(grid, RESCALE, clamp), window=window)

    def table(name, x, grid):
        values = rng.integers(grid.dtype.qmin, grid.dtype.qmax + 1, 1 << x.dtype.bits)
        return builder.table(name, x, values, grid)

    x = builder.input((4, 6, 2), Grid(UINT8, 1 / 255, 0))
    x = conv("first", x, 4, 1, wide)
    x = table("noise", x, grid)
    left = conv("second", x, 3, 3, grid, window=Window(padding=(1, 1, 1, 1)), clamp=(10, 200))
    left = table("half", left, Grid(INT8, 0.1, 5))
    right = table("few", conv("narrow", x, 3, 1, Grid(IntType(4, signed=True), 1.0, 0)), grid)
    y = builder.add("sum", left, right, Output(Grid(UINT10, 0.01, 99), RESCALE))
    y = table("wide", y, grid)
    y = builder.avg_pool2d("avg", y, (4, 6), Window(), Output(grid, RESCALE))
    table("scores", y, grid)
    return builder.network()
