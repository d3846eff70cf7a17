"""From data and budgets to a family: teach, search, cure, deliver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from understudy.baselines import (
    Baseline,
    majority_class,
    number_logistic_regression,
    pixel_logistic_regression,
    tfidf_logistic_regression,
)
from understudy.compression.quantize.plan import QuantizationPlan
from understudy.compression.quantize.ranges import Ranges
from understudy.cures import cured
from understudy.data.dataset import Dataset
from understudy.data.image import ImageDataset
from understudy.data.text import TextDataset
from understudy.data.vector import VectorDataset
from understudy.delivery import FEWEST_FOR_THRESHOLD, Order, deliver, encrypt
from understudy.devices.choice import choose
from understudy.errors import InputError
from understudy.family import Family, Member
from understudy.feasibility import Budgets, base_recipe, check_budgets, check_training
from understudy.files import write_text
from understudy.job import Job
from understudy.job_folder import JobFolder, claim
from understudy.judging import Teaching, assess, teacher_is_optional
from understudy.latency import check_latency, known_latency
from understudy.network.steps import Network
from understudy.progress import Progress
from understudy.record import baseline_record, created_with, data_record, teacher_record, trainer_record
from understudy.report.page import write_report
from understudy.searches import Searches
from understudy.selection import Plan, Selection
from understudy.teachers.protocol import Teacher
from understudy.teaching import (
    bring_teacher,
    network_to_prune,
    train_teacher,
    workers_for,
    write_lesson,
)
from understudy.training.lesson_store import LessonStore
from understudy.training.objective import teacher_term
from understudy.training.processor import processor_for
from understudy.training.trainer import Brought, check_trainable


def produce(
    job: Job,
    dataset: Dataset,
    budgets: Budgets | None,
    *,
    out: Path,
    progress: Progress,
    teacher: Any = None,
    command: Sequence[str] = (),
) -> Family:
    """Make the family of ``job`` from ``dataset``, which is what it names; the other arguments are those of ``run_job``.

    ``budgets`` are what ``check_budgets`` found, None for the student 'pruned', whose network is read here.

    Raises:
        InputError: the teacher or a setting breaks a rule, or ``out`` holds another job.
        BudgetError: no budget can be met.
        SetupError: the machine lacks something.
    """
    progress.note(f"training on: {processor_for(job.training.processor, job.training.precision).explain()}")
    if budgets is None:
        check_training(job, dataset)
        base_recipe(job, dataset)
    brought = brought_teacher(job, dataset, teacher, progress=progress)
    network = None
    if budgets is None:
        progress.stage("reading the network")
        network = network_to_prune(brought, dataset)
        budgets = check_budgets(job, dataset, network=network, latency=known_latency(job, out), progress=progress)
    identity = {
        "settings": job.digest(),
        "data": dataset.digest,
        "teacher": "" if brought is None else brought.digest,
    }
    with claim(out, identity, budgets=job.budgets) as folder:
        if budgets.latency is not None:
            write_text(folder.latency, budgets.latency.to_json())
        family = _run(job, dataset, budgets, brought, network, folder=folder, progress=progress)
        family = family.model_copy(update={"command": tuple(command)}).save(out)
        write_report(family, out)
    return family


def _run(
    job: Job,
    dataset: Dataset,
    budgets: Budgets,
    brought: Teacher[Any] | None,
    network: Network | None,
    *,
    folder: JobFolder,
    progress: Progress,
) -> Family:
    """Teach, search and deliver into a folder that is the job's."""
    progress.stage("measuring baselines")
    baselines = _baselines(dataset, seed=job.seed)
    teaching = _teach(job, dataset, baselines[-1], brought, folder=folder, progress=progress)
    # asked about every text before anything is made from its answers
    teacher = teacher_record(teaching, dataset)
    store = write_lesson(job, dataset, teaching, folder=folder, progress=progress)
    if network is not None:
        store.write_network(network)

    plan = _plan(job, dataset, teaching, brought, store=store, budgets=budgets)
    searches = Searches(budgets.reachable, plan, size_of=budgets.size_of)
    treated: dict[str, Selection] = {}
    finished = True
    with workers_for(job, store, folder) as workers:
        try:
            searches.run(job, workers, wanted=_wanted_accuracy(job, teaching), folder=folder, progress=progress)
            searches.refit(workers, progress=progress)
            for selection in searches.selections():
                treated[selection.budget] = cured(
                    selection,
                    searches.plan,
                    budget=searches.budgets[selection.budget],
                    max_drop=job.quantization.max_drop,
                    sizes_of=budgets.sizes_of,
                    dataset=dataset,
                    workers=workers,
                    progress=progress,
                )
        except KeyboardInterrupt:
            if not searches.selections():
                raise
            finished = False
            progress.note("stopped early: delivering the best so far; run the same command again to go on")

    out = folder.plain if job.encrypt else folder.path
    out.mkdir(exist_ok=True)
    selections = [treated.get(selection.budget, selection) for selection in searches.selections()]
    selections.sort(key=lambda selection: selection.budget_bytes)
    for line in _drops(job, teaching, selections):
        progress.note(line)
    if (examples := len(dataset.validation.labels)) < FEWEST_FOR_THRESHOLD:
        progress.note(
            f'no threshold for "none of these": {examples} validation examples of the {FEWEST_FOR_THRESHOLD} that tell one'
        )
    settings = (job.seed, job.quantization.max_drop, network, job.data.show_examples)
    order = Order(out, job.name, tuple(job.formats), dataset.digest, *settings)
    formats = {budget.name: budget.formats for budget in budgets.reachable}
    progress.stage("exporting and verifying", total=len(selections))
    members = []
    for selection in selections:
        member = deliver(selection, replace(order, formats=formats[selection.budget]), dataset)
        member = _timed(member, job, budgets, dataset, folder=out)
        members.append(encrypt(member, folder.path, plain=out, recipients=job.encrypt) if job.encrypt else member)
        progress.advance()
    if any(member.refit for member in members):
        progress.stage("measuring baselines on all examples")
        baselines = tuple(baseline.refit(dataset.labelled) for baseline in baselines)
    return Family(
        name=job.name,
        created_with=created_with(threads=1),
        seed=job.seed,
        finished=finished,
        job=_as_trained(job, searches.epochs).model_dump(mode="json"),
        data=data_record(dataset, variations=job.training.variations),
        teacher=teacher or trainer_record(dataset, selections, brought),
        baselines=tuple(baseline_record(b, dataset) for b in baselines),
        members=tuple(sorted(members, key=lambda member: member.budget_bytes)),
        infeasible=budgets.infeasible,
        devices=tuple(choose(profile, members, classes=len(dataset.class_names)) for profile in budgets.profiles),
    )


