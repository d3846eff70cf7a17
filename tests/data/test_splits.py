from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from understudy.data.splits import stratified_split
from understudy.errors import InputError

SIZES = st.lists(st.integers(1, 40), min_size=2, max_size=12)
FRACTION = st.sampled_from([0.05, 0.1, 0.2, 0.3])


def labels_of(sizes: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


@given(sizes=SIZES, validation=FRACTION, test=FRACTION, seed=st.integers(0, 2**32 - 1))
def test_every_row_is_in_one_part_and_every_class_in_train(sizes: list[int], validation: float, test: float, seed: int) -> None:
    labels = labels_of(sizes, seed)
    # enough rows for a test row of some class, and for train to hold every class
    assume(max(sizes) >= 3 and round(sum(sizes) * test) >= 1 and round(sum(sizes) * (1 - validation - test)) >= len(sizes))

    split = stratified_split(labels, validation_fraction=validation, test_fraction=test, seed=seed)

    assert sorted(np.concatenate([split.train, split.validation, split.test]).tolist()) == list(range(len(labels)))
    counts = {name: np.bincount(labels[getattr(split, name)], minlength=len(sizes)) for name in ("train", "validation", "test")}
    assert (counts["train"] >= 1).all()
    assert (counts["validation"][np.asarray(sizes) >= 2] >= 1).all()
    # never further than one row from the share, beside the row that validation gets of every class
    assert (np.abs(counts["test"] - np.asarray(sizes) * test) <= 1).all()
    assert (counts["validation"] <= np.maximum(np.asarray(sizes) * validation + 1, 1)).all()
    assert len(split.test) <= round(sum(sizes) * test)
    for part in (split.train, split.validation, split.test):
        assert (np.diff(part) > 0).all()


@given(sizes=st.lists(st.integers(10, 60), min_size=2, max_size=8), seed=st.integers(0, 1000))
def test_large_classes_give_exactly_the_share(sizes: list[int], seed: int) -> None:
    split = stratified_split(labels_of(sizes, seed), validation_fraction=0.1, test_fraction=0.1, seed=seed)

    assert len(split.test) == round(sum(sizes) * 0.1)
    assert len(split.validation) == round(sum(sizes) * 0.1)


def test_the_same_seed_gives_the_same_split_and_another_one_another(seed: int) -> None:
    labels = labels_of([50, 30, 20], seed)
    first, again, other = (stratified_split(labels, validation_fraction=0.1, test_fraction=0.1, seed=s) for s in (1, 1, 2))

    assert first.train.tolist() == again.train.tolist()
    assert first.test.tolist() == again.test.tolist()
    assert first.test.tolist() != other.test.tolist()


def test_small_classes() -> None:
    sizes = [1, 2, 3, 100]
    labels = np.repeat(np.arange(4), sizes)
    split = stratified_split(labels, validation_fraction=0.1, test_fraction=0.1, seed=1)

    assert np.bincount(labels[split.train], minlength=4)[:3].tolist() == [1, 1, 1]
    assert np.bincount(labels[split.validation], minlength=4)[:3].tolist() == [0, 1, 1]
    assert np.bincount(labels[split.test], minlength=4).tolist() == [0, 0, 1, 10]


def test_many_small_classes_share_the_test_rows_not_by_their_order() -> None:
    labels = np.repeat(np.arange(60), 3)
    split = stratified_split(labels, validation_fraction=0.1, test_fraction=0.1, seed=1)

    assert len(split.test) == 18
    assert labels[split.test].max() > 30


def test_parts_that_are_not_asked_for_are_empty() -> None:
    labels = np.repeat(np.arange(2), 10)
    neither = stratified_split(labels, validation_fraction=None, test_fraction=None, seed=1)
    only_validation = stratified_split(labels, validation_fraction=0.1, test_fraction=None, seed=1)

    assert (len(neither.train), len(neither.validation), len(neither.test)) == (20, 0, 0)
    assert (len(only_validation.train), len(only_validation.validation), len(only_validation.test)) == (18, 2, 0)


def test_fractions_that_leave_a_class_empty_are_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"no class is empty after splitting: received classes=5 and train_rows=4 of rows=20 with validation_fraction=0.4 "
        r"and test_fraction=0.4; check that --label names the labels, bring more rows, smaller fractions, or separate files",
    ):
        stratified_split(np.repeat(np.arange(5), 4), validation_fraction=0.4, test_fraction=0.4, seed=1)


@pytest.mark.parametrize(("sizes", "part"), [([2, 2], "test"), ([3, 1], "test")])
def test_a_part_without_rows_is_refused(sizes: list[int], part: str) -> None:
    with pytest.raises(
        InputError, match=rf"the {part} split has at least one row: received rows=4 .*; bring more rows .* --{part}$"
    ):
        stratified_split(np.repeat(np.arange(2), sizes), validation_fraction=0.1, test_fraction=0.1, seed=1)


def test_a_validation_part_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match=r"the validation split has at least one row"):
        stratified_split(np.arange(10), validation_fraction=0.01, test_fraction=None, seed=1)
