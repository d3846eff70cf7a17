"""The reference: runs an integer program in NumPy, exact to the last bit; ``spec/program.md`` is its text form.

There is one walk over the nodes. What a tensor keeps of a result is the business of an ``Arithmetic``: here int8 steps, in
``real.py`` real numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

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
    Layer,
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
Tensor = Int8Array | Float64Array
"""Values in steps of their tensor's scale, the zero point included: rounded, or as they are."""
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


class Arithmetic(Protocol):
    """What a program computes with between its source and its logits."""

    def sums(self, exact: Float64Array) -> Float32Array | Float64Array:
        """Return sums of products, in units of the product of both scales, as they are multiplied with a scale."""
        ...

    def stored(self, steps: Float32Array | Float64Array, target: Quantization, *, relu: bool = False) -> Tensor:
        """Return what a tensor of ``target`` keeps of ``steps``, which are counted from its zero point."""
        ...

    def looked_up(self, node: Lookup, x: Tensor, source: Quantization, target: Quantization) -> Tensor:
        """Return the function of ``node`` of every value."""
        ...

    def scanned(self, x: Tensor) -> Tensor:
        """Return the states of a recurrence."""
        ...


class Integers:
    """int8 tensors, as ``spec/program.md`` says."""

    def sums(self, exact: Float64Array) -> Float32Array:
        """Return ``exact`` in float32.

        Raises:
            OverflowError: one at or over 2**24, which float32 does not hold exactly.
        """
        if exact.size and int(np.abs(exact).max()) >= ACCUMULATOR_LIMIT:
            raise OverflowError(f"an accumulator must stay below 2**24: received {int(np.abs(exact).max())}")
        return exact.astype(np.float32)

    def stored(self, steps: Float32Array | Float64Array, target: Quantization, *, relu: bool = False) -> Int8Array:
        """Return the nearest int8 value, ties to even."""
        rounded = np.rint(steps) + target.zero_point
        clipped: Int8Array = np.clip(rounded, target.zero_point if relu else -128, 127).astype(np.int8)
        return clipped

    def looked_up(self, node: Lookup, x: Tensor, source: Quantization, target: Quantization) -> Int8Array:  # noqa: ARG002
        """Return the values of the node's table."""
        assert node.table is not None
        return node.table[x.astype(np.int64) + 128]

    def scanned(self, x: Tensor) -> Int8Array:
        """Return int8 states."""
        return _scan(cast(Int8Array, x))


INTEGERS = Integers()


def requantize(accumulator: Int64Array | Float64Array, scale: Float32Array, output: Quantization, *, relu: bool) -> Int8Array:
    """Return ``clamp(zp + rint(float32(acc) * scale))``, ties to even; spec/program.md 2.

    Raises:
        OverflowError: an accumulator at or over 2**24, which float32 does not hold exactly.
    """
    return INTEGERS.stored(INTEGERS.sums(cast(Float64Array, accumulator)) * scale, output, relu=relu)


def standardize(node: Standardize, values: Float32Array) -> Int8Array:
    """Return ``values`` ``[batch, ...]`` of the node's shape as int8 ``[batch, *output_shape]``; spec/program.md 14."""
    with np.errstate(over="ignore", invalid="ignore"):
        real = (values.astype(np.float32, copy=False) - node.offset) * node.multiplier
        steps = np.rint(np.where(np.isnan(real), np.float32(0), real) / np.float32(node.quantization.scale))
    return np.clip(steps, -128, 127).astype(np.int8).reshape(len(values), *node.output_shape)


def _layer(node: Layer, sums: Float64Array, source: Quantization, target: Quantization, arithmetic: Arithmetic) -> Tensor:
    """Return what a layer makes of its products' ``sums``."""
    if node.bias is not None:
        sums = sums + node.bias.astype(np.float64)
    assert node.weight_scale is not None
    scale = requantize_scale(source.scale, node.weight_scale, target.scale)
    return arithmetic.stored(arithmetic.sums(sums) * scale, target, relu=node.relu)


