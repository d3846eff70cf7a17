"""Multiply-accumulates, counted by hand for one image student, and by rows for a text student."""

from __future__ import annotations

import pytest

from understudy.program.cost import macs, most_weight_bits, training_work
from understudy.student_names import StudentName
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student


def test_an_image_student_counted_by_hand() -> None:
    recipe = Recipe(student="separable_cnn", width=4, hidden=12, weight_bits=4, image_shape=(28, 28, 1))
    program = build_student(recipe, classes=10, seed=0)
    by_hand = 14 * 14 * (9 * 4 + 9 * 4 + 4 * 4) + 7 * 7 * (9 * 4 + 4 * 8 + 9 * 8 + 8 * 12) + 24 * 10
    assert macs(program) == by_hand == 29_052
    assert training_work(program) > macs(program)


def test_a_text_student_has_a_row_for_each_word() -> None:
    recipe = Recipe(features=32, width=8, hidden=8, max_words=12, max_bytes=48)
    program = build_student(recipe, classes=4, seed=0)
    words = [layer for layer in program.linears if len(program.shapes()[layer.output]) == 2]
    assert words
    others = [layer for layer in program.linears if layer not in words]
    assert macs(program) == sum(12 * layer.weight.size for layer in words) + sum(layer.weight.size for layer in others)


@pytest.mark.parametrize(("student", "bits"), [("plain_cnn", 8), ("separable_cnn", 4)])
def test_the_bits_of_most_weights(student: StudentName, bits: int) -> None:
    recipe = Recipe(student=student, width=12, hidden=16, weight_bits=4, image_shape=(28, 28, 1))
    assert most_weight_bits(build_student(recipe, classes=10, seed=0)) == bits
