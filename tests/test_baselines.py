"""Baselines: what they answer, that they repeat themselves, and their known results on public data."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from understudy import baselines
from understudy.baselines import majority_class, tfidf_logistic_regression
from understudy.data.text import Examples
from understudy.errors import InputError


def examples(rows: list[tuple[str, int]]) -> Examples:
    return Examples(texts=tuple(text for text, _ in rows), labels=np.array([label for _, label in rows], np.int64))


COLOURS = ("red", "green", "blue")
TRAIN = examples([(f"the {colour} thing number {i}", k) for k, colour in enumerate(COLOURS) for i in range(9 + k)])
HELD_OUT = examples([(f"some {colour} object", k) for k, colour in enumerate(COLOURS)])


def test_majority_class_answers_the_most_frequent() -> None:
    baseline = majority_class(TRAIN, classes=3)
    assert baseline.logits(["x", "y"]).argmax(axis=1).tolist() == [2, 2]
    assert baseline.score(HELD_OUT).accuracy == pytest.approx(1 / 3)
    assert baseline.logits([]).shape == (0, 3)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_tfidf_learns_words(classes: int) -> None:
    """With two classes scikit-learn gives one score; with four, one class has no example in train."""
    keep = min(classes, 3)
    train = examples([(t, int(y)) for t, y in zip(TRAIN.texts, TRAIN.labels, strict=True) if y < keep])
    held_out = examples([(t, int(y)) for t, y in zip(HELD_OUT.texts, HELD_OUT.labels, strict=True) if y < keep])
    baseline = tfidf_logistic_regression(train, held_out, classes=classes, seed=0)
    logits = baseline.logits(held_out.texts)
    assert logits.shape == (keep, classes)
    assert logits.dtype == np.float32
    assert logits.argmax(axis=1).tolist() == list(range(keep))
    assert baseline.score(held_out) == baselines.Score(accuracy=1.0, macro_f1=1.0)
    assert baseline.logits([]).shape == (0, classes)
    assert baseline.logits(["", "\udcff"]).shape == (2, classes)


def test_a_refit_keeps_the_choices_and_learns_from_more() -> None:
    more = examples([*zip(TRAIN.texts, TRAIN.labels.tolist(), strict=True), ("a crimson object", 0), ("what", -1)])
    for baseline in (majority_class(TRAIN, classes=3), tfidf_logistic_regression(TRAIN, HELD_OUT, classes=3, seed=0)):
        again = baseline.refit(more)
        assert again.name == baseline.name
        assert again.detail.split(",")[0] == baseline.detail.split(",")[0]
    assert baseline.logits(["crimson"]).argmax() != again.logits(["crimson"]).argmax() == 0


def test_two_class_logits_give_the_models_probabilities() -> None:
    train = examples([(f"{word} thing {i}", k) for k, word in enumerate(("up", "down")) for i in range(5)])
    logits = tfidf_logistic_regression(train, train, classes=2, seed=0).logits(["up", "down"])
    np.testing.assert_allclose(logits.sum(axis=1), 0, atol=1e-6)
    assert logits[0, 0] > 0 > logits[1, 0]


def test_a_label_unseen_in_train_counts_as_wrong() -> None:
    baseline = tfidf_logistic_regression(TRAIN, HELD_OUT, classes=3, seed=0)
    assert baseline.score(examples([("red", 0), ("red", -1)])).accuracy == 0.5


def test_the_same_seed_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_SEARCH_CELLS", 45)  # C is chosen on 15 of the 30 rows
    first, second = (tfidf_logistic_regression(TRAIN, HELD_OUT, classes=3, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.logits(HELD_OUT.texts), second.logits(HELD_OUT.texts))
    assert first.detail == second.detail


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("", 0), (" \t", 1)], r"texts that are not empty and at least two classes: received texts=2, classes=2; check"),
        ([("one", 0), ("two", 0)], r"received texts=2, classes=1"),
    ],
)
def test_what_cannot_be_learned_is_named(rows: list[tuple[str, int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tfidf_logistic_regression(examples(rows), HELD_OUT, classes=2, seed=0)


def split(path: Path, names: dict[str, int], *, label: str) -> Examples:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not names:
        names.update({name: i for i, name in enumerate(sorted({row[label] for row in rows}))})
    return examples([(row["text"], names.get(row[label], -1)) for row in rows])


@pytest.mark.parametrize(("name", "accuracy"), [("atis", 0.92), ("snips", 0.97)])
def test_known_results_on_public_data(shared_data: Path, name: str, accuracy: float) -> None:
    names: dict[str, int] = {}
    train, validation, test = (
        split(shared_data / name / f"{part}.tsv.gz", names, label="intent") for part in ("train", "valid", "test")
    )
    baseline = tfidf_logistic_regression(train, validation, classes=len(names), seed=0)
    assert accuracy <= baseline.score(test).accuracy < accuracy + 0.02
