"""Torch modules that take images, and what timm and transformers note beside their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import understudy
from image_models import CLASSES, SHAPE, SIDE, pictures, reference, weights
from understudy.errors import InputError
from understudy.teachers.chance import check_better_than_chance
from understudy.teachers.class_order import OrderedTeacher
from understudy.teachers.image_input import IMAGENET, RAW, SYMMETRIC, UNIT, PixelRange
from understudy.teachers.image_registry import load_image_teacher
from understudy.teachers.protocol import UInt8Array, checked_logits

NAMES = tuple(str(i) for i in range(CLASSES))
IMAGES, LABELS = pictures(300)


class Net(nn.Module):
    """A convolution that is as large as the image: it takes NCHW only."""

    def __init__(self, pixel_range: PixelRange = UNIT, *, channels_first: bool = True) -> None:
        super().__init__()
        weight, bias = weights(pixel_range)
        self.channels_first = channels_first
        self.convolution = nn.Conv2d(3, CLASSES, SIDE)
        self.dropout = nn.Dropout(0.5)
        kernel = weight.T.reshape(CLASSES, *SHAPE).transpose(0, 3, 1, 2)
        self.convolution.weight.data = torch.from_numpy(np.ascontiguousarray(kernel))
        self.convolution.bias.data = torch.from_numpy(bias)

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.convolution(pixels if self.channels_first else pixels.permute(0, 3, 1, 2))
        return self.dropout(found.flatten(1))


class Answering(Net):
    """Answers as the models of transformers do."""

    def forward(self, pixels: Tensor) -> SimpleNamespace:  # type: ignore[override]
        return SimpleNamespace(logits=super().forward(pixels))


def labelled(source: object) -> OrderedTeacher[UInt8Array]:
    return load_image_teacher(
        source, class_names=NAMES, images=IMAGES, labels=LABELS, numbered=True, training_images=lambda: IMAGES
    )


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("pixel_range", [UNIT, SYMMETRIC, IMAGENET, RAW], ids=lambda found: found.name)
def test_a_module_is_tried_with_every_layout_and_range(pixel_range: PixelRange, *, channels_first: bool) -> None:
    module = Net(pixel_range, channels_first=channels_first).train()
    teacher = labelled(module)
    assert (checked_logits(teacher, IMAGES, CLASSES).argmax(axis=1) == LABELS).all()
    assert f"layout {'NCHW' if channels_first else 'NHWC'}, " in teacher.describe()
    assert module.training, "its mode is its own"
    assert teacher.digest == labelled(module).digest
    module.convolution.bias.data += 1
    assert teacher.digest != labelled(module).digest


class InAnotherOrder(Net):
    """Its columns are those of other classes, so that it is wrong in every range of pixels; it knows bright ones alone."""

    def forward(self, pixels: Tensor) -> Tensor:
        known = (pixels.amax((1, 2, 3)) - self.brightest).abs() < 0.2 * self.brightest
        return super().forward(pixels).roll(1, dims=1) * known[:, None]


@pytest.mark.parametrize("pixel_range", [UNIT, SYMMETRIC, RAW], ids=lambda found: found.name)
def test_columns_in_another_order_do_not_hide_the_range(pixel_range: PixelRange) -> None:
    module = InAnotherOrder(pixel_range)
    module.brightest = float(pixel_range(IMAGES).max())
    teacher = labelled(module)
    assert "labelled images, with its columns in another order" in teacher.describe()
    with pytest.raises(InputError, match=r"and (9\d\.\d|100\.0)% with the columns named .*; write its class names in"):
        check_better_than_chance(checked_logits(teacher, IMAGES, CLASSES), LABELS, class_names=NAMES, name="t")


def test_predict_without_labels() -> None:
    np.testing.assert_allclose(understudy.load_teacher(Net()).predict(IMAGES), reference(IMAGES), atol=1e-4)


def test_the_range_that_timm_notes() -> None:
    module = Net(PixelRange("own", mean=(0.3, 0.4, 0.5), deviation=(0.2, 0.25, 0.5)))
    module.pretrained_cfg = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.25, 0.5), "input_size": (3, 224, 224)}
    teacher = understudy.load_teacher(module)
    np.testing.assert_allclose(teacher.predict(IMAGES), reference(IMAGES), atol=1e-4)
    assert "pixels mean 0.3/0.4/0.5 and deviation 0.2/0.25/0.5, which it names (as it declares)" in teacher.describe(SHAPE)
    np.testing.assert_allclose(labelled(module).logits(IMAGES), reference(IMAGES), atol=1e-4)


@pytest.mark.parametrize(("normalized", "pixel_range"), [(True, SYMMETRIC), (False, UNIT)])
def test_a_pipeline_of_transformers(*, normalized: bool, pixel_range: PixelRange) -> None:
    module = Answering(pixel_range)
    module.config = SimpleNamespace(id2label={1: "b", 0: "a", 2: "c", 3: "d"})
    processor = SimpleNamespace(image_mean=[0.5] * 3, image_std=[0.5] * 3, rescale_factor=1 / 255, do_normalize=normalized)
    teacher = understudy.load_teacher(
        SimpleNamespace(model=module, image_processor=processor), class_names=("d", "c", "b", "a")
    )
    np.testing.assert_allclose(teacher.predict(IMAGES), reference(IMAGES)[:, ::-1], atol=1e-4)
    assert f"pixels {pixel_range.name} (as it declares)" in teacher.describe(SHAPE)


@pytest.mark.parametrize(
    ("answering", "named"), [(lambda logits: (logits, None), "tuple"), (lambda logits: {"scores": logits}, "dict")]
)
def test_an_answer_without_logits_is_not_blamed_on_the_images(answering: Callable[[Tensor], object], named: str) -> None:
    class Odd(Net):
        def forward(self, pixels: Tensor) -> object:  # type: ignore[override]
            return answering(super().forward(pixels))

    with pytest.raises(InputError, match=rf"^a torch teacher answers .*received type='{named}' from teacher='Odd'; return"):
        labelled(Odd())


def test_labels_that_say_nothing_are_no_class_names() -> None:
    module = Answering()
    module.config = SimpleNamespace(id2label={i: f"LABEL_{i}" for i in range(CLASSES)})
    assert "columns are not named" in labelled(module).describe()


def test_a_module_with_its_own_preparation() -> None:
    module = Net(RAW)
    module.prepare = lambda images: torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))  # type: ignore[assignment]
    np.testing.assert_allclose(labelled(module).logits(IMAGES), reference(IMAGES), atol=1e-4)


@pytest.mark.filterwarnings("ignore:how teacher")
def test_a_module_from_a_python_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def load():\n"
        "    torch.manual_seed(1)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8), torch.nn.Flatten())\n"
    )
    teacher = understudy.load_teacher(f"{tmp_path / 'mine.py'}:load")
    assert teacher.predict(IMAGES).shape == (300, 4)
    assert "torch module Sequential" in teacher.describe(SHAPE)


def test_a_module_for_another_size() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12 * 12 * 3, CLASSES))
    with pytest.raises(
        InputError,
        match=r"received teacher='Sequential', which fails in every order of axes for images=\[8, 8, 3\]",
    ):
        labelled(module)


@pytest.mark.parametrize("fixed", [False, True])
def test_torch_export_files(tmp_path: Path, *, fixed: bool) -> None:
    example = (torch.zeros(4, 3, SIDE, SIDE),)
    shapes = None if fixed else ({0: torch.export.Dim("batch", min=1, max=512)},)
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Net().eval(), example, dynamic_shapes=shapes), path)
    for teacher in (labelled(path), labelled(str(path))):
        np.testing.assert_allclose(teacher.logits(IMAGES), reference(IMAGES), atol=1e-4)
        assert f"input float32 [{4 if fixed else 'any'}, 3, 8, 8], layout NCHW, pixels 0 to 1" in teacher.describe()
    np.testing.assert_allclose(understudy.load_teacher(path).predict(IMAGES), reference(IMAGES), atol=1e-4)
    with pytest.raises(InputError, match=r"received input=float32 \[.*\] of teacher='net.pt2' for images=\[12, 12, 3\]"):
        understudy.load_teacher(path).predict(np.zeros((2, 12, 12, 3), np.uint8))


def test_other_arrays_than_bytes_are_said_where_a_module_fails_on_them() -> None:
    teacher = understudy.load_teacher(Net())
    for other in (IMAGES[:2] / 255.0, IMAGES[:2].astype(np.int64)):
        with pytest.raises(InputError) as caught:
            teacher.predict(other)
        message = str(caught.value)
        assert message.startswith(
            "images are uint8 [N, H, W, C] with pixels from 0 to 255, other arrays go to the teacher's code"
        )
        assert f"received dtype={other.dtype}, shape=(2, {SIDE}, {SIDE}, 3), with which it raised " in message
        assert "\n" not in message
    with pytest.raises(InputError, match=r"a list of texts, or an array: received a list with type='list'; make one array"):
        teacher.predict(IMAGES[:2].tolist())
