"""What is particular to ExecuTorch files: the schema's own reader takes them, and memory is planned without overlaps."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from executorch.extension.pybindings import _C as runtime  # noqa: N811 - a module
from hypothesis import given
from hypothesis import strategies as st

from bundles import make_bundle
from image_programs import image_program, pictures
from programs import sequence_program, utterance_program
from understudy.errors import BundleError, SetupError
from understudy.export.executorch import ExecutorchExporter
from understudy.export.executorch_flatbuffer import INT32, UINT8, ExecutorchWriter
from understudy.export.parity import verify_file
from understudy.program.ops import Image, Program, Sound
from understudy.testing.formats import opened
from understudy.testing.image_programs import box_program, branched_program, gated_program
from understudy.testing.sound_programs import sound_program

PROGRAMS = {
    "sequence-8": sequence_program(width=48),
    "sequence-4": sequence_program(bits=4, per_channel=False, width=48, classes=90),
    "utterance-4": utterance_program(bits=4, hidden=64),
    "image": image_program(),
    "boxes": box_program(),
    "boxes-large": box_program(shape=(40, 37, 2), rows=tuple(range(300))),
    "branched": branched_program(),
    "branched-flat": branched_program(flat=True, padding=(2, 0, 0, 1)),
    "gated": gated_program(),
    "sound": sound_program(),
    "image-4": image_program(bits=4),
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


def exported(program: Program) -> bytes:
    return ExecutorchExporter().export(program, name="x")["model.pte"]


# ExecuTorch's compiler reads the files back; it is asked for what they call and hold
READ = """\
import json, sys
from executorch.exir._serialize._program import deserialize_pte_binary
found = []
for path in sys.argv[1:]:
    program = deserialize_pte_binary(open(path, "rb").read()).program
    [plan] = program.execution_plan
    tensors = [value.val for value in plan.values if hasattr(value.val, "scalar_type")]
    found.append({
        "calls": [plan.operators[i.instr_args.op_index].name for chain in plan.chains for i in chain.instructions],
        "delegates": len(plan.delegates),
        "memory": plan.non_const_buffer_sizes[1],
        "constants": sum(len(buffer.storage) for buffer in program.constant_buffer),
        "ends": max(t.allocation_info.memory_offset for t in tensors if t.allocation_info),
    })
