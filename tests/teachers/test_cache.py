"""A frozen teacher is asked once for each text; what is on disk is trusted only after its checksum."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from understudy.errors import InputError, SetupError
from understudy.teachers import cache
from understudy.teachers.cache import cached_logits
from understudy.teachers.protocol import BoolArray, Float32Array

CLASSES = ("a", "b")
TEXTS = tuple(f"text {i} \udcff" for i in range(10))


class Counting:
    """Answers with the text's length and counts what it was asked."""

    name = "counting"
    class_names = None

    def __init__(self, digest: str = "d", bad: str | None = None) -> None:
        self.digest = digest
        self.bad = bad
        self.asked: list[str] = []

    def describe(self) -> str:
        return "counts"

    def covers(self, texts: Sequence[str]) -> BoolArray:
        return np.ones(len(texts), np.bool_)

    def logits(self, texts: Sequence[str]) -> Float32Array:
        self.asked += texts
        return np.array([[len(t), np.nan if t == self.bad else 0] for t in texts], np.float32)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CHUNK", 4)


def test_the_second_time_nothing_is_asked(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = cached_logits(
        Counting(), TEXTS, class_names=CLASSES, folder=tmp_path / "new" / "cache", progress=lambda *at: seen.append(at)
    )
    assert (first.computed, first.reused, first.rejected) == (10, 0, ())
    assert seen == [(4, 10), (8, 10), (10, 10)]
    again = Counting()
    second = cached_logits(again, TEXTS, class_names=CLASSES, folder=tmp_path / "new" / "cache")
    assert (second.computed, second.reused, second.rejected, again.asked) == (0, 10, (), [])
    np.testing.assert_array_equal(first.values, second.values)
    assert second.values.dtype == np.float32


def test_no_texts(tmp_path: Path) -> None:
    assert cached_logits(Counting(), (), class_names=CLASSES, folder=tmp_path).values.shape == (0, 2)


@pytest.mark.parametrize(
    ("digest", "texts", "class_names"),
    [
        ("other", TEXTS, CLASSES),
        ("d", (*TEXTS[:9], "changed"), CLASSES),
        ("d", TEXTS[::-1], CLASSES),
        ("d", TEXTS, ("a", "c")),
        ("d", ("text 0 \udcfftext 1 \udcff", *TEXTS[2:], ""), CLASSES),
    ],
)
def test_another_teacher_text_order_or_class_is_another_entry(
    tmp_path: Path, digest: str, texts: Sequence[str], class_names: Sequence[str]
) -> None:
    cached_logits(Counting(), TEXTS, class_names=CLASSES, folder=tmp_path)
    result = cached_logits(Counting(digest), texts, class_names=class_names, folder=tmp_path)
    assert result.computed >= 2
    assert result.values[:, 0].tolist() == [len(t) for t in texts]


def test_an_interrupted_job_keeps_what_was_answered(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finite numbers"):
        cached_logits(Counting(bad=TEXTS[6]), TEXTS, class_names=CLASSES, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1, "the bad chunk was not stored"
    repaired = Counting()
    assert cached_logits(repaired, TEXTS, class_names=CLASSES, folder=tmp_path).reused == 4
    assert repaired.asked == list(TEXTS[4:])


@pytest.mark.parametrize("damage", ["truncated", "empty", "bit", "locked", "other values", "other shape", "garbage", "objects"])
def test_a_damaged_entry_is_computed_again_and_said(tmp_path: Path, damage: str) -> None:
    good = cached_logits(Counting(), TEXTS[:4], class_names=CLASSES, folder=tmp_path).values
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[content.index(np.float32(8).tobytes())] ^= 1
    if damage == "locked":
        content[content.rindex(b"PK\x01\x02") + 8] |= 1  # says that it needs a password
    if damage in ("truncated", "bit", "locked"):
        path.write_bytes(content[: len(content) // (2 if damage == "truncated" else 1)])
    elif damage in ("empty", "garbage"):
        path.write_bytes(b"" if damage == "empty" else b"PK\x03\x04garbage")
    else:
        with np.load(path) as archive:
            checksum = archive["checksum"]
        values = {"other values": good + 1, "other shape": good[:2], "objects": np.array([None] * 4)}[damage]
        np.savez(path, logits=values, checksum=checksum)
    teacher = Counting()
    result = cached_logits(teacher, TEXTS[:4], class_names=CLASSES, folder=tmp_path)
    assert (result.computed, result.reused, result.rejected) == (4, 0, (path.name,))
    np.testing.assert_array_equal(result.values, good)
    assert cached_logits(Counting(), TEXTS[:4], class_names=CLASSES, folder=tmp_path).reused == 4


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"cache folder must be a folder that can be written: received folder=.*; choose"):
        cached_logits(Counting(), TEXTS, class_names=CLASSES, folder=tmp_path / "file" / "cache")
