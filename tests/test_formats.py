"""A format of another package is a word like ours: in jobs, in bundles, in the commands."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bundles import make_bundle
from command import understudy
from understudy import formats
from understudy.bundle import Bundle
from understudy.errors import InputError, SetupError
from understudy.export.python import PythonExporter
from understudy.export.registry import exporter
from understudy.job import job_from_arguments
from understudy.program.ops import Program, ProjectText
from understudy.protection.keys import signing_key
from understudy.testing import FEATURES, IMAGE_CASES, TEXT_CASES, FormatSuite


class OtherExporter(PythonExporter):
    """A format as another package would bring it, for texts alone."""

    format = "other"
    filename = "other.py"

    def export(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> dict[str, bytes]:
        return super().export(_text(program), name=name, labels=labels)

    def byte_table(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> list[tuple[str, int]]:
        return super().byte_table(_text(program), name=name, labels=labels)


def _text(program: Program) -> Program:
    if not isinstance(program.source, ProjectText):
        raise InputError("the other format holds text models: received an image model; choose another format")
    return program


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that adds the format ``other``, and one that would replace ours."""
    points = [EntryPoint(name, f"{__name__}:OtherExporter", formats.ENTRY_POINTS) for name in ("other", "c")]
    monkeypatch.setattr(EntryPoint, "load", lambda _: OtherExporter)
    monkeypatch.setattr(formats, "entry_points", lambda *, group: points if group == "understudy.formats" else [])


@pytest.mark.usefixtures("installed")
class TestOther(FormatSuite):
    """A format that says what it reads is tested with nothing else."""

    exporter = OtherExporter()
    reads = ("text",)
    cases = (TEXT_CASES[0], IMAGE_CASES[0])
    features = FEATURES[:1]


@pytest.mark.usefixtures("installed")
def test_an_installed_package_adds_a_format_and_replaces_none() -> None:
    assert formats.known_formats() == (*formats.FORMATS, "other")
    assert isinstance(exporter("other"), OtherExporter)
    assert not isinstance(exporter("c"), OtherExporter)
    assert job_from_arguments("data.csv", budgets=("16KB",), formats=("other", "c")).formats == ("other", "c")


class WideExporter(OtherExporter):
    """A format that gives each weight a byte, however many bits it has."""

    def byte_table(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> list[tuple[str, int]]:
        unused = sum(linear.weight.size * (8 - linear.bits) // 8 for linear in program.linears)
        return [*super().byte_table(program, name=name, labels=labels), ("unused", unused)]


def test_the_suite_says_what_is_wrong_with_a_format() -> None:
    suite = FormatSuite()
    suite.exporter = WideExporter()
    with pytest.raises(AssertionError, match=r"^two 4-bit weights share a byte, or packs_four_bits is False: saved bytes="):
        suite.test_four_bits_save_half_of_the_weights("text")
    suite.packs_four_bits = False
    suite.test_four_bits_save_half_of_the_weights("text")
    with pytest.raises(AssertionError, match=r"^byte_table adds up to the files, or counts_files is False: \d+, not \d+"):
        suite.test_bytes_are_a_function_of_the_arguments_and_the_table_adds_up("text")


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which a package adds formats that cannot be loaded, and one under the name of ours."""
    package = tmp_path / "site" / "us_broken-0.1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: us-broken\nVersion: 0.1\n")
    lines = ("gone = no_such_module:Format", "fails = failing:Format", "lacks = json:Format", "c = json:JSONEncoder")
    (package / "entry_points.txt").write_text("\n".join((f"[{formats.ENTRY_POINTS}]", *lines)))
    (tmp_path / "site" / "failing.py").write_text("raise RuntimeError('two\\nlines')\n")
    return {"PYTHONPATH": os.pathsep.join((str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")))}


FAILURES = {
    "gone": "(no_such_module:Format), where ModuleNotFoundError: No module named 'no_such_module'",
    "fails": "(failing:Format), where RuntimeError: two lines",
    "lacks": "(json:Format), where AttributeError: module 'json' has no attribute 'Format'",
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_format_that_cannot_be_loaded_is_one_line(tmp_path: Path, broken: dict[str, str], name: str) -> None:
    make_bundle(tmp_path / "b", formats=("python",))
    outcome = understudy("export", tmp_path / "b", "--to", name, environment=broken)
    assert outcome.exit_code == 4
    assert outcome.err == (
        f"error: a format is loaded from the package that adds it: received format='{name}' from package='us-broken' "
        f"{FAILURES[name]}; install that package again with what it needs, or remove it\n"
    )


def test_doctor_loads_added_formats_and_names_the_ignored_ones(broken: dict[str, str]) -> None:
    rows = json.loads(understudy("doctor", "--json", environment=broken).out)["formats"][len(formats.FORMATS) :]
    assert [(row["name"], row["available"]) for row in rows] == [
        *((name, False) for name in sorted(FAILURES)),
        ("c of us-broken", False),
    ]
    assert all(row["how"].endswith(FAILURES[row["name"]]) for row in rows[:-1])
    assert rows[-1]["how"] == "ignored: json:JSONEncoder, because understudy has a format of that name"


@pytest.mark.usefixtures("installed")
def test_a_bundle_holds_it(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", formats=("other",))
    assert bundle.formats == ("other",)
    assert bundle.verify("other").verified
    assert bundle.load().format == "other"


def test_a_bundle_whose_format_is_not_known_here_says_so(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", formats=("c", "python"))
    document = json.loads((tmp_path / "b" / "manifest.json").read_bytes())
    document["files"]["model.py"]["format"] = "other"
    manifest = Bundle.open(tmp_path / "b").manifest.model_validate(document).signed(signing_key())
    (tmp_path / "b" / "manifest.json").write_bytes(manifest.to_json())
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.load().format == "c"
    with pytest.raises(SetupError, match="received format='other', which nothing here adds; install what the bundle was"):
        bundle.load("other")
    results = {result.format: result for result in bundle.evaluate(["a"], ["other"])}
    assert results["c"].verified
    assert results["other"].runtime is None


def test_a_word_that_nothing_knows_is_refused() -> None:
    with pytest.raises(InputError, match=r"a format is one of onnx, litert, c, .*: received format='gguf'; choose one of them"):
        exporter("gguf")
