"""Images and labels, split and counted: what training, search and measurement get to see of the user's files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from understudy.data.array_statistics import ImageStatistics, image_statistics
from understudy.data.idx import has_part, is_idx, read_idx
from understudy.data.image_arrays import ENDING, Images, has_array, read_arrays
from understudy.data.image_folder import read_folder
from understudy.data.mirror import mirror_test
from understudy.data.parts import (
    ArrayExamples,
    check_known_labels,
    class_names_of,
    digest_of,
    refuse_settings_for_texts,
    sources_of,
    split_parts,
)
from understudy.data.text import label_indices
from understudy.errors import InputError
from understudy.job import DataSettings

if TYPE_CHECKING:
    from understudy.program.ops import Program

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ImageExamples(ArrayExamples):
    """Images with labels.

    Attributes:
        content: uint8 ``[images, H, W, C]``.
        labels: int64 ``[images]``, read-only; index into the class names, -1 for a label that train does not have.
    """

    content: UInt8Array

    def inputs(self, program: Program) -> UInt8Array:  # noqa: ARG002 - every program for these images reads them as they are
        """Return what ``program`` reads."""
        return self.content


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """All images of a job; see ``TextDataset`` for the attributes."""

    class_names: tuple[str, ...]
    train: ImageExamples
    validation: ImageExamples
    test: ImageExamples
    statistics: ImageStatistics
    digest: str
    test_digest: str
    unlabelled: tuple[()] = ()
    out_of_scope: tuple[()] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train.content.shape[1:]
        return height, width, channels

    @property
    def labelled(self) -> ImageExamples:
        """Train and validation, in this order: all that may be learned from once the choices are made."""
        return self.train.joined(self.validation)


def is_image_source(path: Path) -> bool:
    """Return whether ``path`` holds images: an ``.npz``, an IDX file, or a folder of IDX files or of class folders."""
    return path.name.lower().endswith(ENDING) or path.is_dir() or is_idx(path)


def is_picture_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder of class folders."""
    return path.is_dir() and not is_idx(path)


def load_image_dataset(settings: DataSettings, *, seed: int) -> ImageDataset:
    """Return the images that ``settings`` names, split and counted.

    Raises:
        InputError: a file, array or picture that cannot be used, fewer than two classes, a part left empty.
        SetupError: pictures need Pillow.
    """
    refuse_settings_for_texts(settings, kind="images")
    found = {"train": read_images(settings.train, part="train", skip_bad=settings.skip_bad)}
    height, width, channels = found["train"].pixels.shape[1:]
    for name in ("validation", "test"):
        path: Path | None = getattr(settings, name)
        if path is not None:
            found[name] = read_images(path, part="test", shape=(height, width, channels), skip_bad=settings.skip_bad)
        elif name == "test" and _has_test(settings.train):
            found[name] = read_images(settings.train, part="test")
    for name, images in found.items():
        if images.labels is None:
            raise InputError(
                f"every example has a label: received file={str(settings.train)!r} without labels for {name}; "
                f"add y_{name}, or the labels' IDX file beside the images"
            )
        if images.pixels.shape[1:] != found["train"].pixels.shape[1:]:
            raise InputError(
                f"all images have one shape: received {name} {images.pixels.shape[1:]} and train "
                f"{found['train'].pixels.shape[1:]}; make them equal"
            )
    class_names = class_names_of(found["train"].labels or (), settings.train, kind="images")
    parts = {name: ImageExamples(part.pixels, label_indices(part.labels or (), class_names)) for name, part in found.items()}
    for name, part in parts.items():
        check_known_labels(name, part, settings.train, kind="images")
    sources = sources_of(parts, settings, seed=seed)
    parts = split_parts(parts, settings, seed=seed)
    digest, test_digest = digest_of(class_names, parts["train"], parts["validation"]), digest_of(class_names, parts["test"])
    statistics = image_statistics(
        class_names,
        shape=found["train"].pixels.shape[1:],
        mirror=mirror_test(parts["train"].content, parts["train"].labels),
        labels={name: part.labels for name, part in parts.items()},
        keys={name: [image.tobytes() for image in part.content] for name, part in parts.items()},
        sources=sources,
        found=dict(sum((Counter(images.counts) for images in found.values()), Counter())),
        left_out=tuple(name for images in found.values() for name in images.left_out),
    )
    return ImageDataset(
        class_names,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        statistics=statistics,
        digest=digest,
        test_digest=test_digest,
    )


def read_images(path: Path, *, part: str, shape: tuple[int, int, int] | None = None, skip_bad: bool = False) -> Images:
    """Return the images of ``part`` (``train`` or ``test``) of an NPZ or of IDX files, or of a folder of class folders.

    ``shape`` is what the pictures of a folder are brought to, found out where it is None.

    Raises:
        InputError: no such file, or images that cannot be used.
        SetupError: pictures need Pillow.
    """
    if is_picture_folder(path):
        return read_folder(path, shape=shape, skip_bad=skip_bad)
    if is_idx(path):
        return read_idx(path, part=part)
    return read_arrays(path, part=part)


def _has_test(path: Path) -> bool:
    """Return whether ``path`` has test images beside those to train on."""
    if path.name.lower().endswith(ENDING):
        return has_array(path, "x_test")
    return has_part(path, "test")
