"""Every argument of every ATen operator that is read: used, ignored on purpose, or checked."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from tercet.model.float.qat import fake_quant  # noqa: E402
from tercet.model.float.torch_export.arguments import NAMES, Only, Operator  # noqa: E402
from tercet.model.float.torch_export.operators import OPERATORS  # noqa: E402
from tercet.model.frontends.pt2e.operators import PT2E_OPERATORS  # noqa: E402
from tercet.model.frontends.torch_export import graph_of  # noqa: E402
from tercet.model.layers import NetworkError  # noqa: E402
from torch import nn  # noqa: E402
from torch.ao.quantization.fx import _decomposed  # noqa: E402

pytestmark = pytest.mark.torch
assert _decomposed.quantized_decomposed_lib  # registers PT2E's operators


def schema_of(name):
    """The installed PyTorch's schema of an operator such as ``conv2d.default``."""
    *namespace, kind, overload = name.split(".")
    space = getattr(torch.ops, namespace[0] if namespace else "aten")
    return getattr(getattr(space, kind), overload)._schema


@pytest.mark.parametrize("name", sorted(PT2E_OPERATORS))
def test_the_table_covers_the_schema_and_nothing_else(name):
    operator = PT2E_OPERATORS[name]
    arguments = [argument.name for argument in schema_of(name).arguments]
    assert [argument for argument in arguments if not operator.covers(argument)] == []
    known = {NAMES.get(argument, argument) for argument in arguments}
    named = [*operator.taken, *operator.ignored, *operator.only]
    assert sorted(set(named) - known - {"out_dtype"}) == []
    assert len(named) == len(set(named))


def test_an_argument_that_nobody_accounts_for_is_refused():
    ignorant = {**OPERATORS, "relu.default": Operator(lambda reader, node: None)}
    with pytest.raises(NetworkError) as caught:
        graph_of(nn.ReLU(), (1, 4, 4), "net", ignorant)
    assert str(caught.value) == (
        "Layer 'relu': the argument self=input of aten.relu.default is not known; "
        "use the PyTorch that constraints.txt pins"
    )


def test_an_argument_of_another_value_than_the_one_meant_is_refused():
    read = OPERATORS["flatten.using_ints"].read
    only = {"end_dim": Only(2, "is not supported", "use end_dim=2")}
    strict = {"flatten.using_ints": Operator(read, ignored=("start_dim",), only=only)}
    with pytest.raises(NetworkError) as caught:
        graph_of(nn.Flatten(), (1, 4, 4), "net", strict)
    assert str(caught.value) == (
        "Layer 'flatten': flatten with end_dim=-1 is not supported; use end_dim=2"
    )


def test_the_marker_of_a_fake_quantization_has_one_argument():
    assert [a.name for a in fake_quant.marker._opoverload._schema.arguments] == ["x"]
