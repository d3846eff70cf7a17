"""What emulated targets share: the program in ``c/`` around a C file of a bundle, its inputs and answers, and the tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from understudy.bundle import Bundle
from understudy.errors import InputError, SetupError, VerificationError
from understudy.export.c import CExporter, HeaderExporter
from understudy.export.c_float import CFloatExporter
from understudy.export.protocol import Float32Array

UInt32Array = npt.NDArray[np.uint32]
INPUTS, ANSWERS = "inputs.bin", "answers.bin"
_COUNTS = {
    "text-classification": "MAX_BYTES",
    "image-classification": "PIXELS",
    "vector-classification": "VALUES",
    "sound-classification": "SAMPLES",
}
"""Task to the end of the constant that says how much a model reads."""
_INPUTS = {"vector-classification": "float", "sound-classification": "int16_t"}
"""Task to the C type that a model reads, where it is not uint8_t."""

_WRITERS: tuple[HeaderExporter, ...] = (CExporter(), CFloatExporter())
C_FILES = tuple(writer.format for writer in _WRITERS)
"""The files that an emulated core runs."""
LIMIT_SECONDS = 1800
"""An emulated run that takes longer hangs."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the emulated program wrote for each input: scores ``[inputs, classes]`` and bytes of stack ``[inputs]``."""

    scores: Float32Array
    stack_bytes: UInt32Array


def need_tools(*tools: str, target: str) -> None:
    """Raise SetupError for the first of ``tools`` that is not on the PATH."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise SetupError(
                f"running on {target} needs {tool}: received {tool} not found; run: make devices "
                "(docs/devices.md names Debian's packages)"
            )


def c_exporters(bundle: Bundle, formats: Sequence[str] | None, *, target: str) -> tuple[HeaderExporter, ...]:
    """Return the exporters of the C files that ``target`` runs: of ``formats``, or of the file in integers where there is one.

    Raises:
        InputError: ``bundle`` does not hold them, or ``formats`` has one that is no C.
    """
    if formats is None:
        found = [writer for writer in _WRITERS if writer.format in bundle.formats][:1]
    else:
        found = [writer for writer in _WRITERS if writer.format in formats]
    held = [writer.format for writer in found if writer.format in bundle.formats]
    if not held or set(held) != set(formats or held):
        asked = "" if formats is None else f", format={','.join(formats)!r}"
        raise InputError(
            f"{target} runs the C format, {' or '.join(C_FILES)}: received bundle={str(bundle.folder)!r} with "
            f"formats={','.join(bundle.formats)!r}{asked}; compress with --format "
            f"{next((writer.format for writer in found if writer.format not in held), C_FILES[0])}"
        )
    return tuple(found)


def write_sources(folder: Path) -> None:
    """Copy the C files of this package into ``folder``."""
    for entry in resources.files(__package__).joinpath("c").iterdir():
        (folder / entry.name).write_bytes(entry.read_bytes())


def model_flags(bundle: Bundle, writer: HeaderExporter) -> list[str]:
    """Return the compiler's flags that tell ``bench.c`` which model it runs."""
    identifier = writer.identifier(bundle.manifest.name)
    upper = identifier.upper()
    return [
        "-I",
        str(bundle.folder.resolve()),
        f'-DMODEL_HEADER="{writer.filename}"',
        f"-DMODEL_PREDICT=us_{identifier}_predict",
        f"-DMODEL_CLASSES=US_{upper}_CLASSES",
        f"-DMODEL_INPUT={_INPUTS.get(bundle.manifest.task, 'uint8_t')}",
        f"-DMODEL_INPUT_COUNT=US_{upper}_{_COUNTS[bundle.manifest.task]}",
    ]


def compile_c(command: Sequence[str], *, folder: Path, what: str) -> None:
    """Run a compiler in ``folder``.

    Raises:
        VerificationError: it refuses; the message has its first error.
    """
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = next((line for line in result.stderr.splitlines() if "error" in line), result.stderr.strip()[-200:])
        raise VerificationError(f"{what} compiles: received {command[0]} says {reason!r}; report it if the compiler is sound")


def write_inputs(folder: Path, inputs: Sequence[bytes]) -> None:
    """Write the input of the emulated program."""
    content = b"".join(len(each).to_bytes(4, "little") + each for each in inputs)
    (folder / INPUTS).write_bytes(content)


def run_program(command: Sequence[str], *, folder: Path, target: str) -> None:
    """Run an emulator in ``folder``.

    Raises:
        SetupError: the emulator was built without plugins.
        VerificationError: the program in it ended with an error or did not end.
    """
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise VerificationError(
            f"a model ends on {target}: received no end after {LIMIT_SECONDS} s; please report this"
        ) from None
    if result.returncode:
        said = " ".join(result.stderr.split())[-200:]
        if "plugin" in said:
            raise SetupError(
                f"counting instructions needs a QEMU with plugins: received {command[0]} says {said!r}; install the "
                "distribution's qemu-system-arm and qemu-user, not the static build"
            )
        raise VerificationError(
            f"a model runs on {target}: received exit_code={result.returncode} from {command[0]} {said!r}; please report this"
        )


def read_answers(folder: Path, *, inputs: int, classes: int, target: str) -> Answers:
    """Return what the emulated program wrote.

    Raises:
        VerificationError: it answered fewer inputs, or refused one.
    """
    row = np.dtype([("label", "<i4"), ("stack", "<u4"), ("scores", "<f4", (classes,))])
    path = folder / ANSWERS
    content = path.read_bytes() if path.exists() else b""
    if len(content) != inputs * row.itemsize:
        raise VerificationError(
            f"a model answers every input on {target}: received {len(content) // row.itemsize} answers to {inputs} inputs; "
            "please report this"
        )
    rows = np.frombuffer(content, row)
    if (rows["label"] != rows["scores"].argmax(axis=1)).any():
        raise VerificationError(f"the label on {target} is the best score's: received another one; please report this")
    return Answers(rows["scores"].astype(np.float32), rows["stack"].astype(np.uint32))


def version_of(tool: str) -> str:
    """Return the first line of ``TOOL --version``, without what stands in parentheses."""
    answer = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout
    return re.sub(r"\s*\([^)]*\)", "", (answer.splitlines() or [tool])[0]).strip()
