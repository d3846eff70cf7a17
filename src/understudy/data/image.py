"""Images and labels in NPZ files, split and counted: what training, search and measurement get to see of them."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from understudy.data.splits import stratified_split
from understudy.data.statistics import ImageStatistics, image_statistics
from understudy.data.text import UNSEEN, label_indices
from understudy.errors import InputError
from understudy.job import DataSettings

if TYPE_CHECKING:
    from understudy.program.ops import Program

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]
ENDING = ".npz"
SHORTEST_SIDE, LONGEST_SIDE, MOST_CHANNELS = 4, 512, 4
_MOST_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one file as they stand there: uint8 ``[images, H, W, C]``, and their labels, where it has any."""

    pixels: UInt8Array
    labels: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, eq=False)
class ImageExamples:
    """Images with labels.

    Attributes:
        content: uint8 ``[images, H, W, C]``.
        labels: int64 ``[images]``, read-only; index into the class names, -1 for a label that train does not have.
    """

    content: UInt8Array
    labels: Int64Array

    def __len__(self) -> int:
        return len(self.content)

    @property
    def nothing(self) -> ImageExamples:
        """No images of the same shape."""
        return ImageExamples(self.content[:0], self.labels[:0])

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
        content = np.concatenate([self.train.content, self.validation.content])
        return ImageExamples(content, np.concatenate([self.train.labels, self.validation.labels]))


def is_image_file(path: Path) -> bool:
    """Return whether ``path`` is named as a file of images."""
    return path.name.lower().endswith(ENDING)


