"""Keras models as teachers: objects, .keras and .h5 files, run on torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import understudy
from image_models import CLASSES, SHAPE, pictures, reference, weights
from understudy.errors import InputError, SetupError
from understudy.teachers.image_input import RAW, UNIT, PixelRange
from understudy.teachers.image_registry import image_model, load_image_teacher
from understudy.teachers.protocol import checked_logits

os.environ.setdefault("KERAS_BACKEND", "torch")
NAMES = tuple(str(i) for i in range(CLASSES))
IMAGES, LABELS = pictures(300)


def model(pixel_range: PixelRange, *, softmax: bool = False) -> Any:
    import keras

    made = keras.Sequential([
        keras.layers.Input(SHAPE),
        keras.layers.Conv2D(CLASSES, SHAPE[:2], activation="softmax" if softmax else None),
        keras.layers.Flatten(),
    ])  # fmt: skip
    weight, bias = weights(pixel_range)
    made.layers[0].set_weights([weight.reshape(*SHAPE, CLASSES), bias])
    return made


def saved(path: Path, made: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras calls .h5 old, which is why it is tested
        made.save(path)
    return path


def labelled(source: Any) -> Any:
    return load_image_teacher(
        source, class_names=NAMES, images=IMAGES, labels=LABELS, numbered=True, training_images=lambda: IMAGES
    )


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("pixel_range", [UNIT, RAW], ids=lambda found: found.name)
def test_files(tmp_path: Path, ending: str, pixel_range: PixelRange) -> None:
    path = saved(tmp_path / f"m{ending}", model(pixel_range))
    teacher = labelled(path)
    assert (checked_logits(teacher, IMAGES, CLASSES).argmax(axis=1) == LABELS).all()
    assert f"Keras file m{ending} (" in teacher.describe()
    assert "input float32 [any, 8, 8, 3], layout NHWC" in teacher.describe()
    assert understudy.load_teacher(path).predict(IMAGES).shape == (300, CLASSES)


def test_objects_and_probabilities() -> None:
    made = model(UNIT, softmax=True)
    teacher = understudy.load_teacher(made)
    logits = reference(IMAGES)
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(teacher.predict(IMAGES), np.maximum(expected, np.log(1e-9)), atol=1e-3)
    assert "Keras model sequential" in teacher.describe(SHAPE)
    before = labelled(made).digest
    weight, bias = weights(UNIT)
    made.layers[0].set_weights([2 * weight.reshape(*SHAPE, CLASSES), bias])
    assert labelled(made).digest != before


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_files_are_one_line(tmp_path: Path, ending: str, keep: float) -> None:
    path = saved(tmp_path / f"m{ending}", model(UNIT))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match=r"Keras file must load: received teacher=.*unreadable \(.*export it") as error:
        understudy.load_teacher(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_lambda_layer_is_refused(tmp_path: Path, ending: str) -> None:
    import keras

    made = keras.Sequential([keras.layers.Input(SHAPE), keras.layers.Lambda(lambda x: x), keras.layers.Flatten()])
    path = saved(tmp_path / f"m{ending}", made)
    with pytest.raises(InputError, match=r"must not run code when it is loaded, and a Lambda layer does: received teacher="):
        understudy.load_teacher(path)


def test_two_inputs_are_named() -> None:
    import keras

    first, second = keras.layers.Input(SHAPE, name="left"), keras.layers.Input(SHAPE, name="right")
    made = keras.Model([first, second], keras.layers.Flatten()(first + second))
    with pytest.raises(InputError, match=r"takes one tensor of pixels: received inputs=left.*, right"):
        labelled(made)


def test_another_size_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", model(UNIT))
    with pytest.raises(InputError, match=r"input=float32 \[any, 8, 8, 3\] of teacher='m.keras' for images=\[12, 12, 3\]"):
        understudy.load_teacher(path).predict(np.zeros((2, 12, 12, 3), np.uint8))


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.keras").write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(SetupError, match=r"using a Keras file as teacher needs the 'keras' extra: .*understudy\[keras\]"):
        understudy.load_teacher(tmp_path / "m.keras")


def test_loading_leaves_the_home_folder_and_the_environment_alone(tmp_path: Path) -> None:
    """A Keras that nobody imported yet is run on torch, whatever the user's own settings are."""
    path = saved(tmp_path / "m.keras", model(UNIT))
    script = (
        "import os, sys, numpy, understudy\n"
        f"found = understudy.load_teacher({str(path)!r}).predict(numpy.zeros((2, 8, 8, 3), 'uint8'))\n"
        "import keras\n"
        "print(keras.backend.backend(), found.shape, 'tensorflow' in sys.modules, os.environ['KERAS_BACKEND'])\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split("\n")[0] == "torch (2, 4) False jax", done.stderr
    assert not (home / ".keras").exists()


def test_layers_as_keras_2_describes_them(tmp_path: Path) -> None:
    import h5py
    import keras

    made = keras.Sequential([
        keras.layers.Input(SHAPE),
        keras.layers.DepthwiseConv2D(3, activation="relu"),
        keras.layers.SeparableConv2D(4, 3),
        keras.layers.Conv2DTranspose(5, 2),
        keras.layers.GlobalAveragePooling2D(),
    ])  # fmt: skip
    path = saved(tmp_path / "m.h5", made)
    pixels = IMAGES[:8].astype(np.float32)
    before = image_model(path, classes=5).run(pixels)

    def describe(groups: int, name: str = "Conv2DTranspose") -> None:
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            for layer in config["config"]["layers"]:
                if "Conv" in layer["class_name"]:
                    layer["config"]["groups"] = groups
                if layer["class_name"] == "SeparableConv2D":
                    layer["config"] |= {"kernel_initializer": None, "kernel_regularizer": None, "kernel_constraint": None}
                if layer["class_name"] == "Conv2DTranspose":
                    layer["class_name"] = name
            file.attrs["model_config"] = json.dumps(config)

    describe(1)
    np.testing.assert_array_equal(image_model(path, classes=5).run(pixels), before)
    describe(2)
    with pytest.raises(InputError, match=r"has layers that Keras 3.* makes: received .* a DepthwiseConv2D \(.*'groups': 2"):
        understudy.load_teacher(path)
    describe(1, "TFOpLambda")
    with pytest.raises(InputError, match=r"with a TFOpLambda, which is not known; load it in your own code and give file.py"):
        understudy.load_teacher(path)