print(json.dumps(found))
"""


@pytest.mark.slow
def test_executorchs_own_reader_finds_portable_kernels_and_no_delegate(tmp_path: Path) -> None:
    paths = []
    for name, program in PROGRAMS.items():
        (tmp_path / f"{name}.pte").write_bytes(exported(program))
        paths.append(str(tmp_path / f"{name}.pte"))
    result = subprocess.run([sys.executable, "-c", READ, *paths], capture_output=True, text=True, check=True)
    known = {name.partition(".")[0] for name in runtime._get_operator_names()}
    for program, found in zip(PROGRAMS.values(), json.loads(result.stdout.splitlines()[-1]), strict=True):
        assert len(found["calls"]) > 20
        assert set(found["calls"]) <= {name for name in known if name.startswith("aten::")}
        assert found["delegates"] == 0
        assert found["ends"] < found["memory"]
        stored = sum(-(-layer.weight.size * layer.bits // 8) for layer in program.layers)
        assert found["constants"] >= stored


def test_the_interface_is_the_one_of_every_graph_format(program: Program) -> None:
    content = exported(program)
    described = runtime._load_for_executorch_from_buffer(content).method_meta("forward")
    assert (described.num_inputs(), described.num_outputs()) == (1, 1)
    assert described.input_tensor_meta(0).sizes() == (1, *program.source.input_shape)
    item = {Image: 1, Sound: 2}.get(type(program.source), 4)
    assert described.input_tensor_meta(0).nbytes() == item * np.prod(program.source.input_shape)
    assert described.output_tensor_meta(0).sizes() == (1, program.classes)


def test_weights_are_stored_in_their_bits(program: Program) -> None:
    rows = dict(ExecutorchExporter().byte_table(program, name="x"))
    for layer in program.layers:
        packed = -(-layer.weight.size // 2) if layer.bits == 4 else layer.weight.size
        assert packed - 1 <= rows[layer.output] <= packed + 8 * len(layer.weight)


@pytest.mark.parametrize("zero_point", [-128, -127, 3, 119, 127])
def test_its_size_depends_on_shapes_alone(program: Program, zero_point: int) -> None:
    quantization = {
        **program.quantization,
        program.logits: replace(program.quantization[program.logits], zero_point=zero_point, scale=0.5),
    }
    other = exported(replace(program, quantization=quantization))
    fixed = exported(
        replace(program, quantization=quantization | {program.logits: replace(quantization[program.logits], zero_point=7)})
    )
    assert zero_point == -128 or len(other) == len(fixed)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 70)), min_size=1, max_size=12))
def test_memories_that_live_at_the_same_time_do_not_overlap(steps: list[tuple[int, int]]) -> None:
    """Random chains of additions, each of two earlier tensors."""
    writer = ExecutorchWriter()
    tensors = [writer.tensor((1, 4))]
    for back, size in steps:
        found = writer.tensor((1, size))
        writer.call("aten::add.out", tensors[-1], tensors[max(-1 - back, -len(tensors))], 1, found)
        tensors.append(found)
    writer.finish(tensors[0], tensors[-1])
    memories = [tensor.memory for tensor in tensors]
    for i, one in enumerate(memories):
        for other in memories[:i]:
            together = one.first <= other.last and other.first <= one.last
            apart = one.offset + one.size_bytes <= other.offset or other.offset + other.size_bytes <= one.offset
            assert apart or not together


def test_a_small_program_computes_what_it_says() -> None:
    writer = ExecutorchWriter()
    source = writer.tensor((1, 6), INT32)
    real = writer.call("aten::_to_copy.out", source, False, None, writer.tensor((1, 6)))
    both = writer.call("aten::cat.out", [real.view((1, 2), begin=4), real.view((1, 3))], 1, writer.tensor((1, 5)))
    writer.call("aten::mul.out", both, writer.constant([1, 2, 3, 4, 5]), both)
    content = writer.finish(source, both)
    [answer] = runtime._load_for_executorch_from_buffer(content).forward(
        [torch.tensor([[1, 2, 3, 4, 5, 6]], dtype=torch.int32)]
    )
    assert answer.tolist() == [[5, 12, 3, 8, 15]]


def test_a_foreign_kernel_is_refused_without_noise(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    writer = ExecutorchWriter()
    source = writer.tensor((1, 6), UINT8)
    (tmp_path / "model.pte").write_bytes(
        writer.finish(source, writer.call("foreign::kernel.out", source, writer.tensor((1, 6))))
    )
    with pytest.raises(BundleError, match="an ExecuTorch program must be complete and use known kernels: received path="):
        ExecutorchExporter().open(tmp_path, name="x")
    make_bundle(tmp_path / "b", formats=("executorch",)).predict(["play music"])
    assert capfd.readouterr() == ("", "")


def test_rows_that_may_not_be_written_are_read_without_a_warning(tmp_path: Path) -> None:
    images = pictures(image_program(), 4)
    images.flags.writeable = False
    session = opened(ExecutorchExporter(), image_program(), tmp_path)
    assert verify_file(image_program(), session, images).verified


def test_without_executorch_the_pip_line_is_given(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", formats=("c",))
    code = (
        "import sys; sys.modules['executorch'] = None; from understudy.cli.main import run; "
        f"sys.exit(run(['export', {str(tmp_path / 'b')!r}, '--to', 'executorch']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == SetupError.exit_code
    assert result.stderr.splitlines()[-1].endswith("run: pip install 'understudy[executorch]'")
