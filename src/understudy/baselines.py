"""What any small model is measured against: the majority class, and logistic regression on TF-IDF, pixels or numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from understudy.data.room import taken
from understudy.errors import InputError
from understudy.metrics import accuracy, macro_f1

if TYPE_CHECKING:
    from understudy.data.dataset import AnyExamples
    from understudy.data.image import ImageExamples
    from understudy.data.parts import ArrayExamples
    from understudy.data.text import Examples
    from understudy.data.vector import VectorDataset

Float32Array = npt.NDArray[np.float32]

_TOKENS = r"(?u)\w+|[^\w\s]"
"""Words of any length, and each punctuation mark: on TREC's validation texts 1 point better than words alone."""
_REGULARIZATION = (1.0, 3.0, 10.0, 30.0, 100.0)
_SEARCH_EPOCHS = 10
_EPOCHS = 20
_SEARCH_CELLS = 2_500_000
"""Rows times classes up to which all rows choose C; above it a seeded sample does (2,250,000 on CLINC150)."""
_PIXEL_REGULARIZATION = (0.01, 0.1, 1.0)
_PIXEL_ITERATIONS = 50
_SEARCH_IMAGES, _MOST_IMAGES, _MOST_FEATURES = 2000, 20_000, 1024
"""Images that choose C, images that are learned from, and features of one image, at most."""
_MANY_CELLS = 4_000_000
"""Rows times classes above which the last fit takes the search's number of epochs too."""


@dataclass(frozen=True)
class Score:
    """Results on one split, fractions in 0..1."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline.

    Attributes:
        name: what it is, for reports.
        detail: what was chosen on the validation split.
        size_bytes: bytes of its parameters as float32, its vocabulary not counted.
        logits: content of examples (texts or pixels) to float32 ``[examples, classes]``.
        refit: the same baseline, its choices kept, learned from other examples.
    """

    name: str
    detail: str
    size_bytes: int
    logits: Callable[[Any], Float32Array]
    refit: Callable[[Any], Baseline]

    def score(self, examples: AnyExamples) -> Score:
        """Return accuracy and macro-F1 on ``examples``; a label of -1 counts as wrong."""
        answers = self.logits(examples.content).argmax(axis=1)
        return Score(accuracy(examples.labels, answers), macro_f1(examples.labels, answers))


def majority_class(train: AnyExamples, *, classes: int) -> Baseline:
    """Return the baseline that always answers with the most frequent class of ``train`` (the first of equals)."""
    counts = np.bincount(train.labels[train.labels >= 0], minlength=classes)
    row = np.log((counts + 1) / (counts + 1).sum()).astype(np.float32)
    return Baseline(
        name="majority class",
        detail=f"class {int(row.argmax())}",
        size_bytes=row.nbytes,
        logits=lambda content: np.tile(row, (len(content), 1)),
        refit=lambda examples: majority_class(examples, classes=classes),
    )


