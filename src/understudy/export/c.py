"""The C99 format: one generated header on the portable runtime ``understudy.h``, which is copied beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from understudy.export.c_code import code_rows
from understudy.export.c_input import c_input, size_lines
from understudy.export.c_session import CSession, compile_session
from understudy.export.c_source import Source, write_source
from understudy.export.c_writer import c_identifier
from understudy.program.ops import Program, ProjectText

RUNTIME = "understudy.h"

_HEADER = """\
/* {identifier}: {what} classifier that understudy wrote. Do not edit.
 *
 * Include it in one source file, with {runtimes} beside it:
 *     float scores[US_{upper}_CLASSES];
 *     int label = us_{identifier}_predict({argument}, n, scores);
{reading}
 *
 * Static RAM: US_{upper}_RAM_BYTES bytes. Stack: at most 512 bytes on a Cortex-M4 with -Os. Heap: none.
 * Not reentrant: one prediction at a time.{first_call}
 */
#ifndef {guard}_{upper}_H
#define {guard}_{upper}_H

#include "{runtime}"

#if US_VERSION != 1
#error "this model needs version 1 of understudy.h"
#endif

#define US_{upper}_CLASSES {classes}
#define US_{upper}_RAM_BYTES US_EITHER({vector_ram_bytes}, {ram_bytes})
{sizes}

{memory}
typedef char us_{identifier}_ram_is_as_stated[sizeof(us_{identifier}_ram) == US_{upper}_RAM_BYTES ? 1 : -1];

{constants}

US_FUNCTION int us_{identifier}_predict(const {kind} *{argument}, size_t n, float scores[US_{upper}_CLASSES]) {{
{checks}
{predict}
}}
{labels}
#endif
"""

_EXAMPLE = """\
{usage}
{labels}
#include "{header}"

