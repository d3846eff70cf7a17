"""Draws a job's progress: a live bar with metric and remaining time on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from understudy.cli.output import is_rich_terminal, on_one_line, without_line_breaks
from understudy.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINE_INTERVAL_SECONDS = 5.0
"""At most one line for each of these, beside the first and last of a stage."""
PATIENCE_SECONDS = 1.0
"""A stage of a command that mostly ends at once is shown after these."""


@contextmanager
def open_progress(stream: TextIO, *, silent: bool = False) -> Iterator[Progress]:
    """Yield the progress that suits ``stream``: live on a terminal, lines elsewhere, nothing when ``silent``."""
    if silent:
        yield SilentProgress()
    elif is_rich_terminal(stream):
        with _rich_progress(stream) as drawing:
            yield LiveProgress(drawing)
    else:
        lines = LineProgress(stream)
        yield lines
        lines.finish()


@contextmanager
def open_patient_progress(stream: TextIO, *, silent: bool = False) -> Iterator[Progress]:
    """Yield the progress that suits ``stream``, which says nothing of stages that end soon."""
    with open_progress(stream, silent=silent) as progress:
        yield PatientProgress(progress)


def as_duration(seconds: float) -> str:
    """Return ``seconds`` as ``45 s``, ``3 min 05 s`` or ``1 h 02 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def as_metrics(metrics: dict[str, float]) -> str:
    """Return ``{"validation_accuracy": 0.91}`` as ``validation accuracy 0.910``."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items())


class PatientProgress:
    """A ``Progress`` that tells ``told`` of a stage only once it has taken a second: most texts are labelled sooner."""

    def __init__(self, told: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._told, self._clock = told, clock
        self._waiting: tuple[str, int | None] | None = None
        self._begin, self._done = 0.0, 0

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage, about which nothing is said yet."""
        self._waiting, self._begin, self._done = (name, total), self._clock(), 0

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Count, and tell of it where the stage takes long."""
        self._done += n
        if self._waiting is None:
            self._told.advance(n, **metrics)
        elif self._clock() - self._begin >= PATIENCE_SECONDS:
            name, total = self._waiting
            self._waiting = None
            self._told.stage(name, total)
            self._told.advance(self._done, **metrics)

    def note(self, message: str) -> None:
        """Say it."""
        self._told.note(message)


class LineProgress:
    """A ``Progress`` that writes plain lines, at most one every few seconds."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._metrics: dict[str, float] = {}
        self._begin = 0.0
        self._last_line = 0.0

    def stage(self, name: str, total: int | None = None) -> None:
        """Write the last line of the stage before and begin this one."""
        self.finish()
        self._name, self._total, self._done, self._metrics = name, total, 0, {}
        self._begin = self._last_line = self._clock()
        self._write(on_one_line(name))

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Count, and write a line when the last one is some seconds old."""
        self._done += n
        self._metrics.update(metrics)
        now = self._clock()
        if now - self._last_line >= LINE_INTERVAL_SECONDS:
            self._last_line = now
            self._write(f"{on_one_line(self._name)}: {', '.join(self._state(now))}")

    def note(self, message: str) -> None:
        """Write the message."""
        self._write(without_line_breaks(message))

    def finish(self) -> None:
        """Write how long the stage took, once."""
        if self._name:
            took = as_duration(self._clock() - self._begin)
            told = f", {as_metrics(self._metrics)}" if self._metrics else ""
            self._write(f"{on_one_line(self._name)}: done in {took}{told}")
            self._name = ""

    def _state(self, now: float) -> Iterator[str]:
        elapsed = now - self._begin
        if self._total:
            yield f"{self._done}/{self._total}"
        elif self._done:
            yield f"{self._done} steps"
        if self._metrics:
            yield as_metrics(self._metrics)
        yield f"{as_duration(elapsed)} so far"
        if self._total and self._done:
            yield f"ETA {as_duration(max(elapsed / self._done * (self._total - self._done), 0))}"

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class LiveProgress:
    """A ``Progress`` that draws one bar for the current stage; finished stages stay above it."""

    def __init__(self, drawing: RichProgress) -> None:
        self._drawing = drawing
        self._task: TaskID | None = None
        self._metrics: dict[str, float] = {}

    def stage(self, name: str, total: int | None = None) -> None:
        """Stop the bar of the stage before and begin one for this."""
        if self._task is not None:
            self._drawing.stop_task(self._task)
        self._metrics = {}
        self._task = self._drawing.add_task(on_one_line(name), total=total, metrics="")

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Move the bar."""
        if self._task is not None:
            self._metrics.update(metrics)
            self._drawing.update(self._task, advance=n, metrics=as_metrics(self._metrics))

    def note(self, message: str) -> None:
        """Print the message above the bars."""
        from rich.text import Text

        self._drawing.console.print(Text(without_line_breaks(message)))


def _rich_progress(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[metrics]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(file=stream),
        refresh_per_second=4,
    )
