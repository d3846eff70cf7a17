"""The reference: runs an integer program in NumPy, exact to the last bit; ``spec/program.md`` is its text form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from understudy.program.islands import attention, layer_norm
from understudy.program.ops import (
    ACCUMULATOR_LIMIT,
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Flatten,
    Image,
    Linear,
    LocalMaxPool,
    MaxPool,
    Program,
    ProjectBoxes,
    ProjectText,
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
from understudy.projections import boxes
from understudy.projections.log_mel import pictures
from understudy.projections.text import project

UInt8Array = npt.NDArray[np.uint8]
Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Inputs = Int32Array | UInt8Array | Float32Array | Int16Array
"""What programs read: bytes int32 ``[batch, max_bytes]``, pixels uint8 ``[batch, H, W, C]``, numbers float32
``[batch, d]`` or ``[batch, T, C]``, or samples int16 ``[batch, samples]``."""
_BATCH, _BATCH_BYTES = 256, 1 << 22
"""Rows, and bytes of inputs, that are run together at most."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What a student says about a batch: int8 ``logits`` and float32 ``probabilities``, both ``[batch, classes]``."""

    logits: Int8Array
    probabilities: Float32Array


def requantize_scale(input_scale: float, weight_scale: npt.ArrayLike, output_scale: float) -> Float32Array:
    """Return ``float32(float32(s_in * s_w) / s_out)``; spec/program.md 2."""
    product = np.float32(input_scale) * np.asarray(weight_scale, np.float32)
    return np.asarray(product.astype(np.float32) / np.float32(output_scale), np.float32)


def requantize(accumulator: Int64Array, scale: Float32Array, output: Quantization, *, relu: bool) -> Int8Array:
    """Return ``clamp(zp + rint(float32(acc) * scale))``, ties to even; spec/program.md 2.

    Raises:
        OverflowError: an accumulator at or over 2**24, which float32 does not hold exactly.
    """
    if accumulator.size and int(np.abs(accumulator).max()) >= ACCUMULATOR_LIMIT:
        raise OverflowError(f"an accumulator must stay below 2**24: received {int(np.abs(accumulator).max())}")
    rounded = np.rint(accumulator.astype(np.float32) * scale) + output.zero_point
    clipped: Int8Array = np.clip(rounded, output.zero_point if relu else -128, 127).astype(np.int8)
    return clipped


def standardize(node: Standardize, values: Float32Array) -> Int8Array:
    """Return ``values`` ``[batch, ...]`` of the node's shape as int8 ``[batch, *output_shape]``; spec/program.md 14."""
    with np.errstate(over="ignore", invalid="ignore"):
        real = (values.astype(np.float32, copy=False) - node.offset) * node.multiplier
        steps = np.rint(np.where(np.isnan(real), np.float32(0), real) / np.float32(node.quantization.scale))
    return np.clip(steps, -128, 127).astype(np.int8).reshape(len(values), *node.output_shape)


def _linear(node: Linear, x: Int8Array, source: Quantization, target: Quantization) -> Int8Array:
    # float64 matrix products are exact here (|sum| < 2**53) and far faster than integer ones
    centred = x.astype(np.float64) - source.zero_point
    sums = (centred @ node.weight.astype(np.float64).T).astype(np.int64)
    if node.bias is not None:
        sums += node.bias.astype(np.int64)
    assert node.weight_scale is not None
    return requantize(sums, requantize_scale(source.scale, node.weight_scale, target.scale), target, relu=node.relu)


def _places(
    node: Conv | DepthwiseConv | LocalMaxPool, x: Int8Array, *, kernel: tuple[int, ...], zero_point: int, outside: float = 0.0
) -> Iterator[tuple[int, int, Float64Array]]:
    """Yield (row, column, inputs) for each place of the kernel: what it sees from every output, ``[batch, H', W', I]``.

    Inputs are less their zero point, and ``outside`` stands around them.
    """
    top, left, bottom, right = node.padding
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    centred = np.pad(x.astype(np.float64) - zero_point, around, constant_values=outside)
    height, width = kernel
    rows, columns = (centred.shape[1] - height) // node.stride + 1, (centred.shape[2] - width) // node.stride + 1
    for i in range(height):
        for j in range(width):
            reach = centred[:, i : i + rows * node.stride : node.stride, j : j + columns * node.stride : node.stride]
            yield i, j, reach[:, :rows, :columns]