def load_image_dataset(settings: DataSettings, *, seed: int) -> ImageDataset:
    """Return the images that ``settings`` names, split and counted.

    Raises:
        InputError: a file or array that cannot be used, fewer than two classes, a part left empty.
    """
    for name in ("unlabelled", "out_of_scope", "text", "label"):
        if getattr(settings, name) is not None:
            raise InputError(
                f"data.{name} is for texts: received data.{name}={str(getattr(settings, name))!r} with images in "
                f"{str(settings.train)!r}; remove it"
            )
    found = {"train": read_images(settings.train, part="train")}
    for name in ("validation", "test"):
        path: Path | None = getattr(settings, name)
        if path is not None:
            found[name] = read_images(path, part="test")
        elif name == "test" and _has(settings.train, "x_test"):
            found[name] = read_images(settings.train, part="test")
    for name, images in found.items():
        if images.labels is None:
            raise InputError(
                f"every example has a label: received file={str(settings.train)!r} without labels for {name}; add y_{name}"
            )
        if images.pixels.shape[1:] != found["train"].pixels.shape[1:]:
            raise InputError(
                f"all images have one shape: received {name} {images.pixels.shape[1:]} and train "
                f"{found['train'].pixels.shape[1:]}; make them equal"
            )
    class_names = _class_names(found["train"], settings.train)
    parts = {name: ImageExamples(part.pixels, label_indices(part.labels or (), class_names)) for name, part in found.items()}
    for name, part in parts.items():
        if not len(part) or (part.labels == UNSEEN).all():
            raise InputError(
                f"{name} has labels of train: received known_labels=0 in images={len(part)} of file={str(settings.train)!r}; "
                "check its labels"
            )
    sources = {name: str(getattr(settings, name) or settings.train) for name in parts}
    for name in ("validation", "test"):
        sources.setdefault(name, f"{getattr(settings, f'{name}_fraction'):.0%} of {settings.train}, seed {seed}")
    parts = _split(parts, settings, seed=seed)
    digest, test_digest = _digest(class_names, parts["train"], parts["validation"]), _digest(class_names, parts["test"])
    statistics = image_statistics(
        class_names,
        shape=found["train"].pixels.shape[1:],
        labels={name: part.labels for name, part in parts.items()},
        keys={name: [image.tobytes() for image in part.content] for name, part in parts.items()},
        sources=sources,
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


def read_images(path: Path, *, part: str) -> Images:
    """Return the images of ``part`` (``train`` or ``test``) in an NPZ: its arrays ``x_<part>``, ``y_<part>``, or ``x``, ``y``.

    Raises:
        InputError: no such file, not an NPZ of plain arrays, an array of another shape, kind or range.
    """
    arrays = _arrays(path)
    name = f"x_{part}" if f"x_{part}" in arrays else "x"
    if name not in arrays:
        raise InputError(
            f"an NPZ of images has x_{part} and y_{part}, or x and y: received arrays={sorted(arrays)[:_MOST_SHOWN]} in "
            f"file={str(path)!r}; name them so"
        )
    pixels = _pixels(arrays[name], f"{name} in file={str(path)!r}")
    labels = arrays.get(name.replace("x", "y", 1))
    if labels is None:
        return Images(pixels, None)
    return Images(pixels, _labels(labels, count=len(pixels), where=f"{name.replace('x', 'y', 1)} in file={str(path)!r}"))


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    if not path.is_file():
        raise InputError(f"a data file exists and is a file: received file={str(path)!r}; check the path")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            wanted = ("x", "y", "x_train", "y_train", "x_test", "y_test")
            return {name: archive[name] if name in wanted else np.empty(0) for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"an .npz is a whole archive of plain arrays: received file={str(path)!r} ({reason}); "
            "write it again with numpy.savez"
        ) from error


def _has(path: Path, name: str) -> bool:
    with np.load(path, allow_pickle=False) as archive:
        return name in archive.files


def _pixels(array: npt.NDArray[Any], where: str) -> UInt8Array:
    """Return ``array`` as uint8 ``[images, H, W, C]``."""
    if array.ndim not in (3, 4) or not len(array):
        raise InputError(
            f"images are [images, H, W] or [images, H, W, C]: received shape={array.shape} as {where}; reshape them, "
            "channels last"
        )
    images = array if array.ndim == 4 else array[..., None]
    height, width, channels = images.shape[1:]
    if not (SHORTEST_SIDE <= min(height, width) <= max(height, width) <= LONGEST_SIDE and 1 <= channels <= MOST_CHANNELS):
        raise InputError(
            f"images have sides of {SHORTEST_SIDE} to {LONGEST_SIDE} pixels and 1 to {MOST_CHANNELS} channels, channels last: "
            f"received shape={array.shape} as {where}; resize or transpose them"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iuf":
        raise InputError(f"pixels are numbers: received dtype={array.dtype} as {where}; convert them to uint8")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            count = int((~np.isfinite(images)).sum())
            raise InputError(f"pixels are finite: received NaN or infinity in {count} places of {where}; replace them")
        if images.min() >= 0 and images.max() <= 1:
            images = np.rint(images * 255.0)
    if images.min() < 0 or images.max() > 255 or (images.dtype.kind == "f" and (images != np.rint(images)).any()):
        raise InputError(
            f"pixels are whole numbers from 0 to 255, or fractions from 0 to 1: received min={images.min():g}, "
            f"max={images.max():g} as {where}; rescale them"
        )
    return images.astype(np.uint8)


def _labels(array: npt.NDArray[Any], *, count: int, where: str) -> tuple[str, ...]:
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or len(flat) != count:
        raise InputError(f"each image has one label: received shape={array.shape} for images={count} as {where}; check them")
    if flat.dtype.kind == "f":
        if not np.isfinite(flat).all() or (flat != np.rint(flat)).any():
            raise InputError(f"labels are names or whole numbers: received other numbers as {where}; correct them")
        flat = flat.astype(np.int64)
    if flat.dtype.kind not in "iubUS":
        raise InputError(f"labels are names or whole numbers: received dtype={array.dtype} as {where}; convert them")
    if flat.dtype.kind == "S":
        return tuple(value.decode("utf-8", "replace") for value in flat.tolist())
    return tuple(str(value) for value in flat.tolist())


def _class_names(train: Images, path: Path) -> tuple[str, ...]:
    """Return the labels of ``train`` in order, whole numbers by their value."""
    names = set(train.labels or ())
    if len(names) < 2:
        raise InputError(
            f"a classifier needs at least two classes: received label={next(iter(names), '')[:80]!r} in all "
            f"images={len(train)} of file={str(path)!r}; check the labels"
        )
    if all(name.lstrip("-").isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _split(parts: dict[str, ImageExamples], settings: DataSettings, *, seed: int) -> dict[str, ImageExamples]:
    """Return train, validation and test; what is not in ``parts`` yet is split off train."""
    train = parts["train"]
    split = stratified_split(
        train.labels,
        validation_fraction=None if "validation" in parts else settings.validation_fraction,
        test_fraction=None if "test" in parts else settings.test_fraction,
        seed=seed,
    )
    return {
        "train": ImageExamples(train.content[split.train], train.labels[split.train]),
        "validation": parts.get("validation") or ImageExamples(train.content[split.validation], train.labels[split.validation]),
        "test": parts.get("test") or ImageExamples(train.content[split.test], train.labels[split.test]),
    }


def _digest(class_names: Sequence[str], *parts: ImageExamples) -> str:
    """Return the sha256 over class names, and shape, pixels and labels of ``parts``."""
    digest = hashlib.sha256(repr(tuple(class_names)).encode())
    for part in parts:
        digest.update(np.asarray(part.content.shape, "<i8").tobytes())
        digest.update(np.ascontiguousarray(part.content).tobytes())
        digest.update(part.labels.astype("<i8").tobytes())
    return digest.hexdigest()
