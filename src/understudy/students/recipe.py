"""What the search chooses: every number that fixes a student's shape and its quantization."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from understudy.student_names import StudentName


@dataclass(frozen=True)
class Recipe:
    """One candidate.

    Attributes:
        student: architecture; see ``students/registry.py``.
        features: P, columns of the projection; 0 without one. They cost no learned byte, their readers do.
        width: outputs of the first learned layer; of a plain CNN four times as many.
        hidden: outputs of the layer before the classes; 0 leaves that layer out where the student allows it.
        weight_bits: 8 or 4.
        per_channel: one weight scale per output channel, else one per layer.
        max_bytes: L, bytes of text that are read.
        max_words: W, tokens that are read.
        values: how sums of signs become features; see ``projections/text.py``.
        projection_seed: seed of all projection coefficients.
        image_shape: height, width and channels of an image or of a sound's picture, else None.
        sound: samples of a sound, and samples a second, else None.
        candidates: rows of an image's projection that the best are chosen from; 0 for the first ones.
        input_shape: how many numbers a vector has, or steps and channels of a window, else None.
        kept: share of each layer's channels that stays of the user's network; None for other students.
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
    input_shape: tuple[int, ...] | None = None
    kept: float | None = None

    @property
    def learns_as_images(self) -> bool:
        """Whether the student's training is long and decays as those of images: it reads them, or windows of frames."""
        return self.image_shape is not None or self.student in ("separable_cnn", "projection_rnn")

    def is_narrow(self, classes: int) -> bool:
        """Return whether this is a student of words that has fewer hidden values than there are ``classes``.

        It needs all of them, and knows too little rather than too much (``docs/adr/0044``).
        """
        return self.student == "projection_sequence" and self.hidden < classes

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what another kind of data has is missing."""
        values = asdict(self)
        names = ("image_shape", "input_shape", "sound", "candidates")
        image, shape, sound, candidates = (values.pop(name) for name in names)
        if values["kept"] is None:
            del values["kept"]
        if sound is not None:
            values["sound"] = {"samples": sound[0], "sample_rate": sound[1]}
        if shape is not None:
            return {**values, "input_shape": list(shape)}
        return values if image is None else {**values, "image_shape": list(image), "candidates": candidates}
