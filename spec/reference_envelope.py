"""Scalar reference for ``encryption.md``: X25519, HKDF and AES-256-GCM from their standards; slow, and for vectors only."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_P: Final = 2**255 - 19


def x25519(secret: bytes, point: bytes) -> bytes:
    """Return RFC 7748 section 5."""
    k = int.from_bytes(secret, "little") & (2**254 - 8) | 2**254
    x1 = int.from_bytes(point, "little") % 2**255 % _P
    x2, z2, x3, z3 = 1, 0, x1, 1
    for t in range(254, -1, -1):
        if k >> t & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, e = a * a, b * b, 4 * x2 * z2
        x3, z3 = (d * a + c * b) ** 2 % _P, x1 * (d * a - c * b) ** 2 % _P
        x2, z2 = aa * bb % _P, e * (aa + 121665 * e) % _P
        if k >> t & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, -1, _P) % _P if z2 else 0).to_bytes(32, "little")


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes of RFC 5869 with SHA-256."""
    return hmac.digest(hmac.digest(salt, secret, hashlib.sha256), info + b"\x01", hashlib.sha256)


def _times(a: int, b: int) -> int:
    product = 0
    for i in range(8):
        product ^= (a << i) * (b >> i & 1)
    for i in range(14, 7, -1):
        product ^= (0x11B << i - 8) * (product >> i & 1)
    return product


_SBOX = [0] * 256
for _a in range(256):
    _b = next((b for b in range(256) if _times(_a, b) == 1), 0)
    _SBOX[_a] = 0x63
    for _shift in range(5):
        _SBOX[_a] ^= (_b << _shift | _b >> 8 - _shift) & 0xFF


def _round_keys(key: bytes) -> list[bytes]:
    words = [key[i : i + 4] for i in range(0, 32, 4)]
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = bytes(_SBOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ 1 << i // 8 - 1]) + word[1:]
        elif i % 8 == 4:
            word = bytes(_SBOX[b] for b in word)
        words.append(bytes(a ^ b for a, b in zip(words[i - 8], word, strict=True)))
    return [b"".join(words[i : i + 4]) for i in range(0, 60, 4)]


def aes(key: bytes, block: bytes) -> bytes:
    """Return FIPS 197 for a key of 32 bytes."""
    keys = _round_keys(key)
    s = [a ^ b for a, b in zip(block, keys[0], strict=True)]
    for i in range(1, 15):
        s = [_SBOX[s[(4 * (k // 4 + k % 4) + k % 4) % 16]] for k in range(16)]
        if i < 14:
            s = [
                _times(2, s[k])
                ^ _times(3, s[k // 4 * 4 + (k + 1) % 4])
                ^ s[k // 4 * 4 + (k + 2) % 4]
                ^ s[k // 4 * 4 + (k + 3) % 4]
                for k in range(16)
            ]
        s = [a ^ b for a, b in zip(s, keys[i], strict=True)]
    return bytes(s)


def _ghash(h: int, content: bytes) -> int:
    y = 0
    for at in range(0, len(content), 16):
        y ^= int.from_bytes(content[at : at + 16], "big")
        z, v = 0, h
        for bit in range(127, -1, -1):
            z ^= v * (y >> bit & 1)
            v = v >> 1 ^ (0xE1 << 120) * (v & 1)
        y = z
    return y


def gcm(key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
    """Return ciphertext and tag of NIST SP 800-38D."""
    stream = b"".join(aes(key, nonce + (2 + i).to_bytes(4, "big")) for i in range(-(-len(plain) // 16)))
    text = bytes(a ^ b for a, b in zip(plain, stream, strict=False))
    padded = b"".join(part + bytes(-len(part) % 16) for part in (associated, text))
    lengths = (8 * len(associated)).to_bytes(8, "big") + (8 * len(text)).to_bytes(8, "big")
    tag = _ghash(int.from_bytes(aes(key, bytes(16)), "big"), padded + lengths)
    return text + (tag ^ int.from_bytes(aes(key, nonce + b"\0\0\0\1"), "big")).to_bytes(16, "big")


def envelope(
    content: bytes, *, name: bytes, digest: bytes, publics: list[bytes], ephemeral: bytes, content_key: bytes, nonce: bytes
) -> bytes:
    """Return the file of ``encryption.md`` section 2 for the recipients ``publics``."""
    shown = x25519(ephemeral, (9).to_bytes(32, "little"))
    header = b"USENVLP1" + digest + shown + nonce + len(publics).to_bytes(2, "little") + bytes([len(name)]) + name
    fixed = header
    for public in publics:
        key = hkdf(x25519(ephemeral, public), digest, b"understudy envelope 1" + shown + public)
        header += hashlib.sha256(public).digest()[:8] + gcm(key, bytes(12), content_key, fixed)
    return header + gcm(content_key, nonce, content, header)