def tfidf_logistic_regression(train: Examples, validation: Examples, *, classes: int, seed: int) -> Baseline:
    """Return multinomial logistic regression on sublinear TF-IDF of words, punctuation marks and their pairs.

    The regularization C is the best of five on the validation split. SAGA runs a fixed number of epochs instead of
    converging: 20 epochs are within 0.3 points of 40 on ATIS, SNIPS, TREC and CLINC150, at half the time.

    Raises:
        InputError: no text of ``train`` holds a visible character, or all have one class.
    """
    vectorizer = _vectorizer()
    if not any(text.strip() for text in train.texts) or len(np.unique(train.labels)) < 2:
        raise InputError(
            f"a classifier needs texts that are not empty and at least two classes: received texts={len(train.texts)}, "
            f"classes={len(np.unique(train.labels))}; check the text and label columns"
        )
    features = vectorizer.fit_transform(train.texts)
    held_out = vectorizer.transform(validation.texts)
    rows = _sample(len(train.texts), limit=max(_SEARCH_CELLS // classes, 1), seed=seed)
    scores = [
        accuracy(validation.labels, _fit(features[rows], train.labels[rows], c, _SEARCH_EPOCHS, seed).predict(held_out))
        for c in _REGULARIZATION
    ]
    best = _REGULARIZATION[int(np.argmax(scores))]
    return _logistic_regression(train, c=best, classes=classes, seed=seed)


def _logistic_regression(train: Examples, *, c: float, classes: int, seed: int) -> Baseline:
    labelled = np.flatnonzero(train.labels >= 0)
    vectorizer = _vectorizer()
    features = vectorizer.fit_transform([train.texts[row] for row in labelled])
    epochs = _SEARCH_EPOCHS if len(labelled) * classes > _MANY_CELLS else _EPOCHS
    model = _fit(features, train.labels[labelled], c, epochs, seed)

    def logits(texts: Sequence[str]) -> Float32Array:
        if not texts:
            return np.zeros((0, classes), np.float32)
        return _decisions(model, vectorizer.transform(texts), classes=classes)

    return Baseline(
        name="TF-IDF + logistic regression",
        detail=f"C = {c:g}, {features.shape[1]:,} features",
        size_bytes=4 * (model.coef_.size + model.intercept_.size + features.shape[1]),
        logits=logits,
        refit=lambda examples: _logistic_regression(examples, c=c, classes=classes, seed=seed),
    )


def pixel_logistic_regression(train: ImageExamples, validation: ImageExamples, *, classes: int, seed: int) -> Baseline:
    """Return multinomial logistic regression on pixels, those of sounds' pictures too, averaged over squares of very many.

    The regularization C is the best of three on the validation split, chosen on a sample of ``train``.
    """
    name = "pixels" if train.samples is None else "log-mel"
    found = _ArrayFeatures(f"{name} + logistic regression", "images" if train.samples is None else "sounds", _squares)
    return _array_logistic_regression(found, train, validation, classes=classes, seed=seed)


def number_logistic_regression(dataset: VectorDataset, *, seed: int) -> Baseline:
    """Return multinomial logistic regression on standardized numbers, of windows averaged over steps where there are many."""
    offset, multiplier = dataset.offset, dataset.multiplier

    def features(values: Float32Array) -> Float32Array:
        steps = 1
        while values.ndim == 3 and (values.shape[1] // steps) * values.shape[2] > _MOST_FEATURES:
            steps += 1
        known = np.clip(np.nan_to_num((values - offset) * multiplier), -100, 100)
        if values.ndim == 3:
            whole = values.shape[1] // steps
            known = known[:, : whole * steps].reshape(len(values), whole, steps, -1).mean(axis=2)
        return np.asarray(known, np.float32).reshape(len(values), -1)

    found = _ArrayFeatures("numbers + logistic regression", "examples", features)
    classes = len(dataset.class_names)
    return _array_logistic_regression(found, dataset.train, dataset.validation, classes=classes, seed=seed)


@dataclass(frozen=True)
class _ArrayFeatures:
    """What a baseline on arrays sees: its name, what examples are called, and content to float32 ``[examples, features]``."""

    name: str
    examples: str
    features: Callable[[Any], Float32Array]

    def of(self, content: Any, rows: npt.NDArray[np.int64] | None = None) -> Float32Array:
        """Return the features of ``content``, or of its ``rows``, made a piece at a time."""
        parts = taken(content, np.arange(len(content)) if rows is None else rows)
        return np.concatenate([self.features(part) for part in parts] or [self.features(content)])


def _array_logistic_regression(
    found: _ArrayFeatures, train: ArrayExamples, validation: ArrayExamples, *, classes: int, seed: int
) -> Baseline:
    rows = _sample(len(train), limit=_SEARCH_IMAGES, seed=seed)
    held_out = found.of(validation.content[: 2 * _SEARCH_IMAGES])
    truth = validation.labels[: 2 * _SEARCH_IMAGES]
    features, labels = found.of(train.content, rows), train.labels[rows]
    scores = [accuracy(truth, _fit_arrays(features, labels, c).predict(held_out)) for c in _PIXEL_REGULARIZATION]
    best = _PIXEL_REGULARIZATION[int(np.argmax(scores))]
    return _array_model(found, train, c=best, classes=classes, seed=seed)


def _array_model(found: _ArrayFeatures, train: ArrayExamples, *, c: float, classes: int, seed: int) -> Baseline:
    rows = _sample(len(train), limit=_MOST_IMAGES, seed=seed)
    rows = rows[train.labels[rows] >= 0]
    model = _fit_arrays(found.of(train.content, rows), train.labels[rows], c)
    sampled = "" if len(rows) == len(train) else f", {len(rows):,} of the {found.examples}"
    return Baseline(
        name=found.name,
        detail=f"C = {c:g}, {model.coef_.shape[1]:,} features{sampled}",
        size_bytes=4 * (model.coef_.size + model.intercept_.size),
        logits=lambda content: _decisions(model, found.of(content), classes=classes),
        refit=lambda examples: _array_model(found, examples, c=c, classes=classes, seed=seed),
    )


def _squares(pixels: npt.NDArray[np.uint8]) -> Float32Array:
    """Return ``pixels`` ``[images, H, W, C]`` as features: means over squares of which at most ``_MOST_FEATURES`` remain."""
    side = 1
    height, width, channels = pixels.shape[1:]
    while (height // side) * (width // side) * channels > _MOST_FEATURES:
        side += 1
    rows, columns = height // side, width // side
    cut = pixels[:, : rows * side, : columns * side].reshape(len(pixels), rows, side, columns, side, channels)
    features: Float32Array = cut.mean(axis=(2, 4), dtype=np.float32).reshape(len(pixels), -1) / np.float32(255)
    return features


def _fit_arrays(features: Float32Array, labels: npt.NDArray[np.int64], c: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the number of iterations is the stopping rule; there may be many classes
        return LogisticRegression(C=c, max_iter=_PIXEL_ITERATIONS).fit(features, labels)


def _decisions(model: Any, features: Any, *, classes: int) -> Float32Array:
    """Return the logits ``[examples, classes]`` of a fitted ``model``; a class without an example in train never wins."""
    decision = np.asarray(model.decision_function(features), np.float32)
    if decision.ndim == 1:
        decision = np.stack([-decision / 2, decision / 2], axis=1)
    out = np.full((len(decision), classes), decision.min() - 1, np.float32)
    out[:, model.classes_] = decision
    return out


def _vectorizer() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_TOKENS)


def _sample(rows: int, *, limit: int, seed: int) -> npt.NDArray[np.int64]:
    if rows <= limit:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).permutation(rows)[:limit])


def _fit(features: Any, labels: npt.NDArray[np.int64], c: float, epochs: int, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the number of epochs is the stopping rule; there may be many classes
        return LogisticRegression(C=c, solver="saga", max_iter=epochs, tol=1e-3, random_state=seed).fit(features, labels)
