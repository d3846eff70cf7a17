"""A small writer of Core ML programs: operators and constants in, the content of a package out.

Operators are those of iOS 16; parameters stand as literals in the operators that take them, and nothing has a name of its own
but input and output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.export.coreml_messages import MIL, FeatureTypes, Model
from understudy.export.coreml_package import FOLDER, WEIGHTS_NAME, WeightsWriter, pack

Array = npt.NDArray[Any]
Literal = str | bool | np.generic | Array
"""A parameter: a string, a truth value, or numbers, of which int32 and float32 are stored as they are."""

OPSET = "CoreML6"
_SPECIFICATION = 7
"""What came with iOS 16 and macOS 13."""
SMALLEST_IN_FILE = 10
"""Constants of fewer values stand in the model itself, as coremltools puts them."""
_KINDS = {
    np.dtype(np.bool_): MIL.BOOL,
    np.dtype(np.float32): MIL.FLOAT32,
    np.dtype(np.int32): MIL.INT32,
    np.dtype(np.int8): MIL.INT8,
    np.dtype(np.uint8): MIL.UINT8,
    np.dtype(np.uint32): MIL.UINT32,
}


class CoremlWriter:
    """Collects operators and constants; ``finish`` returns the package."""

    def __init__(self) -> None:
        self.owner = ""
        """Who is charged for the constants that are stored next."""
        self.stored_bytes: dict[str, int] = {}
        """Bytes of constants' values by owner."""
        self._weights = WeightsWriter()
        self._constants: dict[tuple[object, ...], str] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._model = Model.Model(specificationVersion=_SPECIFICATION)
        self._model.mlProgram.version = 1
        self._function = self._model.mlProgram.functions["main"]
        self._function.opset = OPSET
        self._block = self._function.block_specializations[OPSET]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._shapes[name]

    def input(self, name: str, shape: Sequence[int], *, real: bool = False) -> str:
        """Declare the input, int32 or float32."""
        value = self._function.inputs.add(name=name)
        _set_type(value.type, MIL.FLOAT32 if real else MIL.INT32, shape)
        kind = FeatureTypes.ArrayFeatureType.FLOAT32 if real else FeatureTypes.ArrayFeatureType.INT32
        self._describe(self._model.description.input, name, shape, kind)
        self._shapes[name] = tuple(shape)
        return name

    def operator(
        self,
        kind: str,
        inputs: Mapping[str, str | Sequence[str]],
        shape: Sequence[int],
        *,
        output: str | None = None,
        data_type: int = MIL.FLOAT32,
        **parameters: Literal,
    ) -> str:
        """Append one operator and return its output's name.

        Args:
            kind: its type.
            inputs: parameter to the tensor that it takes, or to several.
            shape: of the output.
            output: the output's name; by default one that is free.
            data_type: of the output.
            parameters: the others, as literals; ``shape_`` is the parameter ``shape``.
        """
        operation = self._block.operations.add(type=kind)
        for parameter, names in inputs.items():
            for name in [names] if isinstance(names, str) else names:
                operation.inputs[parameter].arguments.add().name = name
        for parameter, literal in parameters.items():
            _set_literal(operation.inputs[parameter.rstrip("_")].arguments.add().value, literal)
        return self._output(operation, shape, output=output, data_type=data_type)

    def floats(self, values: npt.ArrayLike) -> str:
        """Return a float32 constant."""
        array = np.asarray(values, np.float32)
        key = ("floats", array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.own_floats(array)
        return self._constants[key]

    def own_floats(self, array: npt.NDArray[np.float32]) -> str:
        """Return a constant that nothing else shares, so that the file's length does not depend on its values."""
        operation = self._block.operations.add(type="const")
        self._set_constant(operation.attributes["val"], array)
        return self._output(operation, array.shape)

    def bytes8(self, values: Array, *, zero_point: int = 0) -> str:
        """Return a float32 constant of ``values - zero_point``; values are stored as int8."""
        array = values.astype(np.int8)
        key = ("bytes", array.shape, array.tobytes(), zero_point)
        if key not in self._constants:
            operation = self._block.operations.add(type="constexpr_affine_dequantize")
            self._set_constant(operation.attributes["quantized_data"], array, in_file=True)
            _set_literal(operation.attributes["zero_point"], np.asarray(zero_point, np.int8))
            _set_literal(operation.attributes["scale"], np.asarray(1, np.float32))
            _set_literal(operation.attributes["axis"], np.asarray(0, np.int32))
            self._constants[key] = self._output(operation, array.shape)
        return self._constants[key]

    def nibbles(self, values: Array, *, table: Array) -> str:
        """Return a float32 constant of ``table[values]``; values 0 to 15 are stored in 4 bits, the first in the low half."""
        flat = np.append(values.ravel(), [0] * (values.size % 2)).astype(np.uint8)
        packed, entries = flat[0::2] | (flat[1::2] << 4), table.astype(np.float32)
        key = ("nibbles", values.shape, packed.tobytes(), entries.tobytes())
        if key not in self._constants:
            operation = self._block.operations.add(type="constexpr_lut_to_dense")
            self._set_constant(operation.attributes["indices"], packed, in_file=True)
            _set_literal(operation.attributes["lut"], entries)
            _set_literal(operation.attributes["shape"], np.asarray(values.shape, np.uint32))
            self._constants[key] = self._output(operation, values.shape)
        return self._constants[key]

    def finish(self, output: str, *, folder: str = FOLDER) -> bytes:
        """Return the package, called ``folder``, whose only output is the float32 tensor ``output``."""
        self._block.outputs.append(output)
        self._describe(self._model.description.output, output, self.shape(output), FeatureTypes.ArrayFeatureType.FLOAT32)
        return pack(self._model.SerializeToString(deterministic=True), self._weights.finish(), folder=folder)

    def _output(self, operation: Any, shape: Sequence[int], *, output: str | None = None, data_type: int = MIL.FLOAT32) -> str:
        name = output or f"t{len(self._shapes)}"
        value = operation.outputs.add(name=name)
        _set_type(value.type, data_type, shape)
        self._shapes[name] = tuple(shape)
        return name

    def _set_constant(self, value: Any, array: Array, *, in_file: bool = False) -> None:
        self.stored_bytes[self.owner] = self.stored_bytes.get(self.owner, 0) + array.nbytes
        if array.size < SMALLEST_IN_FILE and not in_file:
            _set_literal(value, array)
            return
        _set_type(value.type, _KINDS[array.dtype], array.shape)
        value.blobFileValue.fileName = WEIGHTS_NAME
        value.blobFileValue.offset = self._weights.add(array)

    def _describe(self, features: Any, name: str, shape: Sequence[int], data_type: int) -> None:
        array = features.add(name=name).type.multiArrayType
        array.shape.extend(shape)
        array.dataType = data_type


def _set_type(value_type: Any, data_type: int, shape: Sequence[int]) -> None:
    tensor = value_type.tensorType
    tensor.dataType, tensor.rank = data_type, len(shape)
    for size in shape:
        tensor.dimensions.add().constant.size = size


def _set_literal(value: Any, literal: Literal) -> None:
    tensor = value.immediateValue.tensor
    if isinstance(literal, str):
        _set_type(value.type, MIL.STRING, ())
        tensor.strings.values.append(literal)
        return
    array = np.asarray(literal)
    _set_type(value.type, _KINDS[array.dtype], array.shape)
    match array.dtype.name:
        case "bool":
            tensor.bools.values.extend(array.ravel().tolist())
        case "float32":
            tensor.floats.values.extend(array.ravel().tolist())
        case "int32":
            tensor.ints.values.extend(array.ravel().tolist())
        case _:
            tensor.bytes.values = array.tobytes()
