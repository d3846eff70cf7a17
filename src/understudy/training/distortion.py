"""Copies of texts as people type them, for training: misspelt, and with marks that the texts at hand may lack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

MARKED = 0.2
"""Share of the copies that get marks."""
MOST_MARKS = 3
_SIGNS: Final = "..!!??,,;:-()*'\"…—“”’"
"""Frequent ones stand here twice; faces, together, are as frequent as one of them."""
_FACES: Final = range(0x1F600, 0x1F650)


def distort(texts: Sequence[str], *, fraction: float, seed: int) -> list[str]:
    """Return ``texts`` with one edit in about ``fraction`` of the words of two or more characters, a share of them with marks.

    An edit deletes a character, swaps two neighbours, or doubles one (Kaliamoorthi et al. 2019). Marks are one to three equal
    signs before a text, behind it, or behind one of its words. Each is a token, and public sets have few or none of them: to a
    student that met no mark three of them would be three words that mean anything. One seed gives one result.
    """
    rng = np.random.default_rng(seed)
    misspelt = [" ".join(_distort_word(rng, word, fraction) for word in text.split(" ")) for text in texts]
    return [_marked(rng, text) if rng.random() < MARKED and text.strip() else text for text in misspelt]


def _distort_word(rng: np.random.Generator, word: str, fraction: float) -> str:
    if len(word) < 2 or rng.random() >= fraction:
        return word
    at = int(rng.integers(0, len(word) - 1))
    edit = int(rng.integers(0, 3))
    if edit == 0:
        return word[:at] + word[at + 1 :]
    if edit == 1:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[: at + 1] + word[at] + word[at + 1 :]


def _marked(rng: np.random.Generator, text: str) -> str:
    kind = int(rng.integers(0, len(_SIGNS) + 1))
    sign = _SIGNS[kind] if kind < len(_SIGNS) else chr(_FACES[-int(rng.integers(1, len(_FACES) + 1))])
    marks = sign * int(rng.integers(1, MOST_MARKS + 1))
    place = int(rng.integers(0, 4))
    if place == 0:
        return marks + text
    if place == 1:
        words = text.split(" ")
        at = int(rng.integers(0, len(words)))
        return " ".join([*words[:at], words[at] + marks, *words[at + 1 :]])
    return text + marks
