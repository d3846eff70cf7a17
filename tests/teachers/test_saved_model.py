"""SavedModel folders as teachers. TensorFlow is large, so a double with the few names that are called stands in for it."""

from __future__ import annotations

import gc
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import understudy
from image_models import CLASSES, SHAPE, pictures, reference, weights
from understudy.errors import InputError, SetupError
from understudy.teachers.image_input import UNIT
from understudy.teachers.image_registry import load_image_teacher
from understudy.teachers.saved_model import saved_model_image_model

IMAGES, LABELS = pictures(200)
DOUBLE = """
import json, sys
from pathlib import Path
from types import SimpleNamespace as Names
import numpy as np
print("TensorFlow talks on standard output")
config = Names(threading=Names(set_intra_op_parallelism_threads=int, set_inter_op_parallelism_threads=int))
constant = np.asarray
class Shape(list):
    rank = property(len)
class Signature:
    def __init__(self, folder):
        graph = json.loads((folder / "saved_model.pb").read_text())
        self.weight, self.bias = (np.load(folder / f"{name}.npy") for name in ("weight", "bias"))
        spec = Names(shape=Shape([None, *graph["shape"]]), dtype=np.dtype("float32"))
        self.structured_input_signature = ((), {name: spec for name in graph["inputs"]})
        self.structured_outputs = {"out": Names(shape=Shape([None, 4]), dtype=np.dtype("float32"))}
    def __call__(self, pixels):
        if pixels[0, 0, 0, 0] == 77:
            sys.exit("killed")
        logits = pixels.reshape(len(pixels), -1) @ self.weight + self.bias
        return {"out": Names(numpy=lambda: logits)}
saved_model = Names(load=lambda folder: Names(signatures={"serving_default": Signature(Path(folder))}))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that the double reads."""
    doubles = tmp_path / "doubles"
    (doubles / "tensorflow").mkdir(parents=True)
    (doubles / "tensorflow" / "__init__.py").write_text(DOUBLE)
    monkeypatch.syspath_prepend(doubles)
    monkeypatch.setenv("PYTHONPATH", str(doubles))
    made = tmp_path / "resnet"
    made.mkdir()
    (made / "saved_model.pb").write_text('{"shape": [8, 8, 3], "inputs": ["pixels"]}')
    for name, values in zip(("weight", "bias"), weights(UNIT), strict=True):
        np.save(made / f"{name}.npy", values)
    return made


def labelled(source: Path) -> Any:
    names = tuple(str(i) for i in range(CLASSES))
    return load_image_teacher(
        source, class_names=names, images=IMAGES, labels=LABELS, numbered=True, training_images=lambda: IMAGES
    )


def test_a_process_answers(folder: Path) -> None:
    teacher = understudy.load_teacher(folder)
    np.testing.assert_allclose(teacher.predict(IMAGES), reference(IMAGES), atol=1e-4)
    found = labelled(folder)
    np.testing.assert_allclose(found.logits(IMAGES), reference(IMAGES), atol=1e-4)
    assert "SavedModel resnet (" in found.describe()
    assert "input float32 [any, 8, 8, 3], layout NHWC, pixels 0 to 1 (" in found.describe()
    before = found.digest
    np.save(folder / "bias.npy", np.ones(CLASSES, np.float32))
    assert labelled(folder).digest != before


def test_the_process_ends_with_the_teacher(folder: Path) -> None:
    model = saved_model_image_model(folder)
    process = model.run.__self__._process  # type: ignore[attr-defined]
    assert process.poll() is None
    del model
    gc.collect()
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is not None


def test_a_process_that_dies_is_one_line(folder: Path) -> None:
    values = np.zeros((2, *SHAPE), np.float32)
    values[0, 0, 0, 0] = 77
    with pytest.raises(InputError, match=r"received a run that failed \(its process ended: killed\) in teacher='resnet'"):
        understudy.load_teacher(folder).predict(values)


def test_a_damaged_folder_is_one_line(folder: Path) -> None:
    (folder / "saved_model.pb").write_text('{"shape": [8,')
    with pytest.raises(InputError, match=r"SavedModel file must load: .*\(JSONDecodeError: .*export it") as error:
        understudy.load_teacher(folder)
    assert "\n" not in str(error.value)


def test_two_inputs_are_named(folder: Path) -> None:
    (folder / "saved_model.pb").write_text('{"shape": [8, 8, 3], "inputs": ["pixels", "mask"]}')
    with pytest.raises(InputError, match=r"takes one tensor of pixels .*received inputs=.*'mask'.*serving_default"):
        labelled(folder)


def test_another_size_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"input=float32 \[any, 8, 8, 3\] of teacher='resnet' for images=\[12, 12, 3\]"):
        understudy.load_teacher(folder).predict(np.zeros((1, 12, 12, 3), np.uint8))


def test_operators_that_reach_the_disk_are_refused(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"\x0a\x09WriteFile\x12")
    with pytest.raises(InputError, match=r"only computes: received operator='WriteFile' in teacher=.*; export it without"):
        understudy.load_teacher(folder)


def test_a_folder_of_something_else_is_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"or a folder with a TensorFlow SavedModel: received teacher=.*which is no file"):
        understudy.load_teacher(tmp_path)


def test_without_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.teachers.saved_model.find_spec", lambda _name: None)
    with pytest.raises(SetupError, match=r"needs the 'tensorflow' extra: .*understudy\[tensorflow\]', or convert it .*TFLite"):
        understudy.load_teacher(folder)


if find_spec("tensorflow") is not None:  # not among what the tests bring

    def test_tensorflow_itself(tmp_path: Path) -> None:
        script = """
import sys
import numpy as np
import tensorflow as tf
class Model(tf.Module):
    def __init__(self):
        self.weight, self.bias = (tf.Variable(np.load(sys.argv[1])[name]) for name in ("weight", "bias"))
    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="pixels")])
    def serve(self, pixels):
        return {"logits": tf.reshape(pixels, [-1, 192]) @ self.weight + self.bias}
model = Model()
tf.saved_model.save(model, sys.argv[2], signatures={"serving_default": model.serve})
"""
        import subprocess

        weight, bias = weights(UNIT)
        np.savez(tmp_path / "weights.npz", weight=weight, bias=bias)
        arguments = [str(tmp_path / "weights.npz"), str(tmp_path / "model")]
        subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)
        np.testing.assert_allclose(understudy.load_teacher(tmp_path / "model").predict(IMAGES), reference(IMAGES), atol=1e-4)
