"""``understudy report`` writes the page and the cards again from family.json alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import contents, understudy
from families import clinc_like_family
from understudy.family import Family


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "intents"
    family = clinc_like_family()
    for member in family.members:
        (folder / member.path).mkdir(parents=True)
    family.save(folder)
    return folder


def test_it_writes_the_page_and_a_card_for_each_member(run_folder: Path) -> None:
    outcome = understudy("report", run_folder)
    assert outcome.exit_code == 0, outcome.err
    written = outcome.out.splitlines()
    assert written[-1] == str(run_folder / "report.html")
    assert written[:-1] == [str(run_folder / name / "card.md") for name in ("16KB", "32KB", "128KB")]
    first = contents(run_folder)
    assert set(first) == {"family.json", "report.html", "16KB/card.md", "32KB/card.md", "128KB/card.md"}
    document = json.loads(understudy("report", run_folder / "family.json", "--json").out)
    assert document["report"] == str(run_folder / "report.html")
    assert contents(run_folder) == first


def test_a_folder_without_a_family_is_refused(tmp_path: Path) -> None:
    outcome = understudy("report", tmp_path)
    assert outcome.exit_code == 2
    assert "a family is a folder with family.json" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert contents(tmp_path) == {}


def test_a_member_that_was_renamed_is_named_before_anything_is_written(run_folder: Path) -> None:
    [first, *_] = Family.load(run_folder).members
    (run_folder / first.path).rename(run_folder / "renamed")
    before = contents(run_folder)
    outcome = understudy("report", run_folder)
    assert outcome.exit_code == 4
    assert f"without {first.path!r}; move or rename it back, or run the job again" in outcome.err
    assert contents(run_folder) == before


def test_an_altered_family_is_refused(run_folder: Path) -> None:
    record = run_folder / "family.json"
    record.write_bytes(record.read_bytes()[:5000])
    before = contents(run_folder)
    outcome = understudy("report", run_folder)
    assert outcome.exit_code == 5
    assert len(outcome.err.splitlines()) == 1
    assert contents(run_folder) == before
