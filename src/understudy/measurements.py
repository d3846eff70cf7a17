"""What a job measured: the small records that ``family.json`` is made of.

All paths are relative to the folder of ``family.json``; all shares are fractions in 0..1.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from understudy.formats import LIMIT_WORDS


def _without_surrogates(value: object) -> object:
    r"""Show what UTF-8, and so JSON and HTML, cannot hold: a byte as ``\xNN``, half a surrogate pair as ``\uNNNN``."""
    if not isinstance(value, str):
        return value
    # "surrogateescape" puts the bytes 0x80..0xFF at U+DC80..U+DCFF.
    return re.sub("[\ud800-\udfff]", lambda half: _escaped(ord(half[0])), value)


def _escaped(surrogate: int) -> str:
    return f"\\x{surrogate - 0xDC00:02x}" if 0xDC80 <= surrogate <= 0xDCFF else f"\\u{surrogate:04x}"


def _relative(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts:
        raise ValueError("a path is relative to the folder of family.json, with forward slashes and without '..'")
    return path


Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, BeforeValidator(_without_surrogates)]
RelativePath = Annotated[str, AfterValidator(_relative)]


class Record(BaseModel):
    """What all records share: unknown keys, changes, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


class Machine(Record):
    """What the job ran on; no host name and no path."""

    system: str
    """Operating system, for example ``Linux``."""
    architecture: str
    """Processor architecture, for example ``x86_64``."""
    cpu_count: Count
    """Processor cores that the machine has."""
    threads: Count
    """Threads that training used; the same number is needed for a byte-identical replay."""


class CreatedWith(Record):
    """Software and machine behind the numbers."""

    understudy: str
    """Version of understudy."""
    python: str
    """Version of Python."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Package name to version, of what trained, exported and ran the files."""
    machine: Machine
    """The machine."""


class Split(Record):
    """One part of the data, counted."""

    examples: Count
    """Rows."""
    class_counts: tuple[Count, ...] = ()
    """Rows of each class, in the order of ``class_names``; empty where rows have no label."""
    unseen_labels: Count = 0
    """Rows whose label does not occur in the train split; they count as wrong."""
    length_bytes: dict[str, Count] = Field(default_factory=dict)
    """Quantile to text length in UTF-8 bytes, for example ``{"0.5": 41, "0.95": 88, "1": 136}``."""
    cut_fraction: Fraction | None = None
    """Share of texts longer than the bytes that are read."""


class Data(Record):
    """What the job learned from and was measured on."""

    class_names: tuple[Text, ...]
    """Labels, in the order of every file's scores."""
    splits: dict[str, Split]
    """``train``, ``validation``, ``test`` and, where given, ``unlabelled`` and ``out_of_scope``."""
    columns: tuple[Text, ...] = ()
    """Columns of a table of numbers, in the order of a vector; empty for other data."""
    warnings: dict[str, Count] = Field(default_factory=dict)
    """What was odd in the data to how often it occurred; only what did occur."""
    variations: tuple[str, ...] = ()
    """How each batch of training images was varied: ``moved``, ``mirrored``; empty for texts."""
    digest: str
    """SHA-256 over the content of train and validation."""
    test_digest: str | None = None
    """SHA-256 over the content of the test split."""


class Teacher(Record):
    """The big model that the students learned from, or that was tried and not used."""

    name: str
    """Which teacher."""
    description: Text = ""
    """What it is, in a few words."""
    used: bool = True
    """False where training went on without it; ``note`` says why."""
    validation_accuracy: Fraction | None = None
    """Accuracy on the validation split."""
    accuracy: Fraction | None
    """Accuracy on the test split."""
    size_bytes: Count | None = None
    """Bytes of its weights, where known."""
    note: Text = ""
    """Why it was not used, or what to know about it."""

    @model_validator(mode="after")
    def _unused_says_why(self) -> Self:
        if not self.used and not self.note:
            raise ValueError("a teacher that was not used needs a note that says why")
        return self


class Baseline(Record):
    """A simple classifier on the same data, for comparison."""

    name: str
    """For example ``majority class`` or ``TF-IDF + logistic regression``."""
    accuracy: Fraction
    """Accuracy on the test split."""
    macro_f1: Fraction | None = None
    """Mean F1 over classes on the test split."""
    size_bytes: Count | None = None
    """Bytes of its parameters, where counted."""


class LatencyMicroseconds(Record):
    """Time for one example, batch 1, one thread, model load excluded."""

    median: Annotated[float, Field(ge=0)]
    """Half of the examples took at most this long."""
    p10: Annotated[float, Field(ge=0)]
    """A tenth of the examples took at most this long."""
    p90: Annotated[float, Field(ge=0)]
    """Nine tenths of the examples took at most this long."""


