"""What an encrypted bundle needs more when it is read: a device's private key, and runtimes that take a file from memory."""

from __future__ import annotations

from pathlib import Path

from understudy.bundle.manifest import Manifest, altered_bundle
from understudy.errors import BundleError, InputError, SetupError, UnderstudyError
from understudy.export.c import CExporter
from understudy.export.protocol import MemoryExporter, Session
from understudy.export.registry import exporter

ENCRYPTED = ".enc"
"""What the name of an encrypted file ends with, behind its name in the plain bundle."""


def decrypted(folder: Path, manifest: Manifest, name: str, *, private: bytes | None) -> bytes:
    """Return the content of the encrypted file ``name``.

    Raises:
        InputError: no key, or one that the bundle was not encrypted for.
        BundleError: the file is not as it was encrypted.
    """
    from understudy.protection.envelope import unseal

    assert manifest.encryption is not None
    envelope, secret = _envelope(folder, name), _secret(folder, private)
    digest = bytes.fromhex(manifest.encryption.plain_digest)
    return unseal(envelope, name=name.removesuffix(ENCRYPTED), digest=digest, private=secret)


def open_decrypted(folder: Path, manifest: Manifest, format_name: str, *, private: bytes | None) -> Session:
    """Return a session on the file of ``format_name``; what is decrypted stays in memory.

    Raises:
        InputError: no key, or one that the bundle was not encrypted for.
        BundleError: the file is not as it was encrypted.
        SetupError: this format can only be run from a plain file.
    """
    name = next(name for name, entry in manifest.files.items() if entry.format == format_name)
    writer = exporter(format_name)
    if isinstance(writer, CExporter):
        secret = _secret(folder, private)
        decrypted(folder, manifest, name, private=private)  # Python says in words what C says with a number
        session = writer.open(folder, name=manifest.name)
        code = session.open_envelope(_envelope(folder, name), secret)
        if code:
            raise BundleError(
                f"an encrypted C model opens with its key: received bundle={str(folder)!r} with error {code} of C"
            )
        return session
    if not isinstance(writer, MemoryExporter):
        others = _run_from_memory(manifest)
        step = f"run the {' or '.join(others)} file" if others else "run the plain bundle that it was made from"
        raise SetupError(
            f"an encrypted bundle is decrypted in memory only: received format={format_name!r}, whose runtime reads files; "
            f"{step}"
        )
    return writer.open_content(decrypted(folder, manifest, name, private=private), path=folder / name)


def _run_from_memory(manifest: Manifest) -> list[str]:
    """Return the formats of the bundle that can be run without a decrypted file on a disk."""
    found = []
    for name in manifest.formats:
        try:
            writer = exporter(name)
        except UnderstudyError:  # of another package, or one whose packages are missing here
            continue
        if isinstance(writer, CExporter | MemoryExporter):
            found.append(name)
    return found


def _secret(folder: Path, private: bytes | None) -> bytes:
    if private is None:
        raise InputError(
            f"an encrypted bundle is read with a private key of a device: received bundle={str(folder)!r} and no key; "
            "add --key DEVICE.key"
        )
    return private


def _envelope(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise altered_bundle(str(folder), f"{name}: {error.strerror or error}") from None
