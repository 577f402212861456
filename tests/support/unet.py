"""A small U-Net: down, a bottleneck, up again, and a skip beside it."""

from residualnet import INT8, RESCALE, UINT8
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.layers.weights import Weights


def unet(rng, factor=(2, 2), channels=4):
    """A stem, a pool of ``factor``, a bottleneck, its upsampling beside the stem, and scores."""
    builder, grid = Builder("unet"), Grid(UINT8, 0.02, 10)
    x = builder.input((2 * factor[0], 3 * factor[1], 1), Grid(UINT8, 1 / 255, 0))

    def conv(name, x, channels, size):
        weights = Weights(
            rng.integers(-127, 128, (channels, size, size, x.shape[2])), INT8, (0.01,)
        )
        window = Window(padding=(size // 2,) * 4)
        bias = rng.integers(-99, 99, channels)
        return builder.conv2d(name, x, weights, bias, Output(grid, RESCALE), window=window)

    stem = conv("stem", x, channels, 3)
    small = builder.max_pool2d("down", stem, factor, Window(stride=factor))
    small = conv("bottom", small, channels, 3)
    large = builder.upsample("up", small, factor)
    y = builder.concat("skip", [large, stem], Output(grid, RESCALE))
    conv("scores", y, 2, 1)
    return builder.network()
