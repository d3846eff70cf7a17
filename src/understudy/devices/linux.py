"""Linux programs for other processors, under QEMU's user-mode emulation: exact answers and counts of instructions."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from understudy.bundle import Bundle
from understudy.device_measurements import Measurement
from understudy.devices.emulation import (
    C_FILES,
    c_exporters,
    compile_c,
    model_flags,
    need_tools,
    read_answers,
    run_program,
    version_of,
    write_inputs,
    write_sources,
)
from understudy.devices.instructions import build_plugin, estimated_us, read_counts
from understudy.devices.runner import Examples, compared
from understudy.errors import SetupError
from understudy.export.c import HeaderExporter
from understudy.export.c_session import c_compiler
from understudy.export.parity import spread_us
from understudy.formats import FLOAT_FORMATS

FLAGS = ("-std=c99", "-O2", "-g", "-static", "-Wall", "-Werror")
_PROGRAM = "bench"


@dataclass(frozen=True)
class Architecture:
    """A processor architecture: the prefix of its compiler and its emulator."""

    toolchain: str
    qemu: str


ARCHITECTURES = {
    "aarch64": Architecture("aarch64-linux-gnu-", "qemu-aarch64"),
    "armhf": Architecture("arm-linux-gnueabihf-", "qemu-arm"),
    "riscv64": Architecture("riscv64-linux-gnu-", "qemu-riscv64"),
}


@dataclass(frozen=True)
class LinuxRunner:
    """``--on aarch64``, ``armhf`` or ``riscv64``, and boards with these processors.

    Attributes:
        target: the word in ``--on``.
        architecture: key of ``ARCHITECTURES``.
        clock_hz: for an estimate of the time; None for an architecture without a device.
        formats: the C files to run; None for the one in integers, or in float where there is no other.
    """

    target: str
    architecture: str
    clock_hz: int | None = None
    formats: tuple[str, ...] | None = None
    runnable: ClassVar[tuple[str, ...] | None] = C_FILES

    def check(self, bundle: Bundle) -> tuple[SetupError, ...]:
        """Raise where a tool is missing or the bundle holds no C."""
        found = ARCHITECTURES[self.architecture]
        need_tools(f"{found.toolchain}gcc", f"{found.toolchain}addr2line", found.qemu, target=self.target)
        c_compiler()  # for the plugin
        c_exporters(bundle, self.formats, target=self.target)
        return ()

    def run(self, bundle: Bundle, examples: Examples) -> list[Measurement]:
        """Return the measurement of each C file.

        Raises:
            VerificationError: a program does not compile or run.
        """
        writers = c_exporters(bundle, self.formats, target=self.target)
        return [self._measurement(bundle, examples, writer) for writer in writers]

    def _measurement(self, bundle: Bundle, examples: Examples, writer: HeaderExporter) -> Measurement:
        found = ARCHITECTURES[self.architecture]
        inputs = examples.as_bytes()
        with tempfile.TemporaryDirectory(prefix="understudy-device-") as temporary:
            folder = Path(temporary)
            write_sources(folder)
            command = [f"{found.toolchain}gcc", *FLAGS, *model_flags(bundle, writer), "-o", _PROGRAM, "bench.c", "linux.c"]
            compile_c(command, folder=folder, what=f"the program for {self.target}")
            write_inputs(folder, inputs)
            plugin = build_plugin(folder, emulator=found.qemu)
            run_program([found.qemu, *plugin, f"./{_PROGRAM}"], folder=folder, target=self.target)
            answers = read_answers(folder, inputs=len(inputs), classes=len(bundle.labels), target=self.target)
            identifier = writer.identifier(bundle.manifest.name)
            counts = read_counts(folder, program=_PROGRAM, toolchain=found.toolchain, name=identifier, inputs=len(inputs))
        note = "instructions are exact, of the emulated processor; "
        if self.clock_hz is None:
            note += "an architecture has no clock, so there is no time"
        else:
            note += f"the time is an estimate, one instruction for one cycle at {self.clock_hz / 1e6:g} MHz"
        return Measurement.model_validate(
            {
                "target": self.target,
                "format": writer.format,
                "runtime": f"{version_of(f'{found.toolchain}gcc')} -O2 on {version_of(found.qemu)}",
                "measured": False,
                "latency_us": None if self.clock_hz is None else spread_us(estimated_us(counts, clock_hz=self.clock_hz)),
                "clock_hz": self.clock_hz,
                "instructions": counts.median,
                "first_instructions": counts.totals[0],
                "instruction_table": counts.rows,
                "note": note,
                **compared(answers.scores, examples, bundle, in_float=writer.format in FLOAT_FORMATS),
            }
        )
