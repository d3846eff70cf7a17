"""The way to ask a model whose answers fit labels best."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.teachers.closest import closest_to_labels, near_ties, tried_rows

CLASSES = 4


def answers(labels: np.ndarray, *, wrong: int, sureness: float = 6.0) -> np.ndarray:
    """Return logits that are right but for ``wrong`` of the examples."""
    given = labels.copy()
    given[:wrong] = (given[:wrong] + 1) % CLASSES
    return (sureness * np.eye(CLASSES)[given]).astype(np.float32)


def test_rows_come_from_all_over_and_have_a_label() -> None:
    labels = np.zeros(5000, np.int64)
    labels[-1] = -1
    rows = tried_rows(labels)
    assert len(rows) == 255
    assert rows[0] == 0
    assert np.diff(rows).max() <= 20
    assert len(tried_rows(labels, most=1024)) == 1023


@pytest.mark.parametrize(("wrong", "examples", "best"), [(3, 256, 0), (12, 1024, 1)])
def test_the_most_usual_of_those_that_chance_may_have_parted(wrong: int, examples: int, best: int) -> None:
    """Three errors more of 256 are chance, the same share of 1,024 is not."""
    labels = np.arange(examples) % CLASSES
    ways = [answers(labels, wrong=wrong), answers(labels, wrong=0)]
    assert closest_to_labels(ways, labels, examples="images")[0] == best
    assert near_ties(ways, labels) == ([0, 1] if best == 0 else [])


def test_ways_that_are_all_as_accurate_need_no_more_examples() -> None:
    labels = np.arange(256) % CLASSES
    ways = [answers(labels, wrong=0), answers(labels, wrong=0, sureness=9.0), answers(labels, wrong=200)]
    assert near_ties(ways, labels) == []
