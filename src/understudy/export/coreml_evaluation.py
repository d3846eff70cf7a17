"""A Core ML program evaluated operator by operator in NumPy, where Apple's runtime is missing.

It reads the file as it is, knows nothing of the program that the file was written from, and follows the public definition of
the operators. It shows that the file says what is meant, not what Apple's kernels make of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from understudy.export.coreml_messages import MIL, Model
from understudy.export.coreml_package import FOLDER, read_weights, unpack
from understudy.export.protocol import Float32Array, Inputs

Array = npt.NDArray[Any]

_ERF = np.frompyfunc(math.erf, 1, 1)
_NUMPY = {
    MIL.BOOL: np.bool_,
    MIL.FLOAT32: np.float32,
    MIL.INT32: np.int32,
    MIL.INT8: np.int8,
    MIL.UINT8: np.uint8,
    MIL.UINT32: np.uint32,
}


@dataclass(frozen=True)
class _Step:
    """One operator, ready to run.

    Attributes:
        function: what it computes.
        tensors: parameter to the tensor that it takes, or to several.
        literals: the other parameters.
        output: the tensor that it writes.
        shape: of the output.
    """

    function: Callable[..., Array]
    tensors: dict[str, str | list[str]]
    literals: dict[str, Any]
    output: str
    shape: tuple[int, ...]


class CoremlEvaluation:
    """A program that takes one tensor and gives one float32 tensor, batch 1.

    Raises:
        ValueError: the package is damaged, or holds something else than such a program of known operators.
    """

    def __init__(self, content: bytes, *, folder: str = FOLDER) -> None:
        model_content, self._weights = unpack(content, folder=folder)
        model = Model.Model()
        model.ParseFromString(model_content)
        function = model.mlProgram.functions["main"]
        block = function.block_specializations[function.opset]
        if len(function.inputs) != 1 or len(block.outputs) != 1:
            raise ValueError(f"a program with {len(function.inputs)} inputs and {len(block.outputs)} outputs")
        self.input, self.output = function.inputs[0].name, block.outputs[0]
        self._constants: dict[str, Array] = {}
        self._steps: list[_Step] = []
        shapes = {self.input: _shape(function.inputs[0].type)}
        self.input_type = _NUMPY[function.inputs[0].type.tensorType.dataType]
        for operation in block.operations:
            [output] = operation.outputs
            shapes[output.name] = _shape(output.type)
            if operation.type in _CONSTANTS:
                attributes = {key: self._value(value) for key, value in operation.attributes.items() if key != "name"}
                self._constants[output.name] = _CONSTANTS[operation.type](**attributes).reshape(shapes[output.name])
            else:
                self._steps.append(self._step(operation, shapes[output.name]))
        self.classes = shapes[self.output][-1]
        self.input_shape = shapes[self.input]

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return the output for each row of ``inputs``, float32 ``[batch, classes]``."""
        out = np.empty((len(inputs), self.classes), np.float32)
        for i in range(len(inputs)):
            out[i] = self._run(inputs[i : i + 1].astype(self.input_type))[0]
        return out

    def _run(self, row: Array) -> Array:
        values = {**self._constants, self.input: row}
        for step in self._steps:
            taken = {
                key: values[names] if isinstance(names, str) else [values[name] for name in names]
                for key, names in step.tensors.items()
            }
            with np.errstate(over="ignore", invalid="ignore"):  # infinities and NaN may be what is read
                found = step.function(**taken, **step.literals)
            if found.shape != step.shape:
                raise ValueError(f"an operator that gives {found.shape} where the file says {step.shape}")
            values[step.output] = found
        return values[self.output]

    def _step(self, operation: Any, shape: tuple[int, ...]) -> _Step:
        if operation.type not in _FUNCTIONS:
            raise ValueError(f"an operator {operation.type!r}")
        tensors: dict[str, str | list[str]] = {}
        literals: dict[str, Any] = {}
        for key, argument in operation.inputs.items():
            names = [binding.name for binding in argument.arguments if binding.WhichOneof("binding") == "name"]
            if key == "values":
                tensors[key] = names
            elif names:
                [tensors[key]] = names
            else:
                [binding] = argument.arguments
                literals[key] = self._value(binding.value)
        return _Step(_FUNCTIONS[operation.type], tensors, literals, operation.outputs[0].name, shape)

    def _value(self, value: Any) -> Any:
        """Return a constant: a string, or an array."""
        if value.WhichOneof("value") == "blobFileValue":
            return read_weights(self._weights, value.blobFileValue.offset).reshape(_shape(value.type))
        tensor = value.immediateValue.tensor
        kind = tensor.WhichOneof("value")
        if kind == "strings":
            return tensor.strings.values[0]
        numpy_type = _NUMPY[value.type.tensorType.dataType]
        if kind == "bytes":
            return np.frombuffer(tensor.bytes.values, numpy_type).reshape(_shape(value.type))
        return np.asarray(getattr(tensor, kind).values, numpy_type).reshape(_shape(value.type))


