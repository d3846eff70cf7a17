"""What is in a data set, counted: shown before training and recorded beside every result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from understudy.data.table import is_unicode
from understudy.projections.text import BYTE_CODES, LAST_PUNCTUATION_CODE, SYMBOL_OF_THREE
from understudy.units import format_count

Int64Array = npt.NDArray[np.int64]

MAX_BYTES_CHOICES = (32, 48, 64, 96, 128, 192, 256)
MAX_WORDS_CHOICES = (8, 12, 16, 24, 32, 48, 64)
CUT_FRACTION_LIMIT = 0.01
"""Share of the training texts that a suggested limit may cut."""

QUANTILES = ("0", "0.25", "0.5", "0.75", "0.95", "0.99", "1")
_LISTED_CLASSES = 10
MEANINGS = {
    "class_with_one_example": "classes with one example to learn from, which stays in train",
    "test_label_unseen_in_train": "test rows with a label that train does not have, counted as wrong",
    "validation_label_unseen_in_train": "validation rows with a label that train does not have, counted as wrong",
    "empty_text": "empty texts",
    "text_cut_at_max_bytes": "texts longer than the bytes that are read",
    "text_cut_at_max_words": "texts with more words than are read",
    "quoted_text": "texts in quotes with doubled ones inside, which CSV has but not TSV, used with their quotes",
    "invalid_utf8": "texts that are not valid UTF-8, used byte for byte",
    "duplicate_across_splits": "validation or test rows that another part has too",
    "label_variant": "labels that equal another one but for case or outer spaces, used as classes of their own",
    "conflicting_labels": "examples of train with more than one label",
    "picture_left_out": "pictures that cannot be used, left out",
    "grey_among_colour": "grey pictures among colour ones, used as colour",
    "other_picture": "pictures that are no PNG, JPEG or WebP by their names, passed over",
    "no_picture": "files that are no pictures of a class, passed over",
    "recording_left_out": "recordings that cannot be used, left out",
    "recording_resampled": "recordings of another rate, resampled",
    "recording_cut": "recordings longer than what is read, cut around their middle",
    "no_recording": "files that are no WAV files of a class, passed over",
    "constant_feature": "features or channels that never change in train, or by less than float32 tells apart, which count for "
    "nothing",
    "drowned_feature": "features or channels with a few values so far from all others that these hardly differ, and count for "
    "next to nothing",
}
"""Warning to what is counted, in words."""


class Counted(Protocol):
    """What the statistics of every kind of data have."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Labels of train, sorted."""
        ...

    @property
    def splits(self) -> dict[str, SplitStatistics]:
        """Part to its counts."""
        ...

    @property
    def sources(self) -> dict[str, str]:
        """Part to where it came from, for people."""
        ...


@dataclass(frozen=True)
class SplitStatistics:
    """One part of the data, counted.

    Attributes:
        examples: rows.
        class_counts: rows of each class in the order of the class names; empty where rows have no label.
        unseen_labels: rows whose label is not in train.
        length_bytes: quantile (``"0.5"`` is the median) to text length in UTF-8 bytes.
        cut_fraction: share of texts longer than ``max_bytes``; None for images.
    """

    examples: int
    class_counts: tuple[int, ...]
    unseen_labels: int
    length_bytes: dict[str, int]
    cut_fraction: float | None


@dataclass(frozen=True)
class DataStatistics:
    """A data set, counted.

    Attributes:
        class_names: labels of train, sorted.
        splits: ``train``, ``validation``, ``test`` and, where given, ``unlabelled`` and ``out_of_scope``.
        sources: split to where its rows came from, for people.
        max_bytes: L, bytes of a text that are read.
        max_words: W, words and punctuation marks of a text that are read.
        word_cut_fraction: share of training texts with more than ``max_words`` of them.
        duplicates: ``"test in train"`` and so on: rows of the first whose text the second has too; only what occurs.
        warnings: warning to how often it occurs; only what occurs. ``warning_lines`` says them in words.
    """

    class_names: tuple[str, ...]
    splits: dict[str, SplitStatistics]
    sources: dict[str, str]
    max_bytes: int
    max_words: int
    word_cut_fraction: float
    duplicates: dict[str, int]
    warnings: dict[str, int]

    @property
    def largest_class_fraction(self) -> float:
        """Share of the training rows that the largest class has: the accuracy of always answering it."""
        return largest_class_fraction(self)

    def lines(self) -> list[str]:
        """Return the statistics as lines of plain text, warnings last."""
        train = self.splits["train"]
        return [
            *counted_lines(self, "texts"),
            "text length in bytes: " + ", ".join(f"{_quantile_name(name)} {size}" for name, size in train.length_bytes.items()),
            f"bytes that are read: {self.max_bytes}; {train.cut_fraction:.2%} of train is longer",
            f"words that are read: {self.max_words}; {self.word_cut_fraction:.2%} of train has more",
            "duplicates across splits: " + (", ".join(f"{name} {count}" for name, count in self.duplicates.items()) or "none"),
            *(f"warning: {line}" for line in warning_lines(self.warnings)),
        ]


