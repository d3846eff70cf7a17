"""The names by which students are asked for."""

from __future__ import annotations

from typing import Literal

StudentName = Literal[
    "projection_net",
    "sgnn",
    "projection_sequence",
    "projection_cnn",
    "projection_rnn",
    "plain_cnn",
    "separable_cnn",
    "mlp",
    "pruned",
]
