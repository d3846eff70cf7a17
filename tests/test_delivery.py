"""The threshold that a bundle is delivered with."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.delivery import FEWEST_FOR_THRESHOLD, threshold_of


def sure(best: np.ndarray) -> np.ndarray:
    """Return probabilities float32 ``[examples, 2]`` whose best class has ``best``."""
    return np.stack([best, 1 - best], axis=1).astype(np.float32)


@pytest.mark.parametrize("examples", [FEWEST_FOR_THRESHOLD, 40, 400])
def test_of_further_examples_one_in_twenty_is_rejected(examples: int, rng: np.random.Generator) -> None:
    rejected = []
    for _ in range(400):
        seen, further = rng.uniform(0.5, 1.0, examples), rng.uniform(0.5, 1.0, 100)
        rejected.append((further < threshold_of(sure(seen), sure(seen))).mean())
    assert 0.04 < np.mean(rejected) < 0.06


def test_too_few_examples_tell_no_threshold() -> None:
    few = sure(np.full(FEWEST_FOR_THRESHOLD - 1, 0.9))
    assert threshold_of(few, few) is None


def test_a_refit_that_is_less_sure_lowers_it_and_one_that_is_surer_does_not_raise_it() -> None:
    chosen = sure(np.linspace(0.7, 1.0, 100))
    assert threshold_of(chosen, sure(np.linspace(0.6, 1.0, 100))) == pytest.approx(0.6 + 0.4 * 4 / 99)
    assert threshold_of(chosen, sure(np.linspace(0.9, 1.0, 100))) == threshold_of(chosen, chosen)
