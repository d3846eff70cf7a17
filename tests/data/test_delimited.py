from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opened_texts import text_of
from understudy.data.delimited import parse_csv, parse_tsv
from understudy.data.read import read_rows
from understudy.errors import InputError

ANY_BYTES = st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape"))
ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40), ANY_BYTES, st.text('",\n\r\t \0ab', max_size=12)
)
LABEL = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.text(
    '",\n\r\t \0a', min_size=1, max_size=6
)


@given(
    rows=st.lists(st.tuples(ANY_TEXT, LABEL), min_size=1, max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_gives_back_any_text_and_label(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], quoting: int
) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=quoting)
    writer.writerow(["text", "label"])
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    path.write_bytes(written.getvalue().encode("utf-8", "surrogateescape"))

    read = read_rows(path, text="text", label="label")

    assert list(zip(read.texts, read.labels or (), strict=True)) == rows


@given(
    rows=st.lists(
        st.tuples(ANY_TEXT, LABEL).filter(lambda row: not set("\t\n") & set(row[0] + row[1]) and not row[1].endswith("\r")),
        min_size=1,
        max_size=8,
    ),
    end=st.sampled_from(["\n", "\r\n"]),
    closed=st.booleans(),
)
def test_tsv_gives_back_any_text_and_label_without_tab_and_line_feed(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str, closed: bool
) -> None:
    content = end.join(["text\tlabel", *("\t".join(row) for row in rows)]) + end * closed
    path = tmp_path_factory.mktemp("tsv") / "data.tsv"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))

    read = read_rows(path, text="text", label="label")

    assert list(zip(read.texts, read.labels or (), strict=True)) == rows


def test_csv_fields_hold_commas_quotes_line_breaks_and_nul() -> None:
    table = parse_csv(text_of('text,label\r\n"a, ""b""\r\nc\0",x\r\nplain "quote" inside,y\r\n'), path=Path("data.csv"))

    assert table.values("text") == ['a, "b"\r\nc\0', 'plain "quote" inside']
    assert list(table.positions) == [2, 4]


def test_csv_has_no_limit_on_fields_and_leaves_the_limit_of_others_alone() -> None:
    before = csv.field_size_limit()
    long = "x" * 200_000

    assert parse_csv(text_of(f"text,label\n{long},a\n"), path=Path("data.csv")).values("text") == [long]
    assert csv.field_size_limit() == before


def test_tsv_quotes_are_characters() -> None:
    table = parse_tsv(text_of('text\tlabel\n"\tfo_o_fw_"_by_bc\n"a\tb\n'), path=Path("data.tsv"))

    assert table.values("text") == ['"', '"a']
    assert table.values("label") == ['fo_o_fw_"_by_bc', "b"]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
def test_tsv_splits_lines_at_line_feed_only(separator: str) -> None:
    assert parse_tsv(text_of(f"text\tlabel\na{separator}b\tx\n"), path=Path("data.tsv")).values("text") == [f"a{separator}b"]


@pytest.mark.parametrize("parse", [parse_csv, parse_tsv])
def test_empty_lines_are_no_records_in_several_columns_but_empty_texts_in_one(parse: object) -> None:
    assert callable(parse)
    comma = "," if parse is parse_csv else "\t"
    several = parse(text_of(f"text{comma}label\n\na{comma}x\n\n"), path=Path("data"))
    one = parse(text_of("text\na\n\nb\n"), path=Path("data"))

    assert several.values("text") == ["a"]
    assert list(several.positions) == [3]
    assert one.values("text") == ["a", "", "b"]


@pytest.mark.parametrize(
    ("content", "fields", "line"),
    [("text,label\na,b\na,b,c\n", 3, 3), ('text,label\n"a\nb",x\nc\n', 1, 4), ("text,label\na\n", 1, 2)],
)
def test_a_ragged_csv_row_is_named_by_line(content: str, fields: int, line: int) -> None:
    with pytest.raises(
        InputError, match=rf"as many fields as the header: received fields={fields} and columns=2 at line={line} of"
    ):
        parse_csv(text_of(content), path=Path("data.csv"))


def test_a_ragged_row_behind_another_separator_is_told_so() -> None:
    with pytest.raises(InputError, match="separated by commas: received semicolons in the header 'text;label' of file="):
        parse_csv(text_of("text;label\nwell, hello;a\n"), path=Path("data.csv"))


def test_quotes_behind_another_separator_are_not_blamed() -> None:
    with pytest.raises(InputError, match="separated by commas: received semicolons in the header 'text;label' of file="):
        parse_csv(text_of('text;label\n"well,\nhello";a\n'), path=Path("data.csv"))


def test_a_ragged_tsv_row_is_named_by_line() -> None:
    with pytest.raises(
        InputError, match=r"received fields=3 and columns=2 at line=2 of file='data.tsv'; a field in a TSV file holds no tab"
    ):
        parse_tsv(text_of("text\tlabel\na\tb\tc\n"), path=Path("data.tsv"))


@pytest.mark.parametrize("content", ['text,label\na,b\n"a,b\nc,d\n', 'text,label\na,b\n"a"b,c\n'])
def test_a_broken_csv_quote_is_an_error_and_not_a_lost_row(content: str) -> None:
    with pytest.raises(
        InputError, match=r"follows RFC 4180: received the row that begins at line=3 of file='data.csv'.*; close every quote"
    ):
        parse_csv(text_of(content), path=Path("data.csv"))


@pytest.mark.parametrize(("name", "rows"), [("clinc150", 15_000), ("swda", 192_390)])
def test_rows_read_equal_the_records_of_public_files(shared_data: Path, name: str, rows: int) -> None:
    path = shared_data / name / "train.tsv.gz"
    read = read_rows(path, text="text", label={"clinc150": "intent", "swda": "act"}[name])

    # counted by other means: lines of the file without its header
    assert gzip.decompress(path.read_bytes()).count(b"\n") - 1 == rows
    assert len(read.texts) == rows
    assert read.labels is not None
    assert len(read.labels) == rows
