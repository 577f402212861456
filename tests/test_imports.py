"""Who may import whom: model <- hw <- gen <- sim, no circles, frameworks in corners, no pickle.

Tests import helpers, not each other, and their names are the paths of what they test.
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROAD = ("model", "hw", "gen", "sim")  # each imports only from itself and from those before it
FILES = [
    path.relative_to(ROOT) for folder in ROAD for path in sorted((ROOT / folder).rglob("*.py"))
]
TESTS = [path.relative_to(ROOT) for path in sorted((ROOT / "tests").rglob("*.py"))]

TORCH_CORNERS = (Path("model/float"), Path("model/frontends"), Path("model/exporters"))
CORNERS = {path.name for path in TORCH_CORNERS}
ABOVE = {*CORNERS, "commands"}  # the core of model knows none of them
FOR_COMPARISON = {Path("sim/measure/engines.py")}  # their engines are what gets measured
CHECKING = "TYPE_CHECKING"  # what stands below it is never run
PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}


def imports(path, tree):
    """Every import: (node, full module name), relative ones as tercet.<folder>..."""
    package = ("tercet", *path.parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node, ".".join((*base, name))) for name in names)
        elif isinstance(node, ast.ImportFrom):
            yield node, node.module


def complaints(path, source):
    """What the rules say against a file of the house."""
    tree = ast.parse(source)
    folder = path.parts[0]
    core = folder == "model" and path.parts[1] not in {*ABOVE, "fuzz"}
    ifs = [s for s in tree.body if isinstance(s, ast.If) and ast.unparse(s.test) != CHECKING]
    on_top = set(tree.body) | {n for s in ifs for n in s.body}
    for node, name in imports(path, tree):
        top, *rest = name.split(".")
        if top == "tercet":
            if not rest or rest[0] not in ROAD[: ROAD.index(folder) + 1]:
                yield f"{folder} must not import {name}"
            if core and ABOVE & set(rest[1:2]):
                yield f"the core of model must not import {name}"
            if not getattr(node, "level", 0):
                yield f"{name} must be imported by a relative path"
        elif top in ("torch", "torchvision", "onnx", "onnxruntime"):
            if not CORNERS & set(path.parts[1:2]) and path not in FOR_COMPARISON:
                yield f"{top} has its place in {', '.join(map(str, TORCH_CORNERS))}"
            elif path in FOR_COMPARISON and node in on_top:
                yield f"{top} must be imported where it is used"
        elif top == "amaranth" and folder == "model":
            yield "model must not import amaranth"
        elif top in ("cocotb", "cocotb_tools") and folder != "sim":
            yield f"{top} has its place in sim"
        elif core and node in on_top and top not in (*sys.stdlib_module_names, "numpy"):
            yield f"the core of model needs numpy alone, not {top}"
    yield from dangers(tree)


def dangers(tree):
    """What no file may do, tests included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield "a star import blinds the linter"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            tops = {name.split(".")[0] for name in [getattr(node, "module", None) or "", *names]}
            yield from (f"{name} loads code with its data" for name in sorted(tops & PICKLERS))
        if isinstance(node, ast.Call):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if given.get("allow_pickle", "False") != "False":
                yield "allow_pickle loads code with its data"
            if ast.unparse(node.func) == "joblib.load":
                yield "joblib.load loads code with its data"
            if ast.unparse(node.func) == "torch.load" and given.get("weights_only") != "True":
                yield "torch.load needs weights_only=True"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_one_way(path):
    assert list(complaints(path, (ROOT / path).read_text())) == []


def complaints_of_tests(path, source):
    """What the rules say against a file of the tests."""
    tree = ast.parse(source)
    for _, name in imports(path, tree):
        if name.split(".")[0].startswith(("test_", "conftest")):
            yield f"{name} must not be imported; what tests share has its place in tests/support"
    yield from dangers(tree)


@pytest.mark.parametrize("path", TESTS, ids=str)
def test_tests_keep_to_the_rules(path):
    assert list(complaints_of_tests(path, (ROOT / path).read_text())) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import hwsim\nfrom tercet.hw import rom", []),
        ("from test_hw_rom import x", ["test_hw_rom"]),
        ("def f():\n    import numpy, test_hw_rom as rom", ["test_hw_rom"]),
        ("from conftest import seed", ["conftest"]),
    ],
)
def test_test_modules_are_not_imported(source, expected):
    found = list(complaints_of_tests(Path("tests/test_x.py"), source))
    assert [complaint.split()[0] for complaint in found] == expected


