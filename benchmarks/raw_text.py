"""Do the defaults hold on text as people write it, and in languages other than English?

    python benchmarks/raw_text.py --set snips --set atis --set clinc150
    python benchmarks/raw_text.py --set german --set spanish

Each run appends one JSON line for each test set to benchmarks/results/raw_text.jsonl.

English: the public sets are lower-cased and pre-tokenised. ``as_written`` makes raw text of them by a fixed rule: capitals
at the start, for "I", weekdays and months; clitics joined with an apostrophe; punctuation joined to its word; a full stop or
question mark at the end. A model is trained on the original texts and one on the raw ones, and both are tested on both, and on
raw texts with the signs that phones and word processors put in: ``as_typeset``.

German, Spanish: no labelled set in another language is at hand, so these are SYNTHETIC: own sentence patterns for eight intents
in benchmarks/sentences, filled with own names, with accents, capitals and punctuation. They test that the defaults cope with
such text, not how good a model is on real users' sentences. "names" has patterns of the training texts with names that those
lack, "sentences" has unseen patterns with unseen names; "typed" is the latter in lower case without punctuation, as on a phone.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fasttext_peer import read_set
from records import RESULTS, append, command, data_is_here, machine
from text import SETS

import understudy
from understudy.baselines import tfidf_logistic_regression
from understudy.bundle import Bundle
from understudy.data.text import Examples
from understudy.metrics import accuracy

ROWS = RESULTS / "raw_text.jsonl"
SENTENCES = Path(__file__).parent / "sentences"
LANGUAGES = tuple(sorted(path.stem for path in SENTENCES.glob("*.toml")))
SENTENCES_BUDGET = "16KB"
MOST_TRAIN, MOST_VALIDATION, MOST_TEST = 60, 12, 40
"""Sentences for each intent."""

_CLITIC = re.compile(r"\b(i|you|he|she|it|we|they|that|what|who|how|where|when|there|let) ?(?:'| )(s|m|d|ll|re|ve)\b")
_NEGATION = re.compile(r"\b(do|does|did|is|are|was|were|has|have|had|ca|could|would|should|wo)n ?(?:'| )t\b")
_PRE_TOKENISED = re.compile(r" ('(?:s|m|d|ll|re|ve)|n't)\b")
_SPACED_MARK = re.compile(r" +([,.;:?!])")
_I = re.compile(r"\bi\b(?!\.)")
_NAMES = re.compile(
    r"\b((?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|april|june|july|august|september|october|november|december)\b"
)
_QUESTION = re.compile(
    r"(what|who|whose|whom|which|where|when|why|how|is|are|am|was|were|do|does|did|can|could|will|would|should|has|have|may)\b"
)


def as_written(text: str) -> str:
    """Return a lower-cased, pre-tokenised English text as somebody would write it, by a fixed rule that knows no meanings."""
    text = _PRE_TOKENISED.sub(r"\1", " ".join(text.split()))
    text = _CLITIC.sub(r"\1'\2", _NEGATION.sub(r"\1n't", text))
    text = _SPACED_MARK.sub(r"\1", text)
    if text and text[-1] not in ".?!":
        text += "?" if _QUESTION.match(text) else "."
    text = _NAMES.sub(lambda found: found[0].capitalize(), _I.sub("I", text))
    return text[:1].upper() + text[1:]


def as_typeset(text: str) -> str:
    """Return ``text`` in curly quotes, with curly apostrophes and an ellipsis in place of its last full stop."""
    return f"“{re.sub(r'[.]$', '…', text.replace(chr(39), '’'))}”"


def as_typed(text: str) -> str:
    """Return ``text`` in lower case without punctuation."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


@dataclass(frozen=True)
class Trial:
    """One training and what it is tested on.

    Attributes:
        name: of the set.
        trained_on: how the training texts are written.
        class_names: the labels.
        train: training texts.
        validation: validation texts.
        tests: how the test texts are written to the texts.
        budget: of the model.
        synthetic: the texts are made from patterns.
    """

    name: str
    trained_on: str
    class_names: tuple[str, ...]
    train: Examples
    validation: Examples
    tests: Mapping[str, Examples]
    budget: str
    synthetic: bool


def english(name: str, *, seed: int) -> list[Trial]:
    """Return the trials of a public set: trained on the original and on raw texts, each tested on both and on typeset ones."""
    data = read_set(name, seed=seed)
    originals = {"train": data.train, "validation": data.validation, "test": data.test}
    versions = {
        "original": originals,
        "raw": {part: Examples(tuple(map(as_written, e.texts)), e.labels) for part, e in originals.items()},
    }
    tests = {version: parts["test"] for version, parts in versions.items()}
    tests["typeset"] = Examples(tuple(map(as_typeset, tests["raw"].texts)), tests["raw"].labels)
    return [
        Trial(name, version, data.class_names, parts["train"], parts["validation"], tests, SETS[name].budget, synthetic=False)
        for version, parts in versions.items()
    ]


