"""ONNX: one ``model.onnx`` with operators of the default domain only and no external data.

Needs the packages onnx (to write) and onnxruntime (to run).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from understudy.errors import BundleError, missing_extra
from understudy.export.model_file import ModelFileExporter, read_model_file
from understudy.export.protocol import Float32Array, Inputs
from understudy.program.ops import Program

try:
    import onnx
    import onnxruntime
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime_state

    from understudy.export.onnx_program import write_program
except ImportError as error:
    if (error.name or "").startswith("understudy"):
        raise  # a fault of ours is no missing package
    raise missing_extra(purpose="ONNX files", extra="onnx") from error

_UNREADABLE = (
    DecodeError,
    ValueError,
    runtime_state.Fail,
    runtime_state.InvalidArgument,
    runtime_state.InvalidGraph,
    runtime_state.InvalidProtobuf,
    runtime_state.NotImplemented,
    runtime_state.RuntimeException,
)


class OnnxSession:
    """An ONNX file in onnxruntime on the CPU, batch 1."""

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        self.runtime = f"onnxruntime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # x86 without VNNI would otherwise saturate sums of two products at 16 bits
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 4  # what is wrong with a file reaches the caller as an exception
        # with its fallback on, it prints what is wrong and tries the same again
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        self._input: str = self._session.get_inputs()[0].name
        self._classes: int = self._session.get_outputs()[0].shape[-1]

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        out = np.empty((len(inputs), self._classes), np.float32)
        for i in range(len(inputs)):
            out[i] = self._session.run(None, {self._input: inputs[i : i + 1]})[0][0]
        return out


class OnnxExporter(ModelFileExporter):
    """Writes and opens ``model.onnx``."""

    format = "onnx"
    filename = "model.onnx"
    session: type[OnnxSession] = OnnxSession
    """What ``open`` returns."""

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores."""
        return write_program(program)

    def open(self, folder: Path, *, name: str, threads: int = 1) -> OnnxSession:  # noqa: ARG002 - files do not hold the name
        """Return a session on the file.

        Raises:
            BundleError: the file is missing, damaged, or not one with operators of the default domain and its data inside.
        """
        path = folder / self.filename
        return self.open_content(read_model_file(path), path=path, threads=threads)

    def open_content(self, content: bytes, *, path: Path, threads: int = 1) -> OnnxSession:
        """Return a session on ``content``, which messages call ``path``.

        Raises:
            BundleError: it is damaged, or not one with operators of the default domain and its data inside.
        """
        try:
            _check(content)
            return self.session(content, threads=threads)
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise BundleError(
                f"an ONNX model must be complete and use default operators: received path={str(path)!r} ({reason}); "
                "copy or compress it again"
            ) from error


def _check(content: bytes) -> None:
    """Raise ValueError or DecodeError for a file that is damaged, or that would read other files or foreign operators."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    if not graph.node or not graph.input or not graph.output:
        raise ValueError("no graph")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data for tensor in graph.initializer):
        raise ValueError("external data")
    if model.functions or any(node.domain for node in graph.node) or any(entry.domain for entry in model.opset_import):
        raise ValueError("operators of another domain")
    steps = [a.g for node in graph.node if node.op_type == "Scan" for a in node.attribute if a.HasField("g")]
    if any(inner.initializer or inner.sparse_initializer or any(node.domain for node in inner.node) for inner in steps):
        raise ValueError("tensors or operators of another domain inside of a recurrence")
    within = [a for inner in steps for node in inner.node for a in node.attribute]
    attributes = [a for node in graph.node for a in node.attribute if not (node.op_type == "Scan" and a.HasField("g"))]
    if any(a.HasField("g") or a.graphs or a.HasField("t") or a.tensors for a in (*attributes, *within)):
        raise ValueError("graphs or tensors inside of operators")
