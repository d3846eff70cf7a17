"""The parts of a job: data, teacher, training. Frozen pydantic models that refuse unknown keys.

Their descriptions are the comments that ``understudy init`` writes into a job file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from understudy.errors import InputError
from understudy.projections.log_mel import FASTEST_RATE, SLOWEST_RATE

_IMPORTABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

DataFile = Annotated[Path, Field(strict=False)]
"""A path; TOML writes it as a string."""
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, lt=1)]


SHORTEST_SIDE, LONGEST_SIDE = 4, 512
"""Pixels of an image's height or width."""
_SIZE = re.compile(r"([0-9]{1,9})(?:x([0-9]{1,9}))?")


class Settings(BaseModel):
    """Base of all settings: frozen, typed strictly, no unknown keys, no infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSettings(Settings):
    """Files, columns and splits."""

    train: DataFile = Field(
        description="Labelled examples: .csv, .tsv, .jsonl (each also .gz) or .parquet; "
        "for images an .npz, IDX files or a folder of class folders, for vectors a table of numbers, for them and windows an "
        ".npz, for sounds "
        "a folder of class folders with .wav files."
    )
    validation: DataFile | None = Field(
        None,
        description="Labelled examples for choosing; without it a part of train is split off.",
        examples=["validation.csv"],
    )
    test: DataFile | None = Field(
        None,
        description="Labelled examples for the final figures only; without it a part of train is split off.",
        examples=["test.csv"],
    )
    kind: Literal["auto", "text", "image", "vector"] = Field(
        "auto",
        description="What train holds; 'auto' takes an .npz of two axes, or of three that do not hold pixels, as vectors or "
        "windows, any other as images, and a table of numbers without a column of texts as vectors.",
    )
    unlabelled: DataFile | None = Field(
        None,
        description="More texts without labels; the student learns the teacher's answers on them.",
        examples=["unlabelled.csv"],
    )
    out_of_scope: DataFile | None = Field(
        None, description="Texts that belong to no class; only the report uses them.", examples=["out_of_scope.csv"]
    )
    text: str | None = Field(
        None,
        description="Column with the texts, in every file; guessed when exactly one column has a usual name.",
        examples=["text"],
    )
    label: str | None = Field(
        None, description="Column with the labels; guessed when exactly one column has a usual name.", examples=["label"]
    )
    columns: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        None,
        description="Columns of numbers of a table, in the order of a vector; a table without texts takes all but the label.",
        examples=[["width", "height"]],
    )
    skip_bad: bool = Field(
        default=False,
        description="Leave out pictures or recordings of a folder that cannot be used, in place of refusing the folder.",
    )
    image_size: int | str | None = Field(
        None,
        description="Pictures of a folder: the side in pixels of the square that all are brought to, or height and width as "
        "'48x64'; without it what a teacher's file takes, or their own, at most 64.",
        examples=[96],
    )
    sample_rate: int | None = Field(
        None,
        ge=SLOWEST_RATE,
        le=FASTEST_RATE,
        description="Sounds: samples a second that all are brought to; without it the commonest rate, at most 16000.",
        examples=[8000],
    )
    seconds: float | None = Field(
        None,
        gt=0,
        le=8,
        description="Sounds: how much of each is read, around its middle; without it what holds 95 % of them whole, at most 4.",
        examples=[1.0],
    )
    validation_fraction: Share = Field(
        0.1, description="Share of train that is split off for validation when there is no such file."
    )
    test_fraction: Share = Field(0.1, description="Share of train that is split off for test when there is no such file.")
    show_examples: int = Field(
        0,
        ge=0,
        le=20,
        description="Test texts that family.json and the report show of each pair of classes that is most often confused; "
        "these are users' texts, so none unless asked for.",
    )

    @field_validator("image_size")
    @classmethod
    def _sides_are_typed_in_one_way(cls, image_size: int | str | None) -> int | str | None:
        if image_size is None:
            return None
        height, width = _sides(image_size)
        return height if height == width else f"{height}x{width}"

    @property
    def image_sides(self) -> tuple[int, int] | None:
        """Height and width of ``image_size``, None where they are found out."""
        return None if self.image_size is None else _sides(self.image_size)

    @model_validator(mode="after")
    def _something_left_to_train(self) -> Self:
        asked = (0 if self.validation else self.validation_fraction) + (0 if self.test else self.test_fraction)
        if asked >= 1:
            raise InputError(
                "validation and test leave something to train on: received "
                f"data.validation_fraction={self.validation_fraction} and data.test_fraction={self.test_fraction}; "
                "lower one of them"
            )
        return self


class TeacherSettings(Settings):
    """The big model that the student learns from."""

    source: str = Field(
        "auto",
        min_length=1,
        description="'auto' trains a strong one here, 'none' does without; else a file (.onnx, .tflite, .pt2, "
        ".keras or .h5, a SavedModel's folder, saved logits .npz, .parquet or .pt) or a Python object as "
        "'package.module:name' or 'file.py:name'.",
    )
    minimum_gain: float = Field(
        0.015,
        ge=0,
        lt=1,
        description="An 'auto' teacher is used only if its validation accuracy is this much above "
        "TF-IDF + logistic regression (0.015 is 1.5 points), or a twentieth of that one's errors where that is less; below 300 "
        "validation texts cross-validation decides, less one standard error.",
    )

    @property
    def kind(self) -> Literal["auto", "none", "importable", "file"]:
        """What ``source`` names."""
        match self.source:
            case "auto":
                return "auto"
            case "none":
                return "none"
        return "importable" if _IMPORTABLE.fullmatch(self.source) else "file"

    @property
    def has_path(self) -> bool:
        """Whether ``source`` begins with a path: a file, or an object in a Python file as ``file.py:name``."""
        return self.kind == "file" or self.source.rpartition(":")[0].endswith(".py")


class LossWeights(Settings):
    """Weights of the three terms of the joint objective."""

    teacher_on_labels: Weight = Field(1.0, description="Teacher against labels; only in mode 'joint'.")
    student_on_labels: Weight = Field(1.0, description="Student against labels.")
    student_on_teacher: Weight | Literal["auto"] = Field(
        "auto",
        description="Student against the teacher's answers, without which the twin trains; 'auto' is 1, in mode 'joint' for "
        "images 0.3 that falls to 0 within 14,000 steps.",
    )

    @model_validator(mode="after")
    def _student_learns_something(self) -> Self:
        if not self.student_on_labels and not self.student_on_teacher:
            raise InputError(
                "the student learns from labels or from the teacher: received training.weights.student_on_labels=0 "
                "and training.weights.student_on_teacher=0; raise one of them"
            )
        return self


Variation = Literal["rand_augment", "cutout", "mixup"]
ProcessorChoice = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


class TrainingSettings(Settings):
    """How teacher and student are trained."""

    mode: Literal["auto", "self", "distill", "joint"] = Field(
        "auto",
        description="'self' learns from labels alone, 'distill' from a frozen teacher too, 'joint' trains both together; "
        "'auto' is 'distill' with a teacher and 'self' without.",
    )
    temperature: float = Field(
        2.0, gt=0, le=100, description="Softens the answers of teacher and student before they are compared."
    )
    distillation: Literal["soft", "decoupled"] = Field(
        "soft", description="'soft' compares whole distributions, 'decoupled' the target class and the rest as two terms."
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Share of each label that is spread over all classes.")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="'balanced' counts examples of rare classes more: better macro-F1, often lower accuracy."
    )
    distortion: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of words that get a random character error in the distorted copies; some of these get marks too, "
        "as !!! or quotes. 0 makes no copies.",
    )
    augmented_views: int = Field(
        4,
        ge=1,
        le=64,
        description="Versions of each text on which a frozen teacher is asked once: itself, and distorted copies.",
    )
    recombined_texts: Literal["auto"] | Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        "auto",
        description="Texts made of words of the training texts, for which only the teacher has an answer; 'auto' makes them "
        "below 8,000 training texts, 0 makes none.",
    )
    variations: Annotated[tuple[Variation, ...], Field(strict=False)] = Field(
        (),
        description="Stronger variations of images than moving and mirroring: 'rand_augment' (the operations that suit their "
        "kind), 'cutout', 'mixup' (two images in one, with both labels); for large students and long trainings.",
    )
    epochs: int | None = Field(
        None, ge=1, description="Passes over the training examples; chosen from the data when not given.", examples=[30]
    )
    refit: bool = Field(
        default=True,
        description="After the choice, train what was chosen once more with the validation examples added; "
        "left out where they are fewer than 3 % of the training texts.",
    )
    processor: ProcessorChoice = Field(
        "auto",
        description="What trains: 'auto' takes a graphics card where torch has one that works and the processor elsewhere, "
        "'cpu' and 'cuda' insist; only on the processor does a seed give the same files again.",
    )
    precision: Precision = Field(
        "auto",
        description="In which float steps multiply: 'auto' is bfloat16 on a graphics card that has it, for large plain CNNs on "
        "processors with units for it too, and float32 elsewhere.",
    )
    weights: LossWeights = Field(default_factory=LossWeights, description="Weights of the terms of the objective.")


Range = Literal["min-max", "percentile", "mse"]


class QuantizationSettings(Settings):
    """How students become integers, and what that may cost."""

    mode: Literal["qat", "ptq"] = Field(
        "qat",
        description="'qat' trains with rounded weights and learned scales at the end, 'ptq' rounds what was trained in float.",
    )
    max_drop: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Largest loss of validation accuracy against the student in float (0.01 is one point; never less than one "
        "example); beyond it the job tries 'qat', equalization, a scale per channel and 8 bits for noisy layers in turn.",
    )
    weight_range: Range = Field(
        "mse",
        description="How far the steps of weights reach: 'min-max', 'percentile' (99.9 % of them) or 'mse' (least squares).",
    )
    activation_range: Range = Field("min-max", description="The same for what layers compute, from training examples.")


def _sides(image_size: int | str) -> tuple[int, int]:
    found = _SIZE.fullmatch(str(image_size))
    height, width = (int(side) for side in (found[1], found[2] or found[1])) if found else (0, 0)
    if not all(SHORTEST_SIDE <= side <= LONGEST_SIDE for side in (height, width)):
        raise InputError(
            f"a size of images is a side of {SHORTEST_SIDE} to {LONGEST_SIDE} pixels, or two: received "
            f"data.image_size={image_size!r}; write it as 96 or 48x64 (height x width)"
        )
    return height, width
