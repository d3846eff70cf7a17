"""The metrics equal scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support, roc_auc_score

from understudy.metrics import ConfusionPair, accuracy, agreement, auroc, class_scores, macro_f1, most_confused, standard_error


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_macro_f1_equals_scikit_learn(classes: int, rng: np.random.Generator) -> None:
    truth = rng.integers(0, classes, 60)
    answers = np.where(rng.random(60) < 0.6, truth, rng.integers(0, classes, 60))
    assert macro_f1(truth, answers) == pytest.approx(f1_score(truth, answers, average="macro"))
    assert accuracy(truth, answers) == pytest.approx((truth == answers).mean())


def test_an_unseen_label_is_wrong_but_no_class_of_its_own() -> None:
    assert accuracy([0, 1, -1, -1], [0, 1, 0, 1]) == 0.5
    assert macro_f1([0, 1, -1, -1], [0, 1, 0, 1]) == pytest.approx(2 / 3)


def test_nothing_right_is_zero() -> None:
    assert macro_f1([0, 0], [1, 1]) == 0.0


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_class_scores_equal_scikit_learn(classes: int, rng: np.random.Generator) -> None:
    truth = rng.integers(0, classes, 60)
    answers = np.where(rng.random(60) < 0.6, truth, rng.integers(0, classes, 60))
    scores = class_scores(truth, answers, classes=classes)
    known = precision_recall_fscore_support(truth, answers, labels=np.arange(classes), zero_division=0)
    for ours, theirs in zip((scores.precision, scores.recall, scores.f1, scores.support), known, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_class_scores_count_an_unseen_label_against_its_answer() -> None:
    scores = class_scores([0, -1], [0, 0], classes=2)
    assert scores.support.tolist() == [1, 0]
    assert scores.precision.tolist() == [0.5, 0]
    assert scores.recall.tolist() == [1, 0]


def test_a_share_of_few_examples_is_uncertain() -> None:
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(0.9, 10_000) == pytest.approx(0.003)


def test_most_confused_pairs_come_first() -> None:
    truth = [0, 0, 0, 1, 1, 2, 2, -1, 1]
    answers = [1, 1, 0, 0, 2, 1, 1, 0, 1]
    assert most_confused(truth, answers, limit=3) == (ConfusionPair(0, 1, 2), ConfusionPair(2, 1, 2), ConfusionPair(1, 0, 1))
    assert most_confused([0, 1], [0, 1], limit=3) == ()


def test_auroc_equals_scikit_learn_with_ties(rng: np.random.Generator) -> None:
    positive, negative = rng.integers(2, 12, 70) / 10, rng.integers(0, 10, 50) / 10
    truth = np.repeat([1, 0], [70, 50])
    assert auroc(positive, negative) == pytest.approx(roc_auc_score(truth, np.concatenate([positive, negative])))
    assert auroc([1, 2], [0]) == 1.0
    assert auroc([0], [0]) == 0.5


@pytest.mark.parametrize(("positive", "negative"), [([], [1.0]), ([1.0], [])])
def test_auroc_needs_both_sides(positive: list[float], negative: list[float]) -> None:
    with pytest.raises(ValueError, match=r"scores on both sides: received positive=\d negative=\d"):
        auroc(positive, negative)


def test_agreement_is_the_share_of_equal_answers() -> None:
    assert agreement([0, 1, 2, 2], [0, 1, 2, 0]) == 0.75
    assert agreement([], []) == 1.0
