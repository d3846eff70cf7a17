"""Float islands in ONNX operators: real tensors with their channels on axis 1 in, real tensors of the same form out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from understudy.export.onnx_writer import FLOAT, INT64, OnnxWriter


def write_layer_norm(writer: OnnxWriter, x: str, *, epsilon: float) -> str:
    """Append a layer norm over axis 1: LayerNormalization wants its channels last, and constants that are all 1."""
    axis = writer.constant([1], INT64)
    centred = writer.node("Sub", [x, writer.node("ReduceMean", [x, axis])])
    variance = writer.node("ReduceMean", [writer.node("Mul", [centred, centred]), axis])
    raised = writer.node("Add", [variance, writer.constant(np.float32(epsilon), FLOAT)])
    return writer.node("Div", [centred, writer.node("Sqrt", [raised])])


def write_attention(writer: OnnxWriter, inputs: Sequence[str], *, heads: int, factor: float, shape: Sequence[int]) -> str:
    """Append the attention between queries, keys and values ``[1, C, H, W]``, and return what has the ``shape`` of the last.

    Weights stand as ``[1, heads, keys, queries]``, so that two of the three inputs are taken as they are.
    """
    split = writer.constant([1, heads, -1, shape[2] * shape[3]], INT64)
    queries, keys, values = (writer.node("Reshape", [x, split]) for x in inputs)
    products = writer.node("MatMul", [writer.node("Transpose", [keys], perm=[0, 1, 3, 2]), queries])
    scores = writer.node("Mul", [products, writer.constant(np.float32(factor), FLOAT)])
    mixed = writer.node("MatMul", [values, writer.node("Softmax", [scores], axis=2)])
    return writer.node("Reshape", [mixed, writer.constant(list(shape), INT64)])
