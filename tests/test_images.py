"""From an NPZ of handwritten digits to verified files, as users do it: the commands in processes of their own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from command import understudy
from image_models import litert_image_file, pictures
from recordings import write_wav
from understudy.bundle import Bundle
from understudy.errors import InputError
from understudy.family import Family
from understudy.report.snippets import snippets

JOB = """
budgets = ["6KB"]
max_macs = "1M"
[data]
train = "digits.npz"
[training]
epochs = 12
refit = false
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``digits.npz`` and a finished job."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    np.savez(folder / "digits.npz", x=np.minimum(digits.images * 16, 255).astype(np.uint8), y=digits.target)
    (folder / "digits.toml").write_text(JOB)
    result = understudy("compress", "digits.toml", "--out", "out", folder=folder)
    assert result.exit_code == 0, result.err
    assert "no teacher for images was brought" in result.err
    assert "plain_cnn" in result.out
    return folder


def test_every_file_is_verified_and_better_than_the_baseline(finished: Path) -> None:
    family = Family.load(finished / "out")
    [member] = family.members
    assert [file.format for file in member.files] == ["onnx", "litert", "c"]
    assert all(file.verified and file.agreement == 1.0 and file.size_bytes <= 6 * 1024 for file in member.files)
    assert {baseline.name for baseline in family.baselines} == {"majority class", "pixels + logistic regression"}
    assert member.accuracy > 0.9
    assert member.input_bytes == 64
    assert member.macs is not None
    assert 20_000 < member.macs <= 1_000_000
    assert family.data.variations == ("moved",)
    assert family.teacher is None
    assert family.data.splits["test"].examples == 180


@pytest.mark.slow
def test_smaller_sizes_begin_from_the_largest(finished: Path) -> None:
    data = '[data]\ntrain = "digits.npz"\n[training]\nepochs = 1\nrefit = false\n'
    (finished / "sizes.toml").write_text(f'budgets = ["8KB", "20KB"]\nstudent = "plain_cnn"\nformats = ["c"]\n{data}')
    result = understudy("compress", "sizes.toml", "--out", "sizes", folder=finished)
    assert result.exit_code == 0, result.err
    small, large = Family.load(finished / "sizes").members
    assert (small.budget, small.begins_from, large.begins_from) == ("8KB", "20KB", None)
    assert all(file.verified for file in small.files)
    said = "the strongest channels of the student of 20KB"
    cards = [(finished / "sizes" / member.path / "card.md").read_text() for member in (small, large)]
    assert [said in card for card in cards] == [True, False]
    assert (finished / "sizes" / "report.html").read_text().count(said) == 1


@pytest.mark.slow
def test_of_few_images_a_student_begins_from_a_wider_network_and_a_replay_gives_the_same_files(finished: Path) -> None:
    command = ("compress", "digits.npz", "--budget", "4KB", "--format", "c", "--out")
    result = understudy(*command, "few", folder=finished)
    assert result.exit_code == 0, result.err
    assert "a wider network learns first" in result.err
    [member] = Family.load(finished / "few").members
    assert member.begins_from is None
    assert member.parent_weights is not None
    assert member.parent_weights > 2 * member.weight_count
    said = f"a wider network with {member.parent_weights:,} weights"
    assert said in (finished / "few" / "4KB" / "card.md").read_text()
    assert said in (finished / "few" / "report.html").read_text()
    again = understudy(*command, "again", folder=finished)
    assert again.exit_code == 0, again.err
    first, second = ((finished / folder / "4KB" / "model.h").read_bytes() for folder in ("few", "again"))
    assert first == second


def test_evaluate_measures_every_file(finished: Path) -> None:
    result = understudy("evaluate", "out/6KB", "digits.npz", "--json", folder=finished)
    assert result.exit_code == 0, result.err
    document = json.loads(result.out)
    assert len(document["files"]) == 3
    assert all(file["verified"] and file["accuracy"] > 0.9 for file in document["files"])
    assert len({file["accuracy"] for file in document["files"]}) == 1


def test_predict_reads_archives_and_pictures(finished: Path) -> None:
    with np.load(finished / "digits.npz") as archive:
        pixels, labels = archive["x"][:3], archive["y"][:3]
    Image.fromarray(pixels[0]).save(finished / "grey.png")
    Image.fromarray(pixels[0]).convert("RGB").save(finished / "colour.png")
    np.savez(finished / "three.npz", x=pixels)
    np.save(finished / "two.npy", pixels[:2])
    np.save(finished / "one.npy", pixels[0])
    files = ("three.npz", "grey.png", "colour.png", "one.npy", "two.npy")
    result = understudy("predict", "out/6KB", *files, "--json", folder=finished)
    assert result.exit_code == 0, result.err
    scores = [found["scores"] for found in json.loads(result.out)["predictions"]]
    assert len(scores) == 8
    assert scores[0] == scores[3] == scores[4] == scores[5] == scores[6]
    assert scores[1] == scores[7]
    best = [max(row, key=row.get) for row in scores[:3]]
    assert sum(name == str(label) for name, label in zip(best, labels, strict=True)) >= 2


