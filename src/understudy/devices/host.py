"""This machine: every file in its own runtime, on one processor core that is kept for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from understudy.bundle import Bundle
from understudy.device_measurements import Measurement
from understudy.devices.runner import Examples, compared
from understudy.export.parity import measure_latency
from understudy.measurements import LatencyMicroseconds


@contextlib.contextmanager
def pinned_to_one_core() -> Iterator[bool]:
    """Keep this process on one core, so that it is not moved while it is timed; yields whether the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {max(before)})
        yield True
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class HostRunner:
    """``--on host``: measured, one thread, pinned, after a warm-up.

    Attributes:
        formats: the files to run; None for every file of the bundle.
        seconds: how long each file is timed.
    """

    formats: tuple[str, ...] | None = None
    seconds: float = 1.0

    def check(self, bundle: Bundle) -> None:
        """Raise where a runtime is missing or the bundle does not hold a format."""
        for name in self.formats or bundle.formats:
            bundle.load(name)

    def run(self, bundle: Bundle, examples: Examples) -> list[Measurement]:
        """Return a measurement of each file."""
        return [self._measure(bundle, name, examples) for name in self.formats or bundle.formats]

    def _measure(self, bundle: Bundle, format_name: str, examples: Examples) -> Measurement:
        session = bundle.load(format_name).session
        fields = compared(session.predict(examples.byte_ids), examples, bundle)
        with pinned_to_one_core() as pinned:
            latency = measure_latency(session, examples.byte_ids, seconds=self.seconds)
        return Measurement.model_validate(
            {
                "target": "host",
                "format": format_name,
                "runtime": session.runtime,
                "measured": True,
                "latency_us": LatencyMicroseconds(median=latency.median, p10=latency.p10, p90=latency.p90),
                "note": "pinned to one core" if pinned else "not pinned: this system does not offer it",
                **fields,
            }
        )
