"""This machine: every file in its own runtime, pinned to as many processor cores as it has threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from understudy.bundle import Bundle
from understudy.device_measurements import Measurement
from understudy.devices.runner import Examples, LeftOutError, compared
from understudy.errors import InputError, SetupError
from understudy.export.parity import measure_latency
from understudy.export.protocol import FloatSession, Session, ThreadedExporter, why_not_run
from understudy.export.registry import exporter

THREADED = ("onnx", "litert", "onnx_float", "litert_float")
"""Formats whose runtime can use several threads for one text."""


@contextlib.contextmanager
def pinned(cores: int) -> Iterator[bool]:
    """Keep this process on ``cores`` cores, so that it is not moved while it is timed; yields whether the system can do that.

    Threads that are started meanwhile stay on these cores too.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, sorted(before)[-cores:])
        yield True
    finally:
        os.sched_setaffinity(0, before)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_threaded(bundle: Bundle, format_name: str, threads: int) -> Session:
    """Return a session of a format in ``THREADED`` on ``threads`` threads."""
    name = bundle.manifest.name
    writer = exporter(format_name)
    assert isinstance(writer, ThreadedExporter)
    return writer.open(bundle.folder, name=name, threads=threads)


@dataclass(frozen=True)
class HostRunner:
    """``--on host``: measured, pinned, after a warm-up.

    Attributes:
        formats: the files to run; None for every file of the bundle.
        threads: with more than one, the formats in ``THREADED`` are measured with so many too.
        seconds: how long each file is timed.
    """

    formats: tuple[str, ...] | None = None
    threads: int = 1
    seconds: float = 1.0
    runnable: ClassVar[tuple[str, ...] | None] = None

    def check(self, bundle: Bundle) -> tuple[SetupError, ...]:
        """Return which runtimes are missing, where others are here; LeftOutError for files that nobody named.

        Raises:
            SetupError: none of the files can be run.
            InputError: the bundle does not hold a format, or there are more threads than cores.
        """
        if self.threads > _cores():
            raise InputError(
                f"threads are timed on a core each: received threads={self.threads} with {_cores()} cores; ask for fewer"
            )
        runs, missing, elsewhere = self._sorted(bundle)
        if not runs:
            raise (*missing, *elsewhere)[0]
        return (*missing, *(elsewhere if self.formats else (LeftOutError(str(each)) for each in elsewhere)))

    def run(self, bundle: Bundle, examples: Examples) -> list[Measurement]:
        """Return a measurement of each file whose runtime is here."""
        found = []
        for name in self._sorted(bundle)[0]:
            found.append(self._measure(bundle, name, examples, threads=1))
            if self.threads > 1 and name in THREADED:
                found.append(self._measure(bundle, name, examples, threads=self.threads))
        return found

    def _sorted(self, bundle: Bundle) -> tuple[list[str], list[SetupError], list[SetupError]]:
        """Return the formats that run here, what is missing for others, and which have no runtime on this system at all."""
        runs, missing, elsewhere = [], [], []
        for name in self.formats or bundle.formats:
            try:
                not_run = why_not_run(bundle.load(name).session)
            except SetupError as error:
                missing.append(error)
                continue
            if not_run:
                message = f"a file is timed in its own runtime: received format={name!r}, where {not_run}; time it there"
                elsewhere.append(SetupError(message))
            else:
                runs.append(name)
        return runs, missing, elsewhere

    def _measure(self, bundle: Bundle, format_name: str, examples: Examples, *, threads: int) -> Measurement:
        with pinned(threads) as is_pinned:
            session = bundle.load(format_name).session if threads == 1 else _open_threaded(bundle, format_name, threads)
            in_float = isinstance(session, FloatSession)
            fields = compared(session.predict(examples.inputs), examples, bundle, in_float=in_float)
            latency = measure_latency(session, examples.inputs, seconds=self.seconds)
        return Measurement.model_validate(
            {
                "target": "host",
                "format": format_name,
                "runtime": session.runtime,
                "measured": True,
                "latency_us": latency,
                "threads": threads,
                "note": f"pinned to as many cores as threads: {threads}" if is_pinned else "not pinned: no such call here",
                **fields,
            }
        )
