"""The outermost line: help, version, and one line with the right exit code for whatever goes wrong."""

from __future__ import annotations

import errno
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command import COMMAND, understudy
from understudy import errors
from understudy.cli import main
from understudy.cli.main import run

VERBS = ("init", "compress", "predict", "evaluate", "bench", "export", "keys", "demo", "report", "study", "devices", "doctor")


def test_help_lists_every_verb_and_exit_code() -> None:
    outcome = understudy("--help")
    assert outcome.exit_code == 0
    listed = outcome.out.partition("Commands:")[2].partition("Exit codes")[0]
    assert tuple(line.split()[0] for line in listed.splitlines() if line.strip()) == VERBS
    assert "Exit codes: 0 done" in outcome.out
    assert understudy().out == outcome.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(verb: str) -> None:
    outcome = understudy(verb, "--help")
    assert outcome.exit_code == 0
    assert outcome.out.startswith(f"Usage: understudy {verb} ")
    assert "--json" in outcome.out


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = """
import sys, time
begin = time.perf_counter()
from understudy.cli.main import run
assert run(["--help"]) == 0
seconds = time.perf_counter() - begin
heavy = sorted(set(sys.modules) & {"torch", "onnx", "onnxruntime", "numpy", "pydantic", "sklearn", "optuna"})
assert not heavy, heavy
print(seconds, file=sys.stderr)
"""
    times = []
    for _ in range(3):
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
        times.append(float(result.stderr))
    assert min(times) < 0.5


def test_version_is_the_packages() -> None:
    outcome = understudy("--version")
    assert outcome.exit_code == 0
    assert outcome.out.startswith("understudy ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fly",), "No such command 'fly'; run: understudy --help"),
        (("predict",), "Missing argument 'BUNDLE'; run: understudy predict --help"),
        (("predict", "b", "--oops"), "No such option: --oops; run: understudy predict --help"),
        (("compress", "d.csv", "--trials", "many"), "Invalid value for '--trials'"),
        (("compress", "d.csv", "--max-drop", "1%"), "number: received --max-drop='1%'; run: understudy compress --help"),
        (("compress", "d.csv", "--seed=one", "--trials", "2"), "integer: received --seed='one'; run: "),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    outcome = understudy(*arguments)
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    document = json.loads(understudy(*arguments, "--json").out)
    assert document["error"]["exit_code"] == 2
    assert document["error"]["type"] == "UsageError"


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``understudy doctor`` raise ``error``."""
    from understudy import environment

    def fail() -> None:
        raise error

    monkeypatch.setattr(environment, "inspect_environment", fail)


@pytest.mark.parametrize(
    "error",
    [
        errors.InputError("rule: received a=1; step"),
        errors.BudgetError("rule: received a=1; step"),
        errors.SetupError("rule: received a=1; step"),
        errors.BundleError("rule: received a=1; step"),
        errors.VerificationError("rule: received a=1; step"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_of_ours_has_its_exit_code(
    error: errors.UnderstudyError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(error, monkeypatch)
    assert run(["doctor"]) == error.exit_code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "error: rule: received a=1; step\n")
    assert run(["doctor", "--json"]) == error.exit_code
    document = json.loads(capsys.readouterr().out)
    assert document["error"] == {"type": type(error).__name__, "message": str(error), "exit_code": error.exit_code}


def test_torch_that_is_missing_is_no_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(ModuleNotFoundError("No module named 'torch'", name="torch"), monkeypatch)
    assert run(["doctor"]) == 4
    assert capsys.readouterr().err == (
        "error: this needs torch: received package='torch' not installed; run: pip install torch\n"
    )


def test_a_message_is_one_line_whatever_was_received(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(errors.InputError("rule: received a=first\nsecond; step"), monkeypatch)
    assert run(["doctor"]) == 2
    assert capsys.readouterr().err == "error: rule: received a=first second; step\n"


def test_a_full_disk_is_no_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(OSError(errno.ENOSPC, "No space left on device", "/out/x"), monkeypatch)
    assert run(["doctor"]) == 4
    assert capsys.readouterr().err == (
        "error: files must be readable and writable: received path='/out/x' (No space left on device); "
        "check permissions and free space\n"
    )


def test_too_little_memory_is_no_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(MemoryError("Unable to allocate 703. MiB"), monkeypatch)
    assert run(["doctor"]) == 4
    assert capsys.readouterr().err == (
        "error: a command must get the memory it asks for: received error='Unable to allocate 703. MiB'; "
        "close other programs, run it again\n"
    )


def test_a_bug_says_so_under_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(ZeroDivisionError("by zero"), monkeypatch)
    assert run(["doctor", "--json"]) == 1
    shown = capsys.readouterr()
    assert "Traceback" in shown.err
    assert shown.err.splitlines()[-1] == (
        "error: this is a bug in understudy (ZeroDivisionError: by zero); please report it with the lines above"
    )
    assert json.loads(shown.out)["error"]["type"] == "Bug"


def test_an_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(KeyboardInterrupt(), monkeypatch)
    assert run(["doctor"]) == main.INTERRUPTED == 130
    assert capsys.readouterr().err == ("error: interrupted; nothing was recorded, run the same command again\n")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (False, "nothing was finished yet, and nothing is kept; run the same command again"),
        (True, "what was finished is kept, run the same command again to go on"),
    ],
)
def test_an_interrupted_job_says_what_is_kept(
    written: bool,
    kept: str,
    tiny_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"

    def interrupted(*_: object, **__: object) -> None:
        if written:
            out.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("understudy.pipeline.run_job", interrupted)
    assert run(["compress", str(tiny_csv), "--budget", "16KB", "--out", str(out)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"error: interrupted; {kept}"


@pytest.mark.parametrize("share", ["0", "1", "-2", "nan"])
def test_a_share_that_is_none_is_named_by_its_option(share: str, tiny_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", str(tiny_csv), "--student", "pruned", f"--keep={share}"]) == 2
    assert f"more than 0 and less than 1: received keep={share}; write --keep 0.4" in capsys.readouterr().err


INTERRUPTIBLE = """
import sys, time
from understudy import environment
from understudy.cli import main
def wait():
    print("ready", flush=True)
    time.sleep(60)
