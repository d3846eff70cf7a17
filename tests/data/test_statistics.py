from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.data.statistics import (
    MAX_BYTES_CHOICES,
    MAX_WORDS_CHOICES,
    data_statistics,
    length_bytes,
    suggest_max_bytes,
    suggest_max_words,
    warning_lines,
    word_counts,
)
from understudy.projections.text import encode, tokenize

ANY_TEXT = st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape")) | st.text(
    "ab,. \n\0é’…👍\u00a0", max_size=30
)


@given(texts=st.lists(ANY_TEXT, max_size=8))
def test_words_are_the_tokens_of_the_projection(texts: list[str]) -> None:
    expected = [len(tokens) for tokens in tokenize(encode(texts, max_bytes=200), max_words=200)]
    assert word_counts(texts).tolist() == expected


@given(texts=st.lists(ANY_TEXT, max_size=8))
def test_lengths_are_bytes(texts: list[str]) -> None:
    assert length_bytes(texts).tolist() == [len(text.encode("utf-8", "surrogateescape")) for text in texts]


@pytest.mark.parametrize(
    ("lengths", "max_bytes"),
    [([32] * 100, 32), ([32] * 99 + [33], 32), ([32] * 98 + [33] * 2, 48), ([10, 100], 128), ([256], 256), ([10_000] * 3, 256)],
)
def test_suggested_bytes_cut_at_most_one_in_a_hundred(lengths: list[int], max_bytes: int) -> None:
    assert suggest_max_bytes(["x" * length for length in lengths]) == max_bytes


@pytest.mark.parametrize(("counts", "max_words"), [([8] * 99 + [9], 8), ([9, 9], 12), ([13], 16), ([500], 64)])
def test_suggested_words_cut_at_most_one_in_a_hundred(counts: list[int], max_words: int) -> None:
    assert suggest_max_words(["a " * count for count in counts]) == max_words


@given(texts=st.lists(st.text("ab é", max_size=300), min_size=1, max_size=20))
def test_suggestions_are_the_smallest_that_do(texts: list[str]) -> None:
    for choices, suggested, sizes in (
        (MAX_BYTES_CHOICES, suggest_max_bytes(texts), length_bytes(texts)),
        (MAX_WORDS_CHOICES, suggest_max_words(texts), word_counts(texts)),
    ):
        enough = [choice for choice in choices if np.mean(sizes > choice) <= 0.01]
        assert suggested == (enough[0] if enough else choices[-1])


def example(class_names: tuple[str, ...] = ("k", "l", "L\n"), **changes: object) -> object:
    arguments: dict[str, object] = {
        "texts": {
            "train": ["aa", "aa", "bb", "c\udcff", ""],
            "validation": ["aa", "x"],
            "test": ["x", "aa", "y " * 40],
            "unlabelled": ["y " * 40, '"say ""x"""'],
        },
        "labels": {"train": np.array([0, 1, 1, 1, 2]), "validation": np.array([0, -1]), "test": np.array([-1, -1, 1])},
        "sources": {"train": "a.csv", "validation": "b.csv", "test": "c.csv", "unlabelled": "d.csv"},
        "max_bytes": 32,
        "max_words": 8,
    }
    return data_statistics(class_names, **{**arguments, **changes})


def test_everything_is_counted() -> None:
    statistics = example()

    assert statistics.splits["train"].class_counts == (1, 3, 1)
    assert statistics.splits["train"].examples == 5
    assert statistics.splits["test"].unseen_labels == 2
    assert statistics.splits["test"].class_counts == (0, 1, 0)
    assert statistics.splits["unlabelled"].class_counts == ()
    assert statistics.splits["train"].length_bytes == {"0": 0, "0.25": 2, "0.5": 2, "0.75": 2, "0.95": 2, "0.99": 2, "1": 2}
    assert statistics.splits["test"].cut_fraction == pytest.approx(1 / 3)
    assert statistics.largest_class_fraction == pytest.approx(3 / 5)
    assert statistics.duplicates == {
        "validation in train": 1,
        "test in train": 1,
        "test in unlabelled": 1,
        "test in validation": 2,
    }
    assert statistics.warnings == {
        "class_with_one_example": 2,
        "test_label_unseen_in_train": 2,
        "validation_label_unseen_in_train": 1,
        "empty_text": 1,
        "text_cut_at_max_bytes": 2,
        "text_cut_at_max_words": 2,
        "quoted_text": 1,
        "invalid_utf8": 1,
        "duplicate_across_splits": 4,
        "label_variant": 1,
        "conflicting_labels": 1,
    }


def test_what_does_not_occur_is_not_warned_of() -> None:
    clean = example(
        ("k", "l"),
        texts={"train": ["a", "b", "c", "d"], "validation": ["e"], "test": ["f"]},
        labels={"train": np.array([0, 0, 1, 1]), "validation": np.array([0]), "test": np.array([1])},
    )
    assert clean.warnings == {}
    assert clean.duplicates == {}
    assert "duplicates across splits: none" in clean.lines()
    assert "test: 1 text (c.csv)" in clean.lines()


def test_lines_say_what_matters_one_fact_a_line() -> None:
    lines = example().lines()

    assert all("\n" not in line for line in lines)
    assert "train: 5 texts (a.csv)" in lines
    assert "classes: 3" in lines
    assert "examples per class in train: smallest 1, median 1, largest 3" in lines
    assert "largest classes: 'l' 3, 'k' 1, 'L\\n' 1" in lines
    assert "bytes that are read: 32; 0.00% of train is longer" in lines
    assert "warning: test rows with a label that train does not have, counted as wrong: 2" in lines


def test_every_warning_has_words() -> None:
    warnings = example().warnings
    assert len(warning_lines(warnings)) == len(warnings) == 11
