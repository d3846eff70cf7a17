"""Trainings side by side, one process each; results are files, so nothing is lost when a process dies."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from understudy import errors
from understudy.progress import Progress
from understudy.training.processor import Processor
from understudy.training.task import TaskResult, TrainingTask, load_result, result_path

OnPoint = Callable[[TrainingTask, dict[str, Any]], None]
"""Called about twenty times in a training, with the step that it is at, its seconds and what it has reached; may raise."""


@dataclass(frozen=True, eq=False)
class _Worker:
    process: subprocess.Popen[str]
    thread: threading.Thread


class Workers:
    """A pool of training processes for one lesson.

    Args:
        lesson_folder: a ``LessonStore``.
        result_folder: where results and checkpoints stand; created when missing.
        count: processes; results do not depend on it.
        processor: computes the trainings' steps; None for the machine's own.
    """

    def __init__(self, lesson_folder: Path, result_folder: Path, *, count: int, processor: Processor | None = None) -> None:
        self.lesson_folder, self.result_folder, self.count = lesson_folder, result_folder, count
        self.processor = processor or Processor()
        self._events: queue.SimpleQueue[tuple[int, dict[str, Any]]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        result_folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process, in the middle of a training too; ``run`` starts new ones."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            worker.thread.join()
            for stream in (worker.process.stdin, worker.process.stdout, worker.process.stderr):
                if stream is not None:
                    with suppress(BrokenPipeError):  # a task that a dead worker never read
                        stream.close()
        self._workers.clear()
        self._events = queue.SimpleQueue()  # the dead have said how they ended

    def has_finished(self, task: TrainingTask) -> bool:
        """Return whether the result of ``task`` is there."""
        return result_path(self.result_folder, task).exists()

    def result(self, task: TrainingTask) -> TaskResult:
        """Return the result of a finished ``task``."""
        return load_result(result_path(self.result_folder, task))

    def run(self, tasks: Sequence[TrainingTask], *, on_point: OnPoint | None = None) -> list[TaskResult]:
        """Return the results of ``tasks``, in order; finished ones are read, the others trained.

        A task that begins from another waits for it, which is among ``tasks`` or has finished.

        Raises:
            SetupError: a worker was killed, or could not write its files.
            VerificationError: a worker failed.
        """
        different = {task.key: task for task in tasks}
        waiting = [task for task in different.values() if not self.has_finished(task)]
        while len(self._workers) < min(self.count, len(waiting)):
            self._workers.append(self._start(len(self._workers)))
        busy: dict[int, TrainingTask] = {}
        idle = list(range(len(self._workers)))
        while waiting or busy:
            while idle and (ready := next((task for task in waiting if self._can_begin(task)), None)):
                number = idle.pop(0)
                waiting.remove(ready)
                busy[number] = ready
                self._send(number, ready)
            assert busy, "a training begins from another that has finished or is asked for with it"
            number, event = self._events.get()
            if event["event"] == "point" and on_point:
                on_point(busy[number], event)
            elif event["event"] == "done":
                del busy[number]
                idle.append(number)
            elif event["event"] == "failed":
                raise _failure(event)
        return [self.result(task) for task in tasks]

    def _can_begin(self, task: TrainingTask) -> bool:
        return task.begins_from is None or (self.result_folder / f"{task.begins_from}.trained").exists()

    def _send(self, number: int, task: TrainingTask) -> None:
        stream = self._workers[number].process.stdin
        assert stream is not None
        with suppress(BrokenPipeError):  # a dead worker is heard of through its events
            stream.write(json.dumps(task.to_json()) + "\n")
            stream.flush()

    def _start(self, number: int) -> _Worker:
        command = ["-m", "understudy.training.worker", str(self.lesson_folder), str(self.result_folder)]
        process = subprocess.Popen(
            [sys.executable, *command, self.processor.device.type, self.processor.asked_precision],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",  # what a teacher prints may be anything
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            # Ctrl-C is the job's to handle: a worker hit by it would die in the middle of a step
            start_new_session=True,
        )

        printed: deque[str] = deque(maxlen=1)

        def listen() -> None:
            # while it trains: a teacher that prints would wait for a full pipe to be read
            assert process.stderr is not None
            printed.extend(line.strip() for line in process.stderr if line.strip())

        def forward() -> None:
            assert process.stdout is not None
            listener = threading.Thread(target=listen, daemon=True)
            listener.start()
            for line in process.stdout:
                self._events.put((number, json.loads(line)))
            code = process.wait()
            listener.join()
            kind, message = "VerificationError", printed[0] if printed else f"exit code {code}"
            if code < 0:
                kind, message = "SetupError", _ended_by(signal.Signals(-code))
            self._events.put((number, {"event": "failed", "message": message, "kind": kind}))

        thread = threading.Thread(target=forward, daemon=True)
        thread.start()
        return _Worker(process, thread)


def train_all(
    tasks: Sequence[TrainingTask],
    workers: Workers,
    *,
    progress: Progress,
    title: str,
    on_point: OnPoint | None = None,
) -> list[TaskResult]:
    """Return the results of ``tasks``, in order, as one stage of ``progress``; see ``OnPoint``."""
    waiting = {task.key: task for task in tasks if not workers.has_finished(task)}
    progress.stage(title, total=sum(task.schedule.steps for task in waiting.values()))
    last: dict[str, int] = {}

    def heard(task: TrainingTask, event: dict[str, Any]) -> None:
        steps = event["step"] - last.get(task.key, 0)
        last[task.key] = event["step"]
        # a refit has learned the validation texts, so its accuracy there would mislead
        reached = {} if task.refit else {"validation_accuracy": event["validation_accuracy"]}
        progress.advance(steps, loss=event["loss"], **reached)
        if on_point:
            on_point(task, event)

    return workers.run(tasks, on_point=heard)


def _ended_by(received: signal.Signals) -> str:
    return (
        f"a training process must not be ended from outside: received signal={received.name}, which too little memory causes "
        "too; close other programs and run the same command again to continue"
    )


def _failure(event: dict[str, Any]) -> errors.UnderstudyError:
    kind = getattr(errors, event["kind"], errors.VerificationError)
    if kind is errors.VerificationError:
        return errors.VerificationError(
            f"a training must end with a result: received error={event['message']!r}; run the same command again to continue"
        )
    error: errors.UnderstudyError = kind(event["message"])
    return error
