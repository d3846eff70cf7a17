"""What a bundle did on devices, and which member is right for each: the records in ``family.json`` about devices."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from understudy.measurements import Count, LatencyMicroseconds, Record, RelativePath, Text


class DifferingLabel(Record):
    """An example that a device labels otherwise than the reference."""

    row: Count
    """Its row among the examples that were run, from 0."""
    expected: Text
    """The reference's label."""
    received: Text
    """The device's label."""


class InstructionRow(Record):
    """One place where instructions of a prediction go."""

    where: str
    """The step of the prediction."""
    instructions: Count
    """Executed instructions."""


class Measurement(Record):
    """One model file on one device: measured there, or estimated from an exact count of emulated instructions."""

    target: str
    """The word in ``--on``."""
    format: str
    """The word in ``--format``."""
    runtime: Text
    """What executed the file, with its version and what it ran on."""
    measured: bool
    """True where ``latency_us`` was timed on the target itself; false where it is an estimate or there is none."""
    exact: bool
    """Labels and integer logits of every example equal the reference's."""
    within_bound: bool = False
    """Not exact, but as near as a file with float islands must be: runtimes may differ there in the last bit."""
    examples: Annotated[int, Field(gt=0)]
    """Texts or images that were run."""
    threads: Annotated[int, Field(gt=0)] = 1
    """Threads of the runtime."""
    latency_us: LatencyMicroseconds | None = None
    """Microseconds for one of them."""
    clock_hz: Annotated[int, Field(gt=0)] | None = None
    """The clock of an estimate: one instruction is taken as one cycle; null where nothing was estimated."""
    instructions: Count | None = None
    """Executed instructions of the prediction whose count is the median; the first one, which prepares tables, is left out."""
    first_instructions: Count | None = None
    """Executed instructions of the first prediction."""
    instruction_table: tuple[InstructionRow, ...] = ()
    """Rows that add up to ``instructions``."""
    flash_bytes: Count | None = None
    """Flash of a whole firmware: start-up, runtime, hash, weights and constants."""
    ram_bytes: Count | None = None
    """Static RAM of that firmware, the text and the scores among it, and its stack."""
    stack_bytes: Count | None = None
    """The deepest stack, part of ``ram_bytes``."""
    max_probability_difference: Annotated[float, Field(ge=0)]
    """Largest difference of a probability from the reference's."""
    differing_labels: tuple[DifferingLabel, ...] = ()
    """Every text whose label differs from the reference's."""
    note: Text = ""
    """What to know about these figures."""

    @model_validator(mode="after")
    def _measured_and_estimated_stay_apart(self) -> Self:
        if self.measured and (self.latency_us is None or self.clock_hz is not None):
            raise ValueError("a measured time has a latency and no clock that it was computed with")
        if not self.measured and (self.latency_us is None) != (self.clock_hz is None):
            raise ValueError("an estimated latency names the clock that it was computed with")
        if self.exact and (self.differing_labels or self.within_bound):
            raise ValueError("an exact file has no differing labels, and needs no bound")
        if self.instruction_table and sum(row.instructions for row in self.instruction_table) != self.instructions:
            raise ValueError("the instruction table adds up to instructions")
        return self


class LatencyCheck(Record):
    """One file against ``--max-latency``: what was expected of it before it was trained, and what it took."""

    target: str
    """What it was run on: the word in ``--on``."""
    format: str
    """The word in ``--format``."""
    limit_us: Annotated[float, Field(gt=0)]
    """Most microseconds of one prediction."""
    estimated_us: Annotated[float, Field(ge=0)]
    """What students with random weights let expect, with a margin: the limit of the search."""
    latency_us: Annotated[float, Field(ge=0)]
    """Median microseconds of the delivered file."""
    measured: bool
    """Timed on the target; false where counted instructions were divided by a clock."""

    @property
    def is_met(self) -> bool:
        """Whether the delivered file keeps to the limit."""
        return self.latency_us <= self.limit_us


class DeviceChoice(Record):
    """The member that is right for one device: of those that fit it, the best on validation."""

    device: str
    """Name of the device profile."""
    title: Text
    """What it is."""
    revision: Annotated[int, Field(ge=1)]
    """Revision of the profile."""
    limits: dict[str, Annotated[int, Field(gt=0)]]
    """Format, or ``ram`` and ``float_ram`` for what a prediction takes of it in C of integers and in float, to most bytes."""
    member: RelativePath | None
    """The bundle folder; null where none fits."""
    format: str | None = None
    """The file of that bundle that the device prefers."""
    sizes: dict[str, Count] = Field(default_factory=dict)
    """What the member takes of each limit."""
    reason: Text = ""
    """Why no member fits."""

    @model_validator(mode="after")
    def _chosen_or_explained(self) -> Self:
        if (self.member is None) != bool(self.reason) or (self.member is None) != (self.format is None):
            raise ValueError("a device has a member and its format, or a reason")
        if self.member is not None and any(self.sizes[name] > limit for name, limit in self.limits.items()):
            raise ValueError("the member of a device keeps to its limits")
        return self
