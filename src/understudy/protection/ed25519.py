"""Ed25519 signatures as in RFC 8032 section 5.1, in Python integers, so that every installation can check a bundle.

docs/adr/0016 says why this is here. A signature takes a few milliseconds, whose length says a little about the secret to
whoever can time this process exactly; the multiplications below make the same steps for every secret.
"""

from __future__ import annotations

import hashlib
from typing import Final

PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT: Final = pow(2, (_P - 1) // 4, _P)
"""A square root of -1."""

Point = tuple[int, int, int, int]
"""Extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z and xy = T/Z."""
_NEUTRAL: Final[Point] = (0, 1, 1, 0)


def _add(a: Point, b: Point) -> Point:
    """Return the sum; the formula holds for equal points too (RFC 8032 section 5.1.4)."""
    low, high = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    c, d = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = high - low, d - c, d + c, high + low
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: Point) -> Point:
    """Return ``scalar`` times ``point``, always in 256 doublings and 256 additions."""
    result = _NEUTRAL
    for bit in range(255, -1, -1):
        result = _add(result, result)
        result = (result, _add(result, point))[scalar >> bit & 1]
    return result


def _sum_of_products(first: int, a: Point, second: int, b: Point) -> Point:
    """Return ``first * a + second * b``; for what is public, because its steps depend on the numbers."""
    chosen = (_NEUTRAL, a, b, _add(a, b))
    result = _NEUTRAL
    for bit in range(max(first.bit_length(), second.bit_length()) - 1, -1, -1):
        result = _add(result, result)
        which = (first >> bit & 1) | (second >> bit & 1) << 1
        if which:
            result = _add(result, chosen[which])
    return result


def _same(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % _P == 0 and (a[1] * b[2] - b[1] * a[2]) % _P == 0


def _pack(point: Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _unpack(content: bytes) -> Point | None:
    """Return the point that 32 bytes stand for, or None: only one string of bytes stands for each point."""
    number = int.from_bytes(content, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_BASE: Final = _unpack((4 * pow(5, -1, _P) % _P).to_bytes(32, "little")) or _NEUTRAL


def _expand(secret: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(secret).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & (2**254 - 8) | 2**254, digest[32:]


def _challenge(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % _ORDER


def public_of(secret: bytes) -> bytes:
    """Return the 32 bytes of the public key that belongs to the 32 bytes of ``secret``."""
    return _pack(_multiply(_expand(secret)[0], _BASE))


def sign(secret: bytes, message: bytes) -> bytes:
    """Return the 64 bytes of the signature; the same secret and message give the same bytes."""
    scalar, prefix = _expand(secret)
    public = _pack(_multiply(scalar, _BASE))
    nonce = _challenge(prefix, message)
    commitment = _pack(_multiply(nonce, _BASE))
    answer = (nonce + _challenge(commitment, public, message) * scalar) % _ORDER
    return commitment + answer.to_bytes(32, "little")


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether ``signature`` is one of ``message`` by the owner of ``public``; anything else is False."""
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key, commitment = _unpack(public), _unpack(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or answer >= _ORDER:
        return False
    challenge = _challenge(signature[:32], public, message)
    negative = (_P - key[0], key[1], key[2], _P - key[3])
    return _same(_sum_of_products(answer, _BASE, challenge, negative), commitment)
