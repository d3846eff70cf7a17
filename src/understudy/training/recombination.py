"""New texts from those at hand, for a teacher to answer; nobody knows their labels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

REPLACED = 0.3
"""Share of the words that are replaced, in the second of the three ways."""
INVENTED = 0.2
"""Share of all words that are then replaced by invented ones."""
RELATED = 0.25
"""Share of the words that are left, of which each is replaced by one of a near meaning where there is one."""

LONGEST = 1024
"""Characters of a text that take part: no student reads more bytes, and twenty texts are made for each."""

Related = Callable[[str], Sequence[str]]
"""A word to words of a near meaning."""


def recombine(texts: Sequence[str], *, count: int, seed: int, related: Related | None) -> list[str]:
    """Return ``count`` texts made of the words of ``texts``, each in one of three ways that are equally likely.

    These are the beginning of one text and the end of another, a text with some words replaced by words of any text, and as
    many words of any text as a text has. Most mean nothing, and a teacher has an answer to all of them: a student that gives
    the same answers has learned what the teacher does with words, not only what it says of the few texts of ``texts``.

    Some words become ``related`` ones, which a teacher may know and the texts do not hold, so that a student meets them; None
    where none are known.
    Some others are the beginning of one and the end of another. Few texts have few words, so that many of a new text are
    unknown: a student's hash makes features of them too, which mean as little to it as to its teacher once it has met some.
    One seed gives one result.
    """
    rng = np.random.default_rng([seed, len(texts)])
    split = [text[:LONGEST].split() for text in texts]
    split = [words for words in split if words]
    if not split:
        return []
    pool = [word for words in split for word in words]
    near = functools.cache(related or _none)
    return [" ".join(_with_others(rng, _recombined(rng, split, pool), pool, near)) for _ in range(count)]


def _recombined(rng: np.random.Generator, split: Sequence[Sequence[str]], pool: Sequence[str]) -> Sequence[str]:
    first, second = (split[number] for number in rng.integers(0, len(split), 2))
    way = int(rng.integers(0, 3))
    if way == 0:
        return [*first[: int(rng.integers(1, len(first) + 1))], *second[int(rng.integers(0, len(second))) :]]
    drawn = [pool[number] for number in rng.integers(0, len(pool), len(first))]
    if way == 1:
        kept = rng.random(len(first)) >= REPLACED
        return [word if keep else other for word, other, keep in zip(first, drawn, kept, strict=True)]
    return drawn


def _with_others(rng: np.random.Generator, words: Sequence[str], pool: Sequence[str], related: Related) -> list[str]:
    chance = rng.random(len(words))
    return [
        _invented(rng, pool)
        if share < INVENTED
        else _one_of(rng, related(word), word)
        if share < INVENTED + RELATED * (1 - INVENTED)
        else word
        for word, share in zip(words, chance, strict=True)
    ]


def _none(word: str) -> Sequence[str]:  # noqa: ARG001 - stands for what has words to give
    return ()


def _one_of(rng: np.random.Generator, others: Sequence[str], word: str) -> str:
    return others[int(rng.integers(0, len(others)))] if others else word


def _invented(rng: np.random.Generator, pool: Sequence[str]) -> str:
    """Return the beginning of one word of ``pool`` and the end of another, of at least a character each."""
    first, second = (pool[int(number)] for number in rng.integers(0, len(pool), 2))
    return first[: int(rng.integers(1, len(first) + 1))] + second[int(rng.integers(0, len(second))) :]
