from __future__ import annotations

import contextlib
import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.data.read import read_rows, read_table
from understudy.errors import InputError, SetupError

WRITTEN = {
    ".csv": b'text,label\n"a\nb",x\nc,y\n',
    ".tsv": b"text\tlabel\na b\tx\nc\ty\n",
    ".jsonl": b'{"text": "a b", "label": "x"}\n{"text": "c", "label": "y"}\n',
}


@pytest.mark.parametrize("ending", WRITTEN)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("upper", [False, True])
def test_every_ending_packed_or_not_with_or_without_mark(
    tmp_path: Path, ending: str, packed: bool, mark: bytes, upper: bool
) -> None:
    name = f"data{ending}{'.gz' * packed}"
    path = tmp_path / (name.upper() if upper else name)
    content = mark + WRITTEN[ending]
    path.write_bytes(gzip.compress(content) if packed else content)

    table = read_table(path)

    assert table.columns == ("text", "label")
    assert read_rows(path, text="text", label="label").labels == ("x", "y")


def test_any_bytes_are_text_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"text,label\ncaf\xe9,a\n\xff\xfe\x80,b\n\xc3\xa9,a\n ,b\n,c\n")

    rows = read_rows(path, text="text", label="label")

    assert [text.encode("utf-8", "surrogateescape") for text in rows.texts] == [
        b"caf\xe9",
        b"\xff\xfe\x80",
        b"\xc3\xa9",
        b" ",
        b"",
    ]


def test_labels_are_strings_exactly_as_written(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('text,label\na,01\nb," 1 "\nc,"tab\there"\nd,"line\nbreak"\ne,"say ""hi"""\n', encoding="utf-8", newline="")

    assert read_rows(path, text="text", label="label").labels == ("01", " 1 ", "tab\there", "line\nbreak", 'say "hi"')


def test_without_a_label_column_none_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"text,label\na,\n")
    assert read_rows(path, text="text", label=None).labels is None


@dataclass(frozen=True)
class Bad:
    name: str
    content: bytes
    message: str


BAD = [
    Bad("data.txt", b"a", r"a data file ends in \.csv, \.tsv, \.jsonl \(each also \.gz\) or \.parquet: received file="),
    Bad("data.csv.zip", b"a", r"a data file ends in"),
    Bad("data.parquet.gz", b"a", r"a data file ends in"),
    Bad("data.csv", b"", r"at least one row beside its header: received rows=0 in file="),
    Bad("data.csv", b"\xef\xbb\xbf", r"received rows=0"),
    Bad("data.csv", b"text,label\n", r"received rows=0"),
    Bad("data.tsv", b"text\tlabel", r"received rows=0"),
    Bad("data.jsonl", b"\n\n", r"received rows=0"),
    Bad(
        "data.csv",
        "text,label\na,b\n".encode("utf-16"),
        r"is UTF-8: received file=.* with a UTF-16 byte order mark; save it as UTF-8",
    ),
    Bad("data.csv.gz", b"text,label\na,b\n", r"a \.gz file is a whole gzip file: received file=.*; write it again"),
    Bad("data.csv.gz", gzip.compress(b"text,label\na,b\n")[:-9], r"a \.gz file is a whole gzip file"),
    Bad(
        "data.csv",
        b"text;label\na;b\n",
        r"the fields of a .csv file are separated by commas: received semicolons in the header 'text;label' of file=",
    ),
    Bad(
        "data.csv", b"txt,label\na,b\n", r"received text='text' and columns=\['txt', 'label'\] in file=.*; did you mean 'txt'\?"
    ),
    Bad(
        "data.csv",
        b"text,intent\na,b\n",
        r"the label column is a column of the file: received label='label' and columns=\['text', 'intent'\]",
    ),
    Bad(
        "data.csv",
        b"text,label,text\na,b,c\n",
        r"a column name occurs once: received text='text' .*; rename one of the columns",
    ),
    Bad(
        "data.csv",
        b'text,label\na,b\n"c\n\nd",\n',
        r"every row has a label: received label='' at line=3 of file=.*; fill it in, move such rows",
    ),
    Bad(
        "data.csv",
        b"text,label\na,b\nc,\n,\n,\n",
        r"every row has a label: received label='' at line=3 of file=.* and in 2 more rows; fill it in, move such rows",
    ),
    Bad(
        "data.csv",
        b"text,label\na,caf\xe9\n",
        r"a label is valid UTF-8: received label='caf\\udce9' at line=2 of file=.*; save the file as UTF-8",
    ),
    Bad("data.jsonl", b'{"text": "a", "label": null}\n', r"every row has a label: received label=null at line=1 of file="),
    Bad(
        "data.jsonl",
        b'{"text": "a", "label": "b"}\n\n{"text": null, "label": "b"}\n',
        r"every row has a text, .*received text=null at line=3 of file=",
    ),
    Bad(
        "data.jsonl", b'{"text": "a", "label": "b"}\n{"text": "c"}\n', r"under 'label': received no such key at line=2 of file="
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.name} {bad.message[:30]}")
def test_bad_files_are_one_line_of_input_error(tmp_path: Path, bad: Bad) -> None:
    path = tmp_path / bad.name
    path.write_bytes(bad.content)
    with pytest.raises(InputError, match=bad.message) as caught:
        read_rows(path, text="text", label="label")
    assert "\n" not in str(caught.value)
    assert bad.name in str(caught.value)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "folder.csv", "", "absent"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(
        InputError, match=r"data file (exists and is a file|ends in)|folder that exists: received path=.*absent"
    ):
        read_table(tmp_path / name)


def test_a_file_that_may_not_be_read_is_a_fault_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"text,label\na,b\n")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SetupError, match=re.escape("(Permission denied); check its permissions")):
        read_table(path)


