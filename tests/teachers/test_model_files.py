"""ONNX and LiteRT files as teachers: run from memory, with what the runtime brings itself and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_files import (
    LENGTH,
    expected,
    litert_bytes_model,
    onnx_bytes_model,
    onnx_string_model,
    save_onnx,
)
from understudy.errors import InputError, SetupError
from understudy.projections.text import encode
from understudy.teachers.litert import _dequantized
from understudy.teachers.model_file import TextInput, model_file_teacher
from understudy.teachers.protocol import checked_logits
from understudy.teachers.registry import load_text_teacher

CLASSES = ("a", "b", "c")
TEXTS = tuple(f"text {i} ä \udcff" for i in range(300))


def soft(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def make_onnx(path: Path, **options: object) -> Path:
    return save_onnx(onnx_bytes_model(**options), path.with_suffix(".onnx"))  # type: ignore[arg-type]


def make_litert(path: Path, **options: object) -> Path:
    path = path.with_suffix(".tflite")
    path.write_bytes(litert_bytes_model(**options))  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("make", "options", "layout"),
    [
        (make_onnx, {}, "int32 bytes [any, 24]"),
        (make_onnx, {"batch": 1}, "int32 bytes [1, 24]"),
        (make_onnx, {"batch": 7, "kind": TensorProto.UINT8}, "uint8 bytes [7, 24]"),
        (make_litert, {}, "int32 bytes [1, 24]"),
        (make_litert, {"dtype": "uint8"}, "uint8 bytes [1, 24]"),
        (make_litert, {"batch": 4}, "int32 bytes [4, 24]"),
        (make_litert, {"free_batch": True}, "int32 bytes [256, 24]"),
    ],
)
@pytest.mark.parametrize("softmax", [False, True])
def test_bytes_in_classes_out(
    tmp_path: Path, make: Callable[..., Path], options: dict[str, object], layout: str, *, softmax: bool
) -> None:
    teacher = load_text_teacher(make(tmp_path / "m", softmax=softmax, **options), class_names=CLASSES)
    logits = expected(encode(TEXTS, max_bytes=LENGTH))
    np.testing.assert_allclose(checked_logits(teacher, TEXTS, 3), soft(logits) if softmax else logits, atol=2e-5)
    kind = "probabilities, used as logarithms" if softmax else "logits"
    assert f"input {layout}, output {kind}; columns are not named" in teacher.describe()
    assert teacher.covers(TEXTS).all()


def test_logits_are_taken_where_a_file_offers_both(tmp_path: Path) -> None:
    teacher = load_text_teacher(make_onnx(tmp_path / "m", softmax=True, extra_output=True), class_names=CLASSES)
    np.testing.assert_allclose(teacher.logits(["hello"]), expected(encode(["hello"], max_bytes=LENGTH)), atol=1e-5)


@pytest.mark.parametrize("column", [False, True])
def test_strings_in_classes_out(tmp_path: Path, *, column: bool) -> None:
    path = save_onnx(onnx_string_model(["yes", "no", "grün"], column=column), tmp_path / "m.onnx")
    teacher = load_text_teacher(path, class_names=CLASSES)
    answers = teacher.logits(["no", "grün", "yes", "other \udcff"])
    assert answers.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert f"input strings [any{', 1' if column else ''}]" in teacher.describe()


def test_labels_beside_the_file_order_the_columns(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("c\na\nb\n")
    teacher = load_text_teacher(make_onnx(tmp_path / "m"), class_names=CLASSES)
    logits = expected(encode(["hello"], max_bytes=LENGTH))
    np.testing.assert_allclose(teacher.logits(["hello"]), logits[:, [1, 2, 0]], atol=1e-5)
    assert "columns named by the teacher" in teacher.describe()


@pytest.mark.parametrize("make", [make_onnx, make_litert])
def test_the_wrong_number_of_classes_is_named(tmp_path: Path, make: Callable[..., Path]) -> None:
    teacher = load_text_teacher(make(tmp_path / "m"), class_names=("a", "b"))
    with pytest.raises(InputError, match="received columns=3 for classes=2"):
        checked_logits(teacher, ["x"], 2)


@pytest.mark.parametrize("make", [make_onnx, make_litert])
@pytest.mark.parametrize("keep", [0.0, 0.2, 0.6])
def test_truncated_files_are_refused(tmp_path: Path, make: Callable[..., Path], keep: float) -> None:
    path = make(tmp_path / "m")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match=r"(file must load|takes one).*received .*; (export it again|put its own)"):
        load_text_teacher(path, class_names=CLASSES)


def test_external_data_is_refused_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(LENGTH * 3 * 4))
    outside = numpy_helper.from_array(np.zeros((LENGTH, 3), np.float32), "weight")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    entry = outside.external_data.add()
    entry.key, entry.value = "location", "secret.bin"
    plain = onnx_bytes_model()
    plain.graph.initializer[0].CopyFrom(outside)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [LENGTH, 3])],
        [outside],
    )
    branch.initializer[0].name = "inner"
    nested = onnx_bytes_model()
    nested.graph.node.append(helper.make_node("If", ["condition"], ["unused"], then_branch=branch, else_branch=branch))
    constant = onnx_bytes_model()
    constant.graph.node.insert(0, helper.make_node("Constant", [], ["w2"], value=outside))
    for model in (plain, nested, constant):
        with pytest.raises(InputError, match=r"holds all its data itself: received tensor='\w+' with external data .*save it"):
            load_text_teacher(save_onnx(model, tmp_path / "m.onnx"), class_names=CLASSES)


def test_custom_operators_are_refused(tmp_path: Path) -> None:
    model = onnx_bytes_model()
    model.graph.node.append(helper.make_node("Tokenizer", ["bytes"], ["tokens"], domain="ai.onnx.contrib"))
    model.opset_import.append(helper.make_opsetid("ai.onnx.contrib", 1))
    with pytest.raises(
        InputError, match=r"standard operators: received operator='Tokenizer' of domain='ai\.onnx\.contrib'.*exp"
    ):
        load_text_teacher(save_onnx(model, tmp_path / "m.onnx"), class_names=CLASSES)


def test_inputs_that_are_no_text_are_refused(tmp_path: Path) -> None:
    ids = onnx_bytes_model(kind=TensorProto.INT64)
    two = onnx_bytes_model()
    two.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.INT32, ["batch", LENGTH]))
    free = onnx_bytes_model()
    free.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "length"
    for model in (ids, two, free):
        with pytest.raises(
            InputError, match=r"an ONNX teacher takes one text input.*received inputs=bytes tensor.*put its own"
        ):
            load_text_teacher(save_onnx(model, tmp_path / "m.onnx"), class_names=CLASSES)
    with pytest.raises(InputError, match=r"a LiteRT teacher takes one input.*received inputs=bytes float32\[1, 24\]"):
        load_text_teacher(make_litert(tmp_path / "m", dtype="float32"), class_names=CLASSES)


def test_nan_from_a_file_is_refused(tmp_path: Path) -> None:
    model = onnx_bytes_model(softmax=True)
    model.graph.node.append(helper.make_node("Log", ["minus"], ["nan"]))
    model.graph.node.insert(2, helper.make_node("Sub", ["floats", "floats"], ["zero"]))
    model.graph.node.insert(3, helper.make_node("Div", ["zero", "zero"], ["minus"]))
    model.graph.node.append(helper.make_node("MatMul", ["nan", "weight"], ["out"]))
    model.graph.output[0].name = "out"
    teacher = load_text_teacher(save_onnx(model, tmp_path / "m.onnx"), class_names=CLASSES)
    with pytest.raises(InputError, match=r"finite numbers: received logits\[0, 0\]=nan"):
        checked_logits(teacher, ["x"], 3)


def test_a_run_that_fails_is_named(tmp_path: Path) -> None:
    """A file whose input are token numbers instead of bytes: the first byte is out of its range."""
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("ReduceSum", ["rows", "axis"], ["y"], keepdims=0),
        ],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(np.ones((5, 3), np.float32), "table"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(
        InputError, match=r"takes one text input.*received a run that failed \(.*indices.*put its own preparation"
    ):
        load_text_teacher(save_onnx(model, tmp_path / "m.onnx"), class_names=CLASSES)


def test_quantized_outputs_are_dequantized() -> None:
    details = {"quantization": (1 / 256, -128)}
    assert _dequantized(np.array([[-128, 0, 127]], np.int8), details).tolist() == [[0, 0.5, 255 / 256]]


def test_probabilities_of_eight_bits_are_recognised(tmp_path: Path) -> None:
    """Rounded to 1/256 they do not add up to one."""
    layout = TextInput(batch=None, length=8)
    for row, found in (([85 / 256] * 3, True), ([0.5, 0.25, 0.3], False), ([1.5, -0.5, 0.0], False)):
        teacher = model_file_teacher(
            tmp_path / "m", b"", run=lambda x, row=row: np.array([row] * len(x), np.float32), text_input=layout,
            class_names=None, format_name="LiteRT",
        )  # fmt: skip
        assert teacher.probabilities is found


@pytest.mark.parametrize(
    ("suffix", "package", "extra"),
    [("onnx", "onnx", "onnx"), ("onnx", "onnxruntime", "onnx"), ("tflite", "ai_edge_litert", "litert")],
)
def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, package: str, extra: str) -> None:
    path = make_onnx(tmp_path / "m") if suffix == "onnx" else make_litert(tmp_path / "m")
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SetupError, match=rf"as teacher needs the '{extra}' extra: .*pip install 'understudy\[{extra}\]'"):
        load_text_teacher(path, class_names=CLASSES)


def test_a_stranger_that_is_valid_but_no_text_model(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT32, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 8])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(InputError, match=r"received outputs=y tensor\(int32\)\[1, 8\] in teacher"):
        load_text_teacher(save_onnx(model, tmp_path / "m.onnx"), class_names=CLASSES)
    assert onnx.checker.check_model(model) is None
