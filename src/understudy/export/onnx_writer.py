"""A small writer of ONNX models: nodes and constants in, the bytes of a ``.onnx`` file out.

Names are as short as they can be, equal constants are stored once, and nothing but what a runtime needs is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, product
from string import ascii_letters
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper

FLOAT: int = TensorProto.FLOAT
INT16: int = TensorProto.INT16
INT32: int = TensorProto.INT32
INT64: int = TensorProto.INT64
INT8: int = TensorProto.INT8
UINT8: int = TensorProto.UINT8
INT4: int = TensorProto.INT4
UINT4: int = TensorProto.UINT4
OPSET = 21
"""The first version with 4-bit integers."""
IR_VERSION = 10
"""What came with that version."""

Array = npt.NDArray[Any]


def _names() -> Iterator[str]:
    for length in count(1):
        for letters in product(ascii_letters, repeat=length):
            yield "".join(letters)


class OnnxWriter:
    """Collects nodes and constants; ``finish`` returns the file."""

    def __init__(self) -> None:
        self.owner = ""
        """Who is charged for the constants that are stored next."""
        self.stored_bytes: dict[str, int] = {}
        """Bytes of constants' values by owner."""
        self._names = _names()
        self._constants: dict[tuple[int, tuple[int, ...], bytes], str] = {}
        self._model = ModelProto(ir_version=IR_VERSION)
        self._model.opset_import.add(version=OPSET)
        self._model.graph.name = "g"  # the specification wants one

    def constant(self, values: npt.ArrayLike, kind: int, *, shared: bool = True) -> str:
        """Return the name of a constant; 4-bit kinds are packed, the first value in the low half of a byte.

        Equal ones are stored once. What a runtime rewrites for one node, as it does int8 weights, must not be ``shared``.
        """
        array = np.asarray(values)
        if kind in (INT4, UINT4):
            flat = np.append(array.ravel(), [0] * (array.size % 2)).astype(np.int64) & 15
            content = (flat[0::2] | (flat[1::2] << 4)).astype(np.uint8).tobytes()
        else:
            content = np.ascontiguousarray(array.astype(helper.tensor_dtype_to_np_dtype(kind))).tobytes()
        key = (kind, array.shape, content)
        if key not in self._constants or not shared:
            self._constants[key] = next(self._names)
            self._model.graph.initializer.add(name=self._constants[key], data_type=kind, dims=array.shape, raw_data=content)
            self.stored_bytes[self.owner] = self.stored_bytes.get(self.owner, 0) + len(content)
        return self._constants[key]

    def node(self, operator: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        """Append one node of the default domain and return its output's name."""
        output = output or next(self._names)
        node = self._model.graph.node.add(op_type=operator, input=inputs, output=[output])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        return output

    def name(self) -> str:
        """Return a name that nothing has yet, for tensors of a graph inside of an operator."""
        return next(self._names)

    def split(self, x: str, *, axis: int) -> tuple[str, str]:
        """Append a node that halves ``x``, and return the names of both halves."""
        first, second = next(self._names), next(self._names)
        node = self._model.graph.node.add(op_type="Split", input=[x], output=[first, second])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in {"axis": axis, "num_outputs": 2}.items())
        return first, second

    def scan(self, body: GraphProto, inputs: Sequence[str], *, axis: int) -> tuple[str, str]:
        """Append a loop with one state over ``axis`` of all inputs but the first; return the names of last state and states."""
        last, states = next(self._names), next(self._names)
        node = self._model.graph.node.add(op_type="Scan", input=inputs, output=[last, states])
        scanned = len(inputs) - 1
        attributes = {"scan_input_axes": [axis] * scanned, "scan_output_axes": [axis]}
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        node.attribute.add(name="body", type=AttributeProto.GRAPH).g.CopyFrom(body)
        node.attribute.append(helper.make_attribute("num_scan_inputs", scanned))
        return last, states

    def finish(self, inputs: dict[str, tuple[int, Sequence[int]]], outputs: dict[str, tuple[int, Sequence[int]]]) -> bytes:
        """Return the file; inputs and outputs are name to (kind, shape)."""
        graph = self._model.graph
        graph.input.extend(helper.make_tensor_value_info(name, *value) for name, value in inputs.items())
        graph.output.extend(helper.make_tensor_value_info(name, *value) for name, value in outputs.items())
        return bytes(self._model.SerializeToString(deterministic=True))
