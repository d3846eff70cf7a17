"""The record of a study of neural bits, ``bits.json``: the accuracy that each number of projection bits reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, ValidationError

from understudy.errors import BundleError
from understudy.files import write_text
from understudy.measurements import Count, CreatedWith, Fraction, Record, Text

BITS_FILENAME = "bits.json"
ENOUGH_WITHIN: Final = 0.01
"""So far below the best accuracy on validation, bits are still enough."""


class BitsPoint(Record):
    """One number of bits: what reads them, trained for a short time, as the integer program."""

    bits: Annotated[int, Field(gt=0)]
    """T * d: projection functions times bits of each; of windows, for each step."""
    weight_count: Count
    """Learned numbers of the linear layer that reads them, of windows of the recurrences."""
    validation_accuracy: Fraction
    """Accuracy on the validation split."""
    accuracy: Fraction
    """Accuracy on the test split."""
    seconds: Annotated[float, Field(ge=0)]
    """Seconds of the training."""


class NeuralBits(Record):
    """Accuracy against T * d."""

    format_version: Literal[1] = 1
    """Version of this record's layout."""
    name: Text
    """Short name of the job."""
    created_with: CreatedWith
    """Software and machine."""
    command: tuple[str, ...] = ()
    """The command that replays the study, word by word."""
    job: dict[str, JsonValue]
    """The job that data and seed come from."""
    classes: Count
    """Number of classes."""
    test_examples: Count
    """Examples in the test split."""
    kind: Literal["images", "texts", "windows", "examples"]
    """What the examples are; vectors of numbers are examples."""
    steps: Count
    """Optimizer steps of each training."""
    finished: bool
    """False where the study was stopped early."""
    points: tuple[BitsPoint, ...]
    """Fewest bits first."""

    @property
    def enough(self) -> BitsPoint:
        """The fewest bits within a point of the best accuracy on validation."""
        best = max(point.validation_accuracy for point in self.points)
        return next(point for point in self.points if point.validation_accuracy >= best - ENOUGH_WITHIN)

    @property
    def is_alone(self) -> bool:
        """Whether one size alone was tried, which says nothing of what is enough."""
        return len(self.points) == 1

    @property
    def is_open(self) -> bool:
        """Whether of several the most bits are the first that are enough, so that more might be better still."""
        return not self.is_alone and self.enough is self.points[-1]

    def save(self, folder: Path) -> None:
        """Write ``bits.json`` into ``folder``.

        Raises:
            SetupError: the folder is missing, unwritable or full.
        """
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=True, allow_nan=False)
        write_text(folder / BITS_FILENAME, text + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the study in ``folder``, None where there is none.

        Raises:
            BundleError: the file is truncated or altered.
        """
        path = folder / BITS_FILENAME
        if not path.exists():
            return None
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise BundleError(
                f"{BITS_FILENAME} is what 'understudy study bits' wrote: received path={str(path)!r}, which is damaged; "
                "delete it or run the study again"
            ) from error