def _as_trained(job: Job, epochs: int | None) -> Job:
    """Return ``job`` with the passes over the examples that came of its time, so that the record repeats it."""
    return job if epochs is None else job.model_copy(update={"training": job.training.model_copy(update={"epochs": epochs})})


def _timed(member: Member, job: Job, budgets: Budgets, dataset: Dataset, *, folder: Path) -> Member:
    """Return ``member`` with what its files take on the target of ``--max-latency``, where that was asked for."""
    if job.latency is None or budgets.latency is None:
        return member
    measurements, checks = check_latency(folder / member.path, job.latency, budgets.latency, dataset)
    return member.model_copy(update={"measurements": tuple(measurements), "latency_checks": tuple(checks)})


def _plan(
    job: Job, dataset: Dataset, teaching: Teaching, brought: Teacher[Any] | None, *, store: LessonStore, budgets: Budgets
) -> Plan:
    settings = job.training
    class_weight = None
    if settings.class_weights == "balanced":
        counts = np.bincount(dataset.train.labels, minlength=len(dataset.class_names))
        class_weight = tuple(float(w) for w in len(dataset.train) / (len(counts) * np.maximum(counts, 1)))
    joint = job.training_mode == "joint"
    taught = joint or (teaching.used and job.training_mode == "distill")
    return Plan(
        base=base_recipe(job, dataset),
        any_student=job.student == "auto",
        classes=len(dataset.class_names),
        texts=len(dataset.train) + (len(dataset.unlabelled) if taught and not joint else 0),
        held_out=store.held_out,
        objective={
            "teacher_on_labels": settings.weights.teacher_on_labels,
            "student_on_labels": settings.weights.student_on_labels,
            **teacher_term(settings.weights.student_on_teacher, learns_with_images=joint and isinstance(dataset, ImageDataset)),
            "temperature": settings.temperature,
            "distillation": settings.distillation,
            "smoothing": settings.label_smoothing,
        },
        class_weight=class_weight,
        taught=taught,
        joint=joint,
        brought=Brought(job.teacher.source, dataset.class_names, brought.digest) if joint and brought else None,
        teacher_is_optional=taught and teacher_is_optional(teaching.teacher, dataset),
        seed=job.seed,
        epochs=settings.epochs,
        budgets=len(budgets.reachable),
        build=budgets.build,
        recombined=store.unlabelled > len(dataset.unlabelled),
        quantization=QuantizationPlan(
            job.quantization.mode, Ranges(job.quantization.weight_range, job.quantization.activation_range)
        ),
    )


