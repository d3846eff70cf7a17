"""``understudy predict`` answers the same wherever its texts come from, and as the reference does."""

from __future__ import annotations

import csv
import gzip
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bundles import LABELS, make_bundle
from command import COMMAND, understudy
from programs import sequence_program
from understudy.bundle import Bundle
from understudy.program.interpreter import run
from understudy.progress import SilentProgress
from understudy.projections.text import encode

TEXTS = ["move my meeting to friday", "", "naïve café", 'say "hi", now']
BYTES = b"\xff\xfe broken \x80"


def expected(texts: list[str | bytes]) -> np.ndarray:
    return run(sequence_program(), encode(texts, max_bytes=64)).probabilities


def shown(label: str) -> str:
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


@pytest.mark.parametrize("format_name", ["litert", "onnx", "c"])
def test_label_and_score_of_each_text(written_bundle: Path, format_name: str) -> None:
    outcome = understudy("predict", written_bundle, *TEXTS, "--format", format_name)
    assert outcome.exit_code == 0
    rows = [line.split("\t") for line in outcome.out.splitlines()]
    scores = expected([*TEXTS])
    assert [row[0] for row in rows] == [shown(LABELS[i]) for i in scores.argmax(axis=1)]
    np.testing.assert_allclose([float(row[1]) for row in rows], scores.max(axis=1), atol=1e-4)
    assert outcome.err.startswith(f"{format_name} file in ")
    assert len(outcome.err.splitlines()) == 1


