"""What is promised before a training is what files take after it, in every format that writes without other tools."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.compression.quantize.shape import quantized_shape
from understudy.export.registry import exporter
from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Program
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

RECIPES = {
    "projection_sequence": Recipe(features=48, width=12, hidden=8, weight_bits=4),
    "per-channel": Recipe(features=48, width=12, hidden=8, per_channel=True),
    "sgnn": Recipe(student="sgnn", features=48, width=12, hidden=8),
    "projection_net": Recipe(student="projection_net", features=48, hidden=12),
    "separable_cnn": Recipe(student="separable_cnn", features=0, width=8, hidden=24, weight_bits=4, image_shape=(16, 16, 1)),
}
LABELS = ("a", "b", "c", "d", "e")


def _size(program: Program, format_name: str) -> int:
    return sum(count for _, count in exporter(format_name).byte_table(program, name="tiny", labels=LABELS))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("format_name", ["onnx", "litert", "python"])
def test_a_trained_student_is_not_larger_than_its_shape(name: str, format_name: str, rng: np.random.Generator) -> None:
    program = build_student(RECIPES[name], classes=len(LABELS), seed=1)
    # as after a training: every bias is another number
    for layer in program.layers:
        if layer.bias is not None:
            layer.bias[:] = rng.normal(size=layer.bias.shape)
    shape = program.shapes()[program.source.output]
    features = torch.from_numpy(rng.integers(-1, 2, (40, *shape)).astype(np.float32))
    logits = evaluate(Executor(program), [features])
    trained = to_integer(program, calibrate(program, [features]), logits=logits)
    assert _size(quantized_shape(program), format_name) == pytest.approx(_size(trained, format_name), abs=16)
    assert _size(quantized_shape(program), format_name) >= _size(trained, format_name)
