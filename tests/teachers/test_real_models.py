"""Models that other people trained and published, on the data that they were made for: how each takes images is found out."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import understudy
from understudy.teachers.image_input import IMAGENET, RAW, SYMMETRIC, UNIT, PixelRange
from understudy.teachers.image_model import TELLS_APART, candidates, information_about_patterns
from understudy.teachers.image_registry import image_model, load_image_teacher

NAMES = tuple(str(i) for i in range(10))
MNIST = [
    ("ai_edge_quantizer/conv_fc_mnist.tflite", 0.954),
    ("ai_edge_quantizer/mnist_quantized.tflite", 0.954),
    ("tinyengine/ptq_mnist_lenet-300-100.tflite", 0.976),
    ("tflite_micro/trained_lstm.tflite", 0.922),
    ("tflite_micro/trained_lstm_int8.tflite", 0.920),
    ("onnx/opt-mnist.onnx", 0.984),
]
"""File, and the accuracy on the first 2000 test images that shared/models/README.md has for it."""
CIFAR = [
    ("mlperf_tiny/pretrainedResnet.h5", 0.881),
    ("mlperf_tiny/pretrainedResnet.tflite", 0.881),
    ("mlperf_tiny/pretrainedResnet_quant.tflite", 0.878),
    pytest.param("mlperf_tiny/pretrainedResnet_large_float.tflite", 0.915, marks=pytest.mark.slow),
    ("mlperf_tiny/pretrainedResnet_large_int8.tflite", 0.915),
]
"""The same on the 1000 test images of CIFAR-10 that are there without loss."""
TOLERANCE = 0.002

Split = tuple[np.ndarray, np.ndarray]


def mnist(folder: Path, part: str, count: int) -> Split:
    pixels = lzma.decompress((folder / f"{part}-images-idx3-ubyte.xz").read_bytes())[: 16 + count * 784]
    assert struct.unpack(">4i", pixels[:16])[2:] == (28, 28)
    labels = lzma.decompress((folder / f"{part}-labels-idx1-ubyte.xz").read_bytes())[: 8 + count]
    return np.frombuffer(pixels[16:], np.uint8).reshape(-1, 28, 28, 1), np.frombuffer(labels[8:], np.uint8).astype(np.int64)


def cifar(path: Path, labels: np.ndarray) -> Split:
    """Read images that are stored as differences; see shared/data/README.md."""
    count = len(labels)
    planes = np.frombuffer(lzma.decompress(path.read_bytes()), np.uint8).reshape(-1, 3, 32, 32)[:count]
    planes = np.cumsum(np.cumsum(planes, -1, dtype=np.uint8), -2, dtype=np.uint8)
    planes[:, 0] += planes[:, 1]
    planes[:, 2] += planes[:, 1]
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int64)


@pytest.fixture(scope="module")
def digits(shared_data: Path) -> dict[str, Split]:
    folder = shared_data / "mnist"
    return {"train": mnist(folder, "train", 1000), "test": mnist(folder, "t10k", 2000)}


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> dict[str, Split]:
    folder = shared_data / "cifar10"
    labels = np.load(folder / "labels.npz")
    first = cifar(folder / "test_first1000.delta.xz", labels["y_test1000"])
    return {"test": first}


def check(path: Path, expected: float, data: dict[str, Split], trial: Split) -> None:
    images, labels = data["test"]
    loaded = understudy.load_teacher(path)
    logits = loaded.predict(images)
    assert np.isfinite(logits).all()
    assert float((logits.argmax(axis=1) == labels).mean()) == pytest.approx(expected, abs=TOLERANCE)
    teacher = load_image_teacher(
        path, class_names=NAMES, images=trial[0], labels=trial[1], numbered=True, training_images=lambda: trial[0]
    )
    # with labels the same is found as without
    found, assumed = teacher.describe(), loaded.describe(images.shape[1:])
    assert found.partition(" (found")[0].partition(" (as it")[0] == assumed.partition(" (assumed")[0].partition(" (as it")[0]


@pytest.mark.filterwarnings("ignore:how teacher")
@pytest.mark.parametrize(("file", "accuracy"), MNIST)
def test_digits(file: str, accuracy: float, digits: dict[str, Split], shared_data: Path) -> None:
    check(shared_data.parent / "models" / file, accuracy, digits, digits["train"])


@pytest.mark.filterwarnings("ignore:how teacher")
@pytest.mark.parametrize(("file", "accuracy"), CIFAR)
def test_photographs(file: str, accuracy: float, photographs: dict[str, Split], shared_data: Path) -> None:
    check(shared_data.parent / "models" / file, accuracy, photographs, photographs["test"])


@pytest.mark.parametrize(
    ("file", "shape", "right"),
    [
        ("onnx/opt-mnist.onnx", (28, 28, 1), UNIT),
        ("ai_edge_quantizer/conv_fc_mnist.tflite", (28, 28, 1), UNIT),
        ("tinyengine/ptq_mnist_lenet-300-100.tflite", (28, 28, 1), UNIT),
        ("tflite_micro/trained_lstm.tflite", (28, 28, 1), UNIT),
        ("mlperf_tiny/pretrainedResnet.tflite", (32, 32, 3), RAW),
    ],
)
def test_a_range_of_another_size_gives_one_answer_to_everything(
    file: str, shape: tuple[int, int, int], right: PixelRange, shared_data: Path
) -> None:
    """The limit stands well between ranges that are right and ranges that are much too small."""
    path = shared_data.parent / "models" / file
    found = {
        teacher.preparation.pixel_range: information_about_patterns(teacher, shape)
        for teacher in candidates(image_model(path, classes=10), shape)
    }
    most = max(found.values())
    assert found[right] > 1.5 * TELLS_APART * most
    if right == RAW:
        assert all(found[small] < 0.5 * TELLS_APART * most for small in (UNIT, SYMMETRIC, IMAGENET))


@pytest.mark.parametrize(
    ("file", "values", "accuracy"),
    [
        ("kws_ref_model.tflite", lambda stored: stored, 0.902),
        # shared/data/README.md: the scale and zero point with which the features were stored
        ("kws_ref_model_float32.tflite", lambda stored: (stored.astype(np.float32) - 83) * np.float32(0.58470), 0.900),
    ],
)
def test_features_of_sounds_are_values_as_they_are(
    file: str, values: Callable[[np.ndarray], np.ndarray], accuracy: float, shared_data: Path
) -> None:
    stored = np.load(shared_data / "mlperf_tiny_kws01" / "kws01.npz")
    teacher = understudy.load_teacher(shared_data.parent / "models" / "mlperf_tiny" / file)
    answers = teacher.predict(values(stored["x"])[..., None]).argmax(axis=1)
    assert float((answers == stored["y"]).mean()) == pytest.approx(accuracy, abs=TOLERANCE)


def test_a_mobilenet_of_keras_2_answers_as_its_float_file(shared_data: Path) -> None:
    old, converted = (
        image_model(shared_data.parent / "models" / "mlperf_tiny" / f"vww_96{end}", classes=2)
        for end in (".h5", "_float.tflite")
    )
    assert old.input.image_shape() == converted.input.image_shape() == (96, 96, 3)
    images = np.random.default_rng(0).random((converted.input.batch, 96, 96, 3), np.float32)
    np.testing.assert_allclose(old.run(images), converted.run(images), atol=1e-4)
