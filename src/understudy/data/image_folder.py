"""Folders of class folders: ``photos/cat/1.jpg`` is an image with the label ``cat``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from understudy.data.class_folders import entries, listed, relative_names, shown
from understudy.data.image_arrays import Images
from understudy.data.picture import ENDINGS, Look, look_at, pixels_of
from understudy.data.room import Room
from understudy.errors import InputError
from understudy.progress import Progress, SilentProgress

WantedShape = tuple[int, int, int | None]
"""Height, width and channels, these None where the pictures tell."""
SIDES = (8, 16, 24, 32, 48, 64)
"""Sides of the square that pictures of different or large sizes are brought to."""
_OTHER_PICTURES = (
    *(".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".jfif", ".ppm", ".pgm", ".tga", ".ico"),
    *(".svg", ".psd", ".dng", ".cr2", ".nef", ".arw"),
)
"""Endings of pictures in formats that are not read."""


def read_folder(
    path: Path, *, shape: WantedShape | None, skip_bad: bool, room: Room, progress: Progress | None = None
) -> Images:
    """Return the pictures of ``path``, whose folders are the classes with all that is below them, in the order of their names.

    Args:
        path: the folder. Hidden entries are passed over; other files than pictures are counted and named.
        shape: height, width and channels, which may be None; what is None is found out: see ``suggest_shape``.
        skip_bad: leave out pictures that cannot be used, in place of refusing the whole folder.
        room: the pixels stand there.
        progress: listens.

    Raises:
        InputError: no class folders, a class without pictures, or bad pictures.
        SetupError: Pillow is not installed, or there is no room.
    """
    if not any(entry.is_dir() for entry in entries(path)):
        raise InputError(
            f"a folder of images has a folder for each class: received folder={str(path)!r} without folders; "
            "move the pictures into folders named by their labels"
        )
    files, others = listed(path, ENDINGS, without=_without_pictures)
    progress = progress or SilentProgress()
    progress.stage("reading pictures", total=2 * len(files))  # the headers say what all are brought to
    bad: dict[Path, str] = {}
    looks: dict[Path, Look] = {}
    for file, _ in files:
        try:
            looks[file] = look_at(file)
        except ValueError as error:
            bad[file] = str(error)
        progress.advance()
    height, width, channels = suggest_shape(tuple(looks.values()))
    if shape is not None:
        height, width, channels = shape[0], shape[1], shape[2] or channels
    pixels = room.empty((len(looks), height, width, channels), np.uint8)
    labels: list[str] = []
    for file, label in files:
        progress.advance()
        if file not in looks:
            continue
        try:
            pixels[len(labels)] = pixels_of(file, shape=(height, width, channels))
        except ValueError as error:
            bad[file] = str(error)
        else:
            labels.append(label)
    names = tuple(f"{file.relative_to(path).as_posix()} ({bad[file]})" for file, _ in files if file in bad)
    if names and not skip_bad:
        raise InputError(
            f"every picture is a whole PNG, JPEG or WebP of 8 bits a channel, not animated: received bad={len(names)} of "
            f"pictures={len(files)} in folder={str(path)!r}: {shown(names)}; save them anew, or leave them out with --skip-bad"
        )
    check_every_class(path, {label for _, label in files} - set(labels), names, kind="picture")
    counts = {
        "picture_left_out": len(names),
        "grey_among_colour": sum(look.grey for file, look in looks.items() if file not in bad) if channels == 3 else 0,
    }
    named = {
        "other_picture": tuple(file for file in others if file.suffix.lower() in _OTHER_PICTURES),
        "no_picture": tuple(file for file in others if file.suffix.lower() not in _OTHER_PICTURES),
    }
    if counts["grey_among_colour"] == len(labels):
        counts["grey_among_colour"] = 0
    counts |= {warning: len(found) for warning, found in named.items()}
    passed_over = {warning: relative_names(found, path) for warning, found in named.items()}
    return Images(pixels[: len(labels)], tuple(labels), counts=counts, left_out=names, named=passed_over)


def check_every_class(path: Path, empty: set[str], names: Sequence[str], *, kind: str) -> None:
    """Raise ``InputError`` where nothing is left of the class folders ``empty``, because all in them was bad, as ``names`` is.

    ``kind`` is what they hold.
    """
    if empty:
        bad = [name for name in names if name.partition("/")[0] in empty]
        raise InputError(
            f"each class folder holds a {kind} that can be used: received folder={str(path / min(empty))!r} with bad ones "
            f"alone: {shown(bad)}; save them anew or remove the folder"
        )


def suggest_shape(looks: Sequence[Look]) -> tuple[int, int, int]:
    """Return the height, width and channels that pictures are brought to.

    Pictures that all have one size of at most 64 pixels a side keep it. Others become squares: the largest of ``SIDES`` that
    is at most the median of their shorter sides. Channels are 1 where every picture is grey, else 3.
    """
    channels = 1 if all(look.grey for look in looks) else 3
    sizes = {(look.height, look.width) for look in looks}
    if len(sizes) == 1:
        [(height, width)] = sizes
        if max(height, width) <= SIDES[-1] and min(height, width) >= SIDES[0]:
            return height, width, channels
    median = np.median([min(look.height, look.width) for look in looks]) if looks else SIDES[0]
    side = max((side for side in SIDES if side <= median), default=SIDES[0])
    return side, side, channels


def _without_pictures(folder: Path) -> str:
    """Return what is wrong with a class folder that holds no pictures of its own."""
    if any(entry.is_dir() for entry in entries(folder)):
        step = f"give {str(folder)!r} itself, with --test for a test folder, or move the pictures of this class up into it"
    else:
        step = "add some or remove the folder"
    return f"each class folder holds pictures ({', '.join(ENDINGS)}): received folder={str(folder)!r} without any; {step}"