def test_a_folder_is_no_picture(finished: Path) -> None:
    (finished / "empty").mkdir(exist_ok=True)
    result = understudy("predict", "out/6KB", "empty", folder=finished)
    assert result.exit_code == 2
    assert result.err.splitlines()[-1].endswith(
        "predict takes files, and answers in their order: received folder='empty'; name the files in it, as empty/*, or "
        "measure a folder of class folders with understudy evaluate"
    )


def test_the_bundle_says_what_it_reads(finished: Path) -> None:
    bundle = Bundle.open(finished / "out" / "6KB")
    assert bundle.manifest.task == "image-classification"
    assert bundle.manifest.image_shape == (8, 8, 1)
    assert "max_bytes" not in json.loads((bundle.folder / "manifest.json").read_text())
    given = (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 1), np.float32), ["a text"], "a.png", [[[[0]]]])
    for content in given:
        with pytest.raises(InputError, match=r"this model reads uint8 images \[batch, 8, 8, 1\]: received .*, as an array$"):
            bundle.predict(content)
    for other in (None, 5, {"a": 1}):
        with pytest.raises(InputError, match=f"received type='{type(other).__name__}'; give what it was made for, as an array"):
            bundle.predict(other)  # type: ignore[arg-type]
    grey = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)  # as the job takes them
    assert bundle.predict(grey) == bundle.predict(grey[..., None])
    with pytest.raises(InputError, match=r"received uint8 shape=\(8, 8, 1\); put it into a batch of one, x\[None\]"):
        bundle.predict(np.zeros((8, 8, 1), np.uint8))
    [member] = Family.load(finished / "out").members
    assert repr(member).startswith("Member(budget='6KB', student='plain_cnn', accuracy=0.9") and len(repr(member)) < 200


def test_the_report_shows_the_student(finished: Path) -> None:
    page = (finished / "out" / "report.html").read_text()
    assert "plain_cnn" in page
    assert "pixels + logistic regression" in page


def test_the_programs_of_the_report_give_the_same_answers(finished: Path) -> None:
    folder = finished / "out"
    [member] = Family.load(folder).members
    with np.load(finished / "digits.npz") as archive:
        pixels = archive["x"][:1]
    (folder / "pixels.bin").write_bytes(pixels.tobytes())
    [expected] = Bundle.open(folder / "6KB").predict(pixels[..., None])
    found = snippets(member)
    assert [snippet.format for snippet in found] == ["onnx", "litert", "c"]
    for snippet in found:
        (folder / snippet.filename).write_text(snippet.code)
        run = snippet.setup if snippet.format == "c" else f"{shlex.quote(sys.executable)} {snippet.filename} pixels.bin"
        result = subprocess.run(run, shell=True, cwd=folder, capture_output=True, text=True, check=True)
        label, score = result.stdout.split()
        assert float(score) == pytest.approx(expected.score, abs=1e-5)
        assert label == (str(np.argmax(expected.scores)) if snippet.format == "c" else expected.label or "none")


@pytest.mark.slow
def test_a_folder_of_class_folders_gives_the_same_model(finished: Path) -> None:
    with np.load(finished / "digits.npz") as archive:
        pixels, labels = archive["x"], archive["y"]
    for number in np.argsort(labels, kind="stable")[::4]:
        folder = finished / "pictures" / str(labels[number])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[number]).save(folder / f"{number:04}.png")
    (finished / "pictures" / "3" / "broken.png").write_bytes(b"")
    order = [int(path.stem) for path in sorted((finished / "pictures").glob("*/[0-9]*.png"))]
    np.savez(finished / "pictures.npz", x=pixels[order], y=labels[order])
    command = ("compress", "pictures", "--budget", "6KB", "--format", "onnx")
    result = understudy(*command, "--dry-run", folder=finished)
    assert result.exit_code == 2
    assert "received bad=1 of pictures=451 in folder='pictures': 3/broken.png (the file is empty)" in result.err
    result = understudy(*command, "--dry-run", "--skip-bad", "--json", folder=finished)
    assert result.exit_code == 0, result.err
    found = json.loads(result.out)
    assert found["data"]["left_out"] == ["3/broken.png (the file is empty)"]
    as_archive = understudy("compress", "pictures.npz", "--budget", "6KB", "--dry-run", "--json", folder=finished)
    assert json.loads(as_archive.out)["data_digest"] == found["data_digest"]
    evaluation = understudy("evaluate", "out/6KB", "pictures", "--json", folder=finished)
    assert evaluation.exit_code == 2
    evaluation = understudy("evaluate", "out/6KB", "pictures", "--skip-bad", "--json", folder=finished)
    assert "left out: 3/broken.png (the file is empty)" in evaluation.err
    assert evaluation.exit_code == 0, evaluation.err
    assert all(file["accuracy"] > 0.9 for file in json.loads(evaluation.out)["files"])


