"""The joint objective of ProjectionNet: three named terms and their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from understudy.training.terms import cross_entropy, decoupled_distillation, soft_distillation
from understudy.training.variations import Mixture

LEARNING_IMAGE_TEACHER_WEIGHT = 0.3
"""Of the answers of a network for images that learns beside its student: it knows little more than the student does."""
LEARNING_IMAGE_TEACHER_STEPS = 14_000
"""Until nothing of them is left: a short training ends before."""


@dataclass(frozen=True)
class Objective:
    """``L = a L(teacher, label) + b L(student, label) + c L(student, teacher)`` (Ravi 2017, section 3.1, equation 1).

    Attributes:
        teacher_on_labels: a; used in joint mode only, because a frozen teacher does not learn.
        student_on_labels: b.
        student_on_teacher: c; 0 is the no-teacher twin.
        fades_in: steps over which c falls evenly to 0; None where it stays.
        temperature: divides both sides' logits in the distillation term.
        distillation: ``soft`` or ``decoupled``.
        smoothing: label smoothing of the student's label term.
        class_weight: one weight per class, or None.
    """

    teacher_on_labels: float = 1.0
    student_on_labels: float = 1.0
    student_on_teacher: float = 1.0
    fades_in: int | None = None
    temperature: float = 2.0
    distillation: Literal["soft", "decoupled"] = "soft"
    smoothing: float = 0.1
    class_weight: Tensor | None = None

    def on(self, device: torch.device) -> Objective:
        """Return the same for logits on ``device``."""
        return self if self.class_weight is None else replace(self, class_weight=self.class_weight.to(device))

    def at(self, step: int) -> Objective:
        """Return the same for the optimizer step number ``step`` of a training."""
        if self.fades_in is None:
            return self
        return replace(self, student_on_teacher=self.student_on_teacher * max(0.0, 1 - step / self.fades_in))

    def __call__(
        self,
        student: Tensor,
        target: Tensor,
        *,
        teacher: Tensor | None,
        teacher_learns: bool = False,
        mixture: Mixture | None = None,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the total to minimise and the mean of each weighted term, without gradients.

        Args:
            student: logits ``[batch, classes]``.
            target: class numbers ``[batch]``, -1 where there is no label.
            teacher: logits ``[batch, classes]``, or None without a teacher.
            teacher_learns: joint mode; gradients reach the teacher through its label term only.
            mixture: the images were mixed so; labels are not yet, nor the answers of a teacher that does not learn.
        """
        terms = self._terms(student, target, teacher=teacher, teacher_learns=teacher_learns)
        if mixture is not None:
            # cross-entropy is linear in the labels and soft distillation, but for what has no gradient, in the softened
            # answers: this is the same as mixing those. A teacher that learns has seen the mixed images itself.
            partners = teacher if teacher is None or teacher_learns else teacher[mixture.partner]
            others = self._terms(student, target[mixture.partner], teacher=partners, teacher_learns=teacher_learns)
            terms = {name: mixture.share * terms[name] + (1 - mixture.share) * others[name] for name in terms}
        total = torch.stack(list(terms.values())).sum()
        return total, {name: value.detach() for name, value in terms.items()}

    def _terms(self, student: Tensor, target: Tensor, *, teacher: Tensor | None, teacher_learns: bool) -> dict[str, Tensor]:
        """Return the mean of each weighted term."""
        labelled = (target >= 0).sum().clamp_min(1)
        terms: dict[str, Tensor] = {}
        on_labels = cross_entropy(student, target, smoothing=self.smoothing, class_weight=self.class_weight)
        # without a teacher term, the label term carries the whole weight: only the ratio of the weights matters
        weight = self.student_on_labels if teacher is not None else 1.0
        terms["student_on_labels"] = weight * on_labels.sum() / labelled
        if teacher is not None:
            if teacher_learns:
                own = cross_entropy(teacher, target, smoothing=self.smoothing, class_weight=self.class_weight)
                terms["teacher_on_labels"] = self.teacher_on_labels * own.sum() / labelled
            fixed = teacher.detach()
            distance = (
                soft_distillation(student, fixed, temperature=self.temperature)
                if self.distillation == "soft"
                else decoupled_distillation(student, fixed, target, temperature=self.temperature)
            )
            terms["student_on_teacher"] = self.student_on_teacher * distance.mean()
        return terms


def teacher_term(given: float | Literal["auto"], *, learns_with_images: bool) -> dict[str, Any]:
    """Return the fields of ``Objective`` for c that was ``given``, or what suits a teacher that ``learns_with_images``.

    Such a teacher is ahead of its student for a while only: what it says helps early in a training, and holds the student back
    at the end of a long one (``docs/adr/0040``; of frozen teachers Cho and Hariharan 2019, arXiv 1910.01348, found the same).
    """
    if given != "auto":
        return {"student_on_teacher": given}
    if not learns_with_images:
        return {}
    return {"student_on_teacher": LEARNING_IMAGE_TEACHER_WEIGHT, "fades_in": LEARNING_IMAGE_TEACHER_STEPS}
