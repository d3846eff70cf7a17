"""Models that take images: layout and range are found out, and what was found is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto

import understudy
from image_models import CLASSES, SHAPE, SIDE, litert_image_file, onnx_image_file, pictures, reference
from model_files import onnx_bytes_model, save_onnx
from understudy.errors import InputError
from understudy.teachers.class_order import OrderedTeacher
from understudy.teachers.image_input import (
    CAFFE,
    IMAGENET,
    RARER,
    RAW,
    SYMMETRIC,
    UNIT,
    USUAL,
    ImageInput,
    PixelRange,
    standardized,
)
from understudy.teachers.image_model import test_patterns as patterns
from understudy.teachers.image_registry import load_image_teacher
from understudy.teachers.protocol import UInt8Array, checked_logits

NAMES = tuple(str(i) for i in range(CLASSES))
IMAGES, LABELS = pictures(300)


def labelled(source: Any, *, names: tuple[str, ...] = NAMES, images: UInt8Array = IMAGES) -> OrderedTeacher[UInt8Array]:
    return load_image_teacher(
        source, class_names=names, images=images, labels=LABELS, numbered=True, training_images=lambda: images
    )


@pytest.mark.parametrize("pixel_range", [*USUAL, *RARER], ids=lambda found: found.name)
@pytest.mark.parametrize("channels_first", [False, True])
def test_layout_and_range_are_found_by_labels(tmp_path: Path, pixel_range: PixelRange, *, channels_first: bool) -> None:
    teacher = labelled(onnx_image_file(tmp_path / "m.onnx", pixel_range, channels_first=channels_first))
    found = teacher.describe()
    assert f"layout {'NCHW' if channels_first else 'NHWC'}" in found
    assert "labelled images: accuracy 100.0%" in found
    logits = checked_logits(teacher, IMAGES, CLASSES)
    assert (logits.argmax(axis=1) == LABELS).all()
    if f"pixels {pixel_range.name} (" in found:
        np.testing.assert_allclose(logits, reference(IMAGES), atol=1e-2)


@pytest.mark.parametrize("pixel_range", [UNIT, RAW], ids=lambda found: found.name)
def test_without_labels_the_range_under_which_answers_differ(tmp_path: Path, pixel_range: PixelRange) -> None:
    """The same weights for another range: pixels from 0 to 1 are all alike where 0 to 255 is wanted."""
    path = onnx_image_file(tmp_path / "m.onnx", pixel_range, channels_first=True, saturated=False)
    teacher = understudy.load_teacher(path)
    np.testing.assert_allclose(teacher.predict(IMAGES), reference(IMAGES), atol=1e-2)
    assert f"pixels {pixel_range.name} (assumed" in teacher.describe(SHAPE)


def test_probabilities_become_their_logarithms(tmp_path: Path) -> None:
    path = onnx_image_file(tmp_path / "m.onnx", UNIT, channels_first=False, softmax=True, batch=7)
    logits = reference(IMAGES)
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(understudy.load_teacher(path).predict(IMAGES), np.maximum(expected, np.log(1e-9)), atol=1e-3)
    assert "output probabilities, used as logarithms" in labelled(path).describe()


@pytest.mark.parametrize("dtype", [TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64])
def test_whole_numbers_in_are_pixels_as_they_are(tmp_path: Path, dtype: int) -> None:
    path = onnx_image_file(tmp_path / "m.onnx", RAW, channels_first=False, dtype=dtype)
    teacher = understudy.load_teacher(path)
    np.testing.assert_allclose(teacher.predict(IMAGES), reference(IMAGES), atol=1e-3)
    assert "pixels 0 to 255 (as it declares)" in teacher.describe(SHAPE)


@pytest.mark.parametrize("quantization", [None, (1 / 255, -128), (1 / 128, 0)])
def test_litert_files(tmp_path: Path, quantization: tuple[float, int] | None) -> None:
    path = litert_image_file(tmp_path / "m.tflite", quantization=quantization)
    logits = checked_logits(labelled(path), IMAGES, CLASSES)
    assert (logits.argmax(axis=1) == LABELS).all()
    if quantization == (1 / 255, -128):
        np.testing.assert_allclose(understudy.load_teacher(path).predict(IMAGES), reference(IMAGES), atol=1e-4)
        assert "int8 [1, 8, 8, 3], layout NHWC, pixels 0 to 1 (as it declares)" in labelled(path).describe()


def test_quantized_inputs_declare_their_range() -> None:
    def declared(scale: float, zero_point: int, dtype: str = "int8") -> PixelRange | None:
        return ImageInput(dtype=dtype, quantization=(scale, zero_point)).declared_range()

    assert declared(1.0, -128) == declared(1.0, 0, "uint8") == ImageInput(dtype="uint8").declared_range() == RAW
    assert declared(1 / 255, -128) == UNIT
    assert declared(1 / 127.5, -1) == declared(1 / 128, 0) == SYMMETRIC
    assert declared(4.757 / 255, -14) == IMAGENET
    assert declared(8.0, 0) is None
    assert ImageInput().declared_range() is None


def test_ranges() -> None:
    white, black = (np.full((1, 2, 2, 3), value, np.uint8) for value in (255, 0))
    for found in USUAL:
        assert found.ends == (pytest.approx(found(black).min()), pytest.approx(found(white).max()))
    blue_first = CAFFE(np.array([[[[1, 2, 3]]]], np.uint8))
    np.testing.assert_allclose(blue_first[0, 0, 0], [3 - 103.939, 2 - 116.779, 1 - 123.68], rtol=1e-6)
    even = standardized(IMAGES)(IMAGES).reshape(-1, 3)
    np.testing.assert_allclose(even.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(even.std(axis=0), 1, atol=1e-3)


def test_values_that_are_no_bytes_go_in_as_they_are(tmp_path: Path) -> None:
    teacher = understudy.load_teacher(litert_image_file(tmp_path / "m.tflite"))
    np.testing.assert_allclose(teacher.predict((IMAGES / 255).astype(np.float32)), reference(IMAGES), atol=1e-4)
    with pytest.raises(InputError, match=r"the model's own shape: received shape=\(300, 8\).*float32 \[1, 8, 8, 3\]"):
        teacher.predict(np.zeros((300, 8), np.float32))


def test_another_size_is_named(tmp_path: Path) -> None:
    path = litert_image_file(tmp_path / "m.tflite")
    large = np.zeros((300, 12, 12, 3), np.uint8)
    message = r"as the data has them: received input=float32 \[1, 8, 8, 3\] of teacher='m.tflite' for images=\[12, 12, 3\]"
    with pytest.raises(InputError, match=message):
        labelled(path, images=large)
    with pytest.raises(InputError, match=message):
        understudy.load_teacher(path).predict(large)


def test_a_module_for_other_images_says_what_it_was_given() -> None:
    for_grey = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    colours = np.repeat(IMAGES[..., :1], 3, axis=3)
    with pytest.raises(InputError) as caught:
        labelled(for_grey, images=colours)
    said = str(caught.value)
    assert f"for images={list(colours.shape[1:])} (height, width, channels), as NCHW with RuntimeError: Given groups=1" in said
    assert "text" not in said and "\n" not in said


def test_other_classes_are_named(tmp_path: Path) -> None:
    path = onnx_image_file(tmp_path / "m.onnx", UNIT, channels_first=True)
    with pytest.raises(InputError, match=r"received columns=4 for classes=3"):
        labelled(path, names=("0", "1", "2"))


def test_labels_beside_the_file_order_the_columns(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("3\n2\n1\n0\n")
    path = onnx_image_file(tmp_path / "m.onnx", UNIT, channels_first=True)
    teacher = load_image_teacher(
        path, class_names=NAMES, images=IMAGES, labels=3 - LABELS, numbered=True, training_images=lambda: IMAGES
    )
    assert teacher.describe().endswith("columns named by the teacher")
    assert (teacher.logits(IMAGES).argmax(axis=1) == 3 - LABELS).all()


def test_a_text_model_is_refused_for_images_and_the_other_way_round(tmp_path: Path) -> None:
    text = save_onnx(onnx_bytes_model(), tmp_path / "text.onnx")
    with pytest.raises(InputError, match=r"as the data has them: received input=int32 \[any, 24\]"):
        labelled(text)
    assert understudy.load_teacher(text).predict(["a", "b"]).shape == (2, 3)
    image = onnx_image_file(tmp_path / "image.onnx", UNIT, channels_first=True)
    with pytest.raises(InputError, match=r"an ONNX teacher takes one text input"):
        understudy.load_teacher(image).predict(["a", "b"])


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".pt2", ".npz", ".parquet", ".pt"])
def test_corrupt_files_are_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"PK\x03\x04 and then nothing that belongs there")
    with pytest.raises(
        InputError, match=r"received teacher='[^']*', unreadable .*; (export it again|put its own)|may hold tensors"
    ) as error:
        labelled(path)
    assert "\n" not in str(error.value)


def test_a_function_gets_the_images_as_they_are() -> None:
    seen: list[UInt8Array] = []

    def function(images: UInt8Array) -> np.ndarray:
        seen.append(images)
        return reference(images)

    teacher = labelled(function)
    assert (checked_logits(teacher, IMAGES, CLASSES).argmax(axis=1) == LABELS).all()
    assert all(images.dtype == np.uint8 and images.shape[1:] == SHAPE for images in seen)
    assert teacher.digest == labelled(function).digest
    np.testing.assert_allclose(understudy.load_teacher(function).predict(IMAGES), reference(IMAGES), atol=1e-5)


def test_sounds_and_vectors_go_to_functions_and_modules_as_they_are() -> None:
    sounds = np.array([[-300, 5, 7], [12, -9, 0]], np.int16)
    seen: list[np.ndarray] = []

    def function(samples: np.ndarray) -> np.ndarray:
        seen.append(samples)
        return samples[:, :2] / 32768

    np.testing.assert_allclose(understudy.load_teacher(function).predict(sounds), sounds[:, :2] / 32768)
    assert seen[0].dtype == np.int16
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2).eval()
    vectors = sounds.astype(np.float32) / 100
    with torch.no_grad():
        expected = module(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(understudy.load_teacher(module).predict(vectors), expected, atol=1e-6)


def test_saved_logits_follow_the_training_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "logits.npz", logits=reference(IMAGES))
    for source in (tmp_path / "logits.npz", reference(IMAGES)):
        teacher = labelled(source)
        np.testing.assert_allclose(teacher.logits(IMAGES[::-7]), reference(IMAGES[::-7]), atol=1e-5)
        assert "rows in the order of the training file" in teacher.describe()
        assert teacher.covers(np.concatenate([IMAGES[:2], 255 - IMAGES[:1]])).tolist() == [True, True, False]
        with pytest.raises(InputError, match=r"saved for: received examples=1, of which 1 are not in"):
            teacher.logits(255 - IMAGES[:1])


@pytest.mark.filterwarnings("ignore:how teacher")
def test_one_image_and_none(tmp_path: Path) -> None:
    teacher = understudy.load_teacher(onnx_image_file(tmp_path / "m.onnx", UNIT, channels_first=True))
    np.testing.assert_array_equal(teacher.predict(IMAGES[:1]), teacher.predict(IMAGES)[:1])
    assert teacher.predict(IMAGES[:0]).shape == (0, CLASSES)
    with pytest.raises(InputError, match=r"images are uint8 .*: received shape=\(8, 8\); reshape"):
        teacher.predict(IMAGES[0, :, :, 0])


def test_test_patterns_are_fixed_and_differ() -> None:
    found = patterns((SIDE, SIDE, 1))
    assert found.dtype == np.uint8 and len({image.tobytes() for image in found}) == len(found)
    assert found.min() == 0 and found.max() == 255


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((96, 80, 3), (96, 80, 3)),
        ((1, 28, 28), (28, 28, 1)),
        ((28, 28), (28, 28, 1)),
        ((None, None, 3), None),
        ((64, 64, 12), None),
        ((784,), None),
        (None, None),
    ],
)
def test_a_model_of_one_size_says_which_images_fit(sizes: tuple[int | None, ...] | None, shape: object) -> None:
    assert ImageInput(sizes=sizes).image_shape() == shape
