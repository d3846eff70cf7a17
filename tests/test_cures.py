"""Where quantization costs too much, cures are tried in turn; what helped is delivered, and the record says what was tried."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from command import understudy
from plans import plan_of
from understudy.compression.quantize.plan import QuantizationPlan
from understudy.compression.quantize.shape import quantized_shape
from understudy.cures import cured, quantization_record, requantized
from understudy.family import Family
from understudy.program.ops import Program
from understudy.progress import SilentProgress
from understudy.search.space import Budget, Candidate
from understudy.selection import Plan, Selection, Tried
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.schedule import Schedule
from understudy.training.task import TaskResult, TrainingTask

RECIPE = Recipe(student="separable_cnn", features=0, width=4, hidden=8, weight_bits=4, image_shape=(8, 8, 1))
CANDIDATE = Candidate(RECIPE, dropout=0.0, learning_rate=3e-3)
FLOAT = build_student(RECIPE, classes=3, seed=1)


class FakeExamples:
    def __len__(self) -> int:
        return 200

    def inputs(self, _: Program) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1)).astype(np.uint8)


DATASET: Any = SimpleNamespace(validation=FakeExamples())
LAYERS = {layer.output for layer in FLOAT.layers if layer.bits == 4}


def plan(mode: Any = "ptq", *, taught: bool = False, joint: bool = False) -> Plan:
    quantization = QuantizationPlan(mode)
    build = functools.partial(build_student, classes=3, seed=0)
    return plan_of(RECIPE, classes=3, taught=taught, joint=joint, quantization=quantization, build=build)


def result(accuracy: float, program: Program = FLOAT) -> TaskResult:
    return TaskResult(program, quantized_shape(program), accuracy, 0.9, np.zeros((0, 3), np.float32), (), 1.0, None)


class FakeWorkers:
    """Trains nothing: a training reaches what its quantization is worth."""

    def __init__(self, worth: Mapping[str, float]) -> None:
        self.worth, self.asked = worth, list[TrainingTask]()

    def has_finished(self, _: TrainingTask) -> bool:
        return False

    def run(self, tasks: Sequence[TrainingTask], *, on_point: Any) -> list[TaskResult]:
        del on_point
        self.asked += tasks
        built = [build_student(task.recipe, classes=3, seed=1) for task in tasks]
        return [result(self._reached(task), task.quantization.applied(b)) for task, b in zip(tasks, built, strict=True)]

    def _reached(self, task: TrainingTask) -> float:
        how = task.quantization
        named = {
            "qat": how.mode == "qat",
            "equalization": how.equalized,
            "per-channel": how.per_channel,
            "twin": not task.taught,
        }
        return 0.5 + sum(self.worth.get(name, 0) for name, on in named.items() if on) + 0.01 * len(how.eight_bits)


def treat(
    workers: FakeWorkers, selection: Selection, shared: Plan, *, max_drop: float = 0.01, largest: int = 10**6
) -> Selection:
    def sizes_of(program: Program) -> dict[str, int]:
        scales = sum(len(layer.weight) if layer.per_channel else 1 for layer in program.layers)
        return {"c": scales + sum(layer.weight.size * layer.bits // 8 for layer in program.layers)}

    return cured(
        selection,
        shared,
        budget=Budget("9KB", {"c": largest}),
        max_drop=max_drop,
        sizes_of=sizes_of,
        dataset=DATASET,
        workers=workers,  # type: ignore[arg-type]
        progress=SilentProgress(),
    )


def found(accuracy: float = 0.5, **changes: Any) -> Selection:
    tried = Tried(0, CANDIDATE, 1000, accuracy, 1.0, result(accuracy), None)
    return Selection("9KB", 9 * 1024, (tried,), **{"quantization": QuantizationPlan("ptq"), **changes})


def test_a_small_loss_is_left_alone() -> None:
    workers = FakeWorkers({})
    selection = found(0.89)
    assert treat(workers, selection, plan()) is selection
    assert workers.asked == []
    record = quantization_record(selection, DATASET, max_drop=0.01)
    assert (record.cures, record.first_layers, record.is_exceeded) == ((), (), False)
    assert [layer.layer for layer in record.layers] == [layer.output for layer in FLOAT.layers]


def test_one_example_is_no_loss() -> None:
    workers = FakeWorkers({})
    assert treat(workers, found(0.895), plan(), max_drop=0.0).cures == ()
    assert treat(workers, found(0.89), plan(), max_drop=0.0).cures != ()


def test_cures_come_in_turn_on_top_of_each_other_until_it_is_enough() -> None:
    workers = FakeWorkers({"qat": 0.2, "equalization": -0.1, "per-channel": 0.2})
    selection = treat(workers, found(), plan())
    assert [(cure.name, cure.state) for cure in selection.cures] == [
        ("qat", "kept"),
        ("equalization", "no better"),
        ("per-channel", "kept"),
    ]
    assert [cure.validation_accuracy for cure in selection.cures] == pytest.approx([0.7, 0.6, 0.9])
    assert selection.quantization == QuantizationPlan("qat", per_channel=True)
    assert all(task.after == workers.asked[0].after for task in workers.asked)
    assert selection.student.validation_accuracy == pytest.approx(0.9)
    assert all(layer.per_channel for layer in selection.student.program.layers)
    record = quantization_record(selection, DATASET, max_drop=0.01)
    assert (record.mode, record.first_accuracy, record.is_exceeded) == ("qat", 0.5, False)
    assert record.accuracy == pytest.approx(0.9)
    assert len(record.first_layers) == len(record.layers) == len(FLOAT.layers)


def test_layers_get_eight_bits_the_noisiest_first() -> None:
    selection = treat(FakeWorkers({}), found(), plan("qat"))
    names = [cure.name for cure in selection.cures]
    assert names[:2] == ["equalization", "per-channel"]
    assert {name.removeprefix("8 bits for ") for name in names[2:]} == LAYERS
    first = quantization_record(selection, DATASET, max_drop=0.01).first_layers
    order = sorted((layer for layer in first if layer.bits == 4), key=lambda layer: layer.alone_db or 0)
    assert names[2:] == [f"8 bits for {layer.layer}" for layer in order]
    assert quantization_record(selection, DATASET, max_drop=0.01).is_exceeded


def test_what_does_not_fit_is_not_trained() -> None:
    workers = FakeWorkers({"qat": 0.1, "per-channel": 0.3})
    fits = len(FLOAT.layers) + sum(layer.weight.size * layer.bits // 8 for layer in FLOAT.layers)
    selection = treat(workers, found(), plan(), largest=fits)
    states = {cure.name: cure.state for cure in selection.cures}
    assert states.pop("qat") == "kept"
    assert states.pop("equalization") == "no better"
    assert set(states.values()) == {"too large"}
    assert all(cure.size_bytes > fits and cure.validation_accuracy is None for cure in selection.cures[2:])
    assert not any(task.quantization.per_channel for task in workers.asked)


def test_a_narrower_student_makes_room_for_scales() -> None:
    wide = replace(RECIPE, width=16, hidden=32)
    tried = Tried(0, replace(CANDIDATE, recipe=wide), 1000, 0.5, 1.0, result(0.5, build_student(wide, classes=3, seed=1)), None)
    selection = Selection("9KB", 9 * 1024, (tried,), refit=result(0.6), quantization=QuantizationPlan("ptq"))
    workers = FakeWorkers({"per-channel": 0.45})
    layers = tried.result.float_program.layers if tried.result else ()
    fits = len(layers) + sum(layer.weight.size * layer.bits // 8 for layer in layers)
    after = treat(workers, selection, plan(), largest=fits)
    assert [(cure.name, cure.state, cure.width) for cure in after.cures] == [
        ("qat", "no better", None),
        ("equalization", "no better", None),
        ("per-channel", "kept", 12),
    ]
    assert after.cures[-1].size_bytes <= fits
    assert after.best.candidate.recipe == replace(wide, width=12, hidden=24)
    assert after.best.size_bytes == after.cures[-1].size_bytes
    assert after.student is after.refit and after.student.validation_accuracy == pytest.approx(0.95)
    # the narrower ones learn from the beginning, then each is quantized
    beginnings = [task for task in workers.asked if task.after is None]
    assert [(task.recipe.width, task.refit) for task in beginnings] == [(12, False), (12, False), (12, True)]
    assert {task.after for task in workers.asked if task.quantization.per_channel} == {task.key for task in beginnings}


def test_refit_and_twin_get_what_helped_where_it_helps_them() -> None:
    trial = Tried(0, CANDIDATE, 1000, 0.5, 1.0, result(0.5), result(0.45))
    selection = Selection(
        "9KB", 9 * 1024, (trial,), result(0.55), result(0.99), teacher_is_optional=True, quantization=QuantizationPlan("ptq")
    )
    workers = FakeWorkers({"qat": 0.4, "twin": 0.05})
    after = treat(workers, selection, plan(taught=True))
    assert after.student is after.refit
    assert after.refit is not None and after.refit.validation_accuracy == pytest.approx(0.9)
    assert after.twin_refit is selection.twin_refit  # its 99 % would have become less
    assert after.best_twin is not None and after.best_twin.twin is not None
    assert after.best_twin.twin.validation_accuracy == pytest.approx(0.95)
    assert not after.delivers_twin  # decided before the cures
    assert {(task.taught, task.refit) for task in workers.asked} == {(a, b) for a in (True, False) for b in (True, False)}


def test_what_helped_leaves_the_teacher_that_learned_beside_the_student() -> None:
    wide = build_student(replace(RECIPE, width=8), classes=3, seed=2)
    trial = Tried(0, CANDIDATE, 1000, 0.5, 1.0, replace(result(0.5), trainer=wide), None)
    selection = Selection("9KB", 9 * 1024, (trial,), quantization=QuantizationPlan("ptq"))
    after = treat(FakeWorkers({"qat": 0.4}), selection, plan(taught=True, joint=True))
    assert after.best.result is not None and after.best.result.validation_accuracy == pytest.approx(0.9)
    assert after.best.result.trainer is wide


def test_what_was_learned_jointly_goes_on_with_labels() -> None:
    task = plan(taught=True, joint=True).task(CANDIDATE, taught=True)
    again = requantized(task, QuantizationPlan("qat", equalized=True))
    assert (task.joint, again.joint, again.taught, again.after) == (True, False, False, task.key)
    assert (task.schedule.quantized_fraction, again.schedule.quantized_fraction) == (0.0, Schedule.quantized_fraction)
    assert TrainingTask.from_json(json.loads(json.dumps(again.to_json()))) == again
    assert replace(again, quantization=QuantizationPlan("qat")).key != again.key


JOB = """
budgets = ["24KB"]
formats = ["c"]
weight_bits = 4
max_macs = "21k"
[data]
train = "digits.npz"
[training]
epochs = 20
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cures")
    known = load_digits()
    np.savez(folder / "digits.npz", x=np.minimum(known.images[:700] * 16, 255).astype(np.uint8), y=known.target[:700])
    (folder / "job.toml").write_text(JOB)
    return folder


