"""The Arduino library installs, compiles and answers the way its users would use it."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from bundles import LABELS
from image_programs import image_program, pictures
from programs import TEXTS, sequence_program, utterance_program
from understudy.export.arduino import ArduinoExporter
from understudy.export.c import CExporter
from understudy.program.interpreter import run
from understudy.projections.text import encode

PROGRAM = sequence_program(bits=4)

# what a sketch finds on a board, as far as the example needs it
ARDUINO_H = """\
#include <stddef.h>
#include <stdio.h>
struct Port {
    int next = -2;
    void begin(long) {}
    int available() { if (next == -2) next = getchar(); return next == EOF ? 0 : 1; }
    int read() { const int letter = next; next = -2; return letter; }
    void print(const char *text) { printf("%s", text); }
    void print(char letter) { printf("%c", letter); }
    void println(float value, int digits) { printf("%.*f\\n", digits, (double)value); }
};
static Port Serial;
"""
MAIN = "int main() {\n    setup();\n    while (Serial.available()) loop();\n    return 0;\n}\n"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """The library as the Arduino IDE unpacks it."""
    [content] = ArduinoExporter().export(PROGRAM, name="kitchen", labels=LABELS).values()
    (tmp_path / "arduino.zip").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "arduino.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    return tmp_path / "us_kitchen"


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"this test needs {name}")
    return found


def output(command: list[object], *, stdin: str = "", folder: Path | None = None) -> str:
    result = subprocess.run(list(map(str, command)), input=stdin, capture_output=True, text=True, cwd=folder, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def expected(texts: list[str]) -> str:
    rows = run(PROGRAM, encode(texts, max_bytes=64)).probabilities
    return "".join(f"{LABELS[row.argmax()]}\t{row.max():.4f}\n" for row in rows)


def test_it_has_what_the_three_build_systems_look_for(library: Path) -> None:
    files = {str(path.relative_to(library)) for path in library.rglob("*") if path.is_file()}
    assert files == {
        "README.md", "library.properties", "CMakeLists.txt", "examples/Classify/Classify.ino", "src/us_kitchen.h",
        "src/us_kitchen.c", "src/internal/model.h", "src/internal/understudy.h", "zephyr/module.yml", "zephyr/CMakeLists.txt",
        "zephyr/Kconfig",
    }  # fmt: skip
    properties = dict(line.split("=", 1) for line in (library / "library.properties").read_text().splitlines())
    assert properties["name"] == "us_kitchen"
    assert properties["includes"] == "us_kitchen.h"
    assert {"version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"} <= set(properties)


def test_the_example_sketch_answers_each_line(library: Path, tmp_path: Path) -> None:
    """The sketch as C++, the library as C, as the Arduino IDE compiles them."""
    texts = [text for text in TEXTS if isinstance(text, str) and "\n" not in text]
    (tmp_path / "Arduino.h").write_text(ARDUINO_H)
    sketch = (library / "examples" / "Classify" / "Classify.ino").read_text()
    (tmp_path / "sketch.cpp").write_text(f'#include "Arduino.h"\n{sketch}{MAIN}')
    output(
        [tool("gcc"), "-c", "-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "src/us_kitchen.c", "-o", "l.o"], folder=library
    )
    command = [tool("g++"), "-std=gnu++11", "-Wall", "-Wextra", "-Werror", "-I", library / "src", "-I", tmp_path]
    output([*command, tmp_path / "sketch.cpp", library / "l.o", "-o", tmp_path / "sketch"])
    assert output([tmp_path / "sketch"], stdin="".join(text + "\n" for text in texts)) == expected(texts)


def test_the_example_sketch_answers_each_image(tmp_path: Path) -> None:
    program = image_program()
    images = pictures(program, 6)
    [content] = ArduinoExporter().export(program, name="kitchen", labels=LABELS).values()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    library = tmp_path / "us_kitchen"
    (tmp_path / "Arduino.h").write_text(ARDUINO_H)
    sketch = (library / "examples" / "Classify" / "Classify.ino").read_text()
    check = (
        "if (us_kitchen_classify(pixels, US_KITCHEN_PIXELS - 1, scores) != -2) return 1;\n"
        "if (us_kitchen_classify(NULL, US_KITCHEN_PIXELS, scores) != -1) return 1;\n"
        "if (US_KITCHEN_HEIGHT * US_KITCHEN_WIDTH * US_KITCHEN_CHANNELS != US_KITCHEN_PIXELS) return 1;"
    )
    main = MAIN.replace("setup();", f"setup();\n{check}")
    (tmp_path / "sketch.cpp").write_text(f'#include "Arduino.h"\n{sketch}{main}')
    compiler = [tool("gcc"), "-c", "-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "src/us_kitchen.c", "-o", "l.o"]
    output(compiler, folder=library)
    command = [tool("g++"), "-std=gnu++11", "-Wall", "-Wextra", "-Werror", "-I", library / "src", "-I", tmp_path]
    output([*command, tmp_path / "sketch.cpp", library / "l.o", "-o", tmp_path / "sketch"])
    (tmp_path / "pixels.bin").write_bytes(images.tobytes())
    with (tmp_path / "pixels.bin").open("rb") as stdin:
        answer = subprocess.run([tmp_path / "sketch"], stdin=stdin, capture_output=True, text=True, check=True).stdout
    rows = run(program, images).probabilities
    assert answer == "".join(f"{LABELS[row.argmax()]}\t{row.max():.4f}\n" for row in rows)


def test_cmake_builds_it_into_a_program(library: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.13)\nproject(app C)\nadd_subdirectory({library.name})\n"
        "add_executable(app app.c)\ntarget_link_libraries(app us_kitchen)\n"
    )
    (tmp_path / "app.c").write_text(
        '#include <stdio.h>\n#include <string.h>\n#include "us_kitchen.h"\n'
        "int main(int argc, char **argv) {\n    static float scores[US_KITCHEN_CLASSES];\n"
        "    const int best = us_kitchen_classify(argv[argc - 1], strlen(argv[argc - 1]), scores);\n"
        '    printf("%s\\t%.4f\\n", us_kitchen_label(best), scores[best]);\n'
        "    return us_kitchen_label(-1) != NULL || us_kitchen_label(US_KITCHEN_CLASSES) != NULL;\n}\n"
    )
    output([tool("cmake"), "-S", tmp_path, "-B", tmp_path / "build"])
    output([tool("cmake"), "--build", tmp_path / "build"])
    assert output([tmp_path / "build" / "app", "move my meeting"]) == expected(["move my meeting"])


def test_it_compiles_for_a_microcontroller_and_unused_labels_cost_nothing(library: Path, tmp_path: Path) -> None:
    compiler = [tool("arm-none-eabi-gcc"), "-mcpu=cortex-m4", "-Os", "-ffunction-sections", "-fdata-sections"]
    (tmp_path / "app.c").write_text(
        '#include "us_kitchen.h"\nfloat scores[US_KITCHEN_CLASSES];\n'
        'int main(void) { return us_kitchen_classify("a", 1, scores); }\n'
    )
    command = [*compiler, "-Wl,--gc-sections", "--specs=nosys.specs", "-I", library / "src", library / "src" / "us_kitchen.c"]
    output([*command, tmp_path / "app.c", "-o", tmp_path / "app.elf"])
    assert b"play music" not in (tmp_path / "app.elf").read_bytes()


def test_a_budget_counts_what_c_counts() -> None:
    for program in (PROGRAM, utterance_program()):
        assert ArduinoExporter().byte_table(program, name="x") == CExporter().byte_table(program, name="x")
