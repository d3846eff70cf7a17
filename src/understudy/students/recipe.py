"""What the search chooses: every number that fixes a student's shape and its quantization."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

StudentName = Literal["projection_net", "sgnn", "projection_sequence", "projection_cnn", "separable_cnn"]


@dataclass(frozen=True)
class Recipe:
    """One candidate.

    Attributes:
        student: architecture; see ``students/registry.py``.
        features: P, columns of the text projection. They cost no learned byte, their readers do.
        width: outputs of the first learned layer.
        hidden: outputs of the layer before the classes; 0 leaves that layer out where the student allows it.
        weight_bits: 8 or 4.
        per_channel: one weight scale per output channel, else one per layer.
        max_bytes: L, bytes of text that are read.
        max_words: W, tokens that are read.
        values: how sums of signs become features; see ``projections/text.py``.
        projection_seed: seed of all projection coefficients.
        image_shape: height, width and channels of an image, or of a sound's picture; None for texts.
        sound: samples of a sound, and samples a second; None for texts and images.
        candidates: rows of an image's projection that the best are chosen from; 0 for the first ones.
    """

    student: StudentName = "projection_sequence"
    features: int = 256
    width: int = 32
    hidden: int = 32
    weight_bits: Literal[4, 8] = 8
    per_channel: bool = False
    max_bytes: int = 128
    max_words: int = 32
    values: Literal["count", "ternary", "binary"] = "ternary"
    projection_seed: int = 1
    image_shape: tuple[int, int, int] | None = None
    sound: tuple[int, int] | None = None
    candidates: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what only images or sounds have is missing for others."""
        values = asdict(self)
        shape, sound, candidates = (values.pop(name) for name in ("image_shape", "sound", "candidates"))
        if shape is not None:
            values |= {"image_shape": list(shape), "candidates": candidates}
        if sound is not None:
            values["sound"] = dict(zip(("samples", "sample_rate"), sound, strict=True))
        return values
