from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from opened_texts import text_of
from understudy.data.delimited import parse_csv, parse_tsv
from understudy.data.jsonl import parse_jsonl
from understudy.data.table import (
    LABEL_NAMES,
    TEXT_NAMES,
    Table,
    find_label_column,
    find_text_and_label,
    find_text_column,
    is_unicode,
)
from understudy.errors import InputError


def table(*columns: str) -> object:
    return parse_tsv(text_of("\t".join(columns) + "\n" + "\t".join(columns) + "\n"), path=Path("data.tsv"))


@pytest.mark.parametrize("text", [*TEXT_NAMES, "Text", " UTTERANCE "])
@pytest.mark.parametrize("label", [*LABEL_NAMES, "Intent"])
def test_usual_names_are_found(text: str, label: str) -> None:
    found = table("id", text, "speaker", label)
    assert find_text_column(found, None) == text
    assert find_label_column(found, None) == label


def test_a_name_that_is_given_wins() -> None:
    assert find_text_column(table("text", "sentence"), "sentence") == "sentence"


@pytest.mark.parametrize("columns", [("text", "sentence", "label"), ("body", "label")])
def test_the_text_column_is_not_guessed_when_unclear(columns: tuple[str, ...]) -> None:
    with pytest.raises(
        InputError,
        match=r"the text column is guessed only when exactly one .*received text=None and columns=\[.*; name it with --text or "
        r"data\.text, or columns of numbers with --columns and their label with --label$",
    ):
        find_text_and_label(table(*columns), None, "label", in_job=True)
    with pytest.raises(InputError, match="; name it with --text$"):  # commands on a bundle have no job and read no numbers then
        find_text_column(table(*columns), None)


@pytest.mark.parametrize("columns", [("coarse", "fine", "text"), ("label", "intent", "text")])
def test_the_label_column_is_not_guessed_when_unclear(columns: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"the label column is guessed only .*; name it with --label or data\.label$"):
        find_text_and_label(table(*columns), None, None, in_job=True)
    with pytest.raises(InputError, match="; name it with --label$"):
        find_label_column(table(*columns), None)


def test_names_are_matched_exactly_when_given() -> None:
    with pytest.raises(InputError, match=r"received label='Label' and columns=\['text', 'label'\] .*; did you mean 'label'\?"):
        find_label_column(table("text", "label"), "Label")


@pytest.mark.parametrize(("text", "label"), [("text", "text"), (None, "text"), ("label", None)])
def test_text_and_label_are_two_columns(text: str | None, label: str | None) -> None:
    with pytest.raises(InputError, match=r"text and label are two columns: received text='(.*)' and label='\1' in file"):
        find_text_and_label(table("text", "label"), text, label)
    assert find_text_and_label(table("text", "label"), None, "label") == ("text", "label")


@pytest.mark.parametrize(
    ("parse", "content", "message"),
    [
        (
            parse_csv,
            "text;label\nhi;a\n",
            "a .csv file are separated by commas: received semicolons in the header 'text;label' of",
        ),
        (parse_csv, "text\tlabel\nhi\ta\n", "save it with commas, or rename it to .tsv"),
        (parse_tsv, "text,label\nhi,a\n", "a .tsv file are separated by tabs: received commas in the header 'text,label' of"),
        (parse_tsv, "text,label\nhi,a\n", "save it with tabs, or rename it to .csv"),
    ],
)
def test_another_separator_is_named(parse: Callable[..., Table], content: str, message: str) -> None:
    found = parse(text_of(content), path=Path("data"))
    for find, name in ((find_text_column, None), (find_text_column, "text"), (find_label_column, "label")):
        with pytest.raises(InputError, match=re.escape(message)):
            find(found, name)
    assert find_text_column(found, content.partition("\n")[0]) == content.partition("\n")[0]  # a column may be called so


def test_a_record_without_the_column_that_others_have_is_named() -> None:
    found = parse_jsonl(text_of('{"text": "a"}\n\n{"text": "b", "label": "x"}\n'), path=Path("data.jsonl"))
    for name in (None, "label"):
        with pytest.raises(InputError) as caught:
            find_label_column(found, name)
        assert str(caught.value) == (
            "every record has the label: received no 'label' at line=1 of file='data.jsonl', which line=3 has; "
            "add it or remove the line"
        )
    with pytest.raises(InputError, match=r"received label='class' and columns=\['text'\]"):
        find_label_column(found, "class")


@pytest.mark.parametrize(("text", "valid"), [("", True), ("a", True), ("é", True), ("\udc80", False)])
def test_is_unicode(text: str, valid: bool) -> None:
    assert is_unicode(text) is valid
