"""A process that trains: ``python -m understudy.training.worker LESSON RESULTS PROCESSOR PRECISION``, these as in a job file.

Reads one task per line from standard input as JSON and writes events to standard output, one JSON object per line:
``{"event": "point", ...}`` while it trains, ``{"event": "done"}`` or ``{"event": "failed", "message": ...}`` at the end.
It ends when its input ends, so that it never outlives the job.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import TextIO, cast

import torch

from understudy.errors import UnderstudyError
from understudy.settings import Precision, ProcessorChoice
from understudy.training.loop import Point
from understudy.training.processor import processor_for
from understudy.training.task import TrainingTask, run_task


def _events_alone() -> TextIO:
    """Return the stream of events, which was standard output; what a teacher prints goes to standard error from now on."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def main(events: TextIO) -> None:
    """Train every task that arrives, and write ``events``."""

    def say(**event: object) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    lesson_folder, result_folder = Path(sys.argv[1]), Path(sys.argv[2])
    choice, precision = cast(ProcessorChoice, sys.argv[3]), cast(Precision, sys.argv[4])
    # one thread a worker: small matrices gain nothing from more, and results must not depend on the core count
    torch.set_num_threads(1)
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            tasks.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        task = TrainingTask.from_json(json.loads(tasks.get()))

        def report(point: Point, steps: int = task.schedule.steps) -> None:
            reached = {"loss": sum(point.terms.values()), "validation_accuracy": point.validation_accuracy}
            say(event="point", step=point.step, steps=steps, seconds=point.seconds, **reached)

        try:
            processor = processor_for(choice, precision)
            run_task(task, lesson_folder=lesson_folder, result_folder=result_folder, on_point=report, processor=processor)
        except torch.OutOfMemoryError as error:
            message = (
                f"a training must fit into the graphics card's memory: received error={' '.join(str(error).split())[:200]!r}; "
                "close other programs, lower threads, or set training.processor to 'cpu', and run the same command again to "
                "continue"
            )
            say(event="failed", message=message, kind="SetupError")
        except (UnderstudyError, OverflowError) as error:
            say(event="failed", message=str(error), kind=type(error).__name__)
        except OSError as error:
            message = (
                f"a training must be able to read and write its files: received path={str(result_folder)!r} "
                f"({error.strerror or error}); free some space and run the same command again to continue"
            )
            say(event="failed", message=message, kind="SetupError")
        else:
            say(event="done")


if __name__ == "__main__":
    main(_events_alone())
