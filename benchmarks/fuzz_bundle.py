"""Open mutated bundles; whatever is in them, the loader raises understudy's own errors or answers.

    python benchmarks/fuzz_bundle.py                     # 100,000 mutated bundles, a quarter to half an hour
    python benchmarks/fuzz_bundle.py --bundles 2000      # what a test runs

From a plain and an encrypted bundle of a small model, each mutant alters one file in one of four ways:

- bytes: flipped, cut, repeated or inserted bytes, as transport and disks do;
- missing: the file is gone, or a folder;
- fields: a value somewhere in the manifest is replaced, removed or moved, the digest fits again, and the bundle is signed by a
  stranger, not at all, or left with the old signature;
- inside: altered bytes of a file that the manifest is made to fit, so that what parses the content sees them.

Each mutant is opened as users do: manifest, signature and digests, the test vectors, the program, the encrypted files with
their key, and the ONNX file in its runtime. Exit code 1 and a traceback name the first mutant with any other error.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fuzz_c import smallest_program
from records import RESULTS, append, command, machine

from understudy.bundle import Bundle, encrypt_bundle, write_bundle
from understudy.errors import UnderstudyError
from understudy.export.registry import exporter
from understudy.protection.envelope import public_device_key
from understudy.protection.keys import to_pem

MANIFEST = "manifest.json"
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
DEVICE = bytes(range(32, 64))
LABELS = ("music", "weather", "größe", "line\nbreak", "other")
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, -0.5, float("nan"), float("inf")),
    *("", "a", "\0", "\ud800", "../x", "é" * 300, "0" * 64, "f" * 16, "x" * 100_000),
    *([], [[]], ["a"], {}, {"a": 1}, {"": {}}),
)
"""Values that a careless reader trips over."""


@dataclass(frozen=True)
class Mutant:
    """A bundle with one change.

    Attributes:
        kind: bytes, missing, fields or inside.
        files: name to new content; None for a file that is gone.
    """

    kind: str
    files: dict[str, bytes | None]


def make_bundles(folder: Path) -> tuple[Path, Path, Path]:
    """Return a plain bundle, an encrypted one and the private key of its recipient, all below ``folder``."""
    program = smallest_program()
    write_bundle(
        folder / "plain",
        program=program,
        exports={name: exporter(name).export(program, name="fuzz", labels=LABELS) for name in ("onnx", "litert", "c")},
        name="fuzz",
        labels=LABELS,
        threshold=0.25,
        recipe={"student": "projection_sequence", "width": 6},
        data_digest="0" * 64,
    )
    key = folder / "device.key"
    key.write_bytes(to_pem("private device key", DEVICE))
    (folder / "device.pub").write_bytes(to_pem("public device key", public_device_key(DEVICE)))
    encrypt_bundle(Bundle.open(folder / "plain"), folder / "encrypted", [folder / "device.pub"])
    return folder / "plain", folder / "encrypted", key


def altered(rng: random.Random, content: bytes) -> bytes:
    """Return ``content`` with one to four changes of its bytes."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 64, 1000))
        match rng.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at : at + length] = rng.randbytes(length)
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                out[at : at + length] = bytes([rng.choice((0, 0xFF, 0x7F, 0x80))]) * length
            case _:
                del out[at:]
    return bytes(out)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) inside of ``value``."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from places(inner)


def with_odd_field(rng: random.Random, document: dict[str, Any]) -> None:
    """Change one to three values anywhere in ``document``."""
    for _ in range(rng.randint(1, 3)):
        found = list(places(document))
        if not found:
            return
        container, key = rng.choice(found)
        match rng.randrange(4):
            case 0:
                del container[key]
            case 1 if isinstance(container, dict):
                container[rng.choice(("", "extra", "../x", "é", "model.onnx", MANIFEST))] = container.pop(key)
            case 2:
                other, source = rng.choice(found)
                with contextlib.suppress(KeyError, IndexError):  # what was removed before
                    container[key] = json.loads(json.dumps(other[source]))
            case _:
                container[key] = copy.deepcopy(rng.choice(ODD))


