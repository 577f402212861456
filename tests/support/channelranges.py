"""Value ranges channel by channel: tighter than ``Values.value_range``, which is per tensor.

The method is interval arithmetic as in ``layers/accumulators.py``, but each channel keeps its own
ends through ReLU, pools, additions, concatenations and convolutions. A range of the whole tensor
would give every channel the widest one. Rounding and clamping are monotone, so the ends of a sum
give the ends of an output. ``Layer.channel_bounds`` has the rule of each layer.
"""

import numpy as np
from tercet.model.layers import zero_points_of


def channel_ranges(network):
    """The least and greatest value of each channel of every tensor.

    Returns {tensor: (low, high)}, int64 (C,) each; never exceeded, for any image.
    """
    image = network.tensors[network.input]
    low, high = (np.full(image.shape[2], end) for end in (image.dtype.qmin, image.dtype.qmax))
    ranges = {network.input: (low, high)}
    for layer in network.layers:
        inputs = [ranges[name] for name in layer.reads]
        low, high = layer.channel_bounds(inputs, zero_points_of(network, layer))
        times = network.tensors[layer.output].shape[2] // len(low)  # of a flattening: positions
        ranges[layer.output] = np.tile(low, times), np.tile(high, times)
    return ranges
