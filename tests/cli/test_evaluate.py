"""``understudy evaluate`` runs every file of a bundle in its own runtime and counts what it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bundles import LABELS
from command import contents, understudy
from programs import TEXTS, sequence_program
from understudy.cli import main
from understudy.export.parity import Verification
from understudy.formats import DEFAULT_FORMATS
from understudy.program.interpreter import run
from understudy.projections.text import encode


@pytest.fixture
def table(tmp_path: Path) -> Path:
    texts = [text for text in TEXTS if isinstance(text, str)]
    answers = [LABELS[i] for i in run(sequence_program(), encode(texts, max_bytes=64)).probabilities.argmax(axis=1)]
    answers[0] = "unheard of"
    rows = [json.dumps({"text": text, "intent": answer}) for text, answer in zip(texts, answers, strict=True)]
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_a_table_with_a_row_for_each_file(bundle: Path, table: Path) -> None:
    before = contents(bundle)
    outcome = understudy("evaluate", bundle, table)
    assert outcome.exit_code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split("  ")[0] == "format"
    assert {line.split()[0] for line in lines[1 : 1 + len(DEFAULT_FORMATS)]} == set(DEFAULT_FORMATS)
    for line in lines[1 : 1 + len(DEFAULT_FORMATS)]:
        assert "91.7 %" in line
        assert "100.0 %" in line
        assert " yes " in line
    assert lines[-1] == "12 texts, 1 with a label that the bundle does not know"
    assert outcome.err == ""
    assert contents(bundle) == before


def test_labels_of_which_none_is_known_are_warned_of(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,label,intent\nhello,7,greet\nbye,8,leave\n")
    outcome = understudy("evaluate", bundle, tmp_path / "other.csv", "--label", "label")
    assert outcome.exit_code == 0, outcome.err  # they count as wrong, as one does
    assert "2 texts, 2 with a label that the bundle does not know" in outcome.out
    assert outcome.err.startswith("warning: a test has labels of the bundle: received known_labels=0 in texts=2 of file=")
    assert outcome.err.endswith("the first of them label='7'; check its labels, or name their column with --label\n")


def test_json_has_every_number(bundle: Path, table: Path) -> None:
    document = json.loads(understudy("evaluate", bundle, table, "--json").out)
    assert document["texts"] == 12
    assert document["unknown_labels"] == 1
    assert document["error"] is None
    assert {row["format"] for row in document["files"]} == set(DEFAULT_FORMATS)
    for row in document["files"]:
        assert row["accuracy"] == pytest.approx(11 / 12)
        assert 0 < row["macro_f1"] <= 1
        assert row["agreement"] == 1.0
        assert row["verified"] is True
        assert row["runtime"]
        assert 0 < row["latency_us"]["p10"] <= row["latency_us"]["median"] <= row["latency_us"]["p90"]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_file_that_disagrees_is_named_and_fails(
    bundle: Path, table: Path, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from understudy.bundle import opened

    def differs(probabilities: object, *_: object, **__: object) -> Verification:
        return Verification(0.5, 0.1, False, "labels or integer logits differ in 32 of 64 rows", probabilities)

    monkeypatch.setattr(opened, "compare", differs)
    assert main.run(["evaluate", str(bundle), str(table), *(["--json"] if as_json else [])]) == 6
    shown = capsys.readouterr()
    if as_json:
        error = json.loads(shown.out)["error"]
        assert error["type"] == "VerificationError"
        assert error["exit_code"] == 6
    else:
        assert shown.out.count("labels or integer logits differ in 32 of 64 rows") == len(DEFAULT_FORMATS)
        assert shown.err.startswith("error: every file reproduces the bundle's vectors: received bundle=")
        assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.csv",), "received file='no.csv'"),
        (("test.jsonl", "--label", "nope"), "label='nope'"),
        (("test.jsonl", "--text", "nope"), "text='nope'"),
    ],
)
def test_data_that_is_not_there_is_refused(bundle: Path, table: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = understudy("evaluate", bundle, *arguments, folder=table.parent)
    assert outcome.exit_code == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_evaluating_needs_no_torch(bundle: Path, table: Path) -> None:
    code = f"""
import subprocess
import sys
from understudy.cli.main import run
assert run(["evaluate", {str(bundle)!r}, {str(table)!r}]) == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, stdout=subprocess.DEVNULL)
