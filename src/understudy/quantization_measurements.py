"""What rounding to integers cost a student, layer by layer, and what was tried against it: records in ``family.json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from understudy.measurements import Count, Fraction, Record

Decibels = Annotated[float, Field(ge=-400, le=400)]


class LayerNoise(Record):
    """Signal-to-noise of one layer in decibels; 6 dB are about one bit. Null without noise or without signal."""

    layer: str
    """Name of its output."""
    bits: Count
    """Bits of its weights."""
    per_channel: bool
    """A weight scale for each channel, else one for the layer."""
    output_db: Decibels | None
    """Its output in the integer program against the float one: what earlier layers lost is in it."""
    alone_db: Decibels | None
    """The logits of the float program with this layer alone rounded: which one to blame."""


class Cure(Record):
    """One thing that was tried because quantization cost too much."""

    name: str
    """What was changed: ``qat``, ``equalization``, ``per-channel`` or ``8 bits for`` a layer."""
    state: Literal["kept", "no better", "too large"]
    """Kept where validation accuracy rose; too large where a limit of the budget would be passed."""
    validation_accuracy: Fraction | None = None
    """What the student reached with it and with what was kept before it; null where it was not trained."""
    size_bytes: Count
    """The largest file with it."""
    width: Count | None = None
    """The width of the narrower student that was trained for it, because the budget left no room; null where none was."""


class QuantizationRecord(Record):
    """What rounding to integers cost a member on validation."""

    mode: Literal["qat", "ptq"]
    """Trained with rounded weights and learned scales, or rounded after training; with the cures that were kept."""
    weight_range: str
    """Range estimator of the weights."""
    activation_range: str
    """Range estimator of what layers compute."""
    max_drop: Fraction
    """Largest loss of accuracy that was accepted without a cure: what was asked for, and at least one validation example."""
    float_accuracy: Fraction
    """Accuracy on validation of the float student, before its refit."""
    first_accuracy: Fraction
    """The same of the integer student before any cure."""
    accuracy: Fraction
    """The same after the cures that were kept."""
    layers: tuple[LayerNoise, ...] = ()
    """Every layer with weights, of the delivered program, on validation inputs."""
    first_layers: tuple[LayerNoise, ...] = ()
    """The same before any cure, of the program that validation chose; empty where none was tried."""
    cures: tuple[Cure, ...] = ()
    """What was tried, in turn; empty where the loss was accepted at once."""

    @property
    def drop(self) -> float:
        """What quantization costs after the cures; negative where the integer student is better."""
        return self.float_accuracy - self.accuracy

    @property
    def is_exceeded(self) -> bool:
        """Whether more is lost than was accepted."""
        return self.drop > self.max_drop + 1e-9
