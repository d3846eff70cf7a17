from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opened_texts import text_of
from understudy.data.jsonl import parse_jsonl
from understudy.data.read import read_rows
from understudy.errors import InputError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PATH = Path("data.jsonl")


@given(rows=st.lists(st.tuples(TEXT, TEXT.filter(bool)), min_size=1, max_size=8), ascii_only=st.booleans())
def test_any_text_and_label_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "data.jsonl"
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) for text, label in rows]
    path.write_bytes("\n".join(lines).encode())

    read = read_rows(path, text="text", label="label")

    assert list(zip(read.texts, read.labels or (), strict=True)) == rows


@given(text=st.binary(max_size=30).filter(lambda data: not set(b'"\\\n') & set(data)))
def test_any_bytes_inside_a_string_come_back(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "data.jsonl"
    path.write_bytes(b'{"text": "' + text + b'"}\n')

    assert read_rows(path, text="text", label=None).texts[0].encode("utf-8", "surrogateescape") == text


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("1", "1"),
        ("1.0", "1.0"),
        ("1e3", "1e3"),
        ("-0", "-0"),
        ("true", "true"),
        ("false", "false"),
        ("NaN", "NaN"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_numbers_and_truth_values_become_the_string_in_the_file(written: str, label: str) -> None:
    assert parse_jsonl(text_of(f'{{"label": {written}}}'), path=PATH).values("label") == [label]


def test_lone_surrogates_become_bytes_that_can_be_encoded() -> None:
    text = parse_jsonl(text_of('{"text": "a\\ud800b\\udc80"}'), path=PATH).values("text")[0]

    assert text is not None
    assert text.encode("utf-8", "surrogateescape") == b"a\xed\xa0\x80b\x80"


def test_lines_end_at_line_feed_only_and_blank_lines_are_no_records() -> None:
    table = parse_jsonl(text_of('{"text": "a\u2028b"}\r\n\n  \n{"text": "c"}\n'), path=PATH)

    assert table.values("text") == ["a\u2028b", "c"]
    assert list(table.positions) == [1, 4]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a"', r"Expecting ',' delimiter"),
        ("[1]", "another kind of value"),
        ('"a"', "another kind of value"),
        ('{"text": "a"} {"text": "b"}', "Extra data"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_is_no_object_is_named(line: str, reason: str) -> None:
    with pytest.raises(InputError, match=rf"one JSON object: received line=2 of file='data.jsonl' \({reason}.*\); write it as"):
        parse_jsonl(text_of('{"text": "a"}\n' + line + "\n"), path=PATH)


@pytest.mark.parametrize(
    ("record", "received"),
    [('{"other": "b"}', "no such key"), ('{"text": ["b"]}', "an array or object"), ('{"text": {}}', "an array or object")],
)
def test_a_record_without_a_usable_value_is_named(record: str, received: str) -> None:
    table = parse_jsonl(text_of('{"text": "a"}\n' + record), path=PATH)
    with pytest.raises(InputError, match=rf"string or number under 'text': received {received} at line=2 of file='data.jsonl'"):
        table.values("text")


def test_null_is_a_missing_value() -> None:
    assert parse_jsonl(text_of('{"text": null}'), path=PATH).values("text") == [None]
