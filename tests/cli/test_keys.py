"""``understudy keys``, ``--trust``, ``--key`` and ``export --encrypt`` as a user meets them."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from bundles import make_bundle
from command import contents, understudy
from understudy.protection.keys import to_pem


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


def test_the_public_signing_key_is_printed_for_others(bundle: Path, tmp_path: Path) -> None:
    shown = understudy("keys")
    assert shown.exit_code == 0
    assert re.fullmatch(r"signing key [0-9a-f]{16} in \S+/signing.key\n", shown.err)
    (tmp_path / "me.pub").write_text(shown.out)
    assert understudy("predict", bundle, "hello", "--trust", tmp_path / "me.pub").exit_code == 0
    document = json.loads(understudy("keys", "--json").out)
    assert document["public_key"] == shown.out
    assert document["id"] in shown.err
    assert set(document) == {"signing_key", "id", "public_key"}


@pytest.mark.parametrize("verb", ["predict", "evaluate", "bench", "demo", "export"])
def test_a_stranger_is_refused_by_every_verb(bundle: Path, tmp_path: Path, verb: str) -> None:
    stranger = {"UNDERSTUDY_HOME": str(tmp_path / "stranger")}
    (tmp_path / "stranger.pub").write_text(understudy("keys", environment=stranger).out)
    (tmp_path / "test.csv").write_text("text,label\nhello,other\n")
    arguments = {
        "predict": ["hello"],
        "evaluate": [tmp_path / "test.csv"],
        "bench": [],
        "demo": ["--out", tmp_path / "page"],
        "export": ["--to", "python"],
    }[verb]
    before = contents(bundle)
    outcome = understudy(verb, bundle, *arguments, "--trust", tmp_path / "stranger.pub")
    assert outcome.exit_code == 5
    assert outcome.out == ""
    assert len(outcome.err.splitlines()) == 1
    assert "error: a bundle is signed by a key that is trusted (" in outcome.err
    assert contents(bundle) == before


def test_another_signer_is_told(bundle: Path, tmp_path: Path) -> None:
    other = {"UNDERSTUDY_HOME": str(tmp_path / "other")}
    mine = json.loads(understudy("keys", "--json").out)["id"]
    theirs = json.loads(understudy("keys", "--json", environment=other).out)["id"]
    outcome = understudy("export", bundle, "--to", "python", environment=other)
    assert outcome.exit_code == 0, outcome.err
    assert f"signed by {theirs}; before this by {mine}" in outcome.out.splitlines()


def test_a_pair_of_keys_for_a_device(tmp_path: Path) -> None:
    outcome = understudy("keys", "watch", folder=tmp_path)
    assert outcome.exit_code == 0, outcome.err
    assert outcome.out.splitlines()[0] == "watch.key: private, for the device alone"
    assert stat.S_IMODE((tmp_path / "watch.key").stat().st_mode) == 0o600
    before = contents(tmp_path)
    assert set(before) == {"watch.key", "watch.pub"}
    again = understudy("keys", "watch", folder=tmp_path)
    assert again.exit_code == 4
    assert again.err.startswith("error: a key is never replaced: received name='watch', where 'watch.pub' is there")
    assert contents(tmp_path) == before
    (tmp_path / "watch.pub").unlink()
    half = understudy("keys", "watch", folder=tmp_path)  # a new public key would not belong to the private one that is there
    assert half.exit_code == 4
    assert "where 'watch.key' is there" in half.err
    assert set(contents(tmp_path)) == {"watch.key"}
    absent = understudy("keys", tmp_path / "no" / "watch")
    assert absent.exit_code == 4
    assert "keys need a folder that can be written" in absent.err


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_keys_of_a_device_without_a_name_are_refused(name: str, tmp_path: Path) -> None:
    outcome = understudy("keys", name, folder=tmp_path)
    assert outcome.exit_code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith("error: a device's keys have a name: received name=")
    assert contents(tmp_path) == {}


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plain bundle, keys of two devices, and the copy for one of them; not to be changed."""
    folder = tmp_path_factory.mktemp("encrypted")
    make_bundle(folder / "plain", formats=("onnx", "c"))
    for name in ("phone", "watch"):
        assert understudy("keys", name, folder=folder).exit_code == 0
    outcome = understudy("export", "plain", "--encrypt", "phone.pub", "--out", "copy", "--json", folder=folder)
    assert outcome.exit_code == 0, outcome.err
    document = json.loads(outcome.out)["encrypted"]
    assert document["verified"] == ["c", "onnx"]
    assert document["not_run"] == {}
    assert {"model.onnx.enc", "model.bin.enc", "program.npz.enc"} <= set(document["files"])
    return folder


def test_folders_above_a_copy_are_made(encrypted: Path, tmp_path: Path) -> None:
    out = tmp_path / "phones" / "new"
    outcome = understudy("export", encrypted / "plain", "--encrypt", encrypted / "phone.pub", "--out", out)
    assert outcome.exit_code == 0, outcome.err
    assert understudy("predict", out, "hello", "--key", encrypted / "phone.key").exit_code == 0
    (tmp_path / "file").touch()
    outcome = understudy("export", encrypted / "plain", "--encrypt", encrypted / "phone.pub", "--out", tmp_path / "file" / "x")
    assert outcome.exit_code == 4
    assert "error: a bundle needs a folder that can be written: received folder=" in outcome.err


