"""Teachers in ``.pt2`` files: programs of ``torch.export``, read here because ``torch.export.load`` can run code from them.

That function unpickles (``weights_only=False``), evaluates expressions with sympy and resolves any name under ``torch``.
This reader takes three things from the archive, the graph as JSON, weights and constants as raw bytes, and calls ATen
operators only. All else in the archive is not opened.
"""

from __future__ import annotations

import hashlib
import io
import json
import operator
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from understudy.errors import InputError
from understudy.projections.text import encode
from understudy.teachers.class_order import names_beside
from understudy.teachers.image_input import ImageInput
from understudy.teachers.image_model import ImageModel, NotForImagesError
from understudy.teachers.model_file import file_summary, read_file, unreadable
from understudy.teachers.torch import TorchTeacher
from understudy.teachers.torch_image import torch_image_model

_SCHEMA_MAJOR = 8
# torch/_export/serde/schema.py, class ScalarType
_DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_PIXEL_TYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64")
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_STRIDED = 7
_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_CHECKS = re.compile(r"torch\.ops\.aten\.(_assert\w*|sym_constrain\w*)\.\w+")
_SHAPE_ARITHMETIC: dict[str, Callable[..., Any]] = {
    **{f"_operator.{f.__name__}": f for f in (operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod)},
    **{f"_operator.{f.__name__}": f for f in (operator.neg, operator.eq, operator.ne, operator.ge, operator.gt)},
    **{f"_operator.{f.__name__}": f for f in (operator.le, operator.lt, operator.truediv)},
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_not": operator.not_,
}
_OPERATOR = type(torch.ops.aten.relu.default)
_LISTS = {"as_ints", "as_floats", "as_bools", "as_strings", "as_int_lists", "as_float_lists"}
_LITERALS = {"as_int", "as_float", "as_bool", "as_string"} | _LISTS


class UnsafeProgramError(Exception):
    """A program asks for something else than ATen operators on tensors."""


@dataclass(frozen=True)
class _Node:
    function: Callable[..., Any]
    positional: tuple[Mapping[str, Any], ...]
    named: Mapping[str, Mapping[str, Any]]
    outputs: tuple[Any, ...]