@pytest.mark.slow
def test_a_finished_job_is_not_trained_again_and_gives_the_same_bytes(finished: Path) -> None:
    before = (finished / "out" / "6KB" / "manifest.json").read_bytes()
    result = understudy("compress", "digits.toml", "--out", "out", folder=finished)
    assert result.exit_code == 0, result.err
    assert (finished / "out" / "6KB" / "manifest.json").read_bytes() == before


TAUGHT = JOB.replace("epochs = 12", "epochs = 2").replace("[data]", 'formats = ["c"]\n[data]')


def linear_teacher(path: Path, folder: Path, *, order: np.ndarray) -> Path:
    """Write a logistic regression on ``digits.npz`` as an ONNX file that wants fractions in NCHW; its columns in ``order``."""
    with np.load(folder / "digits.npz") as archive:
        pixels, labels = archive["x"], archive["y"]
    fitted = LogisticRegression(max_iter=300).fit(pixels.reshape(len(pixels), -1) / 255, labels)
    weights = {"weight": fitted.coef_.T[:, order], "bias": fitted.intercept_[order]}
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["pixels"], ["flat"]), helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.slow
def test_a_teacher_for_images(finished: Path) -> None:
    linear_teacher(finished / "linear.onnx", finished, order=np.arange(10))
    (finished / "taught.toml").write_text(TAUGHT)
    command = ("compress", "taught.toml", "--teacher", "linear.onnx", "--out", "taught")
    result = understudy(*command, folder=finished)
    assert result.exit_code == 0, result.err
    found = "layout NCHW, pixels 0 to 1 (found on 1024 labelled images: accuracy "
    assert "teacher: ONNX file linear.onnx (" in result.err
    assert found in result.err
    family = Family.load(finished / "taught")
    assert family.teacher is not None and family.teacher.used
    assert found in family.teacher.description
    assert family.teacher.accuracy is not None and family.teacher.accuracy > 0.9
    assert family.teacher.size_bytes == (finished / "linear.onnx").stat().st_size
    [member] = family.members
    assert member.twin is not None and member.distillation_gain is not None
    assert {"student_on_labels", "student_on_teacher"} == set(member.learning_curve[-1].train_loss)
    assert "layout NCHW" in (finished / "taught" / "report.html").read_text()
    before = (finished / "taught" / "6KB" / "manifest.json").read_bytes()
    again = understudy(*command, folder=finished)
    assert again.exit_code == 0, again.err
    assert (finished / "taught" / "6KB" / "manifest.json").read_bytes() == before


def test_a_teacher_whose_columns_are_in_another_order_stops_the_job(finished: Path) -> None:
    order = np.array([0, 1, 3, 2, 4, 5, 6, 7, 9, 8])
    linear_teacher(finished / "shuffled.onnx", finished, order=order)
    (finished / "taught.toml").write_text(TAUGHT)
    result = understudy("compress", "taught.toml", "--teacher", "shuffled.onnx", "--out", "shuffled", folder=finished)
    assert result.exit_code == 2
    assert "with the columns named 0, 1, 3, 2, 4, 5, 6, 7, 9, 8; write its class names" in result.err
    assert not (finished / "shuffled" / "family.json").exists()


@pytest.mark.slow
def test_a_teacher_names_its_columns(finished: Path) -> None:
    order = np.array([0, 1, 3, 2, 4, 5, 6, 7, 9, 8])
    linear_teacher(finished / "shuffled.onnx", finished, order=order)
    (finished / "taught.toml").write_text(TAUGHT)
    (finished / "labels.txt").write_text("".join(f"{i}\n" for i in order))
    result = understudy("compress", "taught.toml", "--teacher", "shuffled.onnx", "--out", "shuffled", folder=finished)
    (finished / "labels.txt").unlink()
    assert result.exit_code == 0, result.err
    assert "columns named by the teacher" in result.err


