"""The example's job file loads and its data are whole."""

from __future__ import annotations

from pathlib import Path

from understudy.data.read import read_rows
from understudy.job import load_job

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "clinc150"


def test_the_job_loads_and_every_file_has_all_its_rows() -> None:
    data = load_job(EXAMPLE / "job.toml").data
    files = {"train": 15000, "validation": 3000, "test": 4500, "out_of_scope": 1000}
    for name, count in files.items():
        rows = read_rows(getattr(data, name), text="text", label="intent")
        assert len(rows.texts) == count, name
        assert len(set(rows.labels)) == (1 if name == "out_of_scope" else 150), name