def _conv(node: Conv | DepthwiseConv, x: Int8Array, source: Quantization, target: Quantization) -> Int8Array:
    weight = node.weight.astype(np.float64)  # exact, see _linear
    parts = (
        seen @ weight[:, i, j].T if isinstance(node, Conv) else seen * weight[:, i, j]
        for i, j, seen in _places(node, x, kernel=node.weight.shape[1:3], zero_point=source.zero_point)
    )
    sums = sum(parts, np.zeros(1)).astype(np.int64) + (0 if node.bias is None else node.bias.astype(np.int64))
    assert node.weight_scale is not None
    return requantize(sums, requantize_scale(source.scale, node.weight_scale, target.scale), target, relu=node.relu)


def _local_max_pool(node: LocalMaxPool, x: Int8Array) -> Int8Array:
    seen = _places(node, x, kernel=node.kernel, zero_point=0, outside=-128)
    largest: Int8Array = np.stack([values for _, _, values in seen]).max(axis=0).astype(np.int8)
    return largest


def _add(node: Add, values: Mapping[str, Int8Array], scheme: Mapping[str, Quantization]) -> Int8Array:
    if len({scheme[name].scale for name in (*node.inputs, node.output)}) > 1:
        raise ValueError(f"{node.output}: what is added shares its scale with the sum")
    target = scheme[node.output].zero_point
    total = sum(values[name].astype(np.int64) - scheme[name].zero_point for name in node.inputs) + target
    clipped: Int8Array = np.clip(total, target if node.relu else -128, 127).astype(np.int8)
    return clipped


def _positions(node: Positions, x: Int8Array, scheme: Mapping[str, Quantization]) -> Int8Array:
    source, target = scheme[node.input], scheme[node.output]
    if source.scale != target.scale:
        raise ValueError(f"{node.output}: what is added shares its scale with the sum")
    rows = _rows(x).astype(np.int64) - source.zero_point
    lead = len(node.table) - rows.shape[1]
    total = np.pad(rows, ((0, 0), (lead, 0), (0, 0))) + node.table.astype(np.int64) + target.zero_point
    clipped: Int8Array = np.clip(total, -128, 127).astype(np.int8)
    return clipped[:, :, None] if lead else clipped.reshape(x.shape)


def _lookup(node: Lookup, x: Int8Array) -> Int8Array:
    assert node.table is not None
    return node.table[x.astype(np.int64) + 128]


def _multiply(node: Multiply, values: Mapping[str, Int8Array], scheme: Mapping[str, Quantization]) -> Int8Array:
    first, second = (values[name].astype(np.int64) - scheme[name].zero_point for name in node.inputs)
    if first.ndim != second.ndim:  # a number for each channel
        second = second[:, None, None]
    (one, other), target = (scheme[name].scale for name in node.inputs), scheme[node.output]
    return requantize(first * second, requantize_scale(one, other, target.scale), target, relu=False)


def _scan(x: Int8Array) -> Int8Array:
    steps = x[:, :, 0].astype(np.int64)
    gates, candidates = np.split(steps, 2, axis=-1)
    inflow = gates + 128
    state = np.zeros_like(inflow[:, 0])
    out = np.empty(inflow.shape, np.int64)
    for step in range(inflow.shape[1]):
        # >> 8 rounds down, so that half of 256 rounds to the nearest
        state = (256 * inflow[:, step] * candidates[:, step] + (256 - inflow[:, step]) * state + 128) >> 8
        out[:, step] = (state + 128) >> 8
    return out.astype(np.int8)[:, :, None]


def _window(node: Window, x: Int8Array, zero_point: int) -> Int8Array:
    before = (node.width - 1) // 2
    padded = np.pad(x, ((0, 0), (before, node.width - 1 - before), (0, 0)), constant_values=zero_point)
    return np.concatenate([padded[:, i : i + x.shape[1]] for i in range(node.width)], axis=2)


def _rows(x: Int8Array) -> Int8Array:
    """Return ``[batch, ..., E]`` as ``[batch, rows, E]``."""
    return x.reshape(len(x), -1, x.shape[-1])


