"""Bad input on the installed command.

An error is one line, has its exit code and leaves everything as it was; a warning is counted. Damaged bundles stand in
``test_bad_bundles.py``.
"""

from __future__ import annotations

import csv
import html
import io
import json
import pickle
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from command import COMMAND, Outcome, understudy
from model_files import litert_bytes_model, onnx_bytes_model
from understudy.job_folder import claim

ERROR = re.compile(r"error: [^:].*: received \w[\w.]*(\[.*\])?=.+; .+")
"""The rule, what was received as name=value, the next step."""

TEACHER = """
import csv
import os
from pathlib import Path
import numpy as np
CLASSES = 8
ROWS = {path.name: list(csv.reader(path.open(newline="", errors="surrogateescape")))[1:] for path in Path().glob("*.csv")}
NAMES = sorted({label for _, label in ROWS.get("train.csv", ROWS["tiny.csv"] if "tiny.csv" in ROWS else [])})
KNOWN = {text: NAMES.index(label) for rows in ROWS.values() for text, label in rows if label in NAMES}
def good(texts):
    return np.array([np.eye(CLASSES)[len(text) % CLASSES] + 3 * np.eye(CLASSES)[KNOWN.get(text, 0)] for text in texts])
def narrow(texts): return good(texts)[:, :5]
def broken(texts): return np.full((len(texts), CLASSES), np.nan)
def broken_once(texts):
    answers = good(texts)
    answers[[i for i, text in enumerate(texts) if text.startswith("time left")]] = np.inf
    return answers
def talkative(texts): return ["eight"] * len(texts)
"""


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Return every entry under ``folder``: bytes of files, None for folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def refused(outcome: Outcome, code: int, *parts: str) -> str:
    """Check that ``outcome`` is an error in one line behind the lines of progress, and return that line."""
    assert outcome.exit_code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    *progress, last = outcome.err.splitlines()
    assert not [line for line in progress if "error" in line.lower()]
    assert ERROR.fullmatch(last), last
    for part in parts:
        assert part in last, last
    return last


@pytest.fixture
def place(tmp_path: Path, tiny_csv: Path) -> Path:
    """A folder with good data and a module of teachers."""
    (tmp_path / "tiny.csv").write_bytes(tiny_csv.read_bytes())
    (tmp_path / "teacher.py").write_text(TEACHER)
    return tmp_path


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def rows(*labels: str) -> str:
    return "text,label\n" + "".join(f"text {number},{label}\n" for number, label in enumerate(labels))


def table(content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "bad.csv").write_text(content)


