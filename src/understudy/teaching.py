"""From data and a teacher to the lesson: augmented views that student and teacher share, and the teacher's answers on them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from understudy.data.image import ImageDataset, is_picture_folder, read_images
from understudy.data.parts import are_whole_numbers
from understudy.data.read import read_table
from understudy.data.sound_folder import read_sounds
from understudy.data.table import find_text_column, take_rows
from understudy.data.text import Examples, TextDataset
from understudy.data.vector import VectorDataset, read_training
from understudy.errors import InputError
from understudy.judging import Teaching
from understudy.network.reading import Taken, read_network
from understudy.network.steps import Network
from understudy.program import archive
from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Program
from understudy.projections.log_mel import LogMel
from understudy.students.recipe import Recipe
from understudy.teachers.cache import CHUNK, cached_logits
from understudy.teachers.class_order import OrderedTeacher
from understudy.teachers.image_input import Preparation
from understudy.teachers.image_model import ImageModelTeacher
from understudy.teachers.image_registry import load_image_teacher
from understudy.teachers.protocol import Int16Array, checked_logits, kind_of_example
from understudy.teachers.registry import load_text_teacher
from understudy.teachers.sound_registry import load_sound_teacher
from understudy.teachers.trained import ENOUGH_TEXTS, Networks, TrainedTeacher, fit_machines, has_few_validation_texts, mix
from understudy.teachers.vector_registry import load_vector_teacher
from understudy.teachers.word_vectors import vectors_for
from understudy.training.corpus import TokenTable
from understudy.training.distortion import distort
from understudy.training.lesson_store import LessonStore
from understudy.training.processor import TRAININGS_ON_A_GPU, processor_for
from understudy.training.recombination import recombine
from understudy.training.schedule import Schedule, feature_dropout_for, steps_for
from understudy.training.task import TrainingTask
from understudy.training.workers import Workers, train_all

if TYPE_CHECKING:
    from understudy.data.dataset import Dataset
    from understudy.job import Job
    from understudy.job_folder import JobFolder
    from understudy.progress import Progress
    from understudy.teachers.protocol import Teacher, TextTeacher

Float32Array = npt.NDArray[np.float32]
FIRST_EXAMPLES = 8
"""Training examples on which a teacher that was brought is tried before the job begins."""
NETWORK_FEATURES, NETWORK_WIDTH = 512, 192
NETWORK_VALUES: tuple[Literal["ternary", "count"], ...] = ("ternary", "count")
"""One network of the trained teacher for each: they see a token's features differently."""
MOST_VIEW_TEXTS = 250_000
"""Augmented views are left out beyond this many texts in all: large data sets need them least and pay most for them."""
RECOMBINED_FOR_EACH, MOST_RECOMBINED = 20, 8000
"""Recombined texts for each text of a lesson, and at most; a lesson that has enough texts gets none."""
NO_EXAMPLES = Examples((), np.zeros(0, np.int64))
LEAST_REFIT_SHARE = 0.03
"""Validation texts against training texts, below which a second training is not worth its time."""


