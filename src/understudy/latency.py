"""``--max-latency 2ms@cortex-m4``: how long a candidate will take, known before it is trained, and what its files then take.

An estimate comes from a few students with random weights that are exported and run on the same runner as the files that are
handed over. Times of a runner, or counted instructions by its clock, are fitted by a sum of what a program has to do.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from understudy.bundle import Bundle, write_bundle
from understudy.compression.quantize.shape import quantized_shape
from understudy.device_measurements import LatencyCheck, Measurement
from understudy.devices.bench import runner_for
from understudy.devices.host import HostRunner
from understudy.devices.runner import Examples, LeftOutError, Runner
from understudy.errors import BudgetError, InputError
from understudy.export.registry import exporter
from understudy.job_folder import JobFolder
from understudy.program.cost import latency_work
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.search.space import FEATURES, LARGEST_WIDTH, NO_FEATURES, SMALLEST, WIDTH_STEP, recipe_of, seeded_choice
from understudy.students.recipe import Recipe
from understudy.units import Latency

if TYPE_CHECKING:
    from understudy.data.dataset import Dataset
    from understudy.job import Job
    from understudy.progress import Progress

PROBES = 6
"""Students that are run for a fit, each about twice as wide as the one before."""
FAR_ENOUGH = 1.5
"""Times the limit: what takes longer than this says nothing about candidates."""
LEAST_PROBES = 3
PROBE_SECONDS = 0.3
"""How long the host times each file of a probe."""
EXAMPLES = 8
"""Validation examples on which probes and delivered files are run, evenly spread."""
LEAST_MARGIN = 0.05


@dataclass(frozen=True)
class LatencyModel:
    """How long a program takes on one target, estimated.

    Attributes:
        target: the word in ``--on``.
        weights: format to microseconds for each unit of ``program.cost.latency_work``; none is negative.
        margins: format to the share that is added, so that no student of the fit takes longer than its estimate.
    """

    target: str
    weights: Mapping[str, tuple[float, ...]]
    margins: Mapping[str, float]

    def estimate_us(self, program: Program) -> dict[str, float]:
        """Return format to estimated microseconds of one prediction of ``program``."""
        work = latency_work(program)
        return {name: (1 + self.margins[name]) * float(np.dot(work, values)) for name, values in self.weights.items()}

    def to_json(self) -> str:
        """Return text that ``from_json`` reads back equal."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> LatencyModel:
        """Return the model that ``to_json`` wrote."""
        raw = json.loads(text)
        return LatencyModel(raw["target"], {k: tuple(v) for k, v in raw["weights"].items()}, raw["margins"])


def known_latency(job: Job, out: Path) -> LatencyModel | None:
    """Return how long students take as an earlier run of ``job`` into ``out`` found it, None where there is none.

    Another run must search among the same candidates, whatever the clock says today.
    """
    known = JobFolder(out).latency
    return LatencyModel.from_json(known.read_text()) if job.latency and known.is_file() else None


def fit_latency(
    limit: Latency,
    base: Recipe,
    dataset: Dataset,
    *,
    build: Callable[[Recipe], Program],
    formats: Sequence[str],
    bits: Sequence[Literal[4, 8]],
    progress: Progress,
) -> LatencyModel:
    """Return how long students of ``base`` take on the target of ``limit``, from running some with random weights.

    Args:
        limit: the target, and where longer ones need not be run.
        base: what the search does not choose.
        dataset: has the examples that they are run on.
        build: recipe to a float program that was not trained.
        formats: files that the job writes.
        bits: of the weights that the search may choose.
        progress: listens.

    Raises:
        InputError: no such target, none of ``formats`` runs there, or nothing there has a time.
        SetupError: a tool or runtime is missing.
        BudgetError: even the smallest student does not fit the target.
    """
    runner = _runner(limit)
    check = partial(_check, limit, formats)
    progress.stage(f"timing students on {limit.target}", total=PROBES)
    works: list[tuple[float, ...]] = []
    times: dict[str, list[float]] = {}
    for number, recipe in enumerate(_probes(base, bits=bits)):
        program = quantized_shape(build(recipe))
        try:
            found = _run(runner, program, dataset, formats=formats, check=check)
        except (BudgetError, OverflowError):
            if not works:
                raise
            continue
        works.append(latency_work(program))
        for each in found:
            if each.latency_us is None:
                raise InputError(
                    f"a latency is of a target with a clock: received max_latency={limit.text!r}, where {limit.target} has "
                    "none; name a device, see: understudy devices"
                )
            times.setdefault(each.format, []).append(each.latency_us.median)
        progress.advance(1)
        if number + 1 >= LEAST_PROBES and min(values[-1] for values in times.values()) > FAR_ENOUGH * limit.microseconds:
            break
    fits = {name: fit(works, values) for name, values in times.items()}
    return LatencyModel(limit.target, {n: f[0] for n, f in fits.items()}, {n: f[1] for n, f in fits.items()})


