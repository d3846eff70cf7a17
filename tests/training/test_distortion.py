"""Copies of texts as people type them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from understudy.training.distortion import MARKED, MOST_MARKS, distort

TEXTS = ["several ordinary words stand here"] * 400


def words(text: str) -> list[str]:
    return re.sub(r"[^\w ]", "", text).split()


def test_about_the_asked_share_of_words_is_edited() -> None:
    copies = distort(TEXTS, fraction=0.2, seed=3)
    pairs = [(a, b) for text, copy in zip(TEXTS, copies, strict=True) for a, b in zip(text.split(), words(copy), strict=True)]
    assert 0.15 < sum(a != b for a, b in pairs) / len(pairs) < 0.25


def test_a_share_of_the_copies_has_marks() -> None:
    copies = distort(TEXTS, fraction=0.0, seed=3)
    marked = [copy for copy in copies if copy != TEXTS[0]]
    assert 0.7 * MARKED < len(marked) / len(copies) < 1.3 * MARKED
    runs = [re.findall(r"[^\w ]+", copy) for copy in marked]
    assert all(len(run) == 1 and len(set(run[0])) == 1 and len(run[0]) <= MOST_MARKS for run in runs)
    assert {len(run) for [run] in runs} == {1, 2, 3}
    assert any(not run.isascii() for [run] in runs)
    assert {copy[0].isalpha() for copy in marked} == {copy[-1].isalpha() for copy in marked} == {True, False}


@given(texts=st.lists(st.text("ab \n'", max_size=12), max_size=6), seed=st.integers(0, 99))
def test_one_seed_gives_one_result_and_every_text_a_copy(texts: list[str], seed: int) -> None:
    copies = distort(texts, fraction=1.0, seed=seed)
    assert copies == distort(texts, fraction=1.0, seed=seed)
    assert len(copies) == len(texts)
    assert all(copy == text for text, copy in zip(texts, copies, strict=True) if not text.strip())
