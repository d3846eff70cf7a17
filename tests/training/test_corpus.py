"""How a batch is varied in training: each image by its own random numbers and never into another image, words of a text too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.corpus import Corpus, ImageCorpus
from understudy.training.lesson_store import LessonStore
from understudy.training.schedule import (
    FEATURE_DROPOUT,
    MOST_EPOCHS,
    TEXTS_WITH_ALL_WORDS,
    WORK_IN_A_JOB,
    Schedule,
    feature_dropout_for,
    image_steps_for,
)
from understudy.training.variations import cutout, rand_augment

PIXELS = np.random.default_rng(8).integers(0, 256, (200, 14, 10, 3)).astype(np.uint8)


def test_about_half_of_the_images_are_mirrored_where_that_is_safe() -> None:
    torch.manual_seed(3)
    corpus = ImageCorpus(PIXELS, mirrored=True).part(0, 150)
    images = corpus.batch(np.arange(150))
    varied = corpus.augmentation(Schedule(word_dropout_factor=0.0))(images)
    same = (varied == images).all(dim=(1, 2, 3))
    turned = (varied == images.flip(2)).all(dim=(1, 2, 3))
    assert (same ^ turned).all()
    assert 50 < int(turned.sum()) < 100


def test_images_are_moved_by_up_to_a_fourteenth_and_not_mirrored_elsewhere() -> None:
    torch.manual_seed(3)
    corpus = ImageCorpus(PIXELS)
    images = corpus.batch(np.arange(200))
    torch.testing.assert_close(corpus.augmentation(Schedule(word_dropout_factor=0.0))(images), images)
    varied = corpus.augmentation(Schedule())(images)
    padded = torch.nn.functional.pad(images.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate").permute(0, 2, 3, 1)
    moves = [padded[:, down : down + 14, right : right + 10] for down in range(3) for right in range(3)]
    found = torch.stack([(varied == move).all(dim=(1, 2, 3)) for move in moves])
    assert (found.sum(dim=0) == 1).all()
    assert (found.sum(dim=1) > 5).all()


def test_pictures_of_sounds_move_in_time_alone_and_become_louder_or_softer() -> None:
    torch.manual_seed(3)
    pixels = np.broadcast_to(np.arange(28, 228, 10)[None, None, :, None], (200, 28, 20, 1)).astype(np.uint8).copy()
    pixels[:, :9] = 0  # silence first
    corpus = ImageCorpus(pixels, of_sounds=True).part(0, 150)
    images = corpus.batch(np.arange(150))
    varied = corpus.augmentation(Schedule())(images)
    silent = (varied == 0).all(dim=(2, 3)).sum(dim=1)
    assert set(silent.tolist()) == {7, 8, 9, 10, 11}
    # bands stay where they are: all of a picture's are louder or softer by one number, of at most 16 steps
    change = 255 * (varied[:, -1, :, 0] - images[:, -1, :, 0])
    assert float((change - change[:, :1]).abs().max()) < 1e-3
    assert float(change.abs().max()) <= 16.001
    assert float(change.std()) > 5
    torch.testing.assert_close(corpus.augmentation(Schedule(word_dropout_factor=0.0))(images), images)


def test_stronger_variations_come_last_and_are_kept_with_the_lesson(tmp_path: Path) -> None:
    labels = np.zeros(150, np.int64)
    store = LessonStore(tmp_path)
    store.write(
        views=[PIXELS[:150]],
        labels=labels,
        validation=PIXELS[150:],
        validation_labels=labels[:50],
        teacher_logits=None,
        variations=("rand_augment", "cutout"),
    )
    source = build_student(
        Recipe(student="separable_cnn", width=4, hidden=8, image_shape=(14, 10, 3)), classes=2, seed=0
    ).source
    [corpus] = store.read(source, taught=False).views
    assert isinstance(corpus, ImageCorpus)
    assert corpus.variations == ("rand_augment", "cutout")
    images = corpus.batch(np.arange(150))
    torch.manual_seed(3)
    varied = corpus.augmentation(Schedule(word_dropout_factor=0.0))(images)
    torch.manual_seed(3)
    torch.testing.assert_close(varied, cutout(rand_augment(images, photographs=False)))
    changed = (varied != images).any(dim=3).flatten(1).any(dim=1)
    assert changed.all()


def test_a_training_of_images_ends_in_time() -> None:
    def steps(images: int, work: int, epochs: int | None = None, students: int = 1) -> int:
        return image_steps_for(images, work=work, students=students, batch_size=64, epochs=epochs)

    assert steps(6400, 1_000_000) == MOST_EPOCHS * 100
    for work in (8_000_000, 80_000_000):
        assert steps(50_000, work) * 64 * work <= WORK_IN_A_JOB < (steps(50_000, work) + 1) * 64 * work
    assert 3 * steps(50_000, 8_000_000, students=3) * 64 * 8_000_000 <= WORK_IN_A_JOB
    assert steps(10**9, 8_000_000) == steps(50_000, 8_000_000)
    assert steps(640, 10**9, epochs=7) == 70
    assert steps(10, 10**12) == 1


def test_students_with_room_learn_from_words_that_lose_features_and_narrow_ones_from_whole_words() -> None:
    recipe = Recipe(width=48, hidden=48)
    assert feature_dropout_for(recipe, classes=48, texts=TEXTS_WITH_ALL_WORDS - 1) == FEATURE_DROPOUT
    assert feature_dropout_for(recipe, classes=48, texts=TEXTS_WITH_ALL_WORDS) == 0.0
    assert feature_dropout_for(recipe, classes=49, texts=300) == 0.0


@pytest.mark.parametrize("of_a_word", [0.1, 0.0])
def test_words_and_features_of_words_are_dropped(of_a_word: float) -> None:
    table = np.ones((3, 64), np.int8)
    table[0] = 0
    corpus = Corpus(np.ones((300, 4), np.int32), table)
    batch = corpus.batch(np.arange(300))
    torch.manual_seed(1)
    varied = corpus.augmentation(Schedule(word_dropout_factor=2.0, feature_dropout=of_a_word))(batch)[:, :4]
    gone = ~varied.any(dim=2)
    assert float(gone.float().mean()) == pytest.approx(0.2, abs=0.04)
    assert float((varied[~gone] == 0).float().mean()) == pytest.approx(of_a_word, abs=0.01)
    assert set(varied.unique().tolist()) == {0.0, 1.0}
