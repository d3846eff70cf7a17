"""The WebAssembly format: the C runtime and the model in one stand-alone ``model.wasm``, with a loader for browsers and Node.

Needs clang and lld to write. The module imports nothing; what is not code stands in its custom section ``understudy``.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from understudy.errors import SetupError, VerificationError
from understudy.export.c import CExporter, HeaderExporter
from understudy.export.c_input import c_input
from understudy.export.refused import need_integers
from understudy.export.wasm_loader import loader_name, wasm_loader
from understudy.export.wasm_session import WasmSession
from understudy.program.ops import Program, ProjectText, Sound, Source

COMPILER = "clang"
# bytes count more than microseconds here: the vector instructions would halve the time and add a tenth to the file
FLAGS = ("--target=wasm32", "-std=c99", "-Os", "-ffreestanding", "-nostdlib", "-fvisibility=hidden")
_STACK_BYTES = 4096
LINKER_FLAGS = f"-Wl,--no-entry,--strip-all,--export=input,--export=scores,-z,stack-size={_STACK_BYTES}"
_PADDING_BYTES = 8
_LARGEST_NUMBER = 100
"""A zero point whose code is as long as that of any other."""

_SOURCE = """\
#include "{header}"
{kind} input[{input_values}];
float scores[US_{upper}_CLASSES];
/* compilers make calls of these out of loops and copies; what is not called is left out */
void *memset(void *target, int value, size_t n) {{
    volatile uint8_t *byte = target;
    while (n--) *byte++ = (uint8_t)value;
    return target;
}}
void *memcpy(void *restrict target, const void *restrict source, size_t n) {{
    volatile uint8_t *byte = target;
    const uint8_t *from = source;
    while (n--) *byte++ = *from++;
    return target;
}}
__attribute__((export_name("predict"))) int predict(size_t n) {{ return us_{identifier}_predict(input, n, scores); }}
"""


def wasm_compiler() -> str:
    """Return the path of clang.

    Raises:
        SetupError: clang or its linker for WebAssembly is not installed.
    """
    for command in (COMPILER, "wasm-ld"):
        if shutil.which(command) is None:
            raise SetupError(
                f"writing WebAssembly needs clang and lld: received {command} not found; install both "
                "(Debian: apt install clang lld)"
            )
    return COMPILER


def _compiled(program: Program, name: str, c: HeaderExporter) -> bytes:
    """Return the module of ``program``, written as C by ``c``, without custom sections.

    Raises:
        SetupError: clang or lld is missing or too old.
        InputError: the program is beyond the C runtime.
    """
    command = wasm_compiler()
    identifier = c.identifier(name)
    with tempfile.TemporaryDirectory(prefix="understudy-wasm-") as build:
        folder = Path(build)
        for filename, content in c.export(program, name=name).items():
            (folder / filename).write_bytes(content)
        source = _SOURCE.format(
            header=c.filename,
            identifier=identifier,
            upper=identifier.upper(),
            kind=c_input(program).kind,
            input_values=math.prod(program.source.input_shape),
        )
        (folder / "module.c").write_text(source, encoding="utf-8")
        # a relative path, so that no name of this machine can reach the file
        files = ("-o", "module.wasm", "module.c")
        result = subprocess.run(
            [command, *FLAGS, LINKER_FLAGS, *files], cwd=folder, capture_output=True, text=True, errors="replace", check=False
        )
        if result.returncode:
            reason = next((line for line in result.stderr.splitlines() if "error" in line), "no message")
            raise SetupError(
                f"writing WebAssembly needs a clang with the target wasm32: received {reason!r}; install a complete one "
                "(Debian: apt install clang lld)"
            )
        return (folder / "module.wasm").read_bytes()


def _length(value: int) -> bytes:
    """Return ``value`` as an unsigned LEB128 number."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _section(name: str, content: bytes) -> bytes:
    """Return a custom section."""
    body = _length(len(name)) + name.encode() + content
    return b"\0" + _length(len(body)) + body


def _about(program: Program, name: str, labels: Sequence[str] | None) -> bytes:
    """Return the custom section that tells a loader what it has to know."""
    shown = [str(i) for i in range(program.classes)] if labels is None else list(labels)
    about = {"name": name, "labels": shown, **_size(program.source)}
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":"))
    # half a surrogate pair becomes its own JSON escape
    return _section("understudy", text.encode("utf-8", "backslashreplace"))


def _size(source: Source) -> dict[str, object]:
    """Return how large an input is."""
    if isinstance(source, Sound):
        return {"samples": source.log_mel.samples, "sample_rate": source.log_mel.sample_rate}
    return {"max_bytes": source.projection.max_bytes} if isinstance(source, ProjectText) else {"shape": source.input_shape}


@lru_cache(maxsize=8)  # programs are told apart by identity; one is asked about several times
def _module_bytes(program: Program, name: str, c: HeaderExporter) -> int:
    """Return the size that the module of any program with the shapes of ``program`` is padded to.

    A small zero point of the logits can make the code a few bytes shorter than a large one.
    """
    quantization = dict(program.quantization)
    quantization[program.logits] = replace(quantization[program.logits], zero_point=_LARGEST_NUMBER)
    return len(_compiled(replace(program, quantization=quantization), name, c)) + _PADDING_BYTES


class WasmExporter:
    """Writes and runs ``model.wasm`` with its loader ``model.mjs``; both count against a budget."""

    format = "wasm"
    filename = "model.wasm"
    c: HeaderExporter = CExporter()
    """What writes the program as C."""

    def export(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the module and the loader.

        Raises:
            InputError: a float program, or one beyond the C runtime.
            SetupError: clang or lld is missing.
        """
        self.refuse(program)
        module = _compiled(program, name, self.c)
        padding = _module_bytes(program, name, self.c) - len(module)
        if not 3 <= padding <= 64:
            raise VerificationError(
                f"a module is as long as its shapes say: received padding={padding}; please report this with clang's version"
            )
        module += _section("", bytes(padding - 3)) + _about(program, name, labels)
        return {self.filename: module, loader_name(self.filename): wasm_loader(program, module=self.filename)}

    def byte_table(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> list[tuple[str, int]]:
        """Return rows for the constants, labels, loader and code; they add up to the two files."""
        self.refuse(program)
        constants = [row for row in self.c.byte_table(program, name=name) if not row[0].startswith("code")]
        code = _module_bytes(program, name, self.c) - sum(size for _, size in constants)
        return [
            *constants,
            ("labels", len(_about(program, name, labels))),
            ("loader", len(wasm_loader(program, module=self.filename))),
            ("code", code),
        ]

    def open(self, folder: Path, *, name: str) -> WasmSession:  # noqa: ARG002 - the files' names are fixed
        """Return a session on the module, which Node runs through its loader.

        Raises:
            SetupError: Node is not installed.
            BundleError: a file is missing or damaged.
        """
        return WasmSession(folder / self.filename)

    def refuse(self, program: Program) -> None:
        """Refuse what the format cannot hold.

        Raises:
            InputError: a float program, or one with islands.
        """
        need_integers(program, format_name=self.format)
