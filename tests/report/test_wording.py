from __future__ import annotations

import pytest

from understudy.measurements import LatencyMicroseconds
from understudy.report import wording


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [(0.934, "93.4\xa0%"), (None, "–"), (0.0, "0.0\xa0%"), (0.0004, "<\xa00.1\xa0%"), (1.0, "100.0\xa0%")],
)
def test_percent(fraction: float | None, shown: str) -> None:
    assert wording.percent(fraction) == shown


@pytest.mark.parametrize(("fraction", "shown"), [(1.0, "100\xa0%"), (0.99999, "99.99\xa0%"), (None, "–"), (0.5, "50.00\xa0%")])
def test_agreement_is_never_rounded_up(fraction: float | None, shown: str) -> None:
    assert wording.agreement(fraction) == shown


@pytest.mark.parametrize(
    ("difference", "shown"),
    [(0.006, "+0.6\xa0points"), (-0.0042, "−0.4\xa0points"), (0.0, "±0.0\xa0points"), (-0.0001, "±0.0\xa0points"), (None, "–")],
)
def test_points(difference: float | None, shown: str) -> None:
    assert wording.points(difference) == shown


def test_latency() -> None:
    assert wording.latency(LatencyMicroseconds(median=1.34, p10=1.26, p90=2)) == "1.3\xa0µs (1.3–2.0)"
    assert wording.latency(LatencyMicroseconds(median=84.2, p10=79, p90=101)) == "84\xa0µs (79–101)"
    assert wording.latency(LatencyMicroseconds(median=1240, p10=1100, p90=1500)) == "1.24\xa0ms (1.10–1.50)"
    assert wording.latency(None) == "–"


def test_seconds() -> None:
    assert wording.seconds(20.6) == "21\xa0s"
    assert wording.seconds(200) == "3\xa0min 20\xa0s"


@pytest.mark.parametrize(
    ("label", "shown"),
    [("tab\there", r"tab\there"), ("", "(empty)"), ("a\u202eb", r"a\u202eb"), ("été 天気", "été 天気"), ("\x00", r"\u0000")],
)
def test_visible(label: str, shown: str) -> None:
    assert wording.visible(label) == shown


def test_short_cuts_long_labels() -> None:
    assert wording.short("x" * 72) == "x" * 72
    assert wording.short("x" * 73) == "x" * 71 + "…"
