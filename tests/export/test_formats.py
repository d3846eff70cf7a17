"""Every format passes the suite that the package ships; graph formats also keep to rules of their own."""

from __future__ import annotations

import itertools
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from c_programs import random_program
from image_programs import image_program
from programs import sequence_program
from understudy.errors import BundleError
from understudy.export.coreml_messages import Model
from understudy.export.coreml_package import WeightsWriter, pack, unpack
from understudy.export.executorch_flatbuffer import UINT8, ExecutorchWriter
from understudy.export.protocol import Exporter
from understudy.export.registry import exporter
from understudy.program.ops import Image, Linear, MaxPool, Program, ProjectText, Quantization, Softmax
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.testing import CASES, FEATURES, SCAN_CASES, Case, FormatSuite
from wasm_tools import needs_wasm

GRAPH_FORMATS = ("onnx", "litert", "coreml", "executorch", "executorch_xnnpack")
FEW = tuple(
    case
    for case in CASES
    if case.name
    in ("crooked-4", "sequence-4-tensor", "short-2-3", "window-read-twice", "image-4-channel", "image-uneven-padding")
)
"""For formats that are compiled: every node, both widths of weights and both kinds of scales."""
FLOAT_CASES = tuple(
    case
    for case in CASES
    if case.name.rsplit("-", 1)[0] in ("crooked", "sequence-8", "utterance-4", "gated", "window-4", "image-uneven")
    or case.name in ("short-2-3", "window-read-twice", "branched-4-tensor-flat", "branched-uneven-pool", "boxes", "sound")
)
"""For files in float: every node that they hold."""
RANDOM = tuple(Case(f"random-{seed}", random_program(seed)) for seed in range(12))


class TestOnnx(FormatSuite):
    exporter = exporter("onnx")
    cases = (*CASES, *SCAN_CASES, *RANDOM)


class TestLitert(FormatSuite):
    exporter = exporter("litert")
    cases = (*CASES, *RANDOM)


class TestC(FormatSuite):
    """tests/export/test_c_runtime.py has the random programs, many in one compilation; test_images.py has every image case."""

    exporter = exporter("c")
    cases = (*FEW, SCAN_CASES[1])
    features = FEATURES[-1:]
    counts_files = False


class TestPython(FormatSuite):
    exporter = exporter("python")
    cases = (*CASES, *SCAN_CASES, *RANDOM)


@needs_wasm
class TestWasm(FormatSuite):
    exporter = exporter("wasm")
    cases = (*FEW, SCAN_CASES[1])
    features = FEATURES[-1:]


@needs_wasm
@pytest.mark.slow
class TestEveryWasm(FormatSuite):
    exporter = exporter("wasm")
    cases = (*CASES, *SCAN_CASES, *RANDOM)


class TestArduino(FormatSuite):
    """The same C as in TestC, as a library."""

    exporter = exporter("arduino")
    cases = (FEW[0], FEW[-1])
    features = FEATURES[-1:]
    counts_files = False


@pytest.mark.slow
class TestEveryArduino(FormatSuite):
    exporter = exporter("arduino")
    cases = (*CASES, *SCAN_CASES)
    counts_files = False


class TestExecutorch(FormatSuite):
    exporter = exporter("executorch")
    cases = (*CASES, *RANDOM)


class TestExecutorchXnnpack(FormatSuite):
    exporter = exporter("executorch_xnnpack")
    cases = (*CASES, *RANDOM)


class TestOnnxFloat(FormatSuite):
    exporter = exporter("onnx_float")
    cases = (*FLOAT_CASES, *SCAN_CASES)
    features = FEATURES[-1:]
    in_float = True


class TestLitertFloat(FormatSuite):
    exporter = exporter("litert_float")
    cases = FLOAT_CASES
    features = FEATURES[-1:]
    in_float = True


class TestCoremlFloat(FormatSuite):
    exporter = exporter("coreml_float")
    cases = FLOAT_CASES
    features = FEATURES[-1:]
    in_float = True