def augmented_views(texts: Sequence[str], *, views: int, distortion: float, seed: int) -> list[list[str]]:
    """Return ``views`` lists of the same texts; the first is unaltered, the others are distorted copies."""
    affordable = max(1, min(views, MOST_VIEW_TEXTS // max(1, len(texts)))) if distortion > 0 else 1
    copies = [distort(texts, fraction=distortion, seed=seed + number) for number in range(1, affordable)]
    return [list(texts), *copies]


def workers_for(job: Job, store: LessonStore, folder: JobFolder) -> Workers:
    """Return the processes that train for ``job``; results do not depend on how many run side by side.

    Raises:
        SetupError: the job insists on a graphics card, and there is none that works.
    """
    processor = processor_for(job.training.processor, job.training.precision)
    count = job.threads or os.cpu_count() or 1
    if processor.is_gpu:
        count = min(count, TRAININGS_ON_A_GPU)
    return Workers(store.folder, folder.results, count=count, processor=processor)


def train_teacher(job: Job, dataset: TextDataset, *, folder: JobFolder, progress: Progress) -> TrainedTeacher:
    """Return the teacher that is trained here, from the job's folder where parts of it are finished."""
    networks = None if has_few_validation_texts(dataset) else _train_networks(job, dataset, folder=folder, progress=progress)
    progress.stage("training the teacher's linear part")
    return mix(fit_machines(dataset.train, seed=job.seed), networks, dataset, seed=job.seed)


def _train_networks(job: Job, dataset: TextDataset, *, folder: JobFolder, progress: Progress) -> Networks:
    settings = job.training
    store = LessonStore(folder.state / "teacher-lesson")
    if not store.complete:
        views = augmented_views(
            dataset.train.texts, views=settings.augmented_views, distortion=settings.distortion, seed=job.seed
        )
        store.write(
            views=views,
            labels=dataset.train.labels,
            validation=list(dataset.validation.texts),
            validation_labels=dataset.validation.labels,
            teacher_logits=None,
        )
    recipes = [
        Recipe(
            features=NETWORK_FEATURES,
            width=NETWORK_WIDTH,
            hidden=NETWORK_WIDTH,
            max_bytes=dataset.statistics.max_bytes,
            max_words=dataset.statistics.max_words,
            values=values,
            projection_seed=job.seed + 1 + number,
        )
        for number, values in enumerate(NETWORK_VALUES)
    ]
    classes, texts = len(dataset.class_names), len(dataset.train)
    steps = steps_for(texts, batch_size=Schedule().batch_size, epochs=settings.epochs)
    tasks = [
        TrainingTask(
            recipe=recipe,
            schedule=Schedule(
                steps=steps,
                feature_dropout=feature_dropout_for(recipe, classes=classes, texts=texts),
                quantized_fraction=0.0,
            ),
            objective={"smoothing": settings.label_smoothing},
            class_weight=None,
            classes=classes,
            seed=job.seed + number,
            taught=False,
        )
        for number, recipe in enumerate(recipes)
    ]
    with workers_for(job, store, folder) as workers:
        results = train_all(tasks, workers, progress=progress, title="training the teacher's networks")
    return networks_of([result.float_program for result in results])


def networks_of(programs: Sequence[Program]) -> Networks:
    """Return float ``programs`` as the network part of a trained teacher; their logits are averaged."""
    tables = [TokenTable(program.projection) for program in programs]

    def logits(texts: Sequence[str]) -> Float32Array:
        found = []
        for program, table in zip(programs, tables, strict=True):
            [corpus] = table.corpora([texts])
            found.append(evaluate(Executor(program), corpus.batches()))
        mean: Float32Array = np.mean(found, axis=0, dtype=np.float32)
        return mean

    digest = hashlib.sha256(b"".join(archive.dumps(program) for program in programs)).hexdigest()
    size_bytes = 4 * sum(program.weight_count for program in programs)
    return Networks(len(programs), logits, digest, size_bytes)


def bring_teacher(job: Job, dataset: Dataset, source: Any) -> Teacher[Any]:
    """Return the teacher that the user brings, ``source`` or what it names, after asking it about a few examples.

    Raises:
        InputError: it cannot be loaded, or its answers break a rule.
        SetupError: it needs packages that are not installed.
    """
    if isinstance(dataset, ImageDataset) and dataset.log_mel is not None and dataset.train.samples is not None:
        how = dataset.log_mel
        brought: Teacher[Any] = load_sound_teacher(
            source,
            class_names=dataset.class_names,
            sounds=dataset.train.samples,
            labels=dataset.train.labels,
            log_mel=how,
            training_sounds=lambda: _samples(job.data.train, how, skip_bad=job.data.skip_bad),
        )
    elif isinstance(dataset, ImageDataset):
        brought = load_image_teacher(
            source,
            class_names=dataset.class_names,
            images=dataset.train.content,
            labels=dataset.train.labels,
            # the names of folders are names, and programs sort them as such
            numbered=not is_picture_folder(job.data.train) and are_whole_numbers(dataset.class_names),
            training_images=lambda: (
                read_images(job.data.train, part="train", shape=dataset.shape, skip_bad=job.data.skip_bad).pixels
            ),
        )
    elif isinstance(dataset, VectorDataset):
        brought = load_vector_teacher(
            source,
            class_names=dataset.class_names,
            vectors=dataset.train.content,
            labels=dataset.train.labels,
            numbered=are_whole_numbers(dataset.class_names),
            training_vectors=lambda: read_training(job.data).values,
        )
    else:
        table = read_table(job.data.train)
        # saved logits have a row for each row of the file, of which a part may have been split off
        texts = take_rows(table, text=find_text_column(table, job.data.text), label=None).texts
        brought = load_text_teacher(source, class_names=dataset.class_names, training_texts=texts)
    first: Any = dataset.train.original[:FIRST_EXAMPLES]
    covered = brought.covers(first)
    asked = first[covered] if isinstance(first, np.ndarray) else [e for e, known in zip(first, covered, strict=True) if known]
    checked_logits(brought, asked, len(dataset.class_names))
    return brought


def _samples(folder: Path, log_mel: LogMel, *, skip_bad: bool) -> Int16Array:
    """Return all sounds of ``folder`` in its order, int16 ``[sounds, samples]``."""
    samples = read_sounds(folder, how=log_mel, skip_bad=skip_bad).samples
    assert samples is not None
    return samples


def network_to_prune(teacher: Teacher[Any] | None, dataset: Dataset) -> Network:
    """Return the network of a teacher that was brought, for the student 'pruned'.

    Raises:
        InputError: it is no torch module for images, or has a step that no format computes.
    """
    source = teacher.source if isinstance(teacher, OrderedTeacher) else None
    module = source.model.module if isinstance(source, ImageModelTeacher) else None
    if teacher is None or module is None or not isinstance(source, ImageModelTeacher):
        raise InputError(
            "the student 'pruned' is the teacher itself made smaller, which must be a torch module for images: received "
            f"teacher={'none' if teacher is None else teacher.name!r}; give file.py:name of what returns the module"
        )
    assert isinstance(dataset, ImageDataset)
    assert isinstance(teacher, OrderedTeacher)
    assert isinstance(source.preparation, Preparation)
    taken = Taken(source.preparation.layout, source.preparation.pixel_range, teacher.columns)
    return read_network(module, taken, shape=dataset.shape, name=teacher.name)


def write_lesson(job: Job, dataset: Dataset, teaching: Teaching, *, folder: JobFolder, progress: Progress) -> LessonStore:
    """Write what every training reads; finished parts are found again."""
    store = LessonStore(folder.lesson)
    if store.complete:
        return store
    if not isinstance(dataset, TextDataset):
        _write_arrays(job, dataset, teaching, store, folder=folder, progress=progress)
        return store
    taught = teaching.used and job.training_mode == "distill"
    unlabelled = dataset.unlabelled if taught else ()
    held_out = _held_out(dataset, teaching.teacher if taught else None)
    recombined = _recombined(job, dataset, teaching.teacher) if taught else []
    texts = [*unlabelled, *dataset.train.texts, *held_out.texts]
    without = np.full(len(recombined) + len(unlabelled), -1, np.int64)
    settings = job.training
    views = augmented_views(texts, views=settings.augmented_views, distortion=settings.distortion, seed=job.seed)
    if not settings.refit:
        # one generator makes the copies of all, so that without a refit trainings see what they see before one
        views = [view[: len(view) - len(held_out)] for view in views]
        held_out = NO_EXAMPLES
    answers: Float32Array | None = None
    if taught:
        assert teaching.teacher is not None
        views = _covered(teaching.teacher, views)
        if recombined:
            progress.note(f"the teacher also answers {len(recombined)} texts made of words of the training texts")
        of_recombined, *of_views = _asked(teaching.teacher, [recombined, *views], dataset, folder=folder, progress=progress)
        answers = np.stack([np.concatenate([of_recombined, each]) for each in of_views])
    store.write(
        # what is made of words at random need not be misspelt too: it is the same in every view
        views=[[*recombined, *view] for view in views],
        labels=np.concatenate([without, dataset.train.labels, held_out.labels]),
        validation=list(dataset.validation.texts),
        validation_labels=dataset.validation.labels,
        teacher_logits=answers,
        held_out=len(held_out),
    )
    return store


def _write_arrays(
    job: Job,
    dataset: ImageDataset | VectorDataset,
    teaching: Teaching,
    store: LessonStore,
    *,
    folder: JobFolder,
    progress: Progress,
) -> None:
    """Write the lesson of images or vectors: one view, because each batch varies them anew, with the teacher's answers."""
    taught = teaching.teacher if teaching.used and job.training_mode == "distill" else None
    covered = taught is None or taught.covers(dataset.validation.original).all()
    held_out = len(dataset.validation) if covered and job.training.refit and _worth_refit(dataset) else 0
    learned = dataset.labelled.between(0, len(dataset.train) + held_out)
    answers: Float32Array | None = None
    if taught is not None:
        asked = learned.original
        _check_covered(taught, asked)
        [found] = _asked(taught, [asked], dataset, folder=folder, progress=progress)
        answers = found[None]
    store.write(
        views=[learned.content],
        labels=learned.labels,
        validation=dataset.validation.content,
        validation_labels=dataset.validation.labels,
        teacher_logits=answers,
        held_out=held_out,
        mirrored=isinstance(dataset, ImageDataset) and dataset.statistics.mirror is not None and dataset.statistics.mirror.safe,
        variations=job.training.variations,
        validation_samples=dataset.validation.samples if isinstance(dataset, ImageDataset) else None,
        standardization=(dataset.offset, dataset.multiplier) if isinstance(dataset, VectorDataset) else None,
    )


def _asked(
    teacher: Teacher[Any], parts: Sequence[Any], dataset: Dataset, *, folder: JobFolder, progress: Progress
) -> list[Float32Array]:
    """Return ``teacher``'s logits of each of ``parts``, float32 ``[examples, classes]``."""
    progress.stage("asking the teacher", total=sum(len(part) for part in parts))

    def answered(done: int, total: int) -> None:
        progress.advance(CHUNK if done % CHUNK == 0 else total % CHUNK)

    names, place = dataset.class_names, folder.teacher
    return [cached_logits(teacher, part, class_names=names, folder=place, progress=answered).values for part in parts]


def _held_out(dataset: TextDataset, teacher: TextTeacher | None) -> Examples:
    """Return the validation texts for a refit; none where it would change little, or they cannot be taught."""
    validation = dataset.validation
    covered = teacher is None or teacher.covers(validation.texts).all()
    return validation if _worth_refit(dataset) and covered else NO_EXAMPLES


def _worth_refit(dataset: Dataset) -> bool:
    return len(dataset.validation) >= LEAST_REFIT_SHARE * len(dataset.train)


def _recombined(job: Job, dataset: TextDataset, teacher: TextTeacher | None) -> list[str]:
    """Return recombined training texts for ``teacher``; none where it cannot answer them, as saved logits cannot."""
    known = len(dataset.train) + len(dataset.unlabelled)
    count = recombined_texts_for(known) if job.training.recombined_texts == "auto" else job.training.recombined_texts
    if teacher is None or count == 0:
        return []
    vectors = vectors_for(dataset.train.texts)
    texts = recombine(dataset.train.texts, count=count, seed=job.seed, related=vectors.related if vectors else None)
    return texts if teacher.covers(texts).all() else []


def recombined_texts_for(texts: int) -> int:
    """Return how many recombined texts a lesson of ``texts`` has: few texts say little about what their teacher knows."""
    return 0 if texts >= ENOUGH_TEXTS else min(RECOMBINED_FOR_EACH * texts, MOST_RECOMBINED)


def _covered(teacher: TextTeacher, views: list[list[str]]) -> list[list[str]]:
    """Return the views that ``teacher`` can answer whole; saved logits know the unaltered texts only.

    Raises:
        InputError: not even the unaltered texts are covered.
    """
    _check_covered(teacher, views[0])
    return [view for view in views if teacher.covers(view).all()]


def _check_covered(teacher: Teacher[Any], examples: Any) -> None:
    """Raise ``InputError`` unless ``teacher`` can answer every one of ``examples``."""
    covered = teacher.covers(examples)
    if not covered.all():
        kind = kind_of_example(examples)
        first = int(np.flatnonzero(~covered)[0])
        raise InputError(
            f"a teacher must answer every training {kind}: received teacher={teacher.name!r} without an answer for "
            f"{int((~covered).sum())} of {len(covered)} {kind}s, the first in row {first}; add the missing rows"
        )
