"""What is particular to LiteRT files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from image_programs import gated_program, pictures
from programs import SEQUENCE, TEXTS, UTTERANCE, sequence_program, utterance_program
from understudy.errors import BundleError
from understudy.export.litert import LitertExporter
from understudy.export.litert_flatbuffer import INT32, FlatbufferWriter
from understudy.export.litert_text import write_text_projection
from understudy.export.parity import compare, verify_file
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.projections.text import FeatureGroup, TextProjection, encode, project

PROGRAMS = {
    "sequence-8": sequence_program(width=48),
    "sequence-4": sequence_program(bits=4, per_channel=False, width=48, classes=90),
    "utterance-4": utterance_program(bits=4, hidden=64),
}
KERNELS = {"delegate": OpResolverType.AUTO, "plain": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


@pytest.fixture(params=KERNELS)
def kernels(request: pytest.FixtureRequest) -> OpResolverType:
    return KERNELS[request.param]


def exported(program: Program) -> bytes:
    return LitertExporter().export(program, name="x")["model.tflite"]


class PlainSession:
    """A file on one kernel set."""

    runtime = "test"

    def __init__(self, content: bytes, kernels: OpResolverType) -> None:
        self.interpreter = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=kernels)
        self.interpreter.allocate_tensors()

    def predict(self, byte_ids: np.ndarray) -> np.ndarray:
        rows = []
        for row in byte_ids:
            self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], row[None])
            self.interpreter.invoke()
            rows.append(self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"]).copy())
        return np.concatenate(rows)


def many_texts(max_bytes: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    alphabet = np.frombuffer(b"abD~ C,.  1\xc3\x7f", np.uint8)
    parts = [rng.integers(0, 256, (20, max_bytes)), rng.choice(alphabet, (40, max_bytes))]
    return np.concatenate([encode(TEXTS, max_bytes=max_bytes), *parts]).astype(np.int32)


ODD_GROUPS = (FeatureGroup("skip2", 9), FeatureGroup("word", 7), FeatureGroup("character", 21), FeatureGroup("skip0", 5))
PROJECTIONS = {
    "sequence": SEQUENCE,
    "utterance": UTTERANCE,
    "wide": TextProjection((FeatureGroup("character", 33),), max_bytes=40, max_words=5, orders=(8, 1)),
    "words": TextProjection((FeatureGroup("word", 16), FeatureGroup("character", 8)), max_bytes=40, max_words=50, orders=(3,)),
    "odd": TextProjection(ODD_GROUPS, max_bytes=90, max_words=7, orders=(1, 5), pooling="utterance", seed=0xFFFFFFFF),
}


@pytest.mark.parametrize("values", ["count", "ternary", "binary"])
@pytest.mark.parametrize("name", PROJECTIONS)
def test_features_equal_the_hosts_on_both_kernel_sets(
    name: str, values: Literal["count", "ternary", "binary"], kernels: OpResolverType
) -> None:
    projection = replace(PROJECTIONS[name], values=values)
    writer = FlatbufferWriter()
    source = writer.tensor((1, projection.max_bytes), INT32)
    session = PlainSession(writer.finish(inputs=[source], outputs=[write_text_projection(writer, projection, source)]), kernels)
    byte_ids = many_texts(projection.max_bytes)
    expected = project(projection, byte_ids)
    assert len(np.unique(expected)) > (1 if values == "binary" else 2)
    np.testing.assert_array_equal(session.predict(byte_ids).reshape(expected.shape), expected)


def test_plain_kernels_agree_as_far_as_they_round_alike(program: Program) -> None:
    result = verify_file(program, PlainSession(exported(program), KERNELS["plain"]), many_texts(64), exact=False)
    assert result.reason is None


def test_lookups_and_products_load_in_plain_kernels_too(kernels: OpResolverType) -> None:
    program = gated_program()
    images = pictures(program, 200)
    found = PlainSession(exported(program), kernels).predict(images)
    result = compare(found, run(program, images), logit_scale=program.quantization[program.logits].scale, exact=False)
    assert np.abs(found - run(program, images).probabilities).max() < 0.01
    if kernels == KERNELS["delegate"]:
        assert (result.agreement, result.reason) == (1.0, None)


def test_only_built_in_operators_and_two_names(program: Program) -> None:
    model = schema.ModelT.InitFromPackedBuf(exported(program), 0)
    graph = model.subgraphs[0]
    assert all(code.customCode is None for code in model.operatorCodes)
    assert [t.name for t in graph.tensors if t.name] == [b"bytes", b"probabilities"]
    assert model.metadata is None
    assert model.description is None
    assert list(graph.tensors[graph.inputs[0]].shape) == [1, 64]
    assert graph.tensors[graph.inputs[0]].type == schema.TensorType.INT32
    assert list(graph.tensors[graph.outputs[0]].shape) == [1, program.classes]
    assert graph.tensors[graph.outputs[0]].type == schema.TensorType.FLOAT32


def test_no_float_constant_over_256_bytes_and_every_constant_once(program: Program) -> None:
    model = schema.ModelT.InitFromPackedBuf(exported(program), 0)
    constants = [t for t in model.subgraphs[0].tensors if model.buffers[t.buffer].data is not None]
    floats = [len(model.buffers[t.buffer].data) for t in constants if t.type == schema.TensorType.FLOAT32]
    assert floats
    assert max(floats) <= 256
    contents = [bytes(buffer.data) for buffer in model.buffers if buffer.data is not None]
    assert len(contents) == len(set(contents))


def test_weights_are_stored_in_their_bits(program: Program) -> None:
    model = schema.ModelT.InitFromPackedBuf(exported(program), 0)
    kind = schema.TensorType.INT4 if program.linears[0].bits == 4 else schema.TensorType.INT8
    stored = [(t.type, int(np.prod(t.shape))) for t in model.subgraphs[0].tensors if model.buffers[t.buffer].data is not None]
    for linear in program.linears:
        assert (kind, linear.weight.size) in stored


def test_custom_operators_are_refused(tmp_path: Path) -> None:
    import flatbuffers

    model = schema.ModelT.InitFromPackedBuf(exported(PROGRAMS["sequence-8"]), 0)
    model.operatorCodes[0].customCode = b"Foreign"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "model.tflite").write_bytes(bytes(builder.Output()))
    with pytest.raises(BundleError, match="built-in operators"):
        LitertExporter().open(tmp_path, name="x")
