"""``understudy init`` writes a job file that ``compress`` accepts, and overwrites nothing."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from command import contents, understudy
from understudy.job import load_job


def test_the_job_file_is_valid_and_commented(tmp_path: Path, tiny_csv: Path) -> None:
    outcome = understudy("init", tiny_csv, folder=tmp_path)
    assert outcome.exit_code == 0, outcome.err
    assert outcome.out == "wrote job.toml; run it with: understudy compress job.toml\n"
    text = (tmp_path / "job.toml").read_text(encoding="utf-8")
    assert text.count("\n#") > 20
    assert tomllib.loads(text)["data"]["text"] == "text"
    job = load_job(tmp_path / "job.toml")
    assert job.data.train.resolve() == tiny_csv.resolve()
    assert understudy("compress", "job.toml", "--dry-run", folder=tmp_path).exit_code == 0


def test_an_existing_file_is_not_overwritten(tmp_path: Path, tiny_csv: Path) -> None:
    (tmp_path / "job.toml").write_text("mine")
    outcome = understudy("init", tiny_csv, folder=tmp_path)
    assert outcome.exit_code == 2
    assert "a job file is never overwritten: received out='job.toml'" in outcome.err
    assert contents(tmp_path) == {"job.toml": b"mine"}


def test_another_name_and_json(tmp_path: Path, tiny_csv: Path) -> None:
    outcome = understudy("init", tiny_csv, "--out", tmp_path / "other.toml", "--text", "text", "--label", "label", "--json")
    assert json.loads(outcome.out) == {"written": [str(tmp_path / "other.toml")]}
    assert (tmp_path / "other.toml").exists()


def test_data_that_cannot_be_used_leaves_no_file(tmp_path: Path) -> None:
    outcome = understudy("init", "no.csv", folder=tmp_path)
    assert outcome.exit_code == 2
    assert len(outcome.err.splitlines()) == 1
    assert contents(tmp_path) == {}
