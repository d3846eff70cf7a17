"""Whether graph files answer on a 64-bit Arm processor as they do here, to the bit, in LiteRT and in ONNX Runtime.

    python benchmarks/arm_runtimes.py --processor cortex-a76 --python "qemu-aarch64 -cpu cortex-a76 -L A A/usr/bin/python3.11"

``--python`` is a command that runs Python on such a processor, on files of this machine; A is a folder with that Python and the
wheels for it of NumPy, ai-edge-litert and onnxruntime (docs/devices.md says how to fill it). QEMU has to be of version 10 or
newer: in 7.2 both runtimes stop.

Files are those of every program that a format must hold (``understudy.testing``).
Their answers here, which tests compare with the reference, are compared with those there. Each kernel set appends one JSON line
to benchmarks/results/arm_runtimes.jsonl.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from records import RESULTS, append, command, machine

from understudy.export.registry import exporter
from understudy.program.ops import Program
from understudy.testing.formats import CASES, NAME, examples

FORMATS = ("litert", "onnx")
SESSION = Path(__file__).parent / "arm_session.py"


def write_case(folder: Path, program: Program) -> None:
    """Write the files of ``program`` to ``folder``, what they are asked, and what they answer here."""
    folder.mkdir()
    asked = examples(program)
    np.save(folder / "inputs.npy", asked)
    for word in FORMATS:
        for filename, content in exporter(word).export(program, name=NAME).items():
            (folder / filename).write_bytes(content)
        np.save(folder / f"{word}.npy", exporter(word).open(folder, name=NAME).predict(asked))


def main() -> int:
    """Compare, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="a command that runs Python on a 64-bit Arm processor")
    parser.add_argument("--processor", required=True, help="its name, for the row")
    parser.add_argument("--results", type=Path, default=RESULTS / "arm_runtimes.jsonl")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for number, case in enumerate(CASES):
            write_case(Path(temporary) / f"{number:03d}", case.program)
        line = [*shlex.split(arguments.python), str(SESSION), temporary]
        answered = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
    for found in map(json.loads, answered.splitlines()):
        row = {"processor": arguments.processor, **found}
        append(arguments.results, {**row, "command": command(), "machine": machine()})
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
