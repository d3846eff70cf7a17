"""Teachers in TensorFlow's SavedModel folders, run by TensorFlow in a process of its own.

TensorFlow takes seconds and a gigabyte to import, and starts threads and handlers that have no business in a job's process.
The process reads arrays in NumPy's format from standard input and writes answers to standard output, each behind a line of
JSON with its length; it ends when its input ends. ``python -m understudy.teachers.saved_model FOLDER`` starts it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from understudy.errors import InputError, SetupError, missing_extra
from understudy.teachers.class_order import names_beside
from understudy.teachers.image_input import AnyArray, ImageInput
from understudy.teachers.image_model import ImageModel, NotForImagesError, RunError
from understudy.teachers.model_file import read_file, unreadable
from understudy.teachers.protocol import Float32Array
from understudy.units import format_bytes

GRAPH_FILE = "saved_model.pb"
_SIGNATURE = "serving_default"
_ACTING_OPERATORS = (b"PyFunc", b"WriteFile", b"ReadFile", b"MatchingFiles", b"DeleteFile")
"""They run Python code or reach the disk; a classifier has no use for them."""


def is_saved_model(path: Path) -> bool:
    """Return whether ``path`` is a folder that TensorFlow saved a model in."""
    return (path / GRAPH_FILE).is_file()


def saved_model_image_model(folder: Path) -> ImageModel:
    """Return the model for images in the SavedModel ``folder``: the signature ``serving_default``.

    Raises:
        InputError: unreadable, operators that reach the disk, no such signature, or an input or output that is not images
            to classes.
        SetupError: TensorFlow is not installed.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = {str(path.relative_to(folder)): read_file(path) for path in files}
    for operator in _ACTING_OPERATORS:
        if operator in contents[GRAPH_FILE]:
            raise InputError(
                f"a SavedModel as teacher only computes: received operator={operator.decode()!r} in teacher={str(folder)!r}, "
                "which reaches beyond it; export it without, or load it in your own code and give file.py:name"
            )
    if find_spec("tensorflow") is None:
        missing = missing_extra(purpose="using a SavedModel as teacher", extra="tensorflow")
        raise SetupError(
            f"{missing}, or convert it where TensorFlow is: tf.lite.TFLiteConverter.from_saved_model(folder).convert() gives "
            "the bytes of a .tflite file"
        )
    process = _Process(folder)
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(name.encode() + hashlib.sha256(content).digest())
    size_bytes = sum(len(content) for content in contents.values())
    batch, *sizes = process.input["shape"] or [None]
    return ImageModel(
        run=process.run,
        input=ImageInput(batch=batch, sizes=tuple(sizes) or None, dtype=process.input["dtype"]),
        name=folder.name,
        digest=digest.hexdigest(),
        class_names=names_beside(folder / GRAPH_FILE),
        summary=f"SavedModel {folder.name} ({format_bytes(size_bytes)}, sha256 {digest.hexdigest()[:12]})",
        size_bytes=size_bytes,
    )


class _Process:
    """The process with the model; it ends with this object.

    Attributes:
        input: name, shape (None for what is free, or for all of it) and dtype of the model's input.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "understudy.teachers.saved_model", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
        )
        weakref.finalize(self, _end, self._process, self._said)
        answer = self._header()
        if "error" in answer:
            raise unreadable(folder, format_name="SavedModel", reason=answer["error"])
        if len(answer["inputs"]) != 1 or len(answer["outputs"]) != 1:
            raise NotForImagesError(
                f"a SavedModel as teacher takes one tensor of pixels and gives one of classes: received "
                f"inputs={answer['inputs']}, outputs={answer['outputs']} in teacher={str(folder)!r}; export a signature "
                f"{_SIGNATURE!r} that does"
            )
        self.input: dict[str, Any] = answer["inputs"][0]

    def run(self, values: AnyArray) -> Float32Array:
        """Return the model's output for ``values``."""
        stdin, stdout = self._pipes()
        with suppress(BrokenPipeError):  # what it said last is read below
            _send(stdin, {}, values)
        answer = self._header()
        if "error" in answer:
            raise RunError(
                f"a SavedModel must run: received a run that failed ({answer['error']}) in teacher={self.folder.name!r}; check "
                "what its input is"
            )
        return _receive(stdout, answer["bytes"]).astype(np.float32)

    def _header(self) -> dict[str, Any]:
        line = self._pipes()[1].readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        self._said.seek(0)
        last = self._said.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return {"error": f"its process ended{': ' if last else ''}{''.join(last)[:200]}"}

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def _end(process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, said):
        if stream is not None:
            stream.close()


def _send(stream: IO[bytes], header: dict[str, Any], values: AnyArray | None = None) -> None:
    """Write ``header`` as a line of JSON, with the length of ``values`` where there are any, then their bytes."""
    content = b""
    if values is not None:
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        content = buffer.getvalue()
        header = {**header, "bytes": len(content)}
    stream.write(json.dumps(header).encode() + b"\n" + content)
    stream.flush()


def _receive(stream: IO[bytes], size: int) -> AnyArray:
    values: AnyArray = np.load(io.BytesIO(stream.read(size)), allow_pickle=False)
    return values


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def main() -> None:
    """Load the model in the folder that the command names and answer until the input ends."""
    answers, questions = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)  # whatever TensorFlow prints is no answer
    try:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        loaded = tf.saved_model.load(sys.argv[1])
        function = loaded.signatures[_SIGNATURE]
        [inputs, outputs] = [function.structured_input_signature[1], function.structured_outputs]
        described = [
            [{"name": name, "shape": _shape(spec), "dtype": spec.dtype.name} for name, spec in specs.items()]
            for specs in (inputs, outputs)
        ]
    except Exception as error:  # noqa: BLE001 - the outermost line of a process: it is handed on as an answer
        _send(answers, {"error": f"{type(error).__name__}: {_one_line(error)}"})
        return
    _send(answers, {"inputs": described[0], "outputs": described[1]})
    while line := questions.readline():
        values = _receive(questions, json.loads(line)["bytes"])
        try:
            [answer] = function(**{described[0][0]["name"]: tf.constant(values)}).values()
            _send(answers, {}, np.asarray(answer.numpy()))
        except Exception as error:  # noqa: BLE001 - as above
            _send(answers, {"error": f"{type(error).__name__}: {_one_line(error)}"})


def _shape(spec: Any) -> list[int | None] | None:
    return None if spec.shape.rank is None else [None if size is None else int(size) for size in spec.shape]


if __name__ == "__main__":
    main()
