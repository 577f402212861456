"""Hand-made integer LeNets: what is refused, in one sentence that names layer or argument."""

import numpy as np
import pytest
from scaleshift import ARGUMENTS, SMALL, TRIPLES
from tercet.model import NetworkError
from tercet.model.frontends.scale_shift import read


def refusal(state=None, triples=None, **arguments):
    with pytest.raises(NetworkError) as caught:
        read(
            SMALL if state is None else state,
            TRIPLES if triples is None else triples,
            **(ARGUMENTS | arguments),
        )
    return str(caught.value)


def test_the_small_one_reads():
    assert read(SMALL, TRIPLES, **ARGUMENTS)(np.zeros((1, 4, 4), np.uint8)).shape == (1, 3)


NOT_LIKE = (
    "arrays must be called like conv1.weight and conv1.bias; "
    "remove all others, and fold batch norm into the weights"
)
ORDER = "a state dict holds its layers in the order in which they run"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bn1.running_mean": np.zeros(2)}, f"Array 'bn1.running_mean': {NOT_LIKE}"),
        ({"weight": np.zeros(2)}, f"Array 'weight': {NOT_LIKE}"),
        ({"fc2.bias": np.zeros(2)}, "Layer 'fc2': the array 'fc2.weight' is missing"),
        (
            {"fc2.weight": np.zeros((2, 3), np.uint8)},
            "Layer 'fc2': its m, n and Z are missing; there are conv1, fc1, fc2",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), 130.5)},
            "Layer 'conv1': weights must be integers 0 to 255, but some are fractions; "
            "store the quantized weights, zero point included",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), np.nan)},
            "Layer 'conv1': weights must be integers 0 to 255, but some are fractions; "
            "store the quantized weights, zero point included",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), -1)},
            "Layer 'conv1': weights must lie in [0, 255], but reach [-1, -1]; "
            "store them with their zero point added",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), 256)},
            "Layer 'conv1': weights must lie in [0, 255], but reach [256, 256]; "
            "store them with their zero point added",
        ),
        (
            {"fc1.weight": np.zeros((2, 1, 3))},
            "Layer 'fc1': weights must be numbers (OC, IC, KH, KW) or (OC, IC), "
            "not float64 [2, 1, 3]",
        ),
        (
            {"conv1.weight": np.full((2, 1, 3, 3), "x")},
            "Layer 'conv1': weights must be numbers (OC, IC, KH, KW) or (OC, IC), "
            "not <U1 [2, 1, 3, 3]",
        ),
        (
            {"conv1.weight": np.zeros((2, 1), np.uint8)},
            "Layer 'conv1': the first layer must be a convolution with weights "
            "(OC, IC, KH, KW), not [2, 1]",
        ),
        (
            {"conv1.bias": np.zeros(3)},
            "Layer 'conv1': biases must be 2 numbers, not [3]",
        ),
        (
            {"conv1.bias": np.array([np.inf, 0])},
            "Layer 'conv1': biases must be finite numbers, not float64 "
            "or some that are infinite or none",
        ),
        (
            {"conv1.bias": np.array([1e30, 0])},
            "Layer 'conv1': biases must fit 32 bits after rounding, but reach 1.04858e+34; "
            "take a smaller gain",
        ),
        (
            {"fc1.weight": np.zeros((3, 9), np.uint8)},
            f"Layer 'fc1': its weights take 9 values, but 8 come in; {ORDER}",
        ),
        (
            {"fc1.weight": np.zeros((3, 2, 3, 3), np.uint8)},
            "Layer 'fc1': the kernel does not fit its input; make the map larger or pad it",
        ),
        (
            {"fc1.weight": np.zeros((3, 4, 1, 1), np.uint8)},
            f"Layer 'fc1': its weights take 4 channels, but 2 come in; {ORDER}",
        ),
    ],
)
def test_bad_arrays_are_refused_by_name(changes, message):
    assert refusal(SMALL | changes) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"conv9": (1, 1, 1)},
            "Layer 'conv9': it is not in the state dict; there are conv1, fc1",
        ),
        (
            {"conv1": (1, 1)},
            "Layer 'conv1': m, n and Z must be three integers, not [1, 1]",
        ),
        (
            {"conv1": (1, 1, 0.5)},
            "Layer 'conv1': m, n and Z must be three integers, not [1, 1, 0.5]",
        ),
        ({"fc1": (0, 1, 1)}, "Layer 'fc1': m must be 1 to 2147483647, not 0"),
        ({"fc1": (1 << 31, 1, 1)}, "Layer 'fc1': m must be 1 to 2147483647, not 2147483648"),
        ({"fc1": (1, 62, 1)}, "Layer 'fc1': n must be 0 to 61, not 62"),
        ({"fc1": (1, 1, 256)}, "Layer 'fc1': Z must be 0 to 255, not 256"),
        (
            {"conv1": (1 << 30, 0, 128)},
            "Layer 'conv1': outputs can reach [0, 4928474972160], outside int32; check its m and n",
        ),
        (
            {"conv1": (1 << 12, 0, 0)},
            "Layer 'fc1': the accumulator can reach [-78210662400, 0], outside int32; "
            "take a smaller gain, or a smaller m with its n",
        ),
    ],
)
def test_bad_triples_are_refused_by_layer(changes, message):
    assert refusal(triples=TRIPLES | changes) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gain": 0}, "gain must be positive and finite, not 0"),
        ({"gain": float("inf")}, "gain must be positive and finite, not inf"),
        ({"size": (0, 4)}, "size must be rows and columns, at least 1, not [0, 4]"),
        ({"max_bits": 1}, "max_bits must be 2 to 32, not 1"),
        ({"max_bits": 33}, "max_bits must be 2 to 32, not 33"),
        ({"paddings": (-1,)}, "paddings must be at least 0, not [-1]"),
        ({"name": "a-b"}, "Network name must be letters, digits and underscores, not 'a-b'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    assert refusal(**arguments) == message


def test_an_empty_state_dict_is_refused():
    message = "The state dict is empty; it must hold conv1.weight and so on"
    assert refusal({}) == message
