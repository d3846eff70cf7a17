"""Sizes and numbers as people write them."""

from __future__ import annotations

import pytest

from understudy.errors import InputError
from understudy.units import Latency, format_macs, format_microseconds, parse_bytes, parse_latency, parse_macs


@pytest.mark.parametrize(
    ("text", "count"), [("10M", 10_000_000), ("500k", 500_000), ("1.5G", 1_500_000_000), (" 2 m ", 2_000_000), (812, 812)]
)
def test_multiply_accumulates_are_read(text: str | int, count: int) -> None:
    assert parse_macs(text) == count


@pytest.mark.parametrize("text", ["", "0", "-1M", "10MB", "ten", "0.1", "1e6", "10\u212a"])
def test_what_is_no_number_of_them_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is positive, as 10M, 500k or 1\.5G: received max_macs="):
        parse_macs(text)


@pytest.mark.parametrize("text", ["", "0", "-1KB", "16XB", "16 K", "1e3", "nan", "16\u212aB", "\u0661\u0666KB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"a positive size such as 16KB, 1\.5MB or 900B: received budget="):
        parse_bytes(text)


def test_they_are_written_for_people() -> None:
    assert [format_macs(count) for count in (812, 29_052, 4_157_200)] == ["812", "29.1k", "4.16M"]


@pytest.mark.parametrize(
    ("text", "microseconds", "target"),
    [
        ("2ms", 2000, "host"),
        (" 1.5 ms ", 1500, "host"),
        ("800us@cortex-m4", 800, "cortex-m4"),
        ("1s@my/board.toml", 1e6, "my/board.toml"),
    ],
)
def test_latencies_are_read_with_their_target(text: str, microseconds: float, target: str) -> None:
    assert parse_latency(text) == Latency(text, microseconds, target)


@pytest.mark.parametrize("text", ["", "2", "0ms", "-1ms", "2m", "2ms@", "fast", "2ms cortex-m4"])
def test_what_is_no_latency_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"as 2ms, 800us or 2ms@cortex-m4: received max_latency="):
        parse_latency(text)


def test_microseconds_are_written_for_people() -> None:
    assert [format_microseconds(value) for value in (1.26, 84.6, 999, 1240)] == ["1.3 us", "85 us", "999 us", "1.24 ms"]
