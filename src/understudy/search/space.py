"""What may be tried for a budget. Knows recipes and sizes, not networks: a size is a function that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from understudy.formats import C_FORMATS
from understudy.student_names import StudentName
from understudy.students.recipe import Recipe

if TYPE_CHECKING:
    import optuna

MACS = "macs"
"""A limit that is no file: the multiply-accumulates of one prediction."""
WEIGHTS = "weights"
"""Another: learned numbers, of which a share of the user's network may stay."""
NO_FILES = (*C_FORMATS, MACS, WEIGHTS)
"""The limits that are no files, the RAM that a prediction in C takes among them."""
LATENCY = "latency "
"""Before the name of a format: the nanoseconds of one prediction by that file, estimated."""
SizeOf = Callable[[Recipe], Mapping[str, int]]
"""Recipe to bytes of each requested format, to RAM and ``LATENCY`` where these are limited, to ``MACS`` and ``WEIGHTS``."""
Limits = Mapping[str, int]
"""Format or RAM to most bytes, ``MACS`` and ``WEIGHTS`` to most of them, ``LATENCY`` and format to most nanoseconds."""

FEATURES = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1152)
HIDDEN_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5)
LARGEST_WIDTH = 512
WIDTH_STEP = 4
"""Widths are multiples of this: the LiteRT runtime computes 4-bit layers exactly only where a row is whole bytes."""
LEAST_GOOD_WIDTH = 8
LEARNING_RATE = 3e-3
PRUNED_RATE_FACTOR = 0.5
"""Times the learning rate for a network that has learned before."""
IMAGE_RATE_FACTOR = 3.0
"""Times the learning rate for convolutions and recurrences: batch norms allow more. Not for a projection CNN: its convolutions
learn through signs, and a long training at such a rate loses what it had."""
NARROW_RATE_FACTOR, NARROW_DROPOUT_FACTOR = 3.0, 0.5
"""Times the learning rate, and the share of hidden values dropped, for a student that ``Recipe.is_narrow``."""
NO_FEATURES = 0
"""CNNs on pixels and perceptrons have no projection, and a recurrence need not have one."""
_CONVOLUTIONAL: tuple[StudentName, ...] = ("plain_cnn", "separable_cnn", "projection_cnn")
_NORMALIZED: tuple[StudentName, ...] = (*_CONVOLUTIONAL, "projection_rnn")
FRAME_SIGNS = 96
"""Signs of each frame of a window that a search tries in place of the frame itself."""
IMAGE_HIDDEN_FACTOR = 3
"""Channels behind the last block, or values behind the projection, for one of the first convolution, times the hidden ratio."""
IMAGE_SIGNS_MOVE = 0.5
"""Times how far images are moved in training, where all that is learned reads signs of their pixels."""
_VARIATIONS: tuple[dict[str, Any], ...] = (
    {"word_dropout_factor": 2.0},
    {"dropout": 0.2},
    {"hidden_ratio": 0.75},
    {"larger": 1},
    {"hidden_ratio": 1.5},
    {"word_dropout_factor": 0.5},
    {"larger": -1},
)
"""One change of the seeded recipe each, asked before the estimator asks; ``larger`` counts steps of FEATURES."""
INT4_UP_TO_BYTES = 1024 * 1024
"""Up to here the seeded recipe has 4-bit weights: twice as many weights for the same bytes."""
_TOKEN_FEATURES = ((8 * 1024, 96), (12 * 1024, 128), (24 * 1024, 192), (48 * 1024, 256), (float("inf"), 384))
_UTTERANCE_FEATURES = ((8 * 1024, 192), (12 * 1024, 256), (24 * 1024, 384), (48 * 1024, 768), (float("inf"), 1152))
"""(Bytes below which, features): one token needs fewer than a whole utterance, where all n-grams share the columns."""
_IMAGE_SIGNS = ((8 * 1024, 384), (12 * 1024, 512), (24 * 1024, 768), (float("inf"), 1152))
"""The same for signs of pixels. On MNIST 512 signs and 12 hidden values are half a point better than 256 and 40."""


@dataclass(frozen=True)
class Budget:
    """What one student must keep to, for a size that was asked for or for a device.

    Attributes:
        name: the size as typed or the name of the device; also the student's folder.
        limits: see ``Limits``.
        bits: 4 or 8 to fix the bits of weights, None to search them.
    """

    name: str
    limits: Limits
    bits: Literal[4, 8] | None = None

    @property
    def formats(self) -> tuple[str, ...]:
        """The files that are written."""
        return tuple(name for name in self.limits if name not in NO_FILES and not name.startswith(LATENCY))

    @property
    def file_bytes(self) -> int:
        """Most bytes of every file."""
        return min(self.limits[name] for name in self.formats)


