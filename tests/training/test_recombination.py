"""Texts made of words of others, and how many of them take part in a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plans import plan_of
from understudy.program.ops import ProjectText
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.search.space import Candidate
from understudy.students.recipe import Recipe
from understudy.teaching import recombined_texts_for
from understudy.training.lesson_store import LessonStore
from understudy.training.loop import epoch_batches
from understudy.training.recombination import recombine
from understudy.training.schedule import EPOCHS_OF_FEW, STEPS_OF_FEW, steps_for

TEXTS = ["turn on the lamp", "what is the weather", "", "play", "wake me at six in the morning"]
RELATED = {"lamp": ("bulb", "candle"), "weather": ("rain",)}
SOURCE = ProjectText("bytes", "features", TextProjection((FeatureGroup("character", 16),)))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_words_are_those_of_the_texts_or_made_of_two(texts: list[str], count: int, seed: int) -> None:
    found = recombine(texts, count=count, seed=seed, related=None)
    words = {word for text in texts for word in text.split()}
    assert len(found) == (count if words else 0)
    assert all(text and all(_is_made_of(word, words) for word in text.split(" ")) for text in found)
    assert found == recombine(texts, count=count, seed=seed, related=None)


def test_some_words_become_related_ones() -> None:
    texts = ["please turn on the lamp", "please tell the weather"]
    found = recombine(texts, count=3000, seed=1, related=related)
    words = [word for text in found for word in text.split()]
    counts = {word: words.count(word) for word in ("lamp", "bulb", "candle", "weather", "rain")}
    assert 0.2 < (counts["bulb"] + counts["candle"]) / (counts["lamp"] + counts["bulb"] + counts["candle"]) < 0.3
    assert min(counts["bulb"], counts["candle"]) > 0.3 * (counts["bulb"] + counts["candle"])
    assert 0.2 < counts["rain"] / (counts["rain"] + counts["weather"]) < 0.3
    assert found == recombine(texts, count=3000, seed=1, related=related)


def related(word: str) -> Sequence[str]:
    return RELATED.get(word, ())


def _is_made_of(word: str, words: set[str]) -> bool:
    """Return whether ``word`` is one of ``words``, or the beginning of one and the end of another."""
    ways = ((word[:at], word[at:]) for at in range(1, len(word)))
    return word in words or any(
        any(known.startswith(begin) for known in words) and any(known.endswith(end) for known in words) for begin, end in ways
    )


def test_what_no_student_reads_takes_no_part() -> None:
    documents = ["".join(f"{word}{number} " for number in range(20_000)) for word in ("north", "south")]
    found = recombine(documents, count=20, seed=1, related=None)
    assert found == recombine([document[:1024] for document in documents], count=20, seed=1, related=None)
    assert max(map(len, found)) < 4096


def test_most_recombined_texts_are_new_and_as_long_as_texts_are() -> None:
    found = recombine(TEXTS, count=300, seed=1, related=None)
    assert len(set(found) - set(TEXTS)) > 150
    assert 1 <= min(len(text.split()) for text in found) < max(len(text.split()) for text in found) <= 11
    assert found != recombine(TEXTS, count=300, seed=2, related=None)


def test_about_a_fifth_of_the_words_is_new() -> None:
    letters = "abcdefghijklmnopqrst"
    texts = [" ".join(a + letters + b for a in "uvwxyz" for b in "uvwxyz")]  # two of these seldom make a third
    words = [word for text in recombine(texts, count=200, seed=1, related=None) for word in text.split()]
    assert 0.15 < sum(word not in set(texts[0].split()) for word in words) / len(words) < 0.2


def test_few_texts_get_many_recombined_ones_and_enough_texts_none() -> None:
    counts = [recombined_texts_for(texts) for texts in (0, 50, 190, 1000, 7999, 8000, 200_000)]
    assert counts == [0, 1000, 3800, 8000, 8000, 0, 0]


def test_half_of_an_epoch_has_labels(tmp_path: Path) -> None:
    labels = np.array([-1] * 50 + [0, 1] * 10 + [-1])
    store = LessonStore(tmp_path)
    store.write(
        views=[[f"text {number}" for number in range(len(labels))]],
        labels=labels,
        validation=["text"],
        validation_labels=np.array([0]),
        teacher_logits=np.zeros((1, len(labels), 2), np.float32),
        held_out=1,
    )
    taught = store.read(SOURCE, taught=True)
    assert store.unlabelled == 50  # without the one that is held out, of a class that training never saw
    assert (len(taught.labels), taught.texts_in_an_epoch) == (70, 40)
    seen = np.concatenate([index for _, index in epoch_batches(taught, 16, np.random.default_rng(1))])
    assert len(seen) == len(set(seen)) == 40
    assert set(seen) >= set(range(50, 70))
    again = np.concatenate([index for _, index in epoch_batches(taught, 16, np.random.default_rng(2))])
    assert set(again) != set(seen)  # others take part in another epoch
    alone = store.read(SOURCE, taught=False)
    assert alone.labels.tolist() == labels[50:70].tolist() and alone.texts_in_an_epoch == 20
    np.testing.assert_array_equal(alone.views[0].batch(np.arange(20)), taught.views[0].batch(np.arange(50, 70)))
    assert len(store.read(SOURCE, taught=False, refit=True).labels) == 21


def test_recombined_texts_come_on_top_of_labelled_ones() -> None:
    recipe = Recipe(features=64, width=8, hidden=8, max_bytes=32, max_words=8)
    candidate = Candidate(recipe, dropout=0.1, learning_rate=0.003)
    plan = plan_of(recipe, classes=3, texts=1000, taught=True, epochs=None)
    without = plan.task(candidate, taught=True)
    plan = replace(plan, recombined=True)
    student, twin = (plan.task(candidate, taught=taught) for taught in (True, False))
    assert student.schedule.steps == twin.schedule.steps == 2 * without.schedule.steps
    assert student.schedule.batch_size == 2 * without.schedule.batch_size
    assert twin.schedule.batch_size == without.schedule.batch_size
    assert plan.passes(student) == plan.passes(twin) == 2 * plan.passes(without)
    assert plan.work(student) == 2 * plan.work(twin) == 4 * plan.work(without)


def test_few_texts_are_gone_over_more_often() -> None:
    steps = {texts: steps_for(texts, batch_size=64, epochs=None) for texts in (200, 1000, 3000, 5000, 15_000)}
    assert steps == {200: 1500, 1000: EPOCHS_OF_FEW * 16, 3000: STEPS_OF_FEW, 5000: 60 * 79, 15_000: 30 * 235}
    assert steps_for(1000, batch_size=64, epochs=3) == 48
    recombined = {texts: steps_for(texts, batch_size=64, epochs=None, long=True) for texts in steps}
    assert recombined == {texts: 2 * usual for texts, usual in steps.items()}
    assert steps_for(1000, batch_size=64, epochs=3, long=True) == 48
