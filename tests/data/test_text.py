from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest

from understudy.data.text import label_indices, load_text_dataset
from understudy.errors import InputError
from understudy.job import DataSettings


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write(tmp_path / "train.tsv", [(f"text {i}", "zebra" if i % 3 else "ape") for i in range(60)])


def test_splits_off_validation_and_test(train: Path) -> None:
    data = load_text_dataset(DataSettings(train=train), seed=1)

    assert data.class_names == ("ape", "zebra")
    assert (len(data.train), len(data.validation), len(data.test)) == (48, 6, 6)
    assert sorted(data.train.texts + data.validation.texts + data.test.texts) == sorted(f"text {i}" for i in range(60))
    for part in (data.train, data.validation, data.test):
        assert [data.class_names[index] for index in part.labels] == [
            "zebra" if int(text.split()[1]) % 3 else "ape" for text in part.texts
        ]
        assert part.labels.dtype == np.int64
        assert not part.labels.flags.writeable
    assert data.statistics.sources["test"] == f"10% of {train}, seed 1"


def test_separate_files_are_taken_whole(train: Path, tmp_path: Path) -> None:
    validation = write(tmp_path / "validation.tsv", [("v", "ape"), ("w", "cat")])
    test = write(tmp_path / "test.tsv", [("t", "zebra"), ("u", "dog"), ("u", "dog")])
    unlabelled = tmp_path / "unlabelled.jsonl"
    unlabelled.write_text('{"text": "free"}\n', encoding="utf-8")
    lines = tmp_path / "lines.txt"
    lines.write_bytes(b"\xef\xbb\xbfnone\r\nof these\n")
    data = load_text_dataset(
        DataSettings(train=train, validation=validation, test=test, unlabelled=unlabelled, out_of_scope=lines), seed=1
    )

    assert len(data.train) == 60
    assert data.validation.labels.tolist() == [0, -1]
    assert data.test.labels.tolist() == [1, -1, -1]
    assert data.unlabelled == ("free",)
    assert data.out_of_scope == ("none", "of these")
    assert data.statistics.warnings["test_label_unseen_in_train"] == 2
    assert list(data.statistics.splits) == ["train", "validation", "test", "unlabelled", "out_of_scope"]


def test_the_test_file_influences_nothing_but_its_own_digest(train: Path, tmp_path: Path) -> None:
    first = write(tmp_path / "first.tsv", [("t", "zebra")])
    second = write(tmp_path / "second.tsv", [("other", "ape"), ("unknown", "dog")])
    one, two = (load_text_dataset(DataSettings(train=train, test=test), seed=3) for test in (first, second))

    assert one.train.texts == two.train.texts
    assert one.validation.texts == two.validation.texts
    assert one.digest == two.digest
    assert one.test_digest != two.test_digest
    assert (one.statistics.max_bytes, one.statistics.max_words) == (two.statistics.max_bytes, two.statistics.max_words)


def test_the_digest_follows_content_and_seed_not_the_path(train: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.tsv"
    copy.write_bytes(train.read_bytes())
    base = load_text_dataset(DataSettings(train=train), seed=1)

    assert load_text_dataset(DataSettings(train=copy), seed=1).digest == base.digest
    assert load_text_dataset(DataSettings(train=train), seed=2).digest != base.digest
    copy.write_bytes(train.read_bytes().replace(b"text 7\t", b"text! 7\t"))
    assert load_text_dataset(DataSettings(train=copy), seed=1).digest != base.digest


def test_limits_are_taken_or_suggested(train: Path) -> None:
    suggested = load_text_dataset(DataSettings(train=train), seed=1).statistics
    given = load_text_dataset(DataSettings(train=train), seed=1, max_bytes=6, max_words=1).statistics

    assert (suggested.max_bytes, suggested.max_words) == (32, 8)
    assert (given.max_bytes, given.max_words) == (6, 1)
    assert given.warnings["text_cut_at_max_words"] == 60
    assert given.warnings["text_cut_at_max_bytes"] == 50


def test_columns_guessed_in_train_hold_for_every_file(train: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("sentence,label\na,ape\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"received text='text' and columns=\['sentence', 'label'\] in file=.*other\.csv"):
        load_text_dataset(DataSettings(train=train, test=other), seed=1)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [("a", "one"), ("b", "one")])
    with pytest.raises(
        InputError, match=r"at least two classes: received label='one' in all rows=2 of file=.*; check the label column"
    ):
        load_text_dataset(DataSettings(train=path), seed=1)


def test_a_class_that_splitting_leaves_empty_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [(f"text {i}", f"label {i % 5}") for i in range(20)])
    with pytest.raises(InputError, match=r"no class is empty after splitting"):
        load_text_dataset(DataSettings(train=path, validation_fraction=0.4, test_fraction=0.4), seed=1)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_without_any_label_of_train_is_refused(train: Path, tmp_path: Path, part: str) -> None:
    other = write(tmp_path / "other.tsv", [("a", "no"), ("b", "yes")])
    with pytest.raises(
        InputError, match=rf"the {part} file has labels of train: received known_labels=0 of classes=2 in rows=2 of .*other"
    ):
        load_text_dataset(DataSettings(train=train, **{part: other}), seed=1)


@pytest.mark.parametrize("name", ["none.txt", "none.txt.gz"])
@pytest.mark.parametrize("part", ["unlabelled", "out_of_scope"])
def test_a_file_of_lines_holds_some(train: Path, tmp_path: Path, name: str, part: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    with pytest.raises(
        InputError, match="a data file has at least one row: received rows=0 in file=.*none.txt.*; leave it out"
    ):
        load_text_dataset(DataSettings.model_validate({"train": train, part: path}), seed=1)


def test_some_text_is_not_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [(" ", "ape"), ("", "zebra")] * 10)
    with pytest.raises(InputError, match="texts that are not empty: received text without one in rows=20 of file="):
        load_text_dataset(DataSettings(train=path), seed=1)


def test_label_indices() -> None:
    assert label_indices(["b", "x", "a"], ("a", "b")).tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("name", "label", "duplicates"),
    [("atis", "intent", 13), ("snips", "intent", 26), ("clinc150", "intent", 2), ("sst2", "label", 2)],
)
def test_duplicates_of_public_sets_are_those_on_record(shared_data: Path, name: str, label: str, duplicates: int) -> None:
    folder = shared_data / name
    validation = next(folder / f"{part}.tsv.gz" for part in ("valid", "val", "dev") if (folder / f"{part}.tsv.gz").exists())
    settings = DataSettings(
        train=folder / "train.tsv.gz", validation=validation, test=folder / "test.tsv.gz", text="text", label=label
    )

    assert load_text_dataset(settings, seed=1).statistics.duplicates["test in train"] == duplicates


def test_the_largest_public_set_loads_in_seconds(shared_data: Path) -> None:
    begin = time.process_time()
    data = load_text_dataset(DataSettings(train=shared_data / "swda" / "train.tsv.gz"), seed=1)

    assert len(data.train) + len(data.validation) + len(data.test) == 192_390
    # 1.2 s on the machine where this was written; the bar leaves room for slower ones
    assert time.process_time() - begin < 6
