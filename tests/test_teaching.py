"""Teachers in a job on a tiny data set: brought, trained here and judged, learning beside the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import understudy
from understudy import production
from understudy.data.text import load_text_dataset
from understudy.errors import InputError
from understudy.job import job_from_arguments
from understudy.judging import teacher_is_optional
from understudy.pipeline import run_job
from understudy.selection import Plan
from understudy.teachers import trained
from understudy.teachers.callable import CallableTeacher
from understudy.teachers.trained import fit_machines, mix

SETTINGS = {"training.epochs": 6, "training.augmented_views": 2, "formats": ("c",)}


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Return the plans of the jobs to come."""
    found = []

    def plan(**settings: Any) -> Plan:
        found.append(Plan(**settings))
        return found[-1]

    monkeypatch.setattr(production, "Plan", plan)
    return found


@pytest.mark.parametrize("mode", ["joint", pytest.param("self", marks=pytest.mark.slow)])
def test_the_other_modes(tiny_csv: Path, tmp_path: Path, mode: str, plans: list[Plan]) -> None:
    family = understudy.compress(data=tiny_csv, budgets=["12KB"], out=tmp_path / "out", **{**SETTINGS, "training.mode": mode})
    [member] = family.members
    assert (member.twin is not None) == (mode == "joint")
    assert (family.teacher is not None) == (mode == "joint")
    assert [plan.recombined for plan in plans] == [False]  # a teacher that learns beside the student has no answers yet


MODULE = """
import torch


class Network(torch.nn.Module):
    max_bytes = 64

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.embedding = torch.nn.EmbeddingBag(256 * 8, 16)
        torch.nn.init.zeros_(self.embedding.weight)
        self.dense = torch.nn.Linear(16, 8)

    def forward(self, byte_ids):
        place = byte_ids.clamp(min=0).long()
        pairs = (place[:, :-1] * 31 + place[:, 1:] * 7) % (256 * 8)
        return self.dense(200 * self.embedding(pairs))


def network():
    return Network()


def function(texts):
    return [[0.0] * 8] * len(texts)
"""


@pytest.mark.slow
def test_a_module_that_was_brought_learns_beside_the_student(tiny_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    source = f"{tmp_path / 'mine.py'}:network"
    settings = {**SETTINGS, "training.mode": "joint", "training.epochs": 60}
    job = job_from_arguments(tiny_csv, budgets=("12KB",), teacher=source, **settings)
    family = run_job(job, out=tmp_path / "out")
    [member] = family.members
    assert member.twin is not None
    assert {"teacher_on_labels", "student_on_teacher"} <= set(member.learning_curve[-1].train_loss)
    losses = [point.train_loss["teacher_on_labels"] for point in member.learning_curve]
    assert losses[-1] < losses[0] - 0.2
    assert family.teacher is not None
    assert family.teacher.note.startswith("trained beside the largest student")
    assert family.teacher.validation_accuracy is not None and family.teacher.validation_accuracy > 0.5
    assert not (tmp_path / "out" / ".understudy" / "teacher").exists(), "in joint mode nothing is cached"


def test_what_cannot_learn_in_joint_mode_is_refused(tiny_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    settings = {"budgets": ("12KB",), "training.mode": "joint"}
    with pytest.raises(InputError, match="joint training changes the teacher, which must be a torch module"):
        run_job(job_from_arguments(tiny_csv, teacher=f"{tmp_path / 'mine.py'}:function", **settings), out=tmp_path / "out")
    with pytest.raises(InputError, match="processes of its own: received teacher='Linear', an object"):
        understudy.compress(data=tiny_csv, out=tmp_path / "out", teacher=torch.nn.Linear(2, 2), **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_teacher_from_python(tiny_csv: Path, tmp_path: Path, plans: list[Plan]) -> None:
    rows = [line.rsplit(",", 1) for line in tiny_csv.read_text().splitlines()[1:]]
    labels = sorted({label for _, label in rows})

    def teacher(texts: list[str]) -> np.ndarray:
        known = {text.strip('"'): labels.index(label) for text, label in rows}
        return 6.0 * np.eye(len(labels), dtype=np.float32)[[known.get(text, 0) for text in texts]]

    family = understudy.compress(data=tiny_csv, budgets=["12KB"], out=tmp_path / "out", teacher=teacher, **SETTINGS)
    assert family.teacher is not None and family.teacher.used
    assert family.members[0].twin is not None
    assert [plan.recombined for plan in plans] == [True]  # it answers any text


def test_a_twin_is_delivered_only_where_validation_can_tell_and_nobody_asked_for_the_teacher(
    tiny_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_text_dataset(job_from_arguments(tiny_csv, budgets=("12KB",)).data, seed=1)
    here = mix(fit_machines(dataset.train, seed=1), None, dataset, seed=1)
    brought = CallableTeacher(lambda texts: np.zeros((len(texts), 8)), "theirs")
    assert [teacher_is_optional(teacher, dataset) for teacher in (here, brought, None)] == [False, False, False]
    monkeypatch.setattr(trained, "FEW_VALIDATION_TEXTS", len(dataset.validation))
    assert [teacher_is_optional(teacher, dataset) for teacher in (here, brought, None)] == [True, False, False]
