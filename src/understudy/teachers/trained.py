"""The teacher that is trained here when the user brings none: far too big for a device, and strong.

Two kinds of classifier err differently, so their logits are mixed: linear support vector machines on TF-IDF of words, word
pairs and character n-grams and on vectors of English words, and wide float networks of the students' own kind. The scale of
each and their shares are those with the lowest log-loss on validation texts. Of few texts the linear part learns as much alone,
and it is that alone.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from understudy.teachers.word_vectors import WORD_OR_MARK, WordVectors, vectors_for

if TYPE_CHECKING:
    from understudy.data.text import Examples, TextDataset

Float32Array = npt.NDArray[np.float32]

_LARGEST_VOCABULARY = 200_000
ENOUGH_TEXTS = 8000
"""Training texts from which on word vectors are no features, and no texts are recombined (``docs/adr/0045``)."""
_REGULARIZATION = 0.5
_FACTORS = (0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
_SHARES = (0.2, 0.35, 0.5, 0.65, 0.8)
FEW_VALIDATION_TEXTS = 300
"""Below this many, a point of accuracy is less than the noise of the split."""


@dataclass(frozen=True, eq=False)
class LinearMachines:
    """Fitted vectorizers and one linear support vector machine for each class."""

    vectorizers: tuple[Any, ...]
    model: Any

    def answers(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return class numbers ``[texts]``."""
        found: npt.NDArray[np.int64] = self.model.predict(_features(self.vectorizers, texts))
        return found

    def decisions(self, texts: Sequence[str]) -> Float32Array:
        """Return float32 ``[texts, classes]``."""
        found = np.asarray(self.model.decision_function(_features(self.vectorizers, texts)), np.float32)
        return np.stack([-found, found], axis=1) if found.ndim == 1 else found

    @property
    def size_bytes(self) -> int:
        """Bytes of the weights as float32."""
        return 4 * int(self.model.coef_.size + self.model.intercept_.size)


@dataclass(frozen=True, eq=False)
class Networks:
    """The wide float networks, trained elsewhere.

    Attributes:
        count: how many.
        logits: texts to their mean logits, float32 ``[texts, classes]``.
        digest: of all their weights.
        size_bytes: bytes of the weights as float32.
    """

    count: int
    logits: Callable[[Sequence[str]], Float32Array]
    digest: str
    size_bytes: int


@dataclass(frozen=True, eq=False)
class TrainedTeacher:
    """A fitted teacher; see ``teachers/protocol.py``.

    Attributes:
        class_names: the data's classes, in order.
        machines: the linear part.
        networks: the other part, None where texts are few.
        machine_factor: decisions to logits.
        network_factor: scale of the networks' logits.
        machine_share: share of the linear part in the mixture.
        digest: of the data, the seed and the networks' weights.
    """

    class_names: tuple[str, ...]
    machines: LinearMachines
    networks: Networks | None
    machine_factor: float
    network_factor: float
    machine_share: float
    digest: str
    name: str = "trained here"

    @property
    def size_bytes(self) -> int:
        """Bytes of all weights as float32."""
        return self.machines.size_bytes + (self.networks.size_bytes if self.networks else 0)

    def describe(self) -> str:
        """Return what was trained."""
        known = any(isinstance(vectorizer, WordVectors) for vectorizer in self.machines.vectorizers)
        vectors = " and on word vectors" if known else ""
        linear = f"linear support vector machines on TF-IDF of words, word pairs and character n-grams{vectors}"
        if self.networks is None:
            return f"{linear}, trained here"
        share = self.machine_share
        return f"{share:.0%} {linear}, {1 - share:.0%} {self.networks.count} wide projection networks, trained here"

    def covers(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return True for every text."""
        return np.ones(len(texts), np.bool_)

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return logits float32 ``[texts, classes]``."""
        if not texts:
            return np.zeros((0, len(self.class_names)), np.float32)
        linear = self.machines.decisions(texts) * np.float32(self.machine_factor)
        if self.networks is None:
            return linear
        wide = self.networks.logits(texts) * np.float32(self.network_factor)
        share = np.float32(self.machine_share)
        return share * linear + (1 - share) * wide


def has_few_validation_texts(dataset: TextDataset) -> bool:
    """Return whether validation is too small to tell a teacher from a baseline, or a student from its twin."""
    return len(dataset.validation) < FEW_VALIDATION_TEXTS


def fit_machines(train: Examples, *, seed: int) -> LinearMachines:
    """Return the linear part, fitted on ``train``, all of whose texts have a class."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    settings = {"sublinear_tf": True, "dtype": np.float32, "max_features": _LARGEST_VOCABULARY}
    vectorizers: tuple[Any, ...] = (
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD_OR_MARK, **settings),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **settings),
    )
    for vectorizer in vectorizers:
        vectorizer.fit(train.texts)
    vectors = vectors_for(train.texts) if len(train) < ENOUGH_TEXTS else None
    if vectors is not None:
        vectorizers += (vectors,)
    model = LinearSVC(C=_REGULARIZATION, random_state=seed)
    features = _features(vectorizers, train.texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # there may be many classes of few texts
        model.fit(features, train.labels)
    return LinearMachines(vectorizers, model)


def mix(machines: LinearMachines, networks: Networks | None, dataset: TextDataset, *, seed: int) -> TrainedTeacher:
    """Return the teacher of its parts, with scales and shares chosen on ``dataset``'s validation texts."""
    texts, labels = dataset.validation.texts, dataset.validation.labels
    linear = machines.decisions(texts)
    machine_factor = min(_FACTORS, key=lambda factor: _log_loss(linear * factor, labels))
    network_factor, share = 1.0, 1.0
    if networks is not None:
        wide = networks.logits(texts)
        network_factor = min(_FACTORS, key=lambda factor: _log_loss(wide * factor, labels))
        linear, wide = linear * machine_factor, wide * network_factor
        share = min(_SHARES, key=lambda s: _log_loss(s * linear + (1 - s) * wide, labels))
    digest_of_networks = networks.digest if networks else ""
    digest = hashlib.sha256(f"trained-teacher-4 {dataset.digest} {seed} {digest_of_networks}".encode()).hexdigest()
    return TrainedTeacher(
        class_names=dataset.class_names,
        machines=machines,
        networks=networks,
        machine_factor=machine_factor,
        network_factor=network_factor,
        machine_share=share,
        digest=digest,
    )


def _features(vectorizers: tuple[Any, ...], texts: Sequence[str]) -> Any:
    from scipy.sparse import hstack

    return hstack([vectorizer.transform(texts) for vectorizer in vectorizers]).tocsr()


def _log_loss(logits: Float32Array, labels: npt.NDArray[np.int64]) -> float:
    known = np.flatnonzero(labels >= 0)
    shifted = logits[known].astype(np.float64) - logits[known].max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(known)), labels[known]]
    return float((np.log(np.exp(shifted).sum(axis=1)) - chosen).mean())
