"""Convolutions of the interpreter against ``spec/program.md``, one number at a time."""

from __future__ import annotations

import numpy as np
import pytest

from image_programs import image_program, pictures
from understudy.program import archive
from understudy.program.interpreter import run, tensors
from understudy.program.ops import Conv, DepthwiseConv, Image, Program, Quantization, Softmax
from understudy.program.shapes import same_padding


def _one_by_one(node: Conv | DepthwiseConv, x: np.ndarray, source: Quantization, target: Quantization) -> np.ndarray:
    """Return the output ``[H', W', O]`` of one image, sections 2, 10 and 11 written out."""
    height, width, channels = x.shape
    top, left, bottom, right = node.padding
    outputs, kernel_rows, kernel_columns = node.weight.shape[:3]
    rows = (height + top + bottom - kernel_rows) // node.stride + 1
    columns = (width + left + right - kernel_columns) // node.stride + 1
    out = np.zeros((rows, columns, outputs), np.int8)
    for row, column, o in np.ndindex(out.shape):
        total = int(node.bias[o])
        for i, j in np.ndindex(kernel_rows, kernel_columns):
            y, at = row * node.stride + i - top, column * node.stride + j - left
            if 0 <= y < height and 0 <= at < width:
                if isinstance(node, Conv):
                    pairs = [(int(x[y, at, c]), int(node.weight[o, i, j, c])) for c in range(channels)]
                else:
                    pairs = [(int(x[y, at, o]), int(node.weight[o, i, j]))]
                total += sum((q - source.zero_point) * w for q, w in pairs)
        weight_scale = node.weight_scale[o if len(node.weight_scale) > 1 else 0]
        scale = np.float32(np.float32(np.float32(source.scale) * weight_scale) / np.float32(target.scale))
        rounded = int(np.rint(np.float32(total) * scale)) + target.zero_point
        out[row, column, o] = max(target.zero_point if node.relu else -128, min(127, rounded))
    return out


@pytest.mark.parametrize("padding", [None, (0, 0, 0, 0), (2, 0, 1, 2)], ids=["same", "none", "uneven"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_convolutions_follow_the_specification(padding: tuple[int, int, int, int] | None, *, per_channel: bool) -> None:
    program = image_program(shape=(19, 21, 2), channels=5, padding=padding, per_channel=per_channel)
    values = tensors(program, pictures(program, 6))
    for node in program.layers:
        if isinstance(node, Conv | DepthwiseConv):
            scheme = program.quantization
            for image, found in zip(values[node.input], values[node.output], strict=True):
                expected = _one_by_one(node, image, scheme[node.input], scheme[node.output])
                np.testing.assert_array_equal(found, expected)


def test_pools_of_images_are_over_all_places() -> None:
    program = image_program()
    values = tensors(program, pictures(program, 20))
    last = values["mixed_two"]
    np.testing.assert_array_equal(values["largest"], last.max(axis=(1, 2)))
    assert values["total"].shape == (20, last.shape[3])
    assert len(np.unique(values["total"])) > 20


def test_pixels_are_real_values_from_zero_to_one() -> None:
    image = Image("pixels", "image", (2, 2, 1))
    program = Program((image, Softmax("image", "probabilities")), {"image": image.quantization})
    pixels = np.array([0, 1, 128, 255], np.uint8).reshape(1, 2, 2, 1)
    stored = tensors(program, pixels)["image"].ravel()
    real = image.quantization.scale * (stored.astype(np.float64) - image.quantization.zero_point)
    np.testing.assert_allclose(real, pixels.ravel() / 255, rtol=1e-6)


def test_any_batch_size_gives_the_same_scores() -> None:
    program = image_program()
    images = pictures(program, 11)
    np.testing.assert_array_equal(run(program, images).logits, run(program, images, batch_size=3).logits)
    assert run(program, images[:0]).probabilities.shape == (0, 7)


def test_an_archived_program_is_the_same() -> None:
    program = image_program(bits=4)
    copy = archive.loads(archive.dumps(program))
    assert archive.dumps(copy) == archive.dumps(program)
    assert copy.nodes[0] == program.nodes[0]
    images = pictures(program, 4)
    np.testing.assert_array_equal(run(copy, images).logits, run(program, images).logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (13, 10, 4)}, "cannot read"),
        ({"kernel": (20, 3), "padding": (0, 0, 0, 0)}, "larger than"),
        ({"padding": (3, 0, 0, 0)}, "zeros only"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    good = image_program()
    wrong = image_program(**change)
    program = Program((wrong.nodes[0], *(good if "shape" in change else wrong).nodes[1:]), good.quantization)
    with pytest.raises(ValueError, match=message):
        program.shapes()


def test_same_padding_puts_the_odd_zero_last() -> None:
    assert same_padding((28, 28), kernel=(3, 3), stride=2) == (0, 0, 1, 1)
    assert same_padding((7, 8), kernel=(3, 5), stride=1) == (1, 2, 1, 2)
    assert same_padding((7, 8), kernel=(1, 1), stride=2) == (0, 0, 0, 0)
