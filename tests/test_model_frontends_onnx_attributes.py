"""Every input and attribute of every ONNX operator that is read: accounted for, or refused."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx
from onnx import helper
from onnxgen import Model
from tercet.model.frontends.onnx import read
from tercet.model.frontends.onnx.attributes import KNOWN
from tercet.model.frontends.onnx.graph import OLDEST_OPSET
from tercet.model.frontends.onnx.operators import OPERATORS
from tercet.model.layers import NetworkError


def schemas():
    """The schemas of the operators that are read, in the operator sets that are."""
    newest = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.name in OPERATORS:
            if schema.since_version > OLDEST_OPSET:
                yield schema
            elif schema.since_version > newest.get(schema.name, schema).since_version - 1:
                newest[schema.name] = schema
    yield from newest.values()


@pytest.mark.parametrize(
    "schema", list(schemas()), ids=lambda schema: f"{schema.name}-{schema.since_version}"
)
def test_every_input_and_attribute_is_accounted_for(schema):
    known = KNOWN[schema.name]
    assert [name for name in schema.attributes if not known.covers(name)] == []
    assert known.inputs is None or len(schema.inputs) <= known.inputs


def test_every_operator_has_its_row_and_no_other():
    assert set(KNOWN) == set(OPERATORS)


def changed(attribute, value, op="AveragePool", inputs=()):
    """The refusal of a small model of which one node has an attribute or an input more."""
    model = Model(np.random.default_rng(0), (2, 6, 6))
    names = model.constant(0.02), model.constant(0, np.uint8)
    x = model.node("DequantizeLinear", model.node("QuantizeLinear", "x", *names), *names)
    y = model.node("AveragePool", x, kernel_shape=[2, 2])
    z = model.node("DequantizeLinear", model.node("QuantizeLinear", y, *names), *names)
    proto = model.proto(z)
    node = next(node for node in proto.graph.node if node.op_type == op)
    if attribute:
        node.attribute.append(helper.make_attribute(attribute, value))
    node.input.extend(inputs)
    with pytest.raises(NetworkError) as caught:
        read(proto.SerializeToString(), "net")
    return str(caught.value)


def test_what_nobody_accounts_for_is_refused():
    assert changed("frobnicate", 1) == (
        "Node 'averagepool2' (AveragePool): its attribute 'frobnicate' is not known; "
        "leave it out, or export the model by an earlier operator set"
    )
    assert changed("", 0, inputs=["x"]) == (
        "Node 'averagepool2' (AveragePool): it has 2 inputs where 1 are known; "
        "export the model by the operator set of an earlier version"
    )
    assert changed("output_dtype", 10, "DequantizeLinear") == (
        "Node 'dequantizelinear1' (DequantizeLinear): output_dtype must be 0 or 1, not 10; "
        "export the model again"
    )
