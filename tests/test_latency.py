"""A limit of time: estimated from students that were run, kept by the search, checked on what is delivered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import understudy
from emulators import need_microcontrollers
from understudy.family import Family
from understudy.latency import LEAST_MARGIN, LatencyModel, fit
from understudy.program.cost import latency_work, macs
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

RECIPES = [
    Recipe(features=f, width=w, hidden=w, weight_bits=b) for f, w, b in ((32, 4, 4), (64, 8, 8), (128, 16, 4), (256, 32, 8))
]  # type: ignore[arg-type]
PROGRAMS = [build_student(recipe, classes=5, seed=0) for recipe in RECIPES]
WORKS = [latency_work(program) for program in PROGRAMS]

JOB = """
budgets = ["32KB"]
formats = ["c"]
[data]
train = "tiny.csv"
[teacher]
source = "none"
[training]
epochs = 1
[quantization]
max_drop = 1.0
"""


def test_the_work_of_a_program_is_counted_in_kinds() -> None:
    for recipe, program in zip(RECIPES, PROGRAMS, strict=True):
        called, eight, four, values, hashed = latency_work(program)
        assert (called, hashed) == (1, recipe.features)
        assert (eight, four) == ((macs(program), 0) if recipe.weight_bits == 8 else (0, macs(program)))
        assert values > recipe.width * recipe.max_words
    image = build_student(Recipe(student="separable_cnn", width=4, hidden=12, image_shape=(8, 8, 1)), classes=5, seed=0)
    assert latency_work(image)[4] == 0


@given(st.lists(st.floats(0.01, 10), min_size=4, max_size=4), st.lists(st.floats(0.7, 1.4), min_size=4, max_size=4))
def test_no_student_of_the_fit_takes_longer_than_its_estimate(unit_us: list[float], noise: list[float]) -> None:
    units = np.array([100.0, 1e-3, 1e-3, 1e-2]) * unit_us
    times = [float(np.dot(work[:4], units)) * factor for work, factor in zip(WORKS, noise, strict=True)]
    weights, margin = fit(WORKS, times)
    assert min(weights) >= 0 and margin >= LEAST_MARGIN
    model = LatencyModel("host", {"c": weights}, {"c": margin})
    for program, took in zip(PROGRAMS, times, strict=True):
        assert model.estimate_us(program)["c"] >= took * (1 - 1e-9)
    assert LatencyModel.from_json(model.to_json()) == model


def test_times_that_follow_from_the_work_are_found_again() -> None:
    truth = np.array([300.0, 0.004, 0.006, 0.0, 2.0])
    weights, margin = fit(WORKS, [float(np.dot(work, truth)) for work in WORKS])
    assert margin == LEAST_MARGIN
    between = build_student(Recipe(features=96, width=12, hidden=12), classes=5, seed=0)
    assert np.dot(latency_work(between), weights) == pytest.approx(np.dot(latency_work(between), truth), rel=0.1)


def _job(folder: Path, tiny_csv: Path) -> Path:
    (folder / "tiny.csv").write_bytes(tiny_csv.read_bytes())
    (folder / "job.toml").write_text(JOB)
    return folder


@pytest.mark.slow
def test_a_job_keeps_to_the_time_of_an_emulated_core(tmp_path: Path, tiny_csv: Path) -> None:
    need_microcontrollers()
    _job(tmp_path, tiny_csv)
    arguments = ("compress", "job.toml", "--max-latency", "60ms@cortex-m0", "--out", "out")
    outcome = understudy(*arguments, folder=tmp_path)
    assert outcome.exit_code == 0, outcome.err
    assert "timing students on cortex-m0" in outcome.err
    [member] = Family.load(tmp_path / "out").members
    [check] = member.latency_checks
    assert (check.target, check.format, check.limit_us, check.measured) == ("cortex-m0", "c", 60_000, False)
    assert check.is_met and check.estimated_us <= 60_000
    assert check.latency_us == pytest.approx(check.estimated_us, rel=0.2)
    assert 2 * member.files[0].size_bytes < 32 * 1024  # time binds, not bytes
    [measurement] = member.measurements
    assert measurement.exact and measurement.latency_us is not None
    assert measurement.latency_us.median == check.latency_us
    assert "Latency limit" in (tmp_path / "out" / "report.html").read_text()

    fitted = tmp_path / "out" / ".understudy" / "latency.json"
    known = json.loads(fitted.read_text())
    known["margins"]["c"] += 0.001  # as a clock would say something else today
    fitted.write_text(json.dumps(known))
    again = understudy(*arguments, folder=tmp_path)
    assert again.exit_code == 0, again.err
    assert "timing students" not in again.err
    assert json.loads(fitted.read_text()) == known


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--max-latency", "1us@cortex-m0"), 3, "where its c file is estimated to take"),
        pytest.param(
            ("--max-latency", "0.01us"),
            3,
            "the smallest student: received max_latency=0.01us, where its c file",
            marks=pytest.mark.slow,
        ),
        (("--max-latency", "5ms@cortex-m0", "--format", "onnx"), 2, "formats='onnx'; compress with --format c"),
        (("--max-latency", "5ms@aarch64"), 2, "where aarch64 has none; name a device"),
        (("--max-latency", "5ms@phone"), 2, "received on='phone'"),
        (("--max-latency", "soon"), 2, "received max_latency='soon'"),
    ],
)
def test_a_limit_that_cannot_be_kept_ends_the_job_before_training(
    tmp_path: Path, tiny_csv: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    if "@" in arguments[1]:
        need_microcontrollers()
    outcome = understudy("compress", "job.toml", *arguments, "--dry-run", folder=_job(tmp_path, tiny_csv))
    assert outcome.exit_code == code, outcome.err
    error = outcome.err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.toml", "tiny.csv"]
