"""The teacher that is trained here when the user brings none: far too big for a device, and strong.

TF-IDF of words, word pairs and character n-grams inside words, one linear support vector machine for each class. Its
decisions become logits by one factor, the one with the lowest log-loss on validation texts (Platt scaling without a shift).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from understudy.data.text import TextDataset

Float32Array = npt.NDArray[np.float32]

_TOKENS = r"(?u)\w+|[^\w\s]"
_LARGEST_VOCABULARY = 200_000
_FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
_REGULARIZATION = 0.5


@dataclass(frozen=True, eq=False)
class TrainedTeacher:
    """A fitted teacher; see ``teachers/protocol.py``.

    Attributes:
        digest: of the data and the settings that it follows from.
        class_names: the data's classes, in order.
        factor: decisions to logits.
    """

    digest: str
    class_names: tuple[str, ...]
    factor: float
    size_bytes: int
    name: str = "trained here"
    vectorizers: tuple[Any, ...] = ()
    model: Any = None

    def describe(self) -> str:
        """Return what was trained."""
        return (
            "linear support vector machines on TF-IDF of words, word pairs and character n-grams, trained here; "
            f"logits are decisions times {self.factor:g}"
        )

    def covers(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return True for every text."""
        return np.ones(len(texts), np.bool_)

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return logits float32 ``[texts, classes]``."""
        if not texts:
            return np.zeros((0, len(self.class_names)), np.float32)
        return _decisions(self.model, _features(self.vectorizers, texts)) * np.float32(self.factor)


def train_teacher(dataset: TextDataset, *, seed: int) -> TrainedTeacher:
    """Return a teacher fitted on ``dataset``'s training texts and scaled on its validation texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    settings = {"sublinear_tf": True, "dtype": np.float32, "max_features": _LARGEST_VOCABULARY}
    vectorizers = (
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=_TOKENS, **settings),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **settings),
    )
    # a lone surrogate stands for a byte that is not UTF-8; the vectorizers take it as a character
    for vectorizer in vectorizers:
        vectorizer.fit(dataset.train.texts)
    model = LinearSVC(C=_REGULARIZATION, random_state=seed)
    model.fit(_features(vectorizers, dataset.train.texts), dataset.train.labels)
    decisions = _decisions(model, _features(vectorizers, dataset.validation.texts))
    factor = min(_FACTORS, key=lambda value: _log_loss(decisions * value, dataset.validation.labels))
    key = f"trained-teacher-1 {dataset.digest} {seed}"
    return TrainedTeacher(
        digest=hashlib.sha256(key.encode()).hexdigest(),
        class_names=dataset.class_names,
        factor=factor,
        size_bytes=4 * (model.coef_.size + model.intercept_.size),
        vectorizers=vectorizers,
        model=model,
    )


def _features(vectorizers: tuple[Any, ...], texts: Sequence[str]) -> Any:
    from scipy.sparse import hstack

    return hstack([vectorizer.transform(texts) for vectorizer in vectorizers]).tocsr()


def _decisions(model: Any, features: Any) -> Float32Array:
    decisions = np.asarray(model.decision_function(features), np.float32)
    return np.stack([-decisions, decisions], axis=1) if decisions.ndim == 1 else decisions


def _log_loss(logits: Float32Array, labels: npt.NDArray[np.int64]) -> float:
    known = np.flatnonzero(labels >= 0)
    shifted = logits[known].astype(np.float64) - logits[known].max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(known)), labels[known]]
    return float((np.log(np.exp(shifted).sum(axis=1)) - chosen).mean())
