"""Programs of tokens, with float islands: files agree within the stated bound, and other formats refuse them by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from image_programs import pictures
from token_programs import token_program
from understudy.bundle import Bundle, write_bundle
from understudy.errors import InputError
from understudy.export.parity import Verification, compare, verify_file
from understudy.export.registry import exporter
from understudy.formats import FORMATS, ISLAND_FORMATS
from understudy.program.interpreter import run
from understudy.program.islands import ISLAND_LIMIT, ISLAND_STEPS
from understudy.program.ops import Program

PROGRAMS = {
    "class-token": token_program(),
    "mean": token_program(class_token=False),
    "tensor-one-head": token_program(per_channel=False, heads=1, head_width=8, seed=1),
    "wide": token_program(shape=(28, 28, 1), patch=7, width=32, heads=4, head_width=8, seed=3),
}
LABELS = tuple("abcdefg")


@pytest.fixture(params=list(PROGRAMS))
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


@pytest.mark.parametrize("name", ISLAND_FORMATS)
def test_a_file_agrees_with_the_reference(name: str, program: Program, tmp_path: Path) -> None:
    found, images = exporter(name), pictures(program, 300)
    for file, content in found.export(program, name="t").items():
        (tmp_path / file).write_bytes(content)
    scores = run(program, images)
    assert len(np.unique(scores.logits)) > 100  # the program answers differently
    verification = verify_file(program, found.open(tmp_path, name="t"), images, reference=scores)
    assert verification.verified, verification.reason
    assert verification.agreement > 0.98
    rows = found.byte_table(program, name="t")
    assert sum(size for _, size in rows) == len(found.export(program, name="t")[found.filename])
    assert dict(rows)["tokens"] >= program.nodes[2].table.size


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ISLAND_FORMATS])
def test_other_formats_refuse_islands_by_name_and_place(name: str) -> None:
    for refuse in (exporter(name).export, exporter(name).byte_table):
        with pytest.raises(InputError) as caught:
            refuse(PROGRAMS["mean"], name="t")
        message = str(caught.value)
        assert "received a float island, layer norm in blocks.0.norm1; ask for --format onnx --format litert" in message
        assert message.lower().startswith(f"the {name} format")
        assert "\n" not in message


def test_plain_kernels_of_litert_load_it(program: Program) -> None:
    content, images = exporter("litert").export(program, name="t")["model.tflite"], pictures(program, 60)
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    [source], [target] = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(target["index"])[0])
    scores = run(program, images)
    assert np.abs(np.stack(answers) - scores.probabilities).max() < 0.1
    assert (np.stack(answers).argmax(axis=1) == scores.logits.argmax(axis=1)).mean() > 0.9


def test_files_hold_no_float_constant_over_256_bytes_beside_scales(program: Program) -> None:
    files = {name: exporter(name).export(program, name="t") for name in ISLAND_FORMATS}
    model = schema.ModelT.InitFromPackedBuf(files["litert"]["model.tflite"], 0)
    assert all(code.customCode is None for code in model.operatorCodes)
    floats = [t for t in model.subgraphs[0].tensors if t.type == schema.TensorType.FLOAT32]
    stored = [len(model.buffers[t.buffer].data) for t in floats if model.buffers[t.buffer].data is not None]
    assert max(stored) <= 256
    graph = onnx.load_model_from_string(files["onnx"]["model.onnx"]).graph
    assert {node.domain for node in graph.node} == {""}
    scales = {node.input[1] for node in graph.node if node.op_type in ("DequantizeLinear", "QuantizeLinear")}
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.data_type == 1}
    products = {name for node in graph.node if node.op_type == "Mul" for name in node.input}
    assert all(values.nbytes <= 256 for name, values in constants.items() if name not in scales | products)


def test_a_bundle_names_its_islands(tmp_path: Path) -> None:
    program = PROGRAMS["class-token"]
    exports = {name: exporter(name).export(program, name="t", labels=LABELS) for name in ISLAND_FORMATS}
    about = {"name": "t", "labels": LABELS, "threshold": None, "recipe": {}, "data_digest": "0" * 64}
    write_bundle(tmp_path / "b", program=program, exports=exports, **about)
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.manifest.float_islands == (
        "layer norm in blocks.0.norm1",
        "attention in blocks.0.attention",
        "layer norm in blocks.0.norm2",
        "layer norm in norm",
    )
    assert all(bundle.verify(name).verified for name in ISLAND_FORMATS)
    assert [p.label for p in bundle.predict(pictures(program, 9))] == [
        LABELS[i] for i in run(program, pictures(program, 9)).logits.argmax(axis=1)
    ]


def test_the_bound_holds_for_programs_with_islands_alone() -> None:
    program = PROGRAMS["wide"]
    scores, scale = run(program, pictures(program, 400)), program.quantization["logits"].scale

    def answered(logits: np.ndarray) -> np.ndarray:
        real = logits * np.float64(scale)
        exponents = np.exp(real - real.max(axis=1, keepdims=True))
        return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)

    def verdict(rows: int, steps: int, *, islands: bool = True) -> Verification:
        """Return what is found where ``rows`` have their least logit ``steps`` lower."""
        logits = scores.logits.astype(np.int64)
        least = logits.argmin(axis=1)[:rows]
        logits[np.arange(rows), least] -= steps
        return compare(answered(logits), scores, logit_scale=scale, islands=islands)

    assert verdict(400, ISLAND_STEPS).reason is None
    assert verdict(2, ISLAND_LIMIT).reason is None
    assert verdict(2, ISLAND_LIMIT).agreement == 1 - 2 / 400
    assert (
        verdict(3, ISLAND_STEPS + 1).reason
        == "logits differ by more than 4 steps in 0.75% of the rows, more than 0.5%, with float islands"
    )
    assert verdict(1, ISLAND_LIMIT + 1).reason == "a logit differs by 33 steps in row 0, more than 32 with float islands"
    assert not verdict(1, 1, islands=False).verified
    swapped = scores.logits.astype(np.int64)
    best, second = np.argsort(swapped, axis=1)[:, ::-1][:, :2].T
    apart = swapped.max(axis=1) - np.sort(swapped, axis=1)[:, -2]
    near = np.flatnonzero((apart > 0) & (apart < 4))[:3]
    swapped[near, second[near]] = swapped[near, best[near]] + 1
    assert len(near) == 3
    found = compare(answered(swapped), scores, logit_scale=scale, islands=True)
    assert found.reason == "labels differ in 0.75% of the rows, more than 0.5%, with float islands"
