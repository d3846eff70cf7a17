"""Data that do not fit into memory: the same arrays, from a file without a name."""

from __future__ import annotations

import io
import lzma
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recordings import tone, write_wav
from understudy.data import room
from understudy.data.image import ImageDataset, load_image_dataset
from understudy.data.room import Room, fill, memory_bytes, pieces, taken
from understudy.errors import InputError, SetupError
from understudy.job import DataSettings

RANDOM = np.random.default_rng(11)
PIXELS = RANDOM.integers(0, 256, (90, 9, 7, 3)).astype(np.uint8)
LABELS = np.arange(90) % 3


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every array stand on disk, and be read a few rows at a time."""
    monkeypatch.setattr(room, "memory_bytes", lambda: 64)
    monkeypatch.setattr(room, "PIECE_BYTES", 400)


def on_disk(array: np.ndarray) -> bool:
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return not isinstance(array, np.ndarray)


def mapped_files() -> set[str]:
    """Return the mapped files without a name; those of earlier tests may still be there."""
    return {line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("(deleted)")}


@pytest.mark.usefixtures("little_memory")
def test_a_large_array_stands_in_a_file_without_a_name(tmp_path: Path) -> None:
    before = mapped_files()
    array = Room(tmp_path / "not" / "there").empty((50, 3), np.float32)
    assert on_disk(array)
    assert not array.any()
    array[:] = 7
    assert list(tmp_path.iterdir()) == []
    assert len(mapped_files() - before) == 1
    part = array[3:5]
    del array
    assert (part == 7).all()
    del part
    assert not mapped_files() - before
    assert not on_disk(Room(tmp_path).empty((0, 3), np.float32))


def test_a_small_array_stays_in_memory(tmp_path: Path) -> None:
    assert not on_disk(Room(tmp_path).empty((50, 3), np.float32))
    assert 1 << 26 < memory_bytes() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.usefixtures("little_memory")
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _offset: int, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    wanted = r"need room on disk: received bytes=600 \(600 B\) for folder=.* \(No space left on device\); free some space or "
    with pytest.raises(SetupError, match=wanted + "give an --out"):
        Room(tmp_path).empty((50, 3), np.float32)
    with pytest.raises(SetupError, match=wanted + "name a folder on another disk as TMPDIR"):
        Room().empty((50, 3), np.float32)


@pytest.mark.usefixtures("little_memory")
def test_pieces_are_all_rows_in_order(tmp_path: Path) -> None:
    rows = RANDOM.permutation(90)[:40]
    np.testing.assert_array_equal(np.concatenate([PIXELS[piece] for piece in pieces(PIXELS)]), PIXELS)
    assert [len(part) for part in taken(PIXELS, rows)] == [2] * 20
    np.testing.assert_array_equal(np.concatenate(list(taken(PIXELS, rows))), PIXELS[rows])
    found = Room(tmp_path).gathered(rows, PIXELS, PIXELS[:5], PIXELS[:0])
    np.testing.assert_array_equal(found, np.concatenate([PIXELS[rows], PIXELS[:5]]))


def test_a_stream_that_ends_early_fills_a_part() -> None:
    array = np.zeros((4, 2), np.uint16)
    assert fill(array, io.BytesIO(b"\1\0\2\0\3")) == 5
    assert array.tolist() == [[1, 2], [3, 0], [0, 0], [0, 0]]


def write_pictures(folder: Path) -> Path:
    for number, (image, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        (folder / f"class {label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"class {label}" / f"{number:03}.png")
    return folder


def write_sounds(folder: Path) -> Path:
    for number in range(12):
        write_wav(folder / f"c{number % 2}" / f"{number}.wav", tone(200 * (1 + number), seconds=0.3, rate=8000), rate=8000)
    return folder


def write_idx(folder: Path) -> Path:
    folder.mkdir()
    header = bytes([0, 0, 8, 3]) + np.array([90, 9, 7], ">u4").tobytes()
    (folder / "train-images-idx3-ubyte.xz").write_bytes(lzma.compress(header + PIXELS[..., 0].tobytes()))
    (folder / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 90]) + LABELS.astype(np.uint8).tobytes())
    return folder


def write_npz(folder: Path, **arrays: Any) -> Path:
    folder.mkdir()
    np.savez_compressed(folder / "images.npz", **arrays)
    return folder / "images.npz"


def same(one: ImageDataset, other: ImageDataset) -> bool:
    assert (one.digest, one.test_digest, one.statistics, one.log_mel) == (
        other.digest,
        other.test_digest,
        other.statistics,
        other.log_mel,
    )
    return all(
        bool((getattr(one, name).original == getattr(other, name).original).all())
        for name in ("train", "validation", "test", "labelled")
    )


SOURCES = {
    "pictures": write_pictures,
    "sounds": write_sounds,
    "idx": write_idx,
    "npz": lambda folder: write_npz(folder, x=PIXELS, y=LABELS),
    "fractions": lambda folder: write_npz(folder, x=PIXELS / 255, y=LABELS),
    "whole numbers, first axis last": lambda folder: write_npz(folder, x=np.asfortranarray(PIXELS.astype(np.int16)), y=LABELS),
    "test part": lambda folder: write_npz(
        folder, x_train=PIXELS[:60], y_train=LABELS[:60], x_test=PIXELS[60:], y_test=LABELS[60:]
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_data(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = mapped_files()
    settings = DataSettings(train=SOURCES[name](tmp_path / "set"))
    in_memory = load_image_dataset(settings, seed=1)
    assert not on_disk(in_memory.train.original)
    monkeypatch.setattr(room, "memory_bytes", lambda: 64)
    monkeypatch.setattr(room, "PIECE_BYTES", 400)
    streamed = load_image_dataset(settings, seed=1, room=Room(tmp_path))
    for part in (streamed.train, streamed.validation, streamed.test, streamed.labelled):
        assert on_disk(part.content)
        assert on_disk(part.original)
    assert same(in_memory, streamed)
    assert np.shares_memory(streamed.labelled.content, streamed.train.content)
    del streamed, part
    assert not mapped_files() - before


def test_a_validation_file_stands_behind_train(tmp_path: Path) -> None:
    train = write_npz(tmp_path / "a", x=PIXELS[:60], y=LABELS[:60])
    held_out = write_npz(tmp_path / "b", x=PIXELS[60:], y=LABELS[60:])
    data = load_image_dataset(DataSettings(train=train, validation=held_out), seed=1)
    np.testing.assert_array_equal(data.validation.content, PIXELS[60:])
    np.testing.assert_array_equal(data.labelled.content[-30:], PIXELS[60:])
    assert len(data.labelled) == len(data.train) + 30


@pytest.mark.usefixtures("little_memory")
def test_bad_pictures_are_named_or_left_out(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set")
    bad = folder / "class 1" / "004.png"
    bad.write_bytes(bad.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"received bad=1 of pictures=90 .*class 1/004.png"):
        load_image_dataset(DataSettings(train=folder), seed=1)
    data = load_image_dataset(DataSettings(train=folder, skip_bad=True), seed=1)
    assert len(data.labelled) + len(data.test) == 89
    assert len(data.statistics.left_out) == 1
