"""Teachers for vectors and windows: models of frameworks are given the numbers as they are, in the axes that they take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from understudy.errors import InputError
from understudy.teachers.vector_registry import load_vector_teacher

RNG = np.random.default_rng(0)
WINDOWS = RNG.normal(5, 3, (90, 7, 2)).astype(np.float32)
WEIGHT = RNG.normal(0, 1, (14, 3)).astype(np.float32)
NAMES = ("a", "b", "c")


def loaded(source: object, vectors: np.ndarray = WINDOWS) -> object:
    return load_vector_teacher(
        source, class_names=NAMES, vectors=vectors, numbered=False, training_vectors=lambda: vectors
    )  # fmt: skip


def onnx_file(path: Path, shape: tuple[int, ...]) -> Path:
    """Write a linear model on inputs ``[batch, *shape]``; its labels are beside it."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "weight"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(WEIGHT[: int(np.prod(shape))], "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    (path.parent / "labels.txt").write_text("\n".join(NAMES) + "\n")
    return path


def test_a_module_or_file_may_take_windows_with_their_channels_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 7), torch.nn.Flatten())
    module.class_names = list(NAMES)
    turned = torch.from_numpy(WINDOWS.swapaxes(1, 2).copy())
    with torch.no_grad():
        expected = module(turned).numpy()
    teacher = loaded(module)
    np.testing.assert_allclose(teacher.logits(WINDOWS), expected, rtol=1e-3, atol=1e-3)
    assert "numbers as the data have them, channels before steps, output logits" in teacher.describe()
    file = loaded(onnx_file(tmp_path / "model.onnx", (2, 7)))
    np.testing.assert_allclose(file.logits(WINDOWS), turned.flatten(1).numpy() @ WEIGHT, rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="expected input"):
        loaded(torch.nn.Sequential(torch.nn.Conv1d(5, 3, 7), torch.nn.Flatten()))


@pytest.mark.parametrize("shape", [(7, 2), (7, 2, 1), (1, 7, 2), (14,)])
def test_an_onnx_file_is_given_raw_numbers_in_its_own_axes(shape: tuple[int, ...], tmp_path: Path) -> None:
    teacher = loaded(onnx_file(tmp_path / "model.onnx", shape))
    np.testing.assert_allclose(teacher.logits(WINDOWS), WINDOWS.reshape(90, 14) @ WEIGHT, rtol=1e-3, atol=1e-3)
    assert "numbers as the data have them, output logits" in teacher.describe()


def test_a_model_for_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"takes them as the data has them: received input=.* for numbers=\[7, 2\]"):
        loaded(onnx_file(tmp_path / "model.onnx", (5, 2)))


def test_a_torch_module_and_a_function_and_saved_logits_agree() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(14, 3, bias=False))
    with torch.no_grad():
        module[1].weight.copy_(torch.from_numpy(WEIGHT.T))
    module.class_names = ["c", "a", "b"]
    expected = WINDOWS.reshape(90, 14) @ WEIGHT[:, [1, 2, 0]]

    def function(windows: np.ndarray) -> np.ndarray:
        assert windows.dtype == np.float32
        return windows.reshape(len(windows), 14) @ WEIGHT

    function.class_names = ("c", "a", "b")  # type: ignore[attr-defined]
    for source in (module, function):
        np.testing.assert_allclose(loaded(source).logits(WINDOWS), expected, rtol=1e-3, atol=1e-3)
    rows = loaded(expected)
    np.testing.assert_allclose(rows.logits(WINDOWS[5:8]), expected[5:8], rtol=1e-6)
    assert not rows.covers(WINDOWS[:2] + 1).any()


def test_a_model_that_gives_probabilities_is_read_as_their_logarithms() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(14, 3), torch.nn.Softmax(dim=1))
    module.class_names = list(NAMES)
    with torch.no_grad():
        expected = module(torch.from_numpy(WINDOWS)).numpy()
    teacher = loaded(module)
    np.testing.assert_allclose(np.exp(teacher.logits(WINDOWS)), np.maximum(expected, 1e-9), rtol=1e-4)
    assert "output probabilities" in teacher.describe()


@pytest.mark.parametrize("raw", [True, False])
def test_labels_say_whether_numbers_are_the_steps_of_a_quantized_input(shared_data: Path, *, raw: bool) -> None:
    with np.load(shared_data / "mlperf_tiny_kws01" / "kws01.npz") as archive:
        stored, labels = archive["x"][:400].astype(np.float32), archive["y"][:400].astype(np.int64)
    windows = stored if raw else np.rint((stored - 83) * np.float32(0.58470))
    teacher = load_vector_teacher(
        shared_data.parent / "models" / "mlperf_tiny" / "kws_ref_model.tflite",
        class_names=tuple(map(str, range(12))),
        vectors=windows,
        labels=labels,
        numbered=True,
        training_vectors=lambda: windows,
    )
    assert (teacher.logits(windows).argmax(axis=1) == labels).mean() > 0.85
    if raw:
        assert "which are the steps of its input already (found on 256 labelled examples" in teacher.describe()


@pytest.mark.parametrize(("name", "accuracy"), [("kws_ref_model_float32.tflite", 0.900), ("kws_ref_model.tflite", 0.902)])
def test_the_keyword_models_reach_their_published_accuracy(name: str, accuracy: float, shared_data: Path) -> None:
    """MLPerf Tiny's, float and int8, on float MFCC windows of 49 steps and 10 channels."""
    with np.load(shared_data / "mlperf_tiny_kws01" / "kws01.npz") as archive:
        windows, labels = (archive["x"].astype(np.float32) - 83) * np.float32(0.58470), archive["y"]
    teacher = load_vector_teacher(
        shared_data.parent / "models" / "mlperf_tiny" / name,
        class_names=tuple(map(str, range(12))),
        vectors=windows,
        numbered=True,
        training_vectors=lambda: windows,
    )
    assert (teacher.logits(windows).argmax(axis=1) == labels).mean() == pytest.approx(accuracy, abs=0.002)
