"""``understudy compress`` turns options into a job, and a family into a table, a document and an exit code."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from command import contents, understudy
from families import clinc_like_family
from understudy.cli.main import run
from understudy.family import LatencyCheck


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A job runner that trains nothing: what it was asked for, and the family that it answers."""
    seen: dict[str, Any] = {"family": clinc_like_family()}

    def run_job(job: Any, *, out: Path, progress: Any, command: tuple[str, ...]) -> Any:
        seen.update(job=job, out=out, command=command)
        progress.stage("train", 10)
        progress.advance(10, accuracy=0.9)
        progress.note("a warning")
        return seen["family"]

    module = ModuleType("understudy.pipeline")
    module.run_job = run_job  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "understudy.pipeline", module)
    return seen


def test_options_become_the_job(asked: dict[str, Any], tiny_csv: Path) -> None:
    arguments = [
        "compress", str(tiny_csv), "--text", "text", "--label", "label", "--budget", "16KB", "--budget", "32KB", "--out", "o",
        "--test", "te.csv", "--validation", "va.csv", "--unlabelled", "un.csv", "--out-of-scope", "oo.csv", "--teacher", "none",
        "--student", "sgnn", "--format", "onnx", "--format", "c", "--time", "5m", "--trials", "3", "--seed", "7",
        "--max-drop", "0.01", "--name", "intents",
    ]  # fmt: skip
    run(arguments)
    assert asked["command"] == ("understudy", *arguments)
    job = asked["job"]
    assert asked["out"] == Path("o")
    assert job.budgets == ("16KB", "32KB")
    assert job.formats == ("onnx", "c")
    assert (job.name, job.student, job.time, job.trials, job.seed, job.max_drop) == ("intents", "sgnn", "5m", 3, 7, 0.01)
    assert job.teacher.source == "none"
    data = job.data
    assert (data.train, data.text, data.label) == (tiny_csv, "text", "label")
    files = (data.test, data.validation, data.unlabelled, data.out_of_scope)
    assert files == (Path("te.csv"), Path("va.csv"), Path("un.csv"), Path("oo.csv"))


