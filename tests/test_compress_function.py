"""``understudy.compress`` as Python calls it: what it takes, and what it refuses before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import understudy
from command import understudy as command
from understudy import pipeline
from understudy.errors import InputError, SetupError

SETTINGS = {"training.epochs": 6, "training.augmented_views": 2, "formats": ("c", "onnx", "litert")}


def answers(texts: list[str]) -> list[list[float]]:
    """Stand for a teacher that a job names."""
    return [[0.0] * 8 for _ in texts]


def test_a_dry_run_refuses_what_the_job_would(tiny_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        f"budgets = ['16KB']\n[data]\ntrain = '{tiny_csv}'\n[training]\nvariations = ['cutout']\n", encoding="utf-8"
    )
    planned = command("compress", "job.toml", "--dry-run", folder=tmp_path)
    assert planned.exit_code == 2
    assert "stronger variations are for images: received training.variations=['cutout']; remove them" in planned.err


def test_stronger_variations_are_for_images(tiny_csv: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "training.variations": ["cutout"]}
    with pytest.raises(InputError, match=r"stronger variations are for images: received training.variations=\['cutout'\]"):
        understudy.compress(data=tiny_csv, budgets=["16KB"], teacher="none", out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_graphics_card_that_was_asked_for_and_is_not_there_ends_the_job_first(tiny_csv: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a graphics card")
    with pytest.raises(
        SetupError, match=r"training\.processor='cuda' needs a graphics card .* set training.processor to 'auto'"
    ):
        understudy.compress(data=tiny_csv, budgets=["16KB"], out=tmp_path / "out", **{"training.processor": "cuda"})
    assert not (tmp_path / "out").exists()


def test_data_that_break_a_rule_are_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\na,x\nb,x\n")
    code = (
        "import sys, understudy, understudy.errors\n"
        "try:\n    understudy.compress(data='data.csv', budgets=['16KB'], out='out')\n"
        "except understudy.errors.InputError as error:\n    print('torch' in sys.modules, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("False a classifier needs at least two classes: ")


def test_a_function_as_teacher_is_named_in_the_job(tmp_path: Path, tiny_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []
    monkeypatch.setattr(pipeline, "run_job", lambda job, **_: jobs.append(job))
    pipeline.compress(data=tiny_csv, budgets=["16KB"], teacher=answers, out=tmp_path)
    assert [job.teacher.source for job in jobs] == [f"{__name__}:answers"]


def test_one_budget_and_no_teacher_may_be_given_as_python_has_them(
    tmp_path: Path, tiny_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = []
    monkeypatch.setattr(pipeline, "run_job", lambda job, **_: jobs.append(job))
    for budgets in ("16KB", 16384):
        pipeline.compress(data=tiny_csv, budgets=budgets, teacher=None, out=tmp_path)
    assert [(job.budgets, job.teacher.source) for job in jobs] == [(("16KB",), "none"), (("16384",), "none")]


def test_a_job_file_and_an_out_that_is_no_path_are_refused() -> None:
    with pytest.raises(InputError, match=r"received data='job.toml', a job file; run it with understudy compress"):
        understudy.compress(data="job.toml")
    with pytest.raises(InputError, match="out is the path of a folder: received out of type='int'"):
        understudy.compress(data="data.csv", out=5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a job needs budgets: received none"):
        understudy.compress(data="data.csv", budgets=None)


def test_data_that_stand_in_no_file_are_refused() -> None:
    with pytest.raises(InputError, match=r"data are a file or a folder: received data of type='list'; write them to a file"):
        pipeline.compress(data=[("text", "label")], budgets=["16KB"])  # type: ignore[arg-type] - a mistake that users make


def test_a_shell_offers_the_public_names() -> None:
    assert set(understudy.__all__) <= set(dir(understudy))


@pytest.mark.parametrize("budgets", [16384, np.int64(16384), np.float64(16384), "16KB", ["16KB"], {"16KB"}])
def test_one_value_of_a_list_may_stand_alone(budgets: object, tiny_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(pipeline, "run_job", lambda job, **_: asked.append(job))
    understudy.compress(data=tiny_csv, budgets=budgets, devices="cortex-m4", formats="c")  # type: ignore[arg-type]
    [job] = asked
    assert len(job.budgets) == 1
    assert (job.devices, job.formats) == (("cortex-m4",), ("c",))


def test_budgets_of_another_type_are_refused(tiny_csv: Path) -> None:
    with pytest.raises(InputError, match="budgets are sizes: received budgets of type='object'; give a list"):
        understudy.compress(data=tiny_csv, budgets=object())  # type: ignore[arg-type]


def test_a_teacher_may_be_a_path(tiny_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(pipeline, "run_job", lambda job, *, teacher, **_: asked.append((job.teacher.source, teacher)))
    understudy.compress(data=tiny_csv, budgets="16KB", teacher=Path("folder") / "big.onnx")
    assert asked == [(str(Path("folder") / "big.onnx"), None)]
