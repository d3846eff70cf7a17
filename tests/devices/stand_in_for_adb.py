"""Stands in for ``adb`` and a phone: a folder is the device, and LiteRT's benchmark tool is played as it is documented.

It reads the model with LiteRT itself, so its scores are real; its times are not. ``ADB_DEVICE`` is the folder, and
``ADB_MISBEHAVES`` makes it fail in one way.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

DEVICE = Path(os.environ["ADB_DEVICE"])
MISBEHAVES = os.environ.get("ADB_MISBEHAVES", "")


def on_device(path: str) -> Path:
    return DEVICE / path.lstrip("/")


def benchmark(words: list[str]) -> None:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    options = dict(word.removeprefix("--").split("=", 1) for word in words)
    name, _, file = options["input_layer_value_files"].partition(":")
    interpreter = Interpreter(str(on_device(options["graph"])), num_threads=int(options["num_threads"]))
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    assert details["name"] == name == options["input_layer"]
    shape = [int(size) for size in options["input_layer_shape"].split(",")]
    values = np.fromfile(on_device(file), details["dtype"])
    interpreter.set_tensor(details["index"], values.reshape(shape))
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    if MISBEHAVES == "wrong scores":
        scores = scores[:, ::-1]
    scores.astype("<f4").tofile(on_device(options["output_filepath"]))
    median = "" if MISBEHAVES == "old tool" else " p5=70 median={} p95=99"
    print("INFO: Initialized session in 0.5ms.")
    print("INFO: count=9 first=300 curr=200 min=200 max=300 avg=220.5 std=12" + median.format(200))
    print()
    print("INFO: count=50 first=80 curr=81 min=70 max=99 avg=85.1 std=5" + median.format(80 + int(Path(file).stem)))
    print("INFO: Inference timings in us: Init: 500, First inference: 300, Warmup (avg): 220.5, Inference (avg): 85.1")


def shell(line: str) -> None:
    words = shlex.split(line)
    if words[0].endswith("benchmark_model"):
        assert os.access(on_device(words[0]), os.X_OK), "the tool was not made executable"
        benchmark([word for word in words[1:] if word.startswith("--")])
    elif words[0] == "chmod":
        on_device(words[2]).chmod(0o755)
    elif words[0] == "rm":
        shutil.rmtree(on_device(words[2]), ignore_errors=True)
        if "mkdir" in words:
            on_device(words[-1]).mkdir(parents=True)
    elif words[0] == "getprop":
        print("Stand-in 1")
    else:
        sys.exit(f"the stand-in does not know: {line}")


def main() -> None:
    verb, *arguments = sys.argv[1:]
    if verb == MISBEHAVES:
        sys.exit(f"error: device offline while asked to {verb}")
    if verb == "devices":
        print("List of devices attached\nstandin-1\tdevice" + ("\nstandin-2\tdevice" if MISBEHAVES == "two devices" else ""))
    elif verb == "push":
        for path in arguments[:-1]:
            target = on_device(arguments[-1]) / Path(path).name
            shutil.copyfile(path, target)
            target.chmod(0o644)
    elif verb == "pull":
        for path in arguments[:-1]:
            shutil.copy(on_device(path), arguments[-1])
    elif verb == "shell":
        shell(re.sub(r" 2>&1$", "", arguments[0]))
    else:
        sys.exit(f"the stand-in does not know: {verb}")


main()