def test_options_win_over_the_job_file(asked: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('budgets = ["8KB"]\nseed = 3\ntrials = 2\n[data]\ntrain = "data.csv"\n')
    run(["compress", str(tmp_path / "job.toml"), "--seed", "4"])
    assert asked["job"].seed == 4
    assert asked["job"].trials == 2
    assert asked["job"].budgets == ("8KB",)
    assert asked["job"].data.train == tmp_path / "data.csv"
    assert asked["out"] == Path("runs/job")


def test_the_table_names_every_file_twin_teacher_and_report(
    asked: dict[str, Any], tiny_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compress", str(tiny_csv), "--budget", "16KB", "--out", "o"]) == 3
    assert asked["out"] == Path("o")
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].split() == ["budget", "student", "format", "size", "accuracy", "agree", "latency", "twin", "gain"]
    assert lines[1].split()[:3] == ["16KB", "projection_sequence", "onnx"]
    assert [line.split()[0] for line in lines[2:4]] == ["litert", "c"]
    assert lines[1].split()[3:] == ["15.1", "KB", "87.1", "%", "100.0", "%", "77", "us", "87.5", "%", "-0.4"]
    assert len(lines) == 1 + 9 + 1 + 1 + 2 + 1
    assert "teacher: default, accuracy 95.1 %" in lines
    assert "baseline: TF-IDF + logistic regression, accuracy 89.9 %, above the student of 16KB" in lines
    assert lines[-1] == "report: o/report.html"
    assert "budget 2KB cannot be met: the smallest reachable size is 6.2 KB (6310 bytes), litert binds" in shown.err
    assert "train: done in 0 s, accuracy 0.900" in shown.err
    assert "a warning" in shown.err


def test_json_is_the_family_and_nothing_else(asked: dict[str, Any], tiny_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    family = asked["family"]
    assert run(["compress", str(tiny_csv), "--budget", "16KB", "--out", "o", "--json"]) == 3
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert document["out"] == "o"
    assert document["report"] == "o/report.html"
    assert document["family"] == family.model_dump(mode="json")
    assert shown.err == ""


def test_a_file_that_takes_longer_than_was_asked_for_is_named(
    asked: dict[str, Any], tiny_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(latency_us: float) -> LatencyCheck:
        return LatencyCheck(
            target="cortex-m4", format="c", limit_us=2000, estimated_us=1900, latency_us=latency_us, measured=False
        )

    family = asked["family"].model_copy(update={"infeasible": ()})
    first, *others = family.members
    for took, code in ((1990.0, 0), (2345.0, 3)):
        member = first.model_copy(update={"latency_checks": (check(took),)})
        asked["family"] = family.model_copy(update={"members": (member, *others)})
        assert run(["compress", str(tiny_csv), "--budget", "16KB", "--max-latency", "2ms@cortex-m4"]) == code
    assert asked["job"].latency.target == "cortex-m4"
    missed = "16KB misses max_latency: its c file takes about 2.35 ms on cortex-m4, at most 2.00 ms were asked for"
    assert [line for line in capsys.readouterr().err.splitlines() if "max_latency" in line] == [
        f"{missed} (estimated before training: 1.90 ms)"
    ]


def test_a_student_that_loses_more_than_was_accepted_is_exit_code_3(
    asked: dict[str, Any], tiny_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family = asked["family"].model_copy(update={"infeasible": ()})
    reached = {member.budget: member.validation_accuracy for member in family.members}
    loses = 0.958 - reached["32KB"]

    def missed(**job: Any) -> list[str]:
        asked["family"] = family.model_copy(update={"job": {**family.job, **job}})
        code = run(["compress", str(tiny_csv), "--budget", "16KB", "--json"])
        found: list[str] = json.loads(capsys.readouterr().out)["over_max_drop"]
        assert code == (3 if found else 0)
        return found

    assert missed() == missed(max_drop=None) == missed(max_drop=0.9) == []
    assert missed(max_drop=loses + 1e-6) == ["16KB"]
    assert missed(max_drop=loses - 1e-6) == ["16KB", "32KB"]
    # a teacher that learned beside its students is no measure for them
    assert missed(max_drop=0.0, training={"mode": "joint"}) == []


def test_all_budgets_met_is_exit_code_0_and_an_interruption_130(asked: dict[str, Any], tiny_csv: Path) -> None:
    asked["family"] = asked["family"].model_copy(update={"infeasible": ()})
    assert run(["compress", str(tiny_csv), "--budget", "16KB"]) == 0
    asked["family"] = asked["family"].model_copy(update={"finished": False})
    assert run(["compress", str(tiny_csv), "--budget", "16KB"]) == 130


def test_the_summary_of_the_data_has_shares_and_labels_as_they_are(tmp_path: Path) -> None:
    labels = ['a "quoted"\nnew\tline, back\\slash', *(f"class {i}" for i in range(29))]
    with (tmp_path / "few.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *((f"text {i}", labels[i % 30]) for i in range(150))])
    outcome = understudy("compress", "few.csv", "--budget", "32KB", "--dry-run", folder=tmp_path)
    assert outcome.exit_code == 0, outcome.err
    assert "  validation: 30 texts (20% of few.csv, seed 1)\n" in outcome.out  # one of each class, though 10 % were asked for
    assert "  test: 15 texts (10% of few.csv, seed 1)\n" in outcome.out
    assert r"""'a "quoted"\nnew\tline, back\\slash' """ in outcome.out


def test_a_dry_run_shows_data_and_job_and_writes_nothing(tmp_path: Path, tiny_csv: Path) -> None:
    outcome = understudy("compress", tiny_csv, "--budget", "16KB", "--dry-run", folder=tmp_path)
    assert outcome.exit_code == 0, outcome.err
    assert "  train: 192 texts" in outcome.out
    assert '  budgets = ["16KB"]' in outcome.out
    assert "  runs/tiny/16KB: onnx, litert, c" in outcome.out.splitlines()
    assert ", " in outcome.out.partition("training on\n")[2].splitlines()[0]
    document = json.loads(understudy("compress", tiny_csv, "--budget", "16KB", "--dry-run", "--json", folder=tmp_path).out)
    assert document["job"]["budgets"] == ["16KB"]
    assert document["trains_on"]
    assert document["formats"] == {"16KB": ["onnx", "litert", "c"]}
    assert document["data"]["splits"]["train"]["examples"] == 192
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.csv", "--budget", "16KB", "--dry-run"), "received file='no.csv'"),
        (("no.toml", "--dry-run"), "received file='no.toml'"),
        (("tiny.csv", "--dry-run"), "pass --budget 32KB"),
        (("tiny.csv", "--budget", "enormous", "--dry-run"), "received budget='enormous'"),
        (("tiny.csv", "--budget", "16KB", "--format", "caffe", "--dry-run"), "'caffe'"),
        (("tiny.csv", "--budget", "16KB", "--student", "transformer", "--dry-run"), "student='transformer'"),
        (("tiny.csv", "--budget", "16KB", "--label", "nope", "--dry-run"), "label='nope'"),
        (("tiny.csv", "--budget", "16KB", "--max-drop", "7", "--dry-run"), "max_drop"),
        (("tiny.csv", "--budget", "16KB", "--time", "soon", "--dry-run"), "received time='soon'"),
        (("tiny.csv", "--budget", "16KB", "--teacher", "no.onnx", "--dry-run"), "no.onnx"),
        (("tiny.csv", "--budget", "16KB", "--teacher", "no.py:load", "--dry-run"), "no.py"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, tiny_csv: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "tiny.csv").write_bytes(tiny_csv.read_bytes())
    before = contents(tmp_path)
    outcome = understudy("compress", *arguments, folder=tmp_path)
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert message in outcome.err
    assert outcome.err.startswith("error: ")
    assert len(outcome.err.splitlines()) == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("arguments", [("compress", "job.toml", "--dry-run"), ("study", "bits", "job.toml")])
def test_a_graphics_card_that_is_missing_is_said_before_data_are_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a graphics card")
    job = 'budgets = ["16KB"]\n[data]\ntrain = "data.csv"\n[training]\nprocessor = "cuda"\n'
    (tmp_path / "job.toml").write_text(job)
    (tmp_path / "data.csv").write_text("what is here is no table of texts and labels")
    before = contents(tmp_path)
    outcome = understudy(*arguments, folder=tmp_path)
    assert (outcome.exit_code, contents(tmp_path)) == (4, before)
    assert "error: training.processor='cuda' needs a graphics card" in outcome.err


WITHOUT_TORCH = """
import importlib.machinery as machinery
find = machinery.PathFinder.find_spec
def find_others(name, path=None, target=None):
    return None if name.partition(".")[0] == "torch" else find(name, path, target)
machinery.PathFinder.find_spec = staticmethod(find_others)
"""
"""A ``sitecustomize.py``: Python runs it at the start of every process."""


@pytest.fixture
def without_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that finds no torch."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(WITHOUT_TORCH)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--json",)])
def test_torch_that_is_missing_is_said_before_data_are_read(
    tmp_path: Path, without_torch: dict[str, str], more: tuple[str, ...]
) -> None:
    (tmp_path / "data.csv").write_text("what is here is no table of texts and labels")
    before = contents(tmp_path)
    outcome = understudy("compress", "data.csv", "--budget", "16KB", *more, folder=tmp_path, environment=without_torch)
    assert (outcome.exit_code, contents(tmp_path)) == (4, before)
    assert outcome.err == (
        "error: training students needs torch: received package='torch' not installed; run: pip install torch\n"
    )
    if "--json" in more:
        assert json.loads(outcome.out)["error"]["type"] == "SetupError"


@pytest.mark.skipif(find_spec("executorch") is None, reason="ExecuTorch is not installed")
def test_of_an_executorch_file_the_package_that_is_missing_is_named(without_torch: dict[str, str]) -> None:
    code = "from understudy.export.registry import exporter; exporter('executorch')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **without_torch}
    )
    assert result.stderr.endswith("needs torch: received package='torch' not installed; run: pip install torch\n")


def board(folder: Path, *, ram: int, more: tuple[str, str] = ("", "")) -> Path:
    """Write the profile of a board with ``ram`` bytes for the model."""
    text = resources.files("understudy.devices").joinpath("profiles", "cortex-m3.toml").read_text("utf-8")
    text = text.replace('name = "cortex-m3"', 'name = "board"').replace("model_bytes = 4_096", f"model_bytes = {ram}")
    path = folder / "board.toml"
    path.write_text(text.replace(*more))
    return path


def test_a_device_is_checked_before_anything_is_trained(tmp_path: Path, tiny_csv: Path) -> None:
    outcome = understudy("compress", tiny_csv, "--device", board(tmp_path, ram=600), folder=tmp_path)
    assert outcome.exit_code == 3
    found = re.search(r"board has 600 bytes where the smallest RAM takes (\d+); choose a larger device", outcome.err)
    assert found, outcome.err
    assert "a device must hold the smallest student: received devices=" in outcome.err
    assert outcome.err.endswith(", or lower max_words and max_bytes\n")
    np.savez(tmp_path / "pictures.npz", x=np.zeros((40, 20, 20), np.uint8), y=np.arange(40) % 2)
    pictures = understudy("compress", "pictures.npz", "--device", board(tmp_path, ram=600), folder=tmp_path)
    assert pictures.exit_code == 3
    assert pictures.err.endswith("; choose a larger device, or make the images smaller\n")
    needed = int(found[1])
    fits = understudy("compress", tiny_csv, "--device", board(tmp_path, ram=needed), "--dry-run", "--json", folder=tmp_path)
    assert fits.exit_code == 0, fits.err
    assert json.loads(fits.out)["writes"][0] == "runs/tiny/board"
    misses = understudy("compress", tiny_csv, "--device", board(tmp_path, ram=needed - 1), "--dry-run", folder=tmp_path)
    assert misses.exit_code == 3
    assert not (tmp_path / "runs").exists()


def test_a_device_that_misses_is_named_beside_those_that_fit(tmp_path: Path, tiny_csv: Path) -> None:
    arguments = ("--device", "cortex-m4", "--budget", "16KB", "--device", board(tmp_path, ram=600))
    outcome = understudy("compress", tiny_csv, *arguments, "--dry-run", folder=tmp_path)
    assert outcome.exit_code == 3
    assert "  runs/tiny/cortex-m4: c" in outcome.out.splitlines()
    assert "  runs/tiny/16KB: onnx, litert, c" in outcome.out.splitlines()
    assert "budget board cannot be met: the smallest reachable size is " in outcome.err
    assert "ram binds at 600 B" in outcome.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (('"max_pool", ', ""), "received device='board' without operator='max_pool'"),
        (("[clock]", "[clocks]"), "board.toml' where clocks: "),
        (('name = "board"', 'name = "cortex-m4"'), "received 'cortex-m4' twice"),
    ],
)
def test_a_device_that_does_not_do_is_one_line(tmp_path: Path, tiny_csv: Path, more: tuple[str, str], message: str) -> None:
    path = board(tmp_path, ram=4096, more=more)
    outcome = understudy("compress", tiny_csv, "--device", path, "--device", "cortex-m4", "--dry-run", folder=tmp_path)
    assert outcome.exit_code == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_devices_with_the_same_limits_share_a_student(tmp_path: Path, tiny_csv: Path) -> None:
    arguments = ("--device", board(tmp_path, ram=4096), "--device", "cortex-m3", "--dry-run", "--json")
    outcome = understudy("compress", tiny_csv, *arguments, folder=tmp_path)
    assert [name for name in json.loads(outcome.out)["writes"] if "." not in name] == ["runs/tiny/board"]


def test_formats_that_no_budget_takes_are_said_to_be_unused(tiny_csv: Path, tmp_path: Path) -> None:
    asked = ("compress", tiny_csv, "--device", "cortex-m4", "--format", "onnx", "--dry-run")
    assert "warning: --format is for budgets; the files of a device" in understudy(*asked, folder=tmp_path).err
    assert "warning: --format" not in understudy(*asked, "--budget", "16KB", folder=tmp_path).err
