"""The three terms and their sum."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from understudy.training import terms
from understudy.training.objective import Objective, teacher_term
from understudy.training.terms import cross_entropy, decoupled_distillation, soft_distillation
from understudy.training.variations import Mixture

STUDENT = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
TEACHER = torch.tensor([[3.0, 1.0, -2.0], [0.2, 0.1, 2.0]])
TARGET = torch.tensor([0, 2])


def test_total_is_the_sum_of_the_named_terms() -> None:
    teacher = TEACHER.clone().requires_grad_()
    student = STUDENT.clone().requires_grad_()
    total, terms = Objective()(student, TARGET, teacher=teacher, teacher_learns=True)
    assert set(terms) == {"student_on_labels", "teacher_on_labels", "student_on_teacher"}
    assert float(total.detach()) == pytest.approx(sum(float(term) for term in terms.values()), rel=1e-5)
    total.backward()
    assert teacher.grad is not None and teacher.grad.abs().sum() > 0


def test_the_distillation_term_does_not_move_the_teacher() -> None:
    teacher = TEACHER.clone().requires_grad_()
    total, _ = Objective(teacher_on_labels=0.0)(STUDENT.clone().requires_grad_(), TARGET, teacher=teacher, teacher_learns=True)
    total.backward()
    assert teacher.grad is not None and teacher.grad.abs().sum() == 0


def test_the_twin_has_the_label_term_alone_and_at_full_weight() -> None:
    total, terms = Objective(student_on_labels=0.1, smoothing=0.0)(STUDENT, TARGET, teacher=None)
    assert set(terms) == {"student_on_labels"}
    assert float(total.detach()) == pytest.approx(float(torch.nn.functional.cross_entropy(STUDENT, TARGET)), rel=1e-6)


def test_unlabelled_texts_have_no_label_term() -> None:
    target = torch.tensor([0, -1])
    assert cross_entropy(STUDENT, target, smoothing=0.1, class_weight=None)[1] == 0
    _, with_one = Objective()(STUDENT, target, teacher=TEACHER)
    _, alone = Objective()(STUDENT[:1], target[:1], teacher=TEACHER[:1])
    assert float(with_one["student_on_labels"]) == pytest.approx(float(alone["student_on_labels"]), rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distances_are_zero_only_for_equal_answers(temperature: float) -> None:
    assert soft_distillation(TEACHER, TEACHER, temperature=temperature).abs().max() < 1e-6
    assert decoupled_distillation(TEACHER, TEACHER, TARGET, temperature=temperature).abs().max() < 1e-5
    assert (soft_distillation(STUDENT, TEACHER, temperature=temperature) > 0.01).all()
    assert (decoupled_distillation(STUDENT, TEACHER, TARGET, temperature=temperature) > 0.01).all()


def test_decoupled_with_the_teachers_own_weight_is_soft(monkeypatch: pytest.MonkeyPatch) -> None:
    # Zhao et al. 2022, equation 6: KD = TCKD + (1 - p_teacher(target)) NCKD
    p_teacher = torch.softmax(TEACHER, dim=1)[torch.arange(2), TARGET]
    for row in range(2):
        monkeypatch.setattr(terms, "NON_TARGET_WEIGHT", float(1 - p_teacher[row]))
        decoupled = decoupled_distillation(
            STUDENT[row : row + 1],
            TEACHER[row : row + 1],
            TARGET[row : row + 1],
            temperature=1.0,
        )
        soft = soft_distillation(STUDENT[row : row + 1], TEACHER[row : row + 1], temperature=1.0)
        assert float(decoupled) == pytest.approx(float(soft), rel=1e-4)


def test_temperature_keeps_the_size_of_gradients() -> None:
    grads = []
    for temperature in (1.0, 8.0):
        student = STUDENT.clone().requires_grad_()
        soft_distillation(student, TEACHER, temperature=temperature).sum().backward()
        assert student.grad is not None
        grads.append(float(student.grad.norm()))
    assert math.isfinite(grads[1]) and 0.2 < grads[1] / grads[0] < 5


@given(share=st.floats(0, 1), order=st.permutations(range(5)), smoothing=st.sampled_from([0.0, 0.1]), seed=st.integers(0, 99))
def test_a_mixture_is_learned_as_its_mixed_labels_and_answers(
    share: float, order: list[int], smoothing: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, teacher = torch.randn(2, 5, 3, generator=generator)
    target, partner = torch.randint(3, (5,), generator=generator), torch.tensor(order)
    labels = functional.one_hot(target, 3).float()
    labels = share * labels + (1 - share) * labels[partner]
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(5))
    answers = torch.softmax(teacher / 2, dim=1)
    answers = share * answers + (1 - share) * answers[partner]
    wanted = logits.clone().requires_grad_()
    on_labels = functional.cross_entropy(wanted, labels, label_smoothing=smoothing)
    on_answers = -4 * (answers * torch.log_softmax(wanted / 2, dim=1)).sum(dim=1).mean()
    (on_labels + on_answers).backward()
    student = logits.clone().requires_grad_()
    mixture = Mixture(share, partner)
    total, terms = Objective(smoothing=smoothing)(student, target, teacher=teacher, mixture=mixture)
    total.backward()
    torch.testing.assert_close(terms["student_on_labels"], on_labels.detach())
    assert student.grad is not None and wanted.grad is not None
    torch.testing.assert_close(student.grad, wanted.grad, rtol=1e-4, atol=1e-6)


def test_a_teacher_that_learns_has_seen_the_mixed_images_itself() -> None:
    mixture = Mixture(0.3, torch.tensor([1, 0]))
    _, terms = Objective()(STUDENT, TARGET, teacher=TEACHER, teacher_learns=True, mixture=mixture)
    _, plain = Objective()(STUDENT, TARGET, teacher=TEACHER, teacher_learns=True)
    _, other = Objective()(STUDENT, TARGET[[1, 0]], teacher=TEACHER, teacher_learns=True)
    torch.testing.assert_close(terms["student_on_teacher"], plain["student_on_teacher"])
    for name in ("student_on_labels", "teacher_on_labels"):
        torch.testing.assert_close(terms[name], 0.3 * plain[name] + 0.7 * other[name])


def test_a_network_for_images_that_learns_too_fades_unless_a_weight_is_given() -> None:
    fading = Objective(**teacher_term("auto", learns_with_images=True))
    assert [fading.at(step).student_on_teacher for step in (0, 7000, 14000, 20000)] == [0.3, 0.15, 0.0, 0.0]
    for weight, images, kept in (("auto", False, 1.0), (0.7, True, 0.7), (0.0, False, 0.0)):
        objective = Objective(**teacher_term(weight, learns_with_images=images))
        assert [objective.at(step).student_on_teacher for step in (0, 14000)] == [kept, kept]
