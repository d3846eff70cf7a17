from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from families import CLASSES, HOSTILE_LABELS, SECRET_TEXT, clinc_like_family
from understudy.errors import SetupError
from understudy.family import Confusion, Family, FileRecord, Member
from understudy.report.page import render_card, render_report, write_report
from understudy.report.wording import agreement, latency, percent, points

FAMILY = clinc_like_family()
PAGE = render_report(FAMILY)
VOID = {"meta", "br", "link", "img", "input", "hr", "col", "area", "base", "source", "wbr", "embed", "track"}


@dataclass
class Document(HTMLParser):
    """A strict reading of the page: what is opened must be closed, in order."""

    open_tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(set(names)) != len(names):
            self.errors.append(f"<{tag}> has an attribute twice: {names}")
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open_tags or self.open_tags.pop() != tag:
            self.errors.append(f"</{tag}> closes something else at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if not self.open_tags or self.open_tags[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def read(page: str) -> Document:
    document = Document()
    document.feed(page)
    document.close()
    return document


DOCUMENT = read(PAGE)


def with_member(**changes: object) -> Family:
    return FAMILY.model_copy(update={"members": (FAMILY.members[0].model_copy(update=changes), *FAMILY.members[1:])})


def test_the_page_is_well_formed() -> None:
    assert PAGE.startswith("<!doctype html>\n")
    assert DOCUMENT.errors == []
    assert DOCUMENT.open_tags == []
    assert len(set(DOCUMENT.ids)) == len(DOCUMENT.ids)


def test_every_reference_inside_the_page_has_a_target() -> None:
    wanted = {value.removeprefix("#") for _, name, value in DOCUMENT.attributes if name == "href"}
    wanted |= {word for _, name, value in DOCUMENT.attributes if name == "aria-labelledby" for word in value.split()}
    assert wanted <= set(DOCUMENT.ids)
    assert len(wanted) >= 11


def test_the_page_fetches_nothing() -> None:
    assert all(value.startswith("#") for _, name, value in DOCUMENT.attributes if name in ("href", "xlink:href"))
    assert not [
        name for _, name, _ in DOCUMENT.attributes if name in ("src", "srcset", "action", "data", "poster", "background")
    ]
    assert not [tag for tag, _, _ in DOCUMENT.attributes if tag in ("link", "img", "iframe", "object", "embed", "base", "form")]
    assert not re.search(r"url\(|@import|@font-face|fetch\(\"|XMLHttpRequest|WebSocket", PAGE)
    assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}/", PAGE)


def test_no_handler_runs_code_from_an_attribute() -> None:
    assert not [name for _, name, _ in DOCUMENT.attributes if name.startswith("on")]
    assert PAGE.count("<script") == 1


def test_hostile_labels_are_shown_and_not_obeyed() -> None:
    assert "<script>alert" not in PAGE
    assert HOSTILE_LABELS[0] in DOCUMENT.words
    assert HOSTILE_LABELS[1] in DOCUMENT.words
    assert r"tab\there" in DOCUMENT.words
    assert r"line\nbreak" in DOCUMENT.words
    assert "(empty)" in DOCUMENT.words
    assert "حجز_طاولة" in DOCUMENT.words
    assert r"not utf-8 \xff" in DOCUMENT.words


def test_hostile_names_and_reasons_are_shown_and_not_obeyed() -> None:
    evil = '"><script>evil()</script>'
    file = FAMILY.members[0].files[0].model_copy(update={"verified": False, "reason": evil, "runtime": evil})
    family = with_member(files=(file, *FAMILY.members[0].files[1:]), recipe={evil: evil}).model_copy(
        update={"name": evil, "command": (evil,)}
    )
    page = render_report(family)
    document = read(page)
    assert "<script>evil" not in page
    assert document.errors == []
    assert document.words.count("<script>evil()") >= 4


def test_every_number_of_every_file_is_shown() -> None:
    for member in FAMILY.members:
        for file in member.files:
            cells = (
                percent(file.accuracy),
                percent(file.macro_f1),
                agreement(file.agreement),
                "✓ yes",
                latency(file.latency_us),
            )
            assert " ".join(" ".join(cells).split()) in DOCUMENT.words
            assert file.runtime in DOCUMENT.words
    for baseline in FAMILY.baselines:
        assert f"{baseline.name}" in DOCUMENT.words


def test_all_classes_and_the_worst_first() -> None:
    for member in FAMILY.members:
        assert len(member.per_class) == len(CLASSES)
    sections = DOCUMENT.words.split("The 10 classes with the lowest F1 class test texts precision recall F1 ")[1:]
    for member, section in zip(FAMILY.members, sections, strict=True):
        worst = min(member.per_class, key=lambda result: result.f1)
        assert section.startswith(f"{worst.label} {worst.support} ")
    assert DOCUMENT.words.count("All 150 classes") == 3


def test_the_gain_is_shown_also_when_negative() -> None:
    assert f"16KB {points(FAMILY.members[0].distillation_gain)}".replace("\xa0", " ") in DOCUMENT.words
    assert "−0.4 points" in DOCUMENT.words
    assert "the teacher did not help; the twin without teacher is better by 0.4 points" in DOCUMENT.words


