"""Device profiles: versioned data files that say what a device can hold and run, and where each figure comes from."""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from understudy.errors import InputError
from understudy.formats import FORMATS, ram_limits

FORMAT_VERSION: Final = 1
MODEL_STACK_BYTES = 512
"""Stack that a prediction may take, as the generated header promises; an emulated run checks it."""
_FOLDER = "profiles"
_SUFFIX = ".toml"

Operator = Literal[
    "project_text",
    "image",
    "sound",
    "standardize",
    "project_boxes",
    "linear",
    "conv",
    "depthwise_conv",
    "window",
    "max_pool",
    "local_max_pool",
    "sum_pool",
    "add",
    "lookup",
    "multiply",
    "scan",
    "flatten",
    "concat",
    "softmax",
]
"""Nodes of a program, as profiles name them."""
Source = Annotated[str, Field(min_length=8)]
Bytes = Annotated[int, Field(gt=0)]
Flag = Annotated[str, StringConstraints(pattern=r"^-m[a-z0-9=+.-]+$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Memory(_Table):
    """Flash or RAM."""

    bytes: Bytes | None = None
    """What the device has; absent where nothing so small binds."""
    model_bytes: Bytes
    """What a model may take of it: the rest is the application's."""
    source: Source
    """Where both figures come from."""

    @model_validator(mode="after")
    def _the_model_is_a_part(self) -> Self:
        if self.bytes is not None and self.model_bytes > self.bytes:
            raise ValueError(f"model_bytes={self.model_bytes} is at most bytes={self.bytes}")
        return self


class Clock(_Table):
    """The clock of the processor that runs the model."""

    hz: Annotated[int, Field(gt=0)]
    """Cycles in a second."""
    source: Source
    """Where it comes from."""


class Formats(_Table):
    """What the device runs."""

    names: Annotated[tuple[str, ...], Field(min_length=1)]
    """Formats of understudy, the preferred one first."""
    delegates: tuple[str, ...] = ()
    """Accelerators of its runtime that take these files."""
    source: Source
    """Where it comes from."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = [name for name in self.names if name not in FORMATS]
        if unknown:
            raise ValueError(f"names are of {', '.join(FORMATS)}: {', '.join(unknown)}")
        return self


class Operators(_Table):
    """What the device's runtime computes."""

    names: tuple[Operator, ...]
    """Nodes of a program."""
    weight_bits: Annotated[tuple[Literal[4, 8], ...], Field(min_length=1)]
    """Bits of weights that its kernels read."""
    source: Source
    """Where it comes from."""


class Emulator(_Table):
    """The QEMU board that stands in for a microcontroller."""

    machine: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    """The word behind ``-M``."""
    flags: tuple[Flag, ...]
    """The compiler's flags for the core."""
    flash_origin: int
    """Address of the flash, where the vectors stand."""
    flash_bytes: Bytes
    """Flash of the board; the smaller of this and the device's counts."""
    ram_origin: int
    """Address of the RAM."""
    ram_bytes: Bytes
    """RAM of the board; the smaller of this and the device's counts."""


class DeviceProfile(_Table):
    """One device."""

    version: Literal[1] = FORMAT_VERSION
    """Version of this layout."""
    revision: Annotated[int, Field(ge=1)]
    """Counts up when a figure changes."""
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=48)]
    """The word in ``--device`` and ``--on``, and the name of the file."""
    title: str
    """What it is, for people."""
    kind: Literal["microcontroller", "single-board computer", "phone", "watch", "browser"]
    """What sort of thing it is."""
    runner: Literal["microcontroller", "aarch64", "armhf", "riscv64", "browser", "android", "none"]
    """What executes a bundle for it here."""
    why_no_runner: str = ""
    """Why nothing does."""
    flash: Memory
    """Where the model is stored."""
    ram: Memory
    """Where it works: for C, also in float, the static RAM, the text, the scores and the stack."""
    clock: Clock | None = None
    """The processor's clock."""
    formats: Formats
    """What it runs."""
    operators: Operators
    """What its runtime computes."""
    emulator: Emulator | None = None
    """What stands in for it."""

    @model_validator(mode="after")
    def _runner_has_what_it_needs(self) -> Self:
        if (self.runner == "microcontroller") != (self.emulator is not None):
            raise ValueError("runner = 'microcontroller' and the table [emulator] go together")
        if (self.runner == "none") != bool(self.why_no_runner):
            raise ValueError("runner = 'none' and why_no_runner go together")
        if "microcontroller" in (self.kind, self.runner) and (None in (self.flash.bytes, self.ram.bytes) or self.clock is None):
            raise ValueError("a microcontroller has flash.bytes, ram.bytes and a clock")
        return self

    def limits(self) -> dict[str, int]:
        """Return the most bytes of each of its formats' files and, where C is one of them, of RAM (``formats.ram_limits``)."""
        names = self.formats.names
        return {**dict.fromkeys(names, self.flash.model_bytes), **dict.fromkeys(ram_limits(names), self.ram.model_bytes)}


def device_names() -> tuple[str, ...]:
    """Return the names of the profiles that understudy ships."""
    folder = resources.files(__package__).joinpath(_FOLDER)
    return tuple(sorted(entry.name.removesuffix(_SUFFIX) for entry in folder.iterdir() if entry.name.endswith(_SUFFIX)))


def load_profile(device: str) -> DeviceProfile:
    """Return the profile ``device``: a name that understudy ships, or the path of a TOML file.

    Raises:
        InputError: no such profile, or a file that breaks a rule.
    """
    if device.endswith(_SUFFIX):
        try:
            content = Path(device).read_bytes()
        except OSError as error:
            raise InputError(
                f"a device is a name or a profile file: received device={device!r} ({error.strerror}); check the path"
            ) from None
        return parse_profile(content, where=device)
    known = device_names()
    if device not in known:
        near = difflib.get_close_matches(device, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(
            f"a device is one of {', '.join(known)}, or a profile file ({_SUFFIX}): received device={device!r}; "
            f"{hint}run: understudy devices"
        )
    content = resources.files(__package__).joinpath(_FOLDER, device + _SUFFIX).read_bytes()
    profile = parse_profile(content, where=device + _SUFFIX)
    assert profile.name == device
    return profile


def parse_profile(content: bytes, *, where: str) -> DeviceProfile:
    """Return the profile that the TOML ``content`` of the file ``where`` holds.

    Raises:
        InputError: not TOML, or a key that breaks its rule.
    """
    try:
        return DeviceProfile.model_validate(tomllib.loads(content.decode("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"a device profile is TOML in UTF-8: received file={where!r} ({error}); correct that line") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"a device profile follows docs/devices.md: received file={where!r} where {key}: {first['msg']}; correct that key"
        ) from None