def fit(works: Sequence[Sequence[float]], times_us: Sequence[float]) -> tuple[tuple[float, ...], float]:
    """Return weights ``[kinds]`` of least squared relative error, none negative, and the margin that makes up for the rest.

    Args:
        works: ``[programs, kinds]``, see ``program.cost.latency_work``.
        times_us: what each of these programs took.
    """
    from scipy.optimize import nnls

    relative = np.asarray(works, np.float64) / np.asarray(times_us, np.float64)[:, None]
    size = relative.max(axis=0)
    size[size == 0] = 1  # kinds differ by a factor of a million, which least squares would not survive
    found: npt.NDArray[np.float64] = nnls(relative / size, np.ones(len(relative)))[0] / size
    # a share e that an estimate falls short by is made up for by e / (1 - e)
    margin = max(LEAST_MARGIN, float((1 / (relative @ found) - 1).max()))
    return tuple(float(value) for value in found), margin


def check_latency(
    folder: Path, limit: Latency, model: LatencyModel, dataset: Dataset
) -> tuple[list[Measurement], list[LatencyCheck]]:
    """Return what the files of the bundle in ``folder`` took on the target, and how that compares with ``limit``."""
    bundle = Bundle.open(folder)
    program = bundle.program()
    estimates = model.estimate_us(program)
    found = _runner(limit).run(bundle, _examples(program, dataset))
    checks = [
        LatencyCheck(
            target=limit.target,
            format=each.format,
            limit_us=limit.microseconds,
            estimated_us=estimates[each.format],
            latency_us=each.latency_us.median,
            measured=each.measured,
        )
        for each in found
        if each.latency_us is not None
    ]
    return found, checks


def _runner(limit: Latency) -> Runner:
    runner = runner_for(limit.target)
    return replace(runner, seconds=PROBE_SECONDS) if isinstance(runner, HostRunner) else runner


def _probes(base: Recipe, *, bits: Sequence[Literal[4, 8]]) -> list[Recipe]:
    """Return students from narrow to wide, with few features to many, of those that the search may ask for.

    A network that is pruned ends as wide as it was.
    """
    widest = WIDTH_STEP * 2 ** (PROBES - 1) if base.kept is None else LARGEST_WIDTH
    projects = seeded_choice(1, student=base.student, bits=None).features != NO_FEATURES
    found = []
    for step in range(PROBES):
        features = FEATURES[min(2 * step, len(FEATURES) - 1)] if projects else NO_FEATURES
        choice = replace(SMALLEST, features=features, weight_bits=bits[step % len(bits)])
        found.append(recipe_of(choice, base, widest // 2 ** (PROBES - 1 - step)))
    return found


def _check(limit: Latency, formats: Sequence[str], runner: Runner, bundle: Bundle) -> None:
    try:
        missing = [each for each in runner.check(bundle) if not isinstance(each, LeftOutError)]
    except InputError as error:
        raise InputError(
            f"a latency is of files that its target runs: received max_latency={limit.text!r} and "
            f"formats={', '.join(formats)!r}; {str(error).rpartition('; ')[2]}"
        ) from None
    if missing:  # a limit holds for every file, so all of them must be timed
        raise missing[0]


def _run(
    runner: Runner,
    program: Program,
    dataset: Dataset,
    *,
    formats: Sequence[str],
    check: Callable[[Runner, Bundle], None],
) -> list[Measurement]:
    """Return what a bundle of ``program`` takes, which is gone afterwards."""
    labels = dataset.class_names
    with tempfile.TemporaryDirectory(prefix="understudy-latency-") as temporary:
        folder = Path(temporary) / "probe"
        write_bundle(
            folder,
            program=program,
            exports={name: exporter(name).export(program, name="probe", labels=labels) for name in formats},
            name="probe",
            labels=labels,
            threshold=None,
            recipe={},
            data_digest="0" * 64,
        )
        bundle = Bundle.open(folder)
        check(runner, bundle)
        return runner.run(bundle, _examples(program, dataset))


def _examples(program: Program, dataset: Dataset) -> Examples:
    inputs = dataset.validation.inputs(program)
    rows = np.unique(np.linspace(0, len(inputs) - 1, EXAMPLES).astype(np.int64))
    scale = program.quantization[program.logits].scale
    return Examples(inputs[rows], run(program, inputs[rows]), scale, "validation examples")
