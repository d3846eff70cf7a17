"""What a reader must know before the numbers: the good, and above all the bad."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from understudy.family import Family, Member
from understudy.report.wording import count, microseconds, percent, points, warning
from understudy.units import format_bytes


@dataclass(frozen=True)
class Finding:
    """One sentence. ``kind`` is ``good``, ``note`` or ``bad``."""

    kind: Literal["good", "note", "bad"]
    text: str


def findings(family: Family) -> list[Finding]:
    """Return what stands out, worst first."""
    found = [*_undelivered(family), *_comparisons(family), *_teacher(family), *_quantization(family), *_data(family)]
    found += _verified(family)
    return sorted(found, key=lambda finding: ("bad", "note", "good").index(finding.kind))


def lowest_accuracy(member: Member) -> float:
    """Return the accuracy to claim for ``member``: that of its worst measured file."""
    return min((file.accuracy for file in member.files if file.accuracy is not None), default=member.accuracy)


def half_interval(accuracy: float, examples: int) -> float:
    """Return half the width of the normal 95 % interval, ``1.96 sqrt(p (1 - p) / n)``, 0 for no examples."""
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / examples) if examples else 0.0


def _undelivered(family: Family) -> list[Finding]:
    found = [
        Finding(
            "bad",
            f"{missed.budget} cannot be met: the smallest reachable {missed.binding} has "
            f"{format_bytes(missed.smallest_bytes)}.",
        )
        for missed in family.infeasible
    ]
    found += [
        Finding(
            "bad",
            f"{member.budget}: the {check.format} file takes {'' if check.measured else 'an estimated '}"
            f"{microseconds(check.latency_us)} on {check.target}, where at most {microseconds(check.limit_us)} were asked for.",
        )
        for member in family.members
        for check in member.latency_checks
        if not check.is_met
    ]
    if not family.finished:
        found.append(Finding("bad", "The search was stopped early; this is the best family up to then."))
    return found


def _comparisons(family: Family) -> list[Finding]:
    found = []
    for member in family.members:
        accuracy = lowest_accuracy(member)
        for baseline in family.baselines:
            if accuracy < baseline.accuracy:
                size = "" if baseline.size_bytes is None else f", {format_bytes(baseline.size_bytes)}"
                found.append(
                    Finding(
                        "bad",
                        f"{member.budget}: the student ({percent(accuracy)}) is below the baseline {baseline.name} "
                        f"({percent(baseline.accuracy)}{size}).",
                    )
                )
    strongest = max(family.baselines, key=lambda baseline: baseline.accuracy, default=None)
    better = [m for m in family.members if strongest is not None and lowest_accuracy(m) >= strongest.accuracy]
    if strongest is not None and better:
        smallest = min(better, key=lambda member: member.budget_bytes)
        gain = points(lowest_accuracy(smallest) - strongest.accuracy)
        found.append(
            Finding("good", f"From {smallest.budget} on, students reach the strongest baseline, {strongest.name} ({gain}).")
        )
    return found


def _teacher(family: Family) -> list[Finding]:
    if family.teacher is None:
        return [Finding("note", "There was no teacher: the students learned from labels alone.")]
    if not family.teacher.used:
        return [Finding("note", f"The teacher {family.teacher.name} was not used: {family.teacher.note}")]
    left = [
        Finding(
            "note",
            f"{member.budget}: the teacher did not help on validation, so the twin without teacher is delivered; "
            f"on test the teacher's gain is {points(member.distillation_gain or 0.0)}.",
        )
        for member in family.members
        if member.passed_over is not None
    ]
    return left + [
        Finding(
            "note",
            f"{member.budget}: the teacher did not help; the twin without teacher is better "
            f"by {points(-member.distillation_gain).lstrip('+±')}.",
        )
        for member in family.members
        if member.passed_over is None and member.distillation_gain is not None and member.distillation_gain < 0
    ]


def _quantization(family: Family) -> list[Finding]:
    """Say where rounding costs more than was accepted, and what helped where something did."""
    found = []
    for member in family.members:
        cost = member.quantization
        if cost is None or not (cost.cures or cost.is_exceeded):
            continue
        helped = ", ".join(cure.name for cure in cost.cures if cure.state == "kept")
        tried = f"{helped} helped" if helped else "nothing that was tried helped" if cost.cures else "nothing was tried"
        first = points(cost.first_accuracy - cost.float_accuracy)
        now = points(cost.accuracy - cost.float_accuracy)
        found.append(
            Finding(
                "bad" if cost.is_exceeded else "note",
                f"{member.budget}: quantization cost {first} on validation; {tried}, which leaves {now}."
                if helped
                else f"{member.budget}: quantization cost {first} on validation; {tried}.",
            )
        )
    return found


def _data(family: Family) -> list[Finding]:
    if not family.data.warnings:
        return []
    listed = "; ".join(f"{count(number)} × {warning(what)}" for what, number in family.data.warnings.items())
    return [Finding("note", f"The data had {listed}.")]


def _verified(family: Family) -> list[Finding]:
    files = [file for member in family.members for file in member.files]
    doubtful = [file for file in files if not file.verified]
    found = [Finding("bad", f"{file.path} is not verified: {file.reason}") for file in doubtful]
    if files and not doubtful:
        ran = f"All {len(files)} files were run in their own runtimes over the whole test split"
        found.append(Finding("good", f"{ran} and agree with the reference."))
    return found
