"""The page in a real browser: the first chart has an axis to switch, with the mouse or the keyboard, without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from families import clinc_like_family
from pages import in_browser
from understudy.report.page import render_report

SHOWN = "[...document.querySelectorAll('#frontier svg.chart')].filter(s => s.checkVisibility()).map(s => s.ariaLabel)"
TITLES = ["bytes that count against the budget", "multiply-accumulates of a prediction", "median time, where the job ran"]
FOCUS = "document.activeElement.id"


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "report.html"
    path.write_text(render_report(clinc_like_family()))
    return path.as_uri()


def _titles(answers: list[Any]) -> list[int]:
    """Return for each list of visible charts which of ``TITLES`` it is; there is always exactly one."""
    assert all(len(labels) == 1 for labels in answers), answers
    return [next(i for i, title in enumerate(TITLES) if title in label) for [label] in answers]


@pytest.mark.parametrize("width", [1100, 390])
def test_a_click_and_the_arrow_keys_switch_the_axis(page: str, width: int) -> None:
    *charts, focus = in_browser(
        page,
        {"width": width},
        {"wait": "document.readyState === 'complete'"},
        {"evaluate": SHOWN},
        {"do": "document.querySelector('label[for=axis-latency]').click()"},
        {"evaluate": SHOWN},
        {"do": "document.getElementById('axis-latency').focus()"},
        {"key": "ArrowLeft"},
        {"evaluate": SHOWN},
        {"key": "ArrowLeft"},
        {"evaluate": SHOWN},
        {"evaluate": FOCUS},
    )
    assert _titles(charts) == [0, 2, 1, 0]
    assert focus == "axis-bytes"


def test_tab_reaches_the_buttons_and_their_outline_is_seen(page: str) -> None:

    [reached, outline, wide] = in_browser(
        page,
        {"width": 390},
        {"wait": "document.readyState === 'complete'"},
        {"do": "document.querySelector('nav li:last-child a').focus()"},
        {"key": "Tab"},
        {"evaluate": FOCUS},
        {"evaluate": "getComputedStyle(document.querySelector('label[for=axis-bytes]')).outlineStyle"},
        {"evaluate": "document.documentElement.scrollWidth"},
    )
    assert (reached, outline) == ("axis-bytes", "solid")
    assert wide <= 390
