"""Examples as a student sees them: batches in real values, and how a batch is varied in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from understudy.program.interpreter import standardize
from understudy.program.ops import Standardize
from understudy.projections.text import TextProjection, encode, finish, project, token_features, tokenize
from understudy.training.schedule import Schedule, word_dropout_for
from understudy.training.variations import Mixture, Variation, cutout, mixup, rand_augment

EVALUATION_BATCH, EVALUATION_BYTES = 512, 1 << 23
"""Examples, and bytes of images or numbers, that are evaluated together at most."""
SHIFT_SHARE = 1 / 14
LOUDNESS_STEPS = 16
"""Steps of a log-mel picture by which it may become louder or softer: twice as loud, or half."""
NOISE, SCALE = 0.1, 0.1
"""Standard deviations, of noise in deviations of a feature and of a window's scale."""
NEIGHBOURS = 1
"""Absent tokens that stay behind the longest text of a batch, because a window of three still sees the last token there."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Features of some texts.

    With word pooling a text is a row of token numbers and ``table`` holds each token's features; number 0 is no token.
    With utterance pooling ``rows`` holds the features themselves.

    Attributes:
        rows: int32 ``[texts, W]`` or int8 ``[texts, P]``.
        table: int8 ``[tokens + 1, P]``, or None.
    """

    rows: npt.NDArray[np.int32] | npt.NDArray[np.int8]
    table: npt.NDArray[np.int8] | None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def stored(self) -> npt.NDArray[np.int32] | npt.NDArray[np.int8]:
        """What batches are made of."""
        return self.rows

    def real(self, stored: Tensor) -> Tensor:
        """Return features as a student sees them, on the device of those that are ``stored``."""
        return stored.float()

    def batch(self, index: npt.NDArray[np.int64]) -> Tensor:
        """Return float features ``[batch, W', P]``, W' one more than the longest text's tokens, or ``[batch, P]``."""
        rows = self.rows[index]
        if self.table is None:
            return self.real(torch.from_numpy(rows))
        longest = int((rows != 0).sum(axis=1).max(initial=0)) + NEIGHBOURS
        return self.real(torch.from_numpy(self.table[rows[:, :longest]]))

    def batches(self) -> Iterator[Tensor]:
        """Yield all texts in order, for evaluation."""
        return _batches(self)

    def part(self, begin: int, end: int) -> Corpus:
        """Return the texts from ``begin`` to ``end``."""
        return Corpus(self.rows[begin:end], self.table)

    def augmentation(self, schedule: Schedule) -> Callable[[Tensor], Tensor]:
        """Return what drops words from a batch of features, and features from words, as ``schedule`` says."""
        words = schedule.word_dropout_factor * word_dropout_for(float(self.lengths().mean()))
        return lambda features: _drop(features, words=words, of_a_word=schedule.feature_dropout)

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return tokens per text ``[texts]``; ones with utterance pooling."""
        if self.table is None:
            return np.ones(len(self), np.int64)
        lengths: npt.NDArray[np.int64] = (self.rows != 0).sum(axis=1, dtype=np.int64)
        return lengths


@dataclass(frozen=True, eq=False)
class ImageCorpus:
    """Images.

    Attributes:
        pixels: uint8 ``[images, H, W, C]``.
        mirrored: a mirrored image is one of its class too.
        of_sounds: these are log-mel pictures, [frames, bands]: they move in time alone, and their loudness varies.
        variations: stronger ones, in their order; see ``training/variations.py``.
    """

    pixels: npt.NDArray[np.uint8]
    mirrored: bool = False
    of_sounds: bool = False
    variations: tuple[Variation, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def stored(self) -> npt.NDArray[np.uint8]:
        """What batches are made of."""
        return self.pixels

    def real(self, stored: Tensor) -> Tensor:
        """Return pixels as a student sees them, on the device of those that are ``stored``."""
        return stored.float() / 255

    def batch(self, index: npt.NDArray[np.int64]) -> Tensor:
        """Return real values ``[batch, H, W, C]`` from 0 to 1."""
        return self.real(torch.from_numpy(self.pixels[index]))

    def batches(self) -> Iterator[Tensor]:
        """Yield all images in order, for evaluation."""
        return _batches(self, bytes_each=self.pixels[:1].nbytes)

    def part(self, begin: int, end: int) -> ImageCorpus:
        """Return the images from ``begin`` to ``end``."""
        return replace(self, pixels=self.pixels[begin:end])

    def augmentation(self, schedule: Schedule) -> Callable[[Tensor], Tensor]:
        """Return what moves each image of a batch by up to a fourteenth of its side (MNIST: 2 pixels), times a factor.

        That is the ``word_dropout_factor`` of ``schedule``, because moving is to images what dropped words are to texts.
        Where images may be mirrored, half of them are; ``variations`` come last. Pictures of sounds move in time alone, and
        become louder or softer. Mixup is none of these, because it changes the labels too: see ``mixed``.
        """
        factor = schedule.word_dropout_factor
        if self.of_sounds:
            frames = round(factor * self.pixels.shape[1] * SHIFT_SHARE)
            return lambda images: _louder(_shift(images, frames, sideways=0), factor * LOUDNESS_STEPS / 255)
        reach = round(factor * min(self.pixels.shape[1:3]) * SHIFT_SHARE)

        def varied(images: Tensor) -> Tensor:
            moved = _shift(_mirror(images) if self.mirrored else images, reach)
            for variation in self.variations:
                if variation == "rand_augment":
                    # what looks the same mirrored is a photograph; a drawing's light and dark may be all there is to it
                    moved = rand_augment(moved, photographs=self.mirrored)
                elif variation == "cutout":
                    moved = cutout(moved)
            return moved

        return varied

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return ones ``[images]``: all are alike."""
        return np.ones(len(self), np.int64)