def synthetic(name: str, *, seed: int) -> list[Trial]:
    """Return the trial of a language with sentence patterns."""
    patterns = tomllib.loads((SENTENCES / f"{name}.toml").read_text(encoding="utf-8"))
    fillers, intents = patterns["fillers"], patterns["intents"]
    rng = random.Random(seed)
    parts: dict[str, list[tuple[str, int]]] = {part: [] for part in ("train", "validation", "names", "sentences")}
    for label, intent in enumerate(intents.values()):
        seen = _filled(intent["seen"], fillers, "seen", rng)
        here = {
            "train": seen[: min(MOST_TRAIN, len(seen) * 5 // 6)],
            "names": _filled([p for p in intent["seen"] if "{" in p], fillers, "unseen", rng)[:MOST_TEST],
            "sentences": _filled(intent["unseen"], fillers, "unseen", rng)[:MOST_TEST],
        }
        here["validation"] = seen[len(here["train"]) :][:MOST_VALIDATION]
        for part, texts in here.items():
            parts[part] += [(text, label) for text in texts]
    examples = {
        part: Examples(tuple(text for text, _ in rows), np.array([label for _, label in rows], np.int64))
        for part, rows in parts.items()
    }
    typed = Examples(tuple(map(as_typed, examples["sentences"].texts)), examples["sentences"].labels)
    tests = {"names": examples["names"], "sentences": examples["sentences"], "typed": typed}
    return [
        Trial(name, "raw", tuple(intents), examples["train"], examples["validation"], tests, SENTENCES_BUDGET, synthetic=True)
    ]


def _filled(
    patterns: Sequence[str], fillers: Mapping[str, Mapping[str, list[str]]], which: str, rng: random.Random
) -> list[str]:
    """Return every sentence that the patterns make, shuffled such that all patterns come equally soon."""
    each = []
    for pattern in patterns:
        slots = re.findall(r"{(\w+)}", pattern)
        choices = itertools.product(*(fillers[slot][which] for slot in slots))
        texts = [pattern.format(**dict(zip(slots, choice, strict=True))) for choice in choices]
        each.append(rng.sample(texts, len(texts)))
    turns = itertools.zip_longest(*each)
    texts = [text[:1].upper() + text[1:] for turn in turns for text in turn if text is not None]
    return list(dict.fromkeys(texts))


def rows(trial: Trial, *, seed: int, teacher: str, trials: int | None) -> list[dict[str, object]]:
    """Return a row for each test set of ``trial``."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        folder = Path(temporary)
        first = next(iter(trial.tests.values()))
        parts = {"train": trial.train, "validation": trial.validation, "test": first}
        files = {part: _write(folder / f"{part}.tsv", examples, trial.class_names) for part, examples in parts.items()}
        family = understudy.compress(
            data=files["train"],
            validation=files["validation"],
            test=files["test"],
            text="text",
            label="label",
            budgets=[trial.budget],
            teacher=teacher,
            trials=trials,
            seed=seed,
            name=trial.name,
            out=folder / "family",
        )
        [member] = family.members
        bundle = Bundle.open(folder / "family" / member.path)
        model = bundle.load()
        # the model's classes are sorted; a class of the trial is found there by its name
        position = {label: index for index, label in enumerate(bundle.labels)}
        lookup = np.array([position[label] for label in trial.class_names] + [-1])
        scores = {way: model.scores(examples.texts).argmax(axis=1) for way, examples in trial.tests.items()}
    classes = len(trial.class_names)
    baseline = tfidf_logistic_regression(trial.train, trial.validation, classes=classes, seed=seed)
    seconds = round(time.monotonic() - begin)
    return [
        {
            "set": trial.name,
            "synthetic": trial.synthetic,
            "seed": seed,
            "trained_on": trial.trained_on,
            "tested_on": way,
            "train_texts": len(trial.train),
            "test_texts": len(examples),
            "classes": classes,
            "budget": trial.budget,
            "student": member.student,
            "teacher": family.teacher.name if family.teacher and family.teacher.used else None,
            "format": model.format,
            "accuracy": accuracy(lookup[examples.labels], scores[way]),
            "baseline": baseline.score(examples).accuracy,
            "validation_accuracy": member.validation_accuracy,
            "size_bytes": {file.format: file.size_bytes for file in member.files},
            "examples": list(examples.texts[:2]) if trial.synthetic else [],
            "seconds": seconds,
            "machine": machine(),
            "command": command(),
        }
        for way, examples in trial.tests.items()
    ]


def _write(path: Path, examples: Examples, class_names: Sequence[str]) -> Path:
    """Write ``examples`` as tab-separated values; a label that train lacks is written as ``unseen``."""
    names = [*class_names, "unseen"]
    lines = [f"{text}\t{names[label]}\n" for text, label in zip(examples.texts, examples.labels.tolist(), strict=True)]
    path.write_bytes("".join(["text\tlabel\n", *lines]).encode("utf-8", "surrogateescape"))
    return path


def main() -> int:
    """Run what the arguments ask for."""
    default = ("snips", "atis", "clinc150", *LANGUAGES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted({*SETS, *LANGUAGES}), help=f"default: {', '.join(default)}")
    parser.add_argument("--trained-on", choices=("original", "raw"), help="default: both; other languages have only raw texts")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--teacher", default="auto")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--results", type=Path, default=ROWS)
    arguments = parser.parse_args()
    names = arguments.set or default
    if not set(names) <= set(LANGUAGES) and not data_is_here():
        return 1
    for name, seed in itertools.product(names, range(1, arguments.seeds + 1)):
        for trial in synthetic(name, seed=seed) if name in LANGUAGES else english(name, seed=seed):
            if arguments.trained_on not in (None, trial.trained_on):
                continue
            for row in rows(trial, seed=seed, teacher=arguments.teacher, trials=arguments.trials):
                append(arguments.results, row)
                print(
                    f"{name}, seed {seed}, trained on {row['trained_on']}, tested on {row['tested_on']}: "
                    f"accuracy {row['accuracy']:.4f}, TF-IDF + logistic regression {row['baseline']:.4f}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
