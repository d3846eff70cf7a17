"""The user's network as a student: its program quantizes as trained, and every format computes it to the bit."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from networks import DenseNet, LeNet, MobileNetV2, Perceptron, PreactivationNet, ResNet, made
from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.compression.quantize.shape import quantized_shape
from understudy.export.parity import verify_file
from understudy.export.registry import exporter
from understudy.network.reading import Taken, read_network
from understudy.network.steps import Network
from understudy.program import archive
from understudy.program.executor import Executor, evaluate
from understudy.program.groups import scale_limits
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.students import pruned
from understudy.students.recipe import Recipe
from understudy.teachers.image_input import IMAGENET, RAW, PixelRange
from understudy.teachers.image_model import test_patterns as patterns
from vision_transformers import VisionTransformer, random

SHAPE = (16, 16, 3)
NETWORKS: dict[str, tuple[type[nn.Module], PixelRange]] = {
    "resnet": (ResNet, IMAGENET),
    "preactivation": (PreactivationNet, RAW),
    "mobilenet_v2": (MobileNetV2, IMAGENET),
    "densenet": (DenseNet, RAW),
    "lenet": (LeNet, RAW),
    "perceptron": (Perceptron, RAW),
}


@cache
def network_of(name: str) -> Network:
    kind, pixels = NETWORKS[name]
    module = made(kind, 768) if kind is Perceptron else made(kind)
    return read_network(module, Taken("NCHW", pixels, tuple(range(10))), shape=SHAPE, name=name)


def float_program(name: str, *, bits: int = 8, per_channel: bool = True, kept: float = 0.6) -> Program:
    recipe = Recipe(student="pruned", image_shape=SHAPE, kept=kept, weight_bits=bits, per_channel=per_channel)  # type: ignore[arg-type]
    return pruned.build(recipe, network_of(name))


@cache
def quantized(name: str, bits: int = 8) -> tuple[Program, np.ndarray]:
    """Return the integer program of a network, and the logits of its fake-quantized executor."""
    program = float_program(name, bits=bits, per_channel=bits == 8)
    batch = torch.from_numpy(patterns(SHAPE).astype(np.float32) / 255)
    learned, scheme = Executor(program, scheme=calibrate(program, [batch])).learned()
    assert scheme is not None
    logits = evaluate(Executor(learned, scheme=scheme), [batch])
    return to_integer(learned, scheme, logits=logits), logits


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bits", [8, 4])
def test_fake_quantization_is_the_integer_program(name: str, bits: int) -> None:
    integer, logits = quantized(name, bits)
    scores = run(integer, patterns(SHAPE))
    quantization = integer.quantization[integer.logits]
    real = (scores.logits.astype(np.float32) - quantization.zero_point) * quantization.scale
    in_range = real > real.min() + quantization.scale
    assert np.median(np.abs(real - logits)[in_range]) < 0.6 * quantization.scale
    assert (scores.logits.argmax(1) == logits.argmax(1)).mean() > 0.9


FILES = [
    *((name, format_name) for name in NETWORKS for format_name in ("onnx", "litert")),
    *(("mobilenet_v2", "c"), ("densenet", "c"), ("resnet", "python"), ("lenet", "python")),
]


@pytest.mark.parametrize(("name", "format_name"), FILES)
def test_every_format_computes_it_to_the_bit(name: str, format_name: str, tmp_path: Path) -> None:
    integer, _ = quantized(name)
    found = exporter(format_name)
    for filename, content in found.export(integer, name="theirs").items():
        (tmp_path / filename).write_bytes(content)
    result = verify_file(integer, found.open(tmp_path, name="theirs"), patterns(SHAPE))
    assert result.reason is None
    # what was counted before anything was trained is what there is, less constants that happen to be equal
    counted, real = (
        sum(size for _, size in found.byte_table(program, name="theirs"))
        for program in (quantized_shape(float_program(name)), integer)
    )
    assert 0.95 * counted <= real <= counted + 16


@pytest.mark.parametrize("class_token", [True, False])
def test_a_transformer_is_counted_before_and_agrees_after(class_token: bool, tmp_path: Path) -> None:
    shape = (8, 8, 1)
    torch.manual_seed(0)
    theirs = random(VisionTransformer(class_token=class_token, depth=1))
    network = read_network(theirs, Taken("NCHW", RAW, tuple(range(10))), shape=shape, name="theirs")
    program = pruned.build(Recipe(student="pruned", image_shape=shape, kept=0.7, weight_bits=8, per_channel=True), network)
    images = patterns(shape)
    batch = torch.from_numpy(images.astype(np.float32) / 255)
    learned, scheme = Executor(program, scheme=calibrate(program, [batch])).learned()
    assert scheme is not None
    logits = evaluate(Executor(learned, scheme=scheme), [batch])
    integer = to_integer(learned, scheme, logits=logits)
    scores, quantization = run(integer, images), integer.quantization[integer.logits]
    real = (scores.logits.astype(np.float32) - quantization.zero_point) * quantization.scale
    in_range = real > real.min() + quantization.scale
    assert np.median(np.abs(real - logits)[in_range]) < 0.6 * quantization.scale
    for format_name in ("onnx", "litert"):
        found = exporter(format_name)
        for filename, content in found.export(integer, name="theirs").items():
            (tmp_path / filename).write_bytes(content)
        result = verify_file(integer, found.open(tmp_path, name="theirs"), images, reference=scores)
        assert result.verified, result.reason
        sizes = [sum(n for _, n in found.byte_table(each, name="theirs")) for each in (quantized_shape(program), integer)]
        assert 0.95 * sizes[0] <= sizes[1] <= sizes[0] + 16


def test_relu6_ends_at_6_in_integers_too() -> None:
    limits = scale_limits(float_program("mobilenet_v2"))
    assert len(limits) >= 5
    assert all(limit == pytest.approx(6 / 255) for limit in limits.values())
    integer, _ = quantized("mobilenet_v2")
    assert all(integer.quantization[name].scale <= limit * 1.0001 for name, limit in limits.items())
    assert all(getattr(node, "ceiling", None) is None for node in integer.nodes)


def test_archive_reads_back_what_it_wrote() -> None:
    program = float_program("densenet")
    again = archive.loads(archive.dumps(program))
    assert archive.dumps(again) == archive.dumps(program)
    assert again.shapes() == program.shapes()
