"""Nodes over tokens: the interpreter against ``spec/program.md``, value by value, and the executor against the interpreter."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from image_programs import pictures
from token_programs import token_program
from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.program import archive
from understudy.program.cost import macs
from understudy.program.executor import Executor, evaluate
from understudy.program.groups import quantization_groups, signed_tensors
from understudy.program.interpreter import run, tensors
from understudy.program.islands import islands_of
from understudy.program.ops import Linear, Program, Quantization, Softmax
from understudy.program.tokens import Attention, LayerNorm, Place, Positions


def _rounded(real: float, target: Quantization) -> int:
    return max(-128, min(127, int(np.rint(real / target.scale)) + target.zero_point))


@pytest.mark.parametrize("class_token", [False, True])
def test_nodes_over_tokens_follow_the_specification(class_token: bool) -> None:
    program = token_program(class_token=class_token)
    values, scheme = tensors(program, pictures(program, 3)), program.quantization

    def real(name: str) -> np.ndarray:
        return (values[name].astype(np.float64) - scheme[name].zero_point) * scheme[name].scale

    for node in program.nodes:
        target = scheme.get(node.output)
        if isinstance(node, Positions):
            rows = values[node.input].reshape(3, -1, 8).astype(int)
            rows = np.concatenate([np.zeros((3, int(class_token), 8), int), rows], axis=1)
            wanted = np.clip(rows + node.table, -128, 127)
            assert np.array_equal(values[node.output].reshape(wanted.shape), wanted)
        if isinstance(node, Place):
            assert np.array_equal(values[node.output], values[node.input].reshape(3, -1, 8)[:, node.index])
        if isinstance(node, LayerNorm):
            for row, found in zip(real(node.input).reshape(-1, 8), values[node.output].reshape(-1, 8), strict=True):
                mean = math.fsum(row) / 8
                deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in row) / 8 + node.epsilon)
                assert found.tolist() == [_rounded((x - mean) / deviation, target) for x in row]
        if isinstance(node, Attention):
            queries, keys, means = (real(name).reshape(3, -1, 2, 3) for name in node.inputs)
            found = values[node.output].reshape(3, -1, 2, 3)
            for example, place, head in np.ndindex(*found.shape[:3]):
                scores = [node.factor * math.fsum(queries[example, place, head] * key) for key in keys[example, :, head]]
                weights = [math.exp(score - max(scores)) for score in scores]
                for channel in range(3):
                    total = math.fsum(w * v for w, v in zip(weights, means[example, :, head, channel], strict=True))
                    assert found[example, place, head, channel] == _rounded(total / math.fsum(weights), target)


def test_a_program_of_tokens_is_stored_grouped_and_counted() -> None:
    program = token_program()
    assert archive.dumps(archive.loads(archive.dumps(program))) == archive.dumps(program)
    groups, signed = quantization_groups(program), signed_tensors(program)
    assert len({groups[name] for name in ("patches", "tokens", "mixed", "stream", "narrow", "output", "token")}) == 1
    assert {"tokens", "norm1", "attended", "token", "norm"} <= signed
    assert islands_of(replace(program, nodes=program.nodes[:2])) == ()
    tokens, layers = 7, {node.output: node.weight.size for node in program.linears}
    once = sum(layers.pop(name) for name in ("last", "logits"))
    assert macs(program) == 6 * 8 * 48 + once + tokens * sum(layers.values()) + 2 * tokens * tokens * 6


def test_shapes_that_do_not_fit_are_named() -> None:
    program = token_program()
    nodes = list(program.nodes)
    at = next(i for i, node in enumerate(nodes) if isinstance(node, Attention))
    with pytest.raises(ValueError, match="attended: 4 heads cannot read"):
        Program((*nodes[:at], replace(nodes[at], heads=4))).shapes()
    nodes[2] = replace(nodes[2], table=nodes[2].table[:5])
    with pytest.raises(ValueError, match="cannot be added to"):
        Program(tuple(nodes)).shapes()


def test_integers_compute_what_fake_quantization_learned() -> None:
    integer = token_program(seed=4)
    scheme = integer.quantization

    def real(node):
        if isinstance(node, Positions):
            return replace(node, table=(node.table * np.float32(scheme[node.output].scale)).astype(np.float32))
        if not hasattr(node, "weight"):
            return node
        scale = node.weight_scale.reshape(-1, *[1] * (node.weight.ndim - 1))
        bias = node.bias * node.weight_scale * np.float32(scheme[node.input].scale)
        return replace(node, weight=(node.weight * scale).astype(np.float32), bias=bias.astype(np.float32), weight_scale=None)

    program = Program(tuple(map(real, integer.nodes)))
    images = pictures(integer, 64)
    features = torch.from_numpy(images.astype(np.float32) / 255)
    executor = Executor(program, scheme=calibrate(program, [features]))
    learned, found = executor.learned()
    logits = evaluate(executor, [features])
    rounded = to_integer(learned, found, logits=logits)
    scores, quantization = run(rounded, images), rounded.quantization["logits"]
    answers = (scores.logits.astype(np.float32) - quantization.zero_point) * quantization.scale
    assert np.abs(answers - logits).mean() < 2 * quantization.scale


def test_gradients_reach_everything_that_learns() -> None:
    program = token_program()
    nodes = tuple(
        replace(node, table=node.table / np.float32(100))
        if isinstance(node, Positions)
        else replace(node, weight=(node.weight / np.float32(300)), bias=node.bias / np.float32(3000))
        if hasattr(node, "weight")
        else node
        for node in program.nodes
    )
    executor = Executor(Program(nodes)).train()
    executor(torch.rand(5, 12, 8, 3)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in executor.parameters())
    assert {name.split(".")[0] for name, _ in executor.named_parameters()} == {"weight", "bias", "table"}
    assert isinstance(nodes[-2], Linear)
    assert isinstance(nodes[-1], Softmax)
