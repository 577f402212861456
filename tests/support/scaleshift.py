"""State dicts of LeNets, drawn and by hand, for the scale-shift front end."""

import numpy as np

LAYERS = ("conv1", "conv2", "conv3", "fc1", "fc2")


def state_dict(rng, channels=(6, 16, 120, 84, 10), image=1):
    """A float LeNet's arrays, drawn."""
    ends = [image, *channels]
    kernels = [(5, 5)] * 3 + [()] * 2
    state = {}
    for name, ic, oc, kernel in zip(LAYERS, ends, channels, kernels, strict=False):
        weight = rng.normal(0.01, 0.6 / np.sqrt(ic * np.prod(kernel)), (oc, ic, *map(int, kernel)))
        state[f"{name}.weight"] = weight.astype(np.float32)
        state[f"{name}.bias"] = rng.normal(0, 0.2, oc).astype(np.float32)
    return state


def saved(tmp_path, state, name="lenet.npz"):
    np.savez(tmp_path / name, **state)
    return tmp_path / name


SMALL = {
    "conv1.weight": np.full((2, 1, 3, 3), 130, np.uint8),
    "conv1.bias": np.array([0.5, -0.5], np.float32),
    "fc1.weight": np.full((3, 8), 120, np.uint8),
    "fc1.bias": np.zeros(3, np.float32),
}
TRIPLES = {"conv1": (100, 12, 128), "fc1": (90, 12, 128)}
ARGUMENTS = {"size": (4, 4), "paddings": (1,)}
