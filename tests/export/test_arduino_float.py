"""The Arduino library in float: what is in it, and that it compiles as C beside the library of integers."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import numpy as np

from bundles import LABELS
from programs import sequence_program
from understudy.export.arduino import ArduinoExporter
from understudy.export.arduino_float import ArduinoFloatExporter
from understudy.program.real import real_probabilities
from understudy.projections.text import encode

PROGRAM = sequence_program(bits=4)
USER = """\
#include <stdio.h>
#include "us_kitchen.h"
#include "us_kitchen_float.h"
int main(void) {
    static float exact[US_KITCHEN_CLASSES], real[US_KITCHEN_FLOAT_CLASSES];
    int best = us_kitchen_float_classify("some jazz", 9, real);
    us_kitchen_classify("some jazz", 9, exact);
    printf("%s\\n%.6f %.6f\\n", us_kitchen_float_label(best), (double)real[best], (double)exact[best]);
    return 0;
}
"""


def test_both_libraries_compile_into_one_program(tmp_path: Path) -> None:
    for made in (ArduinoExporter(), ArduinoFloatExporter()):
        [content] = made.export(PROGRAM, name="kitchen", labels=LABELS).values()
        (tmp_path / made.filename).write_bytes(content)
        with zipfile.ZipFile(tmp_path / made.filename) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path)
    library = tmp_path / "us_kitchen_float"
    assert sorted(path.name for path in (library / "src" / "internal").iterdir()) == [
        "model_float.h",
        "understudy.h",
        "understudy_float.h",
    ]
    assert "name=us_kitchen_float\n" in (library / "library.properties").read_text()
    (tmp_path / "user.c").write_text(USER)
    sources = ["us_kitchen/src/us_kitchen.c", "us_kitchen_float/src/us_kitchen_float.c"]
    include = ["-I", "us_kitchen/src", "-I", "us_kitchen_float/src"]
    command = [
        "cc",
        "-std=c99",
        "-O1",
        "-DUS_WIDEST=16",
        "-Wall",
        "-Wextra",
        "-Werror",
        *include,
        "user.c",
        *sources,
        "-o",
        "user",
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    label, numbers = subprocess.run(["./user"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    [expected] = real_probabilities(PROGRAM, encode(["some jazz"], max_bytes=64))
    real, exact = map(float, numbers.split())
    assert label.expandtabs() == LABELS[int(np.argmax(expected))].expandtabs()
    assert abs(real - expected.max()) < 2e-6
    assert real != exact
