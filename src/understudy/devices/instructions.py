"""Instruction counts from QEMU: the plugin ``c/count.c`` built for this machine, and what its numbers mean.

The counts are exact and repeat to the last digit. They are instructions of one compiler's code, not cycles: no caches, no
wait states, no second issue.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from understudy.device_measurements import InstructionRow
from understudy.devices.emulation import compile_c, version_of
from understudy.errors import VerificationError
from understudy.export.c_session import c_compiler

COUNTS = "counts.txt"
_PLUGIN = "count.so"
_CALL = re.compile(r"\bus_(\w+)\((.*)\);")


@dataclass(frozen=True)
class InstructionCounts:
    """Instructions of every prediction.

    Attributes:
        totals: of each prediction, in the order of the inputs.
        rows: of the prediction whose total is the median, leaving out the first: they add up to ``median``.
    """

    totals: tuple[int, ...]
    rows: tuple[InstructionRow, ...]

    @property
    def warm(self) -> tuple[int, ...]:
        """The totals without the first prediction, which prepares tables; all of them where there is only one."""
        return self.totals[1:] or self.totals

    @property
    def median(self) -> int:
        """The lower median of ``warm``."""
        return sorted(self.warm)[(len(self.warm) - 1) // 2]


def build_plugin(folder: Path, *, emulator: str) -> list[str]:
    """Compile the plugin for ``emulator`` in ``folder`` and return the emulator's options that use it.

    Raises:
        SetupError: no C compiler.
        VerificationError: it does not compile.
    """
    found = re.search(r"version (\d+)", version_of(emulator))
    # QEMU 9 refuses version 1; the calls that are used here are the same in both
    version = 2 if found and int(found[1]) >= 9 else 1
    flags = ["-std=c99", "-O2", "-shared", "-fPIC", f"-DPLUGIN_VERSION={version}", "-o", _PLUGIN, "count.c"]
    compile_c([*c_compiler(), *flags], folder=folder, what="the counter of instructions")
    # -d plugin makes the user-mode emulator read the symbols of the program
    return ["-plugin", f"./{_PLUGIN},out={COUNTS}", "-d", "plugin", "-D", "emulator.log"]


def read_counts(folder: Path, *, program: str, toolchain: str, name: str, inputs: int) -> InstructionCounts:
    """Return what the plugin counted while ``program`` predicted ``inputs`` inputs.

    Args:
        folder: where the plugin wrote and the program lies.
        program: file name of the ELF program, with debug information.
        toolchain: prefix of its ``addr2line``.
        name: the identifier in ``us_<name>_predict``.
        inputs: predictions that were made.

    Raises:
        VerificationError: another number of predictions was counted.
    """
    predictions: dict[int, Counter[int]] = {}
    for line in (folder / COUNTS).read_text("ascii").splitlines():
        prediction, address, count = map(int, line.split())
        predictions.setdefault(prediction, Counter())[address] += count
    if len(predictions) != inputs:
        raise VerificationError(
            f"every prediction is counted: received {len(predictions)} of {inputs}; QEMU 7.2 is what this was tested with"
        )
    totals = tuple(sum(predictions[i].values()) for i in range(inputs))
    counts = InstructionCounts(totals, ())
    middle = next(i for i in reversed(range(inputs)) if totals[i] == counts.median)
    steps = _steps(sorted(predictions[middle]), folder=folder, program=program, toolchain=toolchain, name=name)
    rows: Counter[str] = Counter()
    for address, count in predictions[middle].items():
        rows[steps[address]] += count
    return InstructionCounts(totals, tuple(InstructionRow(where=where, instructions=n) for where, n in rows.most_common()))


def _steps(addresses: list[int], *, folder: Path, program: str, toolchain: str, name: str) -> Mapping[int, str]:
    """Return for each address the step of ``us_<name>_predict`` that it belongs to, through the program's line table."""
    command = [f"{toolchain}addr2line", "-f", "-i", "-a", "-e", program, *map(hex, addresses)]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    steps = {}
    # each answer begins with the address; then function and place in turns, the innermost inlined function first
    for block in re.split(r"^(?=0x[0-9a-f]+$)", answer, flags=re.MULTILINE)[1:]:
        address, *lines = (re.sub(r" \(discriminator \d+\)$", "", line) for line in block.splitlines())
        frames = dict(zip(lines[0::2], lines[1::2], strict=False))
        place = frames.get(f"us_{name}_predict", "")
        path, _, number = place.rpartition(":")
        steps[int(address, 16)] = _step(path, number, name) if number.isdigit() else "call"
    return steps


def _step(path: str, number: str, name: str) -> str:
    """Return the step in line ``number`` of a generated header: ``linear hidden`` for ``us_linear(&us_demo_2_hidden);``."""
    lines = Path(path).read_text("ascii").splitlines()
    found = _CALL.search(lines[int(number) - 1])
    if found is None:
        return "next_token" if "us_next_token" in lines[int(number) - 1] else "predict"
    function, arguments = found.groups()
    tensor = re.match(rf"&us_{name}_(?:real_)?\d+_(\w+)", arguments)
    return f"{function.removesuffix('_row')} {tensor[1]}" if tensor else function


def estimated_us(counts: InstructionCounts, *, clock_hz: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return microseconds ``[inputs]`` at one cycle of ``clock_hz`` an instruction; an estimate, never a measurement."""
    return np.asarray(counts.warm, np.float64) / clock_hz * 1e6
