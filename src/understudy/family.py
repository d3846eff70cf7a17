"""The record of a finished job, ``family.json``: what was asked, what came out, what every file measured.

The report and the cards are made from this record alone. All paths are relative to the folder of ``family.json``; all
shares are fractions in 0..1. Texts of users stand in it only where the job asked for examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self, cast

from pydantic import Field, JsonValue, PrivateAttr, ValidationError, model_validator

from understudy.device_measurements import DeviceChoice, LatencyCheck, Measurement
from understudy.errors import BudgetError, BundleError, InputError
from understudy.files import write_text
from understudy.measurements import (
    Baseline,
    ByteRow,
    ClassResult,
    Confusion,
    Count,
    CreatedWith,
    Data,
    FileRecord,
    Fraction,
    Infeasible,
    LatencyMicroseconds,
    LearningPoint,
    Machine,
    OutOfScope,
    Pruning,
    Record,
    RelativePath,
    Sibling,
    Split,
    Teacher,
    Text,
    Trial,
)
from understudy.quantization_measurements import QuantizationRecord
from understudy.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from understudy.bundle import Bundle, Prediction
    from understudy.bundle.content import Content

__all__ = [
    "Baseline",
    "ByteRow",
    "ClassResult",
    "Confusion",
    "CreatedWith",
    "Data",
    "DeviceChoice",
    "Family",
    "FileRecord",
    "Infeasible",
    "LatencyCheck",
    "LatencyMicroseconds",
    "LearningPoint",
    "Machine",
    "Measurement",
    "Member",
    "OutOfScope",
    "Pruning",
    "QuantizationRecord",
    "Sibling",
    "Split",
    "Teacher",
    "Trial",
]

FAMILY_FILENAME = "family.json"
FORMAT_VERSION: Final = 1


class Member(Record):
    """One student of the family: a bundle folder with a file for every format."""

    budget_bytes: Annotated[int, Field(gt=0)]
    """Most bytes that each file may have."""
    budget: str
    """The budget as typed."""
    path: RelativePath
    """The bundle folder."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    """The stem of the C symbols: ``us_<name>_predict``."""
    student: str
    """The architecture."""
    recipe: dict[str, JsonValue] = Field(default_factory=dict)
    """Every choice of the search that made it."""
    weight_bits: Annotated[int, Field(gt=0)]
    """Bits of a learned weight."""
    weight_count: Count
    """Learned weights."""
    macs: Count | None = None
    """Multiply-accumulates of one prediction: those of the layers with weights."""
    input_bytes: Annotated[int, Field(gt=0)]
    """L: bytes of text that are read."""
    accuracy: Fraction
    """Accuracy on the test split, of the quantized integer reference."""
    macro_f1: Fraction
    """Mean F1 over classes on the test split, of the quantized integer reference."""
    validation_accuracy: Fraction
    """Accuracy on the validation split, before the refit; the only number that chose this member."""
    refit: bool = False
    """The files come from one more training, in which the validation texts were learned from too."""
    trained_on: tuple[str, ...] = ()
    """What computed the training's steps, and in which precision: ``processor, float32``; empty in older records."""
    begins_from: Text | None = None
    """The budget from whose student's strongest channels its training began; null where it did not begin from one."""
    parent_weights: Count | None = None
    """Weights of a wider network that is not delivered, from whose strongest channels its training began; else null."""
    files: tuple[FileRecord, ...]
    """The exported files."""
    encrypted_for: tuple[str, ...] = ()
    """Ids of the device keys that open the files, which were measured before that; empty where they are not encrypted."""
    twin: Sibling | None = None
    """The no-teacher twin (same steps, trials and seeds); null where no teacher was used: the student is its own twin."""
    passed_over: Sibling | None = None
    """The student with the teacher, where its twin is better on validation and delivered in its place; else null."""
    float_islands: tuple[Text, ...] = ()
    """What its files compute in float between integers, and where; files of others give the same bits in every runtime."""
    pruning: Pruning | None = None
    """Before and after pruning, of the student 'pruned'; null for others."""
    distillation_gain: float | None = None
    """``taught_accuracy`` minus the twin's; negative where the teacher did harm."""
    ram_bytes: Count | None = None
    """Static RAM of the C code on cores without vectors; null where neither C nor the Arduino library was asked for."""
    float_ram_bytes: Count | None = None
    """The same of C in float; null where neither c_float nor arduino_float was asked for."""
    byte_table: dict[str, tuple[ByteRow, ...]] = Field(default_factory=dict)
    """Format to rows that add up to ``size_bytes``."""
    learning_curve: tuple[LearningPoint, ...] = ()
    """How training went."""
    trials: tuple[Trial, ...] = ()
    """The search for this budget."""
    per_class: tuple[ClassResult, ...] = ()
    """Results of each class, in the order of ``class_names``."""
    confusions: tuple[Confusion, ...] = ()
    """The most confused pairs, most frequent first."""
    out_of_scope: OutOfScope | None = None
    """When to answer "none of these"."""
    quantization: QuantizationRecord | None = None
    """What rounding to integers cost, and what was tried against it; null in older records."""
    measurements: tuple[Measurement, ...] = ()
    """What ``understudy bench`` and a latency limit found on devices."""
    latency_checks: tuple[LatencyCheck, ...] = ()
    """Its files against ``--max-latency``; empty where no latency was asked for."""

    _folder: Path | None = PrivateAttr(default=None)
    _bundle: Bundle | None = PrivateAttr(default=None)

    @property
    def taught_accuracy(self) -> float:
        """Accuracy on the test split of the student with the teacher, delivered or not."""
        return self.accuracy if self.passed_over is None else self.passed_over.accuracy

    @model_validator(mode="after")
    def _numbers_fit_together(self) -> Self:
        gain = None if self.twin is None else self.taught_accuracy - self.twin.accuracy
        if (gain is None) != (self.distillation_gain is None) or abs((gain or 0) - (self.distillation_gain or 0)) > 1e-9:
            raise ValueError(
                f"distillation_gain is taught accuracy minus the twin's, {gain}: received {self.distillation_gain}"
            )
        for file in self.files:
            if PurePosixPath(self.path) not in PurePosixPath(file.path).parents:
                raise ValueError(f"a file lies in its member's folder {self.path!r}: received {file.path!r}")
            rows = self.byte_table.get(file.format)
            if rows is not None and sum(row.bytes for row in rows) != file.size_bytes:
                raise ValueError(f"the byte table of {file.format!r} adds up to size_bytes={file.size_bytes}")
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        """Show what tells members apart; ``model_dump()`` has all."""
        yield from (("budget", self.budget), ("student", self.student), ("accuracy", self.accuracy))
        yield "size_bytes", {file.format: file.size_bytes for file in self.files}

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels of the images that it reads, or of its sounds' pictures; None for texts."""
        shape = self.recipe.get("image_shape")
        return cast(tuple[int, int, int], tuple(shape)) if isinstance(shape, Sequence) and not isinstance(shape, str) else None

    @property
    def sound(self) -> dict[str, JsonValue] | None:
        """``samples`` and ``sample_rate`` of the sounds that it reads; None for texts and images."""
        found = self.recipe.get("sound")
        return found if isinstance(found, dict) else None

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """How many numbers a vector has that it reads, or steps and channels of a window; None for texts and images."""
        shape = self.recipe.get("input_shape")
        return cast(tuple[int, ...], tuple(shape)) if isinstance(shape, Sequence) and not isinstance(shape, str) else None

    @property
    def example(self) -> str:
        """What it reads: text, image, sound, vector or window."""
        if self.input_shape is None:
            return "sound" if self.sound else "image" if self.image_shape else "text"
        return "vector" if len(self.input_shape) == 1 else "window"

    def largest_bytes(self, formats: Iterable[str] | None = None) -> int | None:
        """Return the size of the largest file of ``formats`` (default: all), or None where one of them is absent."""
        sizes = {file.format: file.size_bytes for file in self.files}
        wanted = tuple(sizes if formats is None else formats)
        return max(sizes[name] for name in wanted) if wanted and all(name in sizes for name in wanted) else None

    def predict(self, content: Content) -> list[Prediction]:
        """Return the prediction for each text, image, sound or vector, computed by the exported file.

        Raises:
            InputError: the family was never saved, so there is no bundle folder to open.
            BundleError: the bundle was altered.
        """
        if self._folder is None:
            raise InputError(
                f"predicting needs the bundle on disk: received member={self.path!r} of an unsaved family; "
                "call family.save(folder) and use what it returns"
            )
        if self._bundle is None:
            from understudy.bundle import Bundle

            self._bundle = Bundle.open(self._folder / self.path)
        return self._bundle.predict(content)


