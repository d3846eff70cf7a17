"""The shape that each node of a program writes."""

from __future__ import annotations

import math
from collections.abc import Mapping

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
    Padding,
    ProjectBoxes,
    ProjectText,
    ProjectVector,
    Scan,
    Shape,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions


def output_shape(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape that ``node`` writes, given the shapes before it."""
    match node:
        case ProjectText():
            return node.projection.output_shape
        case Image():
            return node.shape
        case Sound():
            return node.log_mel.shape
        case Standardize():
            return node.output_shape
        case ProjectVector():
            return (*shapes[node.input][:-1], node.projection.features)
        case Linear():
            *lead, width = shapes[node.input]
            if width != node.weight.shape[1]:
                raise ValueError(f"{node.output}: weights {node.weight.shape} cannot read {shapes[node.input]}")
            return (*lead, node.weight.shape[0])
        case Conv() | DepthwiseConv():
            channels = shapes[node.input][2]
            if channels != (node.weight.shape[3] if isinstance(node, Conv) else node.weight.shape[0]):
                raise ValueError(f"{node.output}: weights {node.weight.shape} cannot read {shapes[node.input]}")
            return (*_places(node, shapes[node.input], node.weight.shape[1:3]), node.weight.shape[0])
        case LocalMaxPool():
            return (*_places(node, shapes[node.input], node.kernel), shapes[node.input][2])
        case ProjectBoxes():
            if shapes[node.input] != node.projection.shape:
                raise ValueError(f"{node.output}: a projection of {node.projection.shape} cannot read {shapes[node.input]}")
            return (node.projection.features,)
        case Window():
            words, width = shapes[node.input]
            return (words, width * node.width)
        case MaxPool() | SumPool() | Place():
            return shapes[node.input][-1:]
        case Add():
            first, second = (shapes[name] for name in node.inputs)
            if first != second:
                raise ValueError(f"{node.output}: {first} and {second} cannot be added")
            return first
        case Lookup() | LayerNorm():
            return shapes[node.input]
        case Multiply():
            first, second = (shapes[name] for name in node.inputs)
            if second not in (first, first[-1:]):
                raise ValueError(f"{node.output}: {first} and {second} cannot be multiplied")
            return first
        case Scan():
            steps, across, width = shapes[node.input]
            if across != 1 or width % 2:
                raise ValueError(f"{node.output}: a recurrence cannot read {shapes[node.input]}")
            return (steps, 1, width // 2)
        case Positions():
            height, width, channels = shapes[node.input]
            rows = len(node.table)
            if node.table.shape[1] != channels or rows < height * width:
                raise ValueError(f"{node.output}: a table {node.table.shape} cannot be added to {shapes[node.input]}")
            return (height, width, channels) if rows == height * width else (rows, 1, channels)
        case Attention():
            queries, keys, values = (shapes[name] for name in node.inputs)
            if queries != keys or keys[:-1] != values[:-1] or queries[-1] % node.heads or values[-1] % node.heads:
                raise ValueError(f"{node.output}: {node.heads} heads cannot read {queries}, {keys} and {values}")
            return values
        case Flatten():
            return (math.prod(shapes[node.input]),)
        case Concat():
            leads = {shapes[name][:-1] for name in node.inputs}
            if len(leads) > 1:
                raise ValueError(f"{node.output}: places {sorted(leads)} cannot be concatenated")
            return (*leads.pop(), sum(shapes[name][-1] for name in node.inputs))
        case Softmax():
            return shapes[node.input]


def _places(node: Conv | DepthwiseConv | LocalMaxPool, shape: Shape, kernel: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows and columns that ``node`` writes when it reads ``[H, W, C]``."""
    top, left, bottom, right = node.padding
    if max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]:
        raise ValueError(f"{node.output}: padding {node.padding} leaves places that see zeros only")
    rows = (shape[0] + top + bottom - kernel[0]) // node.stride + 1
    columns = (shape[1] + left + right - kernel[1]) // node.stride + 1
    if min(rows, columns) < 1:
        raise ValueError(f"{node.output}: kernel {tuple(kernel)} is larger than {shape}")
    return rows, columns


def same_padding(size: tuple[int, int], *, kernel: tuple[int, int], stride: int) -> Padding:
    """Return the padding with which ``[H, W]`` gives ``[ceil(H / stride), ceil(W / stride)]``; the odd zero comes last."""
    pairs = zip(size, kernel, strict=True)
    rows, columns = (max((-(-length // stride) - 1) * stride + reach - length, 0) for length, reach in pairs)
    return (rows // 2, columns // 2, rows - rows // 2, columns - columns // 2)
