"""Networks of users as integer programs: fake quantization is what integers compute, and every format is as its reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from networks import EfficientNet, MobileNetV3, ResNet, made
from understudy.compression.prune import pruned
from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.export.parity import verify_file
from understudy.export.registry import exporter
from understudy.network.folding import Weights, to_program
from understudy.network.reading import Taken, read_network
from understudy.program.executor import Executor, evaluate
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.teachers.image_input import UNIT
from understudy.teachers.image_model import test_patterns as patterns

SHAPE = (16, 16, 3)
KINDS = (ResNet, MobileNetV3, EfficientNet)

FORMATS = ("python", "c", "onnx", "litert", "onnx_float", "litert_float", "coreml_float", "executorch_float")


def integer_program(kind: type[nn.Module], images: np.ndarray) -> tuple[Program, np.ndarray]:
    """Return a pruned network as an integer program, and the logits of its fake-quantized executor for ``images``."""
    taken = Taken("NCHW", UNIT, tuple(range(10)))
    network = pruned(read_network(made(kind), taken, shape=SHAPE, name="theirs"), 0.7)
    *_, last = network.layers.values()
    with torch.no_grad():  # random networks answer nearly the same for every image
        mean = network(torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2)).mean(dim=0)
        last.bias.sub_(mean).mul_(20)
        last.weight.mul_(20)
    program = to_program(network, Weights(8, per_channel=True))
    features = torch.from_numpy(images.astype(np.float32) / 255)
    executor = Executor(program, scheme=calibrate(program, [features]))
    learned, scheme = executor.learned()
    assert scheme is not None
    logits = evaluate(executor, [features])
    return to_integer(learned, scheme, logits=logits), logits


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_computes_a_network_to_the_bit(kind: type[nn.Module], tmp_path: Path) -> None:
    images = patterns(SHAPE)[:48]
    program, logits = integer_program(kind, images)
    scores, quantization = run(program, images), program.quantization[program.logits]
    real = (scores.logits.astype(np.float32) - quantization.zero_point) * quantization.scale
    assert np.abs(real - logits).mean() < 2 * quantization.scale
    assert len(np.unique(scores.logits)) > 60
    for name in FORMATS:
        found = exporter(name)
        for file, content in found.export(program, name="tiny").items():
            (tmp_path / file).write_bytes(content)
        verification = verify_file(program, found.open(tmp_path, name="tiny"), images, reference=scores)
        assert verification.verified, (name, verification.reason)
