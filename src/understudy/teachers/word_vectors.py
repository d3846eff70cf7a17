"""What English words mean, as far as 100 numbers a word can say it: for teachers, which learn from few texts otherwise.

The vectors are those of GloVe (Pennington, Socher and Manning: GloVe: Global Vectors for Word Representation, EMNLP 2014),
rounded to 4 bits; ``benchmarks/word_vectors.py`` wrote the table, NOTICE in this folder has its source and licence. A word that
is not among them has no vector and adds nothing. No student and no file holds any of this.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Float32Array = npt.NDArray[np.float32]

TABLE = Path(__file__).with_suffix(".npz")
WORD_OR_MARK = r"(?u)\w+|[^\w\s]"
LARGEST_CODE = 7
FIRST_WORDS = 3
"""Words at the beginning of a text that are seen one by one: a question says there what it asks for."""
FIRST_WEIGHT = 0.5
RELATED_WORDS, LEAST_COSINE = 10, 0.4
"""The nearest words of a word, at most, and how near they are at least."""
LEAST_KNOWN_SHARE = 0.65
"""Most words of English texts have a vector, of German and Spanish ones less than half: those that look English, as *die*."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of words.

    Attributes:
        words: the most frequent first.
        vectors: float32 ``[words, dimensions]``, of length 1.
    """

    words: tuple[str, ...]
    vectors: Float32Array

    @functools.cached_property
    def _row(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    def known_share(self, texts: Sequence[str]) -> float:
        """Return the share of the words of ``texts`` that have a vector, 0 to 1; marks are no words."""
        words = [word for text in texts for word in re.findall(r"\w+", text.lower())]
        return sum(word in self._row for word in words) / max(1, len(words))

    def transform(self, texts: Sequence[str]) -> csr_matrix:
        """Return features float32 ``[texts, (1 + FIRST_WORDS) * dimensions]``, as scikit-learn's vectorizers do.

        These are the direction of the mean of a text's words, in which frequent words count less, and its first words.
        """
        from scipy.sparse import csr_matrix

        dimensions = self.vectors.shape[1]
        rarity = np.log(np.arange(len(self.words)) + 10.0) ** 2
        found = np.zeros((len(texts), 1 + FIRST_WORDS, dimensions), np.float32)
        for text, features in zip(texts, found, strict=True):
            rows = [self._row.get(token, -1) for token in re.findall(WORD_OR_MARK, text.lower())]
            known = [row for row in rows if row >= 0]
            total = (self.vectors[known] * rarity[known, None]).sum(axis=0)
            features[0] = total / max(float(np.linalg.norm(total)), 1e-9)
            for place, row in enumerate(rows[:FIRST_WORDS], start=1):
                if row >= 0:
                    features[place] = FIRST_WEIGHT * self.vectors[row]
        return csr_matrix(found.reshape(len(texts), -1))

    def related(self, word: str) -> tuple[str, ...]:
        """Return words near to ``word`` in meaning, the nearest first; none where it has no vector or nothing is near."""
        row = self._row.get(word.lower())
        if row is None:
            return ()
        cosine = self.vectors @ self.vectors[row]
        nearest = np.argsort(-cosine, kind="stable")[: RELATED_WORDS + 1]
        return tuple(self.words[other] for other in nearest if other != row and cosine[other] >= LEAST_COSINE)


@functools.cache
def english() -> WordVectors:
    """Return the table of this package."""
    return loads(TABLE.read_bytes())


def vectors_for(texts: Sequence[str]) -> WordVectors | None:
    """Return the vectors that fit ``texts``: None where they are of another language, in which the same letters mean others."""
    table = english()
    return table if table.known_share(texts) >= LEAST_KNOWN_SHARE else None


def dumps(words: Sequence[str], vectors: Float32Array) -> bytes:
    """Return a table of ``words`` and the directions of ``vectors`` in 4 bits; dimensions are even."""
    codes = np.rint(vectors / np.abs(vectors).max(axis=1, keepdims=True) * LARGEST_CODE).astype(np.int8) + LARGEST_CODE
    pairs = codes.astype(np.uint8).reshape(len(words), -1, 2)
    stream = io.BytesIO()
    letters = np.frombuffer("\n".join(words).encode(), np.uint8)
    np.savez_compressed(stream, words=letters, codes=pairs[..., 0] | pairs[..., 1] << 4)
    return stream.getvalue()


def loads(table: bytes) -> WordVectors:
    """Return what ``dumps`` wrote."""
    with np.load(io.BytesIO(table), allow_pickle=False) as stored:
        words, pairs = stored["words"].tobytes().decode().split("\n"), stored["codes"]
    codes = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(len(words), -1)
    vectors = codes.astype(np.float32) - LARGEST_CODE
    return WordVectors(tuple(words), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
