"""What PT2E programs are refused for: one sentence that names layer or node and a way out."""

import warnings
from pathlib import Path

import pytest
from tercet.model.layers import NetworkError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
with warnings.catch_warnings():  # torchao uses torch.jit.script_method as it is imported
    warnings.simplefilter("ignore")
    pytest.importorskip("torchao.quantization.pt2e", reason="torchao is not installed")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

from pt2eprograms import INT8, MARKS, Q, on_grid  # noqa: E402
from tercet.model.frontends.pt2e import read  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = MARKS

WEIGHTS = torch.ones(2, 1, 3, 3, dtype=torch.int8)
SCALES = torch.tensor([0.25, 0.5])
ZEROS = torch.zeros(2, dtype=torch.int64)


class Hand(nn.Module):
    """A program written by hand: ``forward(self, x)`` as a function."""

    def __init__(self, function, buffers):
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(1)
        defaults = {"w": WEIGHTS, "scales": SCALES, "zeros": ZEROS, "bias": torch.zeros(2)}
        for name, values in (defaults | buffers).items():
            self.register_buffer(name, values)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def exported(function, *inputs, **buffers):
    """The exported program of a function, for two images unless there are other inputs."""
    return torch.export.export(Hand(function, buffers).eval(), inputs or (torch.zeros(2, 1, 4, 4),))


def per_channel(net, axis=0):
    """The weights of a net by hand."""
    return Q.dequantize_per_channel(net.w, net.scales, net.zeros, axis, *INT8)


def conv(net, x, bias=None):
    return nn.functional.conv2d(x, per_channel(net), bias)