def misnamed(stem, paths):
    """The file that a test is named after, if not by its whole path; or None.

    Tests of ``gen/flow/synth.py`` are ``test_gen_flow_synth.py``. What follows the longest path in
    a name is free, as in ``test_gen_cli_json.py``, unless it is a name from further down.
    """
    at, deepest = Path(), stem.removeprefix("test_")
    for path in sorted(paths, key=lambda path: len(path.parts)):
        name = "_".join(path.with_suffix("").parts)
        if stem == f"test_{name}":
            return None
        if stem.startswith(f"test_{name}_"):
            at, deepest = path.with_suffix(""), stem.removeprefix(f"test_{name}_")
    return next((path for path in paths if at in path.parents and path.stem == deepest), None)


def test_tests_are_named_after_paths():
    folders = {folder for path in FILES for folder in path.parents} - {Path()}
    named = {path: misnamed(path.stem, [*FILES, *folders]) for path in TESTS}
    assert {path: name for path, name in named.items() if name} == {}


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("test_gen_flow_synth", None),
        ("test_gen_synth", "gen/flow/synth.py"),
        ("test_gen_flow_all", None),
        ("test_gen_flow_yosys_errors", None),
        ("test_gen_flow", None),
        ("test_synth", "gen/flow/synth.py"),
    ],
)
def test_names_that_leave_folders_out_are_found(stem, expected):
    paths = map(Path, ("gen", "gen/flow", "gen/flow/synth.py", "gen/flow/yosys.py"))
    assert misnamed(stem, list(paths)) == (expected and Path(expected))


def arrows(files, read):
    """(importing module, imported module) of the house, as paths of names; a face is __init__."""
    modules = {path.with_suffix("").parts for path in files}
    for path in files:
        for node, name in imports(path, ast.parse(read(path))):
            top, *target = name.split(".")
            if top != "tercet":
                continue
            for alias in node.names:
                tried = ([*target, alias.name], target, target[:-1])  # a module, or what one holds
                found = (
                    tuple(parts)
                    for each in tried
                    for parts in (each, [*each, "__init__"])
                    if tuple(parts) in modules
                )
                yield path.with_suffix("").parts, next(found, tuple(target))


def circle(pairs):
    """A circle among the modules and folders of one folder, each folder taken as one; or None."""
    levels = {}
    for source, target in pairs:
        depth = next(
            (i for i, (a, b) in enumerate(zip(source, target, strict=False)) if a != b), None
        )
        if depth is not None:
            readers = levels.setdefault(source[:depth], {})
            readers.setdefault(source[depth], set()).add(target[depth])
    for graph in levels.values():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            return error.args[1]
    return None


def test_no_imports_run_in_circles():
    assert circle(arrows(FILES, lambda path: (ROOT / path).read_text())) is None


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=str)
def test_what_a_face_shows_hides_no_module(path):
    shown = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not shown & {other.stem for other in (ROOT / path).parent.glob("*.py")}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"gen/a.py": "from .b import x", "gen/b.py": "import y"}, None),
        ({"gen/a.py": "from .b import x", "gen/b.py": "from . import a"}, ["a", "b"]),
        ({"gen/a/x.py": "from ..b.x import y", "gen/b/x.py": "", "gen/b/y.py": ""}, None),
        ({"gen/a/x.py": "from ..b.x import y", "gen/b/y.py": "from ..a.z import y"}, ["a", "b"]),
        ({"gen/a/x.py": "from ..b import y", "gen/b/y.py": "from ..a import z"}, ["a", "b"]),
        ({"gen/a/x.py": "from . import y", "gen/a/__init__.py": "from .x import y"}, ["x"]),
        ({"gen/a/__init__.py": "from .x import y", "gen/b.py": "from .a import y"}, None),
        ({"gen/a/x.py": "if T:\n    from ..c import y", "gen/c.py": "from .a.z import y"}, ["c"]),
    ],
)
def test_circles_are_found(sources, expected):
    files = {Path(path): source for path, source in sources.items()}
    found = circle(arrows(list(files), files.__getitem__))
    assert (found is None) == (expected is None)
    assert set(expected or []) <= set(found or [])


