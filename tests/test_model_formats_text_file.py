"""Networks as text: the same network back, and every way to spoil a text told with its line."""

from dataclasses import replace

import numpy as np
import pytest
from randomnets import random_concat, random_network
from residualnet import residual
from smallnet import TENSORS, network
from tablenet import tables
from tercet.model import NetworkError, QNetwork, load
from tercet.model.formats.json_file import dumps as json_of
from tercet.model.formats.json_layers import KINDS
from tercet.model.formats.text_fields import fields_of
from tercet.model.formats.text_file import dumps, loads, read
from tercet.model.layers import Argmax
from unet import unet


def assert_same(net):
    text = dumps(net)
    assert json_of(loads(text)) == json_of(net)
    assert dumps(loads(text)) == text


@pytest.mark.parametrize("case", range(20))
def test_a_network_comes_back_as_it_was(seed, case):
    rng = np.random.default_rng([seed, case])
    assert_same(random_network(rng, windows=bool(case % 2), symmetric=False, bias=True))


@pytest.mark.parametrize("name", ["separable", "lenet_avg"])
def test_shipped_networks_come_back(name):
    assert_same(load(name))


def test_every_kind_of_layer_comes_back(seed):
    rng = np.random.default_rng(seed)
    nets = [residual(rng), random_concat(rng), tables(rng), unet(rng)]
    assert {layer.kind for net in nets for layer in net.layers} == set(KINDS)
    for net in nets:
        assert_same(net)
    for kind in KINDS:
        assert fields_of(kind, 1)


def test_offsets_and_references_come_back():
    requant = replace(network().layers[0].requant, offsets=(1, -2, 0, 9), reference="half_even")
    assert_same(network({"requant": requant}))
    assert "\n  reference half_even\n  offsets 1 -2 0 9\n" in dumps(network({"requant": requant}))


def test_names_of_tensors_may_have_any_characters():
    odd = ["", "a b", 'say "x"', "#1", "end", "ä\n\\", "none"]
    first, second, last = network().layers
    for name in odd:
        tensors = {key: t for key, t in TENSORS.items() if key != "map"}
        tensors[name] = replace(TENSORS["map"], name=name)
        layers = [replace(first, output=name), replace(second, input=name), last]
        assert_same(QNetwork("net", "image", tensors, layers))


@pytest.mark.parametrize("scale", [5e-324, 0.1, 1 / 3, 1e300, 12345678.9, 1e22])
def test_a_scale_comes_back_to_the_last_bit(scale):
    net = network(tensors=TENSORS | {"map": replace(TENSORS["map"], scale=scale)})
    assert loads(dumps(net)).tensors["map"].scale == scale


TEXT = dumps(network())
LINES = TEXT.split("\n")


def test_a_person_can_read_the_text():
    assert LINES[:8] == [
        "tercet-text 1",
        "network net",
        "input image",
        "",
        "tensor image",
        "  shape 7 9 2",
        "  type uint8",
        "  scale 0.1",
    ]
    start = LINES.index("layer first conv2d")
    assert LINES[start : start + 21] == [
        "layer first conv2d",
        "  input image",
        "  output map",
        "  stride 3 3",
        "  padding 0 0 0 0",
        "  dilation 1 1",
        "  groups 1",
        "  weight_type int8",
        "  weight_scales 0.5",
        "  weight_zero_points 0",
        "  weight_shape 4 3 3 2",
        *(f"  channel {number}" + " 1" * 18 for number in range(4)),
        "  bias 0 0 0 0",
        "  multipliers 1 2 3 4",
        "  shift 5",
        "  rounding half_even",
        "  clamp 0 255",
        "  reference none",
    ]
    assert LINES[-4:] == ["  output class", "", "end", ""]


def test_comments_blanks_and_the_order_of_fields_mean_nothing():
    start, end = LINES.index("layer first conv2d") + 1, LINES.index("layer second conv2d")
    turned = [*LINES[:start], *LINES[end - 2 : start + 14 : -1], *LINES[start : start + 15]]
    turned = [f"\t {line}  # said twice \r" for line in [*turned, *LINES[end:]]]
    assert json_of(loads("\n".join(["# a note", "", *turned]))) == json_of(network())


