"""Which images are mirrored: those where left and right are alike, not digits, and none where it would change the class."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from understudy.data.image import read_images
from understudy.data.mirror import mirror_test


def blobs(rng: np.random.Generator, labels: np.ndarray, *, slant: np.ndarray) -> np.ndarray:
    """Return images ``[n, 24, 24, 3]`` of soft blots in random places; ``slant`` tilts each to the left or right."""
    rows, columns = np.mgrid[:24, :24].astype(np.float64)
    down, right = rng.uniform(8, 16, (2, len(labels), 1, 1))
    tilted = columns - right - slant[:, None, None] * (rows - down)
    height = 2.0 + 3.0 * labels[:, None, None]
    pixels = 255 * np.exp(-((tilted / 3) ** 2) - ((rows - down) / height) ** 2)
    return np.repeat(pixels[..., None], 3, axis=3).astype(np.uint8)


def test_shapes_without_a_side_may_be_mirrored(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 3, 900)
    found = mirror_test(blobs(rng, labels, slant=rng.uniform(-1, 1, 900)), labels)
    assert found.safe
    assert 0.4 < found.share < 0.6
    assert found.images == 900


def test_classes_that_are_each_others_mirror_image_may_not(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 900)
    slant = np.where(labels == 1, 1.0, -1.0) * rng.uniform(0.3, 1, 900)
    found = mirror_test(blobs(rng, np.zeros(900), slant=slant), labels)
    assert found.share > 0.3
    assert found.lost > found.gained + 0.1
    assert not found.safe


def test_shapes_that_all_lean_to_one_side_may_not(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 3, 900)
    assert not mirror_test(blobs(rng, labels, slant=rng.uniform(0.8, 1, 900)), labels).safe


@pytest.mark.parametrize("count", [200, 500, 1797])
def test_digits_are_never_mirrored(count: int) -> None:
    digits = load_digits()
    pixels = np.minimum(digits.images * 16, 255).astype(np.uint8)[..., None]
    for seed in range(4):
        rows = np.random.default_rng(seed).permutation(1797)[:count]
        assert not mirror_test(pixels[rows], digits.target[rows]).safe


@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (2, 4, 4, 1), (40, 40, 5, 3), (60, 6, 5, 1)])
def test_few_images_of_any_shape_give_an_answer(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    found = mirror_test(pixels, np.zeros(len(pixels), np.int64))
    assert 0 <= found.share <= 1
    assert found.safe is (len(pixels) >= 50)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_digits_and_clothes_know_left_from_right(name: str, shared_data: Path) -> None:
    images = read_images(shared_data / name / "t10k-images-idx3-ubyte.xz", part="test")
    assert images.labels is not None
    labels = np.array(images.labels).astype(np.int64)
    for count in (200, 2000):
        for seed in range(2):
            rows = np.random.default_rng(seed).permutation(10_000)[:count]
            assert not mirror_test(images.pixels[rows], labels[rows]).safe, (count, seed)


def test_photographs_do_not(shared_data: Path) -> None:
    tests = np.load(shared_data / "cifar10" / "test_jpeg10000.npz")
    jpeg, offset = tests["jpeg"], tests["offset"]  # each look into an NPZ file unpacks the array again
    packed = [jpeg[a:b].tobytes() for a, b in itertools.pairwise(offset[:1001])]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in packed])
    for count in (200, 1000):
        assert mirror_test(pixels[:count], tests["y"][:count].astype(np.int64)).safe
