"""``understudy devices``: the device profiles, or one of them with the source of each figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from understudy.cli.output import JsonFlag, print_json, print_table
from understudy.units import format_bytes

if TYPE_CHECKING:
    from understudy.devices.profile import DeviceProfile, Memory

_COLUMNS = ("device", "model in flash", "in RAM", "clock", "formats", "runs by", "what")


def devices(
    name: Annotated[
        str | None, typer.Argument(metavar="DEVICE", help="A device, or a device profile (.toml); without it, all of ours.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the devices, or show one with the source of each figure.

    Their names stand behind compress --device and bench --on.
    """
    from understudy.devices.profile import device_names, load_profile
    from understudy.formats import ram_limits

    if name is not None:
        profile = load_profile(name)
        if as_json:
            print_json(profile.model_dump(mode="json"))
        else:
            _print_one(profile)
        return
    profiles = [load_profile(device) for device in device_names()]
    if as_json:
        print_json({"devices": [profile.model_dump(mode="json") for profile in profiles]})
        return
    rows = [
        (
            p.name,
            format_bytes(p.flash.model_bytes),
            format_bytes(p.ram.model_bytes) if ram_limits(p.formats.names) else "-",
            f"{p.clock.hz / 1e6:g} MHz" if p.clock else "-",
            ", ".join(p.formats.names),
            "-" if p.runner == "none" else "emulator" if p.emulator else p.runner,
            p.title,
        )
        for p in profiles
    ]
    print_table(_COLUMNS, rows, words=("device", "formats", "runs by", "what"))


def _print_one(profile: DeviceProfile) -> None:
    typer.echo(f"{profile.name}: {profile.title}, {profile.kind}, revision {profile.revision}")
    rows = [("flash", _memory(profile.flash), profile.flash.source), ("RAM", _memory(profile.ram), profile.ram.source)]
    if profile.clock:
        rows.append(("clock", f"{profile.clock.hz / 1e6:g} MHz", profile.clock.source))
    rows.append(("formats", ", ".join(profile.formats.names), profile.formats.source))
    if profile.formats.delegates:
        rows.append(("delegates", ", ".join(profile.formats.delegates), profile.formats.source))
    bits = " and ".join(map(str, profile.operators.weight_bits))
    rows.append(("operators", f"{', '.join(profile.operators.names)}; weights of {bits} bits", profile.operators.source))
    emulator = profile.emulator
    runs = f"QEMU {emulator.machine}, {' '.join(emulator.flags)}" if emulator else profile.runner
    rows.append(("runs by", runs, profile.why_no_runner or "understudy bench --on"))
    print_table(("figure", "value", "source"), rows, words=("figure", "value", "source"))


def _memory(memory: Memory) -> str:
    model = f"{format_bytes(memory.model_bytes)} for the model"
    return model if memory.bytes is None else f"{model} of {format_bytes(memory.bytes)}"
