"""NPZ files of images: what is read, how it is split, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.data.dataset import load_dataset
from understudy.data.image import ImageDataset, load_image_dataset, read_images
from understudy.errors import InputError
from understudy.job import DataSettings, Job

PIXELS = np.random.default_rng(3).integers(0, 256, (60, 6, 5)).astype(np.uint8)
LABELS = np.arange(60) % 3


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "images.npz"
    np.savez(path, **arrays)
    return path


def test_a_file_without_a_test_part_is_split_by_class(tmp_path: Path) -> None:
    data = load_image_dataset(DataSettings(train=saved(tmp_path, x=PIXELS, y=LABELS)), seed=1)
    assert data.class_names == ("0", "1", "2")
    assert data.shape == (6, 5, 1)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [48, 6, 6]
    assert all((np.bincount(part.labels) == len(part) // 3).all() for part in (data.train, data.validation, data.test))
    again = load_image_dataset(DataSettings(train=tmp_path / "images.npz"), seed=1)
    other = load_image_dataset(DataSettings(train=tmp_path / "images.npz"), seed=2)
    assert (again.digest, again.test_digest) == (data.digest, data.test_digest)
    assert other.digest != data.digest


def test_a_test_part_is_kept_whole_and_labels_stay_with_their_images(tmp_path: Path) -> None:
    path = saved(tmp_path, x_train=PIXELS[:45], y_train=LABELS[:45], x_test=PIXELS[45:], y_test=LABELS[45:])
    data = load_image_dataset(DataSettings(train=path), seed=1)
    np.testing.assert_array_equal(data.test.content[..., 0], PIXELS[45:])
    for part in (data.train, data.validation):
        for image, label in zip(part.content, part.labels, strict=True):
            [row] = np.flatnonzero((image[..., 0] == PIXELS).all(axis=(1, 2)))
            assert LABELS[row] == label
    assert len(data.labelled) == 45


@pytest.mark.parametrize("word", ["val", "validation", "valid"])
def test_a_validation_part_is_kept_whole(word: str, tmp_path: Path) -> None:
    parts = {f"x_{word}": PIXELS[40:50], f"y_{word}": LABELS[40:50], "x_test": PIXELS[50:], "y_test": LABELS[50:]}
    path = saved(tmp_path, x_train=PIXELS[:40], y_train=LABELS[:40], **parts)
    data = load_image_dataset(DataSettings(train=path), seed=1)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [40, 10, 10]
    np.testing.assert_array_equal(data.validation.content[..., 0], PIXELS[40:50])
    np.testing.assert_array_equal(data.validation.labels, LABELS[40:50])
    assert data.statistics.sources["validation"] == str(path)
    assert not any("not used" in line for line in data.statistics.lines())


def test_arrays_that_are_not_used_are_named(tmp_path: Path) -> None:
    arrays = {"x": PIXELS, "y": LABELS, "x_val": PIXELS[:5], "y_val": LABELS[:5], "mean": PIXELS.mean(axis=0)}
    path = saved(tmp_path, **arrays)
    (tmp_path / "own").mkdir()
    own = saved(tmp_path / "own", x=PIXELS[:9], y=LABELS[:9])
    for validation, length, unused in ((None, 5, "mean"), (own, 9, "x_val, y_val, mean")):
        data = load_image_dataset(DataSettings(train=path, validation=validation), seed=1)
        assert len(data.validation) == length
        assert f"arrays that are not used: {unused}" in data.statistics.lines()


def test_a_test_file_of_its_own(tmp_path: Path) -> None:
    train = saved(tmp_path, x=PIXELS[:45], y=LABELS[:45])
    test = tmp_path / "test.npz"
    np.savez(test, x=PIXELS[45:], y=np.append(LABELS[45:-1], 9))
    data = load_image_dataset(DataSettings(train=train, test=test), seed=1)
    assert len(data.test) == 15
    assert data.test.labels[-1] == -1
    assert data.statistics.warnings == {"test_label_unseen_in_train": 1}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.arange(60) % 12, tuple(map(str, range(12)))),
        (np.array(["no", "yes"] * 30), ("no", "yes")),
        (np.array([b"no", b"yes"] * 30), ("no", "yes")),
        ((np.arange(60) % 2).astype(np.float64)[:, None], ("0", "1")),
        (np.arange(60) % 2 == 0, ("False", "True")),
    ],
    ids=["numbers by value", "names", "bytes", "column of floats", "truth values"],
)
def test_labels_become_strings(labels: np.ndarray, names: tuple[str, ...], tmp_path: Path) -> None:
    data = load_image_dataset(DataSettings(train=saved(tmp_path, x=PIXELS, y=labels)), seed=1)
    assert data.class_names == names


@pytest.mark.parametrize(
    "pixels", [PIXELS, PIXELS / 255, PIXELS.astype(np.int64), PIXELS.astype(np.float32), PIXELS[..., None]]
)
def test_all_usual_forms_are_the_same_pixels(pixels: np.ndarray, tmp_path: Path) -> None:
    images = read_images(saved(tmp_path, x=pixels, y=LABELS), part="train")
    assert images.pixels.dtype == np.uint8
    np.testing.assert_array_equal(images.pixels[..., 0], PIXELS)


@pytest.mark.parametrize("axes", [(), (3,)], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", ["auto", "image"])
def test_truth_values_are_pixels_and_the_summary_says_so(kind: str, axes: tuple[int, ...], tmp_path: Path) -> None:
    drawn = np.random.default_rng(3).random((60, 6, 6, *axes)) < 0.4
    data = load_dataset(Job(name="a", budgets=("8KB",), data={"train": saved(tmp_path, x=drawn, y=LABELS), "kind": kind}))
    assert isinstance(data, ImageDataset)
    assert set(np.unique(data.labelled.content)) == {0, 255}
    images = read_images(tmp_path / "images.npz", part="train")
    np.testing.assert_array_equal(images.pixels == 255, drawn.reshape(images.pixels.shape))
    assert "x: false and true, read as pixels of 0 and 255" in data.statistics.lines()


def test_the_summary_says_that_fractions_are_pixels(tmp_path: Path) -> None:
    lines = load_image_dataset(DataSettings(train=saved(tmp_path, x=PIXELS / 255, y=LABELS)), seed=1).statistics.lines()
    assert "x: fractions from 0 to 1, read as pixels from 0 to 255" in lines


_NAN = np.where(np.arange(60 * 30).reshape(60, 6, 5) == 7, np.nan, PIXELS)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": PIXELS}, r"has x_train and y_train, or x and y: received arrays=\['a'\]"),
        ({"x": PIXELS}, "every example has a label: .* without labels for train; add y to x,"),
        ({"x": PIXELS, "y": LABELS, "x_val": PIXELS[:4]}, "every example has a label: .* without labels for validation; add"),
        ({"x": _NAN, "y": LABELS}, "pixels are finite: received NaN or infinity in 1 places of x"),
        ({"x": PIXELS.reshape(60, 30), "y": LABELS}, r"images are \[images, H, W\].*: received shape=\(60, 30\)"),
        ({"x": PIXELS[:0], "y": LABELS[:0]}, r"received shape=\(0, 6, 5\)"),
        ({"x": PIXELS[:, None], "y": LABELS}, r"channels last: received shape=\(60, 1, 6, 5\)"),
        ({"x": PIXELS.astype(int) + 200, "y": LABELS}, "from 0 to 255, .* received min=.*max=45"),
        ({"x": PIXELS - 0.5, "y": LABELS}, "whole numbers from 0 to 255"),
        ({"x": PIXELS.astype(str), "y": LABELS}, "pixels are numbers: received dtype="),
        ({"x": PIXELS, "y": LABELS[1:]}, r"each image has one label: received shape=\(59,\) for images=60"),
        (
            {"x": PIXELS, "y": np.eye(60)},
            r"each image has one label: received shape=\(60, 60\) .*; make one-hot rows .* argmax",
        ),
        ({"x": PIXELS, "y": LABELS + 0.5}, "labels are names or whole numbers"),
        ({"x": PIXELS, "y": LABELS * 0}, "at least two classes: received label='0' in all images=60"),
        (
            {"x": PIXELS, "y": np.array([{}] * 60)},
            r"whole archive of plain arrays: .*y holds objects: y.astype\(str\) makes names",
        ),
        (
            {"x": PIXELS, "y": np.array([b"gr\xfc", b"gr\xf6"] * 30)},
            r"a label is valid UTF-8: received b'gr\\xfc' as y in file=",
        ),
        ({"x": PIXELS, "y": LABELS, "x_test": PIXELS[:4, :5], "y_test": LABELS[:4]}, "all images have one shape"),
        ({"x": PIXELS, "y": LABELS, "x_test": PIXELS[:4], "y_test": LABELS[:4] + 7}, "test has labels of train: .*=0"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        load_image_dataset(DataSettings(train=path), seed=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_files_that_are_no_archive(content: bytes | None, tmp_path: Path) -> None:
    path = saved(tmp_path, x=PIXELS, y=LABELS)
    path.write_bytes(path.read_bytes()[:900] if content is None else content)
    with pytest.raises(InputError, match="an .npz is a whole archive of plain arrays"):
        load_image_dataset(DataSettings(train=path), seed=1)


def test_a_table_is_no_archive_to_write_again(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,label\n1,2\n")
    with pytest.raises(InputError, match=r"images come as an .npz, .* received file=.*table.csv'; give one of these"):
        read_images(tmp_path / "table.csv", part="test")
    saved(tmp_path, x=PIXELS, y=LABELS).rename(tmp_path / "images")  # any name is a good one
    assert len(read_images(tmp_path / "images", part="test")) == 60


def test_settings_for_texts_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, x=PIXELS, y=LABELS)
    with pytest.raises(InputError, match=r"data\.text is for texts: received data\.text='t' with images"):
        load_image_dataset(DataSettings(train=path, text="t"), seed=1)


def test_a_validation_file_never_gives_its_test_images(tmp_path: Path) -> None:
    whole = saved(
        tmp_path, x_train=PIXELS[:40], y_train=LABELS[:40], x_val=PIXELS[40:49], y_val=LABELS[40:49], x_test=PIXELS[49:],
        y_test=LABELS[49:],
    )  # fmt: skip
    data = load_image_dataset(DataSettings(train=whole, validation=whole), seed=1)
    np.testing.assert_array_equal(data.validation.content[..., 0], PIXELS[40:49])
    (tmp_path / "own").mkdir()
    without = saved(tmp_path / "own", x_train=PIXELS[:40], y_train=LABELS[:40], x_test=PIXELS[49:], y_test=LABELS[49:])
    with pytest.raises(InputError, match="has x_validation and y_validation, or x and y: received arrays="):
        load_image_dataset(DataSettings(train=whole, validation=without), seed=1)