class TorchProgram(torch.nn.Module):
    """The graph of a ``.pt2`` file as a module: one tensor ``[examples, ...]`` to ``[examples, classes]``.

    Its weights are parameters, so that it can learn in joint training; it has no training mode of its own.
    """

    def __init__(self, document: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        """Check and take over the graph in ``document``; ``tensors`` are weights and constants by name."""
        super().__init__()
        if document["schema_version"]["major"] != _SCHEMA_MAJOR:
            raise ValueError(f"schema version {document['schema_version']['major']}, known is {_SCHEMA_MAJOR}")
        graph, signature = document["graph_module"]["graph"], document["graph_module"]["signature"]
        self.weights = torch.nn.ParameterList()
        self._slots: list[tuple[str, torch.Tensor]] = []
        inputs: list[str] = []
        for spec in signature["input_specs"]:
            ((kind, fields),) = spec.items()
            if kind == "user_input":
                inputs.append(fields["arg"]["as_tensor"]["name"])
            elif kind in ("parameter", "buffer", "tensor_constant"):
                tensor = tensors[fields[f"{kind}_name"]]
                if kind == "parameter" and tensor.is_floating_point():
                    self.weights.append(torch.nn.Parameter(tensor))
                    tensor = self.weights[-1]
                else:
                    self.register_buffer(f"constant_{len(self._slots)}", tensor)
                self._slots.append((fields["arg"]["name"], tensor))
            else:
                raise UnsafeProgramError(f"an input of kind {kind}")
        outputs = [spec["user_output"]["arg"]["as_tensor"]["name"] for spec in signature["output_specs"]]
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs, one of each is needed")
        self._input, self._output = inputs[0], outputs[0]
        meta = graph["tensor_values"][self._input]
        sizes = [size.get("as_int") for size in meta["sizes"]]
        self.input_dtype = _DTYPES[meta["dtype"]]
        self.batch: int | None = sizes[0]
        self.sizes: tuple[int | None, ...] = tuple(sizes[1:])
        self._nodes = [_node(node) for node in graph["nodes"] if not _CHECKS.fullmatch(node["target"])]

    @property
    def max_bytes(self) -> int:
        """Bytes of a text that it reads.

        Raises:
            ValueError: it reads no texts.
        """
        if len(self.sizes) != 1 or self.sizes[0] is None or self.input_dtype not in (torch.int32, torch.uint8):
            raise ValueError(f"input {self.input_dtype}{[self.batch, *self.sizes]}, int32 or uint8 [texts, bytes] is needed")
        return self.sizes[0]

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """Return the program's output; a program of fixed batch size runs as often as it must."""
        given = examples.to(self.input_dtype)
        if self.batch is None:
            return self._run(given)
        missing = -len(given) % self.batch
        filled = torch.cat([given, given.new_zeros(missing, *given.shape[1:])])
        return torch.cat([self._run(part) for part in torch.split(filled, self.batch)])[: len(given)]

    def _run(self, examples: torch.Tensor) -> torch.Tensor:
        values: dict[str, Any] = {name: tensor.clone() for name, tensor in self._slots}
        values[self._input] = examples
        for node in self._nodes:
            positional = [_value(argument, values) for argument in node.positional]
            named = {name: _value(argument, values) for name, argument in node.named.items()}
            _bind(node.outputs, node.function(*positional, **named), values)
        found = values[self._output]
        if not isinstance(found, torch.Tensor):
            raise TypeError(f"output of type {type(found).__name__}")
        return found


def torch_program_teacher(path: Path) -> TorchTeacher:
    """Return the teacher in the ``.pt2`` file ``path``, whose input is UTF-8 bytes int32 or uint8 ``[texts, L]``.

    Raises:
        InputError: unreadable, pickled parts, other operators than ATen's, or another kind of input.
    """
    program = _open(path, try_out=lambda opened: opened(torch.from_numpy(encode([""], max_bytes=opened.max_bytes))))
    return TorchTeacher(
        module=program,
        prepare=lambda texts: torch.from_numpy(encode(texts, max_bytes=program.max_bytes)),
        name=path.name,
        class_names=names_beside(path),
        input_note=f"{str(program.input_dtype).removeprefix('torch.')} bytes [{program.batch or 'any'}, {program.max_bytes}]",
    )


def torch_program_image_model(path: Path) -> ImageModel:
    """Return the model for images in the ``.pt2`` file ``path``: one tensor of pixels in, ``[images, classes]`` out.

    Raises:
        InputError: unreadable, pickled parts, other operators than ATen's, or an input that is no batch of images.
    """
    program = _open(path, try_out=None)
    dtype = str(program.input_dtype).removeprefix("torch.")
    if dtype not in _PIXEL_TYPES or not program.sizes:
        raise NotForImagesError(
            f"a .pt2 teacher for images takes one tensor of pixels: received input={dtype}{[program.batch, *program.sizes]} in "
            f"teacher={str(path)!r}; export it with that tensor alone"
        )
    whole = torch_image_model(program)
    content = read_file(path)
    return replace(
        whole,
        input=ImageInput(batch=program.batch, sizes=program.sizes, dtype=dtype),
        name=path.name,
        digest=hashlib.sha256(content).hexdigest(),
        class_names=names_beside(path),
        summary=file_summary(path, content, format_name="torch.export"),
        size_bytes=len(content),
        opaque=False,
    )


def _open(path: Path, *, try_out: Callable[[TorchProgram], Any] | None) -> TorchProgram:
    """Return the program in ``path``, in evaluation mode, after ``try_out`` ran without an error."""
    content = read_file(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            program = TorchProgram(json.loads(_member(archive, "models/model.json")), _tensors(archive))
        program.eval()
        if try_out is not None:
            with torch.no_grad():
                try_out(program)
    except UnsafeProgramError as error:
        raise InputError(
            f"a .pt2 teacher is made of ATen operators and plain tensors, so that loading it runs no code: received {error} "
            f"in teacher={str(path)!r}; export it again without it, or load it in your own code and give file.py:name"
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise unreadable(path, format_name="torch.export", reason=error) from None
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise unreadable(path, format_name="torch.export", reason=f"{type(error).__name__}: {error}") from None
    return program


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the archive member ``<any folder>/name``."""
    found = [member for member in archive.namelist() if member.partition("/")[2] == name]
    if len(found) != 1:
        raise LookupError(f"{len(found)} members {name}")
    return archive.read(found[0])


def _tensors(archive: zipfile.ZipFile) -> dict[str, torch.Tensor]:
    """Return weights and constants by name, from raw bytes."""
    out: dict[str, torch.Tensor] = {}
    for folder in ("weights", "constants"):
        config = json.loads(_member(archive, f"data/{folder}/model_{folder}_config.json"))["config"]
        for name, entry in config.items():
            if entry["use_pickle"] or entry["tensor_meta"] is None:
                raise UnsafeProgramError(f"the pickled object {name}")
            meta = entry["tensor_meta"]
            raw = _member(archive, f"data/{folder}/{entry['path_name']}")
            dtype = _DTYPES[meta["dtype"]]
            flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.zeros(0, dtype=dtype)
            sizes, strides = ([item["as_int"] for item in meta[key]] for key in ("sizes", "strides"))
            out[name] = flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"]).clone()
    return out


def _node(node: Mapping[str, Any]) -> _Node:
    """Return a node whose operator is allowed, with arguments that are allowed."""
    for entry in node["inputs"]:
        _check_argument(entry["arg"])
    return _Node(
        function=_function(node["target"]),
        # torch/_export/serde/schema.py, class ArgumentKind: 1 is positional, 2 is by keyword
        positional=tuple(entry["arg"] for entry in node["inputs"] if entry["kind"] != 2),
        named={entry["name"]: entry["arg"] for entry in node["inputs"] if entry["kind"] == 2},
        outputs=tuple(node["outputs"]),
    )


def _function(target: str) -> Callable[..., Any]:
    if target in _SHAPE_ARITHMETIC:
        return _SHAPE_ARITHMETIC[target]
    match = _ATEN.fullmatch(target)
    packet = getattr(torch.ops.aten, match[1], None) if match else None
    found = getattr(packet, match[2], None) if match else None
    if not isinstance(found, _OPERATOR):
        raise UnsafeProgramError(f"operator {target!r}")
    # save and from_file reach the disk; an operator without a result can only have a side effect.
    schema = found._schema  # noqa: SLF001 - torch has no public name for it
    if not schema.returns or any(argument.name == "filename" for argument in schema.arguments):
        raise UnsafeProgramError(f"operator {target!r}")
    return found


def _check_argument(argument: Mapping[str, Any]) -> None:
    ((kind, _),) = argument.items()
    readable = {"as_none", "as_tensor", "as_tensors", "as_optional_tensor", "as_optional_tensors", "as_scalar_type"}
    symbolic = {"as_sym_int", "as_sym_ints", "as_sym_float", "as_sym_floats", "as_sym_bool", "as_sym_bools"}
    if kind not in _LITERALS | readable | symbolic | {"as_memory_format", "as_layout", "as_device"}:
        raise UnsafeProgramError(f"an argument of kind {kind}")


def _value(argument: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """Return what ``argument``, one of the unions of torch's schema, stands for."""
    ((kind, content),) = argument.items()
    if kind in _LITERALS:
        return content
    if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools", "as_optional_tensors"):
        return [_value(item, values) for item in content]
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool", "as_optional_tensor"):
        return _value(content, values)
    match kind:
        case "as_none":
            return None
        case "as_name":
            return values[content]
        case "as_tensor":
            return values[content["name"]]
        case "as_tensors":
            return [values[item["name"]] for item in content]
        case "as_scalar_type":
            return _DTYPES[content]
        case "as_memory_format":
            return _MEMORY_FORMATS[content]
        case "as_layout" if content == _STRIDED:
            return torch.strided
        case "as_device":
            return torch.device("cpu")
    raise ValueError(f"argument {kind}={content}")


def _bind(outputs: tuple[Any, ...], result: Any, values: dict[str, Any]) -> None:
    """Give the results of one operator the names that ``outputs`` lists."""
    results = result if len(outputs) > 1 else (result,)
    for output, found in zip(outputs, results, strict=True):
        ((kind, content),) = output.items()
        if kind == "as_tensor":
            values[content["name"]] = found
        elif kind == "as_tensors":
            values.update({item["name"]: part for item, part in zip(content, found, strict=True)})
        elif kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
            values[content["as_name"]] = found
        elif kind != "as_none":
            raise ValueError(f"output {kind}")