def _shape(value_type: Any) -> tuple[int, ...]:
    return tuple(dimension.constant.size for dimension in value_type.tensorType.dimensions)


def _affine(quantized_data: Array, zero_point: Array, scale: Array, axis: Array) -> Array:
    del axis  # of scales that are one value
    return (quantized_data.astype(np.float32) - np.float32(zero_point)) * scale


def _lookup(indices: Array, lut: Array, shape: Array) -> Array:
    """Return the table's values for 4-bit ``indices``."""
    flat = np.stack([indices & 15, indices >> 4], axis=1).ravel()
    looked_up: Array = lut[flat[: int(np.prod(shape))]]
    return looked_up


def _around(x: Array, pad_type: str, pad: Array, value: float) -> Array:
    """Return the only example of ``x`` with ``value`` around its places."""
    top, bottom, left, right = (0, 0, 0, 0) if pad_type == "valid" else pad
    return np.pad(x[0], ((0, 0), (top, bottom), (left, right)), constant_values=value)


def _max_pool(x: Array, kernel_sizes: Array, strides: Array, pad_type: str, pad: Array, ceil_mode: Array) -> Array:
    if ceil_mode:
        raise ValueError("a pool of another kind")
    padded, (down, across) = _around(x, pad_type, pad, -np.inf), strides
    seen = sliding_window_view(padded, tuple(kernel_sizes), axis=(1, 2))[:, ::down, ::across]
    largest: Array = seen.max(axis=(3, 4))[None]
    return largest


def _conv(
    x: Array,
    weight: Array,
    strides: Array,
    dilations: Array,
    groups: Array,
    pad_type: str,
    pad: Array,
    bias: Array | None = None,
) -> Array:
    padded = _around(x, pad_type, pad, 0)
    outputs, channels, height, width = weight.shape
    (row, column), (down, across) = dilations, strides
    reach = ((height - 1) * row + 1, (width - 1) * column + 1)
    seen = sliding_window_view(padded, reach, axis=(1, 2))[:, ::down, ::across, ::row, ::column]  # [C, H', W', h, w]
    if groups == 1:
        found = np.tensordot(weight, seen, axes=((1, 2, 3), (0, 3, 4)))
    else:
        grouped = seen.reshape(int(groups), channels, *seen.shape[1:])
        kernel = weight.reshape(int(groups), -1, channels, height, width)
        found = np.einsum("gochw,gcyxhw->goyxchw", kernel, grouped).sum(axis=(4, 5, 6)).reshape(outputs, *seen.shape[1:3])
    return (found if bias is None else found + bias[:, None, None])[None].astype(np.float32)


def _pad(x: Array, pad: Array, mode: str, constant_val: Array) -> Array:
    if mode != "constant":
        raise ValueError(f"padding {mode!r}")
    return np.pad(x, pad.reshape(-1, 2), constant_values=constant_val)