@pytest.mark.parametrize("format_name", ["onnx", "c"])
def test_the_recipient_gets_the_answers_of_the_plain_bundle(encrypted: Path, format_name: str) -> None:
    arguments = ("hello there", "--format", format_name)
    plain = understudy("predict", encrypted / "plain", *arguments)
    opened = understudy("predict", encrypted / "copy", *arguments, "--key", encrypted / "phone.key")
    assert opened.exit_code == 0, opened.err
    assert opened.out == plain.out


def test_evaluate_decrypts_too(encrypted: Path, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,label\nhello,other\n")
    outcome = understudy("evaluate", encrypted / "copy", tmp_path / "test.csv", "--key", encrypted / "phone.key", "--json")
    assert outcome.exit_code == 0, outcome.err
    assert [file["verified"] for file in json.loads(outcome.out)["files"]] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "an encrypted bundle is read with a private key of a device: "),
        (("--key", "watch.key"), "a file is decrypted with a key that it was encrypted for: "),
        (("--key", "phone.pub"), "a private device key is a PEM file with 32 bytes in it: "),
        (("--key", "absent.key"), "a private device key is a file that can be read: "),
    ],
)
def test_a_wrong_key_is_one_line(encrypted: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = understudy("predict", "copy", "hello", *arguments, folder=encrypted)
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert outcome.err.startswith(f"error: {message}")
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "copy"), "bench takes a plain bundle: "),
        (("demo", "copy", "--out", "page"), "demo takes a plain bundle: "),
        (("export", "copy", "--to", "python"), "export takes a plain bundle: "),
        (("export", "copy", "--encrypt", "phone.pub", "--out", "twice"), "encrypting takes a plain bundle: "),
        (("export", "plain", "--encrypt", "phone.pub"), "an encrypted copy has a folder of its own: "),
        (("export", "plain", "--to", "python", "--out", "x"), "an encrypted copy has a folder of its own: "),
        (("export", "plain", "--encrypt", "phone.key", "--out", "x"), "a public device key is a PEM file "),
        (("export", "plain", "--encrypt", "phone.pub", "--out", "."), "an encrypted bundle is a folder with a name: "),
        (("export", "plain", "--encrypt", "phone.pub", "--out", "/"), "an encrypted bundle is a folder with a name: "),
        (("export", "plain", "--encrypt", "phone.pub", "--out", "x", "--text", "t"), "--test, --text and --label are of new"),
    ],
)
def test_what_does_not_go_together(encrypted: Path, arguments: tuple[str, ...], message: str) -> None:
    before = contents(encrypted)
    outcome = understudy(*arguments, folder=encrypted)
    assert outcome.exit_code == 2
    [line] = errors(outcome.err)
    assert line.startswith(f"error: {message}")
    assert contents(encrypted) == before


def test_without_the_package_the_extra_is_named(encrypted: Path, tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError(name='cryptography')\n")
    outcome = understudy("keys", "tablet", folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert outcome.exit_code == 4
    [line] = errors(outcome.err)
    assert line.startswith("error: encryption needs the 'encrypt' extra: received extra='encrypt' not installed; ")
    assert line.endswith("; run: pip install 'understudy[encrypt]'")
    without = {"PYTHONPATH": str(tmp_path)}
    assert understudy("predict", encrypted / "plain", "hello", environment=without).exit_code == 0  # signatures need no package


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--encrypt", "phone.key"), "a public device key is a PEM file with 32 bytes in it: "),
        (("--encrypt", "absent.pub"), "a public device key is a file that can be read: "),
        (("--encrypt", "phone.pub", "--encrypt", "phone.pub"), "a bundle is encrypted for different keys, at least one: "),
        (("--encrypt", "zero.pub"), "a device key is a point of large order: "),
        (("--encrypt", "phone.key", "--dry-run"), "a public device key is a PEM file with 32 bytes in it: "),
    ],
)
def test_compress_says_before_training_that_a_key_cannot_be_used(
    encrypted: Path, tiny_csv: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (encrypted / "zero.pub").write_bytes(to_pem("public device key", bytes(32)))
    outcome = understudy("compress", tiny_csv, "--budget", "16KB", "--out", tmp_path / "out", *arguments, folder=encrypted)
    assert outcome.exit_code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


def test_compress_says_before_training_that_the_package_is_missing(encrypted: Path, tiny_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError(name='cryptography')\n")
    outcome = understudy(
        "compress", tiny_csv, "--budget", "16KB", "--out", tmp_path / "out", "--encrypt", encrypted / "phone.pub",
        environment={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert outcome.exit_code == 4
    [line] = outcome.err.splitlines()
    assert line.startswith("error: encryption needs the 'encrypt' extra: ")
    assert not (tmp_path / "out").exists()


def test_keys_in_a_job_file_stand_beside_it(encrypted: Path, tiny_csv: Path, tmp_path: Path) -> None:
    job = f'budgets = ["16KB"]\nencrypt = ["phone.pub"]\n[data]\ntrain = {json.dumps(str(tiny_csv))}\n'
    (encrypted / "job.toml").write_text(job)
    outcome = understudy("compress", encrypted / "job.toml", "--dry-run", "--json", folder=tmp_path)
    assert outcome.exit_code == 0, outcome.err
    assert json.loads(outcome.out)["job"]["encrypt"] == [str(encrypted / "phone.pub")]