@pytest.mark.slow
def test_the_command_says_what_quantization_cost_and_what_helped(digits: Path) -> None:
    arguments = ("compress", "job.toml", "--out", "out", "--ptq")
    outcome = understudy(*arguments, "--max-quantization-drop", "0", folder=digits)
    assert outcome.exit_code == 0, outcome.err
    [member] = Family.load(digits / "out").members
    cost = member.quantization
    assert cost is not None
    assert cost.first_accuracy < cost.float_accuracy
    assert cost.cures[0].name == "qat"
    kept = [cure for cure in cost.cures if cure.state == "kept"]
    assert kept and cost.accuracy == kept[-1].validation_accuracy == member.validation_accuracy
    assert member.recipe["cures"] == [cure.name for cure in kept]
    assert all(file.verified and file.agreement == 1 for file in member.files)
    assert "24KB: quantization cost +" in outcome.out
    assert "tried: qat" in outcome.out
    page = (digits / "out" / "report.html").read_text()
    assert "What was tried for 24KB" in page
    assert "before the cures" in page

    trained = {path.name for path in (digits / "out" / ".understudy" / "results").iterdir()}
    again = understudy(*arguments, "--max-quantization-drop", "1", "--json", folder=digits)
    assert again.exit_code == 0, again.err
    [accepted] = json.loads(again.out)["family"]["members"]
    assert {path.name for path in (digits / "out" / ".understudy" / "results").iterdir()} == trained
    assert accepted["quantization"]["cures"] == []
    assert accepted["quantization"]["accuracy"] == cost.first_accuracy
    assert len(accepted["quantization"]["layers"]) == len(cost.layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-quantization-drop", "2"), "quantization.max_drop"),
        (("--max-quantization-drop", "-0.1"), "quantization.max_drop"),
    ],
)
def test_a_drop_that_is_no_share_is_refused(digits: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = understudy("compress", "job.toml", "--out", "other", *arguments, folder=digits)
    assert outcome.exit_code == 2
    assert message in outcome.err and outcome.err.count("\n") == 1
    assert not (digits / "other").exists()