def test_many_columns_are_listed_in_part(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(",".join(f"c{i}" for i in range(25)) + "\n" + ",".join("x" * 25) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"'c19', and 5 more\]"):
        read_rows(path, text="text", label=None)


@given(
    content=st.binary(max_size=60) | st.text('text,label\t"{}[]:\\\r\n1é', max_size=60).map(str.encode),
    ending=st.sampled_from([".csv", ".tsv", ".jsonl", ".csv.gz", ".parquet"]),
)
def test_whatever_a_file_holds_the_answer_is_rows_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, ending: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"data{ending}"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        table = read_table(path)
        rows = read_rows(path, text=table.columns[0] if table.columns else "text", label=None)
        assert len(rows.texts) == len(table) > 0


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.jsonl", "data.csv.gz"])
def test_a_file_that_becomes_shorter_while_it_is_read_is_named(tmp_path: Path, name: str) -> None:
    rows = ['{"text": "a", "label": "x"}'] * 3 if "jsonl" in name else ["text\tlabel" if "tsv" in name else "text,label"]
    rows += [] if "jsonl" in name else ["a\tx" if "tsv" in name else "a,x"] * 3
    pack = gzip.compress if name.endswith(".gz") else bytes
    path = tmp_path / name
    path.write_bytes(pack("\n".join(rows).encode()))
    table = read_table(path)
    path.write_bytes(pack("\n".join(rows[:-1]).encode()))
    with pytest.raises(InputError, match=r"stays as it is while it is read: received rows=2 of 3 in file='.*'; run this again"):
        table.values("label")


def test_a_file_that_becomes_longer_is_read_as_far_as_it_was_checked(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,label\na,x\nb,y\n")
    table = read_table(path)
    path.write_text("text,label\na,x\nb,y\nc,z,more\n")
    assert table.values("label") == ["x", "y"]


def test_columns_come_together_in_the_order_in_which_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b,c\n1,2,3\n4,5,6\n")
    assert [list(row) for row in read_table(path).rows(["c", "a"])] == [["3", "1"], ["6", "4"]]