def as_json(document: Any) -> bytes:
    """Return JSON in ASCII as the manifest has it."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def sealed(document: dict[str, Any], *, signed: bool) -> bytes:
    """Return a manifest whose digest fits, signed by a stranger or not at all."""
    content = {name: value for name, value in document.items() if name not in ("digest", "signature")}
    digest = hashlib.sha256(as_json(content)).hexdigest()
    signature = {}
    if signed:
        value = STRANGER.sign(b"understudy manifest " + digest.encode()).hex()
        signature = {"signature": {"public_key": STRANGER.public_key().public_bytes_raw().hex(), "value": value}}
    return as_json({**content, "digest": digest, **signature})


def mutant(rng: random.Random, files: dict[str, bytes]) -> Mutant:
    """Return a change of the bundle ``files``."""
    manifest = json.loads(files[MANIFEST])
    name = rng.choice(sorted(files))
    kind = rng.choice(("bytes", "missing", "fields", "fields", "inside", "inside", "inside"))
    if kind == "bytes":
        return Mutant(kind, {name: altered(rng, files[name])})
    if kind == "missing":
        return Mutant(kind, {name: None})
    if kind == "fields":
        with_odd_field(rng, manifest)
        how = rng.randrange(3)
        return Mutant(kind, {MANIFEST: as_json(manifest) if how == 0 else sealed(manifest, signed=how == 1)})
    name = rng.choice(sorted(manifest["files"]))
    content = altered(rng, files[name])
    manifest["files"][name] |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    return Mutant(kind, {name: content, MANIFEST: sealed(manifest, signed=rng.random() < 0.2)})


def exercise(folder: Path, key: Path) -> str:
    """Return how far the bundle in ``folder`` goes: the first of understudy's errors, or ``answers``."""
    try:
        bundle = Bundle.open(folder, key=key)
        bundle.vectors()
        bundle.program()
        for name in sorted(bundle.manifest.files):
            bundle.read(name.removesuffix(".enc"))
        if "onnx" in bundle.formats:
            bundle.load("onnx")
    except UnderstudyError as error:
        if "\n" in str(error):
            raise ValueError(f"an error is one line: received {error}") from error
        return type(error).__name__
    return "answers"


def fuzz(count: int, *, seed: int, folder: Path) -> Counter[tuple[str, str]]:
    """Return how many mutants of each kind ended how.

    Raises:
        Exception: whatever is not an error of understudy, with the mutant's number.
    """
    plain, encrypted, key = make_bundles(folder)
    bundles = [(path, {file.name: file.read_bytes() for file in path.iterdir()}) for path in (plain, encrypted)]
    outcomes: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        path, files = rng.choice(bundles)
        change = mutant(rng, files)
        for name, content in change.files.items():
            (path / name).unlink()
            if content is not None:
                (path / name).write_bytes(content)
            elif rng.random() < 0.5:
                (path / name).mkdir()
        try:
            outcomes[change.kind, exercise(path, key)] += 1
        except BaseException as error:
            error.add_note(f"mutant {number} of seed {seed}: {change.kind} of {', '.join(change.files)} in {path.name}")
            raise
        for name in change.files:
            if (path / name).is_dir():
                (path / name).rmdir()
            (path / name).write_bytes(files[name])
        if number % 5000 == 4999:
            print(f"{number + 1} of {count} bundles", flush=True)
    return outcomes


def main() -> int:
    """Fuzz, print how the mutants ended, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, help="file for the row; default: benchmarks/results for a full run")
    arguments = parser.parse_args()
    memory = Path("/dev/shm")  # a hundred thousand files are no work for a disk
    begin = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="understudy-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        outcomes = fuzz(arguments.bundles, seed=arguments.seed, folder=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for (kind, outcome), found in sorted(outcomes.items()):
        print(f"{kind}: {found} {outcome}")
    results = arguments.results or (RESULTS / "fuzz_bundle.jsonl" if arguments.bundles >= 100_000 else None)
    if results is not None:
        counts: dict[str, dict[str, int]] = {}
        for (kind, outcome), found in sorted(outcomes.items()):
            counts.setdefault(kind, {})[outcome] = found
        row = {"bundles": arguments.bundles, "seed": arguments.seed, "outcomes": counts}
        seconds = round(time.monotonic() - begin)
        append(results, {**row, "seconds": seconds, "command": command(), "machine": machine()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
