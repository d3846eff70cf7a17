"""The chart of neural bits: ticks that can be told apart, also where all points are alike."""

from __future__ import annotations

import re

import pytest

from understudy.neural_bits import BitsPoint, NeuralBits
from understudy.record import created_with
from understudy.report.bits import draw_bits


@pytest.mark.parametrize("accuracy", [1.0, 0.75, 0.0])
def test_points_that_are_all_alike_have_different_ticks(accuracy: float) -> None:
    software = created_with(threads=1)
    points = tuple(
        BitsPoint(bits=bits, weight_count=10, validation_accuracy=accuracy, accuracy=accuracy, seconds=1) for bits in (8, 64)
    )
    study = NeuralBits(
        name="x",
        created_with=software,
        job={},
        classes=3,
        test_examples=40,
        kind="windows",
        steps=10,
        finished=True,
        points=points,
    )
    ticks = re.findall(r">([\d.]+ %)<", draw_bits(study, width=800, height=400))
    assert len(ticks) >= 2
    assert len(set(ticks)) == len(ticks)