def edited(old, new):
    """TEXT with its line ``old`` exchanged."""
    at = LINES.index(old)
    return "\n".join([*LINES[:at], new, *LINES[at + 1 :]])


def refusal(text):
    with pytest.raises(NetworkError) as caught:
        loads(text)
    return str(caught.value)


ONES = " ".join("1" * 18)
BAD = [
    (
        "tercet-text 1",
        "tercet-text 2",
        "line 1: a file begins with 'tercet-text 1', not 'tercet-text 2'",
    ),
    ("network net", "network a b", "line 2: network takes one word, not 2"),
    ("network net", "net net", "line 2: 'net' is no field of the header; there are network, input"),
    ("network net", "network net\ninput image", "line 4: 'input' stands twice in the header"),
    ("tensor map", "tensor image", "line 11: there is a tensor 'image' already"),
    ("tensor map", "tensor a b", "line 11: tensor takes NAME, not 'a b'"),
    ("tensor map", "tensor", "line 11: tensor takes NAME, not ''"),
    ("  shape 2 3 4", "  shape 2 3", "line 12: shape takes 3 of them, not 2"),
    ("  shape 2 3 4", "  shape 2 3 4.0", "line 12: shape must be integers, not '4.0'"),
    ("  shape 2 3 4", "  shape 2 3 \uff14", "line 12: shape must be integers, not '\uff14'"),
    ("  shape 2 3 4", "", "line 11: 'shape' is missing in tensor 'map'"),
    ("  scale 0.2", "  scale 0x2", "line 14: scale must be decimal numbers, not '0x2'"),
    ("  scale 0.2", "  scale nan", "line 14: scale must be decimal numbers, not 'nan'"),
    ("  scale 0.2", "  scale 0.2 0.3", "line 14: scale takes one word, not 2"),
    (
        "  scale 0.2",
        "  size 0.2",
        "line 14: 'size' is no field of tensor 'map'; there are shape, type, scale, zero_point",
    ),
    ("  scale 0.2", '  scale "0.2', "line 14: a quotation mark is not closed"),
    ("  scale 0.2", '  scale "\\x"', 'line 14: "\\x" is no text in double quotes'),
    (
        "layer first conv2d",
        "layer first conv3d",
        "line 29: there is no layer kind 'conv3d'; there are conv2d, linear, max_pool2d, "
        "avg_pool2d, add, concat, relu, table, upsample, flatten, argmax",
    ),
    ("layer first conv2d", "layer first", "line 29: layer takes NAME KIND, not 'first'"),
    (
        "layer first conv2d",
        "layer first relu",
        "line 32: 'stride' is no field of layer 'first'; there are input, output, low, high",
    ),
    (
        "  stride 3 3",
        "  kernel 3 3",
        "line 32: 'kernel' is no field of layer 'first'; there are input, output, "
        "stride, padding, dilation, groups, weight_type, weight_scales, "
        "weight_zero_points, weight_shape, channel, bias, multipliers, shift, rounding, "
        "clamp, reference, offsets",
    ),
    ("  stride 3 3", "", "line 29: 'stride' is missing in layer 'first'"),
    (
        "  stride 3 3",
        "  stride 3 3\n  stride 3 3",
        "line 33: 'stride' stands twice in layer 'first'",
    ),
    (
        "  weight_shape 4 3 3 2",
        "  weight_shape 4 18",
        "line 29: weight_shape of layer 'first' must be 4 extents, at least 1, not [4, 18]",
    ),
    (
        "  weight_shape 4 3 3 2",
        "  weight_shape 4 3 3 0",
        "line 29: weight_shape of layer 'first' must be 4 extents, at least 1, not [4, 3, 3, 0]",
    ),
    (
        "  weight_shape 4 3 3 2",
        "  weight_shape 5 3 3 2",
        "line 29: layer 'first' must have 5 channel lines as its weight_shape says, not 4",
    ),
    (
        "  weight_shape 4 3 3 2",
        "  weight_shape 4 3 3 1",
        "line 40: channel 0 must have 9 weights as weight_shape says, not 18",
    ),
    ("  channel 2 " + ONES, "", "line 43: channel 2 must come here, not 3"),
    (
        "  channel 2 " + ONES,
        "  channel 2 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "line 42: channel 2 must have 18 weights as weight_shape says, not 17",
    ),
    (
        "  channel 2 " + ONES,
        "  channel 2 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 128",
        "line 29: Layer 'first': weights must lie in [-128, 127] as int8 does, but reach [1, 128]",
    ),
    ("  channel 2 " + ONES, "  channel 1 " + ONES, "line 42: channel 2 must come here, not 1"),
    ("  channel 2 " + ONES, "  channel", "line 42: channel takes at least one of them, not 0"),
    (
        "  bias 0 0 0 0",
        "  bias 0 0 0",
        "line 29: Layer 'first': bias must be 4 int32 values, not 3 or some out of range",
    ),
    (
        "  bias 0 0 0 0",
        "  bias 0 0 0 99999999999999999999",
        "line 29: Layer 'first': field 'bias' must hold integers of at most 64 bits",
    ),
    (
        "  bias 0 0 0 0",
        "  bias 0 0 0 99999999999999999999999999999999999999999999999999",
        "line 44: bias must be integers, not '9999999999999999999999999999999999999...'",
    ),
    (
        "  multipliers 1 2 3 4",
        "  multipliers 0 2 3 4",
        "line 29: Layer 'first': multiplier must be 1 to 2147483647, not 0",
    ),
    (
        "  multipliers 1 2 3 4",
        "  multipliers",
        "line 45: multipliers takes at least one of them, not 0",
    ),
    ("  shift 5", "  shift 62", "line 29: Layer 'first': shift must be 0 to 61, not 62"),
    (
        "  rounding half_even",
        "  rounding up",
        "line 29: Layer 'first': requant: field 'rounding' must be one of half_even, "
        "half_up, half_away, floor, float32, not 'up'",
    ),
    (
        "  zero_point 17",
        "  zero_point 256",
        "line 17: Tensor 'logits': zero_point must lie in [0, 255] as uint8 does, not 256",
    ),
    ("layer second conv2d", "layer first conv2d", "line 51: Layer 'first': the name is used twice"),
    ("end", "end\nbias 1", "line 79: nothing may follow 'end', not 'bias'"),
    ("end", "end 1", "line 78: 'end' is no field of layer 'best'; there are input, output"),
    ("end", "", "line 76: the text breaks off here, without 'end'"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD)
def test_what_is_wrong_is_told_with_its_line(old, new, message):
    assert refusal(edited(old, new)) == message


def test_a_truncated_text_is_refused_wherever_it_ends():
    for end in range(len(TEXT) - 2):
        message = refusal(TEXT[:end])
        assert message.startswith("line ")
    loads(TEXT[:-1])


def test_what_belongs_to_no_line_is_told_without_one():
    layers = [line for line in LINES if line in LINES[: LINES.index("layer first conv2d")]]
    assert refusal("\n".join([*layers, "end"])) == "Network 'net': layers must not be empty"


def test_a_missing_header_is_told():
    assert refusal(edited("input image", "")) == "line 1: 'input' is missing in the header"
    assert refusal("") == "line 1: a file begins with 'tercet-text 1'"


def test_files_are_read_by_their_path(tmp_path):
    path = tmp_path / "net.txt"
    path.write_text(TEXT)
    assert json_of(read(path)) == json_of(network())
    assert json_of(read(path, "other")) == json_of(network(name="other"))
    cases = [
        (TEXT[:5].encode(), f"{path}: line 1: a file begins with 'tercet-text 1', not 'terce'"),
        (b"\xff", f"The text file {path} cannot be read: it is not UTF-8 text"),
        (None, f"The text file {path} cannot be read: No such file or directory"),
    ]
    for content, message in cases:
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(NetworkError) as caught:
            read(path)
        assert str(caught.value) == message


def test_the_closing_argmax_has_no_fields_of_its_own():
    assert isinstance(loads(TEXT).layers[-1], Argmax)
