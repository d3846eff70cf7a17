from __future__ import annotations

from pathlib import Path

import pytest

from understudy.data.delimited import parse_tsv
from understudy.data.table import LABEL_NAMES, TEXT_NAMES, escape_surrogates, find_label_column, find_text_column, is_unicode
from understudy.errors import InputError


def table(*columns: str) -> object:
    return parse_tsv("\t".join(columns) + "\n" + "\t".join(columns) + "\n", path=Path("data.tsv"))


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
        match=r"the text column is guessed only when exactly one .*received text=None and columns=\[.*; name it with --text",
    ):
        find_text_column(table(*columns), None)


@pytest.mark.parametrize("columns", [("coarse", "fine", "text"), ("label", "intent", "text")])
def test_the_label_column_is_not_guessed_when_unclear(columns: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"the label column is guessed only .*; name it with --label or data\.label"):
        find_label_column(table(*columns), None)


def test_names_are_matched_exactly_when_given() -> None:
    with pytest.raises(InputError, match=r"received label='Label' and columns=\['text', 'label'\] .*; did you mean 'label'\?"):
        find_label_column(table("text", "label"), "Label")


def test_surrogates_that_bytes_cannot_hold_become_three_bytes() -> None:
    assert escape_surrogates("a\udcffé") == "a\udcffé"
    assert escape_surrogates("\ud800\udfff").encode("utf-8", "surrogateescape") == b"\xed\xa0\x80\xed\xbf\xbf"


@pytest.mark.parametrize(("text", "valid"), [("", True), ("a", True), ("é", True), ("\udc80", False)])
def test_is_unicode(text: str, valid: bool) -> None:
    assert is_unicode(text) is valid
