"""LiteRT: one ``model.tflite`` with built-in operators only, written from the program without a converter.

Needs the packages ai-edge-litert (the flatbuffer schema and the interpreter) and flatbuffers.
"""

from __future__ import annotations

import importlib.metadata
import struct
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import BundleError, missing_extra
from understudy.export.model_file import ModelFileExporter, read_model_file
from understudy.export.native_stderr import dropped_lines
from understudy.export.protocol import Float32Array, Inputs
from understudy.export.refused import need_no_recurrence
from understudy.program.ops import Program

try:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    from understudy.export.litert_program import write_program
except ImportError as error:
    if (error.name or "").startswith("understudy"):
        raise  # a fault of ours is no missing package
    raise missing_extra(purpose="LiteRT files", extra="litert") from error


class LitertSession:
    """A ``.tflite`` file in the LiteRT interpreter with its default delegate, batch 1."""

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        self.runtime = f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"
        with dropped_lines(b"INFO: Created TensorFlow Lite XNNPACK delegate"):
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        self._output: int = self._interpreter.get_output_details()[0]["index"]
        self._classes: int = self._interpreter.get_output_details()[0]["shape"][-1]

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        out = np.empty((len(inputs), self._classes), np.float32)
        for i in range(len(inputs)):
            self._interpreter.set_tensor(self._input, inputs[i : i + 1])
            self._interpreter.invoke()
            out[i] = self._interpreter.get_tensor(self._output)[0]
        return out


class LitertExporter(ModelFileExporter):
    """Writes and opens ``model.tflite``."""

    format = "litert"
    filename = "model.tflite"
    session: type[LitertSession] = LitertSession
    """What ``open`` returns."""

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores; a program with a recurrence is refused."""
        need_no_recurrence(program, format_name=self.format)
        return write_program(program)

    def open(self, folder: Path, *, name: str, threads: int = 1) -> LitertSession:  # noqa: ARG002 - files do not hold the name
        """Return a session on the file.

        Raises:
            BundleError: the file is missing, truncated, or not one with built-in operators only.
        """
        path = folder / self.filename
        return self.open_content(read_model_file(path), path=path, threads=threads)

    def open_content(self, content: bytes, *, path: Path, threads: int = 1) -> LitertSession:
        """Return a session on ``content``, which messages call ``path``.

        Raises:
            BundleError: it is truncated, or not one with built-in operators only.
        """
        try:
            _check(content)
            return self.session(content, threads=threads)
        except (ValueError, RuntimeError, struct.error, IndexError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise BundleError(
                f"a LiteRT model must be complete and use built-in operators: received path={str(path)!r} ({reason}); "
                "copy or compress it again"
            ) from error


def _check(content: bytes) -> None:
    """Read every table once, because the interpreter reads without bounds; raise ValueError or a reading error."""
    if content[4:8] != b"TFL3":
        raise ValueError("no TFL3 identifier")
    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    if len(model.subgraphs) != 1 or any(code.customCode for code in model.operatorCodes):
        raise ValueError("custom operators or several graphs")
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        if not 0 <= tensor.buffer < len(model.buffers):
            raise ValueError("a tensor without its buffer")
    for operator in graph.operators:
        if not all(-1 <= index < len(graph.tensors) for index in (*operator.inputs, *operator.outputs)):
            raise ValueError("an operator without its tensor")
