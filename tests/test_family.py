from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from families import HOSTILE_LABELS, clinc_like_family
from understudy.errors import BudgetError, BundleError, InputError, SetupError
from understudy.family import Family, FileRecord, Member

FAMILY = clinc_like_family()


def _saved(folder: Path) -> dict[str, Any]:
    FAMILY.save(folder)
    record: dict[str, Any] = json.loads((folder / "family.json").read_bytes())
    return record


def test_the_names_of_the_format_are_in_the_file(tmp_path: Path) -> None:
    record = _saved(tmp_path)
    assert {"format_version", "job", "teacher", "members", "infeasible"} <= set(record)
    assert record["format_version"] == 1
    assert record["teacher"]["accuracy"] == FAMILY.teacher.accuracy  # type: ignore[union-attr]
    member = record["members"][0]
    assert {"budget_bytes", "path", "student", "files", "twin", "ram_bytes"} <= set(member)
    assert member["twin"]["accuracy"] == FAMILY.members[0].twin.accuracy  # type: ignore[union-attr]
    for file in member["files"]:
        assert {
            "format",
            "path",
            "size_bytes",
            "accuracy",
            "macro_f1",
            "agreement",
            "verified",
            "latency_us",
            "runtime",
        } <= set(file)
        assert {"median", "p10", "p90"} == set(file["latency_us"])
    assert {"budget_bytes", "smallest_bytes", "format"} <= set(record["infeasible"][0])


def test_what_is_saved_loads_again_and_saves_to_the_same_bytes(tmp_path: Path) -> None:
    first = FAMILY.save(tmp_path)
    content = (tmp_path / "family.json").read_bytes()
    loaded = Family.load(tmp_path)
    assert loaded == first == Family.load(tmp_path / "family.json")
    loaded.save(tmp_path)
    assert (tmp_path / "family.json").read_bytes() == content
    assert content.isascii()
    assert content.endswith(b"}\n")


def test_labels_survive_except_for_bytes_that_json_cannot_hold(tmp_path: Path) -> None:
    names = _saved(tmp_path)["data"]["class_names"]
    assert tuple(names[: len(HOSTILE_LABELS) - 1]) == HOSTILE_LABELS[:-1]
    assert names[len(HOSTILE_LABELS) - 1] == r"not utf-8 \xff"


def test_saving_into_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="received path="):
        FAMILY.save(tmp_path / "absent")


def test_loading_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a family is a folder with family.json: received path=.*; give the folder"):
        Family.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format_version": 2}', b"\xff\xfe", b"[]"], ids=repr)
def test_loading_anything_else_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "family.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"^family.json follows its schema, version 1: received path=.*; restore the file"):
        Family.load(tmp_path)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    FAMILY.save(tmp_path)
    file = tmp_path / "family.json"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(BundleError, match="where the file: Invalid JSON"):
        Family.load(tmp_path)


def test_an_unknown_key_is_an_error(tmp_path: Path) -> None:
    record = _saved(tmp_path)
    record["members"][1]["files"][0]["colour"] = "red"
    (tmp_path / "family.json").write_text(json.dumps(record))
    with pytest.raises(BundleError, match=r"where members\.1\.files\.0\.colour: Extra inputs are not permitted"):
        Family.load(tmp_path)


@pytest.mark.parametrize("path", ["/etc", "../elsewhere", "a\\b", "", "16KB/../../x"])
def test_a_path_stays_inside_the_folder(path: str) -> None:
    with pytest.raises(ValidationError, match="a path is relative to the folder of family.json"):
        Member.model_validate(FAMILY.members[0].model_dump() | {"path": path})


def test_a_file_lies_in_its_members_folder() -> None:
    with pytest.raises(ValidationError, match="a file lies in its member's folder '64KB': received '16KB/model.onnx'"):
        Member.model_validate(FAMILY.members[0].model_dump() | {"path": "64KB"})


def test_the_gain_is_what_the_accuracies_say() -> None:
    with pytest.raises(ValidationError, match="distillation_gain is taught accuracy minus the twin's"):
        Member.model_validate(FAMILY.members[0].model_dump() | {"distillation_gain": 0.5})
    with pytest.raises(ValidationError, match="distillation_gain is taught accuracy minus the twin's"):
        Member.model_validate(FAMILY.members[0].model_dump() | {"twin": None})