@dataclass(frozen=True)
class Choice:
    """A point of the search: everything but the width, which is the largest that fits the budget."""

    features: int
    hidden_ratio: float
    weight_bits: Literal[4, 8]
    per_channel: bool
    dropout: float
    learning_rate: float
    word_dropout_factor: float = 1.0


SMALLEST = Choice(
    features=FEATURES[0], hidden_ratio=1.0, weight_bits=4, per_channel=False, dropout=0.0, learning_rate=LEARNING_RATE
)
"""What little room is filled with."""


@dataclass(frozen=True)
class Candidate:
    """A recipe that fits its budget, with the training choices that go with it; ``steps_factor`` is how long it may learn."""

    recipe: Recipe
    dropout: float
    learning_rate: float
    word_dropout_factor: float = 1.0
    steps_factor: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return every choice by name."""
        training = {
            "dropout": self.dropout,
            "learning_rate": self.learning_rate,
            "word_dropout_factor": self.word_dropout_factor,
            "steps_factor": self.steps_factor,
        }
        return {**self.recipe.as_dict(), **training}


def seeded_choice(budget_bytes: int, *, student: StudentName, bits: Literal[4, 8] | None) -> Choice:
    """Return the choice that the search begins with: a good recipe for a budget of this size.

    One scale per layer: in LiteRT a scale per channel takes about as many bytes as it saves in lost accuracy.
    """
    weight_bits: Literal[4, 8] = bits or (4 if budget_bytes <= INT4_UP_TO_BYTES else 8)
    if student == "pruned":
        # a scale for each channel: trained weights, with their batch norms, differ much between channels
        return Choice(NO_FEATURES, 1.0, bits or 8, per_channel=True, dropout=0.0, learning_rate=LEARNING_RATE)
    if student == "plain_cnn":
        # its convolutions have 8-bit weights whatever is asked for: only the layer of classes has a choice
        return Choice(NO_FEATURES, 1.0, bits or 8, per_channel=False, dropout=0.0, learning_rate=LEARNING_RATE)
    if student in ("separable_cnn", "projection_rnn"):
        return Choice(NO_FEATURES, 1.0, weight_bits, per_channel=False, dropout=0.0, learning_rate=LEARNING_RATE)
    if student == "mlp":
        return Choice(NO_FEATURES, 1.0, weight_bits, per_channel=False, dropout=0.1, learning_rate=LEARNING_RATE)
    table = _TOKEN_FEATURES if student == "projection_sequence" else _UTTERANCE_FEATURES
    features = next(count for limit_bytes, count in table if budget_bytes < limit_bytes)
    return Choice(
        features=features,
        hidden_ratio=1.0,
        weight_bits=weight_bits,
        per_channel=False,
        dropout=0.1,
        learning_rate=LEARNING_RATE,
    )


def plain_instead(base: Recipe, budget: Budget) -> Recipe | None:
    """Return the plain CNN that may take the place of ``base`` for ``budget``, where that is a separable CNN for images.

    It may not where a latency is limited or 4-bit weights are wanted.
    """
    images = base.student == "separable_cnn" and base.image_shape is not None and base.sound is None
    timed = any(name.startswith(LATENCY) for name in budget.limits)
    return replace(base, student="plain_cnn") if images and not timed and budget.bits != 4 else None


def with_student(base: Recipe, *, budget: Budget, size_of: SizeOf) -> Recipe:
    """Return ``base`` with the student that is the best one known for ``budget``.

    A separable CNN for images gives way to a plain one where bytes bind. It stays where multiply-accumulates or RAM do, or
    where a plain one does not fit.
    """

    def widest(recipe: Recipe) -> Candidate | None:
        return fit(first_choice(recipe, budget=budget, size_of=size_of), recipe, limits=budget.limits, size_of=size_of)

    plain = plain_instead(base, budget)
    if plain is None or (found := widest(plain)) is None:
        return base
    if binding_limit(size_of(found.recipe), budget.limits) in NO_FILES and widest(base) is not None:
        return base
    return plain


def first_choice(base: Recipe, *, budget: Budget, size_of: SizeOf) -> Choice:
    """Return ``seeded_choice``, with fewer features where it would leave no room for a layer, and the smallest where none fits.

    A plain CNN's last convolution is wider where the bytes that the others leave are enough for that.
    """
    choice = _good_choice(base, budget=budget, size_of=size_of)
    fits = fit(choice, base, limits=budget.limits, size_of=size_of) is not None
    return choice if fits else _smallest_choice(base, bits=budget.bits)


def _good_choice(base: Recipe, *, budget: Budget, size_of: SizeOf) -> Choice:
    seed = seeded_choice(budget.file_bytes, student=base.student, bits=budget.bits)
    if base.student == "plain_cnn":
        return _filled(seed, base, budget=budget, size_of=size_of)
    if seed.features == NO_FEATURES:
        return seed
    if base.image_shape is not None and base.student == "projection_net":
        signs = next(count for limit_bytes, count in _IMAGE_SIGNS if budget.file_bytes < limit_bytes)
        seed = replace(seed, features=signs, word_dropout_factor=IMAGE_SIGNS_MOVE)
    for features in reversed(FEATURES[: FEATURES.index(seed.features) + 1]):
        choice = replace(seed, features=features)
        found = fit(choice, base, limits=budget.limits, size_of=size_of)
        if found is not None and found.recipe.width >= LEAST_GOOD_WIDTH:
            return choice
    return replace(SMALLEST, weight_bits=budget.bits or 4)


def _filled(seed: Choice, base: Recipe, *, budget: Budget, size_of: SizeOf) -> Choice:
    """Return ``seed``, or it with a wider last convolution, for whose bytes the classes' weights may have 4 bits.

    Only where no other convolution loses a channel by it.
    """

    def width(choice: Choice) -> int:
        found = fit(choice, base, limits=budget.limits, size_of=size_of)
        return found.recipe.width if found else 0

    ratios = sorted((ratio for ratio in HIDDEN_RATIOS if ratio > seed.hidden_ratio), reverse=True)
    every_bits: tuple[Literal[4, 8], ...] = (budget.bits,) if budget.bits else (8, 4)
    choices = [replace(seed, hidden_ratio=ratio, weight_bits=bits) for ratio in ratios for bits in every_bits]
    return max([*choices, seed], key=width)


def variations(first: Choice, *, student: StudentName, frames: bool = False) -> Iterator[Choice]:
    """Yield good recipes near ``first``, the likeliest to be better first; of ``frames`` a projection may be read."""
    for change in _VARIATIONS:
        if student == "pruned" and "word_dropout_factor" not in change:
            continue  # its layers are given
        if "word_dropout_factor" in change and student not in ("projection_sequence", "mlp", "pruned", *_NORMALIZED):
            continue  # the others see the whole text at once, so there are no words to drop
        if first.features == NO_FEATURES:
            if "larger" not in change and replace(first, **change) != first:
                yield replace(first, **change)
            continue
        at = FEATURES.index(first.features) + change.get("larger", 0)
        if 0 <= at < len(FEATURES):
            changed = {name: value for name, value in change.items() if name != "larger"}
            yield replace(first, features=FEATURES[at], **changed)
    if frames:
        yield replace(first, features=FRAME_SIGNS)


def near_features(first: Choice, *, frames: bool = False) -> tuple[int, ...]:
    """Return the feature counts that a search beginning with ``first`` may choose; images have none to choose."""
    if first.features == NO_FEATURES:
        return (NO_FEATURES, FRAME_SIGNS) if frames else (NO_FEATURES,)
    at = FEATURES.index(first.features)
    return FEATURES[max(0, at - 2) : at + 3]


def sample_choice(trial: optuna.Trial, first: Choice, *, bits: Literal[4, 8] | None, frames: bool = False) -> Choice:
    """Return the choice that ``trial`` suggests in a search that began with ``first``."""
    near = near_features(first, frames=frames)
    return Choice(
        features=near[trial.suggest_int("features", 0, len(near) - 1)],
        hidden_ratio=HIDDEN_RATIOS[trial.suggest_int("hidden_ratio", 0, len(HIDDEN_RATIOS) - 1)],
        weight_bits=bits or cast(Literal[4, 8], trial.suggest_categorical("weight_bits", (4, 8))),
        per_channel=trial.suggest_categorical("per_channel", (False, True)),
        dropout=trial.suggest_float("dropout", 0.0, 0.3),
        learning_rate=trial.suggest_float("learning_rate", 1.5e-3, 6e-3, log=True),
        word_dropout_factor=trial.suggest_float("word_dropout_factor", 0.5, 4.0, log=True),
    )


def parameters_of(choice: Choice, first: Choice, *, bits: Literal[4, 8] | None, frames: bool = False) -> dict[str, object]:
    """Return ``choice`` as the parameters that ``sample_choice`` reads back in a search that began with ``first``."""
    parameters: dict[str, object] = {
        "features": near_features(first, frames=frames).index(choice.features),
        "hidden_ratio": HIDDEN_RATIOS.index(choice.hidden_ratio),
        "per_channel": choice.per_channel,
        "dropout": choice.dropout,
        "learning_rate": choice.learning_rate,
        "word_dropout_factor": choice.word_dropout_factor,
    }
    return parameters if bits else {**parameters, "weight_bits": choice.weight_bits}


def recipe_of(choice: Choice, base: Recipe, width: int) -> Recipe:
    """Return ``base`` with ``choice`` and a first layer of ``width`` outputs, or with as large a share of its channels."""
    if base.student == "pruned":
        return replace(
            base,
            features=NO_FEATURES,
            weight_bits=choice.weight_bits,
            per_channel=choice.per_channel,
            kept=width / LARGEST_WIDTH,
        )
    factor = IMAGE_HIDDEN_FACTOR if base.student in ("separable_cnn", "projection_cnn") else 1
    return replace(
        base,
        features=choice.features,
        width=width,
        hidden=max(1, int(width * choice.hidden_ratio * factor) // WIDTH_STEP) * WIDTH_STEP,
        weight_bits=choice.weight_bits,
        per_channel=choice.per_channel,
    )


def fit(choice: Choice, base: Recipe, *, limits: Limits, size_of: SizeOf) -> Candidate | None:
    """Return the widest candidate of ``choice`` that keeps to ``limits``, or None when none does."""

    @cache
    def fits(steps: int) -> bool:
        sizes = size_of(recipe_of(choice, base, steps * WIDTH_STEP))
        return all(sizes[name] <= limit for name, limit in limits.items())

    low, high = 1, LARGEST_WIDTH // WIDTH_STEP
    if not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    recipe = recipe_of(choice, base, low * WIDTH_STEP)
    factors = {**dict.fromkeys(_NORMALIZED, IMAGE_RATE_FACTOR), "pruned": PRUNED_RATE_FACTOR, "projection_cnn": 1.0}
    rate = choice.learning_rate * factors.get(base.student, 1.0)
    return Candidate(recipe, choice.dropout, rate, choice.word_dropout_factor)


def narrow_training(candidate: Candidate) -> Candidate:
    """Return ``candidate`` with a narrow student's learning rate and dropout (``docs/adr/0044``): faster, and denied less."""
    return replace(
        candidate,
        dropout=candidate.dropout * NARROW_DROPOUT_FACTOR,
        learning_rate=candidate.learning_rate * NARROW_RATE_FACTOR,
    )


