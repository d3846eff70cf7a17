"""Saved logits are matched to texts openly, and loading them runs nothing."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from understudy.errors import InputError, SetupError
from understudy.teachers.registry import load_text_teacher

CLASSES = ("no", "yes")
TEXTS = ("first", "second", "böse \udcff bytes")
LOGITS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


class Trap:
    """Unpickling this makes a file; a test sees that it does not appear."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_rows_in_the_order_of_the_training_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", logits=LOGITS)
    teacher = load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=TEXTS)
    assert teacher.logits(TEXTS[::-1]).tolist() == LOGITS[::-1].tolist()
    assert "rows in the order of the training file" in teacher.describe()


def test_saved_probabilities_are_used_as_logarithms(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", logits=np.array([[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]]))
    teacher = load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=TEXTS)
    found = teacher.logits(TEXTS)
    np.testing.assert_allclose(np.exp(found), [[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]], atol=1e-6)
    assert np.isfinite(found).all()
    assert ", probabilities, used as logarithms;" in teacher.describe()


def test_rows_matched_by_text(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "t.npz", logits=LOGITS, texts=np.array(TEXTS), class_names=np.array(["yes", "no"]))
    teacher = load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=("other",))
    assert teacher.logits(TEXTS[1:2]).tolist() == [[4, 3]]
    assert "rows matched by text" in teacher.describe()
    assert "columns named by the teacher" in teacher.describe()


def test_bytes_are_texts_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", logits=LOGITS, texts=np.array([t.encode("utf-8", "surrogateescape") for t in TEXTS]))
    assert load_text_teacher(tmp_path / "t.npz", class_names=CLASSES).covers(TEXTS).all()


def test_texts_without_rows_are_said_and_never_answered(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", logits=LOGITS, texts=np.array(TEXTS))
    teacher = load_text_teacher(tmp_path / "t.npz", class_names=CLASSES)
    asked = ("second", "a view", "another view")
    assert teacher.covers(asked).tolist() == [True, False, False]
    with pytest.raises(InputError, match=r"they were saved for: .*examples=3, of which 2 .*number 1\).*train"):
        teacher.logits(asked)


def test_equal_texts_with_different_rows_get_their_mean_and_it_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", logits=LOGITS)
    teacher = load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=("same", "other", "same"))
    assert teacher.logits(["same", "other"]).tolist() == [[3, 4], [3, 4]]
    assert "several different rows, whose mean is used, for 1 text" in teacher.describe()


def test_an_array_in_memory() -> None:
    teacher = load_text_teacher(LOGITS, class_names=CLASSES, training_texts=TEXTS)
    assert teacher.logits(TEXTS).tolist() == LOGITS.tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"scores": LOGITS}, r"named logits \[rows, classes\].*arrays=\['scores'\].*save them under that name"),
        ({"logits": LOGITS[:2]}, r"one row for each example: received shape=\(2, 2\) for examples=3 .*save one row"),
        ({"logits": LOGITS[0]}, r"received shape=\(2,\) for examples=3"),
        ({"logits": np.array(["a", "b", "c"])}, r"returns numbers"),
        ({"logits": np.where(LOGITS == 4, np.nan, LOGITS)}, r"finite numbers: received logits\[1\]=\[3\.0, nan\] \(and 0 more"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=TEXTS)


def test_rows_of_unknown_texts_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", logits=LOGITS)
    with pytest.raises(InputError, match=r"without texts belong to the rows of the training file.*save the texts"):
        load_text_teacher(tmp_path / "t.npz", class_names=CLASSES)


@pytest.mark.parametrize("name", ["logits", "texts", "unrelated"])
def test_objects_in_an_npz_do_not_run(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "trap"
    arrays: dict[str, Any] = {"logits": LOGITS, "texts": np.array(TEXTS)}
    arrays[name] = np.array([Trap(trap)], dtype=object)
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(InputError, match=r"loading objects runs code from the file: .*save texts and class_names as"):
        load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=TEXTS)
    assert not trap.exists()


def test_a_pickle_called_npz_does_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    (tmp_path / "t.npz").write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(InputError, match=r"runs code from the file|must load"):
        load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=TEXTS)
    assert not trap.exists()


def parquet_file(path: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    table = pa.table(columns)
    parquet.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)
    return path


def test_parquet_with_a_list_column(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "t.parquet", {"logits": LOGITS.tolist(), "text": ["a", "b", "c"]})
    assert load_text_teacher(path, class_names=CLASSES).logits(["c", "a"]).tolist() == [[5, 6], [1, 2]]
    path = parquet_file(tmp_path / "n.parquet", {"logits": LOGITS.tolist()}, {"class_names": json.dumps(["yes", "no"])})
    assert load_text_teacher(path, class_names=CLASSES, training_texts=TEXTS).logits(["first"]).tolist() == [[2, 1]]