def test_arguments_files_tables_and_standard_input_give_the_same(written_bundle: Path, tmp_path: Path) -> None:
    lines = "".join(text + "\n" for text in TEXTS).encode()
    (tmp_path / "texts.txt").write_bytes(lines)
    (tmp_path / "windows.txt").write_bytes(lines.replace(b"\n", b"\r\n"))
    with (tmp_path / "table.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("id", "utterance"), *enumerate(TEXTS)])
    (tmp_path / "table.jsonl").write_text("".join(json.dumps({"id": 1, "q": text}) + "\n" for text in TEXTS), encoding="utf-8")
    from_arguments = understudy("predict", written_bundle, *TEXTS)
    assert from_arguments.exit_code == 0
    for outcome in (
        understudy("predict", written_bundle, stdin=lines),
        understudy("predict", written_bundle, stdin=lines.removesuffix(b"\n")),
        understudy("predict", written_bundle, "--input", tmp_path / "texts.txt"),
        understudy("predict", written_bundle, "--input", tmp_path / "windows.txt"),
        understudy("predict", written_bundle, "--input", tmp_path / "table.csv"),
        understudy("predict", written_bundle, "--input", tmp_path / "table.jsonl", "--text", "q"),
    ):
        assert outcome == from_arguments


def test_any_bytes_are_a_text(written_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(BYTES + b"\nnul\0inside\n")
    outcome = understudy("predict", written_bundle, "--input", tmp_path / "bytes.txt", "--json")
    found = [list(p["scores"].values()) for p in json.loads(outcome.out)["predictions"]]
    np.testing.assert_allclose(found, expected([BYTES, b"nul inside"]), atol=1e-5)
    as_argument = subprocess.run([*COMMAND, "predict", written_bundle, BYTES], capture_output=True, check=True)
    assert as_argument.stdout.decode().splitlines() == understudy("predict", written_bundle, stdin=BYTES).out.splitlines()


def test_lines_are_the_same_with_a_byte_order_mark_and_packed(written_bundle: Path, tmp_path: Path) -> None:
    content = "\n".join(TEXTS).encode()
    (tmp_path / "plain.txt").write_bytes(content)
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbf" + content)
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress(content))
    plain, *others = (
        understudy("predict", written_bundle, "--input", tmp_path / name)
        for name in ("plain.txt", "marked.txt", "packed.txt.gz")
    )
    assert plain.exit_code == 0
    assert [other.out for other in others] == [plain.out] * 2
    assert understudy("predict", written_bundle, stdin=b"\xef\xbb\xbf" + content).out == plain.out
    wide = understudy("predict", written_bundle, stdin=content.decode().encode("utf-16"))
    assert wide.exit_code == 2
    assert "texts are UTF-8: received standard input with a UTF-16 byte order mark; save it as UTF-8" in wide.err


def test_json_is_one_document(written_bundle: Path) -> None:
    outcome = understudy("predict", written_bundle, *TEXTS, "--json")
    assert outcome.err == ""
    document = json.loads(outcome.out)
    assert document["format"] == "litert"
    assert document["runtime"]
    assert document["threshold"] is None
    scores = expected([*TEXTS])
    for prediction, row in zip(document["predictions"], scores, strict=True):
        assert tuple(prediction["scores"]) == LABELS
        assert prediction["label"] == LABELS[row.argmax()]
        assert prediction["score"] == max(prediction["scores"].values())
        np.testing.assert_allclose(list(prediction["scores"].values()), row, atol=1e-5)


def test_no_line_is_no_text(written_bundle: Path) -> None:
    outcome = understudy("predict", written_bundle, stdin=b"")
    assert (outcome.exit_code, outcome.out) == (0, "")
    assert json.loads(understudy("predict", written_bundle, "--json", stdin=b"").out)["predictions"] == []


def test_below_the_threshold_it_says_none_of_these(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", formats=("onnx",), threshold=1.0)
    outcome = understudy("predict", tmp_path / "b", "hello")
    assert outcome.out.startswith("none of these\t0.")
    document = json.loads(understudy("predict", tmp_path / "b", "hello", "--json").out)
    assert document["threshold"] == 1.0
    assert document["predictions"][0]["label"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("hello", "--input", "x.txt"),
            "texts come from one place: received texts=1 and --input='x.txt'; leave one",
        ),
        (
            ("hello", "--text", "q"),
            "--text names a column of a table: received --text='q' without a table; add",
        ),
        (
            ("--input", "no.txt"),
            "a data file exists and is a file: received file='no.txt'; check",
        ),
        (("--input", "bytes.txt", "--text", "q"), "received --text='q' without a table; add --input table.csv"),
        (("--input", "no.csv"), "received file='no.csv'"),
        (("hello", "--format", "coreml"), "; choose one of them"),
    ],
)
def test_texts_from_nowhere_or_two_places_are_refused(bundle: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = understudy("predict", bundle, *arguments, folder=bundle)
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_reader_that_leaves_early_is_no_error(written_bundle: Path) -> None:
    """It ends as commands do that the closed pipe kills."""
    script = f"{' '.join(COMMAND)} predict {written_bundle} --format onnx | head -n 1; echo ${{PIPESTATUS[0]}} >&2"
    texts = b"hello\n" * 20_000
    result = subprocess.run(["bash", "-c", script], input=texts, capture_output=True, timeout=300, check=True)
    assert len(result.stdout.splitlines()) == 1
    *_, runtime, code = result.stderr.splitlines()  # a slow machine shows progress before
    assert runtime.startswith(b"onnx file in")
    assert code == b"141"


def test_a_label_that_the_terminal_cannot_hold_is_escaped(tmp_path: Path) -> None:
    from understudy.bundle import write_bundle
    from understudy.export.registry import exporter

    program = sequence_program()
    exports = {"onnx": exporter("onnx").export(program, name="t")}
    labels = [f"привет {i}\x1b[31m" for i in range(7)]
    fields = {"name": "t", "labels": labels, "threshold": None, "recipe": {}, "data_digest": ""}
    write_bundle(tmp_path / "b", program=program, exports=exports, **fields)
    outcome = understudy("predict", tmp_path / "b", "hello", environment={"PYTHONIOENCODING": "latin-1"})
    assert outcome.exit_code == 0
    assert outcome.out.startswith(r"\u043f\u0440\u0438")
    assert "\x1b" not in outcome.out


def test_a_closed_standard_input_holds_no_texts(written_bundle: Path) -> None:
    command = shlex.join([*COMMAND, "predict", str(written_bundle)])
    result = subprocess.run(f"{command} <&-", shell=True, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: predict needs texts: received texts=0; add them to the command")


class Counted(SilentProgress):
    """A ``Progress`` that remembers stages and counts."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.done = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total))

    def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002 - the protocol's
        self.done += n


def test_progress_counts_every_text(written_bundle: Path) -> None:
    bundle, texts = Bundle.open(written_bundle), ["play jazz"] * 2_500
    progress = Counted()
    assert len(bundle.load("onnx").predict(texts, progress=progress)) == progress.done == 2_500
    progress = Counted()
    bundle.evaluate(texts, [LABELS[0]] * 2_500, progress=progress)
    assert progress.stages == [(f"measuring {each}", 2_500) for each in bundle.formats]
    assert progress.done == 2_500 * len(bundle.formats)


def test_predicting_needs_no_torch(written_bundle: Path) -> None:
    code = f"""
import sys
from understudy.cli.main import run
assert run(["predict", {str(written_bundle)!r}, "hello"]) == 0
heavy = sorted(set(sys.modules) & {{"torch", "sklearn", "optuna", "pyarrow", "jinja2"}})
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