def smallest_sizes(base: Recipe, *, budget: Budget, size_of: SizeOf, any_student: bool) -> Mapping[str, int]:
    """Return the sizes of the student that comes closest to keeping to ``budget``: of ``base``, or what may take its place."""
    plain = plain_instead(base, budget) if any_student else None
    found = [size_of(smallest(each, bits=budget.bits)) for each in (base, plain) if each is not None]

    def excess(sizes: Mapping[str, int]) -> float:
        binding = binding_limit(sizes, budget.limits)
        return sizes[binding] / budget.limits[binding]

    return min(found, key=excess)


def smallest(base: Recipe, *, bits: Literal[4, 8] | None = None) -> Recipe:
    """Return the recipe of ``base``'s student that takes the fewest bytes."""
    return recipe_of(_smallest_choice(base, bits=bits), base, WIDTH_STEP)


def _smallest_choice(base: Recipe, *, bits: Literal[4, 8] | None) -> Choice:
    # what is pruned has 8 bits unless 4 are asked for, see seeded_choice
    seed = seeded_choice(1, student=base.student, bits=bits if base.student == "pruned" else bits or 4)
    features = NO_FEATURES if seed.features == NO_FEATURES else FEATURES[0]
    return replace(seed, features=features, hidden_ratio=min(HIDDEN_RATIOS), dropout=0.0)


def binding_limit(sizes: Mapping[str, int], limits: Limits) -> str:
    """Return the name in ``limits`` that ``sizes`` come closest to, or exceed most."""
    return max(limits, key=lambda name: sizes[name] / limits[name])
