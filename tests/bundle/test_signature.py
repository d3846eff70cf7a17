"""Every bundle is signed, the signature is checked before anything else is believed, and a signer can be asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundles import make_bundle
from understudy.additions import add_formats
from understudy.bundle import Bundle
from understudy.errors import BundleError, InputError
from understudy.protection import ed25519
from understudy.protection.keys import key_id, signing_key, to_pem

ANN, BOB = bytes([1] * 32), bytes([2] * 32)


def act_as(secret: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sign with ``secret`` from here on; return the file of its public key."""
    (folder / "signing.key").write_bytes(to_pem("private signing key", secret))
    monkeypatch.setenv("UNDERSTUDY_SIGNING_KEY", str(folder / "signing.key"))
    public = folder / f"{key_id(ed25519.public_of(secret))}.pub"
    public.write_bytes(to_pem("public signing key", ed25519.public_of(secret)))
    return public


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "16KB", formats=("c",))
    return tmp_path / "16KB"


def test_it_is_signed_by_the_users_key_over_what_the_specification_says(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert opened.signer == key_id(signing_key().public)
    document = json.loads((bundle / "manifest.json").read_bytes())
    assert document["signature"]["public_key"] == signing_key().public.hex()
    message = b"understudy manifest " + document["digest"].encode()
    assert ed25519.is_signed(signing_key().public, message, bytes.fromhex(document["signature"]["value"]))


def test_the_digest_does_not_depend_on_who_signs(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    act_as(BOB, tmp_path, monkeypatch)
    by_bob = make_bundle(tmp_path / "again", formats=("c",))
    assert by_bob.manifest.digest == Bundle.open(bundle).manifest.digest
    assert by_bob.signer != Bundle.open(bundle).signer


def test_a_trusted_signer_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = act_as(BOB, tmp_path, monkeypatch)
    ann = act_as(ANN, tmp_path, monkeypatch)
    make_bundle(tmp_path / "b", formats=("c",))
    assert Bundle.open(tmp_path / "b", trusted=[ann]).signer == ann.stem
    assert Bundle.open(tmp_path / "b", trusted=[bob, ann]).signer == ann.stem
    with pytest.raises(BundleError, match=rf"trusted \({bob.stem}\): received bundle=.* signed by {ann.stem}; get it from its"):
        Bundle.open(tmp_path / "b", trusted=[bob])
    assert Bundle.open(tmp_path / "b", trusted=ann).signer == ann.stem
    with pytest.raises(InputError, match=r"a trusted signer has a key: received trusted=\[\]; name one"):
        Bundle.open(tmp_path / "b", trusted=[])
    with pytest.raises(InputError, match="a public signing key is a PEM file .* with a private signing key"):
        Bundle.open(tmp_path / "b", trusted=[tmp_path / "signing.key"])


def test_nothing_is_believed_without_a_signature(bundle: Path) -> None:
    path = bundle / "manifest.json"
    document = json.loads(path.read_bytes())
    del document["signature"]
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    with pytest.raises(BundleError, match="manifest.json: it has no signature; copy the whole folder again"):
        Bundle.open(bundle)
    with pytest.raises(BundleError, match="it has no signature"):
        add_formats(bundle, ["python"])
    assert path.read_bytes() == (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def test_who_adds_a_format_signs(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Bundle.open(bundle).signer
    bob = act_as(BOB, tmp_path, monkeypatch)
    with pytest.raises(BundleError, match=f"received bundle=.* signed by {before}"):
        add_formats(bundle, ["python"], trusted=[bob])
    assert Bundle.open(bundle).formats == ("c",)
    added = add_formats(bundle, ["python"])
    assert (added.signer_before, added.signer) == (before, bob.stem)
    assert Bundle.open(bundle, trusted=[bob]).formats == ("c", "python")
    again = add_formats(bundle, ["python"])
    assert (again.signer_before, again.signer) == (bob.stem, bob.stem)