class FileRecord(Record):
    """One exported file and what it measured in its own runtime over the whole test split."""

    format: str
    """The word in ``--format``."""
    path: RelativePath
    """The model file."""
    size_bytes: Count
    """What counts against the budget: bytes on disk; for C the constants plus the code of the operators used."""
    sha256: str | None = None
    """Digest of the model file."""
    accuracy: Fraction | None = None
    """Accuracy of this file on the test split."""
    macro_f1: Fraction | None = None
    """Mean F1 over classes of this file on the test split."""
    agreement: Fraction | None = None
    """Share of test texts where the file and the integer reference give the same integers."""
    verified: bool
    """True where the file was run here and agreed with the reference: to the bit, with float islands within a bound."""
    reason: Text | None = None
    """Why it is not verified."""
    latency_us: LatencyMicroseconds | None = None
    """Microseconds for one text."""
    runtime: Text | None = None
    """What executed the file, with its version."""

    @model_validator(mode="after")
    def _measured_or_explained(self) -> Self:
        measured = (self.accuracy, self.macro_f1, self.agreement, self.latency_us, self.runtime)
        if self.verified and any(value is None for value in measured):
            raise ValueError("a verified file needs accuracy, macro_f1, agreement, latency_us and runtime")
        if not self.verified and not self.reason:
            raise ValueError("a file that is not verified needs a reason")
        return self


class LearningPoint(Record):
    """One point of a learning curve."""

    step: Count
    """Optimizer steps so far."""
    train_loss: dict[str, float] = Field(default_factory=dict)
    """Loss term to its mean since the last point, weights included; the terms add up to the total."""
    validation_accuracy: Fraction | None = None
    """Accuracy on the validation split."""
    phase: str = "train"
    """Part of the training, for example ``train`` in float or ``quantize`` with fake quantization."""


class Sibling(Record):
    """A student of the same search, measured beside the delivered one."""

    accuracy: Fraction
    """Accuracy on the test split, of the quantized integer reference."""
    validation_accuracy: Fraction | None = None
    """Accuracy on the validation split."""
    learning_curve: tuple[LearningPoint, ...] = ()
    """How its training went."""


class Pruning(Record):
    """What the student 'pruned' lost on the way: float programs, measured on the test split."""

    weights_before: Count
    """Weights and biases of the network that was brought, its batch norms folded."""
    weights_after: Count
    """The same after pruning."""
    macs_before: Count
    """Multiply-accumulates of one prediction of the network that was brought."""
    macs_after: Count
    """The same after pruning."""
    accuracy_before: Fraction
    """Accuracy of the network that was brought."""
    accuracy_cut: Fraction
    """Accuracy of the network cut to its last shapes at once, without any training."""
    accuracy_finetuned: Fraction
    """Accuracy after cuts and training, before quantization."""


class Trial(Record):
    """One candidate of the search."""

    number: Count
    """Its place in the search."""
    recipe: dict[str, JsonValue]
    """The choices that make it up."""
    state: Literal["complete", "pruned"]
    """How it ended: trained to its end, or stopped early for worse than others."""
    validation_accuracy: Fraction | None = None
    """Its last accuracy on the validation split."""
    size_bytes: Count | None = None
    """The largest of its files."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """Time it took."""


class ClassResult(Record):
    """Results of one class on the test split."""

    label: Text
    """The class."""
    support: Count
    """Test texts of this class."""
    precision: Fraction
    """Share of the texts given this label that have it."""
    recall: Fraction
    """Share of the texts with this label that were given it."""
    f1: Fraction
    """Harmonic mean of both."""


class Confusion(Record):
    """A pair of classes that the student takes one for the other."""

    actual: Text
    """The label in the data."""
    predicted: Text
    """The label that was given."""
    count: Count
    """Test texts."""
    examples: tuple[Text, ...] = ()
    """Some of these texts; only where the job asked for them."""


class OutOfScope(Record):
    """When to answer "none of these"."""

    threshold: Fraction
    """Below this probability of the best class the answer is "none of these"; calibrated on validation."""
    accepted_fraction: Fraction
    """Share of the test split that is answered."""
    auroc: Fraction | None = None
    """Area under the ROC curve, test split against out-of-scope texts; null where there are none."""
    rejected_fraction: Fraction | None = None
    """Share of the out-of-scope texts that get "none of these"; null where there are none."""


class ByteRow(Record):
    """One place where bytes of a file go."""

    where: str
    """The operator, table or overhead."""
    bytes: Count
    """Its size."""


class Infeasible(Record):
    """A budget that could not be met."""

    budget_bytes: Annotated[int, Field(gt=0)]
    """The budget; for a device its limit that binds."""
    budget: str
    """The budget as typed, or the device's name."""
    smallest_bytes: Annotated[int, Field(gt=0)]
    """The smallest size that can be reached."""
    format: str
    """The format that binds, or ``ram`` and ``float_ram``: that of C of integers and in float."""

    @property
    def binding(self) -> str:
        """What binds, in words."""
        return LIMIT_WORDS.get(self.format, f"{self.format} file")
