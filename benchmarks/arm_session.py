"""What graph files answer on the processor that runs this; needs NumPy and the two runtimes alone. For arm_runtimes.py.

    python arm_session.py FOLDER

Each folder in FOLDER holds ``model.tflite``, ``model.onnx``, ``inputs.npy``, and the answers of another machine in
``litert.npy`` and ``onnx.npy``. Prints one JSON line for each kernel set.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def in_litert(path: Path, kernels: OpResolverType) -> Callable[[Any], Any]:
    """Return what answers one input, in LiteRT."""
    interpreter = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    given, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(row: Any) -> Any:
        interpreter.set_tensor(given, row)
        interpreter.invoke()
        return interpreter.get_tensor(answer)[0].copy()

    return run


def in_onnxruntime(path: Path) -> Callable[[Any], Any]:
    """Return what answers one input, in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda row: session.run(None, {name: row})[0][0]


RUNTIMES: dict[str, tuple[str, str, str, Callable[[Path], Callable[[Any], Any]]]] = {
    "LiteRT with XNNPACK, its default": (
        "litert",
        "model.tflite",
        "ai-edge-litert",
        lambda path: in_litert(path, OpResolverType.AUTO),
    ),
    "LiteRT without a delegate": (
        "litert",
        "model.tflite",
        "ai-edge-litert",
        lambda path: in_litert(path, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
    ),
    "ONNX Runtime": ("onnx", "model.onnx", "onnxruntime", in_onnxruntime),
}


def main() -> int:
    """Print the rows."""
    folders = sorted(folder for folder in Path(sys.argv[1]).iterdir() if folder.is_dir())
    for name, (word, filename, package, opened) in RUNTIMES.items():
        inputs = differing_files = differing_labels = 0
        worst = 0.0
        for folder in folders:
            session = opened(folder / filename)
            expected = np.load(folder / f"{word}.npy")
            found = np.array([session(row[None]) for row in np.load(folder / "inputs.npy")])
            difference = float(np.abs(found - expected).max())
            worst = max(worst, difference)
            inputs += len(found)
            differing_files += difference > 1e-6
            differing_labels += int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
        row = {
            "runtime": name,
            "version": f"{package} {importlib.metadata.version(package)}",
            "architecture": platform.machine(),
            "files": len(folders),
            "inputs": inputs,
            "differing_files": differing_files,
            "differing_labels": differing_labels,
            "worst_difference": worst,
        }
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