class Family(Record):
    """All that a job delivered."""

    format_version: Literal[1] = FORMAT_VERSION
    """Version of this record's layout."""
    name: Text
    """Short name of the job."""
    created_with: CreatedWith
    """Software and machine."""
    command: tuple[str, ...] = ()
    """The command that replays the job, word by word."""
    seed: int
    """Seed of everything random."""
    finished: bool = True
    """False where the search was stopped early and this is the best so far."""
    job: dict[str, JsonValue]
    """The job as it was run, all defaults filled in."""
    data: Data
    """What the job learned from."""
    teacher: Teacher | None
    """The teacher; null where there was none."""
    baselines: tuple[Baseline, ...] = ()
    """Simple classifiers on the same data."""
    members: tuple[Member, ...]
    """The students, smallest budget first."""
    infeasible: tuple[Infeasible, ...] = ()
    """Budgets that could not be met."""
    devices: tuple[DeviceChoice, ...] = ()
    """The right member for each device that was asked for."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the family in ``path``, a folder with ``family.json`` or that file itself.

        Raises:
            InputError: there is no such file.
            BundleError: the file is truncated, altered or of another version.
        """
        file = Path(path) / FAMILY_FILENAME if Path(path).is_dir() else Path(path)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InputError(
                f"a family is a folder with {FAMILY_FILENAME}: received path={str(path)!r} ({error.strerror}); "
                "give the folder that 'understudy compress --out' wrote"
            ) from error
        try:
            family = cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise BundleError(
                f"{FAMILY_FILENAME} follows its schema, version {FORMAT_VERSION}: received path={str(file)!r} "
                f"where {where}: {first['msg']}; restore the file or run the job again"
            ) from error
        return family.placed_in(file.parent)

    def save(self, path: str | Path) -> Self:
        """Write ``family.json`` into the folder ``path`` and return the family that knows its folder.

        Raises:
            SetupError: the folder is missing, unwritable or full.
        """
        # Escaped to ASCII, so that the bytes do not depend on any encoding.
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=True, allow_nan=False)
        write_text(Path(path) / FAMILY_FILENAME, text + "\n")
        return self.placed_in(Path(path))

    def best(self, *, max_bytes: int | str, formats: Sequence[str] | None = None) -> Member:
        """Return the member with the best validation accuracy whose every file is at most ``max_bytes``.

        Args:
            max_bytes: bytes, or a size such as ``"20KB"``.
            formats: only files of these formats count, and all of them must be there; default: every file.

        Raises:
            BudgetError: no member is that small.
        """
        limit = parse_bytes(max_bytes)
        sizes = [(member, member.largest_bytes(formats)) for member in self.members]
        fitting = [(member, size) for member, size in sizes if size is not None and size <= limit]
        if not fitting:
            smallest = min((size for _, size in sizes if size is not None), default=None)
            raise BudgetError(
                f"a member is chosen among those that fit: received max_bytes={limit}, formats={formats}; "
                + (f"ask for at least {smallest} ({format_bytes(smallest)})" if smallest else "no member has these formats")
            )
        return max(fitting, key=lambda pair: (pair[0].validation_accuracy, -pair[1]))[0]

    def over_max_drop(self) -> tuple[Member, ...]:
        """Return the members that stayed further below the teacher on validation than the job's ``max_drop`` allows.

        A teacher that learned beside its students is no measure for them: there, as without a teacher, there are none.
        """
        limit, training = self.job.get("max_drop"), self.job.get("training")
        joint = isinstance(training, dict) and training.get("mode") == "joint"
        reached = None if self.teacher is None or joint else self.teacher.validation_accuracy
        if not isinstance(limit, float) or reached is None:
            return ()
        return tuple(member for member in self.members if member.validation_accuracy < reached - limit)

    def placed_in(self, folder: Path) -> Self:
        """Return this family with members that open their bundles in ``folder``."""
        members = []
        for member in self.members:
            copy = member.model_copy()
            copy._folder = folder  # noqa: SLF001 - not a field: where the record lies is no part of it
            members.append(copy)
        return self.model_copy(update={"members": tuple(members)})


@dataclass(frozen=True)
class Home:
    """Where a bundle belongs: the folder of a family, what it records, and the record of the bundle as a member."""

    folder: Path
    family: Family
    member: Member

    @classmethod
    def of(cls, bundle: Path) -> Self | None:
        """Return the family that the folder ``bundle`` is a member of, None where it stands alone.

        Raises:
            BundleError: the family's record is damaged.
        """
        folder = bundle.resolve().parent
        if not (folder / FAMILY_FILENAME).is_file():
            return None
        family = Family.load(folder)
        member = next((m for m in family.members if (folder / m.path).resolve() == bundle.resolve()), None)
        return None if member is None else cls(folder, family, member)

    def record(self, member: Member) -> Family:
        """Write ``member`` into the record in place of what it was, and return the family as it is now.

        Raises:
            SetupError: the record cannot be written.
        """
        members = tuple(member if each.path == member.path else each for each in self.family.members)
        return self.family.model_copy(update={"members": members}).save(self.folder)
