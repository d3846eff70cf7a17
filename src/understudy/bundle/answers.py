"""What an opened bundle gives: predictions, and measurements of its files."""

from __future__ import annotations

from dataclasses import dataclass

from understudy.measurements import LatencyMicroseconds


@dataclass(frozen=True)
class Prediction:
    """What the model says about one example.

    Attributes:
        label: the best class, or None when its score is below the bundle's threshold: none of these.
        score: the best class's probability.
        scores: the probability of each class, in the order of ``labels``.
    """

    label: str | None
    score: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class FileEvaluation:
    """What one model file did on labelled examples.

    Attributes:
        format: the word in ``--format``.
        path: file name inside the bundle.
        size_bytes: what counts against the budget.
        runtime: name and version of what ran it; None when nothing here could.
        accuracy: fraction of examples whose best class is the label, whatever the threshold; a label that the bundle does not
            know counts as wrong.
        macro_f1: mean F1 over the classes that occur as label or as answer.
        accepted_fraction: fraction of examples whose best score reaches the threshold; None without a threshold.
        agreement: fraction of the bundle's test vectors on which the file gives the reference's label and logits.
        latency_us: spread of the times of single examples.
        verified: the file ran here and reproduces the bundle's vectors.
        reason: why it is not verified.
    """

    format: str
    path: str
    size_bytes: int
    runtime: str | None
    accuracy: float | None
    macro_f1: float | None
    accepted_fraction: float | None
    agreement: float | None
    latency_us: LatencyMicroseconds | None
    verified: bool
    reason: str | None
