"""An Arduino library, compiled with this machine's C compiler and called through its public header's functions."""

from __future__ import annotations

import ctypes
import io
import subprocess
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from understudy.errors import BundleError, VerificationError
from understudy.export.c_session import c_compiler
from understudy.export.model_file import read_model_file
from understudy.export.protocol import Float32Array, Inputs, input_bytes

_FLAGS = ("-std=c99", "-O2", "-shared", "-fPIC")


class ArduinoSession:
    """A compiled library; single-threaded, with static state of its own.

    Attributes:
        runtime: name and version of the compiler.
        internal: headers of the library that its source file includes.
    """

    internal: tuple[str, ...] = ("internal/model.h", "internal/understudy.h")

    def __init__(self, path: Path, library: str) -> None:
        command = c_compiler()
        asked = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        self.runtime = (asked.stdout.splitlines() or [command[0]])[0]
        with tempfile.TemporaryDirectory(prefix="understudy-arduino-") as temporary:
            source = Path(temporary) / "src"
            (source / "internal").mkdir(parents=True)
            for name in (f"{library}.h", f"{library}.c", *self.internal):
                (source / name).write_bytes(_member(path, f"{library}/src/{name}"))
            (source / "sizes.c").write_text(
                f'#include "{library}.h"\nconst int classes = {library.upper()}_CLASSES;\n', encoding="utf-8"
            )
            files = [str(source / f"{library}.c"), str(source / "sizes.c"), "-o", str(source / "library.so")]
            result = subprocess.run([*command, *_FLAGS, *files], capture_output=True, text=True, errors="replace", check=False)
            if result.returncode:
                reason = next((line for line in result.stderr.splitlines() if "error" in line), "no message")
                raise VerificationError(
                    f"a generated library compiles: received path={str(path)!r} and {self.runtime} says {reason!r}; "
                    "check CC, and report it if the compiler is sound"
                )
            loaded = ctypes.CDLL(str(source / "library.so"))
        self._classes = ctypes.c_int.in_dll(loaded, "classes").value
        self._classify = loaded[f"{library}_classify"]
        self._classify.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        scores = np.empty((len(inputs), self._classes), np.float32)
        for row, out in zip(inputs, scores, strict=True):
            content = input_bytes(row)
            if inputs.dtype == np.int32:  # a text, which zeros fill up
                content = content.rstrip(b"\0")
            self._classify(content, len(content) // (1 if inputs.dtype == np.int32 else inputs.itemsize), out.ctypes.data)
        return scores


def _member(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(read_model_file(path))) as archive:
            return archive.read(name)
    except (KeyError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(
            f"an Arduino library must be a complete ZIP file: received path={str(path)!r} ({error}); copy or compress it again"
        ) from None
