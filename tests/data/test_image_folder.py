"""Folders of class folders: what is read, how pictures are brought to one shape, and what is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from understudy.data.image import load_image_dataset, read_images
from understudy.data.image_folder import suggest_shape
from understudy.data.picture import Look, pixels_of, read_picture
from understudy.errors import InputError
from understudy.job import DataSettings
from understudy.progress import SilentProgress

RANDOM = np.random.default_rng(5)


def picture(path: Path, *, size: tuple[int, int] = (12, 12), mode: str = "RGB", **options: Any) -> Image.Image:
    """Write a picture of noise, ``size`` being (width, height), and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = len(Image.new(mode, (1, 1)).getbands())
    noise = RANDOM.integers(0, 256, (size[1], size[0], bands)).astype(np.uint8)
    image = Image.fromarray(noise if bands > 1 else noise[..., 0])
    image = image if image.mode == mode else image.convert(mode)
    image.save(path, **options)
    return image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with ten pictures of each of two classes."""
    for number in range(10):
        picture(tmp_path / "photos" / "cat" / f"{number}.png")
        picture(tmp_path / "photos" / "dog" / f"{number}.jpg")
    return tmp_path / "photos"


def test_folders_are_classes_and_pixels_are_those_of_the_files(photos: Path) -> None:
    images = read_images(photos, part="train")
    assert images.pixels.shape == (20, 12, 12, 3)
    assert images.labels == ("cat",) * 10 + ("dog",) * 10
    for number in range(10):
        np.testing.assert_array_equal(images.pixels[number], np.asarray(Image.open(photos / "cat" / f"{number}.png")))
    data = load_image_dataset(DataSettings(train=photos), seed=1)
    assert data.class_names == ("cat", "dog")
    assert data.shape == (12, 12, 3)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [16, 2, 2]
    assert data.statistics.warnings == {}


def test_pictures_are_brought_to_the_size_that_is_asked_for_or_wanted(photos: Path) -> None:
    picture(photos / "dog" / "tall.png", size=(30, 50))
    asked = load_image_dataset(DataSettings(train=photos, image_size="20x24"), seed=1, picture_shape=(9, 9, 1))
    assert asked.shape == (20, 24, 3)
    np.testing.assert_array_equal(
        read_images(photos, part="train", shape=(20, 24, None)).pixels[-1],
        pixels_of(photos / "dog" / "tall.png", shape=(20, 24, 3)),
    )
    assert load_image_dataset(DataSettings(train=photos), seed=1, picture_shape=(9, 9, 1)).shape == (9, 9, 1)


def test_a_test_folder_is_brought_to_the_shape_of_train(photos: Path, tmp_path: Path) -> None:
    picture(tmp_path / "test" / "cat" / "a.webp", size=(30, 20))
    picture(tmp_path / "test" / "dog" / "b.png", size=(5, 40), mode="L")
    data = load_image_dataset(DataSettings(train=photos, test=tmp_path / "test"), seed=1)
    assert data.test.content.shape == (2, 12, 12, 3)
    assert data.statistics.warnings == {"grey_among_colour": 1}


@pytest.mark.parametrize(
    ("sizes", "side"),
    [(((12, 9),), (12, 9)), (((64, 64),), (64, 64)), (((65, 65),), (64, 64)), (((20, 20), (50, 40), (90, 30)), (24, 24))],
    ids=["one size", "64 is not too large", "too large", "median of the shorter sides is 30"],
)
def test_the_shape_that_pictures_are_brought_to(sizes: tuple[tuple[int, int], ...], side: tuple[int, int]) -> None:
    assert suggest_shape([Look(*size, grey=True) for size in sizes]) == (*side, 1)
    assert suggest_shape([Look(*size, grey=bool(i)) for i, size in enumerate(sizes)]) == (*side, 3)


def test_resizing_keeps_proportions_and_means(tmp_path: Path) -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = (200, 100, 50)  # the middle third is what a square keeps
    Image.fromarray(wide).save(tmp_path / "wide.png")
    found = pixels_of(tmp_path / "wide.png", shape=(10, 10, 3))
    assert (found[2:8, 2:8] == (200, 100, 50)).all()
    stripes = np.zeros((40, 40), np.uint8)
    stripes[::2] = 200
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    np.testing.assert_allclose(pixels_of(tmp_path / "stripes.png", shape=(10, 10, 1)), 100, atol=8)


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    image = picture(tmp_path / "side.png", size=(12, 8), exif=exif)
    found = read_picture(tmp_path / "side.png", shape=(12, 8, 3))
    np.testing.assert_array_equal(found, np.rot90(np.asarray(image), -1))


def test_grey_colour_palette_and_transparency(tmp_path: Path) -> None:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = picture(tmp_path / f"{mode}.png", mode=mode)
        np.testing.assert_array_equal(
            read_picture(tmp_path / f"{mode}.png", shape=(12, 12, 3)), np.asarray(image.convert("RGB")), err_msg=mode
        )


def _truncated(path: Path) -> None:
    picture(path, size=(60, 60))
    path.write_bytes(path.read_bytes()[:-800])


def _animated(path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _sixteen_bits(path: Path) -> None:
    Image.fromarray(RANDOM.integers(0, 2**16, (9, 9)).astype(np.uint16)).save(path)


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated PNG": ("bad.png", _truncated, "bad.png \\("),
    "truncated JPEG": ("bad.jpg", _truncated, "truncated"),
    "truncated WebP": ("bad.webp", _truncated, "bad.webp \\("),
    "empty file": ("bad.png", lambda path: path.write_bytes(b""), "the file is empty"),
    "a text": ("bad.jpg", lambda path: path.write_bytes(b"no picture"), "no PNG, JPEG or WebP"),
    "another format": ("bad.png", lambda path: Image.new("L", (9, 9)).save(path, "BMP"), "no PNG, JPEG or WebP"),
    "animated": ("bad.webp", _animated, "animated, frames=2"),
    "16 bits": ("bad.png", _sixteen_bits, "16 bits a channel"),
    "a link to nothing": ("bad.png", lambda path: path.symlink_to("gone.png"), "No such file or directory"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are_named_and_left_out_only_on_demand(kind: str, photos: Path) -> None:
    name, write, reason = BAD[kind]
    write(photos / "cat" / name)
    with pytest.raises(InputError, match=f"received bad=1 of pictures=21 in folder.*cat/.*{reason}.*--skip-bad") as caught:
        load_image_dataset(DataSettings(train=photos), seed=1)
    assert "\n" not in str(caught.value)
    data = load_image_dataset(DataSettings(train=photos, skip_bad=True), seed=1)
    assert len(data.train) + len(data.validation) + len(data.test) == 20
    assert data.statistics.warnings == {"picture_left_out": 1}
    assert any(line.startswith(f"left out: cat/{name}") for line in data.statistics.lines())
    with pytest.raises(InputError, match="a picture is a whole PNG|a data file exists"):
        read_picture(photos / "cat" / name, shape=(12, 12, 3))


def test_many_bad_pictures_are_counted(photos: Path) -> None:
    for number in range(9):
        (photos / "dog" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad=9 of pictures=20 .* dog/4.jpg \(the file is empty\), and 4 more; save"):
        read_images(photos, part="train")


@pytest.mark.parametrize("name", ["absent.png", "cat"])
def test_a_picture_that_is_not_there_is_not_called_damaged(name: str, photos: Path) -> None:
    with pytest.raises(InputError, match=f"a data file exists and is a file: received file=.*{name}'; check the path"):
        read_picture(photos / name, shape=(12, 12, 3))


def test_every_file_is_counted_twice_even_a_bad_one(photos: Path) -> None:
    class Counts(SilentProgress):
        wanted, done = 0, 0

        def stage(self, name: str, total: int | None = None) -> None:
            assert name == "reading pictures"
            self.wanted += total or 0

        def advance(self, n: int = 1, **_metrics: float) -> None:
            self.done += n

    (photos / "dog" / "3.jpg").write_bytes(b"")
    counts = Counts()
    load_image_dataset(DataSettings(train=photos, skip_bad=True), seed=1, progress=counts)
    assert counts.done == counts.wanted == 40


def test_a_class_of_bad_pictures_alone_is_named(photos: Path) -> None:
    for number in range(10):
        (photos / "dog" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"received folder=.*dog' with bad ones alone: dog/0.jpg \(the file is empty\), .* 5 more"
    ):
        load_image_dataset(DataSettings(train=photos, skip_bad=True), seed=1)


def test_a_part_without_a_known_label_is_named_by_its_own_folder(photos: Path, tmp_path: Path) -> None:
    picture(tmp_path / "others" / "bird" / "a.png")
    with pytest.raises(InputError, match=r"test has labels of train: received known_labels=0 in images=1 of file='.*others'"):
        load_image_dataset(DataSettings(train=photos, test=tmp_path / "others"), seed=1)


def test_other_files_are_counted_and_hidden_ones_passed_over(photos: Path) -> None:
    (photos / "cat" / "notes.txt").write_text("a cat")
    (photos / "licence").write_text("free")
    (photos / "cat" / ".hidden.png").write_bytes(b"")
    (photos / ".git").mkdir()
    statistics = load_image_dataset(DataSettings(train=photos), seed=1).statistics
    assert statistics.warnings == {"no_picture": 2}
    assert "warning: files that are no pictures of a class, passed over: 2 (cat/notes.txt, licence)" in statistics.lines()


def test_what_an_archive_from_macos_adds_is_passed_over(photos: Path) -> None:
    before = read_images(photos, part="train")
    (photos / "__MACOSX" / "photos").mkdir(parents=True)
    (photos / "__MACOSX" / "photos" / "._1.png").write_bytes(b"no picture")
    after = read_images(photos, part="train")
    assert (after.labels, after.counts) == (before.labels, before.counts)


def test_a_recording_among_pictures_is_counted(photos: Path) -> None:
    stray = next(photos.iterdir()) / "note.wav"
    stray.write_bytes(b"RIFF")
    found = read_images(photos, part="train")
    assert found.named["no_picture"] == (stray.relative_to(photos).as_posix(),)


def test_pictures_in_formats_that_are_not_read_are_called_so(photos: Path) -> None:
    picture(photos / "cat" / "a.bmp")
    picture(photos / "dog" / "b.GIF", mode="L")
    statistics = load_image_dataset(DataSettings(train=photos), seed=1).statistics
    assert statistics.warnings == {"other_picture": 2}
    line = "warning: pictures that are no PNG, JPEG or WebP by their names, passed over: 2 (cat/a.bmp, dog/b.GIF)"
    assert line in statistics.lines()


def test_pictures_in_folders_inside_a_class_folder_are_of_that_class(photos: Path) -> None:
    for number in range(3):
        picture(photos / "cat" / "more" / "of_them" / f"{number}.png")
    (photos / "cat" / "more" / ".hidden").mkdir()
    (photos / "cat" / "more" / "notes.txt").write_text("a cat")
    (photos / "cat" / "more" / "all").symlink_to(photos / "cat", target_is_directory=True)  # would never end
    (photos / "cat" / "up").symlink_to("..", target_is_directory=True)  # would make all dogs cats
    images = read_images(photos, part="train")
    assert images.labels == ("cat",) * 13 + ("dog",) * 10
    assert images.named["no_picture"] == ("cat/more/notes.txt",)
    (photos / "cat" / "more" / "bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad=1 of pictures=24 .*cat/more/bad\.png \(the file is empty\)"):
        read_images(photos, part="train")


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    picture(tmp_path / "flat" / "a.png")
    (tmp_path / "one" / "cat").mkdir(parents=True)
    picture(tmp_path / "nested" / "train" / "cat" / "a.png")
    picture(tmp_path / "single" / "cat" / "a.png")
    for name, message in (
        ("flat", "has a folder for each class: .* without folders"),
        ("one", "each class folder holds pictures .* without any; add some"),
        ("nested", "without any; give '.*train' itself, with --test for a test folder"),
        ("single", "at least two classes: received label='cat'"),
    ):
        with pytest.raises(InputError, match=message):
            load_image_dataset(DataSettings(train=tmp_path / name), seed=1)


def test_whatever_a_reader_raises_about_a_picture_it_is_a_bad_one(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(image: Image.Image) -> Image.Image:
        if image.height == 14:
            raise TypeError("bad operand type for abs(): 'str'")
        return image

    monkeypatch.setattr(ImageOps, "exif_transpose", damaged)
    picture(photos / "dog" / "bad.jpg", size=(14, 14))
    with pytest.raises(InputError, match=r"bad.jpg \(bad operand type"):
        load_image_dataset(DataSettings(train=photos), seed=1)
    assert load_image_dataset(DataSettings(train=photos, skip_bad=True), seed=1).statistics.warnings == {"picture_left_out": 1}