class TestExecutorchFloat(FormatSuite):
    exporter = exporter("executorch_float")
    cases = FLOAT_CASES
    features = FEATURES[-1:]
    in_float = True


class TestCFloat(FormatSuite):
    """Compiled; tests/export/test_c_float.py has random programs."""

    exporter = exporter("c_float")
    cases = (
        *(
            case
            for case in FLOAT_CASES
            if case.name in ("crooked-4", "window-read-twice", "gated-uneven-kernel", "boxes", "sound")
        ),
        SCAN_CASES[1],
    )
    features = FEATURES[-1:]
    counts_files = False
    in_float = True


class TestPythonFloat(FormatSuite):
    """tests/export/test_python_float.py has the other cases, all in one interpreter."""

    exporter = exporter("python_float")
    cases = SCAN_CASES[1:2]
    features = FEATURES[-1:]
    in_float = True


@needs_wasm
class TestWasmFloat(FormatSuite):
    exporter = exporter("wasm_float")
    cases = (FEW[0], FEW[-1])
    features = FEATURES[-1:]
    in_float = True


class TestArduinoFloat(FormatSuite):
    exporter = exporter("arduino_float")
    cases = (FEW[0], SCAN_CASES[1])
    features = FEATURES[-1:]
    counts_files = False
    in_float = True


class TestCoreml(FormatSuite):
    exporter = exporter("coreml")
    cases = (*CASES, *RANDOM)


@pytest.fixture(params=GRAPH_FORMATS)
def format_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def found(format_name: str) -> Exporter:
    return exporter(format_name)


