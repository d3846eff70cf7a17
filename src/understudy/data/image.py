"""Images, or sounds with their pictures, and labels, split and counted: what training, search and measurement see of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import is_zipfile

import numpy as np
import numpy.typing as npt

from understudy.data.array_statistics import ImageStatistics, image_statistics
from understudy.data.class_folders import shown
from understudy.data.idx import has_part, is_idx, read_idx
from understudy.data.image_arrays import Images, read_arrays
from understudy.data.image_folder import WantedShape, read_folder
from understudy.data.mirror import mirror_test
from understudy.data.npz import ENDING, array_names, has_part_of_its_own, note_on_unused
from understudy.data.parts import (
    ArrayExamples,
    check_known_labels,
    class_names_of,
    digest_of,
    file_of,
    keys_of,
    refuse_settings_for_texts,
    split_parts,
)
from understudy.data.room import TEMPORARY, Room
from understudy.data.sound_folder import Wanted, is_sound_folder, read_sounds
from understudy.data.splits import sources_of
from understudy.data.text import label_indices
from understudy.errors import InputError
from understudy.job import DataSettings
from understudy.progress import Progress
from understudy.projections.log_mel import LogMel

if TYPE_CHECKING:
    from understudy.program.interpreter import Inputs
    from understudy.program.ops import Program

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ImageExamples(ArrayExamples):
    """Images with labels.

    Attributes:
        content: uint8 ``[images, H, W, C]``.
        labels: int64 ``[images]``, read-only; index into the class names, -1 for a label that train does not have.
        samples: int16 ``[images, samples]``: the sounds whose pictures these are, None for images.
    """

    content: UInt8Array
    samples: npt.NDArray[np.int16] | None = None

    @property
    def original(self) -> UInt8Array | npt.NDArray[np.int16]:
        """Images, or the sounds that they are pictures of."""
        return self.content if self.samples is None else self.samples

    def between(self, begin: int, end: int) -> ImageExamples:
        """Return the examples from ``begin`` up to ``end``, which are not copied."""
        samples = None if self.samples is None else self.samples[begin:end]
        return replace(super().between(begin, end), samples=samples)

    def gathered(self, index: Int64Array, *others: ImageExamples, room: Room) -> ImageExamples:
        """Return the examples at ``index`` and then all ``others``."""
        found = super().gathered(index, *others, room=room)
        if self.samples is None:
            return found
        samples = [other.samples for other in others if other.samples is not None]
        return replace(found, samples=room.gathered(index, self.samples, *samples))

    def inputs(self, program: Program) -> Inputs:  # noqa: ARG002 - every program for these images or sounds reads them as they are
        """Return what ``program`` reads."""
        return self.original


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """All images or sounds of a job; see ``TextDataset`` for the other attributes.

    Attributes:
        labelled: train and validation, in this order, which are parts of it: all that may be learned from once the choices
            are made.
        log_mel: makes pictures of sounds.
    """

    class_names: tuple[str, ...]
    train: ImageExamples
    validation: ImageExamples
    test: ImageExamples
    labelled: ImageExamples
    statistics: ImageStatistics
    digest: str
    test_digest: str
    log_mel: LogMel | None = None
    unlabelled: tuple[()] = ()
    out_of_scope: tuple[()] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train.content.shape[1:]
        return height, width, channels


def is_image_source(path: Path) -> bool:
    """Return whether ``path`` holds images or sounds: an ``.npz``, an IDX file, a folder of IDX files or of class folders."""
    return path.name.lower().endswith(ENDING) or path.is_dir() or is_idx(path)


def is_picture_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder of class folders, with pictures or recordings."""
    return path.is_dir() and not is_idx(path)


def has_pictures(path: Path) -> bool:
    """Return whether ``path`` is a folder of class folders with pictures."""
    return is_picture_folder(path) and not is_sound_folder(path)