environment.inspect_environment = wait
sys.argv = ["understudy", "doctor"]
main.main()
"""


PRINTING = """
import os, subprocess, sys
from understudy import environment
from understudy.cli import main
inspect = environment.inspect_environment
def printing():
    print("from Python")
    os.write(1, b"from a library\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"])
    return inspect()
environment.inspect_environment = printing
sys.argv = ["understudy", "doctor", *sys.argv[1:]]
main.main()
"""


def test_what_others_print_stands_beside_the_document() -> None:
    printed = ["from Python", "from a library", "from a child"]
    command = [sys.executable, "-c", PRINTING, "--json"]
    beside = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(beside.stdout)["packages"]
    assert sorted(beside.stderr.splitlines()) == sorted(printed)


def test_what_others_print_stands_beside_the_document_in_this_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from understudy import environment

    def printing() -> None:
        print("from a teacher")
        raise errors.InputError("rule: received a=1; step")

    monkeypatch.setattr(environment, "inspect_environment", printing)
    assert run(["doctor", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["exit_code"] == 2
    assert shown.err == "from a teacher\nerror: rule: received a=1; step\n"
    assert run(["doctor"]) == 2
    assert capsys.readouterr().out == "from a teacher\n"


@pytest.mark.parametrize("verb", [("devices", "--json"), ("doctor",)])
def test_an_output_that_is_closed_or_full_is_no_bug(verb: tuple[str, ...]) -> None:
    shell = shlex.join([*COMMAND, *verb])
    closed = subprocess.run(["sh", "-c", f"{shell} >&-"], check=False, capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (0, "")
    full = subprocess.run(["sh", "-c", f"{shell} >/dev/full"], check=False, capture_output=True, text=True)
    assert full.returncode == 4
    assert full.stderr.startswith("error: files must be readable and writable: received error='No space left on device'; ")
    assert len(full.stderr.splitlines()) == 1


def test_ctrl_c_is_one_line_and_exit_code_130() -> None:
    with subprocess.Popen([sys.executable, "-c", INTERRUPTIBLE], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.decode().startswith("error: interrupted; ")
    assert len(err.splitlines()) == 1


def test_the_exit_codes_of_the_page_are_those_of_the_classes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {value.exit_code for value in classes if issubclass(value, errors.UnderstudyError)}
    assert rows == {0, main.INTERRUPTED, main.PIPE_CLOSED} | codes
