"""Joint mode: the network that learns beside the student and teaches it (Ravi 2017, arXiv 1708.00630, section 3.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from understudy.errors import InputError
from understudy.program.executor import Executor
from understudy.program.ops import Image, Program
from understudy.teachers.registry import load_text_teacher
from understudy.teachers.torch import differentiable_logits, trainable_module

if TYPE_CHECKING:
    from understudy.teachers.protocol import TextTeacher

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Brought:
    """A torch module of the user, as a worker finds it again.

    Attributes:
        source: ``module:name``, ``file.py:name`` or a ``.pt2`` file.
        class_names: the data's classes, in order.
        digest: of the module before it learned.
    """

    source: str
    class_names: tuple[str, ...]
    digest: str


class Trainer(nn.Module, ABC):
    """What learns beside the student.

    Attributes:
        rate_factor: times the student's learning rate.
        weight_decay: AdamW; None for the student's.
        moves: it computes where the student does; else where it is.
    """

    rate_factor: float = 1.0
    weight_decay: float | None = None
    moves: bool = True

    def matrices(self) -> Sequence[nn.Parameter]:
        """Return the weights that Muon changes."""
        return ()

    @abstractmethod
    def forward(self, features: Tensor, view: int, index: Int64Array) -> Tensor:
        """Return logits ``[batch, classes]`` with gradients for the texts ``index`` of ``view``, with these ``features``."""


class WideNetwork(Trainer):
    """A float program on the student's own features, or on the pixels that it reads."""

    def __init__(self, program: Program, *, dropout: float) -> None:
        super().__init__()
        normalized = isinstance(program.source, Image)
        self.executor = Executor(program, dropout=dropout, normalized=normalized).train()

    def matrices(self) -> Sequence[nn.Parameter]:
        """Return those behind batch norms."""
        return self.executor.normalized_matrices()

    def forward(self, features: Tensor, view: int, index: Int64Array) -> Tensor:  # noqa: ARG002 - features say it all
        """Return the executor's logits."""
        logits: Tensor = self.executor(features)
        return logits


class BroughtModule(Trainer):
    """The user's torch module, which reads texts.

    It has learned before, so its steps are small, and its weights decay as is usual when a network is tuned.
    """

    rate_factor = 0.1
    weight_decay = 0.01
    moves = False  # the user's own code makes its inputs, on a device that it knows

    def __init__(self, teacher: TextTeacher, views: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self.module = check_trainable(teacher).train()
        self._teacher, self._views = teacher, views

    def forward(self, features: Tensor, view: int, index: Int64Array) -> Tensor:  # noqa: ARG002 - it reads the texts
        """Return the module's logits, columns in the order of the data's classes."""
        texts = self._views[view]
        return differentiable_logits(self._teacher, [texts[i] for i in index.tolist()])


def check_trainable(teacher: TextTeacher) -> nn.Module:
    """Return the torch module of ``teacher``.

    Raises:
        InputError: it is of another kind, which cannot learn.
    """
    module = trainable_module(teacher)
    if module is None:
        raise InputError(
            f"joint training changes the teacher, which must be a torch module: received teacher={teacher.name!r}; "
            "use mode distill, which keeps the teacher as it is"
        )
    return module


def load_learned(teacher: TextTeacher, weights: Path) -> None:
    """Put what a ``BroughtModule`` learned, the file ``weights``, into ``teacher``."""
    check_trainable(teacher).load_state_dict(torch.load(weights, weights_only=True))


def brought_module(brought: Brought, views: Sequence[Sequence[str]]) -> BroughtModule:
    """Return the user's module, loaded again, for the texts in ``views``."""
    return BroughtModule(load_text_teacher(brought.source, class_names=brought.class_names), views)
