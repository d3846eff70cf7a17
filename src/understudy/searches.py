"""The search at work: asks for candidates, trains each one and its no-teacher twin, keeps the best on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from understudy.job_folder import Searched
from understudy.search.space import Budget, Candidate, SizeOf, with_student
from understudy.search.study import Asked, Study
from understudy.selection import Plan, Selection, Tried
from understudy.training.inheritance import can_begin_from
from understudy.training.task import TaskResult, TrainingTask
from understudy.training.workers import Workers, train_all

if TYPE_CHECKING:
    from understudy.job import Job
    from understudy.job_folder import JobFolder
    from understudy.progress import Progress

Train = Callable[[list[TrainingTask], str], list[TaskResult]]
"""From tasks and a title for people to results."""
DEFAULT_TRIALS = 1
BRACKET = 8
"""Candidates that are compared by short trainings."""
HALVING_FACTOR = 4
"""How much shorter these trainings are."""
LAST_STEPS_FACTOR = 1.1
"""How much longer a training takes than its first steps say: those that learn to round come last."""
WORTH_A_NEW_BEGINNING = 1.2
"""How many times the passes over images the time must have room for."""


class _OtherPaceError(Exception):
    """The first trainings are likely to take longer than the time, or to leave much of it; not with ``epochs`` passes."""

    def __init__(self, epochs: int, compared: str) -> None:
        super().__init__(epochs)
        self.epochs = epochs
        self.compared = compared


class Searches:
    """The searches for all budgets of a job, side by side.

    Args:
        budgets: what each student must keep to.
        plan: what all trials share.
        size_of: recipe to bytes of each format.
    """

    def __init__(self, budgets: Sequence[Budget], plan: Plan, *, size_of: SizeOf) -> None:
        self.plan, self.size_of = plan, size_of
        self.budgets = {budget.name: budget for budget in budgets}
        self.studies = {
            budget.name: Study(
                budget=budget,
                base=with_student(plan.base, budget=budget, size_of=size_of) if plan.any_student else plan.base,
                size_of=size_of,
                classes=plan.classes,
                seed=plan.seed,
            )
            for budget in budgets
        }
        self.tried: dict[str, list[Tried]] = {text: [] for text in self.budgets}
        self.refits: dict[str, tuple[TaskResult, TaskResult | None]] = {}
        self.parent: tuple[Candidate, str | None] | None = None
        self.epochs: int | None = None
        """Passes over the examples that came of the job's time, None where it has room for the usual ones."""

    def good_enough(self, wanted: float | None) -> bool:
        """Return whether the best trial of every budget reached ``wanted`` accuracy on validation; False without a wish."""
        found = self.selections()
        return (
            wanted is not None
            and len(found) == len(self.budgets)
            and all(s.chosen[1].validation_accuracy >= wanted for s in found)
        )

    def run(self, job: Job, workers: Workers, *, wanted: float | None, folder: JobFolder, progress: Progress) -> None:
        """Search until trials or time are used up or ``wanted`` is reached; interrupted, ``selections`` has what was finished.

        The seeded recipe is trained first, to its last step. Then come brackets, see ``_bracket``. Within a time a bracket has
        as many candidates as are likely to end in it, with the refit; one that is smaller for that is the last. Where the first
        trainings alone are likely to take longer, they begin anew with fewer passes over the examples; those of images with
        more, where the time has room for what a job without one leaves out to end in minutes.
        """
        planned = job.trials or (None if job.time_seconds else DEFAULT_TRIALS)
        earlier = folder.searched()
        begin = time.monotonic() - earlier.seconds
        asked = 1
        # what an earlier run began goes on as it was
        judges = job.time_seconds is not None and self.plan.epochs is None and not earlier.seconds

        def record() -> None:
            folder.record_search(Searched(time.monotonic() - begin, max(asked, earlier.trials), self.epochs))

        points: dict[str, dict[str, Any]] = {}

        def heard(task: TrainingTask, event: dict[str, Any]) -> None:
            nonlocal judges
            if judges and job.time_seconds is not None:
                before = points.setdefault(task.key, event)
                again = before is not event
                # the first steps are slower: what they leave is not known before the next ones
                since = before if again else {"step": 0, "seconds": 0.0}
                pace = (event["seconds"] - since["seconds"]) / (event["step"] - since["step"])
                spent = time.monotonic() - begin
                judges = False
                self._check_pace(
                    first,
                    seconds_of_work=pace * task.schedule.steps / self.plan.work(task),
                    start=spent - pace * event["step"],
                    spent=spent,
                    limit=job.time_seconds,
                    workers=workers,
                    may_be_more=again,
                )
                judges = not again
            record()

        def train(tasks: list[TrainingTask], title: str) -> list[TaskResult]:
            return train_all(tasks, workers, progress=progress, title=title, on_point=heard)

        first = self._ask(dict.fromkeys(self.studies, 1))
        assert all(first.values()), "a budget that can be met has a first candidate"
        self._plan_with(earlier.epochs, first)
        refit_too = planned in (1, None)
        if self._parents():
            progress.note("the images are few: a wider network learns first, and students begin from its strongest channels")
        try:
            self._finish(first, train, workers=workers, title="training", refit_too=refit_too)
        except _OtherPaceError as found:
            workers.stop()
            self._plan_with(found.epochs, first)
            record()
            times = "once" if found.epochs == 1 else f"{found.epochs} times"
            progress.note(f"in time={job.time} the first trainings go over the examples {times}, {found.compared}")
            self._finish(first, train, workers=workers, title="training", refit_too=refit_too)
        size = BRACKET
        while size == BRACKET:
            if planned is not None:
                size = min(BRACKET, planned - asked)
            if job.time_seconds is not None:
                size = min(size, self._affordable(job.time_seconds - (time.monotonic() - begin), workers))
            if self.good_enough(wanted):
                size = 0
            # what an earlier run began belongs to the result: without it, the same command would find less the second time
            size = max(size, min(BRACKET, earlier.trials - asked))
            if size < 1:
                break
            title = f"trials {asked + 1} to {asked + size}" + (f" of {planned}" if planned else "")
            asked += size
            record()
            self._bracket(size, train, workers=workers, title=title)
        record()

    def refit(self, workers: Workers, *, progress: Progress) -> None:
        """Train what was chosen once more with the validation texts added: they have served their purpose.

        Nothing to do for a plan that holds none out.
        """
        if not self.plan.held_out:
            return
        tasks: dict[str, list[TrainingTask]] = {}
        for found in self.selections():
            best_twin = found.best_twin
            tasks[found.budget] = self.plan.refits(found.best.candidate, best_twin.candidate if best_twin else None)
        train_all(
            [task for pair in tasks.values() for task in pair], workers, progress=progress, title="training on all examples"
        )
        for text, pair in tasks.items():
            student, *twin = (workers.result(task) for task in pair)
            self.refits[text] = (student, twin[0] if twin else None)

    def selections(self) -> list[Selection]:
        """Return what was found for each budget with at least one finished trial, in the order of the budgets."""
        found = [(text, b.file_bytes) for text, b in self.budgets.items() if any(t.result for t in self.tried[text])]
        selections = []
        parent = (self.parent[0].recipe, self.parent[1]) if self.parent else None
        for text, size in found:
            refit, twin_refit = self.refits.get(text, (None, None))
            selections.append(
                Selection(
                    text,
                    size,
                    tuple(self.tried[text]),
                    refit,
                    twin_refit,
                    teacher_is_optional=self.plan.teacher_is_optional,
                    recombined=self.plan.recombined,
                    quantization=self.plan.quantization,
                    parent=parent,
                )
            )
        return selections

    def _ask(self, counts: Mapping[str, int]) -> dict[str, list[Asked]]:
        """Return up to as many new candidates for each budget as ``counts`` says."""
        return {text: [a for _ in range(count) if (a := self.studies[text].ask())] for text, count in counts.items()}

    def _plan_with(self, epochs: int | None, first: Mapping[str, list[Asked]]) -> None:
        """Let all trainings to come go over the examples ``epochs`` times, and know what they can begin from."""
        candidates = {text: a.candidate for text, asked in first.items() for a in asked}
        self.epochs = epochs
        self.plan = replace(self.plan, parent=None, epochs=self.plan.epochs if epochs is None else epochs)
        wider = self.plan.wider(list(candidates.values()))
        self.parent = (wider, None) if wider else _widest(candidates)
        self.plan = replace(self.plan, parent=self.parent[0] if self.parent else None)

    def _check_pace(
        self,
        first: Mapping[str, list[Asked]],
        *,
        seconds_of_work: float,
        start: float,
        spent: float,
        limit: float,
        workers: Workers,
        may_be_more: bool,
    ) -> None:
        """Raise ``_OtherPaceError`` where all ``first`` trainings, with their refits, are better planned with other passes.

        Args:
            first: the first candidates.
            seconds_of_work: that a process takes for one of ``Plan.work``.
            start: seconds of processes and of what they read, which a new beginning takes again.
            spent: seconds so far.
            limit: seconds for everything.
            workers: train them.
            may_be_more: more passes are looked for, too.
        """
        plan = self.plan
        pairs = [(a.candidate, self._pair(a.candidate)) for asked in first.values() for a in asked]
        tasks = [task for _, pair in pairs for task in pair]
        if plan.held_out:
            tasks += [t for candidate, _ in pairs for t in plan.refits(candidate, candidate if plan.taught else None)]

        def seconds(works: Iterable[float]) -> float:
            loads = [0.0] * workers.count
            for work in works:
                loads[loads.index(min(loads))] += work * seconds_of_work * LAST_STEPS_FACTOR
            return max(loads)

        passes = max(plan.passes(task) for task in tasks)
        affordable = max(1, int((limit - spent - start) / seconds(plan.work(task) / plan.passes(task) for task in tasks)))
        parents = self._parents()
        if start + seconds(map(plan.work, parents)) + seconds(map(plan.work, tasks)) > limit:
            if affordable < passes:
                raise _OtherPaceError(affordable, "less than usual")
            if parents:
                raise _OtherPaceError(int(passes), "as usual, and no wider network learns before them")
        elif may_be_more:
            more = min(affordable, *map(plan.most_passes, tasks))
            if more >= WORTH_A_NEW_BEGINNING * passes:
                raise _OtherPaceError(more, "more than usual")

    def _affordable(self, seconds: float, workers: Workers) -> int:
        """Return the size of the largest bracket that is likely to end within ``seconds``, with the refit; 0 where none is."""
        unit = max(found[0].seconds for found in self.tried.values() if found)
        longest = max(found.best.candidate.steps_factor for found in self.selections())
        students = len(self.budgets)
        pairs = students * (2 if self.plan.taught else 1)
        more = 1 + self.plan.held_out / self.plan.texts if self.plan.held_out else 0

        def rounds(trainings: int) -> int:
            return -(-trainings // workers.count)

        def units(size: int) -> float:
            length, places = _promotion(size)
            short, long = rounds(students * size) / HALVING_FACTOR, rounds(pairs * places) * length
            return short + long + rounds(pairs) * max(length, longest) * more

        return next((size for size in range(BRACKET, 1, -1) if unit * units(size) <= seconds), 0)

    def _bracket(self, size: int, train: Train, *, workers: Workers, title: str) -> None:
        """Compare new candidates by short trainings (successive halving, Jamieson & Talwalkar 2016); give the best long ones.

        The best one so far is trained beside the best new one, unless it has had as many steps: on some data what pays is
        another shape, on others a longer training.
        """
        length, places = _promotion(size)
        so_far = {found.budget: found.best.candidate for found in self.selections()}
        again = {
            text: [self.studies[text].longer(candidate, length)] if candidate.steps_factor < length else []
            for text, candidate in so_far.items()
        }
        new = self._ask({text: size - len(longer) for text, longer in again.items()})
        promoted = self._shorten(new, train, {text: places - len(longer) for text, longer in again.items()}, title=title)
        for text, best in promoted.items():
            again[text] += [replace(a, candidate=replace(a.candidate, steps_factor=length)) for a in best]
        self._finish(again, train, workers=workers, title=f"{title}: training the best")

    def _shorten(
        self, asked: dict[str, list[Asked]], train: Train, places: Mapping[str, int], *, title: str
    ) -> dict[str, list[Asked]]:
        """Train every candidate for a share of the steps and return as many of the best of each budget as have ``places``."""
        tasks = {
            (text, a.number): self.plan.task(a.candidate, taught=self.plan.taught, share=1 / HALVING_FACTOR)
            for text, found in asked.items()
            for a in found
        }
        results = dict(zip(tasks, train(list(tasks.values()), f"{title}: short trainings"), strict=True))
        promoted: dict[str, list[Asked]] = {}
        for text, found in asked.items():
            reached = {a.number: results[text, a.number].validation_accuracy for a in found}
            for a in found:
                self.studies[text].tell(a, reached[a.number])
            ranked = sorted(found, key=lambda a: (-reached[a.number], a.number))
            promoted[text] = ranked[: places[text]]
            self.tried[text] += [self._tried(text, a, results[text, a.number]) for a in ranked[places[text] :]]
        return promoted

    def _finish(
        self, asked: dict[str, list[Asked]], train: Train, *, workers: Workers, title: str, refit_too: bool = False
    ) -> None:
        """Train candidates to their last step, each beside its twin without the teacher.

        Where nothing may be left to choose, ``refit_too`` trains them on all texts at the same time, in processes that would
        stand idle.
        """
        pairs = [(text, a, self._pair(a.candidate)) for text, found in asked.items() for a in found]
        tasks = [task for _, _, pair in pairs for task in pair]
        if refit_too and self.plan.held_out and len(tasks) < workers.count:
            for _, a, _ in pairs:
                tasks += self.plan.refits(a.candidate, a.candidate if self.plan.taught else None)
        try:
            train([*self._parents(), *tasks], title)
        finally:
            # when it was interrupted, the trials that are whole count
            for text, a, pair in pairs:
                if all(workers.has_finished(task) for task in pair):
                    student, *twin = (workers.result(task) for task in pair)
                    tried = self._tried(text, a, student)
                    self.tried[text].append(replace(tried, result=student, twin=twin[0] if twin else None))

    def _parents(self) -> list[TrainingTask]:
        """Return the trainings of a network that is not delivered, from which students begin."""
        parent, budget = self.parent or (None, None)
        return self._pair(parent) if parent and budget is None else []

    def _tried(self, text: str, asked: Asked, last: TaskResult) -> Tried:
        sizes = self.size_of(asked.candidate.recipe)
        size_bytes = max(sizes[name] for name in self.budgets[text].formats)
        return Tried(asked.number, asked.candidate, size_bytes, last.validation_accuracy, last.seconds, result=None, twin=None)

    def _pair(self, candidate: Candidate) -> list[TrainingTask]:
        """Return the training of ``candidate`` and, with a teacher, of its twin."""
        return [self.plan.task(candidate, taught=taught) for taught in ((True, False) if self.plan.taught else (False,))]


def _promotion(size: int) -> tuple[float, int]:
    """Return how many times the usual steps the best of a bracket of ``size`` candidates get, and how many of them do.

    The long trainings so take about as long as all that comes before them, or longer: a search that only compares loses
    against a longer training of its first recipe.
    """
    length = max(1, size // 2)
    return float(length), 2 if length > 1 else 1


def _widest(candidates: Mapping[str, Candidate]) -> tuple[Candidate, str] | None:
    """Return the candidate from which most of the others can begin, and its budget; None where none can."""
    begun = {
        text: sum(can_begin_from(other.recipe, c.recipe) for other in candidates.values()) for text, c in candidates.items()
    }
    widest = max(begun, key=lambda text: begun[text], default=None)
    return (candidates[widest], widest) if widest is not None and begun[widest] else None
