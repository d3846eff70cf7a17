"""Fill the marked sections of docs/benchmarks.md from benchmarks/results; every figure there comes from these files.

    python benchmarks/table.py            # writes the page
    python benchmarks/table.py --check    # exit code 1 if the page is not current

A measurement that was made again replaces the earlier one: of lines that describe the same run, the last one counts.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from records import REPOSITORY, RESULTS
from tables import devices, images, overhead, provenance, robustness, speed, texts, windows
from tables.results import Results

PAGE = REPOSITORY / "docs" / "benchmarks.md"
_SECTION = re.compile(r"(<!-- results: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

SECTIONS: dict[str, Callable[[Results], str]] = {
    "targets": texts.targets,
    "files": texts.files,
    "teaching": texts.teaching,
    "out_of_scope": texts.out_of_scope,
    "students": texts.students,
    "search": texts.search,
    "few_texts": texts.few_texts,
    "other_sets": texts.other_sets,
    "fasttext": texts.fasttext,
    "latency": speed.latency,
    "image_latency": speed.image_latency,
    "image_peer": speed.image_peer,
    "executorch_latency": speed.executorch_latency,
    "file_overhead": overhead.file_overhead,
    "devices": devices.devices,
    "arm_runtimes": robustness.arm_runtimes,
    "raw_text": texts.raw_text,
    "images": images.images,
    "projections": images.projections,
    "image_teaching": images.image_teaching,
    "windows": windows.windows,
    "pruned": images.pruned,
    "import_time": speed.import_time,
    "fuzz_bundle": robustness.fuzz_bundle,
    "fuzz_c": robustness.fuzz_c,
    "provenance": provenance.provenance,
}


def render(page: str, results: Results) -> str:
    """Return ``page`` with every marked section filled anew."""
    return _SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found['name']](results)}\n\n{found[3]}", page)


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with the measurements")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    before = arguments.page.read_text(encoding="utf-8")
    after = render(before, Results(arguments.results))
    if arguments.check:
        if before != after:
            print(f"{arguments.page.name} is not current; run: python benchmarks/table.py", file=sys.stderr)
        return int(before != after)
    arguments.page.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
