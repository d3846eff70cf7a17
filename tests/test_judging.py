"""When a teacher that is trained here is learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from understudy.baselines import Baseline, majority_class, tfidf_logistic_regression
from understudy.data.text import Examples, TextDataset, load_text_dataset
from understudy.job import Job, job_from_arguments
from understudy.job_folder import JobFolder
from understudy.judging import Teaching, assess, cross_validated, required_gain
from understudy.metrics import standard_error
from understudy.progress import SilentProgress
from understudy.teachers import trained
from understudy.teachers.callable import CallableTeacher


@pytest.fixture(scope="module")
def job(tiny_csv: Path) -> Job:
    return job_from_arguments(tiny_csv, budgets=("12KB",))


@pytest.fixture(scope="module")
def dataset(job: Job) -> TextDataset:
    return load_text_dataset(job.data, seed=1)


@pytest.fixture(scope="module")
def baseline(dataset: TextDataset) -> Baseline:
    return tfidf_logistic_regression(dataset.train, dataset.validation, classes=len(dataset.class_names), seed=1)


def judged(job: Job, dataset: TextDataset, baseline: Baseline, folder: Path, *, right: bool) -> Teaching:
    """Return what is said of a teacher whose answers are all ``right`` or all wrong."""
    known = {
        text: int(label)
        for part in (dataset.train, dataset.validation, dataset.test)
        for text, label in zip(part.texts, part.labels, strict=True)
    }
    classes = len(dataset.class_names)

    def logits(texts: list[str]) -> np.ndarray:
        return np.eye(classes)[[(known[text] + (not right)) % classes for text in texts]]

    teacher = CallableTeacher(logits, "made up", probes=dataset.train.texts[:2])
    return assess(teacher, job, dataset, baseline=baseline, folder=JobFolder(folder), progress=SilentProgress())


class Notes(SilentProgress):
    """A ``Progress`` that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize(("share", "warned"), [(1.0, 0), (0.4, 1)])
def test_a_teacher_that_knows_less_than_the_baseline_is_used_with_a_warning(
    tiny_csv: Path, dataset: TextDataset, baseline: Baseline, tmp_path: Path, share: float, warned: int
) -> None:
    part = dataset.validation
    classes, wrong = len(dataset.class_names), int(len(part) * share)
    known = {text: int(label) + (i >= wrong) for i, (text, label) in enumerate(zip(part.texts, part.labels, strict=True))}

    def logits(texts: list[str]) -> np.ndarray:
        return np.eye(classes)[[known.get(text, 0) % classes for text in texts]]

    brought = job_from_arguments(tiny_csv, budgets=("12KB",), teacher="made.up:name")
    progress = Notes()
    teacher = CallableTeacher(logits, "made up", probes=dataset.train.texts[:2])
    found = assess(teacher, brought, dataset, baseline=baseline, folder=JobFolder(tmp_path), progress=progress)
    assert found.used
    assert len(progress.notes) == warned
    assert all("where TF-IDF + logistic regression has" in note for note in progress.notes)


@pytest.mark.parametrize(("baseline_accuracy", "gain"), [(0.5, 0.015), (0.9, 0.005), (1.0, 0.0)])
def test_a_teacher_is_used_for_a_gain_that_fits_the_errors_that_are_left(baseline_accuracy: float, gain: float) -> None:
    assert required_gain(0.015, baseline_accuracy) == pytest.approx(gain)


@pytest.mark.parametrize("right", [True, False])
def test_enough_validation_texts_decide(
    job: Job, dataset: TextDataset, baseline: Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    monkeypatch.setattr(trained, "FEW_VALIDATION_TEXTS", len(dataset.validation))
    found = judged(job, dataset, baseline, tmp_path, right=right)
    assert found.used == right
    assert found.validation_accuracy == float(right)
    assert right or found.note.startswith("it reached 0.0% on validation, where at least")


def test_few_validation_texts_do_not_decide(job: Job, dataset: TextDataset, baseline: Baseline, tmp_path: Path) -> None:
    assert trained.has_few_validation_texts(dataset)
    machines, standard = cross_validated(dataset.labelled, baseline, seed=job.seed)
    assert 0.3 < standard <= 1 and 0.3 < machines <= 1
    wanted = standard + required_gain(0.015, standard) - standard_error(standard, len(dataset.labelled))
    for right in (True, False):
        assert judged(job, dataset, baseline, tmp_path / str(right), right=right).used == (machines >= wanted)


def test_a_linear_part_that_is_worse_is_not_learned_from(
    job: Job, dataset: TextDataset, baseline: Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.judging.cross_validated", lambda *_, **__: (0.5, 0.9))
    found = judged(job, dataset, baseline, tmp_path, right=True)
    assert not found.used
    assert found.note.startswith("its linear part reached 50.0% in cross-validation, where at least 88.")


def test_each_text_is_asked_once_by_what_has_not_seen_it(dataset: TextDataset) -> None:
    asked: list[str] = []
    known = Examples((*dataset.train.texts, "of no class"), np.append(dataset.train.labels, -1))
    usual = majority_class(known, classes=len(dataset.class_names))

    def refit(train: Examples) -> Baseline:
        class Judge(Baseline):
            def score(self, examples: Examples) -> object:  # type: ignore[override]
                assert not set(examples.texts) & set(train.texts)
                asked.extend(examples.texts)
                return super().score(examples)

        return Judge(usual.name, usual.detail, usual.size_bytes, usual.logits, usual.refit)

    judge = Baseline(usual.name, usual.detail, usual.size_bytes, usual.logits, refit)
    _, standard = cross_validated(known, judge, seed=1)
    assert sorted(asked) == sorted(dataset.train.texts)
    assert standard == pytest.approx(np.bincount(dataset.train.labels).max() / len(dataset.train))


def test_classes_of_too_few_texts_leave_it_to_validation(
    job: Job, dataset: TextDataset, baseline: Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.judging.FOLDS", 10_000)
    assert not judged(job, dataset, baseline, tmp_path, right=False).used
    assert judged(job, dataset, baseline, tmp_path / "other", right=True).used
