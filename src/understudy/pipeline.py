"""The whole story on one page: data and budgets in, a family of verified small models out.

Everything that needs torch stands behind it in ``production``: torch loads for seconds, and data that break a rule are refused
before.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.bundle.encrypted import read_recipients
from understudy.data.dataset import Dataset, load_dataset
from understudy.data.image import has_pictures
from understudy.data.room import Room
from understudy.environment import check_processor
from understudy.errors import InputError
from understudy.feasibility import check_budgets
from understudy.job import Job, job_from_arguments
from understudy.job_folder import check_owner
from understudy.latency import known_latency
from understudy.progress import Progress, SilentProgress
from understudy.protection.keys import signing_key
from understudy.settings import LONGEST_SIDE, SHORTEST_SIDE
from understudy.teachers.callable import object_name

if TYPE_CHECKING:
    from understudy.family import Family

_LISTS = {"devices", "formats", "encrypt", "columns"}
"""Settings that are lists, of which one value alone is taken too."""


def compress(
    *,
    data: str | os.PathLike[str],
    budgets: Sequence[str | int] | str | int | None = (),
    teacher: Any = "auto",
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Family:
    """Return a family of small models for ``data``, one for each budget and device, every file executed and measured.

    Args:
        data: a table of texts or of numbers with a label column (CSV, TSV, JSONL, Parquet), images or numbers in arrays (NPZ),
            images as IDX files or in class folders, or WAV files in class folders.
        budgets: sizes that every file must keep to, as ``"16KB"`` or a number of bytes; also a single one, as of every list.
        teacher: ``"auto"``, ``"none"`` or None, a model file, or an object that gives logits for examples; see
            ``load_teacher``.
        out: folder for everything that is written; default: a new temporary folder.
        progress: listens to the job.
        settings: any other setting of a job by its key (``devices``, ``formats``, ``"training.epochs"``, …), or by the name of
            the command-line option that takes its value (``test``, ``validation``, …).

    Raises:
        InputError: something that was handed over breaks a rule.
        BudgetError: no budget can be met.
        SetupError: the machine lacks something.
    """
    if not isinstance(data, str | os.PathLike):
        raise InputError(
            f"data are a file or a folder: received data of type={type(data).__name__!r}; write them to a file, as .csv or "
            ".jsonl, and give its path"
        )
    if Path(data).suffix.lower() == ".toml":
        raise InputError(
            f"data are a file or a folder of examples: received data={str(data)!r}, a job file; run it with "
            "understudy compress, or give its data and settings"
        )
    if out is not None and not isinstance(out, str | os.PathLike):
        raise InputError(f"out is the path of a folder: received out of type={type(out).__name__!r}; give a path")
    if teacher is None:
        teacher = "none"
    if isinstance(teacher, os.PathLike):
        teacher = os.fspath(teacher)
    named = teacher if isinstance(teacher, str) else object_name(teacher)
    # the characters of one would be taken as budgets
    sizes = (budgets,) if isinstance(budgets, str | Number) else () if budgets is None else budgets
    if not isinstance(sizes, Iterable):
        raise InputError(
            f"budgets are sizes: received budgets of type={type(budgets).__name__!r}; give a list, as ['16KB', '32KB']"
        )
    for key in _LISTS & settings.keys():
        if isinstance(settings[key], str | os.PathLike):
            settings[key] = (os.fspath(settings[key]),)
    job = job_from_arguments(data, budgets=tuple(map(str, sizes)) or None, teacher=named, **settings)
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix=f"understudy-{job.name}-"))
    return run_job(job, out=folder, progress=progress, teacher=None if isinstance(teacher, str) else teacher)


def run_job(
    job: Job, *, out: Path, progress: Progress | None = None, teacher: Any = None, command: Sequence[str] = ()
) -> Family:
    """Run ``job`` into the folder ``out``, or go on where an earlier run of it stopped.

    Args:
        job: what is asked for.
        out: new, empty, or of an earlier run of the same job, which may have had fewer budgets.
        progress: listens to the job.
        teacher: an object that stands in for ``job.teacher.source``.
        command: the words that asked for it, for the record.

    Raises:
        InputError: something that was handed over breaks a rule.
        BudgetError: no budget can be met.
        SetupError: the machine lacks something.
    """
    progress = progress or SilentProgress()
    if job.encrypt:
        read_recipients(job.encrypt)
    check_processor(job.training.processor)  # now: after large data it would be late
    signing_key()  # made now where there is none: after the training it would be late to learn that none can be written
    dataset = read_data(job, out=out, progress=progress, teacher=teacher)
    for line in dataset.statistics.lines():
        progress.note(line)
    check_owner(out, {"settings": job.digest(), "data": dataset.digest}, budgets=job.budgets)
    latency = known_latency(job, out)
    # the student 'pruned' has the sizes of a network that must be read first
    budgets = None if job.student == "pruned" else check_budgets(job, dataset, latency=latency, progress=progress)
    # torch takes seconds to import: budgets that cannot be met are named before that
    from understudy.production import produce

    return produce(job, dataset, budgets, out=out, progress=progress, teacher=teacher, command=command)


def read_data(job: Job, *, out: Path, progress: Progress, teacher: Any = None) -> Dataset:
    """Return the data of ``job``; pictures of a folder have the size that its teacher takes, where the job names none.

    The other arguments are those of ``run_job``.

    Raises:
        InputError: data that break a rule; see ``load_dataset``.
        SetupError: the machine lacks something.
    """
    shape = None
    if job.data.image_size is None and has_pictures(job.data.train) and (teacher is not None or job.teacher.kind == "file"):
        from understudy.teachers.image_registry import input_shape

        progress.stage("reading the teacher's input")
        shape = input_shape(Path(job.teacher.source) if teacher is None else teacher)
        if shape is not None and not all(SHORTEST_SIDE <= side <= LONGEST_SIDE for side in shape[:2]):
            shape = None
    progress.stage("reading the data")
    if shape is not None:
        height, width, channels = shape
        colours = "grey" if channels == 1 else "colour"
        progress.note(f"pictures are brought to {height}x{width} and {colours}, as the teacher takes them")
    return load_dataset(job, room=Room(out), progress=progress, picture_shape=shape)
