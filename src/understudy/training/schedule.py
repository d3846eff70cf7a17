"""How long and how fast a training runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from understudy.students.recipe import Recipe

TEXTS_IN_A_TRAINING = 450_000
LEAST_EPOCHS, MOST_EPOCHS, LEAST_STEPS = 15, 60, 1500
EPOCHS_OF_FEW, STEPS_OF_FEW = 200, 4000
"""A training of few texts goes over them as often, for as many steps at most; a few hundred learned by heart gain nothing."""
LONG_STEPS_FACTOR = 2
FEATURE_DROPOUT, TEXTS_WITH_ALL_WORDS = 0.1, 50_000
IMAGE_WEIGHT_DECAY = 0.02
"""At the texts' 0.2, with the higher learning rate of images, Fashion-MNIST loses a point on validation."""
WORK_IN_A_JOB = 4_000_000_000_000
"""For all students of images together, in multiply-accumulates of the forward pass: about ten minutes on two cores of a
server, with their refits, so that a job ends within fifteen on a slower one."""
PARENT_FACTORS = (2.0, 1.5)
"""Times the width of the widest student: what networks that are not delivered, but begun from, may have."""

PLAIN_QUANTIZED_FRACTION = 0.1
"""Of a plain CNN, whose weights have 8 bits: they are rounded so finely that a quarter of the steps is enough, and what is
learned before, at a learning rate that has nearly come to its end, is worth more."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: optimizer steps.
        batch_size: texts per step.
        learning_rate: peak of the one-cycle schedule (Smith 2018).
        weight_decay: of AdamW and Muon, times the learning rate in each step.
        dropout: share of hidden values dropped.
        word_dropout_factor: times the share of words dropped that ``word_dropout_for`` gives.
        feature_dropout: share of the features of every word dropped.
        quantized_fraction: share of the steps, the last ones, that are quantization-aware.
    """

    steps: int = 2000
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.2
    dropout: float = 0.1
    word_dropout_factor: float = 1.0
    feature_dropout: float = 0.0
    quantized_fraction: float = 0.4

    @property
    def float_steps(self) -> int:
        """Steps before the quantization-aware ones."""
        return int(self.steps * (1 - self.quantized_fraction))


def steps_for(texts: int, *, batch_size: int, epochs: int | None, long: bool = False) -> int:
    """Return optimizer steps for ``texts`` training texts: about the same number of texts seen, whatever their number.

    Twice as many for a ``long`` training: with recombined texts, for what their teacher says of these takes longer to learn
    than the labels (``docs/adr/0045``), and of a narrow student (``docs/adr/0046``).
    """
    per_epoch = -(-texts // batch_size)
    if epochs is not None:
        return epochs * per_epoch
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, round(TEXTS_IN_A_TRAINING / max(1, texts))))
    steps = max(LEAST_STEPS, min(STEPS_OF_FEW, EPOCHS_OF_FEW * per_epoch), epochs * per_epoch)
    return steps * (LONG_STEPS_FACTOR if long else 1)


def image_steps_for(images: int, *, work: int, students: int, batch_size: int, epochs: int | None) -> int:
    """Return optimizer steps for ``images`` training images: as many as texts get, or fewer, so that it ends in time.

    Args:
        images: training images.
        work: what one of them costs; see ``program.cost.training_work``.
        students: how many the job trains.
        batch_size: images per step.
        epochs: passes over the images, None to find them out.
    """
    per_epoch = -(-images // batch_size)
    if epochs is not None:
        return epochs * per_epoch
    return max(1, min(most_image_steps(images, batch_size=batch_size), WORK_IN_A_JOB // (students * work * batch_size)))


def most_image_steps(images: int, *, batch_size: int) -> int:
    """Return the optimizer steps for ``images`` training images where there is time."""
    return max(LEAST_STEPS, MOST_EPOCHS * -(-images // batch_size))


def quantized_fraction_for(recipe: Recipe, mode: Literal["qat", "ptq"]) -> float:
    """Return the share of the steps that are quantization-aware."""
    if mode == "ptq":
        return 0.0
    return PLAIN_QUANTIZED_FRACTION if recipe.student == "plain_cnn" else Schedule.quantized_fraction


def word_dropout_for(words_per_text: float) -> float:
    """Return the share of words to drop in training: a hundredth of the mean number of words, from 0.1 to 0.4.

    A long text says what it is about in several places, and a student that is denied some of them learns the others.
    """
    return min(0.4, max(0.1, words_per_text / 100))


def feature_dropout_for(recipe: Recipe, *, classes: int, texts: int) -> float:
    """Return the share of a word's features to drop in training: a tenth, and none where ``texts`` hold nearly all words.

    A word that no text holds shares features with known ones, by chance and by common letters; a student that is denied some
    of every word's learns to judge by many (dropout of inputs, Srivastava et al. 2014; ``docs/adr/0043``). A narrow one keeps
    them all.
    """
    return 0.0 if texts >= TEXTS_WITH_ALL_WORDS or recipe.is_narrow(classes) else FEATURE_DROPOUT


def one_cycle(progress: float) -> float:
    """Return the share of the peak learning rate at ``progress`` in 0..1: a linear rise, then half a cosine."""
    rise = 0.15
    if progress < rise:
        return 0.02 + 0.98 * progress / rise
    return 0.5 * (1.0 + math.cos(math.pi * (progress - rise) / (1.0 - rise))) + 1e-3