def test_the_whole_house_was_read():
    assert {path.parts[0] for path in FILES} == set(ROAD)
    assert {Path("model/requant/rounding.py"), Path("gen/cli.py")} <= set(FILES)
    assert Path("tests/test_imports.py") in TESTS


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("model/x.py", "from . import arith\nfrom .data import y\nimport numpy as np", []),
        ("model/x.py", "from ..hw import rom", ["model must not import tercet.hw"]),
        (
            "model/float/x.py",
            "from ...gen.plan import y",
            ["model must not import tercet.gen.plan"],
        ),
        ("model/float/x.py", "from ..arith import y\nfrom . import nets\nimport torch", []),
        ("hw/x.py", "from ..gen import plan", ["hw must not import tercet.gen"]),
        ("hw/x.py", "from .. import gen", ["hw must not import tercet.gen"]),
        ("hw/x.py", "from ..model.arith import y\nimport amaranth", []),
        ("gen/flow/x.py", "from ...sim import y", ["gen must not import tercet.sim"]),
        ("sim/x.py", "from ..model import y\nfrom ..hw import y\nfrom ..gen import y", []),
        (
            "sim/x.py",
            "from tercet.model import y",
            ["tercet.model must be imported by a relative path"],
        ),
        ("model/x.py", "def f():\n    import sklearn", []),
        ("model/x.py", "import rich", ["the core of model needs numpy alone, not rich"]),
        ("model/x.py", "if T:\n    import rich", ["the core of model needs numpy alone, not rich"]),
        (
            "model/x.py",
            "from .float import nets",
            ["the core of model must not import tercet.model.float"],
        ),
        (
            "model/x.py",
            "from . import frontends",
            ["the core of model must not import tercet.model.frontends"],
        ),
        (
            "gen/x.py",
            "def f():\n    import torch.nn",
            ["torch has its place in model/float, model/frontends, model/exporters"],
        ),
        ("sim/measure/engines.py", "def f():\n    import torch, onnxruntime", []),
        ("sim/measure/engines.py", "import torch", ["torch must be imported where it is used"]),
        ("sim/measure/engines.py", "import onnx", ["onnx must be imported where it is used"]),
        ("model/float/x.py", "import amaranth.lib", ["model must not import amaranth"]),
        ("gen/x.py", "import cocotb_tools", ["cocotb_tools has its place in sim"]),
        ("sim/x.py", "import cocotb", []),
        ("hw/x.py", "from amaranth import *", ["a star import blinds the linter"]),
        ("sim/x.py", "import pickle", ["pickle loads code with its data"]),
        ("sim/x.py", "from marshal import load", ["marshal loads code with its data"]),
        ("sim/x.py", "import joblib\njoblib.Parallel()", []),
        ("sim/x.py", "joblib.load(f)", ["joblib.load loads code with its data"]),
        ("sim/x.py", "np.load(f, allow_pickle=True)", ["allow_pickle loads code with its data"]),
        ("sim/x.py", "np.load(f, allow_pickle=a)", ["allow_pickle loads code with its data"]),
        ("sim/x.py", "np.load(f)\nnp.load(f, allow_pickle=False)", []),
        ("model/float/x.py", "torch.load(f)", ["torch.load needs weights_only=True"]),
        ("model/float/x.py", "torch.load(f, weights_only=True)", []),
    ],
)
def test_the_rules_catch_what_they_are_for(path, source, expected):
    assert list(complaints(Path(path), source)) == expected


RUNS_ON_NUMPY = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ("numpy", "tercet") and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, Refuse())
import numpy
from tercet.model import load, save
from tercet.model.fuzz.draws import random_images
from tercet.model.fuzz.networks import network_of_seed
net = network_of_seed(1)
save(net, sys.argv[1])
images = random_images(numpy.random.default_rng(1), net.tensors[net.input], 2)
assert (load(sys.argv[1])(images) == net(images)).all()
"""


def test_a_quantized_network_runs_with_numpy_alone(tmp_path):
    subprocess.run(
        [sys.executable, "-c", RUNS_ON_NUMPY, tmp_path / "net.json"],
        check=True,
        timeout=60,
    )