def test_users_texts_appear_only_where_the_record_has_them() -> None:
    assert "at the bank" not in PAGE
    pair = Confusion(actual="a", predicted="b", count=3, examples=(SECRET_TEXT,))
    page = render_report(with_member(confusions=(pair,)))
    assert "<b>balance</b>" not in page
    assert SECRET_TEXT in read(page).words


def test_an_unverified_file_is_marked_everywhere() -> None:
    doubtful = FileRecord(
        format="coreml", path="16KB/model.mlmodel", size_bytes=9000, verified=False, reason="Core ML needs macOS"
    )
    family = with_member(files=(*FAMILY.members[0].files, doubtful))
    words = read(render_report(family)).words
    assert "16KB/model.mlmodel is not verified: Core ML needs macOS" in words
    assert "Each file was run in its own runtime, or evaluated here where it says “no”, over the whole test split." in words
    assert "✗ no: Core ML needs macOS" in words
    assert "agree with the reference" not in words
    assert "no: Core ML needs macOS" in render_card(family, family.members[0])


def test_snippets_say_whether_they_were_executed() -> None:
    assert DOCUMENT.words.count("executed by understudy's tests") == 4
    assert DOCUMENT.words.count("not executed here") == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher": None, "baselines": ()},
        {"members": ()},
        {"members": (), "teacher": None, "baselines": (), "infeasible": (), "command": ()},
        {"finished": False},
    ],
    ids=["no teacher", "no member", "nothing", "stopped"],
)
def test_a_family_with_less_in_it_is_reported_too(changes: dict[str, object]) -> None:
    document = read(render_report(FAMILY.model_copy(update=changes)))
    assert document.errors == []
    if not changes.get("finished", True):
        assert "stopped early" in document.words


def test_a_bare_member_is_reported_too() -> None:
    optional = {"twin", "distillation_gain", "ram_bytes", "byte_table", "learning_curve", "trials", "per_class", "confusions"}
    bare = Member.model_validate(FAMILY.members[0].model_dump(exclude=optional | {"out_of_scope"}))
    family = FAMILY.model_copy(update={"members": (bare,)})
    document = read(render_report(family))
    assert document.errors == []
    assert "no byte table was recorded" in document.words
    assert "no threshold was calibrated" in render_card(family, bare)


def test_the_report_and_the_cards_come_from_the_record_alone(tmp_path: Path) -> None:
    for member in FAMILY.members:
        (tmp_path / member.path).mkdir()
    FAMILY.save(tmp_path)
    assert write_report(Family.load(tmp_path), tmp_path) == tmp_path / "report.html"
    written = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert set(written) == {"family.json", "report.html", "16KB/card.md", "32KB/card.md", "128KB/card.md"}
    write_report(Family.load(tmp_path), tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in written} == written


def test_a_missing_bundle_folder_is_named_and_no_report_is_written(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="16KB"):
        write_report(FAMILY, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_card_is_honest_about_the_baseline() -> None:
    small, _, large = (render_card(FAMILY, member) for member in FAMILY.members)
    assert "TF-IDF + logistic regression reaches 89.9\xa0%: **this student is below it**" in small
    assert "below it" not in large
    assert "The licence of your data applies." in small
    assert FAMILY.data.digest in small
    assert FAMILY.members[0].files[0].sha256 in small
    assert "first 128 bytes" in small


def test_the_report_and_the_card_say_what_trained() -> None:
    older = FAMILY.members[0]
    assert "Trained on" not in render_card(FAMILY, older)
    member = older.model_copy(update={"trained_on": ("Some GPU <9>, bfloat16", "processor, float32")})
    family = FAMILY.model_copy(update={"members": (member, *FAMILY.members[1:])})
    assert "Trained on: Some GPU &lt;9\\>, bfloat16; processor, float32.\n" in render_card(family, member)
    page = render_report(family)
    assert page.count("<dt>trained on</dt><dd>Some GPU &lt;9&gt;, bfloat16; processor, float32</dd>") == 1


def float_card(*formats: str) -> str:
    """Return the card of a member whose files have these formats."""
    small = FAMILY.members[0]
    files = tuple(small.files[0].model_copy(update={"format": name}) for name in formats)
    return render_card(FAMILY, small.model_copy(update={"files": files, "byte_table": {}, "float_ram_bytes": 23_456}))


def test_the_card_says_what_counts_in_float() -> None:
    card = float_card("c_float", "wasm_float")
    said = "For C in float, the constants and the code of the operators used count; it needs 23,456 bytes of static RAM"
    assert said in card
    assert "For WebAssembly in float, the module and its loader `model_float.mjs` count." in card
    assert "The C runtimes `understudy.h` and `understudy_float.h` are under Apache-2.0." in card
    assert "For C, " not in card
    assert "`model.mjs`" not in card
    assert "For C in float, the constants" in float_card("arduino_float")
    family = with_member(float_ram_bytes=23_456)
    assert "C in float on a microcontroller needs 22.9 KB RAM" in render_report(family)


def test_a_card_keeps_a_hostile_name_on_one_line() -> None:
    family = FAMILY.model_copy(update={"name": "a\n# <b>b</b> | c"})
    assert render_card(family, FAMILY.members[0]).startswith("# a\\\\n\\# &lt;b\\>b&lt;/b\\> \\| c, 16KB\n")
