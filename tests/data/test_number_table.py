"""Tables of numbers become vectors, whatever the file, and every cell that is no number is named with its row."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from understudy.data import room
from understudy.data.kind import kind_of
from understudy.data.number_table import holds_numbers, read_examples, read_number_table
from understudy.data.vector import load_vector_dataset
from understudy.errors import InputError
from understudy.job import DataSettings

ROWS = [(5.1, 3, True, "a"), (-4.9e-3, 0, False, "b"), (1e20, -7, True, "a")]
HEADER = ("width", "height", "wet", "label")


def write(folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind in ("csv", "tsv", "csv.gz"):
        lines = [("\t" if kind == "tsv" else ",").join(map(str, row)) for row in (HEADER, *ROWS)]
        content = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(HEADER, row, strict=True))) for row in ROWS))
    else:
        parquet.write_table(pa.table(dict(zip(HEADER, map(list, zip(*ROWS, strict=True)), strict=True))), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "jsonl", "parquet"])
def test_every_kind_of_table_gives_the_same_vectors(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    assert kind_of(DataSettings(train=path)) == "vector"
    found = read_number_table(path, None, label=None)
    assert found.columns == ("width", "height", "wet")
    assert found.values.dtype == np.float32
    assert found.values.tolist() == np.array([row[:3] for row in ROWS], np.float32).tolist()
    assert found.labels == ("a", "b", "a")
    chosen = read_number_table(path, ("wet", "width"), label="label")
    assert chosen.values.tolist() == found.values[:, [2, 0]].tolist()
    assert read_examples(path, (2,), ("wet", "width")).tolist() == chosen.values.tolist()


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=5))
def test_numbers_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_text("x,label\n" + "".join(f" {number!r} ,a\n" for number in numbers))
    assert read_number_table(path, None, label=None).values[:, 0].tolist() == numbers


@pytest.mark.parametrize(
    ("header", "row", "settings", "kind"),
    [
        ("a,b,label", "1,2,x", {}, "vector"),
        ("a,b,class", "1,,x", {}, "vector"),
        (",a,class", "0,1,x", {}, "vector"),
        ("a,b,species", "1,2,x", {}, "text"),
        ("a,b,species", "1,2,x", {"label": "species"}, "vector"),
        ("a,b,species", "1,2,x", {"columns": ("a",)}, "vector"),
        ("a,b,species", "1,2,x", {"kind": "vector"}, "vector"),
        ("text,label", "1,2", {}, "text"),
        ("text,label", "1,2", {"kind": "vector"}, "vector"),
        ("a,label", "1,x", {"text": "a"}, "text"),
        ("a,label", "1,x", {"kind": "text"}, "text"),
        ("a,b,label", "1,word,x", {}, "text"),
        ("label,class", "1,2", {}, "text"),
    ],
)
def test_a_table_is_of_texts_or_numbers(tmp_path: Path, header: str, row: str, settings: dict[str, object], kind: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"{header}\n{row}\n")
    assert kind_of(DataSettings.model_validate({"train": path, **settings})) == kind


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("a,b,label\n1,2,x\n\n1,two,y\n", {}, r"one in every row: received b='two' at line=4 of file='.*data.csv'; fill it in"),
        ("a,b,label\n1,2,x\n1,,y\n", {}, r"one in every row: received b='' at line=3 of"),
        ("a,b,label\n1,2,x\n1_000,2,y\n", {}, r"received a='1_000' at line=3"),
        ('a,b,label\n1,2,x\n"1,5",2,y\n', {}, r"received a='1,5' at line=3"),
        ("a,b,label\n1,2,x\nnan,2,y\n", {}, r"finite, at most 1e\+30: received a='nan' at line=3 of .*; replace it"),
        ("a,b,label\n1,2,x\n1,-inf,y\n", {}, r"finite, at most 1e\+30: received b='-inf' at line=3"),
        ("a,b,label\n1,2,x\n1,1e31,y\n", {}, r"finite, at most 1e\+30: received b='1e31' at line=3"),
        ("a,b,label\n1,2,x\n1,2,\n", {}, r"every row has a label: received label='' at line=3"),
        (
            "a,b,label\n1,2,x\n1,2,y\n",
            {"columns": ("a", "c")},
            r"every column of numbers that is read is a column of the file: received col",
        ),
        ("a,b,label\n1,2,x\n1,2,y\n", {"columns": ("a", "B")}, r"did you mean 'b'\?|name one of these columns"),
        ("a,b,label\n1,2,x\n1,2,y\n", {"columns": ("a", "a")}, r"each with a name of its own: received columns=\['a', 'a'\]"),
        ("a,b,label\n1,2,x\n1,2,y\n", {"columns": ("a", "label")}, r"beside the label, .* label='label'"),
        ("a,a,label\n1,2,x\n1,2,y\n", {}, r"each with a name of its own: received columns=\['a', 'a'\]"),
        ("a,b,kind\n1,2,x\n1,2,y\n", {"kind": "vector"}, r"the label column is guessed only when .* name it with --label"),
        ("a,b,label\n1,2,x\n1,2,x\n", {}, r"at least two classes"),
        ("a,\xff,label\n1,2,x\n1,2,y\n", {}, r"has a name in UTF-8: received '\\udcff'"),
        ("a,b,label\n1,2,x\n1,2,y\n", {"unlabelled": Path("x.csv")}, r"data.unlabelled is for texts"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_row(
    tmp_path: Path, content: str, settings: dict[str, object], message: str
) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        load_vector_dataset(DataSettings.model_validate({"train": path, **settings}), seed=1)


@pytest.mark.parametrize(
    ("columns", "ending"), [(None, "row, or name the columns to read with --columns"), (("a", "b"), "row")]
)
def test_other_columns_are_proposed_where_none_were_named(tmp_path: Path, columns: tuple[str, ...] | None, ending: str) -> None:
    (tmp_path / "data.csv").write_text("a,b,label\n1,,x\n")
    with pytest.raises(InputError, match=f"fill it in or remove the {ending}$"):
        read_number_table(tmp_path / "data.csv", columns, label=None)


def test_rows_of_a_parquet_file_are_counted(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1.0, None, 3.0], "label": ["x", "y", "x"]}), tmp_path / "data.parquet")
    with pytest.raises(InputError, match=r"received a=null at row=2 of file="):
        read_number_table(tmp_path / "data.parquet", None, label=None)


@pytest.mark.parametrize("settings", [{"text": "a"}, {"kind": "text"}, {"kind": "image"}])
def test_columns_of_numbers_are_vectors(settings: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"columns of numbers are vectors: received data.columns=\['a'\] with"):
        kind_of(DataSettings.model_validate({"train": Path("data.csv"), "columns": ("a",), **settings}))


def test_a_file_for_testing_may_order_its_columns_otherwise(tmp_path: Path) -> None:
    rows = [(i, i * 10, "even" if i % 2 == 0 else "odd") for i in range(40)]
    (tmp_path / "train.csv").write_text("a,b,label\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    (tmp_path / "test.csv").write_text("b,note,label,a\n" + "".join(f"{b},?,{c},{a}\n" for a, b, c in rows[:7]))
    found = load_vector_dataset(DataSettings(train=tmp_path / "train.csv", test=tmp_path / "test.csv"), seed=1)
    assert found.columns == ("a", "b")
    assert found.test.content.tolist() == [[a, b] for a, b, _ in rows[:7]]
    (tmp_path / "other.csv").write_text("a,label\n1,odd\n")
    with pytest.raises(InputError, match="every column of numbers that is read is a column of the file"):
        load_vector_dataset(DataSettings(train=tmp_path / "train.csv", test=tmp_path / "other.csv"), seed=1)


def test_examples_to_predict_may_have_unknown_numbers_but_no_empty_ones(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("a,b\n1,nan\ninf,2\n")
    np.testing.assert_array_equal(read_examples(tmp_path / "new.csv", (2,), ("b", "a")), [[np.nan, 1], [2, np.inf]])
    (tmp_path / "empty.csv").write_text("a,b\n1,\n")
    with pytest.raises(InputError, match="received b='' at line=2"):
        read_examples(tmp_path / "empty.csv", (2,), ("a", "b"))
    with pytest.raises(InputError, match="a table is read by the names of its columns: received a model that was made from"):
        read_examples(tmp_path / "new.csv", (2,), None)


def test_a_table_is_read_without_keeping_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell as a string takes some fifty bytes, its number four: a table that the disk holds must not fill the memory."""
    rows = "".join(f"{','.join(f'{row / (column + 3):.4f}' for column in range(20))},{row % 2}\n" for row in range(20_000))
    (tmp_path / "data.csv").write_text(",".join(f"n{i}" for i in range(20)) + ",label\n" + rows)
    monkeypatch.setattr(room, "PIECE_BYTES", 100_000)
    tracemalloc.start()
    found = read_number_table(tmp_path / "data.csv", None, label=None)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.values.shape == (20_000, 20)
    assert peak_bytes < 3 * found.values.nbytes


def test_a_nested_column_is_none_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"sentence1": "hello", "label": "x", "meta": {"a": 1}}\n')
    assert not holds_numbers(tmp_path / "a.jsonl", label=None)
