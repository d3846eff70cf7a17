"""Stronger variations of images: what each operation does, and what no operation may do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from understudy.training import variations
from understudy.training.corpus import ImageCorpus, mixed
from understudy.training.schedule import Schedule
from understudy.training.variations import cutout, mixup, rand_augment


def images(count: int = 40, height: int = 16, width: int = 12, channels: int = 3) -> torch.Tensor:
    torch.manual_seed(0)
    return (torch.rand(count, height, width, channels) * 255).round() / 255


@pytest.mark.parametrize("photographs", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_keeps_its_shape_and_range_and_changes(photographs: bool, channels: int) -> None:
    before = images(channels=channels)
    copy = before.clone()
    after = rand_augment(before, photographs=photographs, operations=3, magnitude=1.0)
    assert torch.equal(before, copy)
    assert after.shape == before.shape
    assert after.isfinite().all()
    assert after.min() >= 0
    assert after.max() <= 1
    changed = (after != before).flatten(1).any(dim=1).float().mean()
    assert changed > 0.8


def test_one_seed_gives_one_result_and_images_differ() -> None:
    same = images(1).expand(40, -1, -1, -1)
    torch.manual_seed(3)
    first = rand_augment(same, photographs=True)
    torch.manual_seed(3)
    assert torch.equal(rand_augment(same, photographs=True), first)
    assert len(torch.unique(first.flatten(1), dim=0)) > 20


@pytest.mark.parametrize("photographs", [True, False])
def test_a_batch_may_be_one_image_of_which_most_operations_get_none(photographs: bool) -> None:
    torch.manual_seed(0)
    for _ in range(60):
        assert rand_augment(images(1), photographs=photographs).shape == (1, 16, 12, 3)


def test_drawings_are_never_inverted_or_recoloured() -> None:
    """A dark square on white keeps corners that are lighter than the mean, however it is moved."""
    drawing = torch.ones(400, 16, 16, 1)
    drawing[:, 5:11, 5:11] = 0.2

    def lighter(after: torch.Tensor) -> torch.Tensor:
        corners = after[:, [0, 0, -1, -1], [0, -1, 0, -1], 0].mean(dim=1)
        return corners > after.mean(dim=(1, 2, 3))

    torch.manual_seed(0)
    assert lighter(rand_augment(drawing, photographs=False, operations=2, magnitude=0.5)).all()
    assert not lighter(rand_augment(drawing, photographs=True, operations=2, magnitude=0.9)).all()


@pytest.mark.parametrize(
    ("name", "strength"),
    [("contrast", 0.6), ("brightness", -0.5), ("color", -0.7), ("sharpness", 0.4), ("solarize", 0.3), ("posterize", 1.0)],
)
def test_an_operation_at_no_strength_changes_nothing(name: str, strength: float) -> None:
    operation, before = variations._COLOURS[name], images()
    nothing, something = (torch.full((len(before), 1, 1, 1), s) for s in (0.0, strength))
    torch.testing.assert_close(operation(before, nothing), before)
    assert (operation(before, something) - before).abs().max() > 0.05


@pytest.mark.parametrize(("name", "pillow"), [("autocontrast", ImageOps.autocontrast), ("equalize", ImageOps.equalize)])
def test_operations_without_strength_are_those_of_pillow(name: str, pillow: object) -> None:
    before = images(2, 100, 102) * 0.5 + 0.2
    pixels = (before * 255).round().to(torch.uint8)
    after = variations._COLOURS[name](pixels.float() / 255, torch.zeros(2, 1, 1, 1)) * 255
    for pixel, found in zip(pixels.numpy(), after.numpy(), strict=True):
        expected = np.asarray(pillow(Image.fromarray(pixel)), np.float64)  # type: ignore[operator]
        assert np.abs(found - expected).max() <= 6  # Pillow rounds, and how many pixels share a level too


def test_a_flat_image_stays_finite() -> None:
    flat = torch.full((60, 8, 8, 1), 0.4)
    assert rand_augment(flat, photographs=True, magnitude=0.0).isfinite().all()
    torch.testing.assert_close(variations._equalized(flat), flat, atol=2e-3, rtol=0)
    torch.testing.assert_close(variations._autocontrast(flat), flat)


def test_an_image_is_moved_as_far_as_was_said() -> None:
    line = torch.zeros(1, 20, 20, 1)
    line[:, :, 10] = 1
    names = variations._PHOTOGRAPHS
    chosen = torch.tensor([names.index("translate-x")])
    moved = variations._moved(line, chosen, torch.tensor([0.5]), names)  # 0.45 of 20 columns, halved: 4.5
    columns = moved[0, :, :, 0].mean(dim=0)
    assert torch.nonzero(columns > 0.1)[:, 0].tolist() == [5, 6]
    turned = variations._moved(line, torch.tensor([names.index("rotate")]), torch.tensor([1.0]), names)
    assert turned[0, 2].argmax() != turned[0, 17].argmax()


@pytest.mark.parametrize("shape", [(16, 16), (8, 20)])
def test_cutout_leaves_the_rest_as_it_is(shape: tuple[int, int]) -> None:
    before = images(300, *shape)
    after = cutout(before)
    changed = (after != before).any(dim=3)
    assert changed.flatten(1).any(dim=1).all()
    assert changed.sum(dim=(1, 2)).max() <= (min(shape) / 2 + 1) ** 2
    mean = before.mean(dim=(1, 2), keepdim=True).expand_as(before)
    torch.testing.assert_close(after[changed], mean[changed])


@given(seed=st.integers(0, 2**32 - 1), alpha=st.floats(0.05, 5), count=st.integers(1, 9))
def test_mixup_mixes_every_image_with_one_of_the_batch(seed: int, alpha: float, count: int) -> None:
    before = images(count, 4, 3)
    torch.manual_seed(seed)
    after, mixture = mixup(before, alpha=alpha)
    assert 0 <= mixture.share <= 1
    assert sorted(mixture.partner.tolist()) == list(range(count))
    for number, partner in enumerate(mixture.partner.tolist()):
        expected = mixture.share * before[number] + (1 - mixture.share) * before[partner]
        torch.testing.assert_close(after[number], expected)
    torch.manual_seed(seed)
    again, same = mixup(before, alpha=alpha)
    assert torch.equal(again, after)
    assert same.share == mixture.share


def test_most_mixtures_are_nearly_one_of_their_images() -> None:
    before = images(2, 2, 2)
    shares = torch.tensor([mixup(before)[1].share for _ in range(400)])
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.06)
    assert float(((shares < 0.1) | (shares > 0.9)).float().mean()) == pytest.approx(0.66, abs=0.08)  # of Beta(0.2, 0.2)


@pytest.mark.parametrize("variations", [(), ("rand_augment", "cutout")])
def test_images_are_mixed_only_where_that_was_asked_for(variations: tuple[variations.Variation, ...]) -> None:
    before = images(8)
    pixels = (before * 255).round().to(torch.uint8).numpy()
    assert mixed(ImageCorpus(pixels, variations=variations), before) == (before, None)
    asked = ImageCorpus(pixels, variations=(*variations, "mixup"))
    after, mixture = mixed(asked, before)
    assert mixture is not None
    assert after.shape == before.shape
    assert mixed(ImageCorpus(pixels, of_sounds=True, variations=("mixup",)), before)[1] is None
    torch.manual_seed(1)
    alone = ImageCorpus(pixels, variations=variations).augmentation(Schedule())(before)
    torch.manual_seed(1)
    torch.testing.assert_close(asked.augmentation(Schedule())(before), alone)
