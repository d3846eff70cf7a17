"""One small training of each kind of student: what tests give to ``run_task`` where the kind must not matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from networks import ResNet
from understudy.network.reading import Taken, read_network
from understudy.students.recipe import Recipe
from understudy.teachers.image_input import UNIT
from understudy.training.lesson_store import LessonStore
from understudy.training.schedule import Schedule
from understudy.training.task import TrainingTask

CLASSES = 3
WORDS = ("alarm", "weather", "music")
FILLERS = ("please", "now", "could you", "tomorrow", "for me", "again")
STEPS = 5
"""Three in float, two that round."""
_COUNT, _VALIDATION = 96, 48


def texts_and_labels(count: int, *, seed: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return short texts, whose class is one of their words."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    return [f"{rng.choice(FILLERS)} {WORDS[i]} {rng.choice(FILLERS)}" for i in labels], labels.astype(np.int64)


def images_and_labels(count: int, *, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images of 12 x 12 pixels with three colours, the brightest of which is the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    pixels = rng.integers(0, 100, (count, 12, 12, 3))
    pixels[np.arange(count), :, :, labels] += 120
    return pixels.astype(np.uint8), labels.astype(np.int64)


def windows_and_labels(count: int, *, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return windows of 10 steps and 3 channels, the largest of which is the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    values = rng.normal(0, 1, (count, 10, 3))
    values[np.arange(count), :, labels] += 2
    return values.astype(np.float32), labels.astype(np.int64)


def vectors_and_labels(count: int, *, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return vectors of 3 numbers, the largest of which is the class."""
    windows, labels = windows_and_labels(count, seed=seed)
    return windows[:, 0], labels


_TEXT = {"features": 24, "width": 8, "hidden": 8, "max_bytes": 48, "max_words": 12}
_IMAGE = {"image_shape": (12, 12, 3), "width": 2, "hidden": 8}
_WINDOW = {"input_shape": (10, 3), "width": 4, "hidden": 8}
RECIPES = {
    "projection_sequence": Recipe(**_TEXT),
    "projection_net of texts": Recipe(student="projection_net", **_TEXT),
    "sgnn": Recipe(student="sgnn", **_TEXT),
    "plain_cnn": Recipe(student="plain_cnn", **_IMAGE),
    "separable_cnn": Recipe(student="separable_cnn", weight_bits=4, **_IMAGE),
    "projection_cnn": Recipe(student="projection_cnn", features=32, **_IMAGE),
    "projection_net of images": Recipe(student="projection_net", features=32, candidates=64, **_IMAGE),
    "separable_cnn of windows": Recipe(student="separable_cnn", **_WINDOW),
    "projection_rnn": Recipe(student="projection_rnn", features=16, **_WINDOW),
    "mlp": Recipe(student="mlp", input_shape=(3,), width=8, hidden=8),
    "projection_net of vectors": Recipe(student="projection_net", input_shape=(3,), features=32, width=8, hidden=8),
    "pruned": Recipe(student="pruned", kept=0.5, **_IMAGE),
}
"""A small one of each kind."""


def write_lesson(folder: Path, recipe: Recipe, **changes: Any) -> LessonStore:
    """Write what ``recipe`` learns from into ``folder``: examples, labels, and the answers of a teacher that knows them."""
    make: Callable[..., Any] = vectors_and_labels
    settings: dict[str, Any] = {}
    if recipe.image_shape is not None:
        make, settings = images_and_labels, {"mirrored": True}
    elif recipe.input_shape is None:
        make = texts_and_labels
    else:
        make = make if len(recipe.input_shape) == 1 else windows_and_labels
        settings = {"standardization": (np.zeros(3, np.float32), np.full(3, 16, np.float32))}
    examples, labels = make(_COUNT, seed=0)
    validation, validation_labels = make(_VALIDATION, seed=1)
    store = LessonStore(folder)
    store.write(
        views=[examples],
        labels=labels,
        validation=validation,
        validation_labels=validation_labels,
        teacher_logits=4.0 * np.eye(CLASSES, dtype=np.float32)[labels][None],
        **{**settings, **changes},
    )
    if recipe.student == "pruned":
        torch.manual_seed(0)
        taken = Taken("NCHW", UNIT, tuple(range(CLASSES)))
        store.write_network(read_network(ResNet(3, 4, CLASSES), taken, shape=(12, 12, 3), name="ResNet"))
    return store


def task(recipe: Recipe, **changes: Any) -> TrainingTask:
    """Return a training of ``recipe`` with the teacher, of a few steps."""
    schedule = Schedule(steps=STEPS, batch_size=16, learning_rate=1e-2, weight_decay=0.02)
    settings: dict[str, Any] = {"schedule": schedule, "objective": {"smoothing": 0.05}, "class_weight": (1.0, 2.0, 0.5)}
    return TrainingTask(recipe=recipe, classes=CLASSES, seed=5, **{**settings, "taught": True, **changes})
