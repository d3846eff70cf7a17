"""What a runner is given and must give back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from understudy.bundle import Bundle
from understudy.device_measurements import DifferingLabel, Measurement
from understudy.errors import SetupError
from understudy.export.parity import compare, compare_real, other_labels
from understudy.export.protocol import Float32Array, Inputs
from understudy.program.interpreter import Int8Array, Scores
from understudy.program.real import REAL_TOLERANCE, real_probabilities


class LeftOutError(SetupError):
    """A file that nobody named has no runtime on this system at all: it is told, and no failure."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What a target is run on, and what it must answer.

    Attributes:
        inputs: texts int32 ``[examples, max_bytes]``, padded with zeros, images uint8 ``[examples, H, W, C]``,
            numbers float32 ``[examples, ...]``, or sounds int16 ``[examples, samples]``.
        reference: the answers that every file must give.
        logit_scale: width of one step of the integer logits.
        origin: what these are, for people.
    """

    inputs: Inputs
    reference: Scores
    logit_scale: float
    origin: str

    def as_bytes(self) -> list[bytes]:
        """Return them as a device would receive them: texts without their padding, all else in the order of its axes."""
        if self.inputs.dtype != np.int32:
            return [example.tobytes() for example in self.inputs]
        return [row.tobytes().rstrip(b"\0") for row in self.inputs.astype(np.uint8)]


class Runner(Protocol):
    """Executes files of a bundle for one target.

    Implementers: ``check`` answers before anything was run; ``run`` leaves nothing behind and changes no file of the bundle.

    Attributes:
        runnable: the formats that the target runs; None for every format.
    """

    runnable: ClassVar[tuple[str, ...] | None]

    def check(self, bundle: Bundle) -> tuple[SetupError, ...]:
        """Return what is missing for some of the files, where others can be run; LeftOutError for what is no failure.

        Raises:
            SetupError: nothing can be run here, because a tool is missing.
            InputError: the bundle holds no file for this target.
        """
        ...

    def run(self, bundle: Bundle, examples: Examples) -> list[Measurement]:
        """Return a measurement for each file that the target runs; those for which something is missing are left out."""
        ...


def compared(probabilities: Float32Array, examples: Examples, bundle: Bundle, *, in_float: bool = False) -> dict[str, object]:
    """Return the fields of a measurement that say how ``probabilities`` ``[examples, classes]`` compare with the reference.

    Those of a file ``in_float`` are compared with the program in real numbers.
    """
    known: Float32Array | Int8Array
    near = False
    if in_float:
        known = real_probabilities(bundle.program(), examples.inputs)
        found, differ = compare_real(probabilities, known), other_labels(probabilities, known, tolerance=REAL_TOLERANCE)
    else:
        known = examples.reference.logits
        found = compare(probabilities, examples.reference, logit_scale=examples.logit_scale)
        differ = other_labels(probabilities, known)  # among classes with equal logits a runtime's last digit may choose
        if bundle.manifest.float_islands is not None and not found.verified:
            near = compare(probabilities, examples.reference, logit_scale=examples.logit_scale, islands=True).verified
    answers, expected = probabilities.argmax(axis=1), known.argmax(axis=1)
    return {
        "exact": found.verified,
        "within_bound": near,
        "examples": len(probabilities),
        "max_probability_difference": min(found.max_probability_difference, 1.0),
        "differing_labels": tuple(
            DifferingLabel(row=int(row), expected=bundle.labels[int(expected[row])], received=bundle.labels[int(answers[row])])
            for row in np.flatnonzero(differ)
        ),
    }
