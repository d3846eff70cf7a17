"""Which budgets and devices some student can meet, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from understudy.compression.quantize.shape import quantized_shape
from understudy.data.dataset import Dataset
from understudy.data.image import ImageDataset
from understudy.devices.choice import need_operators, working_bytes
from understudy.devices.profile import DeviceProfile, load_profile
from understudy.errors import BudgetError, InputError
from understudy.export.registry import exporter
from understudy.family import Infeasible
from understudy.job import Job
from understudy.program.cost import input_bytes, macs
from understudy.program.ops import Program
from understudy.search.space import MACS, RAM, Budget, SizeOf, binding_limit, smallest
from understudy.students.recipe import Recipe, StudentName
from understudy.students.registry import build_student
from understudy.units import format_bytes

DEFAULT_STUDENT: StudentName = "projection_sequence"
IMAGE_STUDENT: StudentName = "separable_cnn"


@dataclass(frozen=True, eq=False)
class Budgets:
    """Which budgets and devices can be met.

    Attributes:
        reachable: those that some student fits; devices with the same limits share one.
        infeasible: the others, each with the smallest reachable size and what binds.
        profiles: the devices that were asked for.
        size_of: recipe to bytes of each format, of RAM where a device limits it, and to multiply-accumulates.
    """

    reachable: tuple[Budget, ...]
    infeasible: tuple[Infeasible, ...]
    profiles: tuple[DeviceProfile, ...]
    size_of: SizeOf


def check_budgets(job: Job, dataset: Dataset) -> Budgets:
    """Return which of ``job``'s budgets and devices can be met, before anything is trained.

    Raises:
        InputError: an unknown device, or one that lacks an operator of the student.
        BudgetError: none of them can be met.
    """
    classes = len(dataset.class_names)
    base = base_recipe(job, dataset)
    profiles = tuple(load_profile(device) for device in job.devices)
    budgets = _budgets(job, profiles)
    exporters = [exporter(name) for name in dict.fromkeys(name for budget in budgets for name in budget.formats)]
    counts_ram = any(RAM in budget.limits for budget in budgets)

    @cache
    def size_of(recipe: Recipe) -> dict[str, int]:
        program = quantized_shape(build_student(recipe, classes=classes, seed=0))
        tables = {e.format: e.byte_table(program, name=job.name, labels=dataset.class_names) for e in exporters}
        sizes = {name: sum(count for _, count in table) for name, table in tables.items()}
        return {**sizes, **({RAM: _working_bytes(program)} if counts_ram else {}), MACS: macs(program)}

    program = quantized_shape(build_student(smallest(base), classes=classes, seed=0))
    for profile in profiles:
        need_operators(profile, program)
    if job.most_macs is not None and macs(program) > job.most_macs:
        raise BudgetError(
            f"max_macs must hold the smallest student: received max_macs={job.max_macs}, where it takes {macs(program)} "
            "multiply-accumulates; allow at least that"
        )
    reachable, infeasible = [], []
    for budget in budgets:
        sizes = size_of(smallest(base, bits=budget.bits))
        binding = binding_limit(sizes, budget.limits)
        if sizes[binding] <= budget.limits[binding]:
            reachable.append(budget)
            continue
        infeasible.append(
            Infeasible(budget_bytes=budget.limits[binding], budget=budget.name, smallest_bytes=sizes[binding], format=binding)
        )
    if not reachable:
        raise BudgetError(_unreachable(job, infeasible))
    return Budgets(tuple(reachable), tuple(infeasible), profiles, size_of)


def _budgets(job: Job, profiles: Sequence[DeviceProfile]) -> list[Budget]:
    """Return what each student of ``job`` must keep to: one for each budget, one for all devices with the same limits."""
    bits = _bits(job)
    most = {} if job.most_macs is None else {MACS: job.most_macs}
    budgets = [
        Budget(text, {**dict.fromkeys(job.formats, size), **most}, bits)
        for text, size in zip(job.budgets, job.budget_bytes, strict=True)
    ]
    for profile in profiles:
        if [each.name for each in profiles].count(profile.name) > 1:
            raise InputError(f"every device has a name of its own: received {profile.name!r} twice; rename one of the profiles")
        known = profile.operators.weight_bits
        if bits is not None and bits not in known:
            raise InputError(
                f"a device computes with the weights of its students: received weight_bits={bits} and device={profile.name!r}, "
                f"which has {' and '.join(map(str, known))}; leave weight_bits or the device out"
            )
        fixed = bits or (known[0] if len(known) == 1 else None)
        limits = {**profile.limits(), **most}
        if not any(budget.limits == limits and budget.bits == fixed for budget in budgets):
            budgets.append(Budget(profile.name, limits, fixed))
    return budgets


def _working_bytes(program: Program) -> int:
    from understudy.export.c import CExporter

    static_bytes = CExporter().ram_bytes(program)
    return working_bytes(static_bytes, input_bytes=input_bytes(program), classes=program.classes)


def _unreachable(job: Job, infeasible: Sequence[Infeasible]) -> str:
    if not job.devices:
        worst = infeasible[0]
        return (
            f"a budget must hold the smallest student: received budgets={', '.join(job.budgets)}; the smallest reachable size "
            f"is {format_bytes(worst.smallest_bytes)} ({worst.smallest_bytes} bytes), where {worst.format} binds; ask for at "
            "least that"
        )
    missed = "; ".join(
        f"{each.budget} has {each.budget_bytes} bytes where the smallest {each.binding} takes {each.smallest_bytes}"
        for each in infeasible
    )
    return (
        f"a device must hold the smallest student: received devices={', '.join(job.devices)}, where {missed}; "
        "choose a larger device, or lower max_words and max_bytes"
    )


def base_recipe(job: Job, dataset: Dataset) -> Recipe:
    """Return what the search does not choose.

    Raises:
        InputError: a student for the other kind of data.
    """
    images = isinstance(dataset, ImageDataset)
    if job.student != "auto" and (job.student == IMAGE_STUDENT) != images:
        raise InputError(
            f"{IMAGE_STUDENT} is the student for images and sounds, the others are for texts: received student={job.student!r} "
            f"for {str(job.data.train)!r}; choose another or leave it out"
        )
    if isinstance(dataset, ImageDataset):
        sound = None if dataset.log_mel is None else (dataset.log_mel.samples, dataset.log_mel.sample_rate)
        return Recipe(student=IMAGE_STUDENT, image_shape=dataset.shape, sound=sound, projection_seed=job.seed)
    statistics = dataset.statistics
    return Recipe(
        student=DEFAULT_STUDENT if job.student == "auto" else job.student,
        max_bytes=statistics.max_bytes,
        max_words=statistics.max_words,
        projection_seed=job.seed,
    )


def _bits(job: Job) -> Literal[4, 8] | None:
    return None if job.weight_bits == "auto" else job.weight_bits
