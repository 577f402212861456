"""Saved torch.export programs: read as the module is, and nothing in the file is run."""

import io
import json
import warnings
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tercet.gen.cli import main  # noqa: E402
from tercet.model import NetworkError, load  # noqa: E402
from tercet.model.commands.models import format_of, network_of  # noqa: E402
from tercet.model.commands.own import graph_of as graph_of_file  # noqa: E402
from tercet.model.float.torch_export.archive import loaded  # noqa: E402
from tercet.model.float.torch_export.module import graph_of  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch
MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


class Net(nn.Module):
    """A module with what exported networks have: in-place ReLU, batch norm, a reshape by size."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(4 * 2 * 3, 5)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.relu(self.norm(self.conv(x))), 2)
        return self.fc(self.drop(x).reshape(x.size(0), -1))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(1)
    made = Net()
    nn.init.uniform_(made.norm.running_mean, -1, 1)
    return made.eval()


def exported(module, **options):
    return torch.export.export(module, (torch.zeros(2, 2, 4, 6),), **options)


@pytest.fixture
def save(tmp_path):
    """A function that saves a program; returns its path."""

    def write(program, name="net.pt2"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(program, str(tmp_path / name))
        return str(tmp_path / name)

    return write


@pytest.fixture
def edited(save, module, tmp_path):
    """A function that saves the module and edits entries: {name: function of the decoded JSON}."""

    def edit(**edits):
        path = save(exported(module))
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: archive.read(info) for info in archive.infolist()}
        for name, change in edits.items():
            full = next(entry for entry in entries if entry.endswith(name.replace("__", "/")))
            content = json.loads(entries[full])
            change(content)
            entries[full] = json.dumps(content).encode()
        with zipfile.ZipFile(tmp_path / "edited.pt2", "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
        return str(tmp_path / "edited.pt2")

    return edit


def same(graph, other):
    """Two graphs, node by node."""
    assert graph.shape == other.shape
    assert [type(node) for node in graph.nodes] == [type(node) for node in other.nodes]
    for node, twin in zip(graph.nodes, other.nodes, strict=True):
        assert (node.name, node.inputs) == (twin.name, twin.inputs)
        for name, value in vars(node).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(value, vars(twin)[name])


BATCHES = {
    "fixed": {},
    "dynamic": {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1)},)},
}


@pytest.mark.parametrize("batch", BATCHES)
def test_a_saved_program_is_read_as_its_module(batch, save, module):
    path = save(exported(module, **BATCHES[batch]))
    assert format_of(path) == "pt2"
    same(graph_of_file(path, name="net"), graph_of(module, (2, 4, 6), "net"))


def test_the_weights_are_those_of_the_module(save, module):
    program = loaded(save(exported(module)))
    for name, value in module.state_dict().items():
        assert torch.equal(program.state_dict[name], value)
    x = torch.rand(2, 2, 4, 6)
    assert torch.equal(program.module()(x), module(x))


def test_example_inputs_are_not_unpickled(save, module, monkeypatch):
    path = save(exported(module))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled"))
    assert loaded(path).example_inputs is None


def node(index, **fields):
    return lambda model: model["graph_module"]["graph"]["nodes"][index].update(fields)


def first_node(change):
    return lambda model: change(model["graph_module"]["graph"]["nodes"][0])


def at(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


GRAPH = ("graph_module", "graph")
SIGNATURE = ("graph_module", "module_call_graph", 0, "signature")
TREE = json.dumps([1, {"type": "collections.defaultdict", "context": "null", "children_spec": []}])
ATTACKS = {
    "a function": (
        {"model.json": node(0, target="torch.hub.load")},
        "has 'torch.hub.load' as a target, which is not supported",
    ),
    "a name that is code": (
        {"model.json": node(0, name="x = __import__('os')")},
        "has \"x = __import__('os')\" as a name, which is not supported",
    ),
    "a key that is code": (
        {"model.json": at(*GRAPH, "tensor_values", "a;b", value={})},
        "has 'a;b' in its graph, which is not supported",
    ),
    "an object": (
        {"model.json": at(*GRAPH, "inputs", 0, value={"as_custom_obj": {"name": "o"}})},
        "has 'as_custom_obj' in its graph, which is not supported",
    ),
    "an expression": (
        {"model.json": at(*GRAPH, "sym_int_values", "s", value={"as_expr": {"expr_str": "f(1)"}})},
        "has 'as_expr' in its graph, which is not supported",
    ),
    "a tree with a factory": (
        {"model.json": at(*SIGNATURE, "in_spec", value=TREE)},
        "takes or returns a collections.defaultdict, which is not supported",
    ),
    "pickled weights": (
        {WEIGHTS.replace("/", "__"): at("config", "conv.weight", "use_pickle", value=True)},
        "holds 'conv.weight' as a pickle, which runs code when it is loaded",
    ),
    "a path": (
        {WEIGHTS.replace("/", "__"): at("config", "fc.bias", "path_name", value="../../x")},
        "holds 'fc.bias' as a pickle, which runs code when it is loaded",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_could_run_code_is_refused(attack, edited):
    edits, message = ATTACKS[attack]
    path = edited(**edits)
    with pytest.raises(NetworkError) as raised:
        loaded(path)
    assert str(raised.value) == (
        f"The program {path} {message}; export it by torch.export.save(torch.export.export("
        'module.eval(), (torch.zeros(2, C, H, W),)), "mine.pt2")'
    )


def test_dropped_fields_do_not_matter(edited, module):
    def change(model):
        model["guards_code"] = ["__import__('os').abort()"]
        model["range_constraints"] = {"u0": {"min_val": 0, "max_val": 9}}
        model["graph_module"]["metadata"] = {"custom": "{}"}
        for each in model["graph_module"]["graph"]["nodes"]:
            each["metadata"]["from_node"] = "[]"
            each["metadata"]["source_fn_stack"] = "x,os.abort"

    program = loaded(edited(**{"model.json": change}))
    assert program._guards_code == []
    x = torch.rand(2, 2, 4, 6)
    assert torch.equal(program.module()(x), module(x))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.pop("graph_module"),
        lambda model: model.update(graph_module=[]),
        first_node(lambda each: each.update(inputs=None)),
        lambda model: model.update(schema_version={"major": 99, "minor": 0}),
        lambda model: model["graph_module"]["graph"]["nodes"].reverse(),
    ],
)
def test_damaged_programs_are_one_sentence(change, edited):
    with pytest.raises(NetworkError, match=r"^The program .*edited\.pt2 .*; export it by torch"):
        loaded(edited(**{"model.json": change}))


def test_files_that_are_no_program_are_refused(tmp_path):
    path = tmp_path / "x.pt2"
    for content, message in (
        (b"PK", r"cannot be read: it is a damaged archive$"),
        (None, r"cannot be read: No such file or directory$"),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(NetworkError, match=message):
            loaded(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/models/one.json", "{}")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(NetworkError, match=r"one program models/model\.json, not models/one\.json"):
        loaded(path)


def test_training_mode_is_refused(save):
    path = save(exported(Net().train()))
    with pytest.raises(NetworkError) as raised:
        graph_of_file(path)
    assert str(raised.value) == (
        "Network 'net': it was exported in training mode, as node 'batch_norm' shows; export "
        "module.eval()"
    )


def test_commands_take_a_saved_program(save, module, tmp_path, capsys, seed):
    path = save(exported(module))
    images = np.random.default_rng(seed).integers(0, 256, (20, 4, 6, 2), dtype=np.uint8)
    np.savez(tmp_path / "my.npz", images=images, labels=np.zeros(20, int))
    words = ["quantize", path, "--data", str(tmp_path / "my.npz"), "-o", str(tmp_path / "n.json")]
    assert main(words) == 0
    assert load(str(tmp_path / "n.json")).name == "net"
    capsys.readouterr()
    assert main(["plan", path]) == 1
    assert capsys.readouterr().err == (
        f"tercet plan: error: {path} is a float program of torch.export; make integers of it by "
        f"tercet quantize {path} --data DATA -o NET.json\n"
    )


@pytest.mark.filterwarnings("ignore:XNNPACKQuantizer is deprecated!:UserWarning")
@pytest.mark.filterwarnings("ignore:erase_node:UserWarning")
def test_a_saved_pt2e_program_is_an_integer_network(save):
    from pt2eprograms import BATCH, converted
    from tercet.model.frontends.pt2e import read

    small = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4, 3))
    module = converted(small.eval(), (1, 4, 4), 0)
    program = torch.export.export(module, (torch.zeros(BATCH, 1, 4, 4),))
    path = save(program, "quantized.pt2")
    assert format_of(path) == "pt2e"
    network, direct = network_of(path), read(program)
    x = np.random.default_rng(0).integers(-128, 128, (5, 4, 4, 1)).astype(np.int8)
    assert network.name == "quantized"
    for name, values in direct.trace(x).items():
        assert np.array_equal(network.trace(x)[name], values)
