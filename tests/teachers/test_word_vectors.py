"""The table of word vectors: what it holds, what it says of texts, and that a table is read as it was written."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.teachers.word_vectors import (
    FIRST_WORDS,
    LEAST_COSINE,
    RELATED_WORDS,
    TABLE,
    WordVectors,
    dumps,
    english,
    loads,
    vectors_for,
)


def test_the_table_holds_directions_of_english_words() -> None:
    table = english()
    assert len(table.words) == len(set(table.words)) == 20_000
    assert table.vectors.shape == (20_000, 100)
    np.testing.assert_allclose(np.linalg.norm(table.vectors, axis=1), 1, rtol=1e-5)
    assert TABLE.stat().st_size < 1_000_000
    assert (TABLE.parent / "NOTICE").exists()


@pytest.mark.parametrize(
    ("word", "near", "far"), [("lamp", "bulb", "meeting"), ("Flight", "plane", "guitar"), ("songs", "albums", "weather")]
)
def test_related_words_are_near_in_meaning(word: str, near: str, far: str) -> None:
    found = english().related(word)
    assert near in found
    assert far not in found
    assert word.lower() not in found
    assert len(found) <= RELATED_WORDS


@pytest.mark.parametrize("word", ["", "qzxv", "mañana", "\udcff", "two words"])
def test_a_word_without_a_vector_has_no_related_ones(word: str) -> None:
    assert english().related(word) == ()


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Remind me to call the plumber tomorrow morning, please!", True),
        ("play the new album by Zwrrt", True),
        ("erinnere mich bitte daran, morgen die Klempnerin anzurufen", False),
        ("pon la música en el salón y recuérdame mañana la reunión", False),
        ("明日の会議を思い出させて", False),
        ("", False),
        ("?!", False),
    ],
)
def test_vectors_are_for_english_texts(text: str, fits: bool) -> None:
    assert (vectors_for([text, text]) is english()) == fits


def test_related_words_are_as_near_as_they_must_be() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0], [0.5, 1]], np.float32)
    table = WordVectors(("a", "b", "c", "d", "e"), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    assert table.related("a") == ("b", "e")
    assert (table.vectors[4] @ table.vectors[0]) >= LEAST_COSINE
    assert table.related("d") == ()


def test_features_are_a_mean_and_the_first_words() -> None:
    table = english()
    features = table.transform(["Play songs", "songs play", "", "qzxv qzxv songs", "\udcff"]).toarray()
    features = features.reshape(5, 1 + FIRST_WORDS, -1)
    np.testing.assert_allclose(features[0, 0], features[1, 0], rtol=1e-5)  # a mean has no order
    np.testing.assert_allclose(np.linalg.norm(features[:, 0], axis=1), [1, 1, 0, 1, 0], rtol=1e-5)
    np.testing.assert_array_equal(features[0, 1:3], features[1, 2:0:-1])
    assert not features[0, 3].any()
    assert not features[3, 1:3].any()
    assert features[3, 3].any()
    assert not features[[2, 4]].any()


def test_a_table_is_read_as_it_was_written() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    words = [f"wörd{number}" for number in range(50)]
    read = loads(dumps(words, vectors))
    assert read.words == tuple(words)
    exact = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert float((read.vectors * exact).sum(axis=1).min()) > 0.99
    assert dumps(words, vectors) == dumps(words, vectors)
