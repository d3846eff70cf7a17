"""What is in a data set of images or vectors, counted; ``statistics.py`` has texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from understudy.data.mirror import MirrorTest
from understudy.data.statistics import (
    SplitStatistics,
    count_conflicts,
    count_duplicates,
    counted_lines,
    warning_lines,
)
from understudy.projections.log_mel import LogMel

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageStatistics:
    """A data set of images, counted; see ``statistics.DataStatistics`` for the attributes.

    ``shape`` is height, width and channels, ``mirror`` says whether images are mirrored in training, ``log_mel`` how
    sounds became images;
    ``left_out`` names the pictures that could not be used, each with the reason, ``notes`` say how arrays were read,
    ``named`` what files a warning counts.
    """

    class_names: tuple[str, ...]
    splits: dict[str, SplitStatistics]
    sources: dict[str, str]
    shape: tuple[int, ...]
    mirror: MirrorTest | None
    duplicates: dict[str, int]
    warnings: dict[str, int]
    left_out: tuple[str, ...] = ()
    log_mel: LogMel | None = None
    notes: tuple[str, ...] = ()
    named: dict[str, str] = field(default_factory=dict)

    @property
    def variations(self) -> tuple[str, ...]:
        """How each batch of training images is varied."""
        if self.log_mel is not None:
            return ("moved in time", "louder or softer")
        return ("moved", "mirrored") if self.mirror is not None and self.mirror.safe else ("moved",)

    def lines(self) -> list[str]:
        """Return the statistics as lines of plain text, warnings last."""
        return [
            *counted_lines(self, "images" if self.log_mel is None else "sounds"),
            _size_line(self),
            *self.notes,
            "; ".join(
                [f"varied in training: {', '.join(self.variations)}", *([_mirror_line(self.mirror)] if self.mirror else [])]
            ),
            *(f"left out: {name}" for name in self.left_out),
            "duplicates across splits: " + (", ".join(f"{name} {count}" for name, count in self.duplicates.items()) or "none"),
            *(f"warning: {line}" for line in warning_lines(self.warnings, self.named)),
        ]


@dataclass(frozen=True)
class VectorStatistics:
    """A data set of vectors or windows, counted; see ``statistics.DataStatistics`` for the attributes.

    ``shape`` is how many numbers, or steps and channels, an example has, ``columns`` their names in a table, ``notes`` what was
    not read.
    """

    class_names: tuple[str, ...]
    splits: dict[str, SplitStatistics]
    sources: dict[str, str]
    shape: tuple[int, ...]
    duplicates: dict[str, int]
    warnings: dict[str, int]
    columns: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def variations(self) -> tuple[str, ...]:
        """How each batch of training examples is varied."""
        return ("noise",) if len(self.shape) == 1 else ("noise", "scaled", "moved")

    def lines(self) -> list[str]:
        """Return the statistics as lines of plain text, warnings last."""
        window = len(self.shape) == 2
        return [
            *counted_lines(self, "windows" if window else "vectors"),
            ("steps, channels: " if window else "numbers: ") + ", ".join(map(str, self.shape)),
            *([f"columns: {', '.join(self.columns)}"] if self.columns else []),
            *self.notes,
            f"standardized by the mean and deviation of each {'channel' if window else 'number'} in train",
            f"varied in training: {', '.join(self.variations)}",
            "duplicates across splits: " + (", ".join(f"{name} {count}" for name, count in self.duplicates.items()) or "none"),
            *(f"warning: {line}" for line in warning_lines(self.warnings)),
        ]


def _size_line(statistics: ImageStatistics) -> str:
    """Return what one example is."""
    log_mel = statistics.log_mel
    if log_mel is None:
        return "height, width, channels: " + ", ".join(map(str, statistics.shape))
    return (
        f"each read as {log_mel.samples} samples, {log_mel.sample_rate} a second ({log_mel.seconds:.2f} s around its middle): "
        f"{log_mel.frames} frames of {statistics.shape[1]} mel bands"
    )


def _mirror_line(mirror: MirrorTest) -> str:
    """Return why images are mirrored or not."""
    return (
        f"of {mirror.images} images {mirror.share:.1%} are nearest to a mirrored one (50% where left and right are alike), and "
        f"with mirrored ones {mirror.gained:.1%} are nearest to their class that were not, {mirror.lost:.1%} no longer"
    )


def image_statistics(
    class_names: Sequence[str],
    *,
    shape: tuple[int, ...],
    mirror: MirrorTest | None,
    labels: Mapping[str, Int64Array],
    keys: Mapping[str, Sequence[bytes]],
    sources: Mapping[str, str],
    found: Mapping[str, int] | None = None,
    left_out: tuple[str, ...] = (),
    log_mel: LogMel | None = None,
    notes: Sequence[str] = (),
    named: Mapping[str, str] | None = None,
) -> ImageStatistics:
    """Return the statistics of a data set of images.

    Args:
        class_names: labels of train, in order.
        shape: height, width and channels.
        mirror: what the training images say about mirroring, None for sounds.
        log_mel: how sounds became pictures, None for images.
        labels: ``train``, ``validation`` and ``test`` to int64 ``[images]``, -1 for a label that train does not have.
        keys: split to something that is equal for equal images.
        sources: split to where its rows came from, for people.
        found: warnings of the reader to how often they occurred.
        left_out: pictures that could not be used.
        notes: how arrays were read, and which were not.
        named: warning to the names of what it counts.
    """
    splits, duplicates, warnings = _count_arrays(class_names, labels=labels, keys=keys, found=found or {})
    return ImageStatistics(
        class_names=tuple(class_names),
        splits=splits,
        sources={name: sources[name] for name in labels},
        shape=tuple(shape),
        mirror=mirror,
        duplicates=duplicates,
        warnings=warnings,
        left_out=left_out,
        log_mel=log_mel,
        notes=tuple(dict.fromkeys(notes)),
        named=dict(named or {}),
    )


def vector_statistics(
    class_names: Sequence[str],
    *,
    shape: tuple[int, ...],
    columns: tuple[str, ...] | None,
    found: Mapping[str, int],
    labels: Mapping[str, Int64Array],
    keys: Mapping[str, Sequence[bytes]],
    sources: Mapping[str, str],
    notes: tuple[str, ...] = (),
) -> VectorStatistics:
    """Return the statistics of a data set of vectors; see ``image_statistics`` for the arguments.

    ``columns`` names the numbers of a table; ``found`` counts features or channels that count for nothing.
    """
    splits, duplicates, warnings = _count_arrays(class_names, labels=labels, keys=keys, found=found)
    sources = {name: sources[name] for name in labels}
    return VectorStatistics(tuple(class_names), splits, dict(sources), tuple(shape), duplicates, warnings, columns, notes)


def _count_arrays(
    class_names: Sequence[str],
    *,
    labels: Mapping[str, Int64Array],
    keys: Mapping[str, Sequence[bytes]],
    found: Mapping[str, int],
) -> tuple[dict[str, SplitStatistics], dict[str, int], dict[str, int]]:
    """Return splits, duplicates and warnings of examples that are arrays."""
    splits = {}
    for name, part in labels.items():
        seen = part[part >= 0]
        counts = tuple(np.bincount(seen, minlength=len(class_names)).tolist())
        splits[name] = SplitStatistics(len(part), counts, len(part) - len(seen), length_bytes={}, cut_fraction=None)
    duplicates, duplicate_rows = count_duplicates(keys)
    warnings = {
        "class_with_one_example": splits["train"].class_counts.count(1),
        "test_label_unseen_in_train": splits["test"].unseen_labels,
        "validation_label_unseen_in_train": splits["validation"].unseen_labels,
        "duplicate_across_splits": duplicate_rows,
        "conflicting_labels": count_conflicts(keys["train"], labels["train"]),
        **found,
    }
    return splits, duplicates, {name: count for name, count in warnings.items() if count}
