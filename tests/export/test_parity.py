"""The check that a file reproduces the reference finds every kind of difference, and only those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from programs import TEXTS, sequence_program, utterance_program
from understudy.export.parity import Verification, compare, compare_real, measure_latency, verify_file
from understudy.program.interpreter import Scores, run, softmax
from understudy.program.real import real_probabilities
from understudy.projections.text import encode

PROGRAM = sequence_program()
BYTE_IDS = encode(TEXTS, max_bytes=64)
SCALE = PROGRAM.quantization[PROGRAM.logits].scale


@dataclass(frozen=True)
class Answers:
    """A session that answers what it was made with."""

    probabilities: np.ndarray
    runtime: str = "test"

    def predict(self, byte_ids: np.ndarray) -> np.ndarray:
        return self.probabilities[: len(byte_ids)]


@dataclass(frozen=True)
class FloatAnswers(Answers):
    """A session on a file in float."""

    computes_in: str = "float32"


def with_logits(logits: np.ndarray) -> np.ndarray:
    return softmax((logits.astype(np.float32) * np.float32(SCALE)).astype(np.float32))


def verdict(logits: np.ndarray, reference: Scores, *, exact: bool = True) -> Verification:
    return compare(with_logits(logits), reference, logit_scale=SCALE, exact=exact)


@pytest.mark.parametrize(
    "program", [sequence_program(), utterance_program(bits=4, per_channel=False)], ids=["sequence", "utterance"]
)
def test_the_reference_agrees_with_itself(program) -> None:
    reference = run(program, BYTE_IDS)
    found = verify_file(program, Answers(reference.probabilities), BYTE_IDS)
    assert found.verified
    assert found.reason is None
    assert found.agreement == 1.0
    assert found.max_probability_difference == 0.0
    np.testing.assert_array_equal(found.probabilities, reference.probabilities)


def test_one_step_of_one_logit_is_found_although_no_label_changes() -> None:
    reference = run(PROGRAM, BYTE_IDS)
    logits = reference.logits.astype(np.int64)
    worst = logits[3].argmin()
    logits[3, worst] += 1
    assert logits[3].argmax() == reference.logits[3].argmax()
    found = verdict(logits, reference)
    assert not found.verified
    assert found.agreement == pytest.approx(1 - 1 / len(TEXTS))
    assert found.reason == f"labels or integer logits differ in 1 of {len(TEXTS)} rows, first in row 3"


def test_a_shift_of_all_logits_cannot_be_seen_in_probabilities() -> None:
    reference = run(PROGRAM, BYTE_IDS)
    assert verdict(reference.logits.astype(np.int64) + 3, reference).verified


def test_a_probability_that_is_off_is_named() -> None:
    reference = run(PROGRAM, BYTE_IDS)
    off = (reference.probabilities * np.float32(1.001)).astype(np.float32)
    found = compare(off, reference, logit_scale=SCALE)
    assert found.agreement == 1.0
    assert not found.verified
    assert found.reason is not None
    assert found.reason.startswith("a probability differs by 0.000")


def test_values_that_are_not_finite_never_pass() -> None:
    reference = run(PROGRAM, BYTE_IDS)
    broken = reference.probabilities.copy()
    broken[[1, 4], 0] = np.nan
    found = compare(broken, reference, logit_scale=SCALE)
    assert not found.verified
    assert found.reason == "probabilities are not finite in 2 rows"


def test_equal_logits_are_one_label_whatever_the_last_digit_says() -> None:
    logits = np.array([[5, 20, 20]], np.int8)
    reference = Scores(logits, with_logits(logits))
    nudged = reference.probabilities.copy()
    nudged[0, 2] = np.nextafter(nudged[0, 2], np.float32(1))
    assert nudged.argmax() != reference.probabilities.argmax()
    assert compare(nudged, reference, logit_scale=SCALE).verified


def test_invisible_probabilities_are_not_compared() -> None:
    logits = np.array([[127, -128, 0]], np.int8)
    real = logits.astype(np.float32) * np.float32(0.5)
    reference = Scores(logits, softmax(real))
    assert reference.probabilities[0, 1] < 1e-30
    assert compare(reference.probabilities, reference, logit_scale=0.5).verified


def test_other_kernels_may_swap_undecided_labels_only() -> None:
    rows = 1000
    logits = np.tile(np.array([50, 49, 0], np.int64), (rows, 1))
    reference = Scores(logits.astype(np.int8), with_logits(logits))
    swapped = logits.copy()
    swapped[7, :2] = 49, 50
    assert verdict(swapped, reference, exact=False).verified
    assert not verdict(swapped, reference, exact=True).verified
    swapped[:6, :2] = 49, 50
    assert verdict(swapped, reference, exact=False).reason == "labels differ in 0.70% of the rows, more than 0.5%"


def test_a_decided_label_may_not_change_in_any_kernel() -> None:
    logits = np.tile(np.array([50, 40, 0], np.int64), (1000, 1))
    reference = Scores(logits.astype(np.int8), with_logits(logits))
    changed = logits.copy()
    changed[3, 1] = 60
    found = verdict(changed, reference, exact=False)
    assert found.reason == "labels differ in 1 rows where the reference is decided by more than 2 steps"


def test_shapes_must_fit() -> None:
    reference = run(PROGRAM, BYTE_IDS)
    with pytest.raises(ValueError, match="equal shapes with rows"):
        compare(reference.probabilities[:, :3], reference, logit_scale=SCALE)
    with pytest.raises(ValueError, match="equal shapes with rows"):
        compare(reference.probabilities[:0], Scores(reference.logits[:0], reference.probabilities[:0]), logit_scale=SCALE)


def test_latency_is_the_spread_of_single_calls_in_bounded_time() -> None:
    now = 0
    took = iter([10_000] * 5 + [1_000, 2_000, 3_000, 4_000, 5_000] * 1000)

    class Slow:
        runtime = "test"
        rows: ClassVar[list[int]] = []

        def predict(self, byte_ids: np.ndarray) -> np.ndarray:
            nonlocal now
            self.rows.append(len(byte_ids))
            now += next(took)
            return np.zeros((1, 2), np.float32)

    found = measure_latency(Slow(), BYTE_IDS, seconds=0.0003, clock_ns=lambda: now)
    assert set(Slow.rows) == {1}
    assert found.median == pytest.approx(3.0, abs=0.01)
    assert found.p10 == pytest.approx(1.0, abs=0.01)
    assert found.p90 == pytest.approx(5.0, abs=0.01)
    assert now < 0.0004 * 1e9


def test_a_session_may_time_itself() -> None:
    class Timed:
        runtime = "test"
        asked: ClassVar[list[int]] = []

        def predict(self, byte_ids: np.ndarray) -> np.ndarray:
            raise AssertionError(f"the caller's clock is not used for {len(byte_ids)} rows")

        def time_us(self, byte_ids: np.ndarray, repeats: int) -> np.ndarray:
            assert len(byte_ids) == 3
            self.asked.append(repeats)
            return np.tile(np.array([10.0, 20.0, 30.0]), (repeats, 1))

    found = measure_latency(Timed(), BYTE_IDS[:3], seconds=0.003)
    assert (found.p10, found.median, found.p90) == (10.0, 20.0, 30.0)
    assert Timed.asked == [1, 45]


def test_a_latency_needs_a_text() -> None:
    with pytest.raises(ValueError, match="at least one text"):
        measure_latency(Answers(np.zeros((1, 2), np.float32)), BYTE_IDS[:0])


def test_a_file_in_float_is_compared_with_real_numbers() -> None:
    expected = np.array([[0.5, 0.3, 0.2], [0.40004, 0.39998, 0.19998], [0.1, 0.1, 0.8]], np.float32)
    assert compare_real(expected, expected).verified
    near = expected.copy()
    near[1] = [0.39999, 0.40003, 0.19998]  # another label, where both were as probable
    near[2] += [5e-5, -5e-5, 0]
    found = compare_real(near, expected)
    assert (found.verified, found.agreement) == (True, 1.0)
    assert found.max_probability_difference == pytest.approx(5e-5, rel=0.01)
    off = near.copy()
    off[0] = [0.4998, 0.3002, 0.2]
    found = compare_real(off, expected)
    assert (found.verified, found.agreement) == (False, pytest.approx(2 / 3))
    assert found.reason == "a probability differs by 0.0002 in row 0, more than 0.0001"
    decided = np.array([[0.33345, 0.33330, 0.33325]], np.float32)
    found = compare_real(np.array([[0.33337, 0.33338, 0.33325]], np.float32), decided)
    assert found.reason == "labels differ in 1 of 1 rows, first in row 0"
    off[2, 0] = np.nan
    assert compare_real(off, expected).reason == "probabilities are not finite in 1 rows"
    with pytest.raises(ValueError, match="received \\(3, 3\\) and \\(2, 3\\)"):
        compare_real(expected, expected[:2])


def test_a_session_that_computes_in_float_says_so() -> None:
    program = sequence_program()
    answers = real_probabilities(program, BYTE_IDS)
    exact = verify_file(program, Answers(answers), BYTE_IDS)
    assert not exact.verified  # these are not the integers' answers
    assert verify_file(program, FloatAnswers(answers), BYTE_IDS, reference=run(program, BYTE_IDS)).verified
