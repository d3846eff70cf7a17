"""What every float program owes: fake quantization computes what the integer program does."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.program.executor import Executor, evaluate
from understudy.program.interpreter import run
from understudy.program.ops import Program


def check_fake_quantization(program: Program, inputs: Any, batch: Tensor, *, most_steps: float | None) -> None:
    """Compare logits of a fake-quantized ``program`` with those of the integer program that it becomes.

    Args:
        program: a float program.
        inputs: what its source reads.
        batch: what the source makes of ``inputs``.
        most_steps: by how many steps of the logits the two may differ, below the last of which integers end; None for any.
    """
    executor = Executor(program, scheme=calibrate(program, [batch]))
    learned, scheme = executor.learned()
    assert scheme is not None
    logits = evaluate(executor, [batch])
    integer = to_integer(learned, scheme, logits=logits)
    scores = run(integer, inputs)
    if most_steps is not None:
        quantization = integer.quantization[integer.logits]
        real = (scores.logits.astype(np.float32) - quantization.zero_point) * quantization.scale
        in_range = real > real.min() + quantization.scale
        assert np.abs(real - logits)[in_range].max() < most_steps * quantization.scale
    assert (scores.logits.argmax(1) == logits.argmax(1)).mean() > 0.8
