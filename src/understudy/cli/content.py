"""Labelled texts, images, vectors or sounds from the file of a command, as its bundle reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from understudy.cli.output import on_one_line
from understudy.errors import InputError

if TYPE_CHECKING:
    from understudy.bundle.content import Content
    from understudy.bundle.manifest import Manifest
    from understudy.data.image_arrays import Images
    from understudy.projections.log_mel import LogMel


def refuse_text_column(manifest: Manifest, column: str | None, *, path: Path | None, option: str) -> None:
    """Raise ``InputError`` where ``--text`` names a ``column`` and ``path``, given by ``option``, is no table of texts."""
    from understudy.data.read import is_table

    if column is None:
        return
    if manifest.max_bytes is None:
        raise InputError(
            f"--text names a column of texts: received --text={column!r} for a model of {manifest.examples}; remove it"
        )
    if path is None or not is_table(path):
        raise InputError(
            f"--text names a column of a table: received --text={column!r} without a table; add {option} table.csv"
        )


def labelled_content(
    manifest: Manifest, path: Path, *, text: str | None = None, label: str | None = None, skip_bad: bool = False
) -> tuple[Content, tuple[str, ...]]:
    """Return texts, images ``[images, H, W, C]``, numbers or sounds ``[sounds, samples]``, and one label for each.

    Pictures and recordings that are left out are named.

    Args:
        manifest: says which of them, and how large they are.
        path: a table; for images an NPZ file or a folder of class folders, for sounds
            such a folder; for vectors an NPZ file or a table with the
            columns of the bundle.
        text: the text column; guessed from its name.
        label: the label column; guessed from its name.
        skip_bad: leave out pictures or recordings that cannot be used.

    Raises:
        InputError: a file, column, array or row that cannot be used.
        SetupError: a file may not be read, or its format needs an extra.
    """
    if manifest.max_bytes is not None:
        return _texts(path, text, label)
    if text is not None or (label is not None and manifest.columns is None):
        raise InputError(f"columns are of tables: received text={text!r}, label={label!r} for {manifest.examples}; remove both")
    if manifest.sound is not None:
        return _sounds(path, manifest.sound.log_mel, skip_bad=skip_bad)
    if manifest.image_shape is None:
        return _vectors(path, manifest.input_shape or (), manifest.columns, label)
    return _images(path, manifest.image_shape, skip_bad=skip_bad)


def unknown_labels(manifest: Manifest, path: Path, labels: Sequence[str]) -> int:
    """Return how many of ``labels``, which ``path`` has, the bundle does not know, and warn where these are all."""
    unknown = sum(name not in manifest.labels for name in labels)
    if labels and unknown == len(labels):
        typer.echo(
            f"warning: a test has labels of the bundle: received known_labels=0 in {manifest.examples}={len(labels)} of "
            f"file={str(path)!r}, the first of them label={labels[0][:80]!r}; check its labels"
            + ("" if manifest.max_bytes is None else ", or name their column with --label"),
            err=True,
        )
    return unknown


def _texts(path: Path, text: str | None, label: str | None) -> tuple[Content, tuple[str, ...]]:
    from understudy.data.read import read_table
    from understudy.data.table import find_text_and_label, take_rows

    table = read_table(path)
    text, label = find_text_and_label(table, text, label)
    rows = take_rows(table, text=text, label=label)
    return rows.texts, rows.labels or ()


def _vectors(
    path: Path, shape: tuple[int, ...], columns: tuple[str, ...] | None, label: str | None
) -> tuple[Content, tuple[str, ...]]:
    from understudy.data.vector import read_labelled

    if path.is_dir():
        raise InputError(f"this model reads numbers: received path={str(path)!r}, a folder; give an NPZ file or a table")
    found = read_labelled(path, columns, label=label)
    if found.labels is None:
        raise InputError(f"every example has a label: received file={str(path)!r} without y_test or y; add it")
    if found.values.shape[1:] != shape:
        raise InputError(
            f"this model reads {' x '.join(map(str, shape))} numbers: received {found.values.shape[1:]} in file={str(path)!r}; "
            "give examples as it was trained on"
        )
    return found.values, found.labels


def _images(path: Path, shape: tuple[int, int, int], *, skip_bad: bool) -> tuple[Content, tuple[str, ...]]:
    from understudy.data.image import read_images
    from understudy.data.sound_folder import is_sound_folder

    if is_sound_folder(path):
        raise InputError(f"this model reads images: received path={str(path)!r}, a folder of recordings; give one of pictures")
    images = read_images(path, part="test", shape=shape, skip_bad=skip_bad)
    _name_left_out(images)
    return images.pixels, images.labels or ()


def _sounds(path: Path, log_mel: LogMel, *, skip_bad: bool) -> tuple[Content, tuple[str, ...]]:
    from understudy.data.sound_folder import is_sound_folder, read_sounds

    if not is_sound_folder(path):
        raise InputError(
            f"labelled sounds are a folder of class folders with WAV files: received path={str(path)!r}; give such a folder"
        )
    sounds = read_sounds(path, how=log_mel, skip_bad=skip_bad)
    _name_left_out(sounds)
    assert sounds.samples is not None
    return sounds.samples, sounds.labels or ()


def _name_left_out(images: Images) -> None:
    for name in images.left_out:
        typer.echo(f"left out: {on_one_line(name)}", err=True)
