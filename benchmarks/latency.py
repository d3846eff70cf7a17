"""Microseconds for one text, batch 1, one thread, model load excluded: every format of one bundle beside ``fasttext``.

    python benchmarks/latency.py                             # a quick model of SNIPS at 16 KB: how good it is does not matter
    python benchmarks/latency.py --bundle runs/snips/16KB    # a finished bundle of a model for that set

Each run appends one JSON line to benchmarks/results/latency.jsonl. Everything is timed in turn, round after round; a figure is
the mean over the texts in one round, of which the row holds median, least and most.

- ``c``, ``onnx``, ``litert``: the test texts. The clock stands around each call: for ``c`` in C, for the others in Python.
- ``c lines``, ``fasttext ...``: a program that reads one text a line and prints a label; the difference between two files, one
  ten times as long as the other, so that starting and loading the model cancel out. These may be compared with each other.
  The files hold the test texts and the training texts, so that hardly a text comes twice within what C remembers of words.
- Instructions, where valgrind is installed: of the same programs on the test texts, after training texts that do not count.
  They do not depend on what else the machine does. valgrind does not know AVX-512: ``-march=native`` has none, and the default
  build, which asks the processor, takes AVX2 there.

C is compiled with the flags of ``COMPILE_FLAGS`` and those that stand behind its name. Without any, x86-64 takes the best
vectors that the processor has when it runs; with ``-DUS_WIDEST=32`` at most AVX2, with ``-DUS_VECTOR=16`` SSE2. The row says
what each took.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fasttext_peer import LARGER, FastText, as_is, read_set, version, write_texts
from records import DATA, RESULTS, append, command, data_is_here, machine
from text import SETS

import understudy
from understudy.bundle import Bundle
from understudy.data.text import TextDataset
from understudy.export.c_session import COMPILE_FLAGS, c_compiler
from understudy.export.c_writer import c_identifier
from understudy.export.parity import TimesItself
from understudy.export.protocol import Inputs, Session
from understudy.projections.text import encode
from understudy.units import parse_bytes

ROWS = RESULTS / "latency.jsonl"
SHORT_LINES = 20_000
"""Lines of the shorter file; the longer one has ``LONGER`` times as many."""
LONGER = 10
WARM_LINES = 2000
"""Training texts before the test texts whose instructions are counted."""
C_BUILDS: dict[str, tuple[str, ...]] = {
    "": (),
    " -DUS_WIDEST=32": ("-DUS_WIDEST=32",),
    " -DUS_VECTOR=16": ("-DUS_VECTOR=16",),
    " -march=native": ("-march=native",),
    " -DUS_VECTOR=0": ("-DUS_VECTOR=0",),
}
"""Compiler flags by what they add to the name of a way."""
REFERENCE = "fasttext default"
"""What the ratios are to: default parameters are fastText's fastest, words alone."""

_UNIT = """\
#include <stdio.h>
#include "understudy.h"
int main(void) {
    return puts(us_unit()) < 0;
}
"""

_LINES = """\
#include <stdio.h>
#include <string.h>
#include "model.h"

int main(int argc, char **argv) {{
    static char line[1 << 16];
    static float scores[US_{upper}_CLASSES];
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {{
        return 1;
    }}
    while (fgets(line, sizeof line, file) != NULL) {{
        printf("__label__%d\\n", us_{identifier}_predict((const uint8_t *)line, strcspn(line, "\\n"), scores));
    }}
    return fclose(file);
}}
"""

Timer = Callable[[], float]
"""Measures once and returns mean microseconds for one text."""


def find_bundle(folder: Path) -> Bundle:
    """Return the bundle in ``folder``, or the only one of the family there."""
    members = sorted(folder.glob("*/manifest.json"))
    return Bundle.open(members[0].parent if len(members) == 1 and not (folder / "manifest.json").exists() else folder)


def quick_bundle(name: str, folder: Path, *, seed: int) -> Bundle:
    """Return a bundle of the default student for the set, trained for one pass without a teacher."""
    what = SETS[name]
    data = DATA / what.folder
    settings: dict[str, Any] = {"training.epochs": 1}
    understudy.compress(
        data=data / "train.tsv.gz",
        test=data / "test.tsv.gz",
        validation=data / f"{what.validation}.tsv.gz" if what.validation else None,
        text="text",
        label=what.label,
        budgets=[what.budget],
        teacher="none",
        out=folder,
        seed=seed,
        name=name,
        **settings,
    )
    return find_bundle(folder)


