"""What is particular to ExecuTorch files with XNNPACK: what is delegated, and exactness beyond the suite's cases."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from executorch.extension.pybindings import _C as runtime  # noqa: N811 - a module

from bundles import make_bundle
from image_programs import gated_program, image_program, pictures
from programs import sequence_program, utterance_program
from understudy.errors import InputError
from understudy.export import executorch
from understudy.export.executorch import ExecutorchSession
from understudy.export.executorch_xnnpack import ExecutorchXnnpackExporter
from understudy.export.parity import verify_file
from understudy.program.interpreter import run
from understudy.program.ops import DepthwiseConv, Image, Linear, LocalMaxPool, Program, Quantization
from understudy.program.pointwise import Lookup
from understudy.testing.formats import examples
from understudy.testing.image_programs import box_program, branched_program
from understudy.testing.sound_programs import sound_program
from understudy.testing.vector_programs import vector_program, window_program

PROGRAMS = {
    "sequence-8": sequence_program(width=48),
    "sequence-4": sequence_program(bits=4, per_channel=False, width=48, classes=90),
    "utterance-4": utterance_program(bits=4, hidden=64),
    "image": image_program(),
    "image-4": image_program(bits=4),
    "boxes": box_program(),
    "branched": branched_program(),
    "gated": gated_program(),
    "sound": sound_program(),
    "window": window_program(),
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


def exported(program: Program) -> bytes:
    return ExecutorchXnnpackExporter().export(program, name="x")["model_xnnpack.pte"]


# ExecuTorch's compiler reads the files back, its flatc each delegate by the schema that comes with the package
READ = """\
import importlib.resources, json, pathlib, sys, tempfile
from executorch.backends.xnnpack import serialization
from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
from executorch.exir._serialize._flatbuffer import _flatc_decompile
from executorch.exir._serialize._program import deserialize_pte_binary
schema = importlib.resources.files(serialization).joinpath("schema.fbs").read_text()
found = []
for path in sys.argv[1:]:
    program = deserialize_pte_binary(open(path, "rb").read()).program
    [plan] = program.execution_plan
    graphs = []
    for delegate in plan.delegates:
        content = program.backend_delegate_data[delegate.processed.index].data
        header = XNNHeader.from_bytes(content[:XNNHeader.EXPECTED_LENGTH])
        assert header.is_valid() and header.constant_data_offset + header.constant_data_size == len(content)
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "schema.fbs").write_text(schema)
            at = header.flatbuffer_offset
            (pathlib.Path(folder) / "graph.bin").write_bytes(content[at : at + header.flatbuffer_size])
            _flatc_decompile(folder, folder + "/schema.fbs", folder + "/graph.bin")
            text = (pathlib.Path(folder) / "graph.json").read_text()
            graphs.append(json.loads(text.replace(": inf", ": Infinity")))
    numbers = [i.instr_args.op_index for c in plan.chains for i in c.instructions if hasattr(i.instr_args, "op_index")]
    calls = [plan.operators[number].name for number in numbers]
    found.append({
        "calls": calls,
        "backends": [delegate.id for delegate in plan.delegates],
        "nodes": [[node["xnode_union_type"] for node in graph["xnodes"]] for graph in graphs],
        "steps": [v["xvalue_union"]["quant_params"].get("scale") for g in graphs for v in g["xvalues"]
                  if v["xvalue_union"].get("quant_params_type") == "PerTensorQuant"],
    })
