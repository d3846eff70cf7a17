"""Ed25519: known answers of RFC 8032, the same answers as another implementation, and nothing else is a signature."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.protection.ed25519 import is_signed, public_of, sign

ORDER = 2**252 + 27742317777372353535851937790883648493
RFC_8032 = (  # section 7.1, tests 1 to 3
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
)


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_the_answers_of_the_standard(secret: str, public: str, message: str, signature: str) -> None:
    assert public_of(bytes.fromhex(secret)).hex() == public
    assert sign(bytes.fromhex(secret), bytes.fromhex(message)).hex() == signature
    assert is_signed(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@settings(max_examples=15)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_another_implementation_gives_the_same_bytes(secret: bytes, message: bytes) -> None:
    other = Ed25519PrivateKey.from_private_bytes(secret)
    assert public_of(secret) == other.public_key().public_bytes_raw()
    signature = sign(secret, message)
    assert signature == other.sign(message)
    assert is_signed(public_of(secret), message, signature)


def test_no_altered_bit_is_signed() -> None:
    secret, message = bytes(range(32)), b"message"
    public, signature = public_of(secret), sign(bytes(range(32)), message)
    for position in range(64):
        altered = bytearray(signature)
        altered[position] ^= 1 << position % 8
        assert not is_signed(public, message, bytes(altered))
    for position in range(32):
        altered = bytearray(public)
        altered[position] ^= 1 << position % 8
        assert not is_signed(bytes(altered), message, signature)
    assert not is_signed(public, message + b"\0", signature)


def test_what_is_malformed_is_not_signed() -> None:
    public, signature = public_of(bytes(32)), sign(bytes(32), b"")
    answer = int.from_bytes(signature[32:], "little")
    malleable = signature[:32] + (answer + ORDER).to_bytes(32, "little")  # RFC 8032 5.1.7: S below the order
    not_reduced = (2**255 - 18).to_bytes(32, "little")  # another string of bytes for the point with y = 1
    for bad_public, bad_signature in (
        (public, malleable),
        (public, signature[:-1]),
        (public[:-1], signature),
        (public, b""),
        (not_reduced, signature),
        (public, not_reduced + signature[32:]),
        (b"\xff" * 32, b"\xff" * 64),
        ((2).to_bytes(32, "little"), signature),  # on no point of the curve
        ((1 | 1 << 255).to_bytes(32, "little"), signature),  # x = 0 with a sign
    ):
        assert not is_signed(bad_public, b"", bad_signature)
