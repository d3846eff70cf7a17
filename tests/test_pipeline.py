"""The main job on a tiny data set, as a library call: real trainings, real files, real runtimes."""

from __future__ import annotations

import hashlib
import html
import json
import shutil
from pathlib import Path

import pytest

import understudy
from command import contents
from families import study_of_bits
from understudy import teaching
from understudy.additions import add_formats
from understudy.bundle import Bundle
from understudy.cli.summary import print_family
from understudy.errors import BudgetError, InputError
from understudy.family import Family
from understudy.formats import FLOAT_FORMATS, FORMATS
from understudy.job import job_from_arguments
from understudy.pipeline import run_job
from understudy.progress import SilentProgress
from understudy.protection.envelope import public_device_key
from understudy.protection.keys import to_pem
from understudy.training.processor import processor_for
from understudy.training.task import TrainingTask
from understudy.training.workers import Workers

SETTINGS = {"training.epochs": 6, "training.augmented_views": 2, "formats": ("c", "onnx", "litert")}


def _files(folder: Path) -> dict[str, bytes]:
    """Return the model files and manifests of all bundles in ``folder``."""
    names = ("manifest.json", "model.h", "model.onnx", "model.tflite", "labels.txt", "vectors.npz")
    found = [path for path in sorted(folder.rglob("*")) if path.name in names and ".understudy" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


class Notes(SilentProgress):
    """Keeps the lines that a job says."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module")
def finished(tiny_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Family, Path]:
    out = tmp_path_factory.mktemp("family") / "out"
    family = understudy.compress(data=tiny_csv, budgets=["16KB", "32KB", "1KB"], out=out, **SETTINGS)
    return family, out


def test_every_member_fits_its_budget_and_is_verified(finished: tuple[Family, Path]) -> None:
    family, out = finished
    assert [member.budget for member in family.members] == ["16KB", "32KB"]
    assert {member.recipe["width"] for member in family.members} != {family.members[0].recipe["width"]}
    for member in family.members:
        assert {file.format for file in member.files} == {"c", "onnx", "litert"}
        assert member.trained_on == (processor_for("auto").describe(),)
        for file in member.files:
            assert file.verified
            assert file.agreement == 1
            assert file.size_bytes <= member.budget_bytes
            if file.format != "c":
                assert (out / file.path).stat().st_size == file.size_bytes
        assert member.accuracy > 0.5


def test_what_cannot_be_met_is_named(finished: tuple[Family, Path]) -> None:
    [missed] = finished[0].infeasible
    assert missed.budget == "1KB"
    assert 1024 < missed.smallest_bytes < 16 * 1024
    assert missed.format in {"c", "onnx", "litert"}


def test_the_family_is_on_disk_and_predicts(finished: tuple[Family, Path]) -> None:
    family, out = finished
    again = Family.load(out)
    assert again == family
    assert (out / "report.html").stat().st_size > 10_000
    for member in family.members:
        assert (out / member.path / "card.md").exists()
    answers = family.best(max_bytes=20_000).predict(["hello there", ""])
    assert len(answers) == 2
    assert sum(answers[0].scores) == pytest.approx(1, abs=1e-5)
    assert Bundle.open(out / "16KB").manifest.labels == family.data.class_names


def test_no_users_text_is_in_the_output(finished: tuple[Family, Path], tiny_csv: Path) -> None:
    _, out = finished
    texts = [line.split(",")[0].strip('"') for line in tiny_csv.read_text().splitlines()[1:]]
    visible = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file() and ".understudy" not in path.parts)
    assert not [text for text in texts if len(text) > 20 and text.encode() in visible]


def test_running_again_trains_nothing_and_gives_the_same_files(finished: tuple[Family, Path], tiny_csv: Path) -> None:
    _, out = finished
    before = _files(out)
    results = {path: path.stat().st_mtime_ns for path in (out / ".understudy" / "results").iterdir()}
    understudy.compress(data=tiny_csv, budgets=["16KB", "32KB", "1KB"], out=out, **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in (out / ".understudy" / "results").iterdir()} == results
    assert _files(out) == before


def test_confused_texts_are_shown_on_request_and_cost_no_training(
    finished: tuple[Family, Path], tiny_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished[1], out)
    results = sorted(path.name for path in (out / ".understudy" / "results").iterdir())
    before = _files(out)
    family = understudy.compress(data=tiny_csv, budgets=["16KB", "32KB", "1KB"], out=out, show_examples=2, **SETTINGS)
    assert sorted(path.name for path in (out / ".understudy" / "results").iterdir()) == results
    assert _files(out) == before
    written, page = tiny_csv.read_text(), (out / "report.html").read_text()
    confusions = [confusion for member in family.members for confusion in member.confusions]
    assert confusions
    for confusion in confusions:
        assert len(confusion.examples) == min(2, confusion.count)
        assert all(text in written for text in confusion.examples)
        assert html.escape(confusion.examples[0]) in page


def test_the_test_split_influences_nothing(tiny_csv: Path, tmp_path: Path) -> None:
    lines = tiny_csv.read_text().splitlines()
    files = []
    for name, rows in (("a", lines[1:30]), ("b", lines[-25:])):
        test = tmp_path / f"{name}.csv"
        test.write_text("\n".join([lines[0], *rows]))
        out = tmp_path / name
        family = understudy.compress(
            data=tiny_csv,
            budgets=["12KB"],
            out=out,
            test=test,
            teacher="none",
            **{**SETTINGS, "training.epochs": 2, "formats": ("c", "onnx")},
        )
        assert family.data.splits["test"].examples == len(rows)
        files.append(_files(out))
    assert files[0] == files[1]


def test_a_time_too_short_for_the_usual_training_gives_a_shorter_one_that_the_record_repeats(
    tiny_csv: Path, tmp_path: Path
) -> None:
    settings = {"training.augmented_views": 2, "formats": ("c",), "teacher": "none", "budgets": ["8KB"]}
    progress = Notes()
    family = understudy.compress(data=tiny_csv, out=tmp_path / "short", time="1s", progress=progress, **settings)
    epochs, trials = family.job["training"]["epochs"], len(family.members[0].trials)
    times = "once" if epochs == 1 else f"{epochs} times"
    assert f"in time=1s the first trainings go over the examples {times}, less than usual" in progress.notes
    assert (family.members[0].trials[0].seconds, trials) < (10, 2)
    # a second run has as much time, but what was begun with this one goes on
    again = understudy.compress(data=tiny_csv, out=tmp_path / "short", time="1s", **settings)
    assert again.job == family.job
    settings = {**settings, "training.epochs": epochs, "trials": trials}
    understudy.compress(data=tiny_csv, out=tmp_path / "again", **settings)
    assert _files(tmp_path / "again") == _files(tmp_path / "short")


@pytest.mark.slow
def test_the_refit_can_be_left_out(finished: tuple[Family, Path], tiny_csv: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "training.refit": False}
    [without] = understudy.compress(data=tiny_csv, budgets=["16KB"], out=tmp_path, **settings).members
    [refitted, _] = finished[0].members
    assert (refitted.refit, without.refit) == (True, False)
    assert Bundle.open(tmp_path / "16KB").manifest.threshold == Bundle.open(finished[1] / "16KB").manifest.threshold
    assert without.validation_accuracy == refitted.validation_accuracy
    assert without.learning_curve == refitted.learning_curve
    assert (tmp_path / "16KB" / "model.h").read_bytes() != (finished[1] / "16KB" / "model.h").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("stopped_in", "trials"), [("the search", 1), ("the refit", 3)])
def test_ctrl_c_keeps_the_best_and_the_next_run_goes_on(
    tiny_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_in: str, trials: int
) -> None:
    job = job_from_arguments(tiny_csv, budgets=("12KB",), trials=3, teacher="none", **{**SETTINGS, "formats": ("c",)})
    whole = run_job(job, out=tmp_path / "whole")
    rounds = 0
    run = Workers.run

    def interrupted(self: Workers, tasks: list[TrainingTask], **options: object) -> object:
        nonlocal rounds
        rounds += 1
        if rounds == {"the search": 2, "the refit": 4}[stopped_in]:
            raise KeyboardInterrupt
        return run(self, tasks, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Workers, "run", interrupted)
    stopped = run_job(job, out=tmp_path / "out")
    assert not stopped.finished
    assert [(len(member.trials), member.refit) for member in stopped.members] == [(trials, False)]
    assert all(trial.seconds and trial.seconds > 0 for trial in stopped.members[0].trials)
    trained = set((tmp_path / "out" / ".understudy" / "results").iterdir())
    monkeypatch.setattr(Workers, "run", run)
    resumed = run_job(job, out=tmp_path / "out")
    assert resumed.finished
    assert resumed.members[0].refit
    assert trained < set((tmp_path / "out" / ".understudy" / "results").iterdir())
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")
    assert [t.validation_accuracy for t in resumed.members[0].trials] == [
        t.validation_accuracy for t in whole.members[0].trials
    ]


@pytest.mark.slow
@pytest.mark.parametrize("student", ["projection_net", "sgnn"])
def test_every_student_can_be_asked_for(tiny_csv: Path, tmp_path: Path, student: str) -> None:
    family = understudy.compress(
        data=tiny_csv, budgets=["24KB"], out=tmp_path / "out", student=student, teacher="none", **SETTINGS
    )
    [member] = family.members
    assert member.student == student
    assert all(file.verified for file in member.files)


@pytest.mark.slow
def test_a_budget_is_added_to_a_finished_folder(finished: tuple[Family, Path], tiny_csv: Path, tmp_path: Path) -> None:
    before, folder = finished
    out = Path(shutil.copytree(folder, tmp_path / "out"))
    known, trained = _files(out), contents(out / ".understudy" / "results")
    with pytest.raises(InputError, match="budgets may be added to an output folder, and stay: .* has 32KB, 1KB too"):
        understudy.compress(data=tiny_csv, budgets=["16KB", "12KB"], out=out, **SETTINGS)
    family = understudy.compress(data=tiny_csv, budgets=["1KB", "12KB", "16KB", "32KB"], out=out, **SETTINGS)
    assert [member.budget for member in family.members] == ["12KB", "16KB", "32KB"]
    assert [missed.budget for missed in family.infeasible] == ["1KB"]
    assert family == Family.load(out)
    after = contents(out / ".understudy" / "results")
    assert {name: after[name] for name in trained} == trained
    assert len(after) > len(trained)
    assert {name: content for name, content in _files(out).items() if not name.startswith("12KB")} == known
    for member, earlier in zip(family.members[1:], before.members, strict=True):
        assert (member.accuracy, member.learning_curve, member.trials) == (
            earlier.accuracy,
            earlier.learning_curve,
            earlier.trials,
        )
    assert "12KB" in (out / "report.html").read_text()


@pytest.mark.slow
def test_a_budget_that_is_added_gives_what_one_run_of_all_gives(tiny_csv: Path, tmp_path: Path) -> None:
    for budgets in (["12KB"], ["12KB", "32KB"]):
        understudy.compress(data=tiny_csv, budgets=budgets, out=tmp_path / "added", **SETTINGS)
    understudy.compress(data=tiny_csv, budgets=["12KB", "32KB"], out=tmp_path / "at once", **SETTINGS)
    assert _files(tmp_path / "added") == _files(tmp_path / "at once")


def test_a_folder_of_another_job_is_left_alone(finished: tuple[Family, Path], tiny_csv: Path, tmp_path: Path) -> None:
    _, out = finished
    with pytest.raises(InputError, match="holds another one"):
        understudy.compress(data=tiny_csv, budgets=["16KB"], out=out, seed=99, **SETTINGS)
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("precious")
    with pytest.raises(InputError, match="holds something else"):
        understudy.compress(data=tiny_csv, budgets=["16KB"], out=other, **SETTINGS)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]


def test_an_impossible_budget_writes_nothing(tiny_csv: Path, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"smallest reachable size is .* binds"):
        understudy.compress(data=tiny_csv, budgets=["600B"], out=tmp_path / "out", **SETTINGS)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_progress_hears_every_stage(tiny_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teaching, "has_few_validation_texts", lambda _: False)  # a teacher of few texts has no networks

    class Listener(SilentProgress):
        def __init__(self) -> None:
            self.stages: list[str] = []
            self.metrics: list[dict[str, float]] = []

        def stage(self, name: str, total: int | None = None) -> None:  # noqa: ARG002
            self.stages.append(name)

        def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002
            self.metrics.append(metrics)

    listener = Listener()
    understudy.compress(
        data=tiny_csv, budgets=["12KB"], out=tmp_path / "out", progress=listener, **{**SETTINGS, "formats": ("c",)}
    )
    parts = [f"training the teacher's {part}" for part in ("networks", "linear part")]
    for stage in ("reading the data", *parts, "asking the teacher", "training", "exporting and verifying"):
        assert stage in listener.stages
    assert any("validation_accuracy" in metrics for metrics in listener.metrics)


def test_family_json_follows_its_published_schema(finished: tuple[Family, Path]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    _, out = finished
    spec = Path(__file__).parent.parent / "spec"
    jsonschema.validate(json.loads((out / "family.json").read_text()), json.loads((spec / "family.schema.json").read_text()))
    jsonschema.validate(
        json.loads((out / "16KB" / "manifest.json").read_text()), json.loads((spec / "manifest.schema.json").read_text())
    )
    shutil.copytree(out / "16KB", out.parent / "copied")
    assert Bundle.open(out.parent / "copied").manifest.name


def test_a_format_that_is_added_later_is_measured_on_the_test_split(finished: tuple[Family, Path], tmp_path: Path) -> None:
    family, out = finished
    shutil.copytree(out, tmp_path / "copy")
    study_of_bits(kind="texts", accuracy=0.5).save(tmp_path / "copy")
    added = add_formats(tmp_path / "copy" / "16KB", ["python"])
    assert "64 bits" in (tmp_path / "copy" / "report.html").read_text()
    assert added.not_tested is None
    member = Family.load(tmp_path / "copy").members[0]
    [file] = [file for file in member.files if file.format == "python"]
    assert file.verified
    assert file.accuracy == family.members[0].accuracy
    assert file.size_bytes == (tmp_path / "copy" / file.path).stat().st_size
    assert Bundle.open(tmp_path / "copy" / "16KB").verify("python").verified


@pytest.mark.slow
def test_every_format_keeps_to_the_budget(tiny_csv: Path, tmp_path: Path) -> None:
    exact = tuple(name for name in FORMATS if name not in FLOAT_FORMATS)
    settings = {**SETTINGS, "formats": exact, "teacher": "none"}
    family = understudy.compress(data=tiny_csv, budgets=["16KB"], out=tmp_path / "out", **settings)
    [member] = family.members
    assert [file.format for file in member.files] == list(exact)
    for file in member.files:
        assert file.verified == (file.format != "coreml")  # evaluated, not run, on this machine
        assert (file.runtime is None) == (file.reason is not None) == (not file.verified)
        assert file.agreement == 1.0
        assert file.accuracy == member.accuracy
        assert 0 < file.size_bytes <= 16 * 1024
    sizes = {file.format: file.size_bytes for file in member.files}
    folder = tmp_path / "out" / "16KB"
    assert sizes["python"] == (folder / "model.py").stat().st_size
    assert sizes["wasm"] == (folder / "model.wasm").stat().st_size + (folder / "model.mjs").stat().st_size
    assert sizes["arduino"] == sizes["c"]


@pytest.mark.slow
def test_every_device_has_its_right_member(tiny_csv: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "training.epochs": 1, "teacher": "none"}
    family = understudy.compress(data=tiny_csv, devices=["cortex-m3", "watch"], out=tmp_path / "out", **settings)
    members = {member.path: member for member in family.members}
    assert {path: [file.format for file in member.files] for path, member in members.items()} == {
        "cortex-m3": ["c"],
        "watch": ["litert"],
    }
    for choice in family.devices:
        assert choice.member is not None
        assert set(choice.sizes) == set(choice.limits)
        assert all(choice.sizes[name] <= limit for name, limit in choice.limits.items())
    assert [choice.device for choice in family.devices] == ["cortex-m3", "watch"]
    ram_bytes = members["cortex-m3"].ram_bytes
    assert ram_bytes is not None
    # RAM is what binds on this board: the student fills it, and half of the flash stays free
    assert 0.85 * 4096 < ram_bytes + 512 <= 4096
    assert members["cortex-m3"].files[0].size_bytes < 16 * 1024
    assert "The right model for each device" in (tmp_path / "out" / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_bundles_are_written_for_the_owners_of_keys(
    finished: tuple[Family, Path], tiny_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the folder of a finished job, so that nothing is trained again: encrypted files for plain ones, and back."""
    plain, folder = finished
    out = Path(shutil.copytree(folder, tmp_path / "out"))
    before = _files(out)
    results = contents(out / ".understudy" / "results")
    secret = bytes([1] * 32)
    for name, kind, content in (
        ("phone.key", "private device key", secret),
        ("phone.pub", "public device key", public_device_key(secret)),
    ):
        (tmp_path / name).write_bytes(to_pem(kind, content))  # type: ignore[arg-type]
    asked = {"data": tiny_csv, "budgets": ["16KB", "32KB", "1KB"], "out": out, **SETTINGS}
    family = understudy.compress(**asked, encrypt=[tmp_path / "phone.pub"])  # type: ignore[arg-type]
    assert contents(out / ".understudy" / "results") == results
    assert {name: (out / ".understudy" / "plain" / name).read_bytes() for name in before} == before
    for member, known in zip(family.members, plain.members, strict=True):
        assert {path.name for path in (out / member.path).iterdir()} >= {"model.onnx.enc", "model.bin.enc", "model.tflite.enc"}
        assert not {"model.onnx", "model.tflite", "program.npz"} & {path.name for path in (out / member.path).iterdir()}
        bundle = Bundle.open(out / member.path, key=tmp_path / "phone.key")
        assert bundle.manifest.encryption is not None
        assert member.encrypted_for == bundle.manifest.encryption.recipients
        for file, measured in zip(member.files, known.files, strict=True):
            assert file.sha256 == hashlib.sha256((out / file.path).read_bytes()).hexdigest()
            assert (file.accuracy, file.size_bytes, file.verified) == (measured.accuracy, measured.size_bytes, True)
        assert bundle.predict(["stop the egg timer"]) == known.predict(["stop the egg timer"])
        card = (out / member.path / "card.md").read_text()
        assert f"encrypted for the device key {member.encrypted_for[0]}" in card
        assert "--key DEVICE.key" in card
        assert "model.onnx.enc" in card
        with pytest.raises(InputError, match="an encrypted bundle is read with a private key"):
            member.predict(["stop the egg timer"])
    print_family(family, out)
    assert f"encrypted; opens with: {family.members[0].encrypted_for[0]}" in capsys.readouterr().out
    understudy.compress(**asked)  # type: ignore[arg-type]
    assert _files(out) == before
