"""Progress says stage, count, metric and remaining time, and not too often."""

from __future__ import annotations

import io

import pytest

from understudy.cli.progress import LineProgress, LiveProgress, PatientProgress, as_duration, open_progress
from understudy.progress import SilentProgress


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_with_metric_and_remaining_time_every_few_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock=clock)
    progress.stage("train 32KB", 100)
    for step in range(100):
        clock.now += 0.11
        progress.advance(validation_accuracy=step / 100)
    progress.stage("verify")
    clock.now += 66
    progress.finish()
    assert stream.getvalue().splitlines() == [
        "train 32KB",
        "train 32KB: 46/100, validation accuracy 0.450, 5 s so far, ETA 6 s",
        "train 32KB: 92/100, validation accuracy 0.910, 10 s so far, ETA 1 s",
        "train 32KB: done in 11 s, validation accuracy 0.990",
        "verify",
        "verify: done in 1 min 06 s",
    ]


def test_an_unknown_total_has_no_remaining_time() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock=clock)
    progress.stage("search")
    clock.now += 6
    progress.advance(3)
    progress.note("no teacher:\nit is not better")
    assert stream.getvalue().splitlines() == ["search", "search: 3 steps, 6 s so far", r"no teacher:\nit is not better"]


def test_the_live_bar_shows_stage_metric_and_remaining_time() -> None:
    from rich.console import Console

    from understudy.cli.progress import _rich_progress

    drawing = _rich_progress(io.StringIO())
    progress = LiveProgress(drawing)
    progress.stage("train [32KB]", 10)
    progress.advance(4, accuracy=0.5)
    console = Console(file=io.StringIO(), width=120)
    console.print(drawing.get_renderable())
    shown = console.file.getvalue()
    assert "train [32KB]" in shown
    assert "4/10" in shown
    assert "accuracy 0.500" in shown
    assert "ETA" in shown


def test_a_pipe_gets_lines_and_silence_is_silent() -> None:
    stream = io.StringIO()
    with open_progress(stream) as progress:
        assert isinstance(progress, LineProgress)
        progress.stage("x")
    assert stream.getvalue() == "x\nx: done in 0 s\n"
    with open_progress(stream, silent=True) as progress:
        assert isinstance(progress, SilentProgress)
        progress.stage("y", 3)
        progress.advance(1, loss=1.0)
        progress.note("z")
    assert "y" not in stream.getvalue()


def test_a_patient_one_tells_of_what_takes_long_alone() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = LineProgress(stream, clock=clock)
    progress = PatientProgress(lines, clock=clock)
    for name, seconds in (("measuring c", 0.1), ("measuring onnx", 0.5)):
        progress.stage(name, 4)
        for _ in range(4):
            clock.now += seconds
            progress.advance(1)
    clock.now += 4.5
    progress.stage("measuring python", 2)
    progress.advance(2)
    progress.note("done")
    lines.finish()
    assert stream.getvalue().splitlines() == ["measuring onnx", "done", "measuring onnx: done in 6 s"]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3720, "1 h 02 min")])
def test_durations(seconds: float, text: str) -> None:
    assert as_duration(seconds) == text
