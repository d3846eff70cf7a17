"""Which student a device can hold and run, and which member of a family is right for it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from understudy.device_measurements import DeviceChoice
from understudy.devices.profile import MODEL_STACK_BYTES, DeviceProfile
from understudy.errors import InputError
from understudy.family import Member
from understudy.formats import FLOAT_RAM, RAM
from understudy.program.ops import Program


def working_bytes(static_bytes: int, *, input_bytes: int, classes: int) -> int:
    """Return the RAM that a prediction in C takes on a device.

    That is the model's static RAM, the text, a float score for each class, and the stack that the header promises to keep to.
    """
    return static_bytes + input_bytes + 4 * classes + MODEL_STACK_BYTES


def need_operators(profile: DeviceProfile, program: Program) -> None:
    """Raise InputError for the first node of ``program`` that the device does not compute."""
    for node in program.nodes:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(node).__name__).lower()
        if name not in profile.operators.names:
            raise InputError(
                f"a device computes every operator of its student: received device={profile.name!r} without operator={name!r}; "
                "choose another student or device"
            )


def choose(profile: DeviceProfile, members: Iterable[Member], *, classes: int) -> DeviceChoice:
    """Return the member with the best validation accuracy among those that keep to the limits of ``profile``."""
    limits = profile.limits()
    fitting = []
    for member in members:
        sizes = {file.format: file.size_bytes for file in member.files}
        static = {RAM: member.ram_bytes, FLOAT_RAM: member.float_ram_bytes}
        sizes |= {
            name: working_bytes(static_bytes, input_bytes=member.input_bytes, classes=classes)
            for name, static_bytes in static.items()
            if static_bytes is not None
        }
        if member.weight_bits in profile.operators.weight_bits and all(
            sizes.get(n, limits[n] + 1) <= limits[n] for n in limits
        ):
            fitting.append((member, {name: sizes[name] for name in limits}))
    best = max(fitting, key=lambda pair: (pair[0].validation_accuracy, -sum(pair[1].values())), default=None)
    return DeviceChoice(
        device=profile.name,
        title=profile.title,
        revision=profile.revision,
        limits=limits,
        member=best[0].path if best else None,
        format=profile.formats.names[0] if best else None,
        sizes=best[1] if best else {},
        reason="" if best else "no member keeps to its limits",
    )