print(json.dumps(found))
"""


@pytest.mark.slow
def test_executorchs_own_readers_find_every_layer_in_a_delegate(tmp_path: Path) -> None:
    paths = []
    for name, program in PROGRAMS.items():
        (tmp_path / f"{name}.pte").write_bytes(exported(program))
        paths.append(str(tmp_path / f"{name}.pte"))
    result = subprocess.run([sys.executable, "-c", READ, *paths], capture_output=True, text=True, check=True)
    for program, found in zip(PROGRAMS.values(), json.loads(result.stdout.splitlines()[-1]), strict=True):
        assert set(found["backends"]) == {"XnnpackBackend"}
        nodes = [kind for graph in found["nodes"] for kind in graph]
        slid = sum(isinstance(layer, DepthwiseConv) for layer in program.layers)
        assert nodes.count("XNNDepthwiseConv2d") == slid
        layers = nodes.count("XNNConv2d") + nodes.count("XNNFullyConnected")
        assert layers >= len(program.layers) - slid
        assert nodes.count("XNNSoftmax") == 1
        assert set(found["steps"]) == {1.0}  # every factor is ours, none follows from XNNPACK's order of operations
        assert not {name for name in found["calls"] if "conv" in name or "pool" in name}
        lookups = sum(isinstance(node, Lookup) for node in program.nodes)
        if isinstance(program.source, Image) and not any("boxes" in name for name in program.shapes()):
            assert found["calls"].count("aten::embedding") >= lookups
    plain = json.loads(result.stdout.splitlines()[-1])[list(PROGRAMS).index("branched")]
    assert (plain["calls"], len(plain["backends"])) == ([], 1)


def test_the_interface_is_the_one_of_every_graph_format(program: Program) -> None:
    content = exported(program)
    described = runtime._load_for_executorch_from_buffer(content).method_meta("forward")
    assert (described.num_inputs(), described.num_outputs()) == (1, 1)
    assert described.input_tensor_meta(0).sizes() == (1, *program.source.input_shape)
    assert described.output_tensor_meta(0).sizes() == (1, program.classes)


def test_weights_are_stored_in_their_bits(program: Program) -> None:
    rows = dict(ExecutorchXnnpackExporter().byte_table(program, name="x"))
    for layer in program.layers:
        packed = layer.bits == 4 and layer.weight.shape[1] % 2 == 0
        numbers = layer.weight.size // 2 if packed else layer.weight.size
        assert rows[layer.output] == numbers + 4 * len(layer.weight) * (1 if layer.bias is None else 2)


@pytest.mark.parametrize("zero_point", [-128, -127, 0, 119])
def test_its_size_depends_on_shapes_alone(program: Program, zero_point: int) -> None:
    def of(number: int) -> int:
        logits = replace(program.quantization[program.logits], zero_point=number)
        return len(exported(replace(program, quantization={**program.quantization, program.logits: logits})))

    assert of(zero_point) == of(7)


# in another process, which may end in a crash
RUN = """\
import os, sys, numpy, torch
from executorch.extension.pybindings import _C as runtime
for path in sys.argv[1:]:
    loaded = runtime._load_for_executorch(path)
    rows = torch.from_numpy(numpy.load(path + ".inputs.npy"))
    first = [loaded.forward([rows[i : i + 1]])[0].numpy()[0].copy() for i in range(len(rows))]
    os.remove(path)
    later = [loaded.forward([rows[i : i + 1]])[0].numpy()[0].copy() for i in range(len(rows))]
    numpy.save(path + ".answers.npy", [first, later])
"""


def test_a_file_that_is_loaded_from_its_path_answers_also_when_it_is_gone(tmp_path: Path) -> None:
    """The runtime gives a delegate's bytes back once it is loaded: nothing may point there any more."""
    programs = {**PROGRAMS, "vector": vector_program(), "vector-4": vector_program(bits=4, per_channel=False)}
    paths = []
    for name, program in programs.items():
        paths.append(tmp_path / f"{name}.pte")
        paths[-1].write_bytes(exported(program))
        np.save(f"{paths[-1]}.inputs.npy", examples(program)[:5])
    done = subprocess.run([sys.executable, "-c", RUN, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path, program in zip(paths, programs.values(), strict=True):
        expected = run(program, examples(program)[:5]).probabilities
        for answers in np.load(f"{path}.answers.npy"):
            np.testing.assert_allclose(answers, expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_wider_networks_are_exact_too(seed: int) -> None:
    """Other widths take other kernels: full vectors, several of them, and what is left over."""
    channels, shape = ((33, (21, 18, 3)), (64, (12, 12, 1)), (130, (9, 11, 4)))[seed]
    for program in (
        image_program(shape=shape, channels=channels, seed=seed),
        branched_program(shape=shape, channels=channels, seed=seed),
        gated_program(shape=shape, channels=channels, seed=seed),
    ):
        result = verify_file(program, ExecutorchSession(exported(program)), pictures(program, 20, seed))
        assert (result.agreement, result.reason) == (1.0, None)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_pool_of_one_place_copies_it(stride: int) -> None:
    program = branched_program(pool=(3, 3))
    nodes = tuple(
        replace(node, kernel=(1, 1), stride=stride, padding=(0, 0, 0, 0)) if isinstance(node, LocalMaxPool) else node
        for node in program.nodes
    )
    one = replace(program, nodes=nodes)
    result = verify_file(one, ExecutorchSession(exported(one)), pictures(one, 20))
    assert (result.agreement, result.reason) == (1.0, None)


@pytest.mark.parametrize("kind", [Linear, DepthwiseConv])
def test_steps_that_xnnpack_refuses_are_refused_by_name(kind: type) -> None:
    program = gated_program()
    node = next(node for node in program.nodes if isinstance(node, kind))
    tiny = Quantization(float(np.float32(1e-8)), 0)
    with pytest.raises(InputError, match=f"received tensor='{node.output}' with .*; ask for the format executorch") as caught:
        exported(replace(program, quantization={**program.quantization, node.output: tiny}))
    assert "\n" not in str(caught.value)


def test_it_stands_beside_the_portable_file_in_a_bundle(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", formats=("executorch", "executorch_xnnpack"))
    assert {(tmp_path / "b" / name).is_file() for name in ("model.pte", "model_xnnpack.pte")} == {True}
    for name in bundle.formats:
        assert bundle.verify(name).verified


def test_a_bundle_loads_its_file_from_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in memory keeps what the runtime gives back of one on a disk, and would answer where that one stops."""

    def refuse(_: bytes) -> None:
        raise AssertionError("read from memory")

    bundle = make_bundle(tmp_path / "b", formats=("executorch_xnnpack",))
    monkeypatch.setattr(executorch.runtime, "_load_for_executorch_from_buffer", refuse)
    assert bundle.verify("executorch_xnnpack").verified
