"""What tensors and layers refuse, message by message, and what they tell about themselves."""

from dataclasses import replace

import numpy as np
import pytest
from smallnet import ARGMAX, FIRST, SECOND, TENSORS, changed, network, without
from tercet.model import NetworkError
from tercet.model.dtypes import IntType
from tercet.model.fuzz.draws import INT8
from tercet.model.layers import Layer
from tercet.model.layers.weights import Weights


def weights(shape=(4, 3, 3, 2), value=1, **fields):
    values = np.full(shape, value)
    return {"weights": replace(FIRST.weights, values=values, **fields)}


REFUSED = [
    # weights
    (
        {"first": weights((4, 3, 3))},
        "Layer 'first': weights must have the shape (OC, KH, KW, IC / groups), not [4, 3, 3]",
    ),
    (
        {"first": weights(())},
        "Layer 'first': weights must have the shape (OC, KH, KW, IC / groups), not []",
    ),
    (
        {"first": weights((4, 0, 3, 2))},
        "Layer 'first': weights must have the shape (OC, KH, KW, IC / groups), not [4, 0, 3, 2]",
    ),
    (
        {"first": weights(dtype=IntType(9, signed=True))},
        "Layer 'first': weights must have 2 to 8 bits, not 9",
    ),
    (
        {"first": weights(dtype=IntType(1, signed=False))},
        "Layer 'first': weights must have 2 to 8 bits, not 1",
    ),
    (
        {"first": weights(value=128)},
        "Layer 'first': weights must lie in [-128, 127] as int8 does, but reach [128, 128]",
    ),
    (
        {"first": weights(value=-129)},
        "Layer 'first': weights must lie in [-128, 127] as int8 does, but reach [-129, -129]",
    ),
    (
        {"first": weights(scales=(0.5,) * 3)},
        "Layer 'first': weight scales must number 1 or 4, not 3",
    ),
    ({"first": weights(scales=())}, "Layer 'first': weight scales must number 1 or 4, not 0"),
    (
        {"first": weights(zero_points=(0,) * 5)},
        "Layer 'first': weight zero_points must number 1 or 4, not 5",
    ),
    (
        {"first": weights(zero_points=(0, 0, 128, 0))},
        "Layer 'first': weight zero_points must lie in [-128, 127], not [0, 0, 128, 0]",
    ),
    *(
        (
            {"first": weights(scales=(0.5, 0.5, scale, 0.5))},
            f"Layer 'first': weight scale must be positive and finite, not {scale}",
        )
        for scale in (0.0, -0.5, float("inf"), float("nan"))
    ),
    *(
        (
            {"first": {"bias": np.array(bias)}},
            f"Layer 'first': bias must be 4 int32 values, not {len(bias)} or some out of range",
        )
        for bias in ([0, 0, 0], [0, 0, 0, 1 << 31], [0, 0, 0, 0, 0], [-(1 << 31) - 1, 0, 0, 0])
    ),
    # geometry
    (
        {"first": {"stride": (0, 3)}},
        "Layer 'first': stride and dilation must be at least 1, not [0, 3] and [1, 1]",
    ),
    (
        {"first": {"dilation": (1, -1)}},
        "Layer 'first': stride and dilation must be at least 1, not [3, 3] and [1, -1]",
    ),
    (
        {"first": {"padding": (0, 0, -1, 0)}},
        "Layer 'first': padding must be at least 0, not [0, 0, -1, 0]",
    ),
    *(
        (
            {"first": {"groups": groups, "bias": np.zeros(shape[0], int)} | weights(shape)},
            f"Layer 'first': groups={groups} must divide {shape[0]} output channels and split the "
            f"2 channels of 'image' into the {shape[3]} of the weights",
        )
        for groups, shape in [
            *[(0, (4, 3, 3, 2)), (2, (4, 3, 3, 2)), (1, (4, 3, 3, 1))],
            *[(1, (4, 3, 3, 3)), (2, (3, 3, 3, 1)), (-1, (4, 3, 3, 2))],
        ]
    ),
    (
        {"first": weights((4, 8, 3, 2))},
        "Layer 'first': the kernel 8x3 does not fit the 7x9 map of 'image'",
    ),
    (
        {"first": {"dilation": (1, 5)}},
        "Layer 'first': the kernel 3x3 does not fit the 7x9 map of 'image'",
    ),
    (
        {"first": {"stride": (3, 2)}},
        "Layer 'first': output 'map' must have the shape [2, 4, 4], not [2, 3, 4]",
    ),
    (
        changed("map", shape=(2, 3, 5)),
        "Layer 'first': output 'map' must have the shape [2, 3, 4], not [2, 3, 5]",
    ),
    # numbers
    (
        {"first": {"requant": replace(FIRST.requant, multipliers=(1, 2))}},
        "Layer 'first': multipliers must number 1 or 4, not 2",
    ),
    (
        {"first": {"requant": replace(FIRST.requant, multipliers=())}},
        "Layer 'first': multipliers must number 1 or 4, not 0",
    ),
    (
        {"first": {"requant": replace(FIRST.requant, high=256)}},
        "Layer 'first': the clamp [0, 256] must lie in [0, 255] as uint8 of 'map' does",
    ),
    (
        {"first": {"requant": replace(FIRST.requant, low=-1)}},
        "Layer 'first': the clamp [-1, 255] must lie in [0, 255] as uint8 of 'map' does",
    ),
    (
        # 18 * 252 = 4536 above the bias
        {"first": {"bias": np.array([0, 0, (1 << 31) - 4536, -54])}},
        "Layer 'first': the accumulator can reach [-108, 2147483648], outside int32; "
        "use fewer input channels or narrower weights",
    ),
    (
        {"first": {"bias": np.array([0, -(1 << 31) + 53, 0, 0])}},
        "Layer 'first': the accumulator can reach [-2147483649, 4536], outside int32; "
        "use fewer input channels or narrower weights",
    ),
    # argmax
    (
        {"layers": [FIRST, replace(ARGMAX, input="map")], **without("logits")},
        "Layer 'best': input 'map' must be one position (1, 1, C), not [2, 3, 4]",
    ),
    *(
        (
            changed("class", **fields),
            "Layer 'best': output 'class' must be one integer that holds 0 to 4",
        )
        for fields in (
            {"shape": (1, 1, 2)},
            {"dtype": IntType(2, signed=False)},
            {"dtype": IntType(3, signed=True)},
        )
    ),
]


