"""A generated header, compiled with this machine's C compiler and called through ctypes."""

from __future__ import annotations

import ctypes
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from understudy.errors import SetupError, VerificationError
from understudy.program.interpreter import Inputs

Int8Array = npt.NDArray[np.int8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

COMPILE_FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC")

_READS = {"bytes": np.uint8, "pixels": np.uint8, "values": np.float32, "samples": np.int16}
"""What ``driver_reads`` answers, by number, and its type."""

# the batch loop stands in C, so that a measured time holds no Python
_DRIVER = """\
#define _POSIX_C_SOURCE 199309L
#include <time.h>
#include "{header}"
#define CLASSES US_{upper}_CLASSES
#if defined(US_{upper}_PIXELS)
#define INPUT_VALUES US_{upper}_PIXELS
#elif defined(US_{upper}_VALUES)
#define INPUT_VALUES US_{upper}_VALUES
#elif defined(US_{upper}_SAMPLES)
#define INPUT_VALUES US_{upper}_SAMPLES
#else
#define INPUT_VALUES US_{upper}_MAX_BYTES
#endif
#if defined(US_{upper}_SAMPLES)
typedef int16_t input;
#elif defined(US_{upper}_VALUES)
typedef float input;
#else
typedef uint8_t input;
#endif

int driver_classes(void) {{ return CLASSES; }}
int driver_input_values(void) {{ return INPUT_VALUES; }}
int driver_reads(void) {{
#if defined(US_{upper}_PIXELS)
    return 1;
#elif defined(US_{upper}_SAMPLES)
    return 3;
#elif defined(US_{upper}_VALUES)
    return 2;
#else
    return 0;
#endif
}}

#ifdef US_{upper}_IMAGE_BYTES
int driver_open(const uint8_t *envelope, size_t n, const uint8_t *secret) {{
    return us_{identifier}_open(envelope, n, secret);
}}
#endif

void driver_predict(const input *values, size_t batch, size_t length, float *scores, int8_t *logits, int *labels) {{
    for (size_t i = 0; i < batch; i++) {{
        labels[i] = us_{identifier}_predict(values + i * length, length, scores + i * CLASSES);
{logits}
    }}
}}

void driver_time(const input *values, size_t batch, size_t length, const size_t *lengths, size_t repeats, double *us) {{
    float scores[CLASSES];
    struct timespec begin, end;
    for (size_t repeat = 0; repeat < repeats; repeat++) {{
        for (size_t i = 0; i < batch; i++) {{
            clock_gettime(CLOCK_MONOTONIC, &begin);
            (void)us_{identifier}_predict(values + i * length, lengths[i], scores);
            clock_gettime(CLOCK_MONOTONIC, &end);
            us[repeat * batch + i] = (double)(end.tv_sec - begin.tv_sec) * 1e6 + (double)(end.tv_nsec - begin.tv_nsec) * 1e-3;
        }}
    }}
}}
"""

_LOGITS = """\
        for (size_t c = 0; c < CLASSES; c++) {{
            logits[i * CLASSES + c] = us_{identifier}_scores.logits[c];
        }}"""
_NO_LOGITS = "        (void)logits; /* they are no integers */"


class CompiledSession:
    """A compiled model; single-threaded, with static state of its own.

    Attributes:
        runtime: name and version of the compiler.
    """

    def __init__(self, library: ctypes.CDLL, runtime: str) -> None:
        self.runtime = runtime
        self._library = library
        self._classes = int(library.driver_classes())
        self._input_values = int(library.driver_input_values())
        self._reads = tuple(_READS)[library.driver_reads()]

    def _values(self, inputs: Inputs) -> Inputs:
        """Return ``inputs`` as what the C function reads, uint8, float32 or int16 ``[batch, values]``."""
        count = self._input_values
        if self._reads == "bytes":
            if inputs.ndim != 2 or inputs.shape[1] != count:
                raise ValueError(f"bytes are int32 [batch, {count}]: received shape={inputs.shape}")
            return np.ascontiguousarray(inputs, np.uint8)
        wanted = np.dtype(_READS[self._reads])
        if math.prod(inputs.shape[1:]) != count or inputs.dtype != wanted:
            what = {"pixels": "an image", "values": "a vector"}.get(self._reads, "a sound")
            raise ValueError(f"{what} is {wanted}, {count} {self._reads}: received {inputs.dtype}, shape={inputs.shape}")
        return inputs.copy().reshape(len(inputs), count)

    def _run(self, inputs: Inputs) -> tuple[Float32Array, Int8Array, npt.NDArray[np.intc]]:
        data = self._values(inputs)
        scores = np.empty((len(data), self._classes), np.float32)
        logits = np.empty((len(data), self._classes), np.int8)
        labels = np.empty(len(data), np.intc)
        self._library.driver_predict(
            _pointer(data), _size(len(data)), _size(self._input_values), _pointer(scores), _pointer(logits), _pointer(labels)
        )
        return scores, logits, labels

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        return self._run(inputs)[0]

    def labels(self, inputs: Inputs) -> npt.NDArray[np.intc]:
        """Return what the C function returns: the index of the best label ``[batch]``."""
        return self._run(inputs)[2]

    def time_us(self, inputs: Inputs, repeats: int) -> Float64Array:
        """Return microseconds of single calls, float64 ``[repeats, batch]``, after one call that is not counted.

        Trailing zeros of a text are not passed on: a device would pass the text's own length.
        """
        data = self._values(inputs)
        used = data.shape[1] - np.argmax(data[:, ::-1] != 0, axis=1)
        used = np.where(data.any(axis=1), used, 0)
        lengths = (used if self._reads == "bytes" else np.full(len(data), self._input_values)).astype(np.uintp)
        times_us = np.empty((repeats, len(data)), np.float64)
        if len(data):
            self._run(inputs[:1])
        arguments = (_size(len(data)), _size(self._input_values), _pointer(lengths), _size(repeats))
        self._library.driver_time(_pointer(data), *arguments, _pointer(times_us))
        return times_us


class CSession(CompiledSession):
    """A compiled model of integers."""

    def open_envelope(self, envelope: bytes, secret: bytes) -> int:
        """Decrypt the numbers of an encrypted model and return 0, or an error of ``understudy_open.h``."""
        return int(self._library.driver_open(envelope, _size(len(envelope)), secret))

    def logits(self, inputs: Inputs) -> Int8Array:
        """Return the integer logits int8 ``[batch, classes]``, for comparison with the interpreter."""
        return self._run(inputs)[1]


class CFloatSession(CompiledSession):
    """A compiled model in float."""

    computes_in = "float32"


def _pointer(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _size(value: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(value)


def c_compiler() -> list[str]:
    """Return the command of this machine's C compiler: ``$CC``, else ``cc``.

    Raises:
        SetupError: it is not installed.
    """
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        raise SetupError(
            f"running a C model needs a C compiler: received CC={command[0]!r} not found; install gcc or clang "
            "(Debian: apt install gcc, macOS: xcode-select --install) or set CC"
        )
    return command


def compile_session(folder: Path, identifier: str) -> CSession:
    """Compile ``model.h`` in ``folder`` in a temporary folder and load it.

    Raises:
        SetupError: no C compiler.
        VerificationError: the header does not compile.
    """
    return CSession(*_compiled(folder, "model.h", identifier, logits=_LOGITS.format(identifier=identifier)))


def compile_float_session(folder: Path, header: str, identifier: str) -> CFloatSession:
    """Compile ``header`` in ``folder``, see ``compile_session``."""
    return CFloatSession(*_compiled(folder, header, identifier, logits=_NO_LOGITS))


def _compiled(folder: Path, header: str, identifier: str, *, logits: str) -> tuple[ctypes.CDLL, str]:
    """Return the library of a header, and what compiled it."""
    command = c_compiler()
    asked = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    runtime = (asked.stdout.splitlines() or [command[0]])[0]
    with tempfile.TemporaryDirectory(prefix="understudy-c-") as build:
        driver = Path(build) / "driver.c"
        library = Path(build) / "model.so"
        source = _DRIVER.format(identifier=identifier, upper=identifier.upper(), header=header, logits=logits)
        driver.write_text(source, encoding="utf-8")
        paths = ("-I", str(folder.resolve()), "-o", str(library), str(driver))
        result = subprocess.run(
            [*command, *COMPILE_FLAGS, *paths], capture_output=True, text=True, errors="replace", check=False
        )
        if result.returncode:
            reason = next((line for line in result.stderr.splitlines() if "error" in line), "no message")
            raise VerificationError(
                f"a generated header compiles: received folder={str(folder)!r} and {runtime} says {reason!r}; "
                "check CC, and report it if the compiler is sound"
            )
        # the loaded library stays mapped when the folder goes
        return ctypes.CDLL(str(library)), runtime