def units_taken(runtime: Path, folder: Path) -> dict[str, str]:
    """Return what each build computes with on this machine, as the ``understudy.h`` in ``runtime`` says.

    Programs are written to ``folder``.
    """
    source, program = folder / "unit.c", folder / "unit"
    source.write_text(_UNIT, encoding="utf-8")
    taken = {}
    for build, flags in C_BUILDS.items():
        call = [*c_compiler(), *program_flags(), *flags, "-I", str(runtime.resolve()), "-o", str(program), str(source)]
        subprocess.run(call, check=True)
        taken[f"c{build}"] = subprocess.run([program], check=True, capture_output=True, text=True).stdout.strip()
    return taken


@contextmanager
def compiled_with(flags: Sequence[str]) -> Iterator[None]:
    """Add ``flags`` to the C compiler of everything inside."""
    before = os.environ.get("CC")
    os.environ["CC"] = shlex.join([*c_compiler(), *flags])
    try:
        yield
    finally:
        if before is None:
            del os.environ["CC"]
        else:
            os.environ["CC"] = before


def program_flags() -> list[str]:
    """Return the flags that a model is compiled with, for a program in place of a library."""
    return [flag for flag in COMPILE_FLAGS if flag not in ("-shared", "-fPIC")]


def compile_lines(bundle: Bundle, program: Path) -> Path:
    """Return a program that reads texts from a file and prints the label of each, built from the bundle's header."""
    identifier = c_identifier(bundle.manifest.name)
    source = program.with_suffix(".c")
    source.write_text(_LINES.format(identifier=identifier, upper=identifier.upper()), encoding="utf-8")
    paths = ["-I", str(bundle.folder.resolve()), "-o", str(program), str(source)]
    subprocess.run([*c_compiler(), *program_flags(), *paths], check=True)
    return program


def timer_inside(session: TimesItself, inputs: Inputs, *, passes: int) -> Timer:
    """Return the timer of a session that measures inside its own runtime."""
    return lambda: float(np.mean(np.asarray(session.time_us(inputs, passes))))


def timer_outside(session: Session, inputs: Inputs) -> Timer:
    """Return the timer of a session that is called text by text from Python."""
    texts = [inputs[i : i + 1] for i in range(len(inputs))]

    def measure() -> float:
        begin = time.perf_counter()
        for text in texts:
            session.predict(text)
        return (time.perf_counter() - begin) * 1e6 / len(texts)

    return measure


