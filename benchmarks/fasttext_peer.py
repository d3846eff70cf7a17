"""What Debian's ``fasttext`` command reaches on the splits of benchmarks/text.py, at the same size and at ten times the size.

    python benchmarks/fasttext_peer.py --set snips --set trec

Each run appends one JSON line to benchmarks/results/fasttext.jsonl. Per set and way of writing the text:

- ``autotune``: 60 seconds of ``-autotune-validation`` with ``-autotune-modelsize`` at the set's budget and at ten times it.
- ``pruned``, at the budget: what a patient user could do where autotune gives no file of that size. Default parameters, but few
  dimensions and only the most frequent words, so that the plain file fits; validation chooses among the pairs.
- ``default``: default parameters, whatever the file's size.

The text is written ``as is``, cut at white space by fastText, and ``split``: lower-cased, with punctuation as words of its own.
Autotune works against the clock on a shared machine, so its results differ between runs. Model sizes are not always kept.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from records import DATA, RESULTS, append, command, data_is_here, machine
from text import SETS

from understudy.data.text import Examples, TextDataset, load_text_dataset
from understudy.metrics import accuracy
from understudy.settings import DataSettings
from understudy.units import parse_bytes

ROWS = RESULTS / "fasttext.jsonl"
LARGER = 10
"""The second model size, in budgets."""
GRACE_SECONDS = 900
"""How long fastText may go on after the time of its autotune: it trains the best parameters once more, at any cost."""
PRUNED_DIMENSIONS = (2, 4, 8, 16)
PRUNED_TRAINING = ("-lr", "0.5", "-epoch", "25")
_WORD_EXTRA_BYTES = 10  # of a word in the file: its end, its count, its kind
_FILE_EXTRA_BYTES = 256


@dataclass(frozen=True)
class Trained:
    """A model file, or why there is none."""

    model: Path | None
    error: str | None


def as_is(text: str) -> str:
    """Return ``text`` on one line."""
    return " ".join(text.split())


def split(text: str) -> str:
    """Return ``text`` lower-cased, with each punctuation mark as a word."""
    return as_is(re.sub(r"([^\w\s])", r" \1 ", text.lower()))


WRITTEN: dict[str, Callable[[str], str]] = {"as is": as_is, "split": split}


def read_set(name: str, *, seed: int = 1) -> TextDataset:
    """Return the splits that benchmarks/text.py uses with ``seed``."""
    what = SETS[name]
    folder = DATA / what.folder
    settings = DataSettings(
        train=folder / "train.tsv.gz",
        test=folder / "test.tsv.gz",
        validation=folder / f"{what.validation}.tsv.gz" if what.validation else None,
        text="text",
        label=what.label,
    )
    return load_text_dataset(settings, seed=seed)


def write_texts(path: Path, texts: Sequence[str], *, labels: Sequence[int] | None = None) -> Path:
    """Write one text a line, after its label where there are ``labels``, and return ``path``."""
    lines = texts if labels is None else [f"__label__{label} {text}" for label, text in zip(labels, texts, strict=True)]
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    return path


class FastText:
    """The ``fasttext`` command on one data set, its texts written in one way, in one folder."""

    def __init__(self, dataset: TextDataset, folder: Path, *, write: Callable[[str], str], threads: int, seed: int) -> None:
        self.folder = folder
        self._write = write
        self._arguments = ("-thread", str(threads), "-seed", str(seed), "-verbose", "0")
        self._dataset = dataset
        self._train = self._labelled("train", dataset.train)
        self._validation = self._labelled("validation", dataset.validation)

    def _labelled(self, name: str, examples: Examples) -> Path:
        texts = [self._write(text) for text in examples.texts]
        return write_texts(self.folder / f"{name}.txt", texts, labels=examples.labels.tolist())

    def train(self, name: str, *arguments: str, limit_seconds: float = 1800) -> Trained:
        """Return the model trained with ``arguments`` beside the default parameters."""
        output = self.folder / name
        call = ["fasttext", "supervised", "-input", str(self._train), "-output", str(output), *self._arguments, *arguments]
        try:
            done = subprocess.run(call, capture_output=True, text=True, timeout=limit_seconds, check=False)
        except subprocess.TimeoutExpired:
            return Trained(None, f"did not end within {limit_seconds:.0f} s; stopped")
        said = [line.strip() for line in re.split(r"[\r\n]", done.stderr) if line.strip() and "Progress" not in line[:10]]
        reasons = [line.removeprefix("what():").strip() for line in said if "terminate called" not in line]
        if done.returncode:
            return Trained(None, " ".join(reasons) or f"exit code {done.returncode}")
        model = max(self.folder.glob(f"{name}.[fb]*"), key=lambda path: path.stat().st_size)
        return Trained(model, None)

    def autotune(self, name: str, *, seconds: int, limit_bytes: int) -> Trained:
        """Return the best model of ``seconds`` that fastText makes for ``limit_bytes``."""
        arguments = ("-autotune-validation", str(self._validation), "-autotune-duration", str(seconds))
        limit = ("-autotune-modelsize", str(limit_bytes))
        return self.train(name, *arguments, *limit, limit_seconds=seconds + GRACE_SECONDS)

    def pruned(self, name: str, *, limit_bytes: int) -> Trained:
        """Return the best on validation of few dimensions with as many words as fit into ``limit_bytes``."""
        counts = Counter(word for text in self._dataset.train.texts for word in self._write(text).split())
        best, best_score = None, -1.0
        for dimensions in PRUNED_DIMENSIONS:
            least = _least_count(counts, dimensions, classes=len(self._dataset.class_names), limit_bytes=limit_bytes)
            if least is None:
                continue
            shape = ("-dim", str(dimensions), "-minCount", str(least))
            model = self.train(f"{name}{dimensions}", *shape, *PRUNED_TRAINING).model
            if model is None or model.stat().st_size > limit_bytes:
                continue
            score = self.accuracy(model, self._dataset.validation)
            if score > best_score:
                best, best_score = model, score
        return Trained(best, None if best else f"no vocabulary fits {limit_bytes} bytes")

    def accuracy(self, model: Path, examples: Examples) -> float:
        """Return the accuracy of ``model``; a text without an answer is wrong."""
        path = write_texts(self.folder / "asked.txt", [self._write(text) for text in examples.texts])
        done = subprocess.run(["fasttext", "predict", str(model), str(path)], capture_output=True, text=True, check=True)
        answers = [int(line.removeprefix("__label__") or -2) for line in done.stdout.splitlines()]
        if len(answers) != len(examples):
            raise RuntimeError(f"fasttext answers once for each text: received answers={len(answers)} texts={len(examples)}")
        return accuracy(examples.labels, np.asarray(answers))

    def parameters(self, model: Path) -> dict[str, str]:
        """Return what ``model`` was trained with."""
        done = subprocess.run(["fasttext", "dump", str(model), "args"], capture_output=True, text=True, check=True)
        return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def _least_count(counts: Counter[str], dimensions: int, *, classes: int, limit_bytes: int) -> int | None:
    """Return the least ``-minCount`` with which the plain model file fits, None if no word does."""
    rows = 4 * dimensions
    label_bytes = classes * (rows + len("__label__000") + _WORD_EXTRA_BYTES)
    for least in sorted(set(counts.values())):
        words = [word for word, count in counts.items() if count >= least]
        size = sum(len(word.encode("utf-8", "surrogateescape")) + _WORD_EXTRA_BYTES + rows for word in words)
        if size + label_bytes + _FILE_EXTRA_BYTES <= limit_bytes:
            return least
    return None


def fasttext_is_here() -> bool:
    """Return whether the command is on this machine; print how to get it if not."""
    found = shutil.which("fasttext") is not None
    if not found:
        print("fastText is Debian's command: received none on PATH; run: apt-get install fasttext")
    return found


def version() -> str:
    """Return the version of the Debian package; the command itself does not tell one."""
    asked = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "fasttext"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def rows(name: str, written: str, *, seconds: int, threads: int, seed: int) -> Iterator[dict[str, object]]:
    """Yield one row for each way to train a model for the set ``name``."""
    dataset = read_set(name)
    budget_bytes = parse_bytes(SETS[name].budget)
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        peer = FastText(dataset, Path(temporary), write=WRITTEN[written], threads=threads, seed=seed)
        ways: list[tuple[str, int | None, Callable[[], Trained]]] = [
            ("autotune", 1, lambda: peer.autotune("same", seconds=seconds, limit_bytes=budget_bytes)),
            ("autotune", LARGER, lambda: peer.autotune("larger", seconds=seconds, limit_bytes=budget_bytes * LARGER)),
            ("pruned", 1, lambda: peer.pruned("pruned", limit_bytes=budget_bytes)),
            ("default", None, lambda: peer.train("default")),
        ]
        for method, budgets, train in ways:
            begin = time.monotonic()
            trained = train()
            model = trained.model
            yield {
                "set": name,
                "seed": seed,
                "method": method,
                "text": written,
                "budget": SETS[name].budget,
                "budgets": budgets,
                "limit_bytes": budgets and budget_bytes * budgets,
                "size_bytes": model and model.stat().st_size,
                "accuracy": model and peer.accuracy(model, dataset.test),
                "validation_accuracy": model and peer.accuracy(model, dataset.validation),
                "error": trained.error,
                "parameters": model and peer.parameters(model),
                "autotune_seconds": seconds if method == "autotune" else None,
                "threads": threads,
                "seconds": round(time.monotonic() - begin),
                "fasttext": version(),
                "machine": machine(),
                "command": command(),
            }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS), help="default: all")
    parser.add_argument("--text", action="append", choices=sorted(WRITTEN), help="default: both")
    parser.add_argument("--autotune-seconds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--results", type=Path, default=ROWS)
    arguments = parser.parse_args()
    if not data_is_here() or not fasttext_is_here():
        return 1
    for name in arguments.set or SETS:
        for written in arguments.text or WRITTEN:
            for seed in range(1, arguments.seeds + 1):
                for row in rows(name, written, seconds=arguments.autotune_seconds, threads=arguments.threads, seed=seed):
                    append(arguments.results, row)
                    found = row["error"] or f"accuracy {row['accuracy']:.4f}, {row['size_bytes']} bytes"
                    print(f"{name}, {written}, {row['method']} {row['limit_bytes'] or ''}: {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
