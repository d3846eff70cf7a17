"""Examples on a graphics card: they lie there as the small integers that they are, and batches are made of them there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from understudy.training.corpus import EVALUATION_BATCH, NEIGHBOURS, Corpus, Seen
from understudy.training.processor import Processor

Int64Array = npt.NDArray[np.int64]


class Batches(Protocol):
    """What a training takes its batches from."""

    def batch(self, index: Int64Array) -> Tensor:
        """Return the examples ``index`` as a student sees them."""

    def batches(self) -> Iterator[Tensor]:
        """Yield all examples in order, for evaluation."""


def placed(corpus: Seen, processor: Processor) -> Batches:
    """Return what gives batches of ``corpus`` on ``processor``."""
    return OnGpu(corpus, processor) if processor.is_gpu else corpus


class OnGpu:
    """Batches of ``corpus`` on a graphics card, the same as its own.

    All examples are moved at once where the card has room for them, otherwise those of each batch.
    """

    def __init__(self, corpus: Seen, processor: Processor) -> None:
        self._device, self._real, self._count = processor.device, corpus.real, len(corpus)
        self._stored = corpus.stored
        self.resident = self._all_moved() if self._stored.nbytes <= processor.room_bytes() else None
        self._table: Tensor | None = None
        if isinstance(corpus, Corpus) and corpus.table is not None:
            self._table, self._lengths = self._moved(corpus.table), corpus.lengths()

    def batch(self, index: Int64Array) -> Tensor:
        """Return the examples ``index``; see the corpus for their shape."""
        rows = self._moved(self._stored[index]) if self.resident is None else self.resident[self._moved(index)]
        if self._table is not None:
            longest = int(self._lengths[index].max(initial=0)) + NEIGHBOURS
            rows = self._table[rows[:, :longest].long()]
        return self._real(rows)

    def batches(self) -> Iterator[Tensor]:
        """Yield all examples in order, for evaluation."""
        for begin in range(0, self._count, EVALUATION_BATCH):
            yield self.batch(np.arange(begin, min(begin + EVALUATION_BATCH, self._count)))

    def _all_moved(self) -> Tensor:
        """Return everything that is stored, moved in parts: the machine's own memory may hold less than the card's."""
        whole = self._moved(self._stored[:0]).new_empty(self._stored.shape)
        for begin in range(0, self._count, EVALUATION_BATCH):
            whole[begin : begin + EVALUATION_BATCH] = self._moved(self._stored[begin : begin + EVALUATION_BATCH])
        return whole

    def _moved(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self._device)  # a copy: files that are mapped cannot be written
