from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest

from understudy.errors import InputError, SetupError
from understudy.job import Job, load_job
from understudy.job_errors import tables
from understudy.job_template import render_job_template, suggest_budgets, write_job_template


def data(folder: Path, *, text: str = "text", label: str = "intent", name: str = "Bank intents.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", text, label])
        writer.writerows([i, f"what is number {i}", f"label {i % 4}\n"] for i in range(80))
    return path


def test_the_file_gives_a_valid_job_for_the_data(tmp_path: Path) -> None:
    out = write_job_template(data(tmp_path), tmp_path / "job.toml")
    job = load_job(out)

    assert job.name == "bank_intents"
    assert (job.data.text, job.data.label) == ("text", "intent")
    assert job.data.train == tmp_path / "Bank intents.csv"
    assert (job.max_bytes, job.max_words) == (32, 8)
    assert job.budgets == ("16KB", "32KB", "128KB")


def test_it_says_what_was_found_and_holds_every_setting(tmp_path: Path) -> None:
    content = write_job_template(data(tmp_path), tmp_path / "job.toml").read_text(encoding="utf-8")

    assert "# columns found: 'id', 'text', 'intent'" in content
    assert "# classes: 4" in content
    assert "# train: 64 texts" in content
    for model in tables(Job).values():
        for name in model.model_fields:
            assert f"\n{name} = " in content or f"\n# {name} = " in content or f"[{name}]" in content or f".{name}]" in content
    assert [line for line in content.splitlines() if len(line) > 128] == []


def test_every_setting_that_is_commented_out_is_valid_too(tmp_path: Path) -> None:
    out = write_job_template(data(tmp_path), tmp_path / "job.toml")
    keys = {name for model in tables(Job).values() for name in model.model_fields}
    lines = out.read_text(encoding="utf-8").splitlines()
    used = [line[2:] if line.startswith("# ") and line[2:].split(" = ")[0] in keys else line for line in lines]
    assert used != lines
    out.write_text("\n".join(used), encoding="utf-8")

    job = load_job(out)

    assert (job.time, job.trials, job.training.epochs) == ("5m", 20, 30)
    assert job.data.test == tmp_path / "test.csv"


def test_the_job_file_in_another_folder_names_the_data_in_full(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    path = data(tmp_path)
    assert load_job(write_job_template(path, tmp_path / "jobs" / "job.toml")).data.train == path.resolve()


@pytest.mark.parametrize(
    "odd", ['say "hi"', "back\\slash", "tab\there", "del\x7f", "bell\x07", "line\nbreak", "é\U0001f600", "#", "]"]
)
def test_odd_names_survive(tmp_path: Path, odd: str) -> None:
    path = data(tmp_path, text=odd, label=f"{odd} label", name="data.csv")
    job = load_job(write_job_template(path, tmp_path / "job.toml", text=odd, label=f"{odd} label"))

    assert (job.data.text, job.data.label) == (odd, f"{odd} label")
    content = render_job_template(path, folder=tmp_path, text=odd, label=f"{odd} label")
    assert tomllib.loads(content)["data"]["text"] == odd


def test_an_odd_folder_survives(tmp_path: Path) -> None:
    folder = tmp_path / "a\n[x]"
    folder.mkdir()
    path = data(folder)
    assert load_job(write_job_template(path, tmp_path / "job.toml")).data.train == path


def test_a_name_that_is_not_utf8_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = data(tmp_path, name="caf\udce9.csv")
    with pytest.raises(InputError, match=r"a job file is UTF-8: received file='.*caf\\udce9\.csv' .*; rename it"):
        write_job_template(path, tmp_path / "job.toml")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "job.toml"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"a job file is never overwritten: received out='.*job\.toml', which exists; choose another name"
    ):
        write_job_template(data(tmp_path), out)
    assert out.read_text(encoding="utf-8") == "mine"


def test_a_missing_folder_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"received path=.*no_folder/job\.toml"):
        write_job_template(data(tmp_path), tmp_path / "no_folder" / "job.toml")


def test_data_that_cannot_be_used_leaves_no_job_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"received label=None and columns=\['id', 'text', 'kind'\]"):
        write_job_template(data(tmp_path, label="kind"), tmp_path / "job.toml")
    assert not (tmp_path / "job.toml").exists()


@pytest.mark.parametrize(
    ("classes", "budgets"),
    [
        (2, ("16KB", "32KB", "128KB")),
        (150, ("16KB", "32KB", "128KB")),
        (400, ("32KB", "64KB", "256KB")),
        (10**6, ("512KB", "1024KB", "4096KB")),
    ],
)
def test_budgets_grow_with_the_classes(classes: int, budgets: tuple[str, ...]) -> None:
    assert suggest_budgets(classes) == budgets


def test_images_have_their_own_suggestions(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    np.savez(tmp_path / "grey.npz", x=rng.integers(0, 256, (40, 8, 8)), y=np.arange(40) % 4)
    np.savez(tmp_path / "colour.npz", x=rng.integers(0, 256, (40, 8, 8, 3)), y=np.arange(40) % 4)
    job = load_job(write_job_template(tmp_path / "grey.npz", tmp_path / "grey.toml"))
    assert (job.budgets, job.data.text, job.max_bytes) == (("8KB", "16KB", "64KB"), None, "auto")
    assert "# height, width, channels: 8, 8, 1" in (tmp_path / "grey.toml").read_text()
    job = load_job(write_job_template(tmp_path / "colour.npz", tmp_path / "colour.toml"))
    assert job.budgets == ("32KB", "64KB", "256KB")
    with pytest.raises(InputError, match=r"data\.label is for tables"):
        render_job_template(tmp_path / "grey.npz", folder=tmp_path, label="y")
