"""Programs as bytes, for resuming a job and for bundles: one NPZ with a JSON description and the arrays, no pickle."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from understudy.program.npz import read_npz
from understudy.program.ops import (
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Flatten,
    Image,
    Linear,
    LocalMaxPool,
    MaxPool,
    Node,
    Program,
    ProjectBoxes,
    ProjectText,
    ProjectVector,
    Quantization,
    Scan,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions
from understudy.projections.boxes import BoxProjection
from understudy.projections.dense import DenseProjection
from understudy.projections.log_mel import LogMel
from understudy.projections.text import FeatureGroup, TextProjection

_NODES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        ProjectText,
        ProjectVector,
        Image,
        Sound,
        Standardize,
        ProjectBoxes,
        Linear,
        Conv,
        DepthwiseConv,
        Window,
        MaxPool,
        LocalMaxPool,
        SumPool,
        Add,
        Lookup,
        Multiply,
        Scan,
        Flatten,
        Concat,
        Positions,
        Place,
        LayerNorm,
        Attention,
        Softmax,
    )
}
_TUPLES = ("inputs", "shape", "padding", "kernel")


def dumps(program: Program) -> bytes:
    """Return ``program`` as bytes that ``loads`` reads back equal; the same program gives the same bytes."""
    arrays: dict[str, np.ndarray] = {}
    nodes = []
    for number, node in enumerate(program.nodes):
        entry: dict[str, Any] = {"op": type(node).__name__}
        for field in fields(node):
            value = getattr(node, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{number}.{field.name}"] = value
            elif isinstance(value, TextProjection | BoxProjection | DenseProjection | LogMel):
                entry[field.name] = asdict(value)
            else:
                entry[field.name] = value
        nodes.append(entry)
    quantization = {name: [q.scale, q.zero_point] for name, q in program.quantization.items()}
    text = json.dumps({"nodes": nodes, "quantization": quantization})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, description=np.frombuffer(text.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def loads(content: bytes) -> Program:
    """Return the program that ``dumps`` wrote.

    Raises:
        ValueError: not such an archive.
    """
    try:
        return _loads(content)
    except (AttributeError, IndexError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"a program needs a description and its arrays: {error!r}") from None


def _loads(content: bytes) -> Program:
    arrays = read_npz(content)
    description = json.loads(arrays["description"].tobytes().decode())
    nodes = tuple(_node(number, entry, arrays) for number, entry in enumerate(description["nodes"]))
    quantization = {name: Quantization(scale, zero) for name, (scale, zero) in description["quantization"].items()}
    return Program(nodes, quantization)


def _node(number: int, entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> Node:
    values = {key: value for key, value in entry.items() if key != "op"}
    if entry["op"] == "ProjectVector":
        values["projection"] = DenseProjection(**values["projection"])
    elif "projection" in values:
        values["projection"] = _projection(values["projection"])
    if "log_mel" in values:
        values["log_mel"] = LogMel(**values["log_mel"])
    for key in _TUPLES:
        if key in values:
            values[key] = tuple(values[key])
    for key, array in arrays.items():
        if key.startswith(f"{number}."):
            values[key.partition(".")[2]] = array
    node: Node = _NODES[entry["op"]](**values)
    return node


def _projection(raw: dict[str, Any]) -> TextProjection | BoxProjection:
    if "shape" in raw:
        return BoxProjection(**{**raw, "shape": tuple(raw["shape"]), "rows": tuple(raw["rows"])})
    groups = tuple(FeatureGroup(**group) for group in raw["groups"])
    return TextProjection(**{**raw, "groups": groups, "orders": tuple(raw["orders"])})
