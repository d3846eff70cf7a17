"""A Python model in an interpreter of its own, as its user would import it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from understudy.errors import BundleError
from understudy.export.model_file import read_model_file
from understudy.export.protocol import Float32Array, Inputs, input_bytes

Float64Array = npt.NDArray[np.float64]

LAST_LINE = "    main()\n"
"""How a complete file ends."""

# examples come as rows of bytes on standard input, texts padded with zeros; with repeats the answer is microseconds in place
# of probabilities
_DRIVER = """\
import importlib.util, sys, time
import numpy as np
spec = importlib.util.spec_from_file_location("model", sys.argv[1])
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
length, repeats, dtype = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
content = sys.stdin.buffer.read()
examples = [content[i : i + length] for i in range(0, len(content), length)]
if hasattr(model, "SHAPE"):
    examples = [np.frombuffer(example, dtype).reshape(model.SHAPE) for example in examples]
else:
    examples = [example.rstrip(b"\\0") for example in examples]
if not repeats:
    rows = [model.probabilities(example) for example in examples]
    answer = np.array(rows, np.float32).reshape(len(rows), len(model.LABELS))
    sys.stdout.buffer.write(np.array(answer.shape, np.int64).tobytes() + answer.tobytes())
for example in examples[:1]:
    model.probabilities(example)
for _ in range(repeats):
    for example in examples:
        begin = time.perf_counter_ns()
        model.probabilities(example)
        sys.stdout.buffer.write(np.float64((time.perf_counter_ns() - begin) / 1e3).tobytes())
"""


class PythonSession:
    """A ``model.py``; every call runs it anew.

    Attributes:
        runtime: versions of Python and NumPy.
    """

    def __init__(self, path: Path) -> None:
        if not read_model_file(path).endswith(LAST_LINE.encode()):
            raise _damaged(path, "its end is missing")
        self.runtime = f"Python {sys.version.split()[0]}, NumPy {np.__version__}"
        self._path = path
        self._run(np.zeros((0, 1), np.int32), 0)  # a damaged file is found when it is opened

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        answer = self._run(inputs, 0)
        shape = np.frombuffer(answer[:16], np.int64)
        return np.frombuffer(answer[16:], np.float32).reshape(*shape)

    def time_us(self, inputs: Inputs, repeats: int) -> Float64Array:
        """Return microseconds of single calls, float64 ``[repeats, batch]``, after one call that is not counted."""
        return np.frombuffer(self._run(inputs, repeats), np.float64).reshape(repeats, len(inputs))

    def _run(self, inputs: Inputs, repeats: int) -> bytes:
        # isolated: neither the folder nor the environment puts modules in front; no __pycache__ in the bundle; one thread
        command = [sys.executable, "-I", "-B", "-c", _DRIVER, str(self._path.resolve())]
        length = math.prod(inputs.shape[1:]) * (1 if inputs.dtype == np.int32 else inputs.itemsize)
        result = subprocess.run(
            [*command, str(length), str(repeats), inputs.dtype.name],
            input=input_bytes(inputs),
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        if result.returncode:
            lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
            raise _damaged(self._path, lines[-1] if lines else f"exit code {result.returncode}")
        return result.stdout


def _damaged(path: Path, reason: str) -> BundleError:
    return BundleError(
        f"a Python model must be complete and run: received path={str(path)!r} ({reason}); copy or compress it again"
    )