def load_image_dataset(
    settings: DataSettings,
    *,
    seed: int,
    room: Room = TEMPORARY,
    progress: Progress | None = None,
    picture_shape: tuple[int, int, int] | None = None,
) -> ImageDataset:
    """Return the images or sounds that ``settings`` names, split and counted.

    They stand in ``room``, and ``progress`` counts the files of a folder. Its pictures are brought to ``picture_shape`` where
    ``settings`` name no size.

    Raises:
        InputError: a file, array or picture that cannot be used, fewer than two classes, a part left empty.
        SetupError: pictures need Pillow, or data larger than memory more room on disk.
    """
    refuse_settings_for_texts(settings, kind="images or sounds")
    wanted = Wanted(settings.sample_rate, settings.seconds)
    read = partial(read_images, skip_bad=settings.skip_bad, room=room, progress=progress)
    sides = settings.image_sides
    asked: WantedShape | None = picture_shape if sides is None else (*sides, None)
    found = {"train": read(settings.train, part="train", shape=asked, how=wanted)}
    height, width, channels = found["train"].pixels.shape[1:]
    log_mel = found["train"].log_mel
    for name in ("validation", "test"):
        path: Path | None = getattr(settings, name)
        if path is not None:
            shape = (height, width, channels)
            found[name] = read(path, part=name, shape=shape, how=log_mel)
        elif _has_part(settings.train, name):
            found[name] = read(settings.train, part=name)
    for name, images in found.items():
        if images.labels is None:
            raise InputError(
                f"every example has a label: received file={str(file_of(name, settings))!r} without labels for {name}; add y "
                "to x, y_train to x_train, y_val to x_val, y_test to x_test, or the labels' IDX file beside the images"
            )
        if images.log_mel != log_mel:
            raise InputError(
                f"all parts are of one kind: received sounds={images.log_mel is not None} in {name} and "
                f"sounds={log_mel is not None} in train; give folders of WAV files for both"
            )
        if images.pixels.shape[1:] != found["train"].pixels.shape[1:]:
            raise InputError(
                f"all images have one shape: received {name} {images.pixels.shape[1:]} and train "
                f"{found['train'].pixels.shape[1:]}; make them equal"
            )
    from_train = [name for name in found if file_of(name, settings) == settings.train]
    unused = note_on_unused(settings.train, from_train) if settings.train.name.lower().endswith(ENDING) else ()
    class_names = class_names_of(found["train"].labels or (), settings.train, kind="images")
    parts = {
        name: ImageExamples(part.pixels, label_indices(part.labels or (), class_names), part.samples)
        for name, part in found.items()
    }
    for name, part in parts.items():
        check_known_labels(name, part, file_of(name, settings), kind="images")
    own = {name: str(file_of(name, settings)) for name in parts}
    parts = split_parts(parts, settings, seed=seed, room=room)
    labelled = parts.pop("labelled")
    sources = sources_of(own, {name: len(part) for name, part in parts.items()}, train=str(settings.train), seed=seed)
    names = class_names if log_mel is None else (*class_names, repr(log_mel))
    digest, test_digest = digest_of(names, parts["train"], parts["validation"]), digest_of(names, parts["test"])
    statistics = image_statistics(
        class_names,
        shape=found["train"].pixels.shape[1:],
        mirror=mirror_test(parts["train"].content, parts["train"].labels) if log_mel is None else None,
        log_mel=log_mel,
        labels={name: part.labels for name, part in parts.items()},
        keys={name: keys_of(part) for name, part in parts.items()},
        sources=sources,
        found=dict(sum((Counter(images.counts) for images in found.values()), Counter())),
        left_out=tuple(name for images in found.values() for name in images.left_out),
        notes=[*(note for images in found.values() for note in images.notes), *unused],
        named=_named(tuple(found.values())),
    )
    return ImageDataset(
        class_names,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        labelled=labelled,
        statistics=statistics,
        digest=digest,
        test_digest=test_digest,
        log_mel=log_mel,
    )


def read_images(
    path: Path,
    *,
    part: str,
    shape: WantedShape | None = None,
    skip_bad: bool = False,
    how: LogMel | Wanted | None = None,
    room: Room = TEMPORARY,
    progress: Progress | None = None,
) -> Images:
    """Return the images of ``part`` (``train``, ``validation``, ``test``) of an NPZ or IDX files, or a folder of class folders.

    ``shape`` is what the pictures of a folder are brought to, its channels or all of it found out where they are None; ``how``
    is the same for recordings.
    The arrays stand in ``room``, and ``progress`` counts the files of a folder.

    Raises:
        InputError: no such file, or images that cannot be used.
        SetupError: pictures need Pillow, or data larger than memory more room on disk.
    """
    if is_sound_folder(path):
        return read_sounds(path, how=how or Wanted(), skip_bad=skip_bad, room=room, progress=progress)
    if is_picture_folder(path):
        return read_folder(path, shape=shape, skip_bad=skip_bad, room=room, progress=progress)
    if is_idx(path):
        return read_idx(path, part=part, room=room)
    if path.is_file() and not path.name.lower().endswith(ENDING) and not is_zipfile(path):
        raise InputError(
            f"images come as an .npz, an IDX file or a folder of class folders: received file={str(path)!r}; give one of these"
        )
    return read_arrays(path, part=part, room=room)


def _named(parts: Sequence[Images]) -> dict[str, str]:
    """Return warning to the names of what it counts in all ``parts``."""
    names: dict[str, list[str]] = {}
    for part in parts:
        for warning, files in part.named.items():
            names.setdefault(warning, []).extend(files)
    return {warning: shown(files) for warning, files in names.items() if files}


def _has_part(path: Path, part: str) -> bool:
    """Return whether ``path`` has images for ``part`` (``validation`` or ``test``) beside those to train on."""
    if path.name.lower().endswith(ENDING):
        return has_part_of_its_own(part, array_names(path))
    return has_part(path, part)
