"""The recurrence: the interpreter against the text of the specification in plain integers, torch against the formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.program import archive
from understudy.program.cost import macs
from understudy.program.executor import Executor, evaluate
from understudy.program.groups import fixed_scales
from understudy.program.interpreter import run, tensors
from understudy.program.ops import Linear, Node, Program, Scan, Softmax, Standardize
from understudy.program.scan_torch import scan
from understudy.program.shapes import output_shape
from understudy.testing.scan_programs import scan_program
from understudy.testing.vector_programs import measurements

STEP = st.tuples(st.integers(-128, 127), st.integers(-128, 127))


def specified(steps: Sequence[tuple[int, int]]) -> list[int]:
    """Return the states that follow from spec/program.md 21 for (gate, candidate) of each step."""
    state, states = 0, []
    for gate, candidate in steps:
        inflow = gate + 128
        state = (256 * inflow * candidate + (256 - inflow) * state + 128) // 256
        states.append((state + 128) // 256)
    return states


def direct(steps: Sequence[Sequence[tuple[int, int]]]) -> Program:
    """Return a program whose source gives what the recurrence reads, as it is: columns of (gate, candidate)."""
    shape = (len(steps[0]), 2 * len(steps))
    nothing, scale = np.zeros(shape[1], np.float32), np.full(shape[1], 2.0**-5, np.float32)
    source = Standardize("values", "gates", shape, nothing, scale)
    scheme = {"gates": Scan.quantization, "states": Scan.quantization}
    return Program((source, Scan("gates", "states"), Softmax("states", "probabilities")), scheme)


@given(st.lists(STEP, min_size=1, max_size=60))
def test_states_are_those_of_the_specification(steps: list[tuple[int, int]]) -> None:
    values = np.array(steps, np.float32)[None]
    assert tensors(direct([steps]), values)["states"][0, :, 0, 0].tolist() == specified(steps)


def test_closed_gates_keep_a_state_for_ever_and_extremes_stay_inside() -> None:
    kept = [(127, 100), *[(-128, -128)] * 500]
    assert len(set(specified(kept))) == 1
    for extreme in (-128, 127):
        assert specified([(127, extreme)] * 2000)[-1] == extreme
    for steps in (kept, [(127, -128)] * 2000):
        assert tensors(direct([steps]), np.array(steps, np.float32)[None])["states"][0, :, 0, 0].tolist() == specified(steps)


def test_torch_computes_the_formula_and_its_gradient() -> None:
    torch.manual_seed(0)
    x = (2 * torch.rand(3, 7, 1, 8, dtype=torch.float64) - 1).requires_grad_()

    def composed(x: torch.Tensor) -> torch.Tensor:
        gates, candidates = x.chunk(2, dim=-1)
        state, states = torch.zeros_like(gates[:, 0]), []
        for step in range(x.shape[1]):
            state = state + (1 + gates[:, step]) / 2 * (candidates[:, step] - state)
            states.append(state)
        return torch.stack(states, dim=1)

    torch.testing.assert_close(scan(x), composed(x))
    weight = torch.randn(3, 7, 1, 4, dtype=torch.float64)
    [found] = torch.autograd.grad((scan(x) * weight).sum(), x)
    [expected] = torch.autograd.grad((composed(x) * weight).sum(), x)
    torch.testing.assert_close(found, expected)


@given(st.lists(STEP, min_size=1, max_size=40))
def test_real_values_stay_within_two_steps_of_integers(steps: list[tuple[int, int]]) -> None:
    real = torch.tensor(steps, dtype=torch.float32)[None, :, None] * Scan.quantization.scale
    states = scan(real)[0, :, 0, 0] / Scan.quantization.scale
    assert np.abs(states.numpy() - specified(steps)).max() < 2


def test_the_scale_is_a_definition_and_not_learned() -> None:
    program = scan_program()
    floats = Program(tuple(_in_float(node) for node in program.nodes))
    assert set(fixed_scales(floats).values()) == {2.0**-7}
    executor = Executor(floats)
    features = torch.from_numpy(tensors(program, measurements(program, 60))["standardized"].astype(np.float32)) / 32
    executor.quantize(calibrate(floats, [features]))
    logits = executor(features)
    optimizer = torch.optim.AdamW(executor.parameters(), lr=1e-3, weight_decay=0.5)
    logits.square().sum().backward()
    optimizer.step()
    learned, scheme = executor.learned()
    assert scheme is not None
    integer = to_integer(learned, scheme, logits=evaluate(executor, [features]))
    for name in ("gates1", "states1", "gates2", "states2", "largest", "mean", "pooled"):
        assert integer.quantization[name] == Scan.quantization
    scores = run(integer, measurements(program, 60))
    assert (scores.logits.argmax(1) == evaluate(executor, [features]).argmax(1)).mean() > 0.9


def _in_float(node: Node) -> Node:
    if not isinstance(node, Linear) or node.weight_scale is None:
        return node
    bias = None if node.bias is None else (node.bias * 0.001).astype(np.float32)
    weight = (node.weight * node.weight_scale[:, None]).astype(np.float32)
    return replace(node, weight=weight, bias=bias, weight_scale=None)


def test_archives_hold_it_and_costs_count_it() -> None:
    program = scan_program(shape=(10, 3), units=(4, 2))
    again = archive.loads(archive.dumps(program))
    assert archive.dumps(again) == archive.dumps(program)
    layers = 10 * (8 * 3 + 4 * 4) + 7 * 4
    assert macs(program) == layers + 2 * 10 * (4 + 2)


def test_what_a_recurrence_reads_ends_at_one_in_float_too() -> None:
    floats = Program(tuple(_in_float(node) for node in scan_program().nodes))
    values = Executor(floats).trace(9 * torch.randn(4, 29, 1, 3))
    assert values["gates1"].abs().max() == 1
    assert values["states1"].abs().max() <= 1


@pytest.mark.parametrize("shape", [(5, 2, 6), (5, 1, 3)])
def test_other_shapes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="states: a recurrence cannot read"):
        output_shape(Scan("gates", "states"), {"gates": shape})
