"""Emulated microcontrollers: a whole bare-metal firmware around a C file on a QEMU board, that answers every example."""

from __future__ import annotations

import re
import string
import subprocess
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
from understudy.devices.profile import MODEL_STACK_BYTES, DeviceProfile, Emulator
from understudy.devices.runner import Examples, compared
from understudy.errors import BudgetError, SetupError
from understudy.export.c import HeaderExporter
from understudy.export.c_session import c_compiler
from understudy.export.parity import spread_us
from understudy.formats import FLOAT_FORMATS
from understudy.units import format_bytes

TOOLCHAIN = "arm-none-eabi-"
QEMU = "qemu-system-arm"
# -Os, because budgets count the code that -Os makes; -g gives the lines for the counter of instructions, and no code
FLAGS = ("-std=c99", "-Os", "-g", "-mthumb", "-ffunction-sections", "-fdata-sections", "-Wall", "-Werror")
HARNESS_FLASH_BYTES, HARNESS_RAM_BYTES = 4096, 64
"""What board.ld keeps apart, behind the firmware's flash and RAM, for the file that talks to the emulator."""
_FIRMWARE_ELF = "firmware.elf"


@dataclass(frozen=True)
class MicrocontrollerRunner:
    """``--on cortex-m4`` and its like. Times are estimates: instructions by clock.

    Attributes:
        profile: the device, with an emulator.
        formats: the C files to run; None for the one in integers, or in float where there is no other.
    """

    profile: DeviceProfile
    formats: tuple[str, ...] | None = None
    runnable: ClassVar[tuple[str, ...] | None] = C_FILES

    def check(self, bundle: Bundle) -> tuple[SetupError, ...]:
        """Raise where a tool is missing or the bundle holds no C."""
        need_tools(f"{TOOLCHAIN}gcc", f"{TOOLCHAIN}size", f"{TOOLCHAIN}addr2line", QEMU, target=self.profile.name)
        c_compiler()  # for the plugin
        c_exporters(bundle, self.formats, target=self.profile.name)
        return ()

    def run(self, bundle: Bundle, examples: Examples) -> list[Measurement]:
        """Return the measurement of each C file.

        Raises:
            BudgetError: a firmware does not fit the device.
            VerificationError: a firmware does not compile or run.
        """
        writers = c_exporters(bundle, self.formats, target=self.profile.name)
        return [self._measurement(bundle, examples, writer) for writer in writers]

    def _measurement(self, bundle: Bundle, examples: Examples, writer: HeaderExporter) -> Measurement:
        name = self.profile.name
        emulator = self.profile.emulator
        assert emulator is not None
        inputs = examples.as_bytes()
        with tempfile.TemporaryDirectory(prefix="understudy-device-") as temporary:
            folder = Path(temporary)
            write_sources(folder)
            self._build(folder, bundle, emulator, writer)
            write_inputs(folder, inputs)
            plugin = build_plugin(folder, emulator=QEMU)
            board = ["-M", emulator.machine, "-nographic", "-monitor", "none", "-serial", "none"]
            semihosting = ["-semihosting-config", "enable=on,target=native"]
            run_program([QEMU, *board, *semihosting, *plugin, "-kernel", _FIRMWARE_ELF], folder=folder, target=name)
            answers = read_answers(folder, inputs=len(inputs), classes=len(bundle.labels), target=name)
            identifier = writer.identifier(bundle.manifest.name)
            counts = read_counts(folder, program=_FIRMWARE_ELF, toolchain=TOOLCHAIN, name=identifier, inputs=len(inputs))
            sections = _section_bytes(folder)
        stack_bytes = int(answers.stack_bytes.max())
        clock = self.profile.clock
        assert clock is not None
        return Measurement.model_validate(
            {
                "target": name,
                "format": writer.format,
                "runtime": f"{version_of(f'{TOOLCHAIN}gcc')} -Os on {version_of(QEMU)} {emulator.machine}",
                "measured": False,
                "latency_us": spread_us(estimated_us(counts, clock_hz=clock.hz)),
                "clock_hz": clock.hz,
                "instructions": counts.median,
                "first_instructions": counts.totals[0],
                "instruction_table": counts.rows,
                "flash_bytes": sections[".text"] + sections[".data"],
                "ram_bytes": sections[".data"] + sections[".bss"] + stack_bytes,
                "stack_bytes": stack_bytes,
                "note": f"{self.profile.title}: instructions, flash and RAM are exact, of the emulated core; the time "
                f"is an estimate, one instruction for one cycle at {clock.hz / 1e6:g} MHz",
                **compared(answers.scores, examples, bundle, in_float=writer.format in FLOAT_FORMATS),
            }
        )

    def _build(self, folder: Path, bundle: Bundle, emulator: Emulator, writer: HeaderExporter) -> None:
        """Compile the firmware for the device's memory, as far as the board has it."""
        flash, ram = self.profile.flash.bytes, self.profile.ram.bytes
        assert flash is not None
        assert ram is not None
        board = string.Template((folder / "board.ld").read_text("ascii")).substitute(
            flash_origin=emulator.flash_origin,
            flash_bytes=min(flash, emulator.flash_bytes - HARNESS_FLASH_BYTES),
            ram_origin=emulator.ram_origin,
            ram_bytes=min(ram, emulator.ram_bytes - HARNESS_RAM_BYTES),
            least_stack_bytes=MODEL_STACK_BYTES,
        )
        (folder / "board.ld").write_text(board, "ascii")
        compiler = [f"{TOOLCHAIN}gcc", *FLAGS, *emulator.flags]
        for source in ("start", "bench", "semihosting"):
            compile_c([*compiler, *model_flags(bundle, writer), "-c", f"{source}.c"], folder=folder, what=f"{source}.c")
        # only memset and memcpy, which compilers make of loops, come from the library
        link = ["--specs=nano.specs", "-nostartfiles", "-Wl,--gc-sections", "-T", "board.ld", "-o", _FIRMWARE_ELF]
        command = [*compiler, *link, "start.o", "bench.o", "semihosting.o"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode:
            raise self._too_large(result.stderr)

    def _too_large(self, said: str) -> BudgetError:
        overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes", said)
        what = f"{overflow[1]} short by {overflow[2]} bytes" if overflow else " ".join(said.split())[-160:]
        flash, ram = self.profile.flash.bytes or 0, self.profile.ram.bytes or 0
        return BudgetError(
            f"a model fits its device: received target={self.profile.name} with {format_bytes(flash)} of flash and "
            f"{format_bytes(ram)} of RAM, {what}; compress with --device {self.profile.name}"
        )


def _section_bytes(folder: Path) -> dict[str, int]:
    """Return the bytes of each section of the firmware; what talks to the emulator has sections of its own."""
    command = [f"{TOOLCHAIN}size", "-A", _FIRMWARE_ELF]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in answer.splitlines() if line.startswith(".")]
    return {row[0]: int(row[1]) for row in rows}
