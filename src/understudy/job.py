"""What the user asks for: the settings of a job, from a job file (TOML) or from arguments."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from understudy.errors import InputError, SetupError
from understudy.formats import DEFAULT_FORMATS, FLOAT_FORMATS, FORMATS, RECURRENT_FORMATS, default_formats
from understudy.job_errors import explain
from understudy.job_paths import start_paths_from, with_path, with_target_path
from understudy.job_values import Budgets, Devices, FormatName, Formats, KeyFiles, StudentChoice, TrainingMode, Typed
from understudy.settings import (
    DataSettings,
    LossWeights,
    QuantizationSettings,
    Settings,
    TeacherSettings,
    TrainingSettings,
)
from understudy.units import Latency, parse_bytes, parse_latency, parse_macs, parse_seconds, parse_share

__all__ = [
    "DataSettings",
    "Job",
    "LossWeights",
    "QuantizationSettings",
    "TeacherSettings",
    "TrainingSettings",
    "job_from_arguments",
    "load_job",
    "name_from",
]

# arguments whose key is not at the top of the job file
_ARGUMENTS = {
    **{
        name: f"data.{name}"
        for name in (
            "train",
            "test",
            "validation",
            "unlabelled",
            "out_of_scope",
            "text",
            "label",
            "kind",
            "columns",
            "skip_bad",
            "show_examples",
            "image_size",
            "sample_rate",
            "seconds",
        )
    },
    "teacher": "teacher.source",
    "quantization": "quantization.mode",
    "max_quantization_drop": "quantization.max_drop",
}
_OPTIONS = {"budgets": "budget", "devices": "device", "formats": "format", "quantization": "qat"}
"""Arguments whose option on the command line has another name."""


class Job(Settings):
    """Everything that a user may ask of ``understudy compress``, except where the result goes."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_]*$",
        max_length=48,
        description="Name of the model, also in the C function us_<name>_predict: letters, digits and underscores.",
    )
    budgets: Budgets = Field(
        (),
        description="Sizes that every requested file must keep to, as 16KB, 1.5MB or 900B (1 KB = 1024 bytes); for the student "
        "'pruned' also shares of the network's weights, as 40%.",
    )
    devices: Devices = Field(
        (),
        description="Devices that 'understudy devices' lists, or profile files (.toml): one more student for each, in the "
        "device's formats and within its flash and RAM.",
    )
    formats: Formats = Field(
        DEFAULT_FORMATS,
        description="Files to write: 'onnx', 'litert' (.tflite), 'c' (C99), 'python', 'wasm', 'arduino' (a C library), "
        "'coreml' (.mlpackage), 'executorch' (.pte), 'executorch_xnnpack' (.pte with XNNPACK's layers), "
        "'onnx_float', 'litert_float', 'coreml_float', 'executorch_float', 'c_float', 'python_float', "
        "'wasm_float', 'arduino_float' (the same in float32). The student 'projection_rnn' is not for 'litert', "
        "'coreml', 'executorch' and these in float: remove them here; its default is 'onnx' and 'c'.",
    )
    encrypt: KeyFiles = Field(
        (),
        description="Public device keys (.pub, of 'understudy keys DEVICE'): bundles are written encrypted for their owners "
        "alone; needs understudy[encrypt].",
    )
    student: StudentChoice = Field(
        "auto",
        description="'projection_net', 'sgnn' or 'projection_sequence' for texts; 'plain_cnn', 'separable_cnn', "
        "'projection_net' or 'projection_cnn' for images; 'pruned' for the teacher itself, a torch module for images; "
        "'separable_cnn' or 'projection_rnn' (onnx, c, python, wasm, arduino, also in float) for windows and sounds; 'mlp' or "
        "'projection_net' for vectors; 'auto' lets the search choose.",
    )
    seed: int = Field(1, ge=0, lt=2**32, description="Fixes splits, projections, training and search.")
    time: Typed | None = Field(
        None,
        description="Time for all trainings of students, as 90s, 5m or 1h; without time and trials one good recipe is trained.",
        examples=["5m"],
    )
    trials: int | None = Field(None, ge=1, description="Trials of the search for each budget.", examples=[20])
    max_drop: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Largest loss of validation accuracy against the teacher that is accepted (0.01 is one point).",
        examples=[0.01],
    )
    max_macs: Typed | None = Field(
        None, description="Most multiply-accumulates of one prediction, as 10M or 500k, for every student.", examples=["10M"]
    )
    max_latency: Typed | None = Field(
        None,
        description="Most time of one prediction by every file, as 2ms on this machine or 2ms@cortex-m4: estimated for every "
        "candidate before it is trained, checked on what is delivered.",
        examples=["2ms"],
    )
    max_bytes: Literal["auto"] | Annotated[int, Field(ge=8, le=1024)] = Field(
        "auto", description="L, bytes of a text that are read; 'auto' cuts at most 1 % of the training texts."
    )
    max_words: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = Field(
        "auto",
        description="W, words and punctuation marks of a text that are read; 'auto' cuts at most 1 % of the training texts.",
    )
    weight_bits: Literal["auto", 4, 8] = Field("auto", description="Bits of a quantized weight; 'auto' lets the search choose.")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Trainings that run side by side, one thread each; files depend on it only through time.",
        examples=[2],
    )
    data: DataSettings = Field(description="Files, columns and splits.")
    teacher: TeacherSettings = Field(default_factory=TeacherSettings, description="The big model that the student learns from.")
    training: TrainingSettings = Field(default_factory=TrainingSettings, description="How teacher and student are trained.")
    quantization: QuantizationSettings = Field(
        default_factory=QuantizationSettings, description="How students become integers, and what that may cost."
    )

    @model_validator(mode="before")
    @classmethod
    def _default_formats_hold_the_student(cls, settings: object) -> object:
        if isinstance(settings, dict) and "formats" not in settings and settings.get("student") == "projection_rnn":
            return {**settings, "formats": default_formats("projection_rnn")}
        return settings

    @field_validator("budgets")
    @classmethod
    def _budgets_differ(cls, budgets: tuple[str, ...]) -> tuple[str, ...]:
        first: dict[float, str] = {}
        for budget in budgets:
            size = parse_share(budget) or parse_bytes(budget)
            if size in first:
                raise InputError(
                    f"every budget is another size: received budget={first[size]!r} and budget={budget!r}; remove one of them"
                )
            first[size] = budget
        return budgets

    @field_validator("devices")
    @classmethod
    def _devices_differ(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(devices)) < len(devices):
            raise InputError(f"every device is named once: received devices={list(devices)}; remove the repeated one")
        return devices

    @field_validator("formats")
    @classmethod
    def _formats_differ(cls, formats: tuple[FormatName, ...]) -> tuple[FormatName, ...]:
        if len(set(formats)) < len(formats):
            raise InputError(f"every format is named once: received formats={list(formats)}; remove the repeated one")
        return formats

    @field_validator("max_macs")
    @classmethod
    def _macs_are_a_number(cls, max_macs: str | None) -> str | None:
        if max_macs is not None:
            parse_macs(max_macs)
        return max_macs

    @field_validator("max_latency")
    @classmethod
    def _latency_is_a_time(cls, max_latency: str | None) -> str | None:
        if max_latency is not None:
            parse_latency(max_latency)
        return max_latency

    @field_validator("time")
    @classmethod
    def _time_is_a_duration(cls, time: str | None) -> str | None:
        if time is not None:
            parse_seconds(time)
        return time

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.teacher.kind == "none" and self.training.mode in ("distill", "joint"):
            raise InputError(
                f"training.mode={self.training.mode!r} needs a teacher: received teacher.source='none'; "
                "name a teacher or set training.mode to 'self'"
            )
        if self.teacher.kind in ("file", "importable") and self.training.mode == "self":
            raise InputError(
                f"training.mode='self' uses no teacher: received teacher.source={self.teacher.source!r}; "
                "remove the teacher or set training.mode to 'distill'"
            )
        shares = [budget for budget in self.budgets if parse_share(budget)]
        if shares and self.student != "pruned":
            raise InputError(
                f"a share is of the network that the student 'pruned' is made of: received budget={shares[0]!r} for "
                f"student={self.student!r}; give a size such as 32KB, or --student pruned"
            )
        if self.student == "pruned" and (self.teacher.kind not in ("file", "importable") or self.training_mode != "distill"):
            raise InputError(
                f"the student 'pruned' is the teacher itself made smaller: received teacher.source={self.teacher.source!r} and "
                f"training.mode={self.training.mode!r}; give --teacher file.py:name of what returns the torch module, and mode "
                "'distill'"
            )
        refused = [name for name in self.formats if name in FORMATS and name not in RECURRENT_FORMATS]
        if refused and self.student == "projection_rnn":
            raise InputError(
                f"the {refused[0]} format holds no recurrence over time: received format={refused[0]!r} for "
                f"student='projection_rnn'; ask for {', '.join(RECURRENT_FORMATS)}, or for another student"
            )
        in_float = [name for name in self.formats if name in FLOAT_FORMATS]
        if in_float and self.student == "projection_cnn":
            raise InputError(
                f"the {in_float[0]} format takes no signs of what layers compute: received format={in_float[0]!r} for "
                f"student='projection_cnn'; ask for {in_float[0].removesuffix('_float')}, or for another student"
            )
        if isinstance(self.max_bytes, int) and isinstance(self.max_words, int) and self.max_words > self.max_bytes:
            raise InputError(
                f"a text has at most as many words as bytes: "
                f"received max_words={self.max_words} and max_bytes={self.max_bytes}; lower max_words"
            )
        return self

    @property
    def budget_bytes(self) -> tuple[int | None, ...]:
        """Budgets in bytes, in the order of ``budgets``; None for a share of a network."""
        return tuple(None if parse_share(budget) else parse_bytes(budget) for budget in self.budgets)

    @property
    def most_macs(self) -> int | None:
        """``max_macs`` as a number."""
        return None if self.max_macs is None else parse_macs(self.max_macs)

    @property
    def latency(self) -> Latency | None:
        """``max_latency`` as a time and a target."""
        return None if self.max_latency is None else parse_latency(self.max_latency)

    @property
    def time_seconds(self) -> float | None:
        """Time for all trainings of students in seconds."""
        return None if self.time is None else parse_seconds(self.time)

    @property
    def training_mode(self) -> TrainingMode:
        """The mode that ``training.mode`` amounts to."""
        if self.training.mode != "auto":
            return self.training.mode
        return "self" if self.teacher.kind == "none" else "distill"

    def digest(self) -> str:
        """Return the sha256 of the settings that decide what one trial of the search gives.

        Left out: which files hold the data (their content has its own digest, and the test split influences nothing),
        the budgets, each of which has a search of its own, how long to search, on how many threads or which processor, for whom
        the result is encrypted, and what quantization may cost: its cures have trainings of their own. Files of a teacher and
        of devices count by their names, so that a job may move to another folder. Equal digests and equal data mean that
        finished trials can be taken over.
        """
        settings = self.model_dump(mode="json")
        for key in ("data", "budgets", "time", "trials", "max_drop", "threads", "encrypt"):
            del settings[key]
        del settings["quantization"]["max_drop"]
        del settings["training"]["processor"]
        if self.teacher.has_path:
            settings["teacher"]["source"] = Path(self.teacher.source).name
        settings["devices"] = [with_path(device, lambda path: path.name) for device in self.devices]
        if self.max_latency is not None:
            settings["max_latency"] = with_target_path(self.max_latency, lambda path: path.name)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def load_job(path: str | os.PathLike[str], **overrides: object) -> Job:
    """Return the job in the TOML file ``path``, with ``overrides`` in place of its settings.

    Args:
        path: relative paths inside the file start from the file's folder.
        overrides: settings by key (``seed``, ``budgets``, ``"data.test_fraction"``) or by the name of the command's option
            (``test``, ``text``, ``teacher``); None leaves the file's setting. Relative paths start from the current folder.

    Raises:
        InputError: no such file, not TOML, an unknown key, a value that breaks a rule.
        SetupError: the file may not be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"a job file exists and is a file: received file={str(path)!r}; check the path or write one with: understudy init"
        )
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SetupError(
            f"a job file can be read: received file={str(path)!r} ({error.strerror}); check its permissions"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"a job file is TOML in UTF-8: received file={str(path)!r} ({error}); correct that line") from error
    document.setdefault("name", name_from(path))
    start_paths_from(path.parent, document)
    # a mistake on the command line is not looked for in the file
    options = {
        _ARGUMENTS.get(name, name): f"--{_OPTIONS.get(name, name).replace('_', '-')}" if "." not in name else "the arguments"
        for name, value in overrides.items()
        if value is not None
    }
    return _job({**document}, overrides, received_in=f"file={str(path)!r}", options=options)


def job_from_arguments(train: str | os.PathLike[str], **arguments: object) -> Job:
    """Return the job for the data file ``train`` and ``arguments``, which are named as the overrides of ``load_job``.

    Raises:
        InputError: an unknown argument, a value that breaks a rule.
    """
    return _job({"name": name_from(train), "data": {"train": str(train)}}, arguments, received_in="the arguments")


def name_from(path: str | os.PathLike[str]) -> str:
    """Return a model name made from a file name: ``Bank intents-2.csv.gz`` gives ``bank_intents_2``."""
    stem = Path(path).name.split(".")[0]
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:48].rstrip("_")
    return name if name[:1].isalpha() else f"model_{name}"[:48].rstrip("_")


def _job(
    document: dict[str, Any], overrides: Mapping[str, object], *, received_in: str, options: Mapping[str, str] | None = None
) -> Job:
    for name, value in overrides.items():
        if value is not None:
            _put(document, _ARGUMENTS.get(name, name).split("."), os.fspath(value) if isinstance(value, os.PathLike) else value)
    try:
        job = Job.model_validate(document)
    except ValidationError as error:
        raise InputError(explain(error.errors(), model=Job, received_in=received_in, options=options)) from error
    if not job.budgets and not job.devices:
        raise InputError(
            f"a job needs budgets: received none in {received_in}; pass --budget 32KB or --device cortex-m4, or write "
            'budgets = ["32KB"]'
        )
    return job


def _put(document: dict[str, Any], keys: Sequence[str], value: object) -> None:
    *tables, last = keys
    for key in tables:
        inner = document.get(key, {})
        # what is no table stays, for the model to complain about
        document[key] = dict(inner) if isinstance(inner, dict) else inner
        if not isinstance(inner, dict):
            return
        document = document[key]
    document[last] = value
