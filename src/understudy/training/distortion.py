"""Misspelt copies of texts for training (Kaliamoorthi et al. 2019: delete, move or repeat a character)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def distort(texts: Sequence[str], *, fraction: float, seed: int) -> list[str]:
    """Return ``texts`` with one edit in about ``fraction`` of the words of two or more characters.

    An edit deletes a character, swaps two neighbours, or doubles one; one seed gives one result.
    """
    rng = np.random.default_rng(seed)
    return [" ".join(_distort_word(rng, word, fraction) for word in text.split(" ")) for text in texts]


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