@pytest.mark.slow
def test_a_teacher_that_knows_nothing_stops_the_job(finished: Path) -> None:
    (finished / "guess.py").write_text(
        "import numpy as np\ndef guess(images): return np.eye(10)[images.reshape(len(images), -1).sum(axis=1) % 10]\n"
    )
    result = understudy("compress", "digits.toml", "--teacher", "guess.py:guess", "--out", "guess", folder=finished)
    assert result.exit_code == 2
    assert "a teacher must know more than chance: received accuracy=" in result.err
    (finished / "joint.toml").write_text(JOB + 'mode = "joint"\n')
    result = understudy("compress", "joint.toml", "--teacher", "guess.py:guess", "--out", "joint", folder=finished)
    assert result.exit_code == 2
    assert "joint training for images makes its teacher itself: received training.mode='joint' and a teacher" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "out/6KB", "missing.png"), "a data file exists and is a file"),
        (("predict", "out/6KB"), "predict needs images: received files=0"),
        (("predict", "out/6KB", "x.png", "--text", "q"), "received --text='q' for a model of images; remove it"),
        (("bench", "out/6KB", "--text", "q"), "received --text='q' for a model of images; remove it"),
        (("compress", "digits.npz", "--budget", "6KB", "--show-examples", "2"), "data.show_examples is for texts: received"),
        (("evaluate", "out/6KB", "missing.npz"), "a data file exists and is a file"),
        (("evaluate", "out/6KB", "sounds"), "this model reads images: received path='sounds', a folder of recordings"),
        (("compress", "digits.npz", "--budget", "6KB", "--student", "sgnn"), "received student='sgnn'"),
        (("compress", "digits.npz", "--budget", "6KB", "--teacher", "m:f"), "whose module cannot be imported"),
        (("compress", "digits.npz", "--budget", "6KB", "--teacher", "large.tflite"), "received input=float32 [1, 8, 8, 3] of"),
        (("compress", "digits.npz", "--budget", "6KB", "--teacher", "broken.h5"), "a teacher's Keras file must load: received"),
        (
            ("compress", "digits.npz", "--budget", "6KB", "--teacher", "broken.onnx"),
            "a teacher's ONNX file must load",
        ),
        (("compress", "digits.npz", "--budget", "6KB", "--unlabelled", "digits.npz"), "is for texts"),
        (("compress", "digits.npz", "--budget", "1KB"), "smallest reachable size"),
        (("compress", "digits.npz", "--budget", "6KB", "--max-macs", "2k"), "received max_macs=2k, where it takes"),
        (("compress", "digits.npz", "--budget", "6KB", "--max-macs", "lots"), "received max_macs='lots'"),
        (("compress", "digits.npz", "--budget", "6KB", "--skip-bad"), "is for folders of pictures"),
        (("compress", "digits.npz", "--budget", "6KB", "--image-size", "16"), "remove it, and resize arrays before"),
        (
            ("compress", "digits.npz", "--budget", "6KB", "--image-size", "tiny"),
            "received data.image_size='tiny'; write it as 96",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: tuple[str, ...], message: str, finished: Path) -> None:
    litert_image_file(finished / "large.tflite")
    for name in ("broken.h5", "broken.onnx"):
        (finished / name).write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    for label in "01":
        write_wav(finished / "sounds" / label / "a.wav", np.zeros(800), rate=8000)
    result = understudy(*arguments, folder=finished)
    assert result.exit_code in (2, 3)
    assert message in result.err
    assert "Traceback" not in result.err


def test_pictures_have_the_size_that_the_teacher_takes(tmp_path: Path) -> None:
    pixels, labels = pictures(48)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = tmp_path / "photos" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((40, 32)).save(folder / f"{number:02}.png")
    litert_image_file(tmp_path / "teacher.tflite")  # for images [8, 8, 3]
    command = ("compress", "photos", "--teacher", "teacher.tflite", "--budget", "6KB", "--dry-run", "--json")
    plan = understudy(*command, folder=tmp_path)
    assert plan.exit_code == 0, plan.err
    assert json.loads(plan.out)["data"]["shape"] == [8, 8, 3]
    asked = understudy(*command, "--image-size", "16x24", folder=tmp_path)
    assert asked.exit_code == 2
    assert "received input=float32 [1, 8, 8, 3] of teacher='teacher.tflite' for images=[16, 24, 3]" in asked.err
    made = understudy(*command[:-2], "--format", "c", folder=tmp_path)
    assert made.exit_code == 0, made.err
    added = understudy("export", "runs/photos/6KB", "--to", "python", folder=tmp_path)  # the job does not name the size
    assert added.exit_code == 0, added.err
    [file] = [f for f in Family.load(tmp_path / "runs" / "photos").members[0].files if f.format == "python"]
    assert file.verified