def timer_of_lines(call: Sequence[str | Path], short: Path, long: Path) -> Timer:
    """Return the timer of a program that answers a file of texts: what the longer file takes more, by text."""

    def seconds(path: Path) -> float:
        begin = time.perf_counter()
        subprocess.run([*call, path], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begin

    return lambda: (seconds(long) - seconds(short)) * 1e6 / (SHORT_LINES * (LONGER - 1))


def instructions_of_lines(call: Sequence[str | Path], warm: Path, more: Path, *, texts: int) -> float | None:
    """Return instructions for one of the ``texts`` texts that ``more`` has behind those of ``warm``, counted by callgrind.

    None where valgrind is missing.
    """
    if shutil.which("valgrind") is None:
        return None
    counts = []
    for path in (warm, more):
        counting = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", *call, path]
        done = subprocess.run(counting, capture_output=True, text=True, check=True)
        found = re.search(r"Collected : (\d+)", done.stderr)
        if found is None:
            raise RuntimeError(f"callgrind says what it collected: received {done.stderr[-200:]!r}")
        counts.append(int(found[1]))
    return round((counts[1] - counts[0]) / texts, 1)


def in_turn(timers: dict[str, Timer], rounds: int) -> dict[str, list[float]]:
    """Return what each timer measured in each round, after a round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in timers}
    for number in range(rounds + 1):
        for name, measure in timers.items():
            us = measure()
            if number:
                taken[name].append(us)
        print(f"  round {number} of {rounds}", flush=True)
    return taken


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": round(statistics.median(values), 3), "least": round(min(values), 3), "most": round(max(values), 3)}


def processor() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", path.read_text(encoding="utf-8")) if path.exists() else None
    return found[1].strip() if found else platform.processor() or "unknown"


def peer_models(name: str, dataset: TextDataset, folder: Path, *, autotune_seconds: int) -> dict[str, Path]:
    """Return fastText's models to time: default parameters, and the best of autotune at ten times the budget."""
    peer = FastText(dataset, folder, write=as_is, threads=1, seed=1)
    trained = {REFERENCE: peer.train("default")}
    if autotune_seconds:
        limit_bytes = parse_bytes(SETS[name].budget) * LARGER
        trained["fasttext autotune"] = peer.autotune("larger", seconds=autotune_seconds, limit_bytes=limit_bytes)
    for way, found in trained.items():
        if found.model is None:
            print(f"  no {way}: {found.error}", flush=True)
    return {way: found.model for way, found in trained.items() if found.model is not None}


def measure(name: str, bundle: Bundle, *, seed: int, rounds: int, autotune_seconds: int, folder: Path) -> dict[str, object]:
    """Return the row of one bundle."""
    dataset = read_set(name, seed=seed)
    if set(bundle.labels) != set(dataset.class_names):
        raise SystemExit(f"the bundle answers for the set it is timed on: received other labels than {name} has; give --set")
    texts = [as_is(text) for text in dataset.test.texts]
    inputs = encode(texts, max_bytes=bundle.manifest.max_bytes)
    training = [as_is(text) for text in dataset.train.texts]
    stream = [*texts, *training]
    repeated = (stream * (SHORT_LINES * LONGER // len(stream) + 1))[: SHORT_LINES * LONGER]
    files = {
        "warm": write_texts(folder / "warm.txt", training[-WARM_LINES:]),
        "more": write_texts(folder / "more.txt", [*training[-WARM_LINES:], *texts]),
        "short": write_texts(folder / "short.txt", repeated[:SHORT_LINES]),
        "long": write_texts(folder / "long.txt", repeated),
    }
    models = peer_models(name, dataset, folder, autotune_seconds=autotune_seconds)
    builds = C_BUILDS
    units = units_taken(bundle.folder, folder)
    calls: dict[str, list[str | Path]] = {}
    for number, (build, flags) in enumerate(builds.items()):
        with compiled_with(flags):
            calls[f"c lines{build}"] = [compile_lines(bundle, folder / f"lines{number}")]
    calls |= {way: ["fasttext", "predict", model] for way, model in models.items()}

    timers: dict[str, Timer] = {}
    runtimes = {"fasttext": version()}
    for format_name in bundle.formats:
        for build, flags in builds.items() if format_name == "c" else [("", ())]:
            with compiled_with(flags):
                session = Bundle.open(bundle.folder).load(format_name).session  # a bundle opens each format once
            runtimes[format_name] = session.runtime
            if isinstance(session, TimesItself):
                timers[format_name + build] = timer_inside(session, inputs, passes=10)
            else:
                timers[format_name] = timer_outside(session, inputs)
    timers |= {way: timer_of_lines(call, files["short"], files["long"]) for way, call in calls.items()}
    load_before = os.getloadavg()[0]
    taken = in_turn(timers, rounds)
    load_after = os.getloadavg()[0]
    ratios = {
        way: [mine / reference for mine, reference in zip(us, taken[REFERENCE], strict=True)] for way, us in taken.items()
    }
    return {
        "set": name,
        "bundle": bundle.folder.name,
        "classes": len(bundle.labels),
        "max_bytes": bundle.manifest.max_bytes,
        "recipe": bundle.manifest.recipe,
        "texts": len(texts),
        "mean_text_bytes": round(sum(len(text.encode("utf-8", "surrogateescape")) for text in texts) / len(texts), 1),
        "rounds": rounds,
        "us": {way: spread(us) for way, us in taken.items()},
        "ratio": {way: spread(values) for way, values in ratios.items()},
        "ratio_to_c": {
            f"{way} / {c}": spread([theirs / mine for theirs, mine in zip(taken[way], taken[c], strict=True)])
            for way in ("onnx", "litert")
            for c in (f"c{build}" for build in builds)
            if way in taken and c in taken
        },
        "instructions": {
            way: instructions_of_lines(call, files["warm"], files["more"], texts=len(texts))
            for way, call in calls.items()
            if "native" not in way
        },
        "compile_flags": list(COMPILE_FLAGS),
        "units": units,
        "size_bytes": _sizes(bundle) | {way: model.stat().st_size for way, model in models.items()},
        "runtime": runtimes,
        "load_average": {"before": round(load_before, 2), "after": round(load_after, 2)},
        "machine": f"{processor()}, {machine()}",
        "command": command(),
    }


def _sizes(bundle: Bundle) -> dict[str, int]:
    return {
        entry.format: entry.size_bytes if entry.budget_bytes is None else entry.budget_bytes
        for entry in bundle.manifest.files.values()
        if entry.format is not None
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="a bundle, or a family of one member; default: a quick one is made")
    parser.add_argument("--set", default="snips", choices=sorted(SETS), help="whose test texts are timed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--autotune-seconds", type=int, default=60, help="0: time no autotuned fastText model")
    parser.add_argument("--results", type=Path, default=ROWS)
    arguments = parser.parse_args()
    if not data_is_here():
        return 1
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        folder = Path(temporary)
        if arguments.bundle:
            bundle = find_bundle(arguments.bundle)
        else:
            bundle = quick_bundle(arguments.set, folder / "family", seed=arguments.seed)
        seconds = arguments.autotune_seconds
        row = measure(
            arguments.set, bundle, seed=arguments.seed, rounds=arguments.rounds, autotune_seconds=seconds, folder=folder
        )
    append(arguments.results, row)
    print(json.dumps(row["us"], indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
