"""Key files are read by their kind, and the user's signing key is made once and kept private."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from understudy.errors import InputError, SetupError
from understudy.protection.envelope import public_device_key
from understudy.protection.keys import key_id, read_key, signing_key, to_pem, write_new

KINDS = ("private signing key", "public signing key", "private device key", "public device key")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("UNDERSTUDY_SIGNING_KEY", raising=False)
    return tmp_path / "home"


def test_it_is_made_on_first_use_and_stays(home: Path) -> None:
    first = signing_key()
    assert first.path == home / "signing.key"
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert signing_key() == first
    assert first.secret.hex() not in repr(first)
    assert [path.name for path in home.iterdir()] == ["signing.key"]


@pytest.mark.usefixtures("home")
def test_many_processes_at_once_have_one_key() -> None:
    code = "from understudy.protection.keys import signing_key; print(signing_key().public.hex())"

    def run(_: int) -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(run, range(4)))) == 1


@pytest.mark.usefixtures("home")
def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNDERSTUDY_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert signing_key().path == tmp_path / "xdg" / "understudy" / "signing.key"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert signing_key().path == tmp_path / "user" / ".config" / "understudy" / "signing.key"
    other = tmp_path / "ci.key"
    other.write_bytes(to_pem("private signing key", bytes(32)))
    monkeypatch.setenv("UNDERSTUDY_SIGNING_KEY", str(other))
    assert signing_key().secret == bytes(32)
    monkeypatch.setenv("UNDERSTUDY_SIGNING_KEY", str(tmp_path / "absent.key"))
    with pytest.raises(InputError, match=r"a private signing key is a file that can be read: .*absent.key"):
        signing_key()
    assert not (tmp_path / "absent.key").exists()


@pytest.mark.usefixtures("home")
def test_a_home_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(SetupError, match="set UNDERSTUDY_HOME to a folder, or UNDERSTUDY_SIGNING_KEY to a key file"):
        signing_key()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_read_as_what_it_is_and_nothing_else(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(to_pem(kind, bytes(range(32))))
    assert read_key(path, kind) == bytes(range(32))
    for other in set(KINDS) - {kind}:
        with pytest.raises(InputError, match=f"a {other} is a PEM file .* with a {kind}; 'understudy keys' makes them"):
            read_key(path, other)


def test_other_software_reads_them() -> None:
    for kind in KINDS:
        load = load_pem_private_key if kind.startswith("private") else load_pem_public_key
        pem = to_pem(kind, public_device_key(bytes(32)))
        key = load(pem, password=None) if kind.startswith("private") else load(pem)
        raw = key.private_bytes_raw() if kind.startswith("private") else key.public_bytes_raw()
        assert raw == public_device_key(bytes(32))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 200,
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nnot base64!\n-----END PRIVATE KEY-----\n",
        to_pem("private signing key", bytes(31)),
        to_pem("private signing key", bytes(33)),
        to_pem("private signing key", bytes(32)).replace(b"PRIVATE", b"PUBLIC"),
        b"x" * 10_000_000,
    ],
)
def test_what_is_no_key_is_said_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.key").write_bytes(content)
    with pytest.raises(
        InputError, match="a private signing key is a PEM file with 32 bytes in it: .* with no such key"
    ) as caught:
        read_key(tmp_path / "a.key", "private signing key")
    assert "\n" not in str(caught.value)


def test_a_key_file_is_never_replaced(tmp_path: Path) -> None:
    write_new(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_id_names_a_public_key() -> None:
    assert key_id(bytes(32)) == "66687aadf862bd77"  # the beginning of the SHA-256 of 32 zeros
