"""Small model files of strangers, for tests of everything that opens one: bytes in, classes out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from litert_files import litert_file, operator, tensor

LENGTH = 24
WEIGHT = (np.random.default_rng(5).normal(size=(LENGTH, 3)) / 100).astype(np.float32)
"""The model of all files here: bytes ``[N, LENGTH]`` times ``WEIGHT``, three classes."""


def expected(byte_ids: np.ndarray) -> np.ndarray:
    return byte_ids.astype(np.float32) @ WEIGHT


def onnx_bytes_model(
    *, batch: int | str = "batch", kind: int = TensorProto.INT32, softmax: bool = False, extra_output: bool = False
) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["bytes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "weight"], ["logits"]),
    ]
    outputs = ["logits"]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1))
        outputs = ["probabilities", "logits"] if extra_output else ["probabilities"]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("bytes", kind, [batch, LENGTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3]) for name in outputs],
        [numpy_helper.from_array(WEIGHT, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def onnx_string_model(words: list[str], *, column: bool) -> onnx.ModelProto:
    """One class for each of ``words``: 1 where the text equals the word."""
    table = np.array(words, dtype=object)
    nodes = [
        helper.make_node("LabelEncoder", ["text"], ["index"], domain="ai.onnx.ml", keys_strings=words,
                         values_int64s=list(range(len(words))), default_int64=len(words)),
        helper.make_node("OneHot", ["index", "depth", "values"], ["hot"]),
        helper.make_node("Slice", ["hot", "zero", "depth_less", "last"], ["sliced"]),
        helper.make_node("Reshape", ["sliced", "shape"], ["logits"]),
    ]  # fmt: skip
    dims: list[int | str] = ["batch", 1] if column else ["batch"]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("text", TensorProto.STRING, dims)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(table)])],
        [
            numpy_helper.from_array(np.array([len(table) + 1], np.int64), "depth"),
            numpy_helper.from_array(np.array([len(table)], np.int64), "depth_less"),
            numpy_helper.from_array(np.array([0], np.int64), "zero"),
            numpy_helper.from_array(np.array([-1], np.int64), "last"),
            numpy_helper.from_array(np.array([-1, len(table)], np.int64), "shape"),
            numpy_helper.from_array(np.array([0, 1], np.float32), "values"),
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)], ir_version=9
    )


def save_onnx(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def litert_bytes_model(
    *, dtype: Literal["int32", "uint8", "float32"] = "int32", batch: int = 1, free_batch: bool = False, softmax: bool = False
) -> bytes:
    types = {"int32": schema.TensorType.INT32, "uint8": schema.TensorType.UINT8, "float32": schema.TensorType.FLOAT32}
    operators, builtin = schema.BuiltinOperator, schema.BuiltinOptions
    cast, dense, soft = schema.CastOptionsT(), schema.FullyConnectedOptionsT(), schema.SoftmaxOptionsT()
    cast.inDataType, cast.outDataType, soft.beta = types[dtype], types["float32"], 1.0
    tensors = [
        tensor("bytes", types[dtype], [batch, LENGTH]),
        tensor("floats", types["float32"], [batch, LENGTH]),
        tensor("weight", types["float32"], [3, LENGTH], buffer=1),
        tensor("logits", types["float32"], [batch, 3]),
        tensor("probabilities", types["float32"], [batch, 3]),
    ]
    for each in tensors:
        if free_batch and not each.buffer:
            each.shapeSignature = [-1, *each.shape[1:]]
    uses = [
        operator(0, [0], 1, builtin.CastOptions, cast),
        operator(1, [1, 2, -1], 3, builtin.FullyConnectedOptions, dense),
        operator(2, [3], 4, builtin.SoftmaxOptions, soft),
    ][: 3 if softmax else 2]
    codes = (operators.CAST, operators.FULLY_CONNECTED, operators.SOFTMAX)
    return litert_file(tensors, uses, codes=codes, version=1, output=4 if softmax else 3, constants=(WEIGHT.T,))
