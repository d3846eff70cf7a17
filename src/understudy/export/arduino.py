"""The Arduino format: the C model as a library for Arduino, CMake and Zephyr, in one ZIP file that the Arduino IDE installs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from understudy.export.arduino_input import arduino_input
from understudy.export.arduino_session import ArduinoSession
from understudy.export.c import CExporter, HeaderExporter
from understudy.export.c_input import size_lines
from understudy.export.refused import need_integers
from understudy.program.ops import Program

_EPOCH = (1980, 1, 1, 0, 0, 0)
_HEADER = """\
/* {library}: {what} classifier that understudy wrote, for C and C++. Static RAM: {ram_bytes} bytes; no heap. Do not edit. */
#ifndef {upper}_LIBRARY_H
#define {upper}_LIBRARY_H

#include <stddef.h>

#define {upper}_CLASSES {classes}
{sizes}

#ifdef __cplusplus
extern "C" {{
#endif

{comment}
int {library}_classify({parameter}, size_t length, float *scores);

/* Return the name of a class, or null for an index that is none. The names take flash only where this is called. */
const char *{library}_label(int index);

#ifdef __cplusplus
}}
#endif
#endif
"""
_SOURCE = """\
#include "{library}.h"

#define {upper}_LABELS
#include "internal/{header}"

int {library}_classify({parameter}, size_t length, float *scores) {{
    return {library}_predict({call}, length, scores);
}}

const char *{library}_label(int index) {{
    return index >= 0 && index < {upper}_CLASSES ? {library}_labels[index] : NULL;
}}
"""
_PROPERTIES = """\
name={library}
version=1.0.0
author=understudy
maintainer=understudy
sentence={title} classifier with {classes} classes.
paragraph={reads} in, probabilities out; no heap, {ram_bytes} bytes of static RAM.
category=Data Processing
url=
architectures=*
includes={library}.h
"""
_CMAKE = """\
cmake_minimum_required(VERSION 3.13)
project({library} C)
add_library({library} STATIC src/{library}.c)
target_include_directories({library} PUBLIC src)
set_target_properties({library} PROPERTIES C_STANDARD 99)
"""
_ZEPHYR_MODULE = """\
name: {library}
build:
  cmake: zephyr
  kconfig: zephyr/Kconfig
"""
_ZEPHYR_CMAKE = """\
if(CONFIG_{upper})
  zephyr_library()
  zephyr_library_sources(../src/{library}.c)
  zephyr_include_directories(../src)
endif()
"""
_ZEPHYR_CONFIG = """\
config {upper}
\tbool "{library}: {what} classifier with {classes} classes"
"""
_README = """\
# {library}

{title} classifier that understudy wrote: {classes} classes, {ram_bytes} bytes of static RAM, no heap, C99.

- Arduino: Sketch, Include Library, Add .ZIP Library; then File, Examples, {library}, Classify.
  For 32-bit boards: an AVR would copy the weights into its RAM.
- CMake: `add_subdirectory({library})` and `target_link_libraries(app {library})`.
- Zephyr: name this folder in `ZEPHYR_EXTRA_MODULES` and set `CONFIG_{upper}=y`.

```c
#include "{library}.h"

static float scores[{upper}_CLASSES];
int best = {library}_classify({argument}, length, scores);
printf("%s %f\\n", {library}_label(best), scores[best]);
```
"""
_TEMPLATES = {
    "README.md": _README,
    "library.properties": _PROPERTIES,
    "CMakeLists.txt": _CMAKE,
    "zephyr/module.yml": _ZEPHYR_MODULE,
    "zephyr/CMakeLists.txt": _ZEPHYR_CMAKE,
    "zephyr/Kconfig": _ZEPHYR_CONFIG,
    "src/{library}.h": _HEADER,
    "src/{library}.c": _SOURCE,
}


class ArduinoExporter:
    """Writes and runs ``arduino.zip``. Budgets count flash, as for C."""

    format = "arduino"
    filename = "arduino.zip"
    c: HeaderExporter = CExporter()
    """What writes the program as C."""

    def export(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the ZIP file, with one folder in it.

        Raises:
            InputError: a float program, or one beyond the C runtime.
        """
        self.refuse(program)
        shown = [str(i) for i in range(program.classes)] if labels is None else labels
        library = self.library(name)
        reads = arduino_input(program)
        names = {"library": library, "upper": library.upper()}
        values = {
            **names,
            "classes": program.classes,
            "sizes": size_lines(program, self.c.identifier(name).upper()),
            "header": self.c.filename,
            "ram_bytes": self.c.ram_bytes(program),
            "what": reads.what,
            "title": reads.what.capitalize(),
            "reads": reads.reads,
            "parameter": reads.parameter,
            "argument": reads.argument,
            "comment": reads.comment.format_map(names),
            "call": reads.call,
        }
        files = {path.format_map(values): template.format_map(values).encode() for path, template in _TEMPLATES.items()}
        files["examples/Classify/Classify.ino"] = reads.sketch.format_map(names).encode()
        c_files = self.c.export(program, name=name, labels=shown)
        for filename in (self.c.filename, *self.c.runtimes):
            files[f"src/internal/{filename}"] = c_files[filename]
        return {self.filename: _zipped({f"{library}/{path}": content for path, content in files.items()})}

    def byte_table(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> list[tuple[str, int]]:
        """Return the rows of the C format: the flash that the model takes."""
        self.refuse(program)
        return self.c.byte_table(program, name=name, labels=labels)

    def open(self, folder: Path, *, name: str) -> ArduinoSession:
        """Compile the library with this machine's C compiler and return a session on it.

        Raises:
            BundleError: the file is missing or damaged.
            SetupError: no C compiler.
            VerificationError: the library does not compile.
        """
        return ArduinoSession(folder / self.filename, self.library(name))

    def library(self, name: str) -> str:
        """Return the name of the library, of its header and of what its functions begin with."""
        return f"us_{self.c.identifier(name)}"

    def refuse(self, program: Program) -> None:
        """Refuse what the format cannot hold.

        Raises:
            InputError: a float program, or one with islands.
        """
        need_integers(program, format_name=self.format)


def _zipped(files: dict[str, bytes]) -> bytes:
    """Return a ZIP file of path to content; the same files give the same bytes, because members carry no time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            member = zipfile.ZipInfo(path, date_time=_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return out.getvalue()