@pytest.mark.parametrize(("parts", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_layer_that_breaks_a_rule_is_refused(parts, message):
    with pytest.raises(NetworkError) as caught:
        network(**parts)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "parts",
    [
        {"first": {"bias": np.array([(1 << 31) - 4537, 0, 0, -(1 << 31) + 54])}},
        changed("class", dtype=IntType(4, signed=True)),
        {"first": weights(value=-128)},
        {"first": weights(dtype=IntType(2, signed=True))},
        {"first": weights(scales=(0.1, 0.2, 0.3, 0.4), zero_points=(1, 2, -128, 127))},
        {"first": {"padding": (0, 0, 1, 2)}},  # the tail swallows it
        {"first": {"groups": 2} | weights((4, 3, 3, 1))},
    ],
)
def test_what_lies_on_the_edge_of_a_rule_is_allowed(parts):
    network(**parts)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        *(
            (
                {"shape": shape},
                f"Tensor 'map': shape must be three positive extents (H, W, C), not {list(shape)}",
            )
            for shape in ((3, 4), (1, 1, 1, 1), (0, 1, 1), (1, 1, -1), ())
        ),
        *(
            ({"scale": scale}, f"Tensor 'map': scale must be positive and finite, not {scale}")
            for scale in (0.0, -1.5, float("inf"), float("-inf"), float("nan"))
        ),
        *(
            (
                {"zero_point": zero_point},
                f"Tensor 'map': zero_point must lie in [0, 255] as uint8 does, not {zero_point}",
            )
            for zero_point in (-1, 256)
        ),
    ],
)
def test_a_tensor_that_breaks_a_rule_is_refused(fields, message):
    with pytest.raises(NetworkError) as caught:
        replace(TENSORS["map"], **fields)
    assert str(caught.value) == message


def test_weights_and_bias_cannot_be_changed_behind_the_networks_back():
    values, bias = np.ones((4, 3, 3, 2), dtype=np.int64), np.zeros(4, dtype=np.int64)
    net = network({"weights": Weights(values, INT8, (0.5,)), "bias": bias})
    values[:] = 2
    bias[:] = 3
    conv = net.layers[0]
    assert (conv.weights.values == 1).all()
    assert (conv.bias == 0).all()
    for array in (conv.weights.values, conv.bias):
        with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
            array[:] = 1


def test_a_layer_tells_its_sizes():
    assert FIRST.out_channels == 4
    assert FIRST.kernel == (3, 3)
    assert SECOND.kernel == (2, 3)


def test_zero_points_are_subtracted_per_channel():
    shape = (3, 1, 1, 2)
    one = Weights(np.full(shape, 5), INT8, (1.0,), (2,))
    each = Weights(np.full(shape, 5), INT8, (1.0,), (0, 1, -3))
    assert one.centered.tolist() == np.full(shape, 3).tolist()
    assert each.centered[:, 0, 0].tolist() == [[5, 5], [4, 4], [8, 8]]


@pytest.mark.parametrize("values", [np.ones((4, 3, 3, 2)), np.ones((4, 3, 3, 2), dtype=bool)])
def test_weights_and_biases_that_are_no_integers_are_refused(values):
    with pytest.raises(TypeError) as caught:
        Weights(values, INT8, (0.5,))
    assert str(caught.value) == f"Weights must be integers, not {values.dtype}"
    with pytest.raises(TypeError) as caught:
        replace(FIRST, bias=values[:, 0, 0, 0])
    assert str(caught.value) == f"Bias must be integers, not {values.dtype}"


def test_a_layer_of_no_kind_checks_nothing():
    with pytest.raises(NotImplementedError):
        Layer("layer", "image", "map").validate(network())
