"""Runs an exported file in its own runtime and compares it with the reference; nothing is handed over that was not run.

A program with float islands, such as layer norms, agrees within a bound that is stated here; all others agree to the bit.
A file in float is compared with the same program in real numbers instead, within ``REAL_TOLERANCE``.
A runtime returns probabilities only. Its int8 logits follow from them up to a constant: for classes i and j,
``q_i - q_j = ln(p_i / p_j) / scale``, which is compared wherever the probability is large enough to be seen in float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from understudy.export.protocol import Float32Array, FloatSession, Inputs, Session
from understudy.measurements import LatencyMicroseconds
from understudy.program.interpreter import Scores, run
from understudy.program.islands import ISLAND_LIMIT, ISLAND_STEPS, islands_of
from understudy.program.ops import Program
from understudy.program.real import REAL_TOLERANCE, real_probabilities

PROBABILITY_TOLERANCE = 1e-5
"""Largest difference of a probability between two runtimes; spec/program.md 8."""
VISIBLE_PROBABILITY = 1e-30
"""Logits whose probability is below this are not recovered: float32 has no digits left there."""
LATENCY_SECONDS = 0.4
"""How long a file is timed when it is delivered or evaluated; ``bench`` takes longer."""
CLOSE_STEPS = 2
"""Other kernel sets may swap two labels whose reference logits differ by at most this many steps ..."""
CLOSE_FRACTION = 0.005
"""... on at most this fraction of the examples."""
_BATCH_BYTES = 1 << 26
"""Inputs that a session is given at once, at most: some make copies."""

BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Verification:
    """What running a file showed.

    Attributes:
        agreement: fraction of rows whose label and integer logits equal the reference's; of a file in float those with the
            label and, within ``REAL_TOLERANCE``, the probabilities of the program in real numbers.
        max_probability_difference: largest absolute difference of a probability.
        verified: the file may be handed over.
        reason: why it may not, in words; None when verified.
        probabilities: what the file answered, float32 ``[batch, classes]``.
    """

    agreement: float
    max_probability_difference: float
    verified: bool
    reason: str | None
    probabilities: Float32Array = field(repr=False)


@runtime_checkable
class TimesItself(Protocol):
    """A session that measures inside its own runtime, so that the caller's language costs nothing."""

    def time_us(self, inputs: Inputs, repeats: int) -> npt.ArrayLike:
        """Return the microseconds of each of ``repeats`` passes over each row of ``inputs``, in any shape."""
        ...


