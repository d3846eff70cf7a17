from __future__ import annotations

import datetime
import sys
from pathlib import Path

import pytest

from understudy.data.read import read_rows, read_table
from understudy.errors import InputError, SetupError

pa = pytest.importorskip("pyarrow", reason='Parquet needs the "parquet" extra')
parquet = pytest.importorskip("pyarrow.parquet", reason='Parquet needs the "parquet" extra')

TEXTS = ["plain", "", 'tab\tquote"\nline', "ünï", "\0"]


def write(folder: Path, **columns: object) -> Path:
    path = folder / "data.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "dictionary"])
def test_texts_of_every_string_type_come_back(tmp_path: Path, kind: str) -> None:
    types = {
        "string": pa.string(),
        "large_string": pa.large_string(),
        "binary": pa.binary(),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
    }
    path = write(tmp_path, text=pa.array(TEXTS, type=pa.string()).cast(types[kind]), label=["a", "b", "a", "b", "a"])

    read = read_rows(path, text="text", label="label")

    assert list(read.texts) == TEXTS
    assert read.labels == ("a", "b", "a", "b", "a")


def test_bytes_that_are_not_utf8_come_back_from_strings_and_binary(tmp_path: Path) -> None:
    binary = pa.array([b"caf\xe9", b"\xff\xfe"])
    for column in (binary, pa.Array.from_buffers(pa.string(), 2, binary.buffers())):
        read = read_rows(write(tmp_path, text=column), text="text", label=None)
        assert [text.encode("utf-8", "surrogateescape") for text in read.texts] == [b"caf\xe9", b"\xff\xfe"]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 2], ("1", "2")),
        ([1.5, 2.0], ("1.5", "2.0")),
        ([True, False], ("true", "false")),
        ([datetime.date(2020, 1, 2), datetime.date(2021, 1, 2)], ("2020-01-02", "2021-01-02")),
    ],
)
def test_other_values_become_strings(tmp_path: Path, values: list[object], labels: tuple[str, ...]) -> None:
    assert read_rows(write(tmp_path, text=["a", "b"], label=values), text="text", label="label").labels == labels


def test_a_dot_in_a_column_name_is_no_path(tmp_path: Path) -> None:
    path = write(tmp_path, **{"a": ["1", "2"], "a.b": ["3", "4"]})

    assert read_rows(path, text="a.b", label="a").texts == ("3", "4")
    assert read_rows(path, text="a", label="a.b").texts == ("1", "2")


def test_null_is_named_by_row(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"every row has a text.*received text=null at row=2 of file="):
        read_rows(write(tmp_path, text=["a", None], label=["x", "y"]), text="text", label="label")
    with pytest.raises(InputError, match=r"every row has a label: received label=null at row=1 of file="):
        read_rows(write(tmp_path, text=["a", "b"], label=[None, "y"]), text="text", label="label")


def test_nested_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds strings or numbers: received text='list<.*' in file=.*; flatten the column"):
        read_rows(write(tmp_path, text=[["a"], ["b"]]), text="text", label=None)


@pytest.mark.parametrize("content", [b"", b"text,label\na,b\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.parquet"
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"a \.parquet file is a whole Parquet file: received file=.*data\.parquet.*; write it again$"
    ):
        read_table(path)


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, text=[f"text {i}" for i in range(1000)])
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"a \.parquet file is a whole Parquet file"):
        read_rows(path, text="text", label=None)


def test_no_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at least one row beside its header: received rows=0"):
        read_table(write(tmp_path, text=pa.array([], type=pa.string())))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, text=["a"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        SetupError, match=r"reading Parquet files needs the 'parquet' extra.*pip install 'understudy\[parquet\]'"
    ):
        read_table(path)


def test_a_date_that_python_does_not_have_is_refused_in_one_line(tmp_path: Path) -> None:
    days = pa.array([2**31 - 1], pa.int32()).cast(pa.date32())
    parquet.write_table(pa.table({"text": days}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="received file="):
        read_table(tmp_path / "a.parquet").values("text")
