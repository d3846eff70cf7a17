"""From a table of measurements to verified files and answers, as users do it: the commands in processes of their own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine

from command import contents, understudy
from understudy.bundle import Bundle
from understudy.family import Family
from understudy.job import load_job

JOB = '[data]\ntrain = "iris.csv"\nlabel = "species"\n[training]\nepochs = 60\nrefit = false\n'
IRIS = ("sepal length", "sepal, width", "petal length", "petal width")


def write_table(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``iris.csv`` and a finished job; the file has an index without a name, as pandas writes it."""
    folder = tmp_path_factory.mktemp("flowers")
    iris = load_iris()
    names = [str(iris.target_names[i]) for i in iris.target]
    rows = [(i, *values, name) for i, (values, name) in enumerate(zip(iris.data.tolist(), names, strict=True))]
    write_table(folder / "iris.csv", ("", *IRIS, "species"), rows)
    (folder / "iris.toml").write_text(f'budgets = ["4KB"]\nformats = ["onnx", "c"]\n{JOB}')
    result = understudy("compress", "iris.toml", "--out", "out", folder=folder)
    assert result.exit_code == 0, result.err
    assert "columns: sepal length, sepal, width, petal length, petal width" in result.err
    return folder


def test_a_table_of_numbers_becomes_a_family(flowers: Path) -> None:
    family = Family.load(flowers / "out")
    [member] = family.members
    assert family.data.columns == IRIS
    assert family.data.class_names == ("setosa", "versicolor", "virginica")
    assert member.student == "mlp"
    assert member.accuracy > 0.85
    assert all(file.verified and file.agreement == 1 for file in member.files)
    assert Bundle.open(flowers / "out" / "4KB").manifest.columns == IRIS
    assert "Their order: sepal length, sepal, width, petal length" in (flowers / "out" / "4KB" / "card.md").read_text()


@pytest.mark.slow
def test_predict_finds_the_columns_by_their_names(flowers: Path) -> None:
    iris = load_iris()
    order = [2, 0, 3, 1]
    rows = [(*values[order].tolist(), "a note") for values in iris.data[::10]]
    write_table(flowers / "new.csv", (*(IRIS[i] for i in order), "note"), rows)
    np.save(flowers / "new.npy", iris.data[::10])
    answers = []
    for name in ("new.csv", "new.npy"):
        for format_name in ("onnx", "c"):
            result = understudy("predict", "out/4KB", name, "--format", format_name, folder=flowers)
            assert result.exit_code == 0, result.err
            answers.append([line.split("\t")[0] for line in result.out.splitlines()])
    assert all(answer == answers[0] for answer in answers)
    truth = iris.target_names[iris.target[::10]]
    assert np.mean([a == b for a, b in zip(answers[0], truth, strict=True)]) > 0.8


def test_evaluate_reads_such_a_table(flowers: Path) -> None:
    result = understudy("evaluate", "out/4KB", "iris.csv", "--label", "species", "--json", folder=flowers)
    assert result.exit_code == 0, result.err
    document = json.loads(result.out)
    assert document["texts"] == 150
    assert all(file["verified"] and file["accuracy"] > 0.85 for file in document["files"])
    result = understudy("bench", "out/4KB", "--test", "iris.csv", "--format", "c", "--json", folder=flowers)
    assert result.exit_code == 0, result.err
    assert json.loads(result.out)["measurements"][0]["exact"]


@pytest.mark.slow
def test_init_names_the_columns_and_its_job_runs(tmp_path: Path) -> None:
    wine = load_wine()
    columns = tuple(wine.feature_names)
    lines = [(*columns, "class"), *((*values, i + 1) for values, i in zip(wine.data.tolist(), wine.target, strict=True))]
    (tmp_path / "wine.tsv").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
    result = understudy("init", "wine.tsv", folder=tmp_path)
    assert result.exit_code == 0, result.err
    job = load_job(tmp_path / "job.toml")
    assert (job.data.kind, job.data.label, job.data.columns) == ("vector", "class", columns)
    assert job.budgets == ("8KB", "16KB", "64KB")
    chosen = understudy(
        "init", "wine.tsv", "--columns", "proline,hue", "--columns", "ash", "--out", "few.toml", folder=tmp_path
    )
    assert chosen.exit_code == 0, chosen.err
    assert load_job(tmp_path / "few.toml").data.columns == ("proline", "hue", "ash")
    plan = understudy("compress", "few.toml", "--dry-run", "--json", folder=tmp_path)
    assert plan.exit_code == 0, plan.err
    document = json.loads(plan.out)
    assert document["data"]["columns"] == ["proline", "hue", "ash"]
    assert document["data"]["class_names"] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("compress", "iris.csv", "--label", "species", "--columns", "petal"),
            "every column of numbers that is read is a column of the file",
        ),
        (("compress", "iris.csv", "--text", "species", "--columns", "petal width"), "columns of numbers are vectors: "),
        (("init", "bad.csv", "--label", "species"), "a column of numbers has one in every row: received petal width='?' at l"),
        (("predict", "out/4KB", "bad.csv"), "a column of numbers has one in every row: received petal width='?' at line=4 of"),
        (("evaluate", "out/4KB", "short.csv", "--label", "species"), "the label column is a column of the file: "),
    ],
)
def test_what_is_wrong_is_one_line(flowers: Path, arguments: tuple[str, ...], message: str) -> None:
    lines = (flowers / "iris.csv").read_text().splitlines()
    (flowers / "bad.csv").write_text("\n".join([*lines[:3], "2,1,2,3,?,setosa", *lines[4:]]))
    (flowers / "short.csv").write_text("petal width\n1\n")
    before = contents(flowers)
    extra = ("--budget", "4KB", "--out", "other") if arguments[0] == "compress" else ()
    result = understudy(*arguments, *extra, folder=flowers)
    assert result.exit_code == 2, result.err
    [line] = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {message}")
    assert contents(flowers) == before