def _wanted_accuracy(job: Job, teaching: Teaching) -> float | None:
    """Return the validation accuracy at which ``--max-drop`` is kept, None where it was not asked for or has no teacher."""
    if job.max_drop is None or teaching.validation_accuracy is None:
        return None
    return teaching.validation_accuracy - job.max_drop


def _drops(job: Job, teaching: Teaching, selections: Sequence[Selection]) -> list[str]:
    """Return a line for each budget whose student stayed further below the teacher than ``--max-drop`` allows."""
    wanted = _wanted_accuracy(job, teaching)
    if wanted is None:
        return []
    return [
        f"budget {s.budget} loses more than max_drop={job.max_drop} against the teacher on validation "
        f"({s.chosen[1].validation_accuracy:.1%}, wanted {wanted:.1%}); give the search more trials or time, or a larger budget"
        for s in selections
        if s.chosen[1].validation_accuracy < wanted
    ]


def _baselines(dataset: Dataset, *, seed: int) -> tuple[Baseline, ...]:
    classes = len(dataset.class_names)
    if isinstance(dataset, ImageDataset):
        return (
            majority_class(dataset.train, classes=classes),
            pixel_logistic_regression(dataset.train, dataset.validation, classes=classes, seed=seed),
        )
    if isinstance(dataset, VectorDataset):
        return (majority_class(dataset.train, classes=classes), number_logistic_regression(dataset, seed=seed))
    return (
        majority_class(dataset.train, classes=classes),
        tfidf_logistic_regression(dataset.train, dataset.validation, classes=classes, seed=seed),
    )


def brought_teacher(job: Job, dataset: Dataset, brought: Any, *, progress: Progress) -> Teacher[Any] | None:
    """Return the user's teacher, ``brought`` or what ``job`` names; None where one is trained here or none is used.

    It is asked a few texts, so that a teacher of another shape ends the job before anything is made.

    Raises:
        InputError: it cannot be loaded, or its answers break a rule.
    """
    texts = isinstance(dataset, TextDataset)
    absent = job.teacher.kind == "auto" or (not texts and job.teacher.kind == "none")
    if not texts and job.training_mode == "joint" and not (absent and brought is None):
        raise InputError(
            "joint training for images makes its teacher itself: received training.mode='joint' and a teacher; "
            "remove one of them, or use mode distill, which keeps the teacher as it is"
        )
    if job.training_mode == "self" or (brought is None and absent):
        return None
    if brought is not None and job.training_mode == "joint":
        raise InputError(
            f"joint training loads the teacher in processes of its own: received teacher={type(brought).__name__!r}, an "
            "object; give the name of what makes it, as 'module:name' or 'file.py:name', or a .pt2 file"
        )
    progress.stage("loading the teacher")
    teacher = bring_teacher(job, dataset, job.teacher.source if brought is None else brought)
    progress.note(f"teacher: {teacher.describe()}")
    if job.training_mode == "joint":
        check_trainable(teacher)
    return teacher


def _teach(
    job: Job, dataset: Dataset, baseline: Baseline, brought: Teacher[Any] | None, *, folder: JobFolder, progress: Progress
) -> Teaching:
    """Return the teacher, brought or trained here, and whether it is used."""
    if job.training_mode != "distill":
        return Teaching(None, used=False)
    if not isinstance(dataset, TextDataset):
        if brought is None:
            kind = "vectors" if isinstance(dataset, VectorDataset) else "images" if dataset.log_mel is None else "sounds"
            progress.note(f"no teacher for {kind} was brought: training without")
            return Teaching(None, used=False)
        return assess(brought, job, dataset, baseline=baseline, folder=folder, progress=progress)
    teacher = train_teacher(job, dataset, folder=folder, progress=progress) if brought is None else brought
    teaching = assess(teacher, job, dataset, baseline=baseline, folder=folder, progress=progress)
    if not teaching.used:
        progress.note(f"training without the teacher: {teaching.note}")
    return teaching