FUNCTIONS = {
    "unquantized_output": (
        lambda net, x: conv(net, on_grid(x)),
        "Layer 'conv2d': its output, the network's, is not quantized; annotate it in the "
        "quantizer, or say where scores lie by output=Grid(dtype, scale, zero_point)",
    ),
    "unquantized_input": (
        lambda net, x: on_grid(conv(net, x)),
        "Layer 'conv2d': its input 'image' is not quantized; annotate it in the quantizer, both "
        "inputs where there are two",
    ),
    "unquantized_addend": (
        lambda net, x: on_grid(conv(net, y := on_grid(x)) + on_grid(conv(net, y))),
        "Layer 'add': its input 'conv2d' is not quantized; annotate it in the quantizer, both "
        "inputs where there are two",
    ),
    "unquantized_weights": (
        lambda net, x: on_grid(net.conv(on_grid(x))),
        "Layer 'conv': its weights are not quantized; annotate them in the quantizer, and convert "
        "with fold_quantize=True",
    ),
    "unfolded_weights": (
        lambda net, x: on_grid(nn.functional.conv2d(on_grid(x), on_grid(net.conv.weight))),
        "Node 'quantize_per_tensor_1': it quantizes a parameter while the network runs; convert "
        "with fold_quantize=True",
    ),
    "two_grids": (
        lambda net, x: on_grid(on_grid(x, 0.25) + on_grid(x, 0.5)),
        "Layer 'image': 'quantize_per_tensor' and 'quantize_per_tensor_1' quantize its output "
        "in two ways; use one quantization for all its readers",
    ),
    "two_readers": (
        lambda net, x: on_grid(
            on_grid(y := conv(net, on_grid(x)), 0.25) + on_grid(torch.relu(y), 0.25)
        ),
        "Layer 'conv2d': 'quantize_per_tensor_1' and 'quantize_per_tensor_2' quantize its "
        "output in two ways; use one quantization for all its readers",
    ),
    "other_parameters": (
        lambda net, x: Q.dequantize_per_tensor(
            Q.quantize_per_tensor(x, 0.5, 3, *INT8), 0.25, 3, *INT8
        ),
        "Node 'dequantize_per_tensor': it reads scale 0.25 and zero point 3 where "
        "'quantize_per_tensor' wrote 0.5 and 3; convert the program again, without edits",
    ),
    "zero_scale": (
        lambda net, x: on_grid(x, 0.0),
        "Node 'quantize_per_tensor': its scale must be positive and finite, not 0.0; calibrate it "
        "again",
    ),
    "sixteen_bits": (
        lambda net, x: on_grid(x, dtype=(-32768, 32767, torch.int16)),
        "Node 'quantize_per_tensor': its integers are int16 in [-32768, 32767]; choose int8 or "
        "uint8 of 2 to 8 bits in the quantizer",
    ),
    "empty_range": (
        lambda net, x: on_grid(x, dtype=(5, 5, torch.int8)),
        "Node 'quantize_per_tensor': its quant_min 5 must lie below its quant_max 5; choose both "
        "in the quantizer",
    ),
    "zero_point_outside": (
        lambda net, x: on_grid(x, zero_point=-3, dtype=(0, 127, torch.int8)),
        "Node 'quantize_per_tensor': its zero point -3 lies outside [0, 127]; calibrate it again, "
        "zero included",
    ),
    "half_precision": (
        lambda net, x: Q.dequantize_per_tensor(
            Q.quantize_per_tensor(x, 0.5, 3, *INT8), 0.5, 3, *INT8, out_dtype=torch.float16
        ),
        "Node 'dequantize_per_tensor': it gives torch.float16; export the program in float32",
    ),
    "activations_per_channel": (
        lambda net, x: Q.quantize_per_channel(x, net.scales, net.zeros, 0, *INT8),
        "Node 'quantize_per_channel': activations are quantized per tensor only; keep per_channel "
        "schemes for the weights",
    ),
    "other_axis": (
        lambda net, x: on_grid(nn.functional.conv2d(on_grid(x), per_channel(net, 1))),
        "Node 'dequantize_per_channel': its scales lie along axis 1; choose axis 0, the output "
        "channels",
    ),
    "dynamic": (
        lambda net, x: Q.choose_qparams(x, -128, 127, 1e-5, torch.int8)[0],
        "Network 'pt2e': its node 'choose_qparams' chooses a scale for every batch (dynamic "
        "quantization), where an integer network has constants; choose a static configuration in "
        "the quantizer, is_dynamic=False",
    ),
    "in_training": (
        lambda net, x: torch.fake_quantize_per_tensor_affine(x, 0.5, 3, -128, 127),
        "Network 'pt2e': its node 'fake_quantize_per_tensor_affine' still quantizes in floats, as "
        "in training; convert it with torchao's convert_pt2e",
    ),
    "in_groups": (
        lambda net, x: torch.ops.torchao.quantize_affine(
            x, [1, 1, 4, 4], net.scales, net.zeros, torch.int8
        ),
        "Network 'pt2e': its node 'quantize_affine' quantizes by torchao.quantize_affine.default, "
        "in groups or blocks; use a quantizer with per_tensor or per_channel schemes",
    ),
    "concatenation": (
        lambda net, x: on_grid(torch.cat([y := on_grid(x), y])),
        "Layer 'cat': cat along dimension 0 is not supported; concatenate channels, dim=1",
    ),
    "batch_norm": (
        lambda net, x: on_grid(net.norm(on_grid(x))),
        "Layer 'norm': batch_norm is not folded into a convolution; put it right behind one, and "
        "quantize by prepare_pt2e in evaluation mode or prepare_qat_pt2e",
    ),
    "dropout": (
        lambda net, x: on_grid(nn.functional.dropout(on_grid(x), 0.5, training=True)),
        "Layer 'dropout': it drops values at random, as in training; pass "
        "training=self.training, or call move_exported_model_to_eval before PT2E",
    ),
    "scores_of_a_map": (
        lambda net, x: on_grid(conv(net, on_grid(x))).flatten(1),
        "Network 'pt2e': its output 'conv2d' was flattened or permuted, and a core would "
        "give the scores in another order, channels last; return the map as it is, pool it to one "
        "position, or end with a linear layer",
    ),
    "no_layer": (lambda net, x: on_grid(x), "Network 'pt2e': there must be a layer"),
}


def refusal(program, **options):
    """The message that a program is refused with."""
    with pytest.raises(NetworkError) as caught:
        read(program, **options)
    return str(caught.value)


