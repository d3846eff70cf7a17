"""Encrypted bundles: the same model for the owners of certain keys; ``spec/encryption.md`` section 1."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from understudy.bundle.decryption import ENCRYPTED
from understudy.bundle.manifest import MANIFEST, Encryption, Manifest, ManifestFile
from understudy.bundle.opened import Bundle
from understudy.bundle.write import PROGRAM, write_folder
from understudy.errors import InputError, SetupError, VerificationError
from understudy.export.c_float import CFloatExporter
from understudy.export.c_sealed import IMAGE, sealed_model
from understudy.protection.keys import key_id, read_key, signing_key, to_pem

_FLOAT_EXAMPLE = f"{CFloatExporter.example}.c"
"""It includes the header in float, which stands in the copy only encrypted: it would not compile there."""


@dataclass(frozen=True)
class EncryptedBundle:
    """What ``encrypt_bundle`` wrote.

    Attributes:
        manifest: of the new bundle.
        verified: formats that were decrypted and run here before anything was written.
        not_run: format to why its file could not be run here.
    """

    manifest: Manifest
    verified: tuple[str, ...]
    not_run: dict[str, str]


def encrypt_bundle(bundle: Bundle, out: Path, recipients: Sequence[Path]) -> EncryptedBundle:
    """Write an encrypted copy of ``bundle`` to ``out``; the formats that run from memory are decrypted and run before that.

    Args:
        bundle: a plain bundle; it stays as it is.
        out: a new or empty folder, or an older bundle that is replaced; folders above it are made where they are missing.
        recipients: public device keys (files); the owner of any of their private keys can read everything.

    Raises:
        InputError: a file is no such key, a key comes twice, or ``out`` is the bundle itself or has no name.
        BundleError: the bundle is encrypted already, or without its program.
        SetupError: the package cryptography is not installed, or the folder cannot be written.
        VerificationError: a decrypted file disagrees with the reference; nothing is written.
    """
    bundle.require_plain("encrypting")
    keys = read_recipients(recipients)
    if out.resolve() == bundle.folder.resolve():
        raise InputError(f"an encrypted bundle is a copy: received out={str(out)!r}, the bundle itself; choose another --out")
    if out.name in ("", ".."):  # it is replaced as a whole, which a folder that one stands in must not be
        raise InputError(
            f"an encrypted bundle is a folder with a name: received out={str(out)!r}; name a folder in it, as --out "
            f"{str(out / 'phone')!r}"
        )
    verified, not_run = _tried(bundle)
    contents, manifest = _contents(bundle, keys)
    with contextlib.suppress(OSError):  # what is in the way is said when the bundle is written
        out.parent.mkdir(parents=True, exist_ok=True)
    write_folder(out, contents)
    return EncryptedBundle(manifest, verified, not_run)


def read_recipients(paths: Sequence[Path]) -> list[bytes]:
    """Return the public device keys of the files ``paths``, 32 bytes each, after something was encrypted for them.

    Raises:
        InputError: there is none, a file is no such key or none that can be used, or a key comes twice.
        SetupError: the package cryptography is not installed.
    """
    from understudy.protection.envelope import seal

    keys = [read_key(path, "public device key") for path in paths]
    if not keys or len(set(keys)) < len(keys):
        raise InputError(
            f"a bundle is encrypted for different keys, at least one: received {', '.join(map(key_id, keys)) or 'none'}; "
            "name every key once"
        )
    seal(b"", name="nothing", digest=bytes(32), recipients=keys)
    return keys


def _contents(bundle: Bundle, recipients: Sequence[bytes]) -> tuple[dict[str, bytes], Manifest]:
    """Return the files of an encrypted copy, the manifest among them."""
    from understudy.protection.envelope import seal

    plain = bundle.manifest
    digest = bytes.fromhex(plain.digest)
    contents: dict[str, bytes] = {}
    formats: dict[str, str] = {}
    for name, entry in plain.files.items():
        if name == _FLOAT_EXAMPLE:
            continue
        secret = name
        content = bundle.read(name)
        if entry.format == "c":
            model = sealed_model(bundle.program(), name=plain.name, labels=plain.labels, digest=digest)
            contents |= model.files
            secret, content = IMAGE, model.image
        elif entry.format is None and name != PROGRAM:
            contents.setdefault(name, content)
            continue
        contents[secret + ENCRYPTED] = seal(content, name=secret, digest=digest, recipients=recipients)
        if entry.format is not None:
            formats[secret + ENCRYPTED] = entry.format
    files = {
        name: ManifestFile(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), format=formats.get(name))
        for name, content in sorted(contents.items())
    }
    encryption = Encryption(plain_digest=plain.digest, recipients=tuple(map(key_id, recipients)))
    manifest = plain.model_copy(update={"files": files, "encryption": encryption}).signed(signing_key())
    return {**contents, MANIFEST: manifest.to_json()}, manifest


def _tried(bundle: Bundle) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return which formats a copy for a key that is thrown away answers with, decrypted, as the reference does."""
    from understudy.protection.envelope import public_device_key

    secret = os.urandom(32)
    contents, _ = _contents(bundle, [public_device_key(secret)])
    verified, not_run = [], {}
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        for name, content in contents.items():
            (Path(temporary) / name).write_bytes(content)
        key = Path(temporary) / "thrown-away.key"
        key.write_bytes(to_pem("private device key", secret))
        copy = Bundle.open(temporary, key=key)
        for name in copy.formats:
            try:
                found = copy.verify(name)
            except SetupError as error:
                not_run[name] = str(error)
                continue
            if not found.verified:
                raise VerificationError(
                    f"a decrypted {name} file must reproduce the reference: received a file where {found.reason}; "
                    "nothing is written, please report this"
                )
            verified.append(name)
    return tuple(verified), not_run
