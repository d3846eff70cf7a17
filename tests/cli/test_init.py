"""``understudy init`` writes a job file that ``compress`` accepts, and overwrites nothing."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from PIL import Image

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


def test_bad_pictures_can_be_left_out(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(path)
    (tmp_path / "photos" / "a" / "bad.png").write_bytes(b"no picture")
    refused = understudy("init", "photos", folder=tmp_path)
    assert refused.exit_code == 2
    assert "leave them out with --skip-bad" in refused.err
    assert not (tmp_path / "job.toml").exists()
    assert understudy("init", "photos", "--skip-bad", folder=tmp_path).exit_code == 0
    assert load_job(tmp_path / "job.toml").data.skip_bad
    assert "skip_bad = true" in (tmp_path / "job.toml").read_text()
    studied = understudy("study", "bits", "photos", "--bits", 8, folder=tmp_path)
    assert studied.exit_code == 2
    assert "leave them out with --skip-bad" in studied.err
    study = understudy("study", "bits", "photos", "--bits", 8, "--skip-bad", folder=tmp_path)
    assert study.exit_code == 0, study.err
    assert "8 bits alone were tried: repeat --bits to compare" in study.out
    page = (tmp_path / "runs" / "photos-bits" / "report.html").read_text()
    assert "8 bits alone were tried." in page
    assert "enough: 8" not in page
