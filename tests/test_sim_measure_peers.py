"""Other generators on the same integers: the way there and back, and bit-exactness of each."""

import json
from importlib import metadata

import numpy as np
import pytest
from tercet.model import QNetwork, load
from tercet.model.dtypes import IntType
from tercet.model.layers import Tensor
from tercet.model.layers.conv import Conv2d
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding
from tercet.sim.measure.peers import run as peers
from tercet.sim.measure.peers.chain import PeerError, chain_of
from tercet.sim.measure.peers.icarus import run_unrolled
from tercet.sim.measure.peers.request import Facts, answer
from tercet.sim.measure.peers.run import PEERS, run_peer

UINT8, INT8 = IntType(8, signed=False), IntType(8, signed=True)


def conv(rng, name, source, target, shape):
    """A convolution of stride 2 with random weights and biases."""
    weights = Weights(rng.integers(-60, 61, shape), INT8, (1.0,))
    bias = rng.integers(-500, 500, shape[0])
    requant = Requant((int(rng.integers(20000, 60000)),), 24, Rounding.HALF_UP, 0, 255)
    return Conv2d(
        name=name,
        input=source,
        output=target,
        weights=weights,
        bias=bias,
        requant=requant,
        stride=(2, 2),
    )


def chain(rng):
    """5 x 4 x 1 to 2 x 2 x 2 to 1 x 1 x 3: zero points at both ends, a bias, a row left over."""
    tensors = [
        Tensor("image", (5, 4, 1), UINT8, 1.0, 7),
        Tensor("map", (2, 2, 2), UINT8, 1.0, 0),
        Tensor("scores", (1, 1, 3), UINT8, 1.0, 90),
    ]
    layers = (
        conv(rng, "first", "image", "map", (2, 2, 2, 1)),
        conv(rng, "second", "map", "scores", (3, 2, 2, 2)),
    )
    return QNetwork("chain", "image", {tensor.name: tensor for tensor in tensors}, layers)


def test_a_chain_is_the_network_in_plain_numbers(seed):
    """Its own arithmetic, written out, gives the golden model's scores."""
    network = chain(np.random.default_rng(seed))
    images = np.random.default_rng(seed + 1).integers(0, 256, (20, 5, 4, 1))
    values = images
    for layer in chain_of(network):
        count, height, width, channels = values.shape
        size = layer.weights.shape[1]
        height, width = height // size, width // size
        covered = values[:, : height * size, : width * size]
        patches = covered.reshape(count, height, size, width, size, channels)
        patches = patches.transpose(0, 1, 3, 2, 4, 5).reshape(count, height, width, -1)
        sums = patches @ layer.weights.reshape(len(layer.weights), -1).T + layer.bias
        rounded = (sums * layer.multipliers + (1 << layer.shift - 1)) >> layer.shift
        values = np.clip(rounded + layer.zero_point, layer.low, layer.high)
    assert np.array_equal(values.reshape(20, 3), network(images))
    assert len(np.unique(values)) > 10


def test_other_layers_are_refused():
    message = (
        r"^Layer 'conv1': the peers are given plain convolutions whose stride is their kernel; "
        r"compare on the network `plain`$"
    )
    with pytest.raises(PeerError, match=message):
        chain_of(load("lenet_avg"))


def test_a_peer_that_is_absent_says_how_to_get_it(monkeypatch, tmp_path):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    message = (
        r"^needs the package 'nngen', which is not installed; get it with: pip install .*peers"
    )
    with pytest.raises(PeerError, match=message):
        run_peer("nngen", load("plain"), np.zeros((1, 28, 28, 1)), tmp_path)


def test_a_peer_that_fails_is_told_with_its_last_line(monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "version_of", lambda peer: "1")
    monkeypatch.setitem(PEERS, "nngen", "tercet.sim.no_such_module")
    message = r"^nngen failed with exit code 1: .*No module named tercet\.sim\.no_such_module$"
    with pytest.raises(PeerError, match=message):
        run_peer("nngen", load("plain"), np.zeros((1, 28, 28, 1), dtype=np.uint8), tmp_path)


def test_an_answer_lies_beside_its_request(tmp_path):
    asked = {"network": "plain", "images": [[[[5]]]]}
    (tmp_path / "request.json").write_text(json.dumps(asked))
    seen = []

    def run(request):
        seen.append((request.network.name, request.images.tolist(), request.folder))
        return Facts("top", "how", 1.0, 2.0, 3, 4, [[5]])

    answer(run, [str(tmp_path / "request.json")])
    assert seen == [("plain", [[[[5]]]], tmp_path)]
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["scores"] == [[5]]
    assert facts["cycles_per_image"] == 3


def test_scores_that_differ_are_counted(monkeypatch, seed):
    network = chain(np.random.default_rng(seed))
    images = np.random.default_rng(seed).integers(0, 256, (4, 5, 4, 1))
    scores = network(images).copy()
    scores[2, 1] += 1
    found = peers._compared(network, images, {"scores": scores.tolist()})
    assert found == {"images": 4, "values_compared": 12, "mismatches": 1}


PIPELINE = """
module swap(input clk, input [15:0] model_inp, output reg [12:0] model_out);
  reg [15:0] held;
  always @(posedge clk) begin
    held <= model_inp;
    model_out <= {held[7:0], held[12:8]};
  end
endmodule
"""


@pytest.mark.icarus
def test_images_pass_through_one_a_clock(tmp_path):
    (tmp_path / "core.v").write_text(PIPELINE)
    images = np.array([[255, 1], [2, 31], [0, 4]])
    scores = run_unrolled(tmp_path, "swap", images, [5, 8], 2)
    assert scores == [[1, 255], [31, 2], [4, 0]]
    with pytest.raises(PeerError, match=r"^iverilog failed: "):
        run_unrolled(tmp_path, "missing", images, [5, 8], 2)


@pytest.mark.icarus
@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_gives_the_same_integers(peer, tmp_path, seed):
    pytest.importorskip(peer, reason=f"{peer} is not installed")
    network = chain(np.random.default_rng(seed))
    images = np.random.default_rng(seed + 1).integers(0, 256, (3, 5, 4, 1), dtype=np.uint8)
    facts = run_peer(peer, network, images, tmp_path)
    assert (facts["images"], facts["values_compared"], facts["mismatches"]) == (3, 9, 0)
    assert f"module {facts['top']}" in (tmp_path / "core.v").read_text()
    assert facts["cycles_per_image"] >= 1
    assert facts["emission_cpu_s"] > 0
    assert facts["peak_mib"] > 10