def test_a_byte_table_adds_up() -> None:
    table = {"onnx": [{"where": "everything", "bytes": 1}]}
    with pytest.raises(ValidationError, match="the byte table of 'onnx' adds up to size_bytes="):
        Member.model_validate(FAMILY.members[0].model_dump() | {"byte_table": table})


def test_verified_means_measured_and_unverified_means_explained() -> None:
    file = FAMILY.members[0].files[0].model_dump()
    with pytest.raises(ValidationError, match="a verified file needs accuracy"):
        FileRecord.model_validate(file | {"accuracy": None})
    with pytest.raises(ValidationError, match="a file that is not verified needs a reason"):
        FileRecord.model_validate(file | {"verified": False})
    assert not FileRecord.model_validate(file | {"verified": False, "accuracy": None, "reason": "no runtime here"}).verified


def test_numbers_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        FileRecord.model_validate(FAMILY.members[0].files[0].model_dump() | {"accuracy": float("nan")})


def test_a_teacher_that_was_not_used_says_why() -> None:
    with pytest.raises(ValidationError, match="a teacher that was not used needs a note"):
        FAMILY.teacher.model_validate({"name": "default", "accuracy": 0.9, "used": False})  # type: ignore[union-attr]


def test_records_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        FAMILY.members[0].accuracy = 1.0


def test_best_is_the_most_accurate_on_validation_among_those_that_fit() -> None:
    assert FAMILY.best(max_bytes=20_000).budget == "16KB"
    assert FAMILY.best(max_bytes="1MB").budget == "128KB"
    largest = FAMILY.members[1].largest_bytes()
    assert largest == max(file.size_bytes for file in FAMILY.members[1].files)
    assert FAMILY.best(max_bytes=largest).budget == "32KB"
    assert FAMILY.best(max_bytes=largest - 1).budget == "16KB"
    assert FAMILY.best(max_bytes=largest - 1, formats=["c"]).budget == "32KB"


def test_best_prefers_the_smaller_of_two_equals() -> None:
    twins = tuple(member.model_copy(update={"validation_accuracy": 0.9}) for member in FAMILY.members)
    assert FAMILY.model_copy(update={"members": twins}).best(max_bytes="1MB").budget == "16KB"


def test_best_names_the_size_to_ask_for() -> None:
    smallest = FAMILY.members[0].largest_bytes()
    with pytest.raises(BudgetError, match=rf"received max_bytes=1000, formats=None; ask for at least {smallest} \(15\.6 KB\)$"):
        FAMILY.best(max_bytes=1000)
    with pytest.raises(BudgetError, match=r"received max_bytes=20480, formats=\['coreml'\]; no member has these formats$"):
        FAMILY.best(max_bytes="20KB", formats=["coreml"])


def test_an_unsaved_member_says_how_to_predict() -> None:
    with pytest.raises(InputError, match=r"received member='16KB' of an unsaved family; call family.save\(folder\)"):
        FAMILY.members[0].predict(["hello"])


def test_a_saved_member_predicts_from_its_bundle(tmp_path: Path) -> None:
    from bundles import make_bundle

    bundle = make_bundle(tmp_path / "16KB", formats=["c"])
    texts = ["play some music", "say hi"]
    expected = bundle.predict(texts)
    moved = tmp_path / "elsewhere"
    FAMILY.save(tmp_path)
    shutil.copytree(tmp_path / "16KB", moved / "16KB")
    shutil.copy(tmp_path / "family.json", moved)
    shutil.rmtree(tmp_path / "16KB")
    answers = Family.load(moved).best(max_bytes=20_000).predict(texts)
    assert [answer.label for answer in answers] == [answer.label for answer in expected]
    np.testing.assert_array_equal([a.scores for a in answers], [e.scores for e in expected])
    for text in ("say hi", b"say hi"):
        with pytest.raises(InputError, match="texts come as a list, also a single one: received texts=.*say hi.*; put it into"):
            Family.load(moved).best(max_bytes=20_000).predict(text)