def _sum_pool(node: SumPool, x: Int8Array, source: Quantization, target: Quantization) -> Int8Array:
    sums = (_rows(x).astype(np.int64) - source.zero_point).sum(axis=1)
    return requantize(sums, requantize_scale(source.scale, node.multiplier, target.scale), target, relu=False)


def softmax(logits: Float32Array) -> Float32Array:
    """Return float32 probabilities over the last axis."""
    shifted = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    probabilities: Float32Array = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return probabilities


def run(program: Program, inputs: Inputs, *, batch_size: int | None = None) -> Scores:
    """Return the scores of ``inputs``, as ``program`` reads them, under an integer ``program``.

    ``batch_size`` rows are held at once; None: 256, and fewer of large ones, because maps are held in float64.

    Raises:
        ValueError: the program is not quantized.
    """
    if not program.quantization:
        raise ValueError("the interpreter runs integer programs: received a float one; quantize it first")
    rows = batch_size or max(1, min(_BATCH, _BATCH_BYTES // max(1, inputs[:1].nbytes)))
    parts = [_run_batch(program, inputs[begin : begin + rows]) for begin in range(0, len(inputs), rows)]
    if not parts:
        empty = np.zeros((0, program.classes))
        return Scores(empty.astype(np.int8), empty.astype(np.float32))
    logits = np.concatenate(parts)
    quantization = program.quantization[program.logits]
    real = (logits.astype(np.float32) - quantization.zero_point) * np.float32(quantization.scale)
    return Scores(logits, softmax(real.astype(np.float32)))


def tensors(program: Program, inputs: Inputs) -> dict[str, Int8Array]:
    """Return every int8 tensor ``[batch, ...]`` that ``program`` computes for ``inputs``, by name."""
    values: dict[str, Int8Array] = {}
    scheme = program.quantization
    for node in program.nodes:
        match node:
            case ProjectText():
                values[node.output] = project(node.projection, inputs.astype(np.int32, copy=False))
            case Image():
                values[node.output] = (inputs.astype(np.int16) - 128).astype(np.int8)
            case Sound():
                samples = inputs.astype(np.int16, copy=False)
                values[node.output] = (pictures(node.log_mel, samples).astype(np.int16) - 128).astype(np.int8)
            case Standardize():
                values[node.output] = standardize(node, np.asarray(inputs, np.float32))
            case Linear():
                values[node.output] = _linear(node, values[node.input], scheme[node.input], scheme[node.output])
            case Conv() | DepthwiseConv():
                values[node.output] = _conv(node, values[node.input], scheme[node.input], scheme[node.output])
            case ProjectBoxes():
                centred = values[node.input].astype(np.int16) - scheme[node.input].zero_point
                values[node.output] = boxes.project(node.projection, centred)
            case Window():
                values[node.output] = _window(node, values[node.input], scheme[node.input].zero_point)
            case MaxPool():
                values[node.output] = _rows(values[node.input]).max(axis=1)
            case SumPool():
                values[node.output] = _sum_pool(node, values[node.input], scheme[node.input], scheme[node.output])
            case LocalMaxPool():
                values[node.output] = _local_max_pool(node, values[node.input])
            case Add():
                values[node.output] = _add(node, values, scheme)
            case Lookup():
                values[node.output] = _lookup(node, values[node.input])
            case Multiply():
                values[node.output] = _multiply(node, values, scheme)
            case Scan():
                values[node.output] = _scan(values[node.input])
            case Flatten():
                values[node.output] = values[node.input].reshape(len(values[node.input]), -1)
            case Concat():
                values[node.output] = np.concatenate([values[name] for name in node.inputs], axis=-1)
            case Positions():
                values[node.output] = _positions(node, values[node.input], scheme)
            case Place():
                values[node.output] = _rows(values[node.input])[:, node.index]
            case LayerNorm():
                values[node.output] = layer_norm(node, values[node.input], scheme[node.input], scheme[node.output])
            case Attention():
                queries, keys, means = node.inputs
                parts = (values[queries], values[keys], values[means])
                sources = (scheme[queries], scheme[keys], scheme[means])
                values[node.output] = attention(node, parts, sources, scheme[node.output])
            case Softmax():
                pass
    return values


def _run_batch(program: Program, inputs: Inputs) -> Int8Array:
    return tensors(program, inputs)[program.logits]
