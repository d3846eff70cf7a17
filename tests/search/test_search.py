"""The search sees numbers only, so arithmetic stands in for networks."""

from __future__ import annotations

from dataclasses import astuple, replace
from functools import cache
from typing import Literal

import pytest

from trainings import RECIPES
from understudy.formats import RAM
from understudy.search.space import (
    FEATURES,
    LARGEST_WIDTH,
    LATENCY,
    LEARNING_RATE,
    MACS,
    WIDTH_STEP,
    Budget,
    Candidate,
    Choice,
    binding_limit,
    first_choice,
    fit,
    recipe_of,
    seeded_choice,
    smallest,
    smallest_sizes,
    variations,
    with_student,
)
from understudy.search.study import Study
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student


def _size(recipe: Recipe) -> dict[str, int]:
    weights = recipe.width * recipe.features + recipe.hidden * (3 * recipe.width + 20)
    return {"small": 500 + weights * recipe.weight_bits // 8, "large": 1500 + weights * recipe.weight_bits // 8}


BASE = Recipe()


def _budget(size_bytes: int, bits: Literal[4, 8] | None = None) -> Budget:
    return Budget(f"{size_bytes}B", dict.fromkeys(("small", "large"), size_bytes), bits)


@pytest.mark.parametrize("budget_bytes", [6_000, 16_384, 32_768, 102_400])
def test_the_widest_recipe_that_fits_is_found(budget_bytes: int) -> None:
    choice = seeded_choice(budget_bytes, student="projection_sequence", bits=None)
    found = fit(choice, BASE, limits=_budget(budget_bytes).limits, size_of=_size)
    assert found is not None
    assert max(_size(found.recipe).values()) <= budget_bytes
    assert found.recipe.width % WIDTH_STEP == 0
    if found.recipe.width < LARGEST_WIDTH:
        wider = recipe_of(choice, BASE, found.recipe.width + WIDTH_STEP)
        assert max(_size(wider).values()) > budget_bytes


def test_what_does_not_fit_is_none_and_the_smallest_names_its_format() -> None:
    limits = _budget(1000).limits
    assert fit(seeded_choice(1000, student="projection_sequence", bits=None), BASE, limits=limits, size_of=_size) is None
    sizes = _size(smallest(BASE))
    assert binding_limit(sizes, limits) == "large"
    assert sizes["large"] < _size(recipe_of(seeded_choice(6000, student="projection_sequence", bits=4), BASE, 64))["large"]


def _run(seed: int, trials: int) -> list[tuple[Recipe, float]]:
    """Return the candidates of a search whose answer is best near half the hidden ratio and 8 bits."""
    study = Study(budget=_budget(16_384), base=BASE, size_of=_size, classes=2, seed=seed)
    out = []
    for _ in range(trials):
        asked = study.ask()
        assert asked is not None
        recipe = asked.candidate.recipe
        value = -abs(recipe.hidden / recipe.width - 0.5) - 0.3 * (recipe.weight_bits == 4) - asked.candidate.dropout
        study.tell(asked, value)
        out.append((recipe, value))
    return out


def test_one_seed_asks_the_same_questions_and_begins_with_the_seeded_recipe() -> None:
    one, two, other = _run(1, 16), _run(1, 16), _run(2, 16)
    assert one == two
    assert [r for r, _ in one] != [r for r, _ in other]
    choice = seeded_choice(16_384, student="projection_sequence", bits=None)
    first = fit(choice, BASE, limits=_budget(16_384).limits, size_of=_size)
    assert first is not None and one[0][0] == first.recipe == other[0][0]


def test_the_first_questions_change_one_thing_of_the_seeded_recipe() -> None:
    first = seeded_choice(16_384, student="projection_sequence", bits=None)
    found = list(variations(first, student="projection_sequence"))
    assert len(set(found)) == len(found) > 4 and first not in found
    for choice in found:
        assert sum(before != after for before, after in zip(astuple(first), astuple(choice), strict=True)) == 1
    assert all(choice.word_dropout_factor == 1.0 for choice in variations(first, student="sgnn"))
    smallest_first = replace(first, features=FEATURES[0])
    assert all(choice.features >= FEATURES[0] for choice in variations(smallest_first, student="projection_sequence"))


def test_answers_steer_the_questions() -> None:
    found = _run(3, 40)
    early, late = [value for _, value in found[:10]], [value for _, value in found[-10:]]
    assert sum(late) > sum(early)


def test_a_student_of_words_with_fewer_hidden_values_than_classes_learns_faster_and_is_denied_less() -> None:
    def first(classes: int, base: Recipe = BASE) -> Candidate:
        asked = Study(budget=_budget(16_384), base=base, size_of=_size, classes=classes, seed=1).ask()
        assert asked is not None
        return asked.candidate

    wide = first(2)
    hidden = wide.recipe.hidden
    assert (wide.dropout, wide.learning_rate) == (0.1, LEARNING_RATE)
    assert first(hidden) == wide
    assert first(hidden + 1) == replace(wide, dropout=0.05, learning_rate=3 * LEARNING_RATE)
    # the others' layers were not tried
    assert first(10_000, replace(BASE, student="sgnn")).learning_rate == LEARNING_RATE


def test_fixed_bits_stay_fixed() -> None:
    assert smallest(BASE, bits=8).weight_bits == 8
    study = Study(budget=_budget(16_384, bits=8), base=BASE, size_of=_size, classes=2, seed=1)
    for _ in range(6):
        asked = study.ask()
        assert asked is not None and asked.candidate.recipe.weight_bits == 8
        study.tell(asked, 0.5)


def test_a_budget_that_nothing_near_the_seed_fits_still_gets_a_candidate() -> None:
    smallest_bytes = _size(smallest(BASE))["large"]
    study = Study(budget=_budget(smallest_bytes), base=BASE, size_of=_size, classes=2, seed=1)
    asked = study.ask()
    assert asked is not None
    assert max(_size(asked.candidate.recipe).values()) <= smallest_bytes


@pytest.mark.parametrize("classes", [3, 77])
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "pruned"])
def test_the_smallest_student_that_is_named_is_one_that_the_search_can_make(name: str, classes: int) -> None:
    base = RECIPES[name]

    @cache
    def size_of(recipe: Recipe) -> dict[str, int]:
        layers = build_student(recipe, classes=classes, seed=1).layers
        return {"small": sum(layer.weight.size * layer.bits for layer in layers) // 8}

    least = size_of(smallest(base))["small"]
    budget = Budget("least", {"small": least})
    first = fit(first_choice(base, budget=budget, size_of=size_of), base, limits=budget.limits, size_of=size_of)
    assert first is not None, "it must not take luck to find it"
    study = Study(budget=budget, base=base, size_of=size_of, classes=classes, seed=1)
    asked = study.ask()
    assert asked is not None
    assert size_of(asked.candidate.recipe)["small"] == least
    below = Study(budget=Budget("less", {"small": least - 1}), base=base, size_of=size_of, classes=classes, seed=1)
    assert below.ask() is None


def test_features_are_in_order_and_choices_are_values() -> None:
    assert list(FEATURES) == sorted(FEATURES)
    assert Choice(32, 1.0, 4, False, 0.1, 1e-3) == Choice(32, 1.0, 4, False, 0.1, 1e-3)


def _size_and_ram(recipe: Recipe) -> dict[str, int]:
    return {**_size(recipe), RAM: 9 * recipe.features + 40 * recipe.width}


@pytest.mark.parametrize("ram_bytes", [1_500, 3_000, 100_000])
def test_a_limit_of_ram_binds_too(ram_bytes: int) -> None:
    budget = Budget("board", {"small": 32_768, RAM: ram_bytes})
    assert budget.formats == ("small",)
    assert budget.file_bytes == 32_768
    study = Study(budget=budget, base=BASE, size_of=_size_and_ram, classes=2, seed=1)
    for _ in range(12):
        asked = study.ask()
        assert asked is not None
        sizes = _size_and_ram(asked.candidate.recipe)
        assert sizes["small"] <= 32_768
        assert sizes[RAM] <= ram_bytes
        study.tell(asked, 0.5)


def test_what_binds_is_what_is_exceeded_most() -> None:
    assert binding_limit({"c": 900, RAM: 500}, {"c": 1000, RAM: 400}) == RAM
    assert binding_limit({"c": 900, RAM: 500}, {"c": 600, RAM: 400}) == "c"
    assert binding_limit({"c": 900, "onnx": 9000}, {"c": 1000}) == "c"


def test_multiply_accumulates_are_a_limit_beside_bytes() -> None:
    def size_of(recipe: Recipe) -> dict[str, int]:
        return {**_size(recipe), MACS: 100 * recipe.width * recipe.width}

    choice = seeded_choice(32_768, student="projection_sequence", bits=4)
    free = fit(choice, BASE, limits=_budget(32_768).limits, size_of=size_of)
    assert free is not None
    most = size_of(free.recipe)[MACS] // 4
    budget = Budget("32KB", {**_budget(32_768).limits, MACS: most})
    assert budget.formats == ("small", "large")
    assert budget.file_bytes == 32_768
    found = fit(choice, BASE, limits=budget.limits, size_of=size_of)
    assert found is not None
    assert size_of(found.recipe)[MACS] <= most < size_of(recipe_of(choice, BASE, found.recipe.width + WIDTH_STEP))[MACS]


IMAGES = Recipe(student="separable_cnn", image_shape=(28, 28, 1))


@pytest.mark.parametrize(
    ("budget", "student"),
    [
        (_budget(4096), "plain_cnn"),
        (_budget(32_768), "plain_cnn"),
        (_budget(32_768, bits=8), "plain_cnn"),
        (_budget(32_768, bits=4), "separable_cnn"),
        (Budget("loose", {"small": 32_768, RAM: 32_768}), "plain_cnn"),
        (Budget("tight", {"small": 32_768, RAM: 500}), "separable_cnn"),
        (Budget("impossible", {"small": 32_768, RAM: 1}), "separable_cnn"),
        (Budget("timed", {"small": 32_768, f"{LATENCY}small": 10**9}), "separable_cnn"),
    ],
)
def test_images_get_plain_convolutions_where_bytes_bind(budget: Budget, student: str) -> None:
    def size_of(recipe: Recipe) -> dict[str, int]:
        return {**_size_and_ram(recipe), f"{LATENCY}small": 1}

    found = with_student(IMAGES, budget=budget, size_of=size_of)
    assert found == replace(IMAGES, student=student)


def _plain_size(recipe: Recipe) -> dict[str, int]:
    return {"small": 100 * recipe.width + 10 * recipe.hidden + recipe.hidden * recipe.weight_bits}


@pytest.mark.parametrize(
    ("limit", "hidden", "bits"), [(1368, 12, 4), (1416, 12, 8), (1423, 12, 8), (1424, 16, 4), (1488, 16, 8)]
)
def test_a_plain_cnn_fills_what_its_first_layer_leaves(limit: int, hidden: int, bits: int) -> None:
    base = replace(IMAGES, student="plain_cnn")
    budget = Budget("b", {"small": limit})
    found = fit(first_choice(base, budget=budget, size_of=_plain_size), base, limits=budget.limits, size_of=_plain_size)
    assert found is not None
    assert (found.recipe.width, found.recipe.hidden, found.recipe.weight_bits) == (12, hidden, bits)


def test_what_may_take_the_students_place_counts_for_the_smallest_size() -> None:
    def size_of(recipe: Recipe) -> dict[str, int]:
        return {"small": 3000 if recipe.student == "plain_cnn" else 4000, MACS: 500}

    budget = Budget("b", {"small": 3500, MACS: 500})
    asked = {"budget": budget, "size_of": size_of}
    assert smallest_sizes(IMAGES, **asked, any_student=True)["small"] == 3000
    assert smallest_sizes(IMAGES, **asked, any_student=False)["small"] == 4000
    assert with_student(IMAGES, **asked).student == "plain_cnn", "the separable one does not fit, whatever binds"


def test_students_for_other_data_stay() -> None:
    for base in (BASE, replace(IMAGES, image_shape=None, input_shape=(60, 3)), replace(IMAGES, sound=(8000, 8000))):
        assert with_student(base, budget=_budget(32_768), size_of=_size) == base
