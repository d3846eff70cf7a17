"""What trains: a graphics card where there is one that works, else the processor of the machine."""

from __future__ import annotations

import math
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor, nn

from understudy.errors import SetupError
from understudy.settings import Precision, ProcessorChoice
from understudy.student_names import StudentName

TRAININGS_ON_A_GPU = 4
"""Side by side at most: one small student leaves most of a card idle, but each process keeps some of the card's memory."""
RESIDENT_SHARE = 1 / 8
"""Share of a card's free memory that the examples of one training may take, so that those beside it find room too."""
MACHINE: Final = torch.device("cpu")
LEAST_MACS = 5_000_000
"""Multiply-accumulates of a plain CNN from which on bfloat16 pays on a processor with units for it: convolutions are then most
of a step (``docs/adr/0032``)."""


@dataclass(frozen=True)
class Processor:
    """Where the steps of a training are computed.

    Attributes:
        device: of torch.
        name: for people.
        precision: in which float steps multiply; sums, weights and everything else are float32.
        reason: why it is no graphics card, where one was looked for.
        precision_is_open: the precision is left to each student; see ``for_student``.
    """

    device: torch.device = MACHINE
    name: str = "processor"
    precision: torch.dtype = torch.float32
    reason: str = ""
    precision_is_open: bool = False

    @property
    def is_gpu(self) -> bool:
        """Whether it is a graphics card."""
        return self.device.type != "cpu"

    @property
    def precision_name(self) -> Precision:
        """The precision as a job names it."""
        return "bfloat16" if self.precision == torch.bfloat16 else "float32"

    @property
    def asked_precision(self) -> Precision:
        """The precision that a job names to have this processor again."""
        return "auto" if self.precision_is_open else self.precision_name

    def for_student(self, student: StudentName, macs: int) -> Processor:
        """Return this processor in the precision for a student of ``macs`` multiply-accumulates."""
        pays = self.precision_is_open and student == "plain_cnn" and macs >= LEAST_MACS and has_bfloat16_units()
        return replace(self, precision=torch.bfloat16) if pays else self

    def describe(self) -> str:
        """Return its name and precision: ``processor, float32``."""
        return f"{self.name}, {self.precision_name}"

    def explain(self) -> str:
        """Return ``describe``, what large students have instead, and why it is no graphics card."""
        large = ", large plain CNNs in bfloat16" if self.precision_is_open and has_bfloat16_units() else ""
        return self.describe() + large + (f" ({self.reason})" if self.reason else "")

    def mixed(self, *, on: bool = True) -> AbstractContextManager[object]:
        """Return the context in which layers multiply in ``precision``; without ``on``, or where that is float32, none."""
        if not on or self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def place(self, module: nn.Module, *, channels_last: bool = False) -> None:
        """Move ``module`` here; with ``channels_last`` a card gets the weights of convolutions in the order of its images."""
        if channels_last and self.is_gpu:
            module.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            module.to(self.device)

    def room_bytes(self) -> int:
        """Return the memory that the examples of one training may take on a card."""
        free: int = torch.get_device_module(self.device).mem_get_info()[0]
        return int(free * RESIDENT_SHARE)

    def random_state(self) -> Tensor | None:
        """Return the state of the card's own random numbers; the processor's are torch's."""
        return torch.get_device_module(self.device).get_rng_state() if self.is_gpu else None

    def set_random_state(self, state: Tensor | None) -> None:
        """Go back to what ``random_state`` gave; a state of another kind of processor is left out."""
        if self.is_gpu and state is not None:
            torch.get_device_module(self.device).set_rng_state(state)


@cache
def processor_for(choice: ProcessorChoice, precision: Precision = "auto") -> Processor:
    """Return what trains where the job says ``choice``, and ``precision`` for its float steps.

    Raises:
        SetupError: a graphics card was asked for, and there is none that works.
    """
    on_machine = Processor(
        precision=torch.bfloat16 if precision == "bfloat16" else torch.float32, precision_is_open=precision == "auto"
    )
    if choice == "cpu":
        return on_machine
    reason = _why_no_gpu()
    if not reason:
        has_bfloat16 = precision != "float32" and torch.cuda.is_bf16_supported(including_emulation=False)
        gpu = Processor(torch.device("cuda"), torch.cuda.get_device_name(), torch.bfloat16 if has_bfloat16 else torch.float32)
        reason = why_not(gpu)
        if not reason:
            return gpu
    if choice == "cuda":
        raise SetupError(
            f"training.processor='cuda' needs a graphics card that torch can use: received torch={torch.__version__} "
            f"({reason}); install torch for CUDA and the card's driver, or set training.processor to 'auto' or 'cpu'"
        )
    return replace(on_machine, reason=reason)


def has_bfloat16_units() -> bool:
    """Return whether the machine's processor multiplies bfloat16 by units of its own; False where torch does not say."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _why_no_gpu() -> str:
    """Return why torch has no graphics card to offer; empty where it has one."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this build of torch is for processors alone"
    return " ".join(str(found[0].message).split())[:200] if found else "torch finds no graphics card"


def why_not(processor: Processor) -> str:
    """Return why ``processor`` does not compute a training step; empty where it does."""
    try:
        layer = nn.Conv2d(3, 4, 3)
        processor.place(layer, channels_last=True)
        with processor.mixed():
            found = layer(torch.ones(2, 3, 8, 8, device=processor.device))
        found.float().square().mean().backward()
        total = sum(float(p.grad.sum()) for p in layer.parameters() if p.grad is not None)  # waits until it is computed
    except RuntimeError as error:
        return f"{processor.name} does not compute: {' '.join(str(error).split())[:200]}"
    return "" if math.isfinite(total) else f"{processor.name} computes no numbers"
