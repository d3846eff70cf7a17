"""A bundle is written whole, opens only as it was written, and answers from its own files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from bundles import LABELS, NAME, make_bundle
from command import contents
from programs import TEXTS, sequence_program
from understudy.bundle import Bundle, Manifest, write_bundle
from understudy.bundle.manifest import escape_label
from understudy.bundle.opened import PREFERRED_FORMATS
from understudy.bundle.vectors import make_vectors, pack_vectors, synthetic_texts, unpack_vectors
from understudy.errors import BundleError, InputError, SetupError
from understudy.export.registry import exporter
from understudy.formats import DEFAULT_FORMATS, FORMATS
from understudy.program.interpreter import run
from understudy.projections.text import encode
from understudy.protection import ed25519
from understudy.protection.keys import signing_key

PROGRAM = sequence_program()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "16KB"
    make_bundle(folder)
    return folder


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def reference(texts: tuple[str | bytes, ...] = TEXTS) -> np.ndarray:
    return run(PROGRAM, encode(texts, max_bytes=64)).probabilities


def test_the_folder_holds_what_the_specification_lists(written: Path) -> None:
    names = {path.name for path in written.iterdir()}
    assert names == {
        "manifest.json", "model.onnx", "model.tflite", "model.h", "understudy.h", "example.c", "labels.txt", "vectors.npz",
        "program.npz",
    }  # fmt: skip
    manifest = json.loads((written / "manifest.json").read_bytes())
    assert manifest["format_version"] == 1
    assert manifest["labels"] == list(LABELS)
    assert manifest["max_bytes"] == 64
    assert manifest["name"] == NAME
    assert set(manifest["files"]) == names - {"manifest.json"}
    for name, entry in manifest["files"].items():
        content = (written / name).read_bytes()
        assert entry["size_bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    formats = {name: entry["format"] for name, entry in manifest["files"].items() if entry["format"]}
    assert formats == {exporter(name).filename: name for name in DEFAULT_FORMATS}
    for name, format_name in formats.items():
        rows = exporter(format_name).byte_table(PROGRAM, name=NAME)
        assert manifest["files"][name]["budget_bytes"] == sum(size for _, size in rows)


def test_the_same_program_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(written)


@pytest.mark.parametrize("format_name", DEFAULT_FORMATS)
def test_every_format_answers_as_the_reference(written: Path, format_name: str) -> None:
    bundle = Bundle.open(written)
    predictions = bundle.predict(TEXTS, format=format_name)
    expected = reference()
    np.testing.assert_allclose([p.scores for p in predictions], expected, atol=1e-5)
    assert [p.label for p in predictions] == [LABELS[i] for i in expected.argmax(axis=1)]
    assert [p.score for p in predictions] == [max(p.scores) for p in predictions]
    assert bundle.verify(format_name).verified


@pytest.mark.parametrize("text", ["play jazz", b"play jazz", ""])
def test_one_text_without_a_list_is_refused(written: Path, text: str | bytes) -> None:
    bundle = Bundle.open(written)
    for answer in (bundle.predict, bundle.load("onnx").scores, bundle.load("onnx").inputs):
        with pytest.raises(InputError) as caught:
            answer(text)  # type: ignore[operator] - a mistake that Python's types allow
        assert str(caught.value) == (
            f"texts come as a list, also a single one: received texts={text!r}; put it into brackets: [text]"
        )


@pytest.mark.parametrize(
    "texts", [(text for text in ["play jazz"]), {"play jazz"}, {"play jazz": 1}, None, 5, np.array([["a"]])]
)
def test_what_is_no_row_of_texts_is_refused(written: Path, texts: object) -> None:
    bundle = Bundle.open(written)
    for answer in (bundle.predict, bundle.load("onnx").inputs):
        with pytest.raises(InputError, match=rf"a list: received type='{type(texts).__name__}'; make it a list: list\(texts\)"):
            answer(texts)  # type: ignore[operator]


def test_of_a_table_a_column_is_given(written: Path) -> None:
    table = pyarrow.table({"text": ["play jazz"], "label": ["music"]})
    with pytest.raises(InputError, match="received type='Table'; give one of its columns"):
        Bundle.open(written).predict(table)


def test_texts_may_stand_in_an_array(written: Path) -> None:
    bundle = Bundle.open(written)
    texts = ["stop the egg timer", "find a recipe"]
    for array in (np.array(texts), np.array(texts, dtype=object)):
        assert bundle.predict(array) == bundle.predict(texts)


def test_no_texts_give_no_predictions(written: Path) -> None:
    assert Bundle.open(written).predict([]) == []


def test_the_default_is_the_first_preferred_format(written: Path) -> None:
    model = Bundle.open(written).load()
    assert model.format == "litert"
    assert model.session.runtime


def test_a_missing_runtime_is_passed_over_and_said(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy.bundle import opened

    def only_c(name: str) -> object:
        if name != "c":
            raise SetupError(f"running {name} needs the {name!r} extra: received extra; run: pip install 'understudy[{name}]'")
        return exporter(name)

    monkeypatch.setattr(opened, "exporter", only_c)
    bundle = Bundle.open(written)
    assert bundle.load().format == "c"
    results = {r.format: r for r in bundle.evaluate(["a", "b"], ["other", "other"])}
    assert results["c"].verified
    assert not results["onnx"].verified
    assert results["onnx"].accuracy is None
    assert results["onnx"].reason == (
        "not run here: running onnx needs the 'onnx' extra: received extra; run: pip install 'understudy[onnx]'"
    )
    monkeypatch.setattr(opened, "exporter", lambda _: only_c("onnx"))
    with pytest.raises(SetupError, match=r"none of which runs here; run: pip install 'understudy\[onnx\]'$"):
        Bundle.open(written).load()


def test_a_format_that_the_bundle_lacks_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", formats=("onnx",))
    with pytest.raises(InputError, match=r"a format that it holds \(onnx\): received format='c'; choose one of them"):
        bundle.predict(["a"], format="c")


def test_below_the_threshold_it_is_none_of_these(tmp_path: Path) -> None:
    best = reference().max(axis=1)
    threshold = float(np.median(best))
    bundle = make_bundle(tmp_path / "b", formats=("onnx",), threshold=threshold)
    labels = [p.label for p in bundle.predict(TEXTS)]
    assert [label is None for label in labels] == (best < threshold).tolist()
    assert None in labels
    assert any(labels)
    (result,) = bundle.evaluate(TEXTS, ["other"] * len(TEXTS))
    assert result.accepted_fraction == pytest.approx((best >= threshold).mean())


def test_evaluation_counts_what_each_file_answers(written: Path) -> None:
    bundle = Bundle.open(written)
    answers = [LABELS[i] for i in reference().argmax(axis=1)]
    truth = ["never seen", *answers[1:]]
    results = bundle.evaluate(TEXTS, truth)
    assert {r.format for r in results} == set(DEFAULT_FORMATS)
    for result in results:
        assert result.accuracy == pytest.approx(1 - 1 / len(TEXTS))
        assert result.agreement == 1.0
        assert result.verified
        assert result.reason is None
        assert result.runtime
        assert result.latency_us is not None
        assert 0 < result.latency_us.p10 <= result.latency_us.median <= result.latency_us.p90
        entry = bundle.manifest.files[result.path]
        assert result.size_bytes == entry.budget_bytes


def test_an_evaluation_needs_a_label_for_each_text(written: Path) -> None:
    with pytest.raises(InputError, match="one label each: received examples=2, labels=1"):
        Bundle.open(written).evaluate(["a", "b"], ["other"])
    with pytest.raises(InputError, match="received examples=0"):
        Bundle.open(written).evaluate([], [])


def test_labels_are_one_a_line(written: Path) -> None:
    text = (written / "labels.txt").read_text(encoding="utf-8")
    assert text == 'play music\ntab\\there\nsay "hi"\nline\\nbreak\nback\\\\slash\ngröße\nother\n'
    assert escape_label("a\r\\n") == "a\\r\\\\n"


def test_vectors_are_synthetic_and_complete(written: Path) -> None:
    vectors = unpack_vectors((written / "vectors.npz").read_bytes())
    assert vectors.inputs.dtype == np.int32
    assert vectors.inputs.shape == (64, 64)
    assert vectors.scores.logits.dtype == np.int8
    assert vectors.scores.probabilities.dtype == np.float32
    expected = run(PROGRAM, vectors.inputs)
    np.testing.assert_array_equal(vectors.scores.logits, expected.logits)
    np.testing.assert_array_equal(vectors.scores.probabilities, expected.probabilities)
    texts = synthetic_texts(max_bytes=64)
    np.testing.assert_array_equal(vectors.inputs, encode(texts, max_bytes=64))
    assert texts[0] == b""
    assert max(map(len, texts)) > 64
    assert any(max(text, default=0) > 127 for text in texts)
    assert pack_vectors(make_vectors(PROGRAM)) == (written / "vectors.npz").read_bytes()


def test_vectors_tell_the_classes_apart() -> None:
    assert len(set(make_vectors(PROGRAM).scores.logits.argmax(axis=1).tolist())) > 1


@dataclass(frozen=True)
class Damage:
    name: str
    apply: Callable[[Path], object]
    message: str


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def edit(folder: Path, change: Callable[[dict], object], *, seal: bool = False) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_bytes())
    change(document)
    if seal:
        rest = {key: value for key, value in document.items() if key not in ("digest", "signature")}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        document["digest"] = hashlib.sha256(text.encode()).hexdigest()
        key = signing_key()  # whoever can write the folder can sign it too
        value = ed25519.sign(key.secret, b"understudy manifest " + document["digest"].encode())
        document["signature"] = {"public_key": key.public.hex(), "value": value.hex()}
    path.write_text(json.dumps(document), encoding="utf-8")


def add_file(name: str) -> Callable[[dict], object]:
    return lambda d: d["files"].update({name: {"sha256": "0" * 64, "size_bytes": 1, "format": None, "budget_bytes": None}})


def other_end(field: str) -> Callable[[dict], object]:
    """Return a change of the last digit of a field of the signature."""
    return lambda d: d["signature"].update(
        {field: d["signature"][field][:-1] + "0123456789abcdef"[int(d["signature"][field][-1], 16) ^ 1]}
    )


DAMAGES = (
    Damage("altered model", lambda f: flip(f / "model.onnx", 200), "model.onnx: another content than was written"),
    Damage("altered labels", lambda f: flip(f / "labels.txt", 0), "labels.txt: another content than was written"),
    Damage("truncated model", lambda f: os.truncate(f / "model.tflite", 100), "model.tflite: 100 bytes where "),
    Damage("longer model", lambda f: append(f / "model.h", b"\n"), "model.h: "),
    Damage("missing file", lambda f: (f / "vectors.npz").unlink(), "vectors.npz: No such file or directory"),
    Damage("a folder for a file", lambda f: ((f / "example.c").unlink(), (f / "example.c").mkdir()), "not a regular file"),
    Damage("a pipe for a file", lambda f: ((f / "example.c").unlink(), os.mkfifo(f / "example.c")), "not a regular file"),
    Damage("no manifest", lambda f: (f / "manifest.json").unlink(), "a bundle is a folder with a manifest.json: "),
    Damage("empty manifest", lambda f: os.truncate(f / "manifest.json", 0), "manifest.json: the file: Invalid JSON"),
    Damage("truncated manifest", lambda f: os.truncate(f / "manifest.json", 300), "manifest.json: the file: Invalid JSON"),
    Damage(
        "not an object", lambda f: (f / "manifest.json").write_text("[1]"), "manifest.json: the file: Input should be an object"
    ),
    Damage("deep JSON", lambda f: (f / "manifest.json").write_text("[" * 100_000), "manifest.json: the file: Invalid JSON"),
    Damage("not text", lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe\x00"), "manifest.json: the file: Invalid JSON"),
    Damage("next version", lambda f: edit(f, lambda d: d.update(format_version=2)), "received format_version=2 in "),
    Damage(
        "version of another type", lambda f: edit(f, lambda d: d.update(format_version="1")), "received format_version='1' in "
    ),
    Damage(
        "unknown key", lambda f: edit(f, lambda d: d.update(extra=1)), "manifest.json: extra: Extra inputs are not permitted"
    ),
    Damage("missing key", lambda f: edit(f, lambda d: d.pop("labels")), "manifest.json: labels: Field required"),
    Damage("altered label", lambda f: edit(f, lambda d: d["labels"].reverse()), "its digest does not match its content"),
    Damage("altered threshold", lambda f: edit(f, lambda d: d.update(threshold=0.5)), "its digest does not match its content"),
    Damage("no digest", lambda f: edit(f, lambda d: d.update(digest="")), "its digest does not match its content"),
    Damage("altered signature", lambda f: edit(f, other_end("value")), "its signature does not match its digest"),
    Damage("another signer", lambda f: edit(f, other_end("public_key")), "its signature does not match its digest"),
    Damage("no signature", lambda f: edit(f, lambda d: d.pop("signature")), "manifest.json: it has no signature"),
    Damage("signature of nothing", lambda f: edit(f, lambda d: d.update(signature={})), "manifest.json: signature."),
    Damage("threshold out of range", lambda f: edit(f, lambda d: d.update(threshold=1.5)), "manifest.json: threshold: "),
    Damage("not a number", lambda f: edit(f, lambda d: d.update(threshold=float("nan"))), "manifest.json: "),
    Damage("equal labels", lambda f: edit(f, lambda d: d.update(labels=["a"] * 7), seal=True), "labels must differ"),
    Damage(
        "parent folder",
        lambda f: edit(f, add_file("../secret"), seal=True),
        "manifest.json: files.../secret.[key]: String should match",
    ),
    Damage("absolute path", lambda f: edit(f, add_file("/etc/hostname"), seal=True), "String should match pattern"),
    Damage("hidden file", lambda f: edit(f, add_file(".profile"), seal=True), "String should match pattern"),
    Damage("backslash", lambda f: edit(f, add_file("a\\b"), seal=True), "String should match pattern"),
    Damage("line break in name", lambda f: edit(f, add_file("a\n"), seal=True), "String should match pattern"),
    Damage("itself", lambda f: edit(f, add_file("manifest.json"), seal=True), "files must not list manifest.json"),
    Damage(
        "a file that is not there", lambda f: edit(f, add_file("more.bin"), seal=True), "more.bin: No such file or directory"
    ),
    Damage("no formats", lambda f: edit(f, lambda d: d.update(files={}), seal=True), "files must hold one model file"),
    Damage("C code in the name", lambda f: edit(f, lambda d: d.update(name="x(); int y"), seal=True), "manifest.json: name: "),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.name)
def test_a_bundle_that_was_altered_is_refused(copy: Path, damage: Damage) -> None:
    damage.apply(copy)
    with pytest.raises(BundleError) as caught:
        Bundle.open(copy)
    assert damage.message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert repr(str(copy)) in str(caught.value)


def test_every_single_altered_byte_of_the_manifest_is_found_or_harmless(copy: Path) -> None:
    path = copy / "manifest.json"
    original = path.read_bytes()
    truth = Bundle.open(copy).manifest
    for position in range(0, len(original), 7):
        path.write_bytes(original)
        flip(path, position)
        with contextlib.suppress(BundleError):  # what is not refused is white space
            assert Bundle.open(copy).manifest == truth


def test_a_card_may_change(copy: Path) -> None:
    (copy / "card.md").write_text("anything")
    assert Bundle.open(copy).labels == LABELS


def test_a_file_that_was_altered_after_it_was_opened_is_not_read(copy: Path) -> None:
    opened = Bundle.open(copy)
    labels = opened.read("labels.txt")
    (copy / "labels.txt").write_bytes(labels[::-1])
    with pytest.raises(BundleError, match="labels.txt: another content than was written"):
        opened.read("labels.txt")


@pytest.mark.parametrize("place", ["nothing", "nothing/at/all"])
def test_what_is_not_there_is_no_bundle(tmp_path: Path, place: str) -> None:
    with pytest.raises(BundleError, match=r"received bundle=.*\(No such file or directory\); give the path"):
        Bundle.open(tmp_path / place)


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="Not a directory"):
        Bundle.open(tmp_path / "model.onnx")


def test_a_family_is_no_bundle_but_has_some(written: Path) -> None:
    (written.parent / "family.json").write_text("{}")
    with pytest.raises(BundleError, match="the whole family; add one of its members to the path: 16KB"):
        Bundle.open(written.parent)


@dataclass(frozen=True)
class BadField:
    name: str
    fields: dict
    message: str


@pytest.mark.parametrize(
    "case",
    [
        BadField("name", {"name": "2fast"}, "a bundle's name breaks a rule"),
        BadField("labels", {"labels": ("a",) * 7}, "a bundle's labels breaks a rule"),
        BadField("threshold", {"threshold": 2.0}, "a bundle's threshold breaks a rule"),
        BadField("half a character", {"labels": ("\ud800", *LABELS[1:])}, "a bundle's labels breaks a rule .*surrogate"),
    ],
    ids=lambda case: case.name,
)
def test_what_a_manifest_cannot_hold_is_refused(tmp_path: Path, case: BadField) -> None:
    fields = {"name": NAME, "labels": LABELS, "threshold": None, "recipe": {}, "data_digest": ""}
    exports = {"onnx": exporter("onnx").export(PROGRAM, name=NAME)}
    with pytest.raises(InputError, match=case.message):
        write_bundle(tmp_path / "b", program=PROGRAM, exports=exports, **{**fields, **case.fields})
    assert contents(tmp_path) == {}


def test_labels_and_scores_must_be_as_many(tmp_path: Path) -> None:
    exports = {"onnx": exporter("onnx").export(PROGRAM, name=NAME)}
    with pytest.raises(ValueError, match="received labels=2, classes=7"):
        write_bundle(
            tmp_path / "b",
            program=PROGRAM,
            exports=exports,
            name=NAME,
            labels=("a", "b"),
            threshold=None,
            recipe={},
            data_digest="",
        )


def test_the_manifest_follows_its_published_schema(written: Path) -> None:
    import jsonschema

    jsonschema.validate(json.loads((written / "manifest.json").read_bytes()), Manifest.model_json_schema())


def test_running_a_bundle_needs_no_torch(written: Path) -> None:
    code = f"""
import sys
from understudy.bundle import Bundle
bundle = Bundle.open({str(written)!r})
bundle.predict(["hello"])
bundle.evaluate(["hello"], ["other"])
heavy = sorted(set(sys.modules) & {{"torch", "sklearn", "optuna", "pandas", "pyarrow"}})
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_format_of_ours_has_a_place_in_the_order() -> None:
    assert sorted(PREFERRED_FORMATS) == sorted(FORMATS)
    compiled = PREFERRED_FORMATS.index("c_float")
    assert all(PREFERRED_FORMATS.index(name) < compiled for name in ("litert_float", "onnx_float", "python_float"))
