"""Envelopes: the golden vectors in Python and in C, and no byte can change."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.errors import BundleError, InputError
from understudy.protection.envelope import Secrets, public_device_key, seal, unseal

REPOSITORY = Path(__file__).resolve().parents[2]
VECTORS = json.loads((REPOSITORY / "spec" / "vectors" / "envelope.json").read_text(encoding="ascii"))
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wsign-conversion", "-Wshadow")
CLOSED, ENVELOPE, RECIPIENT, ALTERED, CAPACITY = range(-10, -15, -1)
SOURCE = """\
#include "understudy_open.h"
int opened(const uint8_t *envelope, size_t n, const uint8_t *secret, const uint8_t *digest, const char *name, uint8_t *plain,
           size_t capacity, size_t *plain_n);
int opened(const uint8_t *envelope, size_t n, const uint8_t *secret, const uint8_t *digest, const char *name, uint8_t *plain,
           size_t capacity, size_t *plain_n) {
    return us_open(envelope, n, secret, digest, name, plain, capacity, plain_n);
}
void exchanged(uint8_t *out, const uint8_t *secret, const uint8_t *point);
void exchanged(uint8_t *out, const uint8_t *secret, const uint8_t *point) {
    us_x25519(out, secret, point);
}
"""
Open = Callable[..., tuple[int, bytes]]
DEVICE = bytes(range(32))
NAME, DIGEST = "model.bin", bytes(range(100, 132))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The opener in C, stopped by sanitizers at the first read or write that is out of place."""
    folder = tmp_path_factory.mktemp("opener")
    (folder / "opener.c").write_text(SOURCE)
    flags = ("-O2", "-shared", "-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover=all")
    include = f"-I{REPOSITORY / 'device' / 'c'}"
    subprocess.run(["cc", *STRICT, *flags, include, "opener.c", "-o", "opener.so"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "opener.so"))


