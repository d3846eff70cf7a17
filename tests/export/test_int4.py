"""Four bits take at least 45 % off the bytes of the weights, in every format but those in float."""

from __future__ import annotations

from dataclasses import replace

import pytest

from understudy.compression.quantize.shape import quantized_shape
from understudy.export.registry import FORMATS, exporter
from understudy.formats import FLOAT_FORMATS
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

RECIPE = Recipe(features=192, width=48, hidden=48)
LAYERS = ("tokens", "context", "logits")


@pytest.mark.parametrize("format_name", [name for name in FORMATS if name not in FLOAT_FORMATS])
def test_weight_bytes_fall_by_at_least_45_percent(format_name: str) -> None:
    rows = []
    for bits in (8, 4):
        program = quantized_shape(build_student(replace(RECIPE, weight_bits=bits), classes=60, seed=0))
        table = exporter(format_name).byte_table(program, name="int4")
        rows.append(sum(count for where, count in table if where.removeprefix("linear ") in LAYERS))
    assert rows[0] > 192 * 48 + 3 * 48 * 48 + 96 * 60
    assert rows[1] <= 0.55 * rows[0]
