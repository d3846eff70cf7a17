"""Trainings on a second device: nothing stays behind, the same is learned as on the processor, and either can go on."""

from __future__ import annotations

import json
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import second_device
from second_device import computed, second_processor, trainable
from trainings import RECIPES, task, vectors_and_labels, windows_and_labels, write_lesson
from understudy.errors import SetupError
from understudy.program import archive
from understudy.program.executor import Executor
from understudy.program.ops import Standardize
from understudy.projections.boxes import BoxProjection
from understudy.projections.boxes_torch import BoxLayer
from understudy.students.registry import build_student
from understudy.training import corpus, processor, worker
from understudy.training.corpus import EVALUATION_BATCH, Corpus, ImageCorpus, Seen, VectorCorpus, mixed
from understudy.training.loop import Point, train
from understudy.training.objective import Objective
from understudy.training.placed import OnGpu, placed
from understudy.training.processor import Processor, processor_for, why_not
from understudy.training.schedule import Schedule
from understudy.training.task import TaskResult, run_task
from understudy.training.trainer import Trainer
from understudy.training.workers import Workers


@pytest.fixture(autouse=True)
def _second_device_trains() -> Iterator[None]:
    with trainable():
        yield


def _run(folder: Path, name: str, where: Processor, lesson: dict[str, Any] | None = None, **changes: Any) -> TaskResult:
    store = write_lesson(folder / "lesson", RECIPES[name], **lesson or {})
    results = folder / where.describe()
    results.mkdir(exist_ok=True)
    computed.clear()
    return run_task(task(RECIPES[name], **changes), lesson_folder=store.folder, result_folder=results, processor=where)


@pytest.fixture
def weights_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights keep the order of their values when they are moved: in another one their sums are rounded differently."""
    monkeypatch.setattr(Processor, "place", lambda self, module, **_: module.to(self.device))


VARIED: dict[str, Any] = {"variations": ["rand_augment", "cutout", "mixup"]}
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *((name, {}, {}) for name in RECIPES),
    ("plain_cnn", VARIED, {}),
    ("plain_cnn", {**VARIED, "mirrored": False}, {"taught": False}),
    ("plain_cnn", {}, {"joint": True}),
    ("sgnn", {}, {"joint": True, "objective": {"distillation": "decoupled"}}),
]


@pytest.mark.parametrize(("name", "lesson", "changes"), CASES)
@pytest.mark.usefixtures("weights_stay")
def test_in_float32_the_second_device_trains_what_the_processor_does(
    tmp_path: Path, name: str, lesson: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Every operation runs on one device, or it raises; a step that was left out or done twice would change the result."""
    here = _run(tmp_path, name, Processor(), lesson, **changes)
    assert not computed
    there = _run(tmp_path, name, second_processor(), lesson, **changes)
    assert computed.total() > 100
    assert (here.trained_on, there.trained_on) == (("processor, float32",), ("second device, float32",))
    assert there.curve == here.curve
    assert archive.dumps(there.float_program) == archive.dumps(here.float_program)
    assert archive.dumps(there.program) == archive.dumps(here.program)
    if here.trainer is not None and there.trainer is not None:
        assert archive.dumps(there.trainer) == archive.dumps(here.trainer)


class Stays(Trainer):
    """What a module of the user's is to a training: it reads its own inputs, in memory."""

    moves = False

    def __init__(self) -> None:
        super().__init__()
        self.answers = nn.Embedding(200, 3)
        nn.init.zeros_(self.answers.weight)

    def forward(self, features: torch.Tensor, view: int, index: Any) -> torch.Tensor:  # noqa: ARG002 - as theirs
        return self.answers(torch.from_numpy(index))


