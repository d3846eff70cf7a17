"""Loss terms, one function each; every one returns a value per example, ``[batch]``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NON_TARGET_WEIGHT = 4.0
"""Of what a teacher says of all other classes, beside what it says of the right one."""


def cross_entropy(logits: Tensor, target: Tensor, *, smoothing: float, class_weight: Tensor | None) -> Tensor:
    """Return cross-entropy of ``logits`` ``[batch, classes]`` against ``target`` ``[batch]``; 0 where target is -1.

    ``smoothing`` moves that share of each label to the uniform distribution (Szegedy et al. 2016, section 7).
    """
    return functional.cross_entropy(
        logits, target, weight=class_weight, ignore_index=-1, reduction="none", label_smoothing=smoothing
    )


def soft_distillation(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return ``T^2 KL(softmax(teacher / T) || softmax(student / T))`` (Hinton et al. 2015, section 2)."""
    wanted = functional.softmax(teacher / temperature, dim=1)
    got = functional.log_softmax(student / temperature, dim=1)
    return functional.kl_div(got, wanted, reduction="none").sum(dim=1) * temperature**2


def decoupled_distillation(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Return target-class plus weighted non-target-class distillation (Zhao et al. 2022, equation 7).

    Where ``target`` is -1 (unlabelled) the teacher's own best class stands in for it.
    """
    target = torch.where(target < 0, teacher.argmax(dim=1), target)
    own = functional.one_hot(target, student.shape[1]).bool()
    p_teacher = functional.softmax(teacher / temperature, dim=1)
    p_student = functional.softmax(student / temperature, dim=1)
    teacher_pair = _own_and_rest(p_teacher, own)
    student_pair = _own_and_rest(p_student, own)
    target_term = (teacher_pair * (teacher_pair.clamp_min(1e-8).log() - student_pair.clamp_min(1e-8).log())).sum(dim=1)
    far = torch.finfo(student.dtype).min / 4
    others_teacher = functional.softmax((teacher / temperature).masked_fill(own, far), dim=1)
    others_student = functional.log_softmax((student / temperature).masked_fill(own, far), dim=1)
    non_target_term = functional.kl_div(others_student.masked_fill(own, 0.0), others_teacher, reduction="none").sum(dim=1)
    return (target_term + NON_TARGET_WEIGHT * non_target_term) * temperature**2


def _own_and_rest(probabilities: Tensor, own: Tensor) -> Tensor:
    """Return ``[batch, 2]``: the target's probability, and that of all other classes together."""
    p = (probabilities * own).sum(dim=1)
    return torch.stack([p, 1.0 - p], dim=1)