int main(int argc, char **argv) {{
{declarations}
{read}
    if (best < 0) {{
        return 1;
    }}
    printf("best {format}\\n", {best});
    for (int i = 0; i < US_{upper}_CLASSES; i++) {{
        printf("{format} %.6f\\n", {each}, (double)scores[i]);
    }}
    return 0;
}}
"""


def _c_string(text: str) -> str:
    """Return a C string literal; bytes that could mean something to a compiler are written in octal."""
    plain = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:;+()")
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode("utf-8", "surrogateescape")) + '"'


def _labels(identifier: str, labels: Sequence[str]) -> str:
    upper = identifier.upper()
    rows = "".join(f"    {_c_string(label)},\n" for label in labels)
    return (
        f"\n#ifdef US_{upper}_LABELS /* define it before the include to have the names: they cost flash */\n"
        f"static const char *const us_{identifier}_labels[US_{upper}_CLASSES] = {{\n{rows}}};\n#endif\n"
    )


def header_text(
    program: Program,
    identifier: str,
    source: Source,
    labels: Sequence[str] | None,
    *,
    runtimes: Sequence[str] = (RUNTIME,),
    guard: str = "US",
) -> str:
    """Return the header on ``runtimes``, of which it includes the last, with the constants of ``source``.

    ``guard`` begins the name of its include guard: headers of two models that take the same C names must not share one, or the
    second would vanish without a word where the compiler has to complain.
    """
    upper, runtime = identifier.upper(), runtimes[-1]
    reads = c_input(program)
    return _HEADER.format(
        identifier=identifier,
        upper=upper,
        what=reads.what,
        argument=reads.argument,
        kind=reads.kind,
        reading=reads.reading.format(upper=upper),
        first_call=reads.first_call if runtime == RUNTIME or isinstance(program.source, ProjectText) else "",
        checks=reads.checks.format(upper=upper, identifier=identifier),
        runtime=runtime,
        runtimes=" and ".join(runtimes),
        guard=guard,
        classes=program.classes,
        ram_bytes=source.ram_bytes,
        vector_ram_bytes=source.vector_ram_bytes,
        sizes=size_lines(program, upper),
        memory=source.memory,
        constants="\n\n".join(constant.text for constant in source.constants),
        predict=source.predict,
        labels="" if labels is None else _labels(identifier, labels),
    )


def _example(program: Program, identifier: str, *, labelled: bool, header: str, name: str) -> str:
    usage, declarations, read = c_input(program).example
    upper = identifier.upper()
    names = f"us_{identifier}_labels"
    return _EXAMPLE.format(
        usage=usage.replace("example", name),
        header=header,
        declarations=declarations.format(upper=upper),
        read=read.format(identifier=identifier),
        upper=upper,
        labels=f"\n#define US_{upper}_LABELS" if labelled else "",
        format="%s" if labelled else "%d",
        best=f"{names}[best]" if labelled else "best",
        each=f"{names}[i]" if labelled else "i",
    )


class HeaderExporter(ABC):
    """What the formats that are one generated header share.

    Attributes:
        format: the word in ``--format``.
        filename: the model's header.
        runtimes: the headers beside the model's; it includes the last one.
        guard: what the name of the model's include guard begins with, different in each format.
        example: stem of the program that shows how to call it.
    """

    format: str
    filename: str
    runtimes: tuple[str, ...]
    guard: str
    example: str

    def identifier(self, name: str) -> str:
        """Return what stands behind ``us_`` in the C names of a model that is called ``name``."""
        return c_identifier(name)

    @abstractmethod
    def source(self, program: Program, identifier: str) -> Source:
        """Return ``program`` as C.

        Raises:
            InputError: a float program, or one that the format does not hold.
        """

    def export(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the header, the runtime that it includes, and an example.

        Args:
            program: an integer program.
            name: any text; ``c_identifier`` turns it into the part of the C names behind ``us_``.
            labels: class names in the order of the scores; given, the header holds them behind a macro.

        Raises:
            InputError: a float program, or one beyond the runtime's integer types.
        """
        identifier = self.identifier(name)
        source = self.source(program, identifier)
        header = header_text(program, identifier, source, labels, runtimes=self.runtimes, guard=self.guard)
        labelled = labels is not None
        example = _example(program, identifier, labelled=labelled, header=self.filename, name=self.example)
        return {
            self.filename: header.encode(),
            **{runtime: resources.files(__package__).joinpath(runtime).read_bytes() for runtime in self.runtimes},
            f"{self.example}.c": example.encode(),
        }

    def byte_table(
        self,
        program: Program,
        *,
        name: str,
        labels: Sequence[str] | None = None,  # noqa: ARG002 - they cost flash only where the macro is defined
    ) -> list[tuple[str, int]]:
        """Return (where, bytes of flash) rows: constants exactly, then the code of the operations that are used."""
        source = self.source(program, self.identifier(name))
        constants: Counter[str] = Counter()
        for constant in source.constants:
            constants[constant.where] += constant.size_bytes
        if not isinstance(program.source, ProjectText):
            return [*constants.items(), *code_rows(source.calls)]
        # coefficients of the hash are expanded from the seed into RAM: no flash
        return [("projection constants", 0), *constants.items(), *code_rows(source.calls)]

    def ram_bytes(self, program: Program) -> int:
        """Return the static RAM of ``program``, the value of ``US_<NAME>_RAM_BYTES``."""
        return self.source(program, "model").ram_bytes


class CExporter(HeaderExporter):
    """``--format c``. Budgets count flash on a Cortex-M4: constants exactly, code from a measured table."""

    format = "c"
    filename = "model.h"
    runtimes = (RUNTIME,)
    guard = "US"
    example = "example"

    def source(self, program: Program, identifier: str) -> Source:
        """Return ``program`` as C.

        Raises:
            InputError: a float program, or one beyond the runtime's integer types.
        """
        return write_source(program, identifier)

    def open(self, folder: Path, *, name: str) -> CSession:
        """Compile the header in ``folder`` with this machine's C compiler and return a session on it.

        Raises:
            SetupError: no C compiler.
            VerificationError: the header does not compile.
        """
        return compile_session(folder, self.identifier(name))
