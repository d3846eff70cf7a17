from __future__ import annotations

from typing import Literal

import pytest

from families import clinc_like_family
from understudy.family import Baseline, LatencyCheck, QuantizationRecord
from understudy.quantization_measurements import Cure
from understudy.report.findings import findings, half_interval, lowest_accuracy

FAMILY = clinc_like_family()


def texts(**changes: object) -> dict[str, str]:
    return {finding.text.replace("\xa0", " "): finding.kind for finding in findings(FAMILY.model_copy(update=changes))}


def test_the_bad_comes_first() -> None:
    kinds = list(texts().values())
    assert kinds == sorted(kinds, key=("bad", "note", "good").index)


def test_a_file_that_takes_too_long_is_bad_news() -> None:
    check = LatencyCheck(target="host", format="onnx", limit_us=80, estimated_us=70, latency_us=84, measured=True)
    member = FAMILY.members[0].model_copy(update={"latency_checks": (check,)})
    assert texts(members=(member,))["16KB: the onnx file takes 84 µs on host, where at most 80 µs were asked for."] == "bad"


@pytest.mark.parametrize(
    ("reached", "helped", "kind", "says"),
    [
        (0.9, True, "note", "qat helped, which leaves ±0.0 points."),
        (0.85, True, "bad", "qat helped, which leaves −5.0 points."),
        (0.8, False, "bad", "nothing that was tried helped."),
    ],
)
def test_what_quantization_cost_and_what_helped(reached: float, helped: bool, kind: str, says: str) -> None:
    state: Literal["kept", "no better"] = "kept" if helped else "no better"
    cost = QuantizationRecord(
        mode="ptq",
        weight_range="mse",
        activation_range="min-max",
        max_drop=0.01,
        float_accuracy=0.9,
        first_accuracy=0.8,
        accuracy=reached,
        cures=(Cure(name="qat", state=state, validation_accuracy=reached, size_bytes=9000),),
    )
    member = FAMILY.members[0].model_copy(update={"quantization": cost})
    found = texts(members=(member,))
    assert found[f"16KB: quantization cost −10.0 points on validation; {says}"] == kind
    accepted = cost.model_copy(update={"cures": (), "accuracy": 0.9})
    member = FAMILY.members[0].model_copy(update={"quantization": accepted})
    assert not [text for text in texts(members=(member,)) if "quantization" in text]


def test_a_student_below_a_baseline_is_named() -> None:
    found = texts()
    assert found["16KB: the student (87.1 %) is below the baseline TF-IDF + logistic regression (89.9 %, 6.10 MB)."] == "bad"
    assert not [text for text in found if text.startswith("32KB: the student")]
    assert found["From 32KB on, students reach the strongest baseline, TF-IDF + logistic regression (+1.4 points)."] == "good"


def test_no_praise_when_no_student_reaches_the_baseline() -> None:
    found = texts(baselines=(Baseline(name="fastText", accuracy=0.99),))
    assert sum("is below the baseline fastText (99.0 %)" in text for text in found) == 3
    assert not [text for text in found if "reach the strongest" in text]


def test_the_claimed_accuracy_is_that_of_the_worst_file() -> None:
    member = FAMILY.members[0]
    worse = member.files[1].model_copy(update={"accuracy": 0.5})
    assert lowest_accuracy(member.model_copy(update={"files": (member.files[0], worse)})) == 0.5


def test_budgets_out_of_reach_teachers_and_data_are_named() -> None:
    found = texts()
    assert found["2KB cannot be met: the smallest reachable litert file has 6.2 KB."] == "bad"
    assert found["16KB: the teacher did not help; the twin without teacher is better by 0.4 points."] == "note"
    data = (
        "The data had 12 × validation or test rows that another part has too; "
        "3 × test rows with a label that train does not have, counted as wrong; 6 × texts longer than the bytes that are read."
    )
    assert found[data] == "note"
    assert found["All 9 files were run in their own runtimes over the whole test split and agree with the reference."] == "good"


def test_a_teacher_that_was_absent_or_not_used_is_named() -> None:
    assert texts(teacher=None)["There was no teacher: the students learned from labels alone."] == "note"
    unused = FAMILY.teacher.model_copy(update={"used": False, "note": "only 0.3 points over the baseline"})  # type: ignore[union-attr]
    assert texts(teacher=unused)["The teacher default was not used: only 0.3 points over the baseline"] == "note"


def test_a_twin_that_is_delivered_is_named() -> None:
    first = FAMILY.members[0].model_copy(update={"passed_over": FAMILY.members[0].twin, "distillation_gain": -0.01})
    found = texts(members=(first, *FAMILY.members[1:]))
    said = (
        "the teacher did not help on validation, so the twin without teacher is delivered; on test the teacher's gain is −1.0"
    )
    assert [kind for text, kind in found.items() if text.startswith(f"{first.budget}: {said}")] == ["note"]


def test_the_interval_is_the_normal_one() -> None:
    assert abs(half_interval(0.5, 100) - 0.098) < 1e-3
    assert half_interval(0.9, 0) == 0