def _concat(values: list[Array], axis: Array, interleave: Array) -> Array:
    if interleave:
        raise ValueError("a concatenation of another kind")
    return np.concatenate(values, axis=int(axis))


def _softmax(x: Array, axis: Array) -> Array:
    shifted = np.exp(x - x.max(axis=int(axis), keepdims=True))
    quotient: Array = shifted / shifted.sum(axis=int(axis), keepdims=True)
    return quotient


def _matmul(x: Array, y: Array, transpose_x: Array, transpose_y: Array) -> Array:
    left, right = (np.swapaxes(v, -1, -2) if flag else v for v, flag in ((x, transpose_x), (y, transpose_y)))
    product: Array = left @ right
    return product


def _cumsum(x: Array, axis: Array, exclusive: Array, reverse: Array) -> Array:
    if exclusive or reverse:
        raise ValueError("a cumulative sum of another kind")
    return x.cumsum(axis=int(axis), dtype=np.float32)


def _slice(x: Array, begin: Array, end: Array) -> Array:
    return x[tuple(slice(*pair) for pair in zip(begin, end, strict=True))]


def _select(cond: Array, a: Array, b: Array) -> Array:
    chosen: Array = np.where(cond, a, b)
    return chosen


def _reduced(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda x, axes, keep_dims: function(x, axis=tuple(axes), keepdims=bool(keep_dims))


def _log(x: Array, epsilon: Array) -> Array:
    logarithm: Array = np.log(x + epsilon)
    return logarithm


def _gelu(x: Array, mode: str) -> Array:
    if mode != "EXACT":
        raise ValueError(f"a GELU {mode!r}")
    return (0.5 * x * (1 + np.asarray(_ERF(x / math.sqrt(2)), np.float64))).astype(np.float32)


def _unary(function: np.ufunc) -> Callable[..., Array]:
    def applied(x: Array) -> Array:
        found: Array = function(x)
        return found

    return applied


def _binary(function: np.ufunc) -> Callable[..., Array]:
    def applied(x: Array, y: Array) -> Array:
        found: Array = function(x, y)
        return found

    return applied


_CONSTANTS: Mapping[str, Callable[..., Array]] = {
    "const": lambda val: val,
    "constexpr_affine_dequantize": _affine,
    "constexpr_lut_to_dense": _lookup,
}
_FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "abs": _unary(np.abs),
    "add": lambda x, y: x + y,
    "cast": lambda x, dtype: x.astype({"fp32": np.float32, "int32": np.int32}[dtype]),
    "clip": lambda x, alpha, beta: x.clip(alpha, beta),
    "concat": _concat,
    "conv": _conv,
    "cumsum": _cumsum,
    "equal": lambda x, y: x == y,
    "exp": _unary(np.exp),
    "floor": _unary(np.floor),
    "gather": lambda x, indices, axis: np.take(x, indices, axis=int(axis)),
    "gelu": _gelu,
    "greater_equal": lambda x, y: x >= y,
    "log": _log,
    "matmul": _matmul,
    "max_pool": _max_pool,
    "maximum": _binary(np.maximum),
    "minimum": _binary(np.minimum),
    "mod": lambda x, y: x % y,
    "mul": lambda x, y: x * y,
    "pad": _pad,
    "range_1d": lambda start, end, step: np.arange(start.item(), end.item(), step.item()).astype(np.float32),
    "real_div": lambda x, y: x / y,
    "reduce_max": _reduced(np.max),
    "reduce_sum": _reduced(np.sum),
    "relu": lambda x: np.maximum(x, 0),
    "reshape": lambda x, shape: x.reshape(shape),
    "round": _unary(np.rint),
    "sigmoid": lambda x: (1 / (1 + np.exp(-x))).astype(np.float32),
    "sign": _unary(np.sign),
    "select": _select,
    "slice_by_index": _slice,
    "softmax": _softmax,
    "sub": lambda x, y: x - y,
    "tanh": _unary(np.tanh),
    "transpose": lambda x, perm: x.transpose(perm),
}
"""Operators of the opset that understudy writes."""