@dataclass(frozen=True, eq=False)
class VectorCorpus:
    """Vectors or windows.

    Attributes:
        values: float32 ``[examples, d]`` or ``[examples, T, C]``.
        source: standardizes them.
    """

    values: npt.NDArray[np.float32]
    source: Standardize

    def __len__(self) -> int:
        return len(self.values)

    @property
    def stored(self) -> npt.NDArray[np.int8]:
        """What batches are made of: all values in steps."""
        return standardize(self.source, self.values)

    def real(self, stored: Tensor) -> Tensor:
        """Return values as a student sees them, on the device of those that are ``stored``."""
        return stored.float() * self.source.quantization.scale

    def batch(self, index: npt.NDArray[np.int64]) -> Tensor:
        """Return real values ``[batch, d]`` or ``[batch, T, 1, C]``, in the steps in which every format reads them."""
        return self.real(torch.from_numpy(standardize(self.source, self.values[index])))

    def batches(self) -> Iterator[Tensor]:
        """Yield all examples in order, for evaluation."""
        return _batches(self, bytes_each=self.values[:1].nbytes)

    def part(self, begin: int, end: int) -> VectorCorpus:
        """Return the examples from ``begin`` to ``end``."""
        return VectorCorpus(self.values[begin:end], self.source)

    def augmentation(self, schedule: Schedule) -> Callable[[Tensor], Tensor]:
        """Return what adds noise to a batch: ``NOISE`` of each deviation, times the ``word_dropout_factor`` of ``schedule``.

        Windows are scaled and moved in time too: as if a sensor were a little more sensitive, or read a little later.
        """
        factor = schedule.word_dropout_factor
        if len(self.source.shape) == 1:
            return lambda values: _noisy(values, factor * NOISE)
        reach = round(factor * self.source.shape[0] * SHIFT_SHARE)
        return lambda windows: _noisy(_scaled(_shift(windows, reach, sideways=0), factor * SCALE), factor * NOISE)

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return ones ``[examples]``: all are alike."""
        return np.ones(len(self), np.int64)


Seen = Corpus | ImageCorpus | VectorCorpus
"""Examples of any kind."""


def mixed(corpus: Seen, batch: Tensor) -> tuple[Tensor, Mixture | None]:
    """Return a ``batch`` of ``corpus`` and which of its images were mixed: None where mixup was not asked for."""
    if not isinstance(corpus, ImageCorpus) or corpus.of_sounds or "mixup" not in corpus.variations:
        return batch, None
    return mixup(batch)


def _batches(corpus: Seen, *, bytes_each: int = 1) -> Iterator[Tensor]:
    rows = max(1, min(EVALUATION_BATCH, EVALUATION_BYTES // max(1, bytes_each)))
    for begin in range(0, len(corpus), rows):
        yield corpus.batch(np.arange(begin, min(begin + rows, len(corpus))))


def _drop(features: Tensor, *, words: float, of_a_word: float) -> Tensor:
    if features.dim() == 2:
        return features
    kept = (torch.rand(features.shape[:2], device=features.device) >= words).float()[..., None]
    if of_a_word:
        kept = kept * (torch.rand(features.shape, device=features.device) >= of_a_word)
    return features * kept


def _mirror(images: Tensor) -> Tensor:
    """Return ``images`` ``[batch, H, W, C]``, about half of them with left and right exchanged."""
    turned = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(turned, images.flip(2), images)


def _louder(images: Tensor, reach: float) -> Tensor:
    """Return pictures of sounds that are louder or softer by up to ``reach``; silence stays silent."""
    moved = images + (2 * torch.rand(len(images), 1, 1, 1, device=images.device) - 1) * reach
    return torch.where(images > 0, moved.clamp(0, 1), images)


def _noisy(values: Tensor, deviation: float) -> Tensor:
    return values + deviation * torch.randn(values.shape, device=values.device)


def _scaled(windows: Tensor, deviation: float) -> Tensor:
    """Return ``windows`` ``[batch, T, 1, C]``, each times a random number near 1."""
    return windows * (1 + deviation * torch.randn(len(windows), 1, 1, 1, device=windows.device))


def _shift(images: Tensor, reach: int, *, sideways: int | None = None) -> Tensor:
    """Return ``images`` ``[batch, H, W, C]``, each moved by its own random numbers of pixels; edges are repeated.

    They are moved up to ``reach`` rows, and columns, of which ``sideways`` may allow fewer.
    """
    if not reach:
        return images
    count, height, width = images.shape[:3]
    device = images.device
    down, right = torch.randint(-reach, reach + 1, (2, count, 1), device=device)
    right = right if sideways is None else right.clamp(-sideways, sideways)
    rows = (torch.arange(height, device=device) + down).clamp(0, height - 1)
    columns = (torch.arange(width, device=device) + right).clamp(0, width - 1)
    return images[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]


class TokenTable:
    """Features of all tokens seen so far; a token is hashed once, however many texts hold it.

    Args:
        projection: one with word pooling.
    """

    def __init__(self, projection: TextProjection) -> None:
        self.projection = projection
        self._number: dict[bytes, int] = {}
        self._table = np.zeros((1, projection.features), np.int8)

    def corpora(self, text_sets: Sequence[Sequence[str]]) -> list[Corpus]:
        """Return one ``Corpus`` for each set of texts; they share one table."""
        width, number = self.projection.max_words, self._number
        row_sets = []
        for texts in text_sets:
            rows = np.zeros((len(texts), width), np.int32)
            tokenized = tokenize(encode(texts, max_bytes=self.projection.max_bytes), max_words=width)
            for i, tokens in enumerate(tokenized):
                rows[i, : len(tokens)] = [number.setdefault(token, len(number) + 1) for token in tokens]
            row_sets.append(rows)
        new = list(number)[len(self._table) - 1 :]
        if new:
            features = finish(self.projection, token_features(self.projection, new))
            self._table = np.concatenate([self._table, features])
        return [Corpus(rows, self._table) for rows in row_sets]


def build_corpora(projection: TextProjection, text_sets: Sequence[Sequence[str]]) -> list[Corpus]:
    """Return one ``Corpus`` for each set of texts; with word pooling they share one table."""
    if projection.pooling == "word":
        return TokenTable(projection).corpora(text_sets)
    return [Corpus(project(projection, encode(texts, max_bytes=projection.max_bytes)), None) for texts in text_sets]
