"""What a job knows, as the records of ``family.json``."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy import family as records
from understudy.data.image import ImageDataset
from understudy.data.statistics import DataStatistics
from understudy.data.text import TextDataset
from understudy.data.vector import VectorDataset
from understudy.judging import Teaching
from understudy.metrics import accuracy
from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Program
from understudy.teachers.cache import CHUNK
from understudy.teachers.protocol import checked_logits
from understudy.training.corpus import ImageCorpus, Seen, build_corpora
from understudy.training.trainer import load_learned
from understudy.version import installed_version

if TYPE_CHECKING:
    from understudy.baselines import Baseline
    from understudy.data.dataset import Dataset
    from understudy.selection import Selection
    from understudy.teachers.protocol import Teacher

_PACKAGES = ("numpy", "torch", "scikit-learn", "optuna", "onnx", "onnxruntime", "ai-edge-litert")


def created_with(*, threads: int) -> records.CreatedWith:
    """Return the software and machine of this process."""
    machine = records.Machine(
        system=platform.system(), architecture=platform.machine(), cpu_count=os.cpu_count() or 1, threads=threads
    )
    packages = {name: found for name in _PACKAGES if (found := _version(name))}
    return records.CreatedWith(
        understudy=installed_version(), python=platform.python_version(), packages=packages, machine=machine
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def data_record(dataset: Dataset, *, variations: Sequence[str] = ()) -> records.Data:
    """Return the counts of ``dataset``, which the job varies by further ``variations``."""
    statistics = dataset.statistics
    return records.Data(
        class_names=dataset.class_names,
        splits={
            name: records.Split(
                examples=split.examples,
                class_counts=split.class_counts,
                unseen_labels=split.unseen_labels,
                length_bytes=split.length_bytes,
                cut_fraction=split.cut_fraction,
            )
            for name, split in statistics.splits.items()
        },
        columns=(dataset.columns or ()) if isinstance(dataset, VectorDataset) else (),
        warnings={name: count for name, count in statistics.warnings.items() if count},
        variations=() if isinstance(statistics, DataStatistics) else (*statistics.variations, *variations),
        digest=dataset.digest,
        test_digest=dataset.test_digest,
    )


def baseline_record(baseline: Baseline, dataset: Dataset) -> records.Baseline:
    """Return what ``baseline`` reaches on the test split."""
    score = baseline.score(dataset.test)
    return records.Baseline(
        name=baseline.name, accuracy=score.accuracy, macro_f1=score.macro_f1, size_bytes=baseline.size_bytes
    )


def teacher_record(teaching: Teaching, dataset: Dataset) -> records.Teacher | None:
    """Return what the teacher reaches on the test split, None without one.

    Raises:
        InputError: its answers on the test split break a rule.
    """
    if teaching.teacher is None:
        return None
    teacher = teaching.teacher
    reached = None
    if teacher.covers(dataset.test.original).all():
        asked: Any = dataset.test.original
        parts = (asked[begin : begin + CHUNK] for begin in range(0, len(asked), CHUNK))
        answers = [checked_logits(teacher, part, len(dataset.class_names)).argmax(axis=1) for part in parts]
        reached = accuracy(dataset.test.labels, np.concatenate(answers))
    return records.Teacher(
        name=teacher.name,
        description=teacher.describe(),
        used=teaching.used,
        validation_accuracy=teaching.validation_accuracy,
        accuracy=reached,
        size_bytes=getattr(teacher, "size_bytes", None),
        note=teaching.note,
    )


def trainer_record(dataset: Dataset, selections: Sequence[Selection], brought: Teacher[Any] | None) -> records.Teacher | None:
    """Return what the largest student's trainer reaches on the test split, None in every mode but joint.

    Args:
        dataset: has the splits.
        selections: smallest budget first.
        brought: the module that the user brought, as it was before; it has learned when this returns.
    """
    results = [s.best.result for s in selections if s.best.result]
    if not results or isinstance(dataset, VectorDataset):
        return None
    if isinstance(dataset, TextDataset) and brought is not None and results[-1].trainer_weights is not None:
        load_learned(brought, results[-1].trainer_weights)
        teacher = teacher_record(Teaching(brought, used=True), dataset)
        assert teacher is not None
        logits = checked_logits(brought, dataset.validation.texts, len(dataset.class_names))
        reached = accuracy(dataset.validation.labels, logits.argmax(axis=1))
        note = "trained beside the largest student; its accuracies are from after that"
        return teacher.model_copy(update={"validation_accuracy": reached, "note": note})
    trainer = results[-1].trainer
    if trainer is None:
        return None
    validation, test = _corpora(trainer, dataset)
    executor = Executor(trainer)
    images = isinstance(dataset, ImageDataset)
    return records.Teacher(
        name="trained jointly",
        description=f"a {'plain CNN' if images else 'wide network on its features'}, trained beside the largest student",
        validation_accuracy=accuracy(dataset.validation.labels, evaluate(executor, validation.batches()).argmax(axis=1)),
        accuracy=accuracy(dataset.test.labels, evaluate(executor, test.batches()).argmax(axis=1)),
        size_bytes=4 * trainer.weight_count,
    )


def _corpora(program: Program, dataset: TextDataset | ImageDataset) -> list[Seen]:
    """Return the validation and the test split as the float ``program`` sees them."""
    if isinstance(dataset, ImageDataset):
        return [ImageCorpus(dataset.validation.content), ImageCorpus(dataset.test.content)]
    return list(build_corpora(program.projection, [dataset.validation.texts, dataset.test.texts]))
