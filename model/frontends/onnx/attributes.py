"""The known inputs and attributes of each ONNX operator, and the values that attributes may have.

A node with an unknown input or attribute is refused, so that a meaning from a later operator set is
not ignored. Sources: ``onnx.defs``; for ``com.microsoft``, ONNX Runtime's
``docs/ContribOperators.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .graph import Node

__all__ = ["KNOWN", "Known", "require_known"]


@dataclass(frozen=True)
class Known:
    """The known inputs and attributes of an operator.

    Parameters
    ----------
    inputs : their number; None for any number
    used : attributes that the reader uses
    ignored : attributes that change no value here
    only : attributes with their allowed values
    """

    inputs: int | None
    used: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    only: Mapping[str, tuple[object, ...]] = field(default_factory=dict)

    def covers(self, attribute: str) -> bool:
        """Whether an attribute is used, ignored deliberately, or checked."""
        return attribute in (*self.used, *self.ignored, *self.only)


WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
CHANNELS_FIRST: Mapping[str, tuple[object, ...]] = {"channels_last": (0,)}
FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7  # of TensorProto.DataType

KNOWN: Mapping[str, Known] = {
    "QuantizeLinear": Known(
        3,
        ("axis", "block_size"),
        ("saturate",),  # of 8-bit floats
        {"output_dtype": (0, UINT8, INT8), "precision": (0, FLOAT)},
    ),
    "DequantizeLinear": Known(3, ("axis", "block_size"), (), {"output_dtype": (0, FLOAT)}),
    "Conv": Known(3, (*WINDOW, "group")),
    "QLinearConv": Known(9, (*WINDOW, "group")),
    "Gemm": Known(3, ("alpha", "beta", "transA", "transB")),
    "QGemm": Known(9, ("alpha", "transA", "transB")),
    "MatMul": Known(2),
    "QLinearMatMul": Known(8),
    "Add": Known(2),
    "QLinearAdd": Known(8),
    "AveragePool": Known(1, (*WINDOW, "ceil_mode", "count_include_pad")),
    "QLinearAveragePool": Known(5, (*WINDOW, "ceil_mode", "count_include_pad"), (), CHANNELS_FIRST),
    "GlobalAveragePool": Known(1),
    "QLinearGlobalAveragePool": Known(5, (), (), CHANNELS_FIRST),
    "ReduceMean": Known(2, ("axes", "keepdims"), ("noop_with_empty_axes",)),  # never empty
    "MaxPool": Known(1, (*WINDOW, "ceil_mode", "storage_order")),
    "Relu": Known(1),
    "Clip": Known(3, ("min", "max")),
    "Flatten": Known(1, ("axis",)),
    "Reshape": Known(2, ("allowzero",)),
    "Transpose": Known(1, ("perm",)),
    "Squeeze": Known(2, ("axes",)),
    "Unsqueeze": Known(2, ("axes",)),
    "Identity": Known(1),
    "Dropout": Known(3, (), ("ratio", "seed")),  # of training
    "LeakyRelu": Known(1, ("alpha",)),
    "QLinearLeakyRelu": Known(5, ("alpha",)),
    "PRelu": Known(2),
    "HardSigmoid": Known(1, ("alpha", "beta")),
    "HardSwish": Known(1),
    "Elu": Known(1, ("alpha",)),
    "Sigmoid": Known(1),
    "QLinearSigmoid": Known(5),
    "Tanh": Known(1),
    "Gelu": Known(1, ("approximate",)),
    "Mul": Known(2),
    "QLinearMul": Known(8),
    "Resize": Known(
        4,
        ("axes", "coordinate_transformation_mode", "nearest_mode"),
        ("cubic_coeff_a", "exclude_outside", "extrapolation_value"),  # of other modes
        {"mode": (b"nearest",), "antialias": (0,), "keep_aspect_ratio_policy": (b"stretch",)},
    ),
    "Concat": Known(None, ("axis",)),
    "QLinearConcat": Known(None, ("axis",)),
    "Shape": Known(1, (), (), {"start": (0,), "end": ()}),
    "Gather": Known(2, (), (), {"axis": (0,)}),  # of extents, a list
    "Cast": Known(1, (), ("round_mode", "saturate"), {"to": (INT32, INT64)}),  # of extents
}


def require_known(node: Node, table: Mapping[str, Known] = KNOWN) -> None:
    """Refuse a node with an unknown input or attribute; ``table`` has the known ones."""
    known = table[node.op]
    if known.inputs is not None and len(node.inputs) > known.inputs:
        raise node.refuse(
            f"it has {len(node.inputs)} inputs where {known.inputs} are known",
            "export the model by the operator set of an earlier version",
        )
    for name, value in node.attributes.items():
        if not known.covers(name):
            way_out = "leave it out, or export the model by an earlier operator set"
            raise node.refuse(f"its attribute {name!r} is not known", way_out)
        allowed = known.only.get(name)
        if allowed is not None and value not in allowed:
            wanted = " or ".join(map(str, allowed)) or "left out"
            raise node.refuse(f"{name} must be {wanted}, not {value}", "export the model again")
