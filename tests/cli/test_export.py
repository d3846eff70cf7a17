"""``understudy export`` adds files to a finished bundle: run and compared first, the manifest last, the family told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bundles import LABELS, NAME, make_bundle
from command import contents, understudy
from families import clinc_like_family
from programs import TEXTS, sequence_program
from understudy import additions
from understudy.additions import add_formats
from understudy.bundle import Bundle, write
from understudy.errors import SetupError, VerificationError
from understudy.export.c_float import CFloatExporter
from understudy.export.parity import Verification
from understudy.export.registry import exporter
from understudy.family import Family
from understudy.program.interpreter import run
from understudy.progress import SilentProgress
from understudy.projections.text import encode
from understudy.protection.keys import signing_key


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    make_bundle(tmp_path / "runs" / "16KB", formats=("c",))
    return tmp_path / "runs" / "16KB"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Texts of which the reference answers all but one as labelled."""
    texts = [text for text in TEXTS if isinstance(text, str)]
    answers = [LABELS[i] for i in run(sequence_program(), encode(texts, max_bytes=64)).probabilities.argmax(axis=1)]
    answers[0] = "unheard of"
    path = tmp_path / "test.jsonl"
    rows = [json.dumps({"text": text, "intent": answer}) for text, answer in zip(texts, answers, strict=True)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_the_file_is_what_compress_would_have_written(bundle: Path, tmp_path: Path) -> None:
    outcome = understudy("export", bundle, "--to", "python", "--to", "c")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.err.splitlines()[0] == "exporting and verifying python"
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["format", "file", "size", "accuracy", "agree", "latency", "runtime"]
    assert lines[1].split()[:2] == ["python", "model.py"]
    assert "100.0 %" in lines[1]
    assert lines[2] == "held already: c"
    make_bundle(tmp_path / "at once", formats=("c", "python"))
    assert contents(bundle) == contents(tmp_path / "at once")
    assert understudy("predict", bundle, "hello", "--format", "python").exit_code == 0


def test_a_test_of_other_labels_is_warned_of(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,label\nhello,nothing known\nbye,nothing known\n")
    outcome = understudy("export", bundle, "--to", "onnx", "--test", tmp_path / "other.csv")
    assert outcome.exit_code == 0
    assert "warning: a test has labels of the bundle: received known_labels=0 in texts=2 of file=" in outcome.err


def test_json_has_the_bytes_and_the_new_digest(bundle: Path, table: Path) -> None:
    before = Bundle.open(bundle).manifest
    document = json.loads(understudy("export", bundle, "--to", "onnx", "--test", table, "--json").out)
    after = Bundle.open(bundle).manifest
    assert document["digest"] == after.digest != before.digest
    [file] = document["files"]
    assert file["format"] == "onnx"
    assert file["accuracy"] == pytest.approx(11 / 12)
    assert file["agreement"] == 1
    assert sum(file["byte_table"].values()) == file["size_bytes"] == after.files["model.onnx"].budget_bytes
    assert file["sha256"] == after.files["model.onnx"].sha256
    assert document["family"] is None
    assert document["budget_bytes"] is None


def test_the_same_command_again_changes_nothing(bundle: Path) -> None:
    understudy("export", bundle, "--to", "python")
    before = contents(bundle)
    outcome = understudy("export", bundle, "--to", "python")
    assert outcome.exit_code == 0
    assert outcome.out.splitlines()[0] == "held already: python"
    assert contents(bundle) == before


def test_a_killed_run_is_finished_by_the_same_command(bundle: Path) -> None:
    program = sequence_program()
    content = exporter("python").export(program, name=NAME, labels=LABELS)["model.py"]
    (bundle / "model.py").write_bytes(content)  # what a run that was killed before it wrote the manifest leaves
    assert Bundle.open(bundle).formats == ("c",)
    assert understudy("export", bundle, "--to", "python").exit_code == 0
    assert Bundle.open(bundle).formats == ("c", "python")


def test_a_file_of_the_user_is_not_replaced(bundle: Path) -> None:
    (bundle / "model.py").write_text("mine\n")
    before = contents(bundle)
    outcome = understudy("export", bundle, "--to", "python")
    assert outcome.exit_code == 4
    [line] = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert "received 'model.py' in bundle=" in line
    assert contents(bundle) == before


def test_a_file_that_disagrees_is_not_written(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(*_: object, **__: object) -> Verification:
        return Verification(0.5, 0.1, False, "labels or integer logits differ in 32 of 64 rows", np.zeros((64, 2), np.float32))

    before = contents(bundle)
    monkeypatch.setattr(additions, "verify_file", differs)
    with pytest.raises(VerificationError, match="a python file must reproduce the reference: received a file where labels"):
        add_formats(bundle, ["python"])
    assert contents(bundle) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "received none; add --to and one of onnx, litert, c, python"),
        (("--to", "gguf"), 2, "received format='gguf'"),
        (("--to", "python", "--test", "no.csv"), 2, "received file='no.csv'"),
        (("--to", "python", "--label", "intent"), 2, "add --test FILE"),
    ],
)
def test_what_cannot_be_asked_is_one_line(bundle: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    before = contents(bundle)
    outcome = understudy("export", bundle, *arguments)
    assert outcome.exit_code == code
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert contents(bundle) == before


def test_a_bundle_without_its_program_is_refused(bundle: Path) -> None:
    document = json.loads((bundle / "manifest.json").read_bytes())
    del document["files"]["program.npz"]
    manifest = Bundle.open(bundle).manifest.model_validate(document).signed(signing_key())
    (bundle / "manifest.json").write_bytes(manifest.to_json())
    outcome = understudy("export", bundle, "--to", "python")
    assert outcome.exit_code == 5
    assert "run understudy compress again" in outcome.err


def test_a_program_with_other_answers_is_refused(bundle: Path) -> None:
    make_bundle(bundle.with_name("other"), formats=("c",), program=sequence_program(seed=1))
    other = Bundle.open(bundle.with_name("other")).manifest
    (bundle / "program.npz").write_bytes((bundle.with_name("other") / "program.npz").read_bytes())
    manifest = Bundle(bundle, other).manifest
    document = json.loads((bundle / "manifest.json").read_bytes())
    document["files"]["program.npz"] = other.model_dump(mode="json")["files"]["program.npz"]
    (bundle / "manifest.json").write_bytes(manifest.model_validate(document).signed(signing_key()).to_json())
    outcome = understudy("export", bundle, "--to", "python")
    assert outcome.exit_code == 5
    assert "program.npz: other answers than vectors.npz" in outcome.err


def test_the_family_is_told_what_was_measured(bundle: Path, table: Path) -> None:
    """This family's data are not there any more, and the test file is not its test split: nothing is claimed."""
    family = clinc_like_family()
    files = tuple(file for file in family.members[0].files if file.format == "c")
    member = family.members[0].model_copy(update={"files": files, "byte_table": {}, "name": NAME})
    family.model_copy(update={"members": (member,)}).save(bundle.parent)
    outcome = understudy("export", bundle, "--to", "python")
    assert outcome.exit_code == 0
    assert outcome.err.splitlines()[-1].startswith("not measured on the test split: ")
    assert f"family: {bundle.parent.resolve() / 'family.json'} and its report have the new files" in outcome.out
    said = json.loads(understudy("export", bundle, "--to", "onnx", "--test", table, "--json").out)
    assert said["budget_bytes"] == member.budget_bytes
    [_, python, onnx] = Family.load(bundle.parent).members[0].files
    assert (python.format, onnx.format) == ("python", "onnx")
    for file in (python, onnx):
        assert not file.verified
        assert file.accuracy is None
        assert file.agreement == 1
    assert Family.load(bundle.parent).members[0].float_ram_bytes is None
    add_formats(bundle, ["arduino_float"])
    told = Family.load(bundle.parent).members[0]
    assert (told.ram_bytes, told.float_ram_bytes) == (member.ram_bytes, CFloatExporter().ram_bytes(sequence_program()))
    assert onnx.reason == "added later; measured on other examples than the family's test split"
    assert "model.py" in (bundle / "card.md").read_text(encoding="utf-8")
    assert "python" in (bundle.parent / "report.html").read_text(encoding="utf-8")


def test_two_exports_at_once_both_stay(bundle: Path) -> None:
    family = clinc_like_family()
    files = tuple(file for file in family.members[0].files if file.format == "c")
    member = family.members[0].model_copy(update={"files": files, "byte_table": {}, "name": NAME})
    family.model_copy(update={"members": (member,)}).save(bundle.parent)

    class Another(SilentProgress):
        """While the first one works, another call adds formats, one of them the same."""

        def stage(self, name: str, total: int | None = None) -> None:  # noqa: ARG002 - only the first call matters
            if Bundle.open(bundle).formats == ("c",):
                add_formats(bundle, ["python", "arduino"])

    add_formats(bundle, ["onnx", "arduino"], progress=Another())
    opened = Bundle.open(bundle)
    assert set(opened.formats) == {"c", "python", "arduino", "onnx"}
    assert all(opened.verify(name).verified for name in opened.formats)
    recorded = [file.format for file in Family.load(bundle.parent).members[0].files]
    assert sorted(recorded) == ["arduino", "c", "onnx", "python"]


def test_a_full_disk_leaves_the_bundle_as_it_was(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(bundle)
    wrote = write.write_bytes

    def full(path: Path, content: bytes) -> None:
        if path.name == "model.mjs":
            raise SetupError("no room")
        wrote(path, content)

    monkeypatch.setattr(write, "write_bytes", full)
    with pytest.raises(SetupError, match="no room"):
        add_formats(bundle, ["python", "wasm"])
    assert contents(bundle) == before


def test_a_key_that_cannot_be_read_is_said_before_anything_runs(bundle: Path, tmp_path: Path) -> None:
    before = contents(bundle)
    key = tmp_path / "signing.key"
    key.write_text("no key")
    outcome = understudy("export", bundle, "--to", "onnx", environment={"UNDERSTUDY_SIGNING_KEY": str(key)})
    assert outcome.exit_code == 2
    assert "a private signing key is a PEM file" in outcome.err
    assert "exporting" not in outcome.err
    assert contents(bundle) == before


def test_what_a_full_disk_kept_from_the_familys_record_is_recorded_the_next_time(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = clinc_like_family()
    files = tuple(file for file in family.members[0].files if file.format == "c")
    member = family.members[0].model_copy(update={"files": files, "byte_table": {}, "name": NAME})
    family.model_copy(update={"members": (member,)}).save(bundle.parent)

    def full(*_: object, **__: object) -> None:
        raise SetupError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(additions, "_record", full)
        with pytest.raises(SetupError, match="no room"):
            add_formats(bundle, ["python"])
    assert Bundle.open(bundle).formats == ("c", "python")
    digest = Bundle.open(bundle).manifest.digest
    added = add_formats(bundle, ["python", "c"])
    assert ([each.format for each in added.additions], added.held, added.digest) == (["python"], ("c",), digest)
    assert [file.format for file in Family.load(bundle.parent).members[0].files] == ["c", "python"]
    assert add_formats(bundle, ["python"]).held == ("python",)
