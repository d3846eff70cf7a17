"""The chart of neural bits: ticks that can be told apart, also where all points are alike."""

from __future__ import annotations

import re

import pytest

from families import study_of_bits
from understudy.report.bits import draw_bits


@pytest.mark.parametrize("accuracy", [1.0, 0.75, 0.0])
def test_points_that_are_all_alike_have_different_ticks(accuracy: float) -> None:
    study = study_of_bits(kind="windows", accuracy=accuracy)
    ticks = re.findall(r">([\d.]+ %)<", draw_bits(study, width=800, height=400))
    assert len(ticks) >= 2
    assert len(set(ticks)) == len(ticks)
