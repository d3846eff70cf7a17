"""A teacher that knows no more than chance, or whose columns are in another order, is refused."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.errors import InputError
from understudy.teachers.chance import check_better_than_chance, in_another_order

NAMES = ("ant", "bee", "cat", "dog")


def answers(labels: np.ndarray, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    chosen = np.where(rng.random(len(labels)) < accuracy, labels, rng.integers(0, len(NAMES), len(labels)))
    return np.eye(len(NAMES), dtype=np.float32)[chosen]


@pytest.fixture
def labels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, len(NAMES), 400)


@pytest.mark.parametrize("accuracy", [1.0, 0.6, 0.3])
def test_who_knows_something_is_kept(accuracy: float, labels: np.ndarray, rng: np.random.Generator) -> None:
    check_better_than_chance(answers(labels, accuracy, rng), labels, class_names=NAMES, name="t")


def test_few_examples_and_unseen_labels_are_no_proof() -> None:
    few = np.array([0, 1, 2, 3, -1])
    check_better_than_chance(np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0]], few, class_names=NAMES, name="t")
    check_better_than_chance(np.zeros((2, 4), np.float32), np.array([-1, -1]), class_names=NAMES, name="t")


def test_the_way_in_which_another_order_of_the_columns_fits(labels: np.ndarray, rng: np.random.Generator) -> None:
    unknowing, right = answers(labels, 0.0, rng), answers(labels, 0.9, rng)
    other = right[:, [1, 2, 3, 0]]
    assert in_another_order([unknowing, other], labels, 0) == 1
    assert in_another_order([other, unknowing], labels, 0) is None
    assert in_another_order([right, other], labels, 0) is None
    assert in_another_order([unknowing, unknowing], labels, 0) is None


def test_chance_is_refused(labels: np.ndarray, rng: np.random.Generator) -> None:
    constant = np.zeros((400, 4), np.float32)
    for given in (constant, answers(rng.permutation(labels), 1.0, rng)):
        with pytest.raises(InputError, match=r"more than chance: received accuracy=2\d\.\d% .* where chance gives 2\d\.\d%"):
            check_better_than_chance(given, labels, class_names=NAMES, name="t")


def test_always_the_majority_is_chance() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    constant = np.tile(np.array([1, 0, 0, 0], np.float32), (100, 1))
    with pytest.raises(InputError, match=r"accuracy=90\.0% .*its most frequent answer takes 100 of 100"):
        check_better_than_chance(constant, labels, class_names=NAMES, name="t")


@pytest.mark.parametrize("order", [[1, 2, 3, 0], [0, 1, 3, 2]])
def test_another_order_of_the_columns_is_named(order: list[int], labels: np.ndarray, rng: np.random.Generator) -> None:
    """Also where it is far above chance: two of four classes are right."""
    given = answers(labels, 0.9, rng)[:, order]
    named = ", ".join(NAMES[i] for i in order)
    with pytest.raises(InputError, match=rf"received accuracy=.*with the columns named {named}; write .* labels\.txt"):
        check_better_than_chance(given, labels, class_names=NAMES, name="t")


def test_what_was_never_trained_is_not_told_about_another_order(labels: np.ndarray, rng: np.random.Generator) -> None:
    """Three of ten answers go with a class by what its images look like, in an order that means nothing."""
    given = answers(labels, 0.3, rng)[:, [1, 2, 3, 0]]
    assert in_another_order([answers(labels, 0.0, rng), given], labels, 0) is None
    with pytest.raises(InputError, match=r"more than chance: .* the order of its columns that fits best [34]\d\.\d%; check"):
        check_better_than_chance(given, labels, class_names=NAMES, name="t")
