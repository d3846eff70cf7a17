"""From an NPZ of measurements to verified files, as users do it: the commands in processes of their own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from command import understudy
from understudy.bundle import Bundle
from understudy.data.vector import load_vector_dataset
from understudy.errors import InputError
from understudy.family import Family
from understudy.job import DataSettings
from understudy.report.snippets import snippets

JOB = """
budgets = ["{budget}"]
formats = ["onnx", "litert", "c", "python"]
[data]
train = "{name}.npz"
[training]
epochs = {epochs}
refit = false
"""


def sensor_windows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows float64 ``[count, 40, 3]``: noise around a constant, with a slow wave, a fast wave or none on one channel."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    windows = rng.normal(0, 1, (count, 40, 3)) * (0.02, 1, 30) + (9.81, 0, 1000)
    phase = rng.uniform(0, 2 * np.pi, (count, 1))
    turns = np.array([0, 2, 7])[labels][:, None]
    windows[..., 0] += 0.06 * np.sin(2 * np.pi * turns * np.arange(40) / 40 + phase) * (turns > 0)
    return windows, np.array(["rest", "walk", "run"])[labels]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``cancer.npz`` and a finished job."""
    folder = tmp_path_factory.mktemp("vectors")
    cancer = load_breast_cancer()
    np.savez(folder / "cancer.npz", x=cancer.data.astype(np.float32), y=cancer.target_names[cancer.target])
    (folder / "cancer.toml").write_text(JOB.format(name="cancer", epochs=60, budget="6KB"))
    result = understudy("compress", "cancer.toml", "--out", "out", folder=folder)
    assert result.exit_code == 0, result.err
    assert "no teacher for vectors was brought" in result.err
    return folder


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``sensors.npz`` and a finished job."""
    folder = tmp_path_factory.mktemp("windows")
    x_train, y_train = sensor_windows(600, 0)
    x_test, y_test = sensor_windows(150, 1)
    np.savez(folder / "sensors.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    (folder / "sensors.toml").write_text(JOB.format(name="sensors", epochs=25, budget="8KB"))
    result = understudy("compress", "sensors.toml", "--out", "out", folder=folder)
    assert result.exit_code == 0, result.err
    assert "steps, channels: 40, 3" in result.err
    return folder


def test_every_file_of_a_vector_model_is_verified(vectors: Path) -> None:
    family = Family.load(vectors / "out")
    [member] = family.members
    assert member.student == "mlp"
    assert [file.format for file in member.files] == ["onnx", "litert", "c", "python"]
    assert all(file.verified and file.agreement == 1.0 and file.size_bytes <= 6 * 1024 for file in member.files)
    assert {baseline.name for baseline in family.baselines} == {"majority class", "numbers + logistic regression"}
    assert member.accuracy > 0.9
    assert member.input_bytes == 4 * 30
    assert family.data.variations == ("noise",)


def test_every_file_of_a_window_model_is_verified(windows: Path) -> None:
    family = Family.load(windows / "out")
    [member] = family.members
    assert member.student == "separable_cnn"
    assert all(file.verified and file.agreement == 1.0 for file in member.files)
    assert member.accuracy > 0.9
    assert member.accuracy > max(baseline.accuracy for baseline in family.baselines) + 0.2
    assert member.input_bytes == 4 * 40 * 3
    assert family.data.variations == ("noise", "scaled", "moved")


def test_standardization_is_learned_from_train_alone(windows: Path) -> None:
    source = Bundle.open(windows / "out" / "8KB").program().source
    x_train, _ = sensor_windows(600, 0)
    mean, deviation = x_train.reshape(-1, 3).mean(axis=0), x_train.reshape(-1, 3).std(axis=0)
    assert source.offset == pytest.approx(mean, rel=0.01, abs=0.05)  # type: ignore[union-attr]
    assert 1 / source.multiplier == pytest.approx(deviation, rel=0.05)  # type: ignore[union-attr]
    with np.load(windows / "sensors.npz") as archive:
        arrays = dict(archive)
    arrays["x_test"] = arrays["x_test"] * 1000
    np.savez(windows / "other_test.npz", **arrays)
    found = [load_vector_dataset(DataSettings(train=windows / f"{name}.npz"), seed=1) for name in ("sensors", "other_test")]
    assert found[0].digest == found[1].digest
    assert found[0].test_digest != found[1].test_digest
    assert (found[0].offset == found[1].offset).all()
    assert (found[1].multiplier == source.multiplier).all()  # type: ignore[union-attr]


@pytest.mark.slow
def test_evaluate_and_bench_run_every_file(vectors: Path, windows: Path) -> None:
    for folder, name, size in ((vectors, "cancer", "6KB"), (windows, "sensors", "8KB")):
        result = understudy("evaluate", f"out/{size}", f"{name}.npz", "--json", folder=folder)
        assert result.exit_code == 0, result.err
        files = json.loads(result.out)["files"]
        assert len(files) == 4
        assert all(file["verified"] and file["accuracy"] > 0.9 for file in files)
        assert len({file["accuracy"] for file in files}) == 1
    result = understudy("bench", "out/8KB", "--test", "sensors.npz", "--format", "c", "--json", folder=windows)
    assert result.exit_code == 0, result.err
    [measured] = json.loads(result.out)["measurements"]
    assert measured["exact"] and measured["latency_us"]["median"] > 0


def test_predict_reads_one_example_or_many_with_missing_numbers_too(windows: Path) -> None:
    values, labels = sensor_windows(6, 2)
    np.save(windows / "many.npy", values)
    np.save(windows / "one.npy", values[0])
    np.savez(windows / "some.npz", x=values[1:].astype(np.float32))
    missing = values[:1].copy()
    missing[0, 5:9] = np.nan
    missing[0, 30, 2] = np.inf
    np.save(windows / "missing.npy", missing)
    command = ("predict", "out/8KB", "many.npy", "one.npy", "some.npz", "--input", "missing.npy", "--json")
    expected = None
    for format_name in ("onnx", "litert", "c", "python"):
        result = understudy(*command, "--format", format_name, folder=windows)
        assert result.exit_code == 0, result.err
        scores = np.array([list(found["scores"].values()) for found in json.loads(result.out)["predictions"]])
        assert len(scores) == 6 + 1 + 5 + 1
        assert (scores[0] == scores[6]).all()
        assert (scores[1:6] == scores[7:12]).all()
        expected = scores if expected is None else expected
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        names = list(json.loads(result.out)["predictions"][0]["scores"])
    assert [names[i] for i in scores[:6].argmax(axis=1)] == labels.tolist()


def test_the_bundle_says_what_it_reads(vectors: Path, windows: Path) -> None:
    bundle = Bundle.open(windows / "out" / "8KB")
    assert bundle.manifest.task == "vector-classification"
    document = json.loads((bundle.folder / "manifest.json").read_text())
    assert document["input_shape"] == [40, 3]
    assert not {"max_bytes", "image_shape"} & set(document)
    for content in (np.zeros((1, 40, 2), np.float32), np.zeros((1, 120)), ["a text"]):
        with pytest.raises(InputError, match=r"this model reads numbers \[batch, 40, 3\]: received"):
            bundle.predict(content)
    assert Bundle.open(vectors / "out" / "6KB").manifest.input_shape == (30,)
    card = (windows / "out" / "8KB" / "card.md").read_text()
    assert "A window classifier with 3 classes that reads raw numbers" in card
    assert "Input: float32 `[1, 40, 3]`" in card


@pytest.mark.slow
def test_more_formats_are_exported_and_the_demo_is_refused(vectors: Path) -> None:
    result = understudy("export", "out/6KB", "--to", "arduino", folder=vectors)
    assert result.exit_code == 0, result.err
    result = understudy("demo", "out/6KB", "--out", "page", folder=vectors)
    assert result.exit_code == 2
    assert "a page has texts to type and pictures to draw or drop: received bundle='out/6KB', which reads vectors" in result.err


def test_the_programs_of_the_report_give_the_same_answers(vectors: Path) -> None:
    folder = vectors / "out"
    [member] = Family.load(folder).members
    with np.load(vectors / "cancer.npz") as archive:
        values = archive["x"][:1]
    (folder / "values.bin").write_bytes(values.tobytes())
    [expected] = Bundle.open(folder / "6KB").predict(values)
    found = snippets(member)
    assert [snippet.format for snippet in found] == ["onnx", "litert", "c", "python"]
    for snippet in found:
        (folder / snippet.filename).write_text(snippet.code)
        run = snippet.setup if snippet.format == "c" else f"{shlex.quote(sys.executable)} {snippet.filename} values.bin"
        result = subprocess.run(run, shell=True, cwd=folder, capture_output=True, text=True, check=True)
        label, score = result.stdout.split(maxsplit=1) if snippet.format == "c" else result.stdout.rsplit(maxsplit=1)
        assert float(score) == pytest.approx(expected.score, abs=1e-5)
        assert label == (str(np.argmax(expected.scores)) if snippet.format == "c" else expected.label or "none of these")


@pytest.mark.slow
def test_a_finished_job_is_not_trained_again_and_gives_the_same_bytes(vectors: Path) -> None:
    before = (vectors / "out" / "6KB" / "program.npz").read_bytes()
    result = understudy("compress", "cancer.toml", "--out", "out", folder=vectors)
    assert result.exit_code == 0, result.err
    assert (vectors / "out" / "6KB" / "program.npz").read_bytes() == before


@pytest.mark.slow
def test_teachers_in_code_and_saved_logits(vectors: Path) -> None:
    with np.load(vectors / "cancer.npz") as archive:
        values, labels = archive["x"], archive["y"]
    deviation = values.std(axis=0)
    fitted = LogisticRegression(max_iter=300).fit(values / deviation, labels)
    logits = np.stack([-fitted.decision_function(values / deviation), fitted.decision_function(values / deviation)], axis=1)
    np.savez(vectors / "logits.npz", logits=logits, class_names=fitted.classes_)
    np.savez(vectors / "weights.npz", weight=fitted.coef_ / deviation, bias=fitted.intercept_)
    (vectors / "teacher.py").write_text(
        "import numpy as np\n"
        "found = np.load('weights.npz')\n"
        "def function(values):\n"
        "    decision = values @ found['weight'].T + found['bias']\n"
        "    return np.concatenate([-decision, decision], axis=1)\n"
        "function.class_names = ('benign', 'malignant')\n"
    )
    job = JOB.format(name="cancer", epochs=3, budget="6KB").replace('"onnx", "litert", "c", "python"', '"c"')
    (vectors / "taught.toml").write_text(job)
    for source in ("teacher.py:function", "logits.npz"):
        out = f"taught-{source.partition('.')[0]}"
        result = understudy("compress", "taught.toml", "--teacher", source, "--out", out, folder=vectors)
        assert result.exit_code == 0, result.err
        family = Family.load(vectors / out)
        assert family.teacher is not None and family.teacher.used and family.teacher.name == source
        assert family.teacher.accuracy is not None and family.teacher.accuracy > 0.9
        [member] = family.members
        assert member.twin is not None and member.distillation_gain is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "out/6KB"), "predict needs numbers: received files=0"),
        (("predict", "out/6KB", "missing.npy"), "a data file exists and is a file"),
        (("predict", "out/6KB", "cancer.toml"), "arrays come as .npy or .npz: received file='cancer.toml'"),
        (("predict", "out/6KB", "short.npy"), "this model reads 30 numbers: received shape=(4, 29)"),
        (("evaluate", "out/6KB", "unlabelled.npz"), "every example has a label: received file='unlabelled.npz'"),
        (
            ("evaluate", "out/6KB", "cancer.npz", "--text", "a"),
            "columns are of tables: received text='a', label=None for vectors",
        ),
        (("compress", "cancer.npz", "--budget", "6KB", "--student", "sgnn"), "is one of mlp, projection_net: received"),
        (("compress", "cancer.npz", "--budget", "6KB", "--kind", "image"), "images are [images, H, W]"),
        (("compress", "cancer.npz", "--budget", "6KB", "--kind", "sound"), "received data.kind='sound'"),
        (
            ("compress", "cancer.npz", "--budget", "6KB", "--text", "a"),
            "received data.text='a' with vectors",
        ),
        (("compress", "cancer.npz", "--budget", "1KB"), "smallest reachable size"),
        (("compress", "cancer.npz", "--budget", "6KB", "--teacher", "teacher.tflite"), "a teacher"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: tuple[str, ...], message: str, vectors: Path) -> None:
    np.save(vectors / "short.npy", np.zeros((4, 29)))
    np.savez(vectors / "unlabelled.npz", x=np.zeros((4, 30)))
    (vectors / "teacher.tflite").write_bytes(b"no model")
    result = understudy(*arguments, folder=vectors)
    assert result.exit_code in (2, 3)
    assert message in result.err
    assert "Traceback" not in result.err