@pytest.mark.parametrize("case", FUNCTIONS)
def test_refuses(case):
    function, message = FUNCTIONS[case]
    assert refusal(exported(function)) == message


@pytest.mark.parametrize(
    ("buffers", "message"),
    [
        (
            {"scales": torch.tensor([0.25, 0.5, 0.5])},
            "Node 'dequantize_per_channel': its scales must number 2, one per output channel, not "
            "3; convert the program again",
        ),
        (
            {"zeros": torch.zeros(1, dtype=torch.int64)},
            "Node 'dequantize_per_channel': its zero points must number 2, one per output channel, "
            "not 1; convert the program again",
        ),
        (
            {"scales": torch.tensor([0.25, float("nan")])},
            "Node 'dequantize_per_channel': its scale must be positive and finite, not nan; "
            "calibrate it again",
        ),
        (
            {"bias": torch.tensor([0.0, float("inf")])},
            "Layer 'conv2d': the values of 'bias' are not all finite; train it again",
        ),
        (
            {"bias": torch.tensor([0.0, 1e9])},
            "Layer 'conv2d': its bias is 4000000000 at the scale of its sums, beyond int32; its "
            "weights are too small for it",
        ),
    ],
)
def test_refuses_parameters(buffers, message):
    program = exported(lambda net, x: on_grid(conv(net, on_grid(x), net.bias)), **buffers)
    assert refusal(program) == message


def test_refuses_weights_beyond_their_type():
    def function(net, x):
        weights = Q.dequantize_per_tensor(net.w, 0.5, 0, -7, 7, torch.int8)
        return on_grid(nn.functional.conv2d(on_grid(x), weights))

    assert refusal(exported(function, w=WEIGHTS * 9)) == (
        "Node 'dequantize_per_tensor': its integers reach [9, 9], beyond [-7, 7]; convert the "
        "program again"
    )


def test_refuses_other_inputs_and_outputs():
    image = torch.zeros(2, 1, 4, 4)
    two = exported(lambda net, x, y: on_grid(x) + on_grid(y), image, image)
    assert refusal(two, name="net") == (
        "Network 'net': the program must take one tensor, not 2; leave the others out of its "
        "forward"
    )
    pair = exported(lambda net, x: (on_grid(x), on_grid(x)))
    assert refusal(pair, name="net") == (
        "Network 'net': the program must return one tensor, not 2; leave the others out of its "
        "forward"
    )
    rows = exported(lambda net, x: on_grid(x), torch.zeros(2, 5, 4))
    assert refusal(rows) == (
        "Network 'pt2e': the program must take images (N, C, H, W) or vectors (N, K), not "
        "[2, 5, 4]; export it with such an example"
    )


@pytest.mark.parametrize("path", ["net.pt2", Path("net.pt2")], ids=["str", "Path"])
def test_refuses_files(path):
    assert refusal(path) == (
        "Network 'pt2e': a path is no program; load it by torch_export.archive.loaded, which runs "
        "nothing in the file, and pass what it returns"
    )


def test_refuses_modules():
    assert refusal(nn.Linear(2, 2)) == (
        "Network 'pt2e': a PT2E program is what convert_pt2e gives, not a Linear"
    )


def test_refuses_what_is_prepared_only_and_dynamic_quantizers():
    config = xnnpack.get_symmetric_quantization_config(is_dynamic=True, is_per_channel=True)
    quantizer = xnnpack.XNNPACKQuantizer().set_global(config)
    example = torch.zeros(2, 1, 2, 2)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    prepared = prepare_pt2e(torch.export.export(net, (example,)).module(), quantizer)
    prepared(example)
    assert refusal(prepared) == (
        "Network 'pt2e': its node 'activation_post_process_1' still observes or quantizes in "
        "floats; calibrate or train it, then convert it with torchao's convert_pt2e"
    )
    assert refusal(convert_pt2e(prepared)).startswith(
        "Network 'pt2e': its node 'choose_qparams' chooses a scale for every batch"
    )