def counted_lines(statistics: Counted, examples: str) -> list[str]:
    """Return the lines that all kinds of ``examples`` have."""
    counts = statistics.splits["train"].class_counts
    order = sorted(range(len(counts)), key=lambda index: -counts[index])[:_LISTED_CLASSES]
    listed = ", ".join(f"{statistics.class_names[index]!r} {counts[index]}" for index in order)
    more = f", and {len(counts) - len(order)} more" if len(counts) > len(order) else ""
    return [
        *(
            f"{name}: {format_count(split.examples, examples)} ({statistics.sources[name]})"
            for name, split in statistics.splits.items()
        ),
        f"classes: {len(counts)}",
        f"examples per class in train: smallest {min(counts)}, median {np.median(counts):g}, largest {max(counts)}",
        f"largest classes: {listed}{more}",
        f"always answering the largest class: {largest_class_fraction(statistics):.1%} of train",
    ]


def largest_class_fraction(statistics: Counted) -> float:
    """Return the share of the training rows that the largest class has: the accuracy of always answering it."""
    train = statistics.splits["train"]
    return max(train.class_counts) / train.examples


def warning_lines(warnings: Mapping[str, int], named: Mapping[str, str] | None = None) -> list[str]:
    """Return one line for each counted warning; ``named`` says what is counted by some of them."""
    named = named or {}
    return [f"{MEANINGS[name]}: {count}" + (f" ({named[name]})" if name in named else "") for name, count in warnings.items()]


def length_bytes(texts: Sequence[str]) -> Int64Array:
    """Return the length of each text in UTF-8 bytes."""
    return np.fromiter((len(text) if text.isascii() else len(_encoded(text)) for text in texts), np.int64, len(texts))


def word_counts(texts: Sequence[str]) -> Int64Array:
    """Return how many tokens, words and punctuation marks, each text has; spec/projection.md 2.2."""
    encoded = [_encoded(text) for text in texts]
    # separating bytes after each text end its last word and symbol, and make every slice below non-empty
    content = np.frombuffer(b"\0\0\0".join([*encoded, b""]), np.uint8)
    codes = BYTE_CODES[content]
    in_word = codes > LAST_PUNCTUATION_CODE
    goes_on = np.concatenate([[False], in_word[:-1]])
    goes_on[3:] &= content[:-3] != SYMBOL_OF_THREE
    begins = ((codes > 0) & ~in_word) | (in_word & ~goes_on)
    ends = np.cumsum([len(text) + 3 for text in encoded], dtype=np.int64)
    begun_before = np.concatenate([[0], np.cumsum(begins)])
    counts: Int64Array = np.diff(begun_before[np.concatenate([[0], ends])])
    return counts


def suggest_max_bytes(texts: Sequence[str]) -> int:
    """Return the smallest of ``MAX_BYTES_CHOICES`` that cuts at most 1 % of ``texts``, or the largest."""
    return _smallest(length_bytes(texts), MAX_BYTES_CHOICES)


def suggest_max_words(texts: Sequence[str]) -> int:
    """Return the smallest of ``MAX_WORDS_CHOICES`` that drops words of at most 1 % of ``texts``, or the largest."""
    return _smallest(word_counts(texts), MAX_WORDS_CHOICES)


