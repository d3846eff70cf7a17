"""A text model whose whole firmware fits a small microcontroller: accuracy, flash, RAM and instructions on emulated cores.

    python benchmarks/devices.py --set atis --seeds 3

The job asks for one device, the board in benchmarks/boards: 32 KB of flash and 8 KB of RAM. The firmware is then linked for
exactly this memory, and the whole test split is run on the emulated core and, for the same answers, on other processors.
The same program in float is run on the cores with a floating-point unit.
Each run appends one JSON line to benchmarks/results/devices.jsonl.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from records import DATA, RESULTS, append, command, data_is_here, machine
from text import SETS, Lines

import understudy
from understudy.additions import add_formats
from understudy.bundle import Bundle
from understudy.data.read import read_table
from understudy.data.table import take_rows
from understudy.devices.bench import bench, own_examples
from understudy.metrics import accuracy

BOARD = Path(__file__).parent / "boards" / "cortex-m0-32k.toml"
TARGETS = (str(BOARD), "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "aarch64", "armhf", "riscv64")
FLOAT_TARGETS = ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")


def run(name: str, *, seed: int, trials: int | None, work: Path | None) -> dict[str, object]:
    """Return the row of one job."""
    what = SETS[name]
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(work or temporary) / f"{name}-{seed}"
        family = understudy.compress(
            **what.data(), devices=[str(BOARD)], out=out, progress=Lines(), trials=trials, seed=seed, name=name
        )
        [member] = family.members
        add_formats(out / member.path, ["c_float"])
        bundle = Bundle.open(out / member.path)
        rows = take_rows(read_table(DATA / what.folder / "test.tsv.gz"), text="text", label=what.label)
        examples = own_examples(bundle, rows.texts, origin=f"{name} test")
        index = {label: i for i, label in enumerate(bundle.labels)}
        truth = [index.get(label, -1) for label in rows.labels or ()]
        measurements = bench(bundle, TARGETS, examples=examples, progress=Lines())
        measurements += bench(bundle, FLOAT_TARGETS, examples=examples, formats=("c_float",), progress=Lines())
    return {
        "set": name,
        "seed": seed,
        "trials": trials or 1,
        "texts": len(truth),
        # the answers of an exact target are the reference's
        "accuracy": accuracy(truth, examples.reference.logits.argmax(axis=1)),
        "validation_accuracy": member.validation_accuracy,
        "budget_bytes": {file.format: file.size_bytes for file in member.files},
        "recipe": member.recipe,
        "measurements": [
            each.model_dump(mode="json", exclude={"note", "differing_labels"}) | {"differing": len(each.differing_labels)}
            for each in measurements
        ],
        "machine": machine(),
        "command": command(),
        "understudy": family.created_with.understudy,
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS), help="default: atis")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--work", type=Path, help="keep the families here and go on from what is there")
    parser.add_argument("--results", type=Path, default=RESULTS / "devices.jsonl")
    arguments = parser.parse_args()
    if not data_is_here():
        return 1
    for name in arguments.set or ("atis",):
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            print(f"{name}, seed {seed}", flush=True)
            row = run(name, seed=seed, trials=arguments.trials, work=arguments.work)
            append(arguments.results, row)
            first = row["measurements"][0]  # type: ignore[index]
            print(f"  accuracy {row['accuracy']:.4f}, flash {first['flash_bytes']}, RAM {first['ram_bytes']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
