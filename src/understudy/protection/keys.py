"""Key files, and the key that signs what this user writes.

Files are PEM as RFC 8410 has it, 32 bytes inside, so that ``openssl genpkey -algorithm ed25519`` (to sign) or ``x25519`` (a
device's) makes them too. Private ones are written with mode 0600 and never replaced.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from understudy.errors import InputError, SetupError
from understudy.protection import ed25519

Kind = Literal["private signing key", "public signing key", "private device key", "public device key"]

# RFC 8410: what stands before the 32 bytes of each kind, and the word in the PEM header
_PREFIXES: Final[dict[Kind, tuple[bytes, str]]] = {
    "private signing key": (bytes.fromhex("302e020100300506032b657004220420"), "PRIVATE KEY"),
    "public signing key": (bytes.fromhex("302a300506032b6570032100"), "PUBLIC KEY"),
    "private device key": (bytes.fromhex("302e020100300506032b656e04220420"), "PRIVATE KEY"),
    "public device key": (bytes.fromhex("302a300506032b656e032100"), "PUBLIC KEY"),
}
_MOST_BYTES = 4096
HOME, SIGNING_KEY = "UNDERSTUDY_HOME", "UNDERSTUDY_SIGNING_KEY"
"""Environment variables: the folder of the user's key, and a key file in its place."""
SIGNING_FILE = "signing.key"


@dataclass(frozen=True)
class SigningKey:
    """What signs bundles.

    Attributes:
        secret: 32 bytes, shown nowhere.
        path: the file that holds them.
    """

    secret: bytes = field(repr=False)
    path: Path

    @property
    def public(self) -> bytes:
        """The 32 bytes that others know it by."""
        return ed25519.public_of(self.secret)


def key_id(public: bytes) -> str:
    """Return 16 hexadecimal digits that name a public key: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def to_pem(kind: Kind, content: bytes) -> bytes:
    """Return the file of ``kind`` that holds the 32 bytes ``content``."""
    prefix, word = _PREFIXES[kind]
    text = base64.b64encode(prefix + content).decode()
    return f"-----BEGIN {word}-----\n{text}\n-----END {word}-----\n".encode()


def read_key(path: Path, kind: Kind) -> bytes:
    """Return the 32 bytes of the key file ``path``.

    Raises:
        InputError: it cannot be read, or is not a key of this ``kind``.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES)
    except OSError as error:
        raise InputError(
            f"a {kind} is a file that can be read: received path={str(path)!r} ({error.strerror}); check the path"
        ) from None
    found = _kind_of(content)
    if found is None or found[0] != kind:
        received = "no such key" if found is None else f"a {found[0]}"
        raise InputError(
            f"a {kind} is a PEM file with 32 bytes in it: received path={str(path)!r} with {received}; "
            "'understudy keys' makes them"
        )
    return found[1]


def _kind_of(content: bytes) -> tuple[Kind, bytes] | None:
    lines = content.decode("ascii", "replace").split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    for kind, (prefix, word) in _PREFIXES.items():
        if len(lines) < 3 or (lines[0], lines[-1]) != (f"-----BEGIN {word}-----", f"-----END {word}-----"):
            continue
        try:
            inside = base64.b64decode("".join(lines[1:-1]), validate=True)
        except binascii.Error:
            return None
        if inside.startswith(prefix) and len(inside) == len(prefix) + 32:
            return kind, inside[len(prefix) :]
    return None


def signing_key() -> SigningKey:
    """Return the key that signs: of the file in ``UNDERSTUDY_SIGNING_KEY``, else the user's own, made on first use.

    The user's own is ``signing.key`` in ``UNDERSTUDY_HOME``, else in ``understudy`` below ``XDG_CONFIG_HOME`` or ``~/.config``.

    Raises:
        InputError: the file is there and holds no signing key, or the one that was asked for is not there.
        SetupError: there is none yet and none can be written.
    """
    given = os.environ.get(SIGNING_KEY)
    path = Path(given) if given else _own_key()
    return SigningKey(read_key(path, "private signing key"), path)


def _own_key() -> Path:
    """Return the path of the user's own key, after making it where there is none."""
    try:
        home = os.environ.get(HOME)
        folder = (
            Path(home) if home else Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "understudy"
        )
        path = folder / SIGNING_FILE
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # another process was first, and its key is the user's
                write_new(path, to_pem("private signing key", os.urandom(32)))
    except (OSError, RuntimeError) as error:
        raise SetupError(
            f"bundles are signed with a key of the user: received no place where one can be written ({error}); "
            f"set {HOME} to a folder, or {SIGNING_KEY} to a key file"
        ) from None
    return path


def write_new(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole, by default a private one, and never over another.

    Raises:
        FileExistsError: there is a file.
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)  # unlike a rename it fails where there is a file
    finally:
        temporary.unlink(missing_ok=True)
