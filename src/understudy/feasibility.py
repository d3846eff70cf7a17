"""Which budgets and devices some student can meet, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from understudy.compression.quantize.shape import quantized_shape
from understudy.data.dataset import Dataset
from understudy.data.image import ImageDataset
from understudy.data.text import TextDataset
from understudy.data.vector import VectorDataset
from understudy.devices.choice import need_operators, working_bytes
from understudy.devices.profile import DeviceProfile, load_profile
from understudy.errors import BudgetError, InputError
from understudy.export.c_session import c_compiler
from understudy.export.device_ram import static_ram_bytes
from understudy.export.registry import exporter
from understudy.export.wasm_float import MODULES
from understudy.export.wasm_session import node_version
from understudy.family import Infeasible
from understudy.formats import C_FORMATS, FLOAT_FORMATS, ram_limits
from understudy.job import Job
from understudy.latency import LatencyModel, fit_latency
from understudy.program.cost import input_bytes, macs
from understudy.program.ops import Program
from understudy.progress import Progress, SilentProgress
from understudy.search.space import LATENCY, MACS, WEIGHTS, Budget, SizeOf, binding_limit, smallest, smallest_sizes
from understudy.student_names import StudentName
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.mining import CANDIDATES
from understudy.units import format_bytes, format_microseconds, parse_share

if TYPE_CHECKING:
    from understudy.network.steps import Network

DEFAULT_STUDENT: StudentName = "projection_sequence"
STUDENTS: dict[str, tuple[StudentName, ...]] = {
    "texts": (DEFAULT_STUDENT, "sgnn", "projection_net"),
    "images": ("separable_cnn", "plain_cnn", "projection_net", "projection_cnn", "pruned"),
    "vectors": ("mlp", "projection_net"),
    "windows": ("separable_cnn", "projection_rnn"),
    "sounds": ("separable_cnn", "projection_rnn"),
}
"""Kind of data to the students that read it, the one without a name first."""
_SMALLER_INPUT = {
    "texts": "lower max_words and max_bytes",
    "images": "make the images smaller",
    "vectors": "give fewer numbers",
    "windows": "give shorter windows",
    "sounds": "lower data.seconds or data.sample_rate",
}
"""Kind of data to what makes the smallest student need less RAM."""
BITS: tuple[Literal[4, 8], ...] = (4, 8)


@dataclass(frozen=True, eq=False)
class Budgets:
    """Which budgets and devices can be met.

    Attributes:
        reachable: those that some student fits; devices with the same limits share one.
        infeasible: the others, each with the smallest reachable size and what binds.
        profiles: the devices that were asked for.
        sizes_of: integer program to bytes of each format, of RAM where a device limits it, multiply-accumulates and weights.
        size_of: the same of a recipe's student.
        build: recipe to a float program that was not trained.
        latency: how long a student takes; None where no latency was asked for.
    """

    reachable: tuple[Budget, ...]
    infeasible: tuple[Infeasible, ...]
    profiles: tuple[DeviceProfile, ...]
    sizes_of: Callable[[Program], dict[str, int]]
    size_of: SizeOf
    build: Callable[[Recipe], Program]
    latency: LatencyModel | None


def check_budgets(
    job: Job,
    dataset: Dataset,
    *,
    network: Network | None = None,
    latency: LatencyModel | None = None,
    progress: Progress | None = None,
) -> Budgets:
    """Return which of ``job``'s budgets and devices can be met, before anything is trained.

    Args:
        job: what is asked for.
        dataset: what it is asked for.
        network: what the student 'pruned' is made of; None for the others.
        latency: how long students take on the job's target, where that is known; else it is found out.
        progress: listens.

    Raises:
        InputError: an unknown device, or one that lacks an operator of the student; or what ``check_training`` refuses.
        BudgetError: none of them can be met.
        SetupError: the student 'pruned' without Torch-Pruning, or a format without what writes or runs it.
    """
    check_training(job, dataset)
    classes = len(dataset.class_names)
    base = base_recipe(job, dataset)
    profiles = tuple(load_profile(device) for device in job.devices)

    def build(recipe: Recipe) -> Program:
        if network is None:
            return build_student(recipe, classes=classes, seed=0)
        from understudy.students import pruned  # torch, which other students' sizes do not need

        return pruned.build(recipe, network)

    budgets = _budgets(job, profiles)
    exporters = [exporter(name) for name in dict.fromkeys(name for budget in budgets for name in budget.formats)]
    # what files are run with: after the training it would be late to learn that it is missing
    if ram_limits(each.format for each in exporters):
        c_compiler()
    in_c = [name for budget in budgets if set(C_FORMATS) & set(budget.limits) for name in budget.formats]
    if job.latency is not None and latency is None:
        bits: list[Literal[4, 8]] = [each for each in BITS if any(budget.bits in (None, each) for budget in budgets)]
        latency = fit_latency(
            job.latency,
            base,
            dataset,
            build=build,
            formats=[each.format for each in exporters],
            bits=bits,
            progress=progress or SilentProgress(),
        )
    budgets = [_with_latency(budget, job, latency) for budget in budgets]

    def sizes_of(program: Program) -> dict[str, int]:
        tables = {e.format: e.byte_table(program, name=job.name, labels=dataset.class_names) for e in exporters}
        sizes = {name: sum(count for _, count in table) for name, table in tables.items()}
        estimates = latency.estimate_us(program) if latency else {}
        times = {f"{LATENCY}{name}": math.ceil(1e3 * value) for name, value in estimates.items()}
        return {
            **sizes,
            **_working_bytes(program, in_c),
            MACS: macs(program),
            WEIGHTS: program.weight_count,
            **times,
        }

    @cache
    def size_of(recipe: Recipe) -> dict[str, int]:
        return sizes_of(quantized_shape(build(recipe)))

    program = quantized_shape(build(smallest(base)))
    for profile in profiles:
        need_operators(profile, program)
    if job.most_macs is not None and macs(program) > job.most_macs:
        raise BudgetError(
            f"max_macs must hold the smallest student: received max_macs={job.max_macs}, where it takes {macs(program)} "
            "multiply-accumulates; allow at least that"
        )
    if network is not None:
        budgets = _with_shares(job, budgets, size_of(replace(smallest(base, bits=_bits(job, job.formats)), kept=1.0)))
    reachable, infeasible = [], []
    for budget in budgets:
        sizes = smallest_sizes(base, budget=budget, size_of=size_of, any_student=job.student == "auto")
        binding = binding_limit(sizes, budget.limits)
        if sizes[binding] <= budget.limits[binding]:
            reachable.append(budget)
            continue
        if job.latency is not None and binding.startswith(LATENCY):
            raise BudgetError(
                f"max_latency must hold the smallest student: received max_latency={job.latency.text}, where its "
                f"{binding.removeprefix(LATENCY)} file is estimated to take {format_microseconds(sizes[binding] / 1e3)} on "
                f"{job.latency.target}; allow a tenth more than that, because it is an estimate, or leave that format out"
            )
        if binding == WEIGHTS:
            raise BudgetError(
                "a share of a network leaves a channel of every layer, and all that are tied to its input or its answer: "
                f"received budget={budget.name!r}, {budget.limits[WEIGHTS]} weights, where the smallest has {sizes[WEIGHTS]}; "
                "ask for a larger share"
            )
        infeasible.append(
            Infeasible(budget_bytes=budget.limits[binding], budget=budget.name, smallest_bytes=sizes[binding], format=binding)
        )
    if not reachable:
        raise BudgetError(_unreachable(job, infeasible, _kind(dataset)))
    if any(each.format in MODULES for each in exporters):
        node_version()  # as the C compiler
    return Budgets(tuple(reachable), tuple(infeasible), profiles, sizes_of, size_of, build, latency)


def _budgets(job: Job, profiles: Sequence[DeviceProfile]) -> list[Budget]:
    """Return what each student of ``job`` must keep to: one for each budget, one for all devices with the same limits."""
    asked = None if job.weight_bits == "auto" else job.weight_bits
    most = {} if job.most_macs is None else {MACS: job.most_macs}
    budgets = [
        Budget(text, {**dict.fromkeys(job.formats, 0 if size is None else size), **most}, _bits(job, job.formats))
        for text, size in zip(job.budgets, job.budget_bytes, strict=True)
    ]
    for profile in profiles:
        if [each.name for each in profiles].count(profile.name) > 1:
            raise InputError(f"every device has a name of its own: received {profile.name!r} twice; rename one of the profiles")
        known = profile.operators.weight_bits
        if asked is not None and asked not in known:
            raise InputError(
                f"a device computes with the weights of its students: received weight_bits={asked} and "
                f"device={profile.name!r}, which has {' and '.join(map(str, known))}; leave weight_bits or the device out"
            )
        fixed = known[0] if len(known) == 1 else _bits(job, profile.formats.names)
        limits = {**profile.limits(), **most}
        if not any(budget.limits == limits and budget.bits == fixed for budget in budgets):
            budgets.append(Budget(profile.name, limits, fixed))
    return budgets


def _with_shares(job: Job, budgets: Sequence[Budget], whole: Mapping[str, int]) -> list[Budget]:
    """Return ``budgets`` where a share of a network limits its weights, and its files to those of the ``whole`` network."""
    shares = {text: share for text in job.budgets if (share := parse_share(text))}
    found = []
    for budget in budgets:
        limits = dict(budget.limits)
        if budget.name in shares:
            limits |= dict.fromkeys(budget.formats, max(whole[name] for name in budget.formats))
            limits[WEIGHTS] = int(shares[budget.name] * whole[WEIGHTS])
        found.append(replace(budget, limits=limits))
    return found


def _with_latency(budget: Budget, job: Job, latency: LatencyModel | None) -> Budget:
    """Return ``budget`` with a limit for each of its files that is timed."""
    if job.latency is None or latency is None:
        return budget
    most = math.floor(1e3 * job.latency.microseconds)
    return replace(budget, limits={**budget.limits, **{f"{LATENCY}{n}": most for n in budget.formats if n in latency.weights}})


def _working_bytes(program: Program, formats: Sequence[str]) -> dict[str, int]:
    """Return the RAM that a prediction takes, by the limits of RAM that ``formats`` have."""
    read, classes = input_bytes(program), program.classes
    return {
        name: working_bytes(static_bytes, input_bytes=read, classes=classes)
        for name, static_bytes in static_ram_bytes(program, formats).items()
    }


def _unreachable(job: Job, infeasible: Sequence[Infeasible], kind: str) -> str:
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
        f"choose a larger device, or {_SMALLER_INPUT[kind]}"
    )


def _kind(dataset: Dataset) -> str:
    """Return the word of ``STUDENTS`` for what ``dataset`` holds."""
    if isinstance(dataset, TextDataset):
        return "texts"
    if isinstance(dataset, ImageDataset):
        return "images" if dataset.log_mel is None else "sounds"
    return "vectors" if len(dataset.shape) == 1 else "windows"


def check_training(job: Job, dataset: Dataset) -> None:
    """Raise ``InputError`` where ``job`` asks for a training that there is not for the kind of ``dataset``."""
    kind = _kind(dataset)
    if job.training.variations and kind != "images":
        raise InputError(
            f"stronger variations are for images: received training.variations={list(job.training.variations)}; remove them"
        )
    if job.training_mode == "joint" and kind not in ("texts", "images"):
        whose = "sounds" if kind == "sounds" else "vectors"
        raise InputError(f"joint training is for texts and images: received training.mode='joint' for {whose}; remove it")


def base_recipe(job: Job, dataset: Dataset) -> Recipe:
    """Return what the search does not choose.

    Raises:
        InputError: a student for another kind of data.
    """
    kind = _kind(dataset)
    first, *others = STUDENTS[kind]
    student = first if job.student == "auto" else job.student
    if student not in (first, *others):
        raise InputError(
            f"a student for {kind} is one of {', '.join(STUDENTS[kind])}: received student={student!r} for "
            f"{str(job.data.train)!r}; choose another or leave it out"
        )
    recipe = Recipe(student=student, projection_seed=job.seed)
    if isinstance(dataset, ImageDataset):
        sound = None if dataset.log_mel is None else (dataset.log_mel.samples, dataset.log_mel.sample_rate)
        candidates = CANDIDATES if student == "projection_net" else 0
        kept = 1.0 if student == "pruned" else None
        return replace(recipe, image_shape=dataset.shape, sound=sound, candidates=candidates, kept=kept)
    if isinstance(dataset, VectorDataset):
        return replace(recipe, input_shape=dataset.shape)
    return replace(recipe, max_bytes=dataset.statistics.max_bytes, max_words=dataset.statistics.max_words)


def _bits(job: Job, formats: Sequence[str]) -> Literal[4, 8] | None:
    """Return the bits of weights that ``job`` fixes: 8 where every file is in float, which keeps a byte or more for each."""
    if job.weight_bits != "auto":
        return job.weight_bits
    return 8 if set(formats) <= set(FLOAT_FORMATS) else None
