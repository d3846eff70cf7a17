"""The names of classes of images and vectors, in an order that depends on nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy.data.parts import class_names_of


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["1", "01", "001", "0"], ("0", "001", "01", "1")),
        (["--5", "10", "9"], ("--5", "10", "9")),
        (["b", "10", "9"], ("10", "9", "b")),
    ],
)
def test_whole_numbers_are_ordered_by_value_and_then_as_written(labels: list[str], names: tuple[str, ...]) -> None:
    assert class_names_of(labels, Path("data.npz"), kind="images") == names
