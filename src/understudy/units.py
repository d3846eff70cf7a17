"""Sizes and durations as people write them. 1 KB is 1024 bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from understudy.errors import InputError

_FOLDED = re.IGNORECASE | re.ASCII
"""Without ASCII the sign for kelvin would be a K."""
_BYTES = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2}
_COUNTS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}
_MICROSECONDS = {"us": 1.0, "ms": 1e3, "s": 1e6}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_bytes(text: str | int) -> int:
    """Return the number of bytes that ``text`` names: ``16KB``, ``1.5MB``, ``900B`` or a plain integer.

    Raises:
        InputError: not a size, or not positive.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*(B|KB|MB)?\s*", str(text), flags=_FOLDED)
    size = int(float(match[1]) * _BYTES[(match[2] or "").upper()]) if match else 0
    if size <= 0:
        raise InputError(
            f"a budget is a positive size such as 16KB, 1.5MB or 900B: received budget={text!r}; write it so, in B, KB or MB"
        )
    return size


def parse_share(text: str | int) -> float | None:
    """Return the share that ``text`` names, ``40%`` as 0.4, or None where it is no percentage.

    Raises:
        InputError: a percentage that is not between 0 and 100.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*%\s*", str(text))
    share = float(match[1]) / 100 if match else None
    if share is not None and not 0 < share < 1:
        raise InputError(f"a share of a network is between 0% and 100%: received budget={text!r}; write one such as 40%")
    return share


def parse_macs(text: str | int) -> int:
    """Return the multiply-accumulates that ``text`` names: ``10M``, ``500k``, ``1.5G`` or a plain integer.

    Raises:
        InputError: not a number of them, or not positive.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([KMG])?\s*", str(text), flags=_FOLDED)
    count = int(float(match[1]) * _COUNTS[(match[2] or "").upper()]) if match else 0
    if count <= 0:
        raise InputError(
            f"a number of multiply-accumulates is positive, as 10M, 500k or 1.5G: received max_macs={text!r}; write it so"
        )
    return count


def parse_seconds(text: str | float) -> float:
    """Return the seconds that ``text`` names: ``90s``, ``5m``, ``1h`` or a plain number of seconds.

    Raises:
        InputError: not a duration, or not positive.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*(s|m|h)?\s*", str(text))
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else 0.0
    if seconds <= 0:
        raise InputError(
            f"a time is a positive duration such as 90s, 5m or 1h: received time={text!r}; write the duration with a unit"
        )
    return seconds


@dataclass(frozen=True)
class Latency:
    """A time that one prediction may take on a target: what was typed, microseconds, and the word in ``--on``."""

    text: str
    microseconds: float
    target: str


def parse_latency(text: str) -> Latency:
    """Return the latency that ``text`` names: ``2ms``, ``800us`` or ``2ms@cortex-m4``; without a target it is this machine.

    Raises:
        InputError: not a time with a unit, or not positive.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*(us|ms|s)\s*(?:@\s*(\S+))?\s*", str(text))
    microseconds = float(match[1]) * _MICROSECONDS[match[2]] if match else 0.0
    if match is None or microseconds <= 0:
        raise InputError(
            "a latency is a positive time with its unit, and a target behind an @ where it is not this machine, as 2ms, 800us "
            f"or 2ms@cortex-m4: received max_latency={text!r}; write it so"
        )
    return Latency(str(text), microseconds, match[3] or "host")


def format_microseconds(value: float) -> str:
    """Return microseconds for people: ``'1.3 us'``, ``'85 us'``, ``'1.24 ms'``."""
    if value >= 1000:
        return f"{value / 1000:.2f} ms"
    return f"{value:.1f} us" if value < 10 else f"{value:.0f} us"


def format_count(count: int, plural: str) -> str:
    """Return how many there are of what is called ``plural``: ``'1 text'``, ``'12 texts'``."""
    return f"{count} {plural.removesuffix('s') if count == 1 else plural}"


def format_macs(count: int) -> str:
    """Return multiply-accumulates for people: ``'812'``, ``'29.1k'``, ``'4.16M'``."""
    if count < 1000:
        return str(count)
    if count < 1000**2:
        return f"{count / 1000:.1f}k"
    return f"{count / 1000**2:.2f}M"


def format_bytes(size_bytes: int) -> str:
    """Return ``size_bytes`` for people: ``'812 B'``, ``'15.9 KB'``, ``'1.20 MB'``."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    if size_bytes < 1024**2:
        return f"{size_bytes / 1024:.1f} KB"
    return f"{size_bytes / 1024**2:.2f} MB"
