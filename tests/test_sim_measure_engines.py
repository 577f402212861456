"""The engines that the bench measures compute the network that they were made from."""

import numpy as np
import pytest
from tercet.model import NetworkError, load
from tercet.model.data import digits_for_simulation, fit_to
from tercet.model.float.nets.nets import load as load_float
from tercet.sim.measure.engines import ENGINES

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["plain", "separable", "lenet_max", "mnist_cnn_bn"])
def test_an_engine_classifies_as_the_golden_model_does(name, engine):
    network = load(name)
    images = fit_to(digits_for_simulation(300).images, network.tensors[network.input].shape)
    ours = network(images).argmax(axis=1)
    pixels = images.reshape(300, *network.tensors[network.input].shape).transpose(0, 3, 1, 2)
    pixels = np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255)
    run = ENGINES[engine](load_float(name).module(), pixels)
    scores = run(pixels)
    assert scores.shape == (300, 10)
    # each has scales of its own, so a digit on the edge may fall on either side
    assert (scores.argmax(axis=1) == ours).mean() >= 0.95
    assert engine != "torch" or torch.get_num_threads() == 1


def test_blocks_inside_a_network_are_refused_in_a_sentence():
    blocks = torch.nn.Sequential(torch.nn.Sequential(torch.nn.ReLU()))
    with pytest.raises(NetworkError) as caught:
        ENGINES["torch"](blocks, np.zeros((1, 1, 2, 2), np.float32))
    assert str(caught.value) == (
        "the bench quantizes chains of layers only; this network has blocks inside, "
        "measure another one"
    )