def _linear_sums(node: Linear, x: Tensor, source: Quantization) -> Float64Array:
    # float64 matrix products of integers are exact here (|sum| < 2**53) and far faster than those of int64
    sums: Float64Array = (x.astype(np.float64) - source.zero_point) @ node.weight.astype(np.float64).T
    return sums


def _places(
    node: Conv | DepthwiseConv | LocalMaxPool, x: Tensor, *, kernel: tuple[int, ...], zero_point: int, outside: float = 0.0
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


def _conv_sums(node: Conv | DepthwiseConv, x: Tensor, source: Quantization) -> Float64Array:
    weight = node.weight.astype(np.float64)  # exact, see _linear_sums
    parts = (
        seen @ weight[:, i, j].T if isinstance(node, Conv) else seen * weight[:, i, j]
        for i, j, seen in _places(node, x, kernel=node.weight.shape[1:3], zero_point=source.zero_point)
    )
    return sum(parts, np.zeros(1))


def _local_max_pool(node: LocalMaxPool, x: Tensor) -> Tensor:
    seen = _places(node, x, kernel=node.kernel, zero_point=0, outside=-128)
    largest: Tensor = np.stack([values for _, _, values in seen]).max(axis=0).astype(x.dtype)
    return largest


def _add(node: Add, values: Mapping[str, Tensor], scheme: Mapping[str, Quantization], arithmetic: Arithmetic) -> Tensor:
    if len({scheme[name].scale for name in (*node.inputs, node.output)}) > 1:
        raise ValueError(f"{node.output}: what is added shares its scale with the sum")
    first, second = (values[name].astype(np.float64) - scheme[name].zero_point for name in node.inputs)
    return arithmetic.stored(first + second, scheme[node.output], relu=node.relu)


def _positions(node: Positions, x: Tensor, scheme: Mapping[str, Quantization], arithmetic: Arithmetic) -> Tensor:
    source, target = scheme[node.input], scheme[node.output]
    if source.scale != target.scale:
        raise ValueError(f"{node.output}: what is added shares its scale with the sum")
    rows = _rows(x).astype(np.float64) - source.zero_point
    lead = len(node.table) - rows.shape[1]
    total = arithmetic.stored(np.pad(rows, ((0, 0), (lead, 0), (0, 0))) + node.table.astype(np.float64), target)
    return total[:, :, None] if lead else total.reshape(x.shape)


def _multiply(
    node: Multiply, values: Mapping[str, Tensor], scheme: Mapping[str, Quantization], arithmetic: Arithmetic
) -> Tensor:
    first, second = (values[name].astype(np.float64) - scheme[name].zero_point for name in node.inputs)
    if first.ndim != second.ndim:  # a number for each channel
        second = second[:, None, None]
    (one, other), target = (scheme[name].scale for name in node.inputs), scheme[node.output]
    scale = requantize_scale(one, other, target.scale)
    return arithmetic.stored(arithmetic.sums(first * second) * scale, target)


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


def _window(node: Window, x: Tensor, zero_point: int) -> Tensor:
    before = (node.width - 1) // 2
    padded = np.pad(x, ((0, 0), (before, node.width - 1 - before), (0, 0)), constant_values=zero_point)
    return np.concatenate([padded[:, i : i + x.shape[1]] for i in range(node.width)], axis=2)


def _rows(x: Tensor) -> Tensor:
    """Return ``[batch, ..., E]`` as ``[batch, rows, E]``."""
    return x.reshape(len(x), -1, x.shape[-1])


def _sum_pool(node: SumPool, x: Tensor, source: Quantization, target: Quantization, arithmetic: Arithmetic) -> Tensor:
    sums = (_rows(x).astype(np.float64) - source.zero_point).sum(axis=1)
    return arithmetic.stored(arithmetic.sums(sums) * requantize_scale(source.scale, node.multiplier, target.scale), target)


def softmax(logits: Float32Array | Float64Array) -> Float32Array:
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
    logits = cast(Int8Array, logits_of(program, inputs, INTEGERS, batch_size=batch_size))
    quantization = program.quantization[program.logits]
    real = (logits.astype(np.float32) - quantization.zero_point) * np.float32(quantization.scale)
    return Scores(logits, softmax(real.astype(np.float32)))


def logits_of(program: Program, inputs: Inputs, arithmetic: Arithmetic, *, batch_size: int | None = None) -> Tensor:
    """Return the logits ``[batch, classes]`` in steps; see ``run``.

    Raises:
        ValueError: the program is not quantized.
    """
    if not program.quantization:
        raise ValueError("the interpreter runs integer programs: received a float one; quantize it first")
    rows = batch_size or max(1, min(_BATCH, _BATCH_BYTES // max(1, inputs[:1].nbytes)))
    parts = [_walk(program, inputs[begin : begin + rows], arithmetic)[program.logits] for begin in range(0, len(inputs), rows)]
    if not parts:
        return np.zeros((0, program.classes), np.int8)
    return cast(Tensor, np.concatenate(parts))


def tensors(program: Program, inputs: Inputs) -> dict[str, Int8Array]:
    """Return every int8 tensor ``[batch, ...]`` that ``program`` computes for ``inputs``, by name."""
    return cast(dict[str, Int8Array], _walk(program, inputs, INTEGERS))


def _walk(program: Program, inputs: Inputs, arithmetic: Arithmetic) -> dict[str, Tensor]:
    values: dict[str, Tensor] = {}
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
                sums = _linear_sums(node, values[node.input], scheme[node.input])
                values[node.output] = _layer(node, sums, scheme[node.input], scheme[node.output], arithmetic)
            case Conv() | DepthwiseConv():
                sums = _conv_sums(node, values[node.input], scheme[node.input])
                values[node.output] = _layer(node, sums, scheme[node.input], scheme[node.output], arithmetic)
            case ProjectBoxes():
                centred = values[node.input].astype(np.int16) - scheme[node.input].zero_point
                values[node.output] = boxes.project(node.projection, centred)
            case Window():
                values[node.output] = _window(node, values[node.input], scheme[node.input].zero_point)
            case MaxPool():
                values[node.output] = _rows(values[node.input]).max(axis=1)
            case SumPool():
                values[node.output] = _sum_pool(node, values[node.input], scheme[node.input], scheme[node.output], arithmetic)
            case LocalMaxPool():
                values[node.output] = _local_max_pool(node, values[node.input])
            case Add():
                values[node.output] = _add(node, values, scheme, arithmetic)
            case Lookup():
                values[node.output] = arithmetic.looked_up(node, values[node.input], scheme[node.input], scheme[node.output])
            case Multiply():
                values[node.output] = _multiply(node, values, scheme, arithmetic)
            case Scan():
                values[node.output] = arithmetic.scanned(values[node.input])
            case Flatten():
                values[node.output] = values[node.input].reshape(len(values[node.input]), -1)
            case Concat():
                values[node.output] = np.concatenate([values[name] for name in node.inputs], axis=-1)
            case Positions():
                values[node.output] = _positions(node, values[node.input], scheme, arithmetic)
            case Place():
                values[node.output] = _rows(values[node.input])[:, node.index]
            case LayerNorm():
                target = scheme[node.output]
                real = layer_norm(node, values[node.input], scheme[node.input])
                values[node.output] = arithmetic.stored(real / target.scale, target)
            case Attention():
                target = scheme[node.output]
                queries, keys, means = node.inputs
                mixed = attention(
                    node, (values[queries], values[keys], values[means]), (scheme[queries], scheme[keys], scheme[means])
                )
                values[node.output] = arithmetic.stored(mixed / target.scale, target)
            case Softmax():
                pass
    return values