def test_parquet_with_one_column_for_each_class(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "t.parquet", {"yes": LOGITS[:, 1], "no": LOGITS[:, 0].astype(np.float32), "id": [1, 2, 3]})
    teacher = load_text_teacher(path, class_names=CLASSES, training_texts=TEXTS)
    assert teacher.logits(TEXTS).tolist() == LOGITS.tolist()
    assert "columns named by the teacher" in teacher.describe()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"no": [1.0, 2.0, 3.0]}, r"in Parquet also one column for each class: received no column 'yes'"),
        ({"logits": [[1.0, 2.0], [3.0], [4.0, 5.0]]}, r"returns numbers, one row of logits for each example"),
        ({"logits": [[1.0, 2.0], None, [4.0, 5.0]]}, r"returns numbers"),
        ({"no": [1.0, None, 3.0], "yes": [1.0, 2.0, 3.0]}, r"finite numbers: received logits\[1\]=\[nan, 2\.0\]"),
        ({"logits": [[1.0] * 3] * 3}, r"received columns=3 for classes=2"),
    ],
)
def test_wrong_parquet_columns_are_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = parquet_file(tmp_path / "t.parquet", columns)
    with pytest.raises(InputError, match=message):
        teacher = load_text_teacher(path, class_names=CLASSES, training_texts=TEXTS)
        teacher.logits(TEXTS)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, keep: float) -> None:
    np.savez(tmp_path / "t.npz", logits=LOGITS)
    parquet_file(tmp_path / "t.parquet", {"logits": LOGITS.tolist()})
    path = tmp_path / f"t.{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match=r"file must load: received .*export it again"):
        load_text_teacher(path, class_names=CLASSES, training_texts=TEXTS)


def test_an_array_with_a_damaged_header_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "logits.npy", LOGITS)
    content = (tmp_path / "logits.npy").read_bytes()
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("logits.npy", content.replace(b"(3, 2)", b"(3, 2,"))
    with pytest.raises(InputError, match=r"NPZ file must load: received .*export it again"):
        load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=TEXTS)


def test_reading_parquet_leaves_no_threads_that_an_early_exit_would_meet(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "t.parquet", {"no": [1.0, 2.0], "yes": [3.0, 4.0]})
    program = f"""
import os, pyarrow.parquet
from understudy.teachers.registry import load_text_teacher
before = os.listdir("/proc/self/task")
load_text_teacher({str(path)!r}, class_names=("no", "yes"), training_texts=("a", "b"))
print(len(os.listdir("/proc/self/task")) - len(before))
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "0\n"


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet_file(tmp_path / "t.parquet", {"logits": LOGITS.tolist()})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SetupError, match=r"saved logits from Parquet needs the 'parquet' extra.*pip install 'understudy\[parq"):
        load_text_teacher(path, class_names=CLASSES, training_texts=TEXTS)


@pytest.mark.filterwarnings("error")
def test_complex_numbers_are_refused_and_not_cut(tmp_path: Path) -> None:
    message = r"^a teacher's logits are real numbers: received dtype='complex128' from teacher='t\.npz'; return or save"
    np.savez(tmp_path / "t.npz", logits=LOGITS + 1j)
    with pytest.raises(InputError, match=message):
        load_text_teacher(tmp_path / "t.npz", class_names=CLASSES, training_texts=TEXTS)
    with pytest.raises(InputError, match="received dtype='complex128' from teacher='array'"):
        load_text_teacher(LOGITS + 1j, class_names=CLASSES, training_texts=TEXTS)


FORMATS = ("npz", "pt")


def _saved(folder: Path, ending: str, **columns: Any) -> Path:
    path = folder / f"t.{ending}"
    if ending == "npz":
        np.savez(path, **{name: np.asarray(values) for name, values in columns.items()})
    else:
        torch.save({name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in columns.items()}, path)
    return path


@pytest.mark.parametrize("ending", FORMATS)
def test_labels_are_names_of_columns_or_one_for_each_row(ending: str, tmp_path: Path) -> None:
    for labels, first in ((["yes", "no"], [2, 1]), (["no", "yes", "yes"], [1, 2]), ([0, 1, 1], [1, 2])):
        path = _saved(tmp_path, ending, logits=LOGITS, labels=labels)
        teacher = load_text_teacher(path, class_names=CLASSES, training_texts=TEXTS)
        assert teacher.logits(TEXTS[:1]).tolist() == [first]


@pytest.mark.parametrize("ending", FORMATS)
def test_names_and_texts_may_be_numbers_and_bytes(ending: str, tmp_path: Path) -> None:
    path = _saved(tmp_path, ending, logits=LOGITS, class_names=[1, 0], texts=[b"7", b"8", b"9"])
    teacher = load_text_teacher(path, class_names=("0", "1"))
    assert teacher.logits(["8"]).tolist() == [[4, 3]]


@pytest.mark.parametrize(
    ("columns", "received"),
    [
        ({"texts": "all in one"}, "received texts='all in one' in"),
        ({"class_names": 5}, "received class_names=5 in"),
        ({"texts": ["first", None, "third"]}, "received texts=None in"),
    ],
)
def test_texts_and_names_that_are_no_lists_of_strings(columns: dict[str, Any], received: str, tmp_path: Path) -> None:
    path = _saved(tmp_path, "pt", logits=LOGITS, **columns)
    with pytest.raises(InputError, match=f"are lists of strings: {received} teacher="):
        load_text_teacher(path, class_names=CLASSES, training_texts=TEXTS)


def test_a_null_among_the_texts_of_parquet(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": ["a", None, "c"], "logits": LOGITS.tolist()}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="are lists of strings: received text=None in"):
        load_text_teacher(tmp_path / "t.parquet", class_names=CLASSES)
