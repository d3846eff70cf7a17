"""IDX files: written here byte by byte, as the format says, and read with their labels."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from understudy.data.image import is_image_source, is_picture_folder, load_image_dataset, read_images
from understudy.errors import InputError
from understudy.job import DataSettings

PIXELS = np.random.default_rng(5).integers(0, 256, (40, 6, 5)).astype(np.uint8)
LABELS = (np.arange(40) % 4).astype(np.uint8)


def idx(array: np.ndarray, *, kind: int = 8) -> bytes:
    return struct.pack(">BBBB", 0, 0, kind, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_pair(folder: Path, part: str, rows: slice, *, pack: Callable[[bytes], bytes] = bytes, ending: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{part}-labels-idx1-ubyte{ending}").write_bytes(pack(idx(LABELS[rows])))
    path = folder / f"{part}-images-idx3-ubyte{ending}"
    path.write_bytes(pack(idx(PIXELS[rows])))
    return path


@pytest.mark.parametrize(("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_folder_has_train_and_test(ending: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    write_pair(folder, "train", slice(0, 30), pack=pack, ending=ending)
    write_pair(folder, "t10k", slice(30, 40), pack=pack, ending=ending)
    assert is_image_source(folder)
    assert not is_picture_folder(folder)
    np.savez(tmp_path / "same.npz", x_train=PIXELS[:30], y_train=LABELS[:30], x_test=PIXELS[30:], y_test=LABELS[30:])
    data = load_image_dataset(DataSettings(train=folder), seed=1)
    same = load_image_dataset(DataSettings(train=tmp_path / "same.npz"), seed=1)
    assert (data.digest, data.test_digest, data.class_names) == (same.digest, same.test_digest, ("0", "1", "2", "3"))


def test_one_file_is_one_part(tmp_path: Path) -> None:
    train = write_pair(tmp_path, "train", slice(0, 30))
    test = write_pair(tmp_path, "t10k", slice(30, 40))
    data = load_image_dataset(DataSettings(train=train), seed=1)
    assert len(data.labelled) + len(data.test) == 30
    data = load_image_dataset(DataSettings(train=train, test=test), seed=1)
    np.testing.assert_array_equal(data.test.content[..., 0], PIXELS[30:])


def test_images_alone_have_no_labels_and_other_numbers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "some-images.idx3-float"
    path.write_bytes(idx((PIXELS / 255).astype(">f4"), kind=0x0D))
    images = read_images(path, part="test")
    assert images.labels is None
    np.testing.assert_array_equal(images.pixels[..., 0], PIXELS)
    with pytest.raises(InputError, match="every example has a label: .* or the labels' IDX file beside the images"):
        load_image_dataset(DataSettings(train=path), seed=1)


def damaged(folder: Path, content: bytes, *, name: str = "train-images-idx3-ubyte") -> Path:
    path = write_pair(folder, "train", slice(0, 30)).with_name(name)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "train-images-idx3-ubyte", r"begins with two zero bytes.*received first_bytes=''"),
        (b"PK\3\4 and more", "train-images-idx3-ubyte", "received first_bytes='50 4b 03 04'"),
        (idx(PIXELS)[:-1], "train-images-idx3-ubyte", r"received bytes=1199 for shape=\(40, 6, 5\), which are 1200"),
        (idx(PIXELS)[:4] + b"\xff" * 12 + b"few", "train-images-idx3-ubyte", "received bytes=3 for shape=.4294967295, "),
        (idx(PIXELS[:29]), "train-images-idx3-ubyte", r"each image has one label: received shape=\(30,\) for images=29"),
        (idx(PIXELS[0]), "train-images-idx3-ubyte", r"images are \[images, H, W\].*received shape=\(6, 5\)"),
        (idx(PIXELS[:0]), "train-images-idx3-ubyte", r"received shape=\(0, 6, 5\)"),
        (gzip.compress(idx(PIXELS))[:-9], "train-images-idx3-ubyte.gz", "whole, and packed as its ending says"),
        (idx(PIXELS), "train-images-idx3-ubyte.gz", "whole, and packed as its ending says"),
        (idx(PIXELS), "train-images-idx3-ubyte.xz", "whole, and packed as its ending says"),
        (b"\0\0\x08\x41" + bytes(4 * 65), "train-images-idx3-ubyte", "at most 4: received first_bytes='00 00 08 41'"),
        (idx(LABELS), "train-labels-idx1-ubyte", "has 'images-idx3' in its name"),
    ],
)
def test_damaged_files_are_refused_in_one_line(content: bytes, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_image_dataset(DataSettings(train=damaged(tmp_path, content, name=name)), seed=1)
    assert len(str(error.value).splitlines()) == 1


def test_two_sets_in_one_folder_are_not_guessed_between(tmp_path: Path) -> None:
    write_pair(tmp_path, "letters-train", slice(0, 30))
    write_pair(tmp_path, "digits-train", slice(0, 30))
    with pytest.raises(InputError, match="received digits-train-images-idx3-ubyte, letters-train-images-idx3-ubyte for train"):
        load_image_dataset(DataSettings(train=tmp_path), seed=1)


def test_mnist_as_published(shared_data: Path) -> None:
    images = read_images(shared_data / "mnist" / "t10k-images-idx3-ubyte.xz", part="test")
    assert images.pixels.shape == (10_000, 28, 28, 1)
    assert images.labels is not None
    assert images.labels[:5] == ("7", "2", "1", "0", "4")


def test_a_validation_folder_never_gives_its_test_images(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", slice(0, 20))
    write_pair(tmp_path, "t10k", slice(20, 30))
    with pytest.raises(InputError, match="received t10k-images-idx3-ubyte, train-images-idx3-ubyte for validation in"):
        load_image_dataset(DataSettings(train=tmp_path, validation=tmp_path), seed=1)
    write_pair(tmp_path, "val", slice(30, 40))
    for validation in (None, tmp_path):
        data = load_image_dataset(DataSettings(train=tmp_path, validation=validation), seed=1)
        assert [len(part) for part in (data.train, data.validation, data.test)] == [20, 10, 10]
        np.testing.assert_array_equal(data.validation.content[..., 0], PIXELS[30:])