@pytest.fixture(scope="module")
def open_in_c(library: ctypes.CDLL) -> Open:
    def opened(
        envelope: bytes, *, private: bytes, digest: bytes | None = None, name: str | None = None, capacity: int = 4096
    ) -> tuple[int, bytes]:
        plain, length = ctypes.create_string_buffer(b"\xaa" * 4096, 4096), ctypes.c_size_t(0)
        exact = (ctypes.c_uint8 * max(len(envelope), 1)).from_buffer_copy(envelope or b"\0")
        title = None if name is None else name.encode()
        code = library.opened(
            exact,
            ctypes.c_size_t(len(envelope)),
            private,
            digest,
            title,
            plain,
            ctypes.c_size_t(capacity),
            ctypes.byref(length),
        )
        assert code == 0 or plain.raw == b"\xaa" * 4096, "something was written before it was checked"
        return code, plain.raw[: length.value]

    return opened


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{len(v['content']) // 2} bytes")
def test_golden_vectors(vector: dict, open_in_c: Open) -> None:
    known = {key: [bytes.fromhex(v) for v in value] if isinstance(value, list) else value for key, value in vector.items()}
    known |= {key: bytes.fromhex(value) for key, value in vector.items() if key != "name" and isinstance(value, str)}
    secrets = Secrets(known["ephemeral"], known["content_key"], known["nonce"])
    sealed = seal(known["content"], name=known["name"], digest=known["digest"], recipients=known["publics"], secrets=secrets)
    assert sealed == known["envelope"]
    for private, public in zip(known["privates"], known["publics"], strict=True):
        assert public_device_key(private) == public
        assert unseal(sealed, name=known["name"], digest=known["digest"], private=private) == known["content"]
        assert open_in_c(sealed, private=private, name=known["name"], digest=known["digest"]) == (0, known["content"])
        assert open_in_c(sealed, private=private) == (0, known["content"])


def test_key_agreement_is_that_of_the_standard(library: ctypes.CDLL) -> None:
    """RFC 7748 section 5.2, the first two vectors and one iteration of the third; the last bit of a point is ignored."""

    def exchange(secret: bytes, point: bytes) -> bytes:
        out = ctypes.create_string_buffer(32)
        library.exchanged(out, secret, point)
        return out.raw

    for secret, point, expected in (
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ):
        assert exchange(bytes.fromhex(secret), bytes.fromhex(point)).hex() == expected
    nine = (9).to_bytes(32, "little")
    assert exchange(nine, nine).hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"


@settings(max_examples=30)
@given(secret=st.binary(min_size=32, max_size=32), point=st.binary(min_size=32, max_size=32))
def test_key_agreement_is_that_of_another_implementation(library: ctypes.CDLL, secret: bytes, point: bytes) -> None:
    out = ctypes.create_string_buffer(32)
    library.exchanged(out, secret, point)
    try:
        expected = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        expected = bytes(32)
    assert out.raw == expected


def sealed(content: bytes = b"forty bytes that nobody else is to see.") -> bytes:
    recipients = [public_device_key(bytes(32)), public_device_key(DEVICE)]
    return seal(content, name=NAME, digest=DIGEST, recipients=recipients)


def test_every_flipped_byte_and_every_cut_is_found(open_in_c: Open) -> None:
    whole = sealed()
    assert unseal(whole, name=NAME, digest=DIGEST, private=DEVICE) == open_in_c(whole, private=DEVICE)[1]
    damaged = [whole[:length] for length in range(len(whole))]
    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 0x80 >> position % 8
        damaged.append(bytes(altered))
    for envelope in damaged:
        with pytest.raises((BundleError, InputError)) as caught:
            unseal(envelope, name=NAME, digest=DIGEST, private=DEVICE)
        assert "\n" not in str(caught.value)
        code, plain = open_in_c(envelope, private=DEVICE, name=NAME, digest=DIGEST)
        assert (code < 0, plain) == (True, b"")
        assert code in (ENVELOPE, RECIPIENT, ALTERED)


def test_it_opens_for_its_recipients_and_as_what_it_is_only(open_in_c: Open) -> None:
    whole = sealed()
    with pytest.raises(InputError, match="received key='.{16}', which is no recipient of 'model.bin'; give another --key"):
        unseal(whole, name=NAME, digest=DIGEST, private=bytes([7] * 32))
    assert open_in_c(whole, private=bytes([7] * 32))[0] == RECIPIENT
    for name, digest in (("model.bib", DIGEST), ("model.binary", DIGEST), ("model", DIGEST), (NAME, bytes(32))):
        with pytest.raises(BundleError, match="the envelope of another file; copy the whole bundle again"):
            unseal(whole, name=name, digest=digest, private=DEVICE)
        assert open_in_c(whole, private=DEVICE, name=name, digest=digest)[0] == ENVELOPE
    assert open_in_c(whole, private=DEVICE, capacity=38)[0] == CAPACITY
    assert open_in_c(whole, private=DEVICE, capacity=39)[0] == 0
    assert open_in_c(b"", private=DEVICE)[0] == ENVELOPE


def test_two_envelopes_of_one_content_share_nothing_that_is_secret() -> None:
    assert sealed()[40:84] != sealed()[40:84]
    assert sealed()[-50:] != sealed()[-50:]


def test_a_key_of_small_order_is_refused(open_in_c: Open) -> None:
    with pytest.raises(InputError, match="a device key is a point of large order: received key='.*'; make one with"):
        seal(b"", name=NAME, digest=DIGEST, recipients=[bytes(32)])
    altered = bytearray(sealed())
    altered[40:72] = bytes(32)
    with pytest.raises(BundleError, match="another content than was encrypted"):
        unseal(bytes(altered), name=NAME, digest=DIGEST, private=DEVICE)
    assert open_in_c(bytes(altered), private=DEVICE)[0] == ALTERED


@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-none-eabi-gcc"])
def test_the_opener_compiles_without_a_warning_and_calls_nothing(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    (tmp_path / "opener.c").write_text(SOURCE)
    include = f"-I{REPOSITORY / 'device' / 'c'}"
    target = ("-mcpu=cortex-m4", "-mthumb") if compiler.startswith("arm") else ()
    command = [compiler, *STRICT, *target, "-Os", include, "-c", "opener.c", "-o", "opener.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    undefined = subprocess.run(["nm", "-u", "opener.o"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    allowed = ("memset", "memcpy", "memmove", "__aeabi_", "__stack_chk", "_GLOBAL_OFFSET_TABLE_")
    assert all(any(name in line for name in allowed) for line in undefined.splitlines()), undefined


def test_the_stack_of_the_opener_is_as_stated(tmp_path: Path) -> None:
    """The deepest calls are the key agreement's and, later, the decryption's."""
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc on this machine")
    (tmp_path / "opener.c").write_text(SOURCE)
    include = f"-I{REPOSITORY / 'device' / 'c'}"
    command = ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m4", "-mthumb", "-Os", "-fstack-usage", include, "-c", "opener.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    rows = [line.split("\t") for line in (tmp_path / "opener.su").read_text().splitlines()]
    frame = {name.rpartition(":")[2].partition(".")[0]: int(count) for name, count, _ in rows}
    agreement = frame["us_x25519"] + frame["us_field_multiply"] + frame["us_carry"]
    decryption = frame["us_gcm_open"] + frame["us_aes_encrypt"] + frame["us_substitute"] + frame["us_gf_multiply"]
    assert frame["us_open"] + max(agreement, decryption) < 2048
