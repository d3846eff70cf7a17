"""Commands with files in float: ``compress`` delivers them, ``export`` adds them, ``evaluate`` and ``bench`` compare them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bundles import make_bundle
from understudy import additions, delivery
from understudy.bundle import opened
from understudy.cli.main import run
from understudy.data.dataset import load_dataset
from understudy.devices import host
from understudy.errors import SetupError
from understudy.export.coreml import NOT_RUN
from understudy.export.parity import measure_latency
from understudy.family import Family
from understudy.feasibility import check_budgets
from understudy.formats import FLOAT_FORMATS
from understudy.job import job_from_arguments

EVALUATED = {"coreml_float": NOT_RUN}
"""Formats whose runtime is on other systems, to why their files are not called verified."""

COUNTED_OTHERWISE = ("c_float", "wasm_float", "arduino_float")
"""Formats whose bytes are flash, or those of two files."""
DELIVERED = tuple(name for name in FLOAT_FORMATS if name not in ("wasm_float", "arduino_float"))
"""Formats of the job here; a finished bundle gets the others too."""


@pytest.fixture(autouse=True)
def _timed_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a file is timed is what matters here, not how long."""
    for module in (opened, additions, delivery, host):
        monkeypatch.setattr(
            module, "measure_latency", lambda session, inputs, **_: measure_latency(session, inputs, seconds=0.02)
        )


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that succeeds, and return what it prints."""
    capsys.readouterr()
    code = run(list(map(str, arguments)))
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def check_evaluation(
    bundle: Path, table: Path, capsys: pytest.CaptureFixture[str], formats: tuple[str, ...] = FLOAT_FORMATS
) -> None:
    files = {row["format"]: row for row in json.loads(said(capsys, "evaluate", bundle, table, "--json"))["files"]}
    for name in formats:
        reason = EVALUATED.get(name)
        assert (files[name]["verified"], files[name]["reason"], files[name]["agreement"]) == (reason is None, reason, 1.0)
        assert files[name]["latency_us"] is None if reason else files[name]["latency_us"]["median"] > 0


def test_a_job_delivers_files_in_float(tiny_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.toml").write_text(
        f"budgets = ['64KB']\nformats = {list(DELIVERED)}\nstudent = 'projection_net'\ntrials = 1\n"
        f"[data]\ntrain = '{tiny_csv}'\n[teacher]\nsource = 'none'\n[training]\nepochs = 1\naugmented_views = 1\n",
        encoding="utf-8",
    )
    said(capsys, "compress", tmp_path / "job.toml", "--out", tmp_path / "out")
    [member] = Family.load(tmp_path / "out").members
    assert [file.format for file in member.files] == list(DELIVERED)
    assert member.ram_bytes is None
    assert member.float_ram_bytes is not None
    for file in member.files:
        assert (file.verified, file.reason) == (file.format not in EVALUATED, EVALUATED.get(file.format))
        assert file.agreement == 1
        assert file.size_bytes <= 64 * 1024
        if file.format not in COUNTED_OTHERWISE:
            assert file.size_bytes == (tmp_path / "out" / file.path).stat().st_size
    card = (tmp_path / "out" / "64KB" / "card.md").read_text(encoding="utf-8")
    compared = "It was compared with the program in real numbers, where a probability may differ by 0.0001."
    assert card.count(compared) == len(DELIVERED)
    check_evaluation(tmp_path / "out" / "64KB", tiny_csv, capsys, DELIVERED)


def test_a_finished_bundle_gets_files_in_float(tiny_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path / "b", formats=("c",)).folder
    wanted = [word for name in FLOAT_FORMATS for word in ("--to", name)]
    added = json.loads(said(capsys, "export", bundle, *wanted, "--json"))
    assert [file["agreement"] for file in added["files"]] == [1] * len(FLOAT_FORMATS)
    check_evaluation(bundle, tiny_csv, capsys)
    measured = json.loads(said(capsys, "bench", bundle, "--format", FLOAT_FORMATS[0], "--json"))["measurements"]
    assert [(row["format"], row["exact"], row["differing_labels"]) for row in measured] == [(FLOAT_FORMATS[0], True, [])]


@pytest.mark.parametrize("name", ["c", "arduino", "c_float", "arduino_float"])
def test_a_compiler_that_is_missing_is_said_before_training(name: str, tiny_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    job = job_from_arguments(tiny_csv, budgets=("16KB",), formats=("python_float", name))
    with pytest.raises(SetupError, match="needs a C compiler: received CC='no-such-compiler' not found; install gcc"):
        check_budgets(job, load_dataset(job))
    without = job.model_copy(update={"formats": ("python_float",)})
    assert check_budgets(without, load_dataset(without)).reachable


@pytest.mark.parametrize("name", ["wasm", "wasm_float"])
def test_a_missing_node_is_said_before_training(name: str, tiny_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda tool, **more: None if tool == "node" else which(tool, **more))
    job = job_from_arguments(tiny_csv, budgets=("16KB",), formats=(name,))
    with pytest.raises(SetupError, match="needs Node 18 or newer: received node not found; install it"):
        check_budgets(job, load_dataset(job))
