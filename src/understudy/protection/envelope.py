"""The encrypted file of ``spec/encryption.md``: one content key, wrapped for each recipient. Needs the package cryptography."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from understudy.errors import BundleError, InputError, missing_extra
from understudy.protection.keys import key_id

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as error:
    raise missing_extra(purpose="encryption", extra="encrypt") from error

MAGIC: Final = b"USENVLP1"
_PURPOSE: Final = b"understudy envelope 1"
_DIGEST, _EPHEMERAL, _NONCE, _FIXED = 8, 40, 72, 87
"""Where the fields begin, and where the file name does."""
_ID_BYTES, _ENTRY_BYTES, _TAG_BYTES = 8, 56, 16
_NO_NONCE: Final = bytes(12)
"""A wrapping key wraps one key, so its nonce never comes twice."""


@dataclass(frozen=True)
class Secrets:
    """What must be random in each envelope.

    Attributes:
        ephemeral: private X25519 key, 32 bytes.
        content_key: 32 bytes.
        nonce: 12 bytes.
    """

    ephemeral: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    content_key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    nonce: bytes = field(default_factory=lambda: os.urandom(12))


def public_device_key(private: bytes) -> bytes:
    """Return the public key of a private device key, 32 bytes each."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal(content: bytes, *, name: str, digest: bytes, recipients: Sequence[bytes], secrets: Secrets | None = None) -> bytes:
    """Return the envelope of ``content``.

    Args:
        content: the file.
        name: the file's name in the bundle, 1 to 255 characters of ASCII.
        digest: sha256 that names the plain bundle.
        recipients: public device keys, 32 bytes each, all different.
        secrets: what is random; given only to repeat a known answer.

    Raises:
        InputError: a recipient is no usable key.
    """
    secrets = secrets or Secrets()
    private = X25519PrivateKey.from_private_bytes(secrets.ephemeral)
    ephemeral = private.public_key().public_bytes_raw()
    title = name.encode("ascii")
    fixed = MAGIC + digest + ephemeral + secrets.nonce + len(recipients).to_bytes(2, "little") + bytes([len(title)]) + title
    entries = []
    for public in recipients:
        key = _wrapping_key(private, public, digest=digest, ephemeral=ephemeral, recipient=public)
        entries.append(bytes.fromhex(key_id(public)) + AESGCM(key).encrypt(_NO_NONCE, secrets.content_key, fixed))
    header = fixed + b"".join(entries)
    return header + AESGCM(secrets.content_key).encrypt(secrets.nonce, content, header)


def unseal(envelope: bytes, *, name: str, digest: bytes, private: bytes) -> bytes:
    """Return the content of ``envelope``.

    Args:
        envelope: what ``seal`` returned.
        name: the name that the file must have been given.
        digest: the digest that it must have been given.
        private: a device key, 32 bytes.

    Raises:
        InputError: it was not encrypted for this key.
        BundleError: it is not an envelope of this file and bundle, or not as it was encrypted.
    """
    title = name.encode("ascii")
    fixed = _FIXED + len(title)
    entries_at = fixed
    if len(envelope) < _FIXED or envelope[:_DIGEST] != MAGIC:
        raise _not_as_encrypted(name, "no envelope")
    count = int.from_bytes(envelope[84:86], "little")
    header = fixed + _ENTRY_BYTES * count
    if envelope[86] != len(title) or envelope[_FIXED:fixed] != title or envelope[_DIGEST:_EPHEMERAL] != digest:
        raise _not_as_encrypted(name, "the envelope of another file")
    if not count or len(envelope) < header + _TAG_BYTES:
        raise _not_as_encrypted(name, "a truncated envelope")
    own = public_device_key(private)
    entries = (envelope[at : at + _ENTRY_BYTES] for at in range(entries_at, header, _ENTRY_BYTES))
    entry = next((entry for entry in entries if entry[:_ID_BYTES].hex() == key_id(own)), None)
    if entry is None:
        raise InputError(
            f"a file is decrypted with a key that it was encrypted for: received key={key_id(own)!r}, which is no recipient of "
            f"{name!r}; give another --key, or encrypt the bundle for this one"
        )
    ephemeral = envelope[_EPHEMERAL:_NONCE]
    try:
        secret = X25519PrivateKey.from_private_bytes(private)
        key = _wrapping_key(secret, ephemeral, digest=digest, ephemeral=ephemeral, recipient=own)
        content_key = AESGCM(key).decrypt(_NO_NONCE, entry[_ID_BYTES:], envelope[:fixed])
        return AESGCM(content_key).decrypt(envelope[_NONCE : _NONCE + 12], envelope[header:], envelope[:header])
    except (InvalidTag, InputError):
        raise _not_as_encrypted(name, "another content than was encrypted") from None


def _wrapping_key(private: X25519PrivateKey, public: bytes, *, digest: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # the secret would be zero
        raise InputError(
            f"a device key is a point of large order: received key={key_id(public)!r}; make one with 'understudy keys NAME'"
        ) from None
    return HKDF(SHA256(), 32, salt=digest, info=_PURPOSE + ephemeral + recipient).derive(shared)


def _not_as_encrypted(name: str, reason: str) -> BundleError:
    return BundleError(
        f"an encrypted file must be as it was encrypted: received {name!r}, {reason}; copy the whole bundle again"
    )