@pytest.mark.parametrize("case", CASES[:10], ids=lambda case: case.name)
def test_bytes_are_a_function_of_the_program_and_the_table_adds_up(case: Case, found: Exporter) -> None:
    files = found.export(case.program, name="one")
    assert list(files) == [found.filename]
    assert files == found.export(case.program, name="another")
    rows = dict(found.byte_table(case.program, name="one"))
    assert sum(rows.values()) == len(files[found.filename])
    assert all(size > 0 for size in rows.values())
    assert list(rows)[:2] == ["projection constants", "projection tables"]
    for linear in case.program.linears:
        # a file holds at least the weights, and what stands beside them is their bias and their scales
        packed = -(-linear.weight.size // 2) if linear.bits == 4 and linear.weight.shape[1] % 2 == 0 else linear.weight.size
        assert rows[linear.output] >= packed // (2 if linear.bits == 4 else 1)
        assert rows[linear.output] <= linear.weight.size + 40 * len(linear.weight) + 64


@pytest.mark.parametrize(
    ("features", "orders"), [(128, (2, 3, 4, 5, 6)), (256, (2, 3, 4, 5, 6)), (256, (1, 2, 3, 4, 5, 6, 7, 8))]
)
def test_projection_constants_are_at_most_two_kilobytes(features: int, orders: tuple[int, ...], found: Exporter) -> None:
    projection = TextProjection((FeatureGroup("character", features),), orders=orders, pooling="utterance")
    linear = Linear("features", "logits", np.ones((2, features), np.int8), None, False, 8, False, np.ones(1, np.float32))
    nodes = (ProjectText("bytes", "features", projection), linear, Softmax("logits", "probabilities"))
    program = Program(nodes, {"features": Quantization(1.0, 0), "logits": Quantization(1.0, 0)})
    assert dict(found.byte_table(program, name="x"))["projection constants"] <= 2048


def test_damaged_files_are_refused(format_name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = exporter(format_name)
    content = found.export(sequence_program(), name="x")[found.filename]
    rng = np.random.default_rng(0)
    cuts = [content[:size] for size in (0, 1, 5, 12, *rng.integers(20, len(content) - 1, 20))]
    for damaged in (*cuts, b"not a model", bytes(rng.integers(0, 256, 3000, dtype=np.uint8))):
        (tmp_path / found.filename).write_bytes(damaged)
        with pytest.raises(BundleError, match="received path=") as caught:
            found.open(tmp_path, name="x")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_file_without_operators_takes_at_most_500_bytes(format_name: str, found: Exporter) -> None:
    """What is left of a real file when every stored number, tensor and operator is taken out but input and output.

    A Core ML package is three files in a ZIP file, and one of them lists the others.
    """
    content = found.export(image_program(), name="x")[found.filename]
    rests = {"onnx": _onnx_rest, "litert": _litert_rest, "coreml": _coreml_rest}
    rest = rests.get(format_name, _executorch_rest)(content)
    assert 50 < len(rest) <= (1400 if format_name == "coreml" else 500)


def _onnx_rest(content: bytes) -> bytes:
    model = onnx.load_model_from_string(content)
    for records in (model.graph.node, model.graph.initializer, model.graph.value_info):
        del records[:]
    return bytes(model.SerializeToString())


def _coreml_rest(content: bytes) -> bytes:
    model = Model.Model()
    model.ParseFromString(unpack(content)[0])
    del model.mlProgram.functions["main"].block_specializations["CoreML6"].operations[:]
    return pack(model.SerializeToString(), WeightsWriter().finish())


def _executorch_rest(content: bytes) -> bytes:
    """Return the smallest file of the same kind: the runtime's package has no public reader that could take things out."""
    writer = ExecutorchWriter()
    smallest = writer.finish(writer.tensor((1, 13, 10, 3), UINT8), writer.tensor((1, 7)))
    assert smallest[4:16] == content[4:16]
    return smallest


def _litert_rest(content: bytes) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    [graph] = model.subgraphs
    graph.tensors = [graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]]
    graph.inputs, graph.outputs, graph.operators, model.operatorCodes = [0], [1], [], []
    model.buffers = model.buffers[:1]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("image", [False, True], ids=["text", "image"])
@pytest.mark.parametrize(
    ("name", "channel_bytes", "factor"),
    [
        ("onnx", 28, 1),
        ("litert", 28, 1),
        ("c", 8, 1),
        ("python", 8, 1.25),
        ("coreml", 80, 1),
        ("executorch", 40, 1),
        ("executorch_xnnpack", 24, 1),
    ],
)
def test_a_further_layer_costs_its_numbers_and_a_short_record(
    name: str, channel_bytes: int, factor: float, image: bool
) -> None:
    """A chain of equal layers: no layer may cost more because there are others.

    A channel has a bias and a scale; in graphs it has scale and zero point twice, of weights and of biases. In base 85 a byte
    takes 1.25.
    """
    sizes = [sum(size for _, size in exporter(name).byte_table(_chain(count, image=image), name="x")) for count in (3, 4, 5)]
    numbers = 16 * 16 + 16 * channel_bytes
    for before, after in itertools.pairwise(sizes):
        assert after - before <= numbers * factor + 120


def _chain(count: int, *, image: bool) -> Program:
    """Return a program of ``count`` layers of the same shape."""
    rng = np.random.default_rng(0)
    projection = TextProjection((FeatureGroup("character", 16),), max_bytes=32, max_words=8, pooling="utterance")
    begin = (
        (Image("pixels", "image", (2, 2, 16)), MaxPool("image", "l0")) if image else (ProjectText("bytes", "l0", projection),)
    )
    scheme = {"image": Image.quantization, "l0": begin[0].quantization}
    layers = []
    for i in range(count):
        weight, scale = rng.integers(-127, 128, (16, 16)).astype(np.int8), rng.uniform(0.01, 0.02, 16).astype(np.float32)
        layers.append(Linear(f"l{i}", f"l{i + 1}", weight, rng.integers(0, 99, 16).astype(np.int32), True, weight_scale=scale))
        scheme[f"l{i + 1}"] = Quantization(float(np.float32(0.01 + 0.001 * i)), -128)
    return Program((*begin, *layers, Softmax(f"l{count}", "probabilities")), scheme)
