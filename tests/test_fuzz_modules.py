"""Random PyTorch modules through every front end, against their source on every element.

The float graph equals the module in float64; QatNet's integers, a PT2E program's and ONNX Runtime's
equal the integer network on every element. `--graphs N` draws N modules instead of 15. What a front
end refuses it must refuse by a NetworkError; how many were read is checked, so that the comparison
cannot become empty.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
import pt2erun  # noqa: E402
from fuzzedmodule import Fuzzed, Gridded, onnx_nodes  # noqa: E402
from modulefuzz import IMAGE, random_steps  # noqa: E402
from onnxgen import Model, images, quantized  # noqa: E402
from tercet.model.float.ptq import graph as g  # noqa: E402
from tercet.model.float.ptq.execute import trace  # noqa: E402
from tercet.model.float.ptq.graph import fold, fuse  # noqa: E402
from tercet.model.float.qat.network import QatNet  # noqa: E402
from tercet.model.frontends import onnx_float, pt2e  # noqa: E402
from tercet.model.frontends.onnx import read  # noqa: E402
from tercet.model.frontends.onnx.session import session_trace  # noqa: E402
from tercet.model.frontends.torch_export import graph_of  # noqa: E402
from tercet.model.layers import NetworkError, Requantizing  # noqa: E402

pytestmark = pytest.mark.torch
GROUP = 15  # modules of one test: so many that some are read whatever the seed


def pytest_generate_tests(metafunc):
    count = metafunc.config.getoption("--graphs")
    if "first" in metafunc.fixturenames:
        metafunc.parametrize("first", range(0, count, GROUP))


def check_graph(module, images):
    """The float graph computes what the module does."""
    check_traced(fold(fuse(graph_of(module, IMAGE, "net"))), module, images)


def check_float_onnx(module, images, rng):
    """The float graph of the module's ONNX model computes what the module does."""
    model = Model(rng, IMAGE)
    source = model.proto(onnx_nodes(module, model, fold=False)).SerializeToString()
    check_traced(fold(fuse(onnx_float.graph_of(source))), module, images, within=1e-7)


def check_traced(graph, module, images, within=1e-9):
    """A folded graph gives the module's scores; epsilon is a float32 in ONNX."""
    real = images.to(torch.float64) / 255
    with torch.no_grad():
        ours = trace(graph, real)
        theirs = deepcopy(module).double()(real)
    np.testing.assert_allclose(
        ours[graph.output].reshape(theirs.shape), theirs, rtol=within, atol=within
    )


def check_fake_quantized(module, images):
    """QatNet's integers, computed in PyTorch's order, and those of the network it lowers to."""
    pixels = images.permute(0, 2, 3, 1).numpy()
    net = QatNet.of(graph_of(module, IMAGE, "net"), pixels).double().eval()
    network = net.lower()
    theirs, ours = net.integers(pixels), network.trace(pixels)
    for node in net.graph.nodes:
        name = network.output if node.name == net.graph.output else node.name
        if isinstance(node, g.Weighted) and name in ours:
            np.testing.assert_array_equal(ours[name].astype(np.int64), theirs[node.name])
        if isinstance(node, g.AvgPool) and name in ours:  # behind a view, in another order
            ours_sorted, theirs_sorted = (
                np.sort(values.reshape(len(pixels), -1).astype(np.int64))
                for values in (ours[name], theirs[node.name])
            )
            np.testing.assert_array_equal(ours_sorted, theirs_sorted)
    scores = theirs[net.graph.output]
    np.testing.assert_array_equal(ours[network.output].reshape(scores.shape), scores)


def check_program(module, images):
    """A PT2E program in float64, every quantize node."""
    real = images.to(torch.float32) / 64 - 1.5
    program = torch.export.export(Gridded(module.steps, module.seed, real).eval(), (real,))
    network = pt2e.read(program, "net")
    theirs = pt2erun.trace(program, real, exact=True)
    ours = network.trace(theirs["image"])
    tied = set()  # the tensors that ties without a rule reach, see pt2e/network.py
    for layer in network.layers:
        ties = isinstance(layer, Requantizing) and layer.requant.reference is None
        if ties or tied & {*layer.reads}:
            tied.add(layer.output)
    for name, values in theirs.items():
        if name not in tied:
            np.testing.assert_array_equal(ours[name], values, err_msg=name)


def check_onnx(module, rng, folder, form):
    """A model quantized by ONNX Runtime, every tensor as its session computes it."""
    model = Model(rng, IMAGE)
    batch = images(rng, IMAGE, 24)
    source = quantized(model.proto(onnx_nodes(module, model)), folder, batch, form=form)
    theirs, network = session_trace(source, batch), read(source)
    ours = network.trace(theirs["image"])
    assert network.output in theirs
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values, err_msg=name)


CHECKS = {
    "float": lambda module, pixels, rng, folder: check_graph(module, pixels),
    "ONNX": lambda module, pixels, rng, folder: check_float_onnx(module, pixels, rng),
    "trained": lambda module, pixels, rng, folder: check_fake_quantized(module, pixels),
    "program": lambda module, pixels, rng, folder: check_program(module, pixels),
    "QDQ": lambda module, pixels, rng, folder: check_onnx(module, rng, folder, "QDQ"),
    "QOperator": lambda module, pixels, rng, folder: check_onnx(module, rng, folder, "QOperator"),
}


def test_modules_equal_their_source(first, seed, tmp_path):
    done: Counter[str] = Counter()
    refusals = []
    for case in range(first, first + GROUP):
        rng = np.random.default_rng([seed, case])
        steps = random_steps(rng)
        pixels = torch.from_numpy(rng.integers(0, 256, (6, *IMAGE), dtype=np.uint8))
        for name, check in CHECKS.items():
            try:
                check(Fuzzed(steps, case), pixels, rng, tmp_path)
                done[name] += 1
            except NetworkError as error:
                refusals.append(f"{case} {name}: {error}")
            except AssertionError as error:
                raise AssertionError(f"module {case}, {name}: {steps}") from error
    assert all(done[name] >= 2 for name in CHECKS), refusals
