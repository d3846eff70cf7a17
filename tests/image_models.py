"""Small models of strangers for images: what each was made for is in its arguments, and all give the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from litert_files import litert_file, operator, tensor
from understudy.teachers.image_input import PixelRange

SIDE, CLASSES = 8, 4
SHAPE = (SIDE, SIDE, 3)


def pictures(count: int, *, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return images of ``CLASSES`` classes, each bright in another quarter, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    images = rng.integers(0, 120, (count, *SHAPE))
    half = SIDE // 2
    for image, label in zip(images, labels, strict=True):
        image[half * (label // 2) :, half * (label % 2) :][:half, :half] += rng.integers(40, 120, 3)
    return images.astype(np.uint8), labels


def weights(pixel_range: PixelRange) -> tuple[np.ndarray, np.ndarray]:
    """Return weights ``[SIDE * SIDE * 3, CLASSES]`` and bias of the classifier that is right on images in ``pixel_range``."""
    half = SIDE // 2
    quarter = np.zeros((SIDE, SIDE, 3, CLASSES))
    for label in range(CLASSES):
        quarter[half * (label // 2) :, half * (label % 2) :, :, label][:half, :half] = 1
    per_pixel = quarter.reshape(-1, CLASSES) - 0.25
    low, high = (pixel_range(np.full((1, *SHAPE), value, np.uint8)).reshape(-1) for value in (0, 255))
    # logits are those of the classifier of fractions, whatever the range that the images come in
    scale = 1 / (high - low)
    weight = per_pixel * scale[:, None]
    return weight.astype(np.float32), (-(low * scale) @ per_pixel).astype(np.float32)


def reference(images: np.ndarray) -> np.ndarray:
    weight, bias = weights(PixelRange("0 to 1"))
    return (images / 255).reshape(len(images), -1) @ weight + bias


def onnx_image_file(
    path: Path,
    pixel_range: PixelRange,
    *,
    channels_first: bool,
    batch: int | str = "batch",
    softmax: bool = False,
    saturated: bool = True,
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """Write the classifier for images in ``pixel_range``; ``saturated`` values outside of the range are cut off."""
    weight, bias = weights(pixel_range)
    low, high = pixel_range.ends
    sizes = (3, SIDE, SIDE) if channels_first else SHAPE
    nodes = [helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT)]
    nodes.append(helper.make_node("Clip", ["floats", "low", "high"], ["cut"]))
    last = "cut" if saturated else "floats"
    if channels_first:
        nodes.append(helper.make_node("Transpose", [last], ["last"], perm=[0, 2, 3, 1]))
        last = "last"
    nodes += [
        helper.make_node("Flatten", [last], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    initializers = {"weight": weight, "bias": bias, "low": np.float32(low), "high": np.float32(high)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", dtype, [batch, *sizes])],
        [helper.make_tensor_value_info("probabilities" if softmax else "logits", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def litert_image_file(path: Path, *, quantization: tuple[float, int] | None = None) -> Path:
    """Write the classifier for fractions, float or with an int8 input of ``quantization``."""
    weight, bias = weights(PixelRange("0 to 1"))
    operators, builtin, kinds = schema.BuiltinOperator, schema.BuiltinOptions, schema.TensorType
    tensors = [
        tensor("pixels", kinds.FLOAT32 if quantization is None else kinds.INT8, [1, *SHAPE]),
        tensor("floats", kinds.FLOAT32, [1, *SHAPE]),
        tensor("weight", kinds.FLOAT32, [CLASSES, len(weight)], buffer=1),
        tensor("bias", kinds.FLOAT32, [CLASSES], buffer=2),
        tensor("logits", kinds.FLOAT32, [1, CLASSES]),
    ]
    if quantization is not None:
        made = schema.QuantizationParametersT()
        made.scale, made.zeroPoint = [quantization[0]], [quantization[1]]
        tensors[0].quantization = made
    first = 0 if quantization is None else 1
    uses = [
        operator(0, [0], 1, builtin.DequantizeOptions, schema.DequantizeOptionsT()),
        operator(1, [first, 2, 3], 4, builtin.FullyConnectedOptions, schema.FullyConnectedOptionsT()),
    ][1 - first :]
    codes = (operators.DEQUANTIZE, operators.FULLY_CONNECTED)
    path.write_bytes(litert_file(tensors, uses, codes=codes, version=2, output=4, constants=(weight.T, bias)))
    return path
