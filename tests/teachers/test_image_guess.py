"""How a model takes images, chosen without a job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import understudy
from image_models import SHAPE, litert_image_file, onnx_image_file, pictures, reference
from understudy.errors import InputError
from understudy.teachers.image_input import RAW, SYMMETRIC, UNIT, standardized

IMAGES, LABELS = pictures(300)


@pytest.mark.filterwarnings("ignore:how teacher")
def test_the_mean_and_deviation_of_the_images_given_are_tried(tmp_path: Path) -> None:
    """Dark images, for which the usual ranges are far from what the classifier was made for."""
    dark = (IMAGES // 6).astype(np.uint8)
    path = onnx_image_file(tmp_path / "m.onnx", standardized(dark), channels_first=True)
    teacher = understudy.load_teacher(path)
    assert (teacher.predict(dark).argmax(axis=1) == LABELS).mean() > 0.9
    assert "pixels mean and deviation of the images given" in teacher.describe(SHAPE)


@pytest.mark.parametrize("said", ["-1 to 1", (0.5, 0.5), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])
def test_the_range_can_be_said(tmp_path: Path, said: object) -> None:
    path = onnx_image_file(tmp_path / "m.onnx", SYMMETRIC, channels_first=True)
    teacher = understudy.load_teacher(path, pixel_range=said)
    np.testing.assert_allclose(teacher.predict(IMAGES), reference(IMAGES), atol=1e-3)
    assert "(as you say)" in teacher.describe()


@pytest.mark.parametrize("said", ["0 to 2", 3, (0.5, 0.0), ((0.1, 0.2), (0.3, 0.4))])
def test_a_range_that_is_none_is_named(tmp_path: Path, said: object) -> None:
    path = onnx_image_file(tmp_path / "m.onnx", UNIT, channels_first=True)
    with pytest.raises(InputError, match=r"a range of pixels is '0 to 1', .*received pixel_range=.* for channels=3; name"):
        understudy.load_teacher(path, pixel_range=said).predict(IMAGES)
    with pytest.raises(InputError, match=r"are for models that do not prepare images themselves"):
        understudy.load_teacher(reference, pixel_range="0 to 1").predict(IMAGES)


@pytest.mark.parametrize("said", [(0, 255), (123.7, 58.4), ((124.0, 117.0, 104.0), (0.2, 0.2, 0.2))])
def test_a_mean_and_deviation_of_bytes_are_refused(tmp_path: Path, said: object) -> None:
    path = onnx_image_file(tmp_path / "m.onnx", RAW, channels_first=True)
    with pytest.raises(InputError, match=r"of pixels from 0 to 1: received .*; divide them by 255, or say '0 to 255' where"):
        understudy.load_teacher(path, pixel_range=said).predict(IMAGES)


def test_a_labelled_sample_decides(tmp_path: Path) -> None:
    path = onnx_image_file(tmp_path / "m.onnx", RAW, channels_first=True)
    teacher = understudy.load_teacher(path, labelled=(IMAGES[:100], LABELS[:100]))
    assert (teacher.predict(IMAGES).argmax(axis=1) == LABELS).all()
    assert "found on 100 labelled images" in teacher.describe()
    with pytest.raises(InputError, match=r"a labelled sample is images uint8 .*: received images=uint8.*labels=int64\[3\]"):
        understudy.load_teacher(path, labelled=(IMAGES, LABELS[:3]))


def test_few_images_are_a_guess_that_is_said_and_made_again(tmp_path: Path) -> None:
    teacher = understudy.load_teacher(onnx_image_file(tmp_path / "m.onnx", UNIT, channels_first=True))
    with pytest.warns(UserWarning, match=r"a guess from test patterns, because 1 images .*; say it with load_teacher"):
        teacher.predict(IMAGES[:1])
    teacher.predict(IMAGES)
    assert "answers to 256 images" in teacher.describe(SHAPE)


@pytest.mark.filterwarnings("ignore:how teacher=")
def test_answers_that_are_all_alike_or_not_finite() -> None:
    class Same(torch.nn.Module):
        def __init__(self, answer: float) -> None:
            super().__init__()
            self.answer = torch.nn.Parameter(torch.tensor(answer))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.answer + torch.arange(10.0).expand(len(images), 10)

    logits = understudy.load_teacher(Same(0.3)).predict(IMAGES)
    assert logits.shape == (len(IMAGES), 10)
    assert (logits == logits[0]).all()
    with pytest.raises(InputError, match="a teacher's logits are finite numbers"):
        understudy.load_teacher(Same(float("nan"))).predict(IMAGES)


def test_describe_says_what_was_found_of_the_last_examples(tmp_path: Path) -> None:
    teacher = understudy.load_teacher(litert_image_file(tmp_path / "m.tflite"))
    assert teacher.describe().endswith("input float32 [1, 8, 8, 3], range of pixels found with the first images")
    teacher.predict(IMAGES)
    assert "layout NHWC, pixels 0 to 1 (assumed" in teacher.describe()
    teacher.predict((IMAGES / 255).astype(np.float32))
    assert teacher.describe().endswith("numbers as they are given")


def test_real_numbers_are_quantized_and_whole_ones_are_steps(tmp_path: Path) -> None:
    teacher = understudy.load_teacher(litert_image_file(tmp_path / "m.tflite", quantization=(1 / 255, -128)))
    steps = (IMAGES.astype(np.int16) - 128).astype(np.int8)
    for values in (steps, steps.astype(np.int64), IMAGES / 255):
        np.testing.assert_allclose(teacher.predict(values), reference(IMAGES), atol=1e-3)
    with pytest.raises(InputError, match=r"received values from .* to .* for input=int8 .*; give real numbers as float32"):
        teacher.predict(IMAGES.astype(np.int64) + 100)


def test_a_last_axis_of_one_place_may_be_missing(shared_data: Path) -> None:
    stored = np.load(shared_data / "mlperf_tiny_kws01" / "kws01.npz")
    x, y = stored["x"][:300], stored["y"][:300]
    teacher = understudy.load_teacher(shared_data.parent / "models" / "mlperf_tiny" / "kws_ref_model.tflite")
    steps, real = teacher.predict(x), teacher.predict((x.astype(np.float32) - 83) * np.float32(0.58470))
    assert (steps.argmax(axis=1) == y).mean() > 0.85
    assert (real.argmax(axis=1) == y).mean() > 0.85