def test_a_module_of_the_users_stays_where_it_is_and_learns(tmp_path: Path) -> None:
    recipe = RECIPES["sgnn"]
    program = build_student(recipe, classes=3, seed=0)
    lesson = write_lesson(tmp_path, recipe).read(program.source, taught=False)
    found = []
    for where in (Processor(), second_processor()):
        theirs = Stays()
        objective = Objective(class_weight=torch.tensor([1.0, 2.0, 0.5]))
        schedule = task(recipe).schedule
        trained = train(program, lesson, objective=objective, schedule=schedule, seed=1, trainer=theirs, processor=where)
        assert theirs.answers.weight.device.type == "cpu"
        assert theirs.answers.weight.abs().sum() > 0
        found.append((archive.dumps(trained.integer), theirs.answers.weight.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", list(RECIPES))
def test_in_bfloat16_float_steps_multiply_in_it_and_rounded_steps_do_not(tmp_path: Path, name: str) -> None:
    learned = _run(tmp_path, name, second_processor(torch.bfloat16))
    layers = {key: count for key, count in computed.items() if key.split()[0] in ("convolution", "addmm", "mm")}
    assert any(key.endswith("bfloat16") for key in layers)
    assert any(key.endswith("float32") for key in layers)
    assert {computed[f"{of_rounding} bfloat16"] for of_rounding in ("hardtanh_backward", "_log_softmax")} == {0}
    assert computed["hardtanh_backward float32"] > 0
    assert all(layer.weight.dtype == np.float32 and np.isfinite(layer.weight).all() for layer in learned.float_program.layers)
    assert learned.trained_on == ("second device, bfloat16",)


def test_signs_of_boxes_are_exact_where_layers_multiply_in_bfloat16() -> None:
    where = second_processor(torch.bfloat16)
    layer = BoxLayer(BoxProjection((6, 6, 1), tuple(range(200))))
    values = torch.rand(50, 6, 6, 1, generator=torch.Generator().manual_seed(0))
    expected = layer(values, None)
    where.place(layer)
    with where.mixed():
        found = layer(values.to(where.device), None)
    assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("name", ["plain_cnn", "separable_cnn"])
def test_convolutions_have_their_channels_last(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = nn.functional.conv2d

    def spy(x: torch.Tensor, weight: torch.Tensor, *rest: Any, **groups: Any) -> torch.Tensor:
        seen.append((x, weight))
        return real(x, weight, *rest, **groups)

    monkeypatch.setattr(nn.functional, "conv2d", spy)
    executor = Executor(build_student(RECIPES[name], classes=3, seed=0), normalized=True)
    images = ImageCorpus(np.zeros((8, 12, 12, 3), np.uint8), mirrored=True)
    executor(images.augmentation(Schedule())(images.batch(np.arange(8))))
    assert len(seen) > 2
    for x, weight in seen:
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_network_that_is_pruned_has_its_channels_last_on_a_card_alone() -> None:
    layer = nn.Conv2d(3, 4, 3)
    Processor().place(layer, channels_last=True)
    assert layer.weight.is_contiguous()
    second_processor().place(layer, channels_last=True)
    assert not layer.weight.is_contiguous()
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_second_device_finds_what_was_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = second_processor().device
    there, here = torch.ones(3, device=where), torch.ones(3)
    for mixes in (lambda: there + here, lambda: there[torch.arange(2)], lambda: torch.where(here > 0, there, 0.0)):
        with pytest.raises(RuntimeError, match="same device"):
            mixes()
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()
    assert float((there * torch.tensor(2.0)).sum()) == 6  # as on a card, one value may come from anywhere
    monkeypatch.setattr(corpus, "_shift", lambda images, *_, **__: images[torch.arange(len(images))])
    with pytest.raises(RuntimeError, match="same device"):
        _run(tmp_path, "plain_cnn", second_processor())


@pytest.mark.parametrize("name", ["projection_sequence", "projection_net of texts", "plain_cnn", "projection_rnn"])
@pytest.mark.parametrize("fits", [True, False])
def test_examples_live_on_the_card_where_they_fit(
    tmp_path: Path, name: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = second_processor()
    monkeypatch.setattr(second_device.second_device(), "free_bytes", 10**9 if fits else 1000)
    store = write_lesson(tmp_path / "lesson", RECIPES[name])
    program = store.fitted(build_student(RECIPES[name], classes=3, seed=0))
    [view] = store.read(program.source, taught=False).views
    moved = placed(view, where)
    assert isinstance(moved, OnGpu)
    assert (moved.resident is not None) == fits
    if moved.resident is not None:
        assert moved.resident.device == where.device
        assert moved.resident.dtype in (torch.uint8, torch.int8, torch.int32)
    index = np.array([5, 0, 17, 17, 90])
    batch = moved.batch(index)
    assert batch.device == where.device
    torch.testing.assert_close(batch.cpu(), view.batch(index))
    for found, expected in zip(moved.batches(), view.batches(), strict=True):
        torch.testing.assert_close(found.cpu(), expected)


def test_many_examples_are_moved_in_parts() -> None:
    many = ImageCorpus(np.random.default_rng(0).integers(0, 256, (2 * EVALUATION_BATCH + 3, 2, 2, 1)).astype(np.uint8))
    moved = OnGpu(many, second_processor())
    assert moved.resident is not None
    assert np.array_equal(moved.resident.cpu().numpy(), many.pixels)


PIXELS = np.random.default_rng(0).integers(0, 256, (30, 12, 12, 3)).astype(np.uint8)
WINDOWS = build_student(RECIPES["projection_rnn"], classes=3, seed=0).source
VECTORS = build_student(RECIPES["mlp"], classes=3, seed=0).source
assert isinstance(WINDOWS, Standardize)
assert isinstance(VECTORS, Standardize)
EXAMPLES: dict[str, Seen] = {
    "texts": Corpus(np.arange(120, dtype=np.int32).reshape(30, 4), np.ones((120, 8), np.int8)),
    "drawings": ImageCorpus(PIXELS, variations=("rand_augment", "cutout", "mixup")),
    "photographs": ImageCorpus(PIXELS, mirrored=True, variations=("rand_augment",) * 4),
    "sounds": ImageCorpus(PIXELS[..., :1], of_sounds=True),
    "windows": VectorCorpus(windows_and_labels(30, seed=0)[0], WINDOWS),
    "vectors": VectorCorpus(vectors_and_labels(30, seed=0)[0], VECTORS),
}


@pytest.mark.parametrize("kind", list(EXAMPLES))
def test_examples_are_varied_where_they_are(kind: str) -> None:
    examples, where = EXAMPLES[kind], second_processor()
    index = np.arange(30)
    vary = examples.augmentation(Schedule())
    torch.manual_seed(1)
    expected, _ = mixed(examples, vary(examples.batch(index)))
    torch.manual_seed(1)
    found, _ = mixed(examples, vary(placed(examples, where).batch(index)))
    assert found.device == where.device
    assert torch.equal(found.cpu(), expected)
    assert not torch.equal(expected, examples.batch(index))


def test_the_processor_takes_its_batches_as_they_are() -> None:
    images = ImageCorpus(PIXELS)
    assert placed(images, Processor()) is images


@pytest.mark.parametrize("name", ["plain_cnn", "pruned"])
@pytest.mark.parametrize("second_first", [True, False])
@pytest.mark.usefixtures("weights_stay")
def test_a_killed_training_goes_on_elsewhere(tmp_path: Path, name: str, second_first: bool) -> None:
    class Kill(BaseException):
        pass

    def kill(point: Point) -> None:
        if point.step == 4:
            raise Kill

    first, second = (second_processor(), Processor()) if second_first else (Processor(), second_processor())
    store = write_lesson(tmp_path / "lesson", RECIPES[name])
    training = task(RECIPES[name])
    where = {"lesson_folder": store.folder, "result_folder": tmp_path}
    with pytest.raises(Kill):
        run_task(training, **where, processor=first, on_point=kill)
    for path in tmp_path.glob(f"{training.key}.*"):
        assert type(torch.load(path, weights_only=True)["random"]) is torch.Tensor  # read without the device
    steps: list[int] = []
    result = run_task(training, **where, processor=second, on_point=lambda point: steps.append(point.step))
    assert steps == [5]
    assert result.trained_on == (first.describe(), second.describe())
    (tmp_path / "whole").mkdir()
    whole = run_task(training, lesson_folder=store.folder, result_folder=tmp_path / "whole")
    assert result.curve == whole.curve
    assert archive.dumps(result.program) == archive.dumps(whole.program)


def test_a_result_of_an_older_version_was_trained_on_the_processor(tmp_path: Path) -> None:
    result = _run(tmp_path, "mlp", Processor())
    [path] = (tmp_path / "processor, float32").glob("*.trained")
    with zipfile.ZipFile(path) as bundle:
        parts = {name: bundle.read(name) for name in bundle.namelist()}
    record = json.loads(parts["record.json"])
    assert record.pop("trained_on") == ["processor, float32"]
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in {**parts, "record.json": json.dumps(record)}.items():
            bundle.writestr(name, content)
    again = _run(tmp_path, "mlp", Processor())
    assert again.trained_on == result.trained_on
    assert archive.dumps(again.program) == archive.dumps(result.program)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose torch says that it has a graphics card."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Imagined 9000")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    processor_for.cache_clear()
    yield
    processor_for.cache_clear()


@pytest.mark.usefixtures("card")
def test_a_card_that_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "why_not", lambda _: "")
    for choice in ("auto", "cuda"):
        found = processor_for(choice)  # type: ignore[arg-type]
        assert (found.device.type, found.is_gpu, found.explain()) == ("cuda", True, "Imagined 9000, bfloat16")
    assert processor_for("cpu") == Processor(precision_is_open=True)
    assert processor_for("auto", "float32").explain() == "Imagined 9000, float32"
    processor_for.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert processor_for("auto").describe() == "Imagined 9000, float32"


@pytest.mark.usefixtures("card")
def test_a_card_that_does_not_compute_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(*_: Any, **__: Any) -> None:
        raise torch.AcceleratorError("CUDA error: no kernel image is available\nfor execution on the device")

    monkeypatch.setattr(Processor, "place", place)
    found = processor_for("auto", "float32")
    assert found.device.type == "cpu"
    reason = "Imagined 9000 does not compute: CUDA error: no kernel image is available for execution on the device"
    assert found.explain() == f"processor, float32 ({reason})"
    with pytest.raises(SetupError, match=rf"training\.processor='cuda' needs .* received torch=.*\({reason}\); .* or 'cpu'$"):
        processor_for("cuda")


@pytest.mark.usefixtures("card")
def test_what_the_driver_warns_of_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_card() -> bool:
        warnings.warn("CUDA initialization: the driver on your system\n is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", no_card)
    assert processor_for("auto").reason == "CUDA initialization: the driver on your system is too old"
    processor_for.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert processor_for("auto").reason == "torch finds no graphics card"


def test_a_step_is_tried_before_a_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(Processor()) == ""
    assert why_not(second_processor(torch.bfloat16)) == ""
    monkeypatch.setattr(torch.Tensor, "square", lambda x: x * float("nan"))
    assert why_not(Processor()) == "processor computes no numbers"


def test_without_a_card_the_processor_trains_and_the_reason_is_said() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a graphics card")
    processor_for.cache_clear()
    found = processor_for("auto")
    assert (found.device.type, found.describe()) == ("cpu", "processor, float32")
    assert "torch" in found.reason
    with pytest.raises(SetupError, match="needs a graphics card that torch can use: received torch="):
        processor_for("cuda")
    assert processor_for("cpu").reason == ""


def test_the_processor_trains_in_bfloat16_where_that_is_asked_for(tmp_path: Path) -> None:
    asked = processor_for("cpu", "bfloat16")
    assert (asked.device.type, asked.describe()) == ("cpu", "processor, bfloat16")
    assert processor_for("cpu", "float32") == Processor()
    store = write_lesson(tmp_path / "lesson", RECIPES["plain_cnn"])
    with Workers(store.folder, tmp_path / "results", count=1, processor=asked) as workers:
        [result] = workers.run([task(RECIPES["plain_cnn"])])
    exact = _run(tmp_path, "plain_cnn", Processor())
    assert (result.trained_on, exact.trained_on) == (("processor, bfloat16",), ("processor, float32",))
    # as good, but not the same weights
    assert result.validation_accuracy > exact.validation_accuracy - 0.1
    assert archive.dumps(result.program) != archive.dumps(exact.program)


def test_large_plain_cnns_train_in_bfloat16_where_there_are_units_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_one = processor_for("cpu")
    for units, learns_in in ((False, "float32"), (True, "bfloat16")):
        monkeypatch.setattr(processor, "has_bfloat16_units", lambda units=units: units)
        assert open_one.for_student("plain_cnn", processor.LEAST_MACS).precision_name == learns_in
        assert open_one.for_student("plain_cnn", processor.LEAST_MACS - 1) == open_one
        assert open_one.for_student("separable_cnn", 10**9) == open_one
        assert processor_for("cpu", "float32").for_student("plain_cnn", 10**9).precision_name == "float32"
    assert open_one.explain() == "processor, float32, large plain CNNs in bfloat16"
    monkeypatch.setattr(processor, "LEAST_MACS", 1)
    assert _run(tmp_path / "open", "plain_cnn", open_one).trained_on == ("processor, bfloat16",)
    again = task(RECIPES["plain_cnn"], after=task(RECIPES["plain_cnn"]).key)
    store = write_lesson(tmp_path / "open" / "lesson", RECIPES["plain_cnn"])
    results = tmp_path / "open" / open_one.describe()
    anew = run_task(again, lesson_folder=store.folder, result_folder=results, processor=open_one)
    assert anew.trained_on == ("processor, float32",), "all of its steps round"


def test_workers_are_told_that_the_precision_is_open() -> None:
    for precision in ("auto", "float32", "bfloat16"):
        assert processor_for("cpu", precision).asked_precision == precision  # type: ignore[arg-type]
    assert isinstance(processor.has_bfloat16_units(), bool)


def test_a_worker_that_finds_no_card_says_so_in_one_line(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a graphics card")
    store = write_lesson(tmp_path / "lesson", RECIPES["mlp"])
    card = Processor(torch.device("cuda"), "gone", torch.bfloat16)
    with (
        Workers(store.folder, tmp_path / "results", count=1, processor=card) as workers,
        pytest.raises(SetupError, match=r"training\.processor='cuda' needs a graphics card"),
    ):
        workers.run([task(RECIPES["mlp"])])


def test_too_little_memory_on_a_card_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Over(BaseException):
        pass

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    lines = iter([json.dumps(task(RECIPES["mlp"]).to_json())])

    class Queue:
        def put(self, line: str) -> None: ...

        def get(self) -> str:
            try:
                return next(lines)
            except StopIteration:
                raise Over from None

    monkeypatch.setattr(worker, "run_task", full)
    monkeypatch.setattr(worker.queue, "SimpleQueue", Queue)
    monkeypatch.setattr(worker.threading.Thread, "start", lambda _: None)
    monkeypatch.setattr(worker.sys, "argv", ["worker", str(tmp_path), str(tmp_path), "cpu", "float32"])
    with pytest.raises(Over):
        worker.main(sys.stdout)
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["kind"]) == ("failed", "SetupError")
    assert "received error='CUDA out of memory. Tried to allocate 2.00 GiB'" in event["message"]
    assert "training.processor to 'cpu'" in event["message"]