def verify_file(
    program: Program, session: Session, inputs: Inputs, *, reference: Scores | None = None, exact: bool = True
) -> Verification:
    """Return how ``session`` compares with the interpreter over ``inputs`` ``[batch, ...]``.

    Args:
        program: the integer program that the file was exported from.
        session: the file in its own runtime.
        inputs: what both read, at least one row.
        reference: the interpreter's answer for ``inputs``, when it is known already; not that of a file in float.
        exact: False for a kernel set that rounds otherwise; then labels may differ where the reference is undecided.
    """
    rows = max(1, _BATCH_BYTES // max(1, inputs[:1].nbytes))
    parts = [session.predict(inputs[begin : begin + rows]) for begin in range(0, max(1, len(inputs)), rows)]
    answers = np.concatenate(parts)
    if isinstance(session, FloatSession):
        return compare_real(answers, real_probabilities(program, inputs))
    known = run(program, inputs) if reference is None else reference
    scale, islands = program.quantization[program.logits].scale, bool(islands_of(program))
    return compare(answers, known, logit_scale=scale, exact=exact, islands=islands)


def compare(
    probabilities: Float32Array, reference: Scores, *, logit_scale: float, exact: bool = True, islands: bool = False
) -> Verification:
    """Return how ``probabilities`` ``[batch, classes]`` of a file compare with the ``reference``.

    Of a program with float ``islands`` a few rows may differ: ``_near_only``.

    Raises:
        ValueError: no rows, or shapes that differ.
    """
    expected = reference.probabilities
    broken = _not_comparable(probabilities, expected)
    if broken is not None:
        return broken
    difference = float(np.abs(probabilities.astype(np.float64) - expected).max())
    labels_equal = ~other_labels(probabilities, reference.logits)  # among equal logits a runtime's last digit may choose
    off = _steps_off(probabilities, reference, logit_scale)
    agree = labels_equal & (off == 0)
    reason = None
    if islands:
        reason = _near_only(off, labels_equal)
    elif exact:
        if not agree.all():
            first = int(np.flatnonzero(~agree)[0])
            reason = f"labels or integer logits differ in {int((~agree).sum())} of {len(agree)} rows, first in row {first}"
        elif difference > PROBABILITY_TOLERANCE:
            reason = f"a probability differs by {difference:.2g}, more than {PROBABILITY_TOLERANCE:g}"
    else:
        reason = _undecided_only(labels_equal, reference)
    return Verification(float(agree.mean()), difference, reason is None, reason, probabilities)


def compare_real(probabilities: Float32Array, expected: Float32Array) -> Verification:
    """Return how ``probabilities`` of a file in float compare with those ``expected``, both ``[batch, classes]``.

    A label may be another one where the reference has both within ``REAL_TOLERANCE``.

    Raises:
        ValueError: no rows, or shapes that differ.
    """
    broken = _not_comparable(probabilities, expected)
    if broken is not None:
        return broken
    off = np.abs(probabilities.astype(np.float64) - expected).max(axis=1)
    near = off <= REAL_TOLERANCE
    labels_equal = ~other_labels(probabilities, expected, tolerance=REAL_TOLERANCE)
    agree = labels_equal & near
    reason = None
    if not near.all():
        reason = f"a probability differs by {off.max():.2g} in row {int(off.argmax())}, more than {REAL_TOLERANCE:g}"
    elif not agree.all():
        reason = f"labels differ in {int((~agree).sum())} of {len(agree)} rows, first in row {int(np.flatnonzero(~agree)[0])}"
    return Verification(float(agree.mean()), float(off.max()), reason is None, reason, probabilities)


def other_labels(probabilities: Float32Array, expected: npt.NDArray[np.generic], *, tolerance: float = 0.0) -> BoolArray:
    """Return for each row whether the label is one whose ``expected`` logit or probability is ``tolerance`` below the best."""
    known = expected.astype(np.float64)
    answered = np.take_along_axis(known, probabilities.argmax(axis=1)[:, None], axis=1)[:, 0]
    below: BoolArray = answered < known.max(axis=1) - tolerance
    return below


def _not_comparable(probabilities: Float32Array, expected: Float32Array) -> Verification | None:
    """Return what is said of ``probabilities`` that are not finite, None for others.

    Raises:
        ValueError: no rows, or shapes that differ.
    """
    if probabilities.shape != expected.shape or not len(expected):
        raise ValueError(f"a comparison needs equal shapes with rows: received {probabilities.shape} and {expected.shape}")
    finite = np.isfinite(probabilities).all(axis=1)
    if finite.all():
        return None
    reason = f"probabilities are not finite in {int((~finite).sum())} rows"
    return Verification(0.0, float("inf"), False, reason, probabilities)


def _steps_off(probabilities: Float32Array, reference: Scores, logit_scale: float) -> Float64Array:
    """Return for each row how far the file's integer logits, relative to the best one, are from the reference's at most."""
    logits = reference.logits.astype(np.int64)
    best = logits.argmax(axis=1)[:, None]
    expected = logits - np.take_along_axis(logits, best, axis=1)
    tiny = np.finfo(np.float32).tiny
    logarithm = np.log(np.maximum(probabilities.astype(np.float64), tiny))
    steps = np.rint((logarithm - np.take_along_axis(logarithm, best, axis=1)) / logit_scale)
    visible = reference.probabilities >= VISIBLE_PROBABILITY
    return np.asarray(np.where(visible, np.abs(steps - expected), 0.0).max(axis=1))


def _near_only(off: Float64Array, labels_equal: BoolArray) -> str | None:
    """Return why logits or labels differ more than those of a program with float islands may, or None."""
    worst = int(off.argmax())
    if off[worst] > ISLAND_LIMIT:
        return f"a logit differs by {int(off[worst])} steps in row {worst}, more than {ISLAND_LIMIT} with float islands"
    most = max(CLOSE_FRACTION, 1 / len(off))
    for what, fraction in (
        (f"logits differ by more than {ISLAND_STEPS} steps", float((off > ISLAND_STEPS).mean())),
        ("labels differ", float((~labels_equal).mean())),
    ):
        if fraction > most:
            return f"{what} in {fraction:.2%} of the rows, more than {most:.1%}, with float islands"
    return None


def _undecided_only(labels_equal: BoolArray, reference: Scores) -> str | None:
    """Return why labels differ more than another kernel set may, or None."""
    two_best = np.sort(reference.logits.astype(np.int64), axis=1)[:, -2:]
    decided = two_best[:, 1] - two_best[:, 0] > CLOSE_STEPS
    wrong = int((~labels_equal & decided).sum())
    if wrong:
        return f"labels differ in {wrong} rows where the reference is decided by more than {CLOSE_STEPS} steps"
    fraction = float((~labels_equal).mean())
    if fraction > CLOSE_FRACTION:
        return f"labels differ in {fraction:.2%} of the rows, more than {CLOSE_FRACTION:.1%}"
    return None


def measure_latency(
    session: Session,
    inputs: Inputs,
    *,
    seconds: float = LATENCY_SECONDS,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> LatencyMicroseconds:
    """Return the spread of single-input times over the rows of ``inputs``, in about ``seconds``, after a warm-up.

    Raises:
        ValueError: no rows.
    """
    if not len(inputs):
        raise ValueError("a latency needs at least one text: received rows=0")
    if isinstance(session, TimesItself):
        return spread_us(_timed_inside(session, inputs, seconds))
    rows = [inputs[i : i + 1] for i in range(min(len(inputs), 256))]
    _timed_outside(session, rows, seconds * 0.1, clock_ns)
    return spread_us(_timed_outside(session, rows, seconds * 0.9, clock_ns))


def _timed_outside(session: Session, rows: list[Inputs], seconds: float, clock_ns: Callable[[], int]) -> list[float]:
    """Return microseconds of single calls, round after round over ``rows``, until ``seconds`` are over; at least five."""
    out: list[float] = []
    begin = clock_ns()
    while len(out) < 5 or clock_ns() - begin < seconds * 1e9:
        row = rows[len(out) % len(rows)]
        before = clock_ns()
        session.predict(row)
        out.append((clock_ns() - before) / 1e3)
    return out


def _timed_inside(session: TimesItself, inputs: Inputs, seconds: float) -> list[float]:
    """Return microseconds that the session measured itself; a first pass warms up and says how many passes fit."""
    rows = inputs[:256]
    first = np.asarray(session.time_us(rows, 1), np.float64)
    one_pass = max(float(first.mean()) * len(rows), 1.0)
    repeats = int(min(max(seconds * 0.9e6 / one_pass, 1), 1000))
    return [float(value) for value in np.ravel(np.asarray(session.time_us(rows, repeats), np.float64))]


def spread_us(times_us: npt.ArrayLike) -> LatencyMicroseconds:
    """Return median and tenths of ``times_us``."""
    p10, median, p90 = np.percentile(np.asarray(times_us, np.float64), [10, 50, 90])
    return LatencyMicroseconds(median=float(median), p10=float(p10), p90=float(p90))