def data_statistics(
    class_names: Sequence[str],
    *,
    texts: Mapping[str, Sequence[str]],
    labels: Mapping[str, Int64Array],
    sources: Mapping[str, str],
    max_bytes: int,
    max_words: int,
) -> DataStatistics:
    """Return the statistics of a data set.

    Args:
        class_names: labels of train, sorted.
        texts: split to its texts: ``train``, ``validation``, ``test`` and, where given, ``unlabelled`` and ``out_of_scope``.
        labels: split to int64 ``[len(texts)]``, -1 for a label that train does not have; no entry for texts without labels.
        sources: split to where its rows came from, for people.
        max_bytes: L, bytes of a text that are read.
        max_words: W, words and punctuation marks of a text that are read.
    """
    lengths = {name: length_bytes(part) for name, part in texts.items()}
    splits = {
        name: _count_split(lengths[name], labels.get(name), class_count=len(class_names), max_bytes=max_bytes) for name in texts
    }
    words = {name: word_counts(part) for name, part in texts.items()}
    duplicates, duplicate_rows = count_duplicates(texts)
    warnings = {
        "class_with_one_example": splits["train"].class_counts.count(1),
        "test_label_unseen_in_train": splits["test"].unseen_labels,
        "validation_label_unseen_in_train": splits["validation"].unseen_labels,
        "empty_text": sum(not text.strip() for part in texts.values() for text in part),
        "text_cut_at_max_bytes": sum(int(np.count_nonzero(part > max_bytes)) for part in lengths.values()),
        "text_cut_at_max_words": sum(int(np.count_nonzero(part > max_words)) for part in words.values()),
        "quoted_text": sum(_is_quoted(text) for part in texts.values() for text in part),
        "invalid_utf8": sum(not is_unicode(text) for part in texts.values() for text in part),
        "duplicate_across_splits": duplicate_rows,
        "label_variant": len(class_names) - len({name.strip().casefold() for name in class_names}),
        "conflicting_labels": count_conflicts(texts["train"], labels["train"]),
    }
    return DataStatistics(
        class_names=tuple(class_names),
        splits=splits,
        sources={name: sources[name] for name in texts},
        max_bytes=max_bytes,
        max_words=max_words,
        word_cut_fraction=float(np.mean(words["train"] > max_words)),
        duplicates=duplicates,
        warnings={name: count for name, count in warnings.items() if count},
    )


def _count_split(lengths: Int64Array, labels: Int64Array | None, *, class_count: int, max_bytes: int) -> SplitStatistics:
    seen = np.zeros(0, np.int64) if labels is None else labels[labels >= 0]
    return SplitStatistics(
        examples=len(lengths),
        class_counts=() if labels is None else tuple(np.bincount(seen, minlength=class_count).tolist()),
        unseen_labels=0 if labels is None else len(labels) - len(seen),
        length_bytes={name: int(np.quantile(lengths, float(name), method="nearest")) for name in QUANTILES},
        cut_fraction=float(np.mean(lengths > max_bytes)),
    )


def count_duplicates(texts: Mapping[str, Sequence[str] | Sequence[bytes]]) -> tuple[dict[str, int], int]:
    """Return rows of validation and test whose text another part has, part by part, and how many rows that are in all."""
    known: dict[str, set[str | bytes]] = {name: set(texts.get(name, ())) for name in ("train", "unlabelled", "validation")}
    pairs: dict[str, int] = {}
    rows = 0
    for name, others in (("validation", ("train", "unlabelled")), ("test", ("train", "unlabelled", "validation"))):
        for other in others:
            pairs[f"{name} in {other}"] = sum(text in known[other] for text in texts[name])
        rows += sum(any(text in known[other] for other in others) for text in texts[name])
    return {pair: count for pair, count in pairs.items() if count}, rows


def count_conflicts(texts: Sequence[str] | Sequence[bytes], labels: Int64Array) -> int:
    """Return how many different texts occur with more than one label."""
    pairs = set(zip(texts, labels.tolist(), strict=True))
    return sum(count > 1 for count in Counter(text for text, _ in pairs).values())


def _is_quoted(text: str) -> bool:
    return len(text) > 3 and text[0] == text[-1] == '"' and '""' in text[1:-1]


def _smallest(sizes: Int64Array, choices: Sequence[int]) -> int:
    allowed = CUT_FRACTION_LIMIT * len(sizes)
    return next((choice for choice in choices if np.count_nonzero(sizes > choice) <= allowed), choices[-1])


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _quantile_name(name: str) -> str:
    return {"0": "shortest", "0.5": "median", "1": "longest"}.get(name, f"{float(name):.0%}")