def truncated(name: str, content: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content()[: len(content()) // 2])


def save_logits(name: str, logits: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.savez(folder / name, logits=logits)


def job_file(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "job.toml").write_text(f'{text}\nbudgets = ["16KB"]\n[data]\ntrain = "tiny.csv"\n')


def npz_bytes() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, logits=np.zeros((240, 8)))
    return buffer.getvalue()


def npz_of_objects(folder: Path) -> None:
    np.savez(folder / "bad.npz", logits=np.array([Trap(folder / "sprung")], dtype=object))


@dataclass(frozen=True)
class Case:
    """A bad input: what is made before, the command's arguments, and what the error says."""

    name: str
    arguments: str
    message: str
    make: Callable[[Path], object] = lambda _: None
    code: int = 2


FITTING = "tiny.csv --budget 16KB --format c"
CASES = (
    # data
    Case("missing file", "no.csv --budget 16KB", "file='no.csv'"),
    Case("missing text column", f"{FITTING} --text words", "received text='words' and columns=['text', 'label']"),
    Case("missing label column", f"{FITTING} --label intent", "label='intent'"),
    Case("missing column in the test file", f"{FITTING} --test bad.csv", "label='label'", table("text,class\na,b\n")),
    Case("no rows", "bad.csv --budget 16KB", "received rows=0 in file='bad.csv'", table("text,label\n")),
    Case("a single class", "bad.csv --budget 16KB", "received label='a' in all rows=40", table(rows(*"a" * 40))),
    Case("a class empty after splitting", "bad.csv --budget 16KB", "classes=20 and train_rows=16 of rows=20",
         table(rows(*"abcdefghijklmnopqrst"))),
    Case("nothing left to validate on", "bad.csv --budget 16KB", "validation_fraction=0.1 leaves none",
         table(rows("a", "b"))),
    Case("labels that train does not have", f"{FITTING} --validation bad.csv", "received known_labels=0 of classes=8",
         table(rows("x", "y"))),
    # teachers
    Case("missing teacher", f"{FITTING} --teacher no.onnx", "received teacher='no.onnx'"),
    Case("teacher with the wrong number of classes", f"{FITTING} --teacher teacher.py:narrow", "columns=5 for classes=8"),
    Case("model file with the wrong number of classes", f"{FITTING} --teacher bad.onnx", "columns=3 for classes=8",
         lambda folder: (folder / "bad.onnx").write_bytes(onnx_bytes_model().SerializeToString())),
    Case("teacher with NaN logits", f"{FITTING} --teacher teacher.py:broken", "received logits[0, 0]=nan (and 63 more)"),
    Case("teacher with one logit that is not finite", f"{FITTING} --teacher teacher.py:broken_once", "=inf (and "),
    Case("saved logits with NaN", f"{FITTING} --teacher bad.npz", "received logits[0]=[nan",
         save_logits("bad.npz", np.full((240, 8), np.nan))),
    Case("saved logits with too few rows", f"{FITTING} --teacher bad.npz", "received shape=(3, 8)",
         save_logits("bad.npz", np.zeros((3, 8)))),
    Case("teacher that gives no numbers", f"{FITTING} --teacher teacher.py:talkative", "received type='list'"),
    Case("truncated ONNX file", f"{FITTING} --teacher bad.onnx", "teacher='bad.onnx', unreadable",
         truncated("bad.onnx", lambda: onnx_bytes_model().SerializeToString())),
    Case("truncated LiteRT file", f"{FITTING} --teacher bad.tflite", "teacher='bad.tflite', unreadable",
         truncated("bad.tflite", litert_bytes_model)),
    Case("truncated NPZ file", f"{FITTING} --teacher bad.npz", "teacher='bad.npz', unreadable",
         truncated("bad.npz", npz_bytes)),
    Case("malicious pickle", f"{FITTING} --teacher bad.pkl", "received teacher='bad.pkl'",
         lambda folder: (folder / "bad.pkl").write_bytes(pickle.dumps(Trap(folder / "sprung")))),
    Case("malicious torch file", f"{FITTING} --teacher bad.pt", "teacher='bad.pt'",
         lambda folder: torch.save(Trap(folder / "sprung"), folder / "bad.pt")),
    Case("malicious NPZ file", f"{FITTING} --teacher bad.npz", "teacher='bad.npz' with pickled objects", npz_of_objects),
    # budgets
    Case("impossible budget", "tiny.csv --budget 600B", "received budgets=600B; the smallest reachable size is ", code=3),
    Case("unparsable budget", "tiny.csv --budget enormous", "received budget='enormous'"),
    Case("budget of nothing", "tiny.csv --budget 0KB", "received budget='0KB'"),
    Case("budget below nothing", "tiny.csv --budget=-3KB", "received budget='-3KB'"),
    # job files
    Case("job file with an unknown key", "job.toml", "received colour=", job_file('colour = "red"')),
    Case("job file with an unknown key in a table", "job.toml", "training.epoch",
         lambda folder: (folder / "job.toml").write_text(
             'budgets = ["16KB"]\n[data]\ntrain = "tiny.csv"\n[training]\nepoch = 3\n')),
    Case("job file that is not TOML", "job.toml", "file='job.toml'", job_file("budgets =")),
    # output folders
    Case("output below a file", f"{FITTING} --out tiny.csv/out", "received out='tiny.csv/out' (Not a directory)", code=4),
    Case("output where nobody may write", f"{FITTING} --out /proc/out", "received out='/proc/out' (", code=4),
    Case("output is a file", f"{FITTING} --out tiny.csv", "received out='tiny.csv', which holds something else"),
    Case("output holds something else", f"{FITTING} --out mine", "received out='mine', which holds something else",
         lambda folder: ((folder / "mine").mkdir(), (folder / "mine" / "notes.txt").write_text("precious"))),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_error_is_one_line_and_leaves_everything_as_it_was(place: Path, case: Case) -> None:
    case.make(place)
    before = tree(place)
    outcome = understudy("compress", *shlex.split(case.arguments), folder=place)
    refused(outcome, case.code, case.message)
    assert tree(place) == before, "something was written"


@pytest.mark.slow
def test_the_smallest_size_of_an_impossible_budget_is_true(place: Path) -> None:
    last = refused(understudy("compress", "tiny.csv", "--budget", "600B", folder=place), 3)
    found = re.search(r"\((\d+) bytes\), where (c|onnx|litert) binds", last)
    assert found
    size_bytes = int(found[1])
    fits = understudy("compress", "tiny.csv", "--budget", size_bytes, "--dry-run", "--json", folder=place)
    assert fits.exit_code == 0
    misses = understudy("compress", "tiny.csv", "--budget", size_bytes - 1, "--dry-run", folder=place)
    refused(misses, 3, f"({size_bytes} bytes), where {found[2]} binds")


def test_a_folder_of_another_job_is_not_touched(place: Path) -> None:
    with claim(place / "out", {"settings": "others", "data": "others", "teacher": ""}):
        pass
    before = tree(place)
    outcome = understudy("compress", *shlex.split(FITTING), "--out", "out", folder=place)
    refused(outcome, 2, "received out='out', which holds another one (different: data, settings)")
    assert tree(place) == before


def test_two_runs_do_not_share_a_folder(place: Path) -> None:
    arguments = ["compress", *shlex.split(FITTING), "--teacher", "none", "--out", "out"]
    with claim(place / "out", {"settings": "mine"}) as folder:
        folder.mark.unlink()  # as in the moment before the other run says whose folder it is
        before = tree(place)
        refused(understudy(*arguments, folder=place), 4, "received out='out', where another run is at work")
        assert tree(place) == before


@pytest.mark.parametrize("limit_kilobytes", [0, pytest.param(8, marks=pytest.mark.slow), 64])
def test_a_disk_that_is_full_at_any_moment(place: Path, limit_kilobytes: int) -> None:
    """No file may grow beyond the limit, which the system reports like a full disk: mark, lesson or training do not fit."""
    before = tree(place)
    command = shlex.join([*COMMAND, "compress", *shlex.split(FITTING), "--teacher", "none", "--out", "new/out"])
    # coverage would write its own files under the limit
    script = f"unset COVERAGE_PROCESS_START COVERAGE_PROCESS_CONFIG; ulimit -f {limit_kilobytes}; exec {command}"
    done = subprocess.run(["bash", "-c", script], cwd=place, capture_output=True, text=True, timeout=300, check=False)
    refused(Outcome(done.returncode, done.stdout, done.stderr), 4, "new/out", "free some space")
    assert tree(place) == before


SPECIAL = {"oven": "tab\there", "small_talk": 'line\nbreak, "quoted"', "stop_timer": "C:\\new"}
"""Labels that are legal in a CSV file."""


@pytest.fixture(scope="module")
def odd_run(tiny_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A finished job on data with everything that is odd but legal."""
    folder = tmp_path_factory.mktemp("odd")
    with tiny_csv.open(newline="") as stream:
        [header, *tiny] = [[cell.encode() for cell in row] for row in csv.reader(stream)]
    renamed = {old.encode(): new.encode() for old, new in SPECIAL.items()}
    tiny = [[text, renamed.get(label, label)] for text, label in tiny]
    train = [*tiny[:200], [b"the only one of its kind", b"lonely"], [b"  ", b"time_left"], [b"caf\xe9 time", b"convert_units"]]
    validation = [*tiny[200:220], tiny[3]]
    test = [*tiny[220:], [b"what is this", b"unheard_of"], [b"", b"time_left"], [b"long " * 60, b"time_left"], tiny[0], tiny[3]]
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        quoted = [[cell.replace(b'"', b'""') for cell in row] for row in [header, *part]]
        (folder / f"{name}.csv").write_bytes(b"".join(b'"%s","%s"\r\n' % (text, label) for text, label in quoted))
    (folder / "teacher.py").write_text(TEACHER.replace("CLASSES = 8", "CLASSES = 9"))
    (folder / "job.toml").write_text(
        'budgets = ["12KB", "1KB"]\nformats = ["c"]\n[teacher]\nsource = "teacher.py:good"\n'
        '[data]\ntrain = "train.csv"\nvalidation = "validation.csv"\ntest = "test.csv"\n'
        "[training]\nepochs = 2\naugmented_views = 2\n"
    )
    return folder, understudy("compress", "job.toml", "--out", "out", folder=folder)


WARNINGS = {
    "class_with_one_example": (1, "classes with one example to learn from, which stays in train"),
    "test_label_unseen_in_train": (1, "test rows with a label that train does not have, counted as wrong"),
    "empty_text": (2, "empty texts"),
    "text_cut_at_max_bytes": (1, "texts longer than the bytes that are read"),
    "text_cut_at_max_words": (1, "texts with more words than are read"),
    "invalid_utf8": (1, "texts that are not valid UTF-8, used byte for byte"),
    "duplicate_across_splits": (3, "validation or test rows that another part has too"),
}


def test_warnings_are_said_counted_and_shown(odd_run: tuple[Path, Outcome]) -> None:
    folder, outcome = odd_run
    assert outcome.exit_code == 3, outcome.err  # one budget of two cannot be met, the other is delivered
    assert "budget 1KB cannot be met: the smallest reachable size is " in outcome.err
    family = json.loads((folder / "out" / "family.json").read_text())
    assert family["data"]["warnings"] == {name: number for name, (number, _) in WARNINGS.items()}
    page = html.unescape((folder / "out" / "report.html").read_text(encoding="utf-8"))
    for number, words in WARNINGS.values():
        assert f"warning: {words}: {number}" in outcome.err
        assert f"<li>{number} × {words}</li>" in page


def test_a_class_with_one_example_is_trained_on(odd_run: tuple[Path, Outcome]) -> None:
    data = json.loads((odd_run[0] / "out" / "family.json").read_text())["data"]
    lonely = data["class_names"].index("lonely")
    assert [data["splits"][name]["class_counts"][lonely] for name in ("train", "validation", "test")] == [1, 0, 0]


def test_an_unseen_test_label_counts_as_wrong(odd_run: tuple[Path, Outcome]) -> None:
    family = json.loads((odd_run[0] / "out" / "family.json").read_text())
    assert family["data"]["splits"]["test"]["unseen_labels"] == 1
    [member] = family["members"]
    right = sum(round(row["recall"] * row["support"]) for row in member["per_class"])
    assert member["accuracy"] == pytest.approx(right / family["data"]["splits"]["test"]["examples"])


def test_any_label_survives_to_the_bundle_and_its_answers(odd_run: tuple[Path, Outcome]) -> None:
    bundle = odd_run[0] / "out" / "12KB"
    labels = json.loads((bundle / "manifest.json").read_text())["labels"]
    assert set(SPECIAL.values()) < set(labels)
    shown = {"tab\\there", 'line\\nbreak, "quoted"', "C:\\\\new"}
    lines = (bundle / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(labels)
    assert shown < set(lines)
    answer = json.loads(understudy("predict", bundle, "preheat to 200 C please", "--json").out)
    assert set(answer["predictions"][0]["scores"]) == set(labels)


def test_a_changed_teacher_is_another_job(odd_run: tuple[Path, Outcome]) -> None:
    folder, _ = odd_run
    teacher = folder / "teacher.py"
    teacher.write_text(teacher.read_text().replace("len(text) %", "(len(text) + 1) %"))
    before = tree(folder)
    outcome = understudy("compress", "job.toml", "--out", "out", folder=folder)
    refused(outcome, 2, "received out='out', which holds another one (different: teacher)")
    after = tree(folder)
    assert {name: content for name, content in after.items() if "__pycache__" not in name} == before
