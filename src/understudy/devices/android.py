"""Android over ``adb``: LiteRT's own benchmark tool runs the LiteRT file on a phone or a watch.

The tool is one program for the device; ``LITERT_BENCHMARK_MODEL`` names it on this machine. This runner is tested against a
stand-in for ``adb`` that follows the tool's documentation, and says so in every measurement.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from understudy.bundle import Bundle
from understudy.bundle.vectors import INPUT_NAMES
from understudy.device_measurements import Measurement
from understudy.devices.runner import Examples, compared
from understudy.errors import InputError, SetupError, VerificationError
from understudy.export.parity import spread_us
from understudy.export.protocol import Inputs

TOOL_VARIABLE = "LITERT_BENCHMARK_MODEL"
FOLDER = "/data/local/tmp/understudy"
TEXTS = 16
"""Texts that are run: the tool is started anew for each."""
LIMIT_SECONDS = 120
_COUNTED = re.compile(r"count=\d+ .*?\bmedian=([0-9.]+)")


@dataclass(frozen=True)
class AndroidRunner:
    """``--on android-mid`` and its like: measured on the one device that ``adb`` sees.

    Attributes:
        target: the word in ``--on``.
    """

    target: str
    runnable: ClassVar[tuple[str, ...] | None] = ("litert",)

    def check(self, bundle: Bundle) -> tuple[SetupError, ...]:
        """Raise where adb, the tool or the device is missing, or the bundle holds no LiteRT file."""
        if "litert" not in bundle.formats:
            raise InputError(
                f"{self.target} runs the LiteRT format: received bundle={str(bundle.folder)!r} with "
                f"formats={','.join(bundle.formats)!r}; compress with --format litert"
            )
        if shutil.which("adb") is None:
            raise SetupError(
                f"running on {self.target} needs adb: received adb not found; install it (Debian: apt install adb) and connect "
                "the device"
            )
        tool = os.environ.get(TOOL_VARIABLE, "")
        if not Path(tool).is_file():
            raise SetupError(
                f"running on {self.target} needs LiteRT's benchmark tool for Android: received {TOOL_VARIABLE}={tool!r}, which "
                "is no file; docs/devices.md says where it comes from"
            )
        lines = _adb("devices").splitlines()[1:]
        devices = [line.split()[0] for line in lines if line.split()[1:] == ["device"]]
        if len(devices) != 1:
            raise SetupError(
                f"running on {self.target} needs one device: received devices={len(devices)} from adb devices; connect one, "
                "allow debugging on it, or choose one with ANDROID_SERIAL"
            )
        return ()

    def run(self, bundle: Bundle, examples: Examples) -> list[Measurement]:
        """Return the measurement of the LiteRT file, over the first ``TEXTS`` texts.

        Raises:
            SetupError: adb fails.
            VerificationError: the tool does not say what is expected of it.
        """
        some = Examples(
            examples.inputs[:TEXTS],
            type(examples.reference)(examples.reference.logits[:TEXTS], examples.reference.probabilities[:TEXTS]),
            examples.logit_scale,
            examples.origin,
        )
        model = next(name for name, entry in bundle.manifest.files.items() if entry.format == "litert")
        with tempfile.TemporaryDirectory(prefix="understudy-android-") as temporary:
            folder = Path(temporary)
            shutil.copy(bundle.folder / model, folder / "model.tflite")
            shutil.copy(os.environ[TOOL_VARIABLE], folder / "benchmark_model")
            for row, values in enumerate(some.inputs):
                (folder / f"{row}.in").write_bytes(values.tobytes())
            _adb("shell", f"rm -rf {FOLDER} && mkdir -p {FOLDER}")
            try:
                _adb("push", *(str(path) for path in sorted(folder.iterdir())), FOLDER)
                _adb("shell", f"chmod 755 {FOLDER}/benchmark_model")
                name = _adb("shell", "getprop ro.product.model").strip()
                times_us = [self._time_us(row, some.inputs) for row in range(len(some.inputs))]
                _adb("pull", *(f"{FOLDER}/{row}.out" for row in range(len(times_us))), str(folder))
            finally:
                _adb("shell", f"rm -rf {FOLDER}")
            classes = len(bundle.labels)
            outputs = [np.fromfile(folder / f"{row}.out", "<f4") for row in range(len(times_us))]
            if any(len(output) != classes for output in outputs):
                raise VerificationError(
                    f"the tool writes {classes} scores: received {sorted({len(output) for output in outputs})}; "
                    f"install a newer LiteRT benchmark tool in {TOOL_VARIABLE}"
                )
        return [
            Measurement.model_validate(
                {
                    "target": self.target,
                    "format": "litert",
                    "runtime": f"LiteRT benchmark tool on {name or 'an unnamed device'}",
                    "measured": True,
                    "latency_us": spread_us(times_us),
                    "note": "read from LiteRT's benchmark tool through adb, the median of many runs of each text; this runner "
                    "was tested against a stand-in for adb, not on a device",
                    **compared(np.array(outputs, np.float32), some, bundle),
                }
            )
        ]

    def _time_us(self, row: int, inputs: Inputs) -> float:
        """Return the median microseconds of one text, and leave its scores on the device."""
        name = INPUT_NAMES[inputs.dtype.name]
        arguments = [
            f"{FOLDER}/benchmark_model",
            f"--graph={FOLDER}/model.tflite",
            "--num_threads=1",
            "--num_runs=50",
            "--min_secs=0.2",
            "--warmup_min_secs=0.1",
            f"--input_layer={name}",
            f"--input_layer_shape={','.join(map(str, (1, *inputs.shape[1:])))}",
            f"--input_layer_value_files={name}:{FOLDER}/{row}.in",
            f"--output_filepath={FOLDER}/{row}.out",
        ]
        said = _adb("shell", f"{shlex.join(arguments)} 2>&1")
        medians = _COUNTED.findall(said)  # the first is of the warm-up
        if len(medians) != 2:
            raise VerificationError(
                f"the tool says count= and median= of warm-up and run: received {' '.join(said.split())[-160:]!r}; install a "
                f"newer LiteRT benchmark tool in {TOOL_VARIABLE}"
            )
        return float(medians[1])


def _adb(*arguments: str) -> str:
    """Return what adb says.

    Raises:
        SetupError: it fails or does not end.
    """
    try:
        result = subprocess.run(
            ["adb", *arguments], capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise SetupError(f"adb answers: received no answer after {LIMIT_SECONDS} s; check the cable and the device") from None
    if result.returncode:
        said = " ".join((result.stderr or result.stdout).split())[-160:]
        raise SetupError(f"adb does what it is asked: received adb {arguments[0]} says {said!r}; check the device")
    return result.stdout
