"""What vectors remember of words, in the C format: rows of the first layer, or what those add to the layer behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from understudy.export.c_memory import Placement
from understudy.export.c_ram import BLOCK, rounded
from understudy.program.ops import Linear, Node, Program, ProjectText, Window, inputs_of

if TYPE_CHECKING:
    from understudy.export.c_writer import Writer

_WORDS, _WORD_BYTES, _WAYS = 1024, 16, 4
_MOST_PRODUCT_BYTES = 2 << 20
"""A wider layer keeps to the rows: its products would not stay in a processor's second-level cache."""


@dataclass(frozen=True)
class ReadWords:
    """Layers that see words one by one.

    Attributes:
        first: the layer that alone reads the features, without a bias.
        second: the layer that alone reads the rows of ``first``, in windows or one by one; None where there is no such layer.
        width: rows of a window.
    """

    first: Linear
    second: Linear | None
    width: int = 1


def read_words(program: Program, place: Placement) -> ReadWords | None:
    """Return the layers whose results depend on words one by one, or None where nothing can be remembered."""
    source = program.source
    if not isinstance(source, ProjectText) or source.projection.pooling != "word" or not place.direct_features:
        return None
    readers = _readers(program, source.output)
    if len(readers) != 1 or readers[0].output not in place.reach:
        return None
    [first] = readers
    assert isinstance(first, Linear)  # direct_features says so
    width, behind = 1, _readers(program, first.output)
    if len(behind) == 1 and isinstance(behind[0], Window) and behind[0].output in place.gathered_windows:
        width, behind = behind[0].width, _readers(program, behind[0].output)
    [second, *others] = behind
    if others or not isinstance(second, Linear) or _product_bytes(second, width) > _MOST_PRODUCT_BYTES:
        return ReadWords(first, None)
    return ReadWords(first, second, width)


def _readers(program: Program, tensor: str) -> list[Node]:
    return [node for node in program.nodes if tensor in inputs_of(node)]


def _row_bytes(layer: Linear) -> int:
    """Return the bytes of a row of sums."""
    return 4 * rounded(len(layer.weight), 16)


def _product_bytes(layer: Linear, width: int) -> int:
    return (_WORDS + 1) * width * _row_bytes(layer)


def unpacked_blocks_by_word(layer: Linear, width: int) -> int:
    """Return how many 64-byte blocks a layer takes that is read from the words' side.

    These are its bias and scales; for each place of the window corrections, and weights of two bytes.
    """
    columns = rounded(layer.weight.shape[1] // width, 8)
    return _row_bytes(layer) * (2 + width * (1 + columns // 2)) // BLOCK


def recall_lines(writer: Writer, read: ReadWords) -> tuple[list[str], list[str]]:
    """Return the lines of the loop over words before a word is hashed, and those behind its row of the first layer."""
    keys = f"(uint8_t *)({writer.vector_blocks(-(-_WORDS * (_WORD_BYTES * _WAYS + 1) // _WAYS // BLOCK))})"
    if read.second is None:
        rows = f"(uint8_t *)({writer.vector_blocks(-(-(_WORDS + 1) * len(read.first.weight) // BLOCK))})"
        arguments = f"(&{writer.names[read.first.output]}, row, {rows}, word)"
        known, new = f"us_recall_row{arguments}", f"us_remember_row{arguments}"
    else:
        arguments = f"(&{by_word_name(writer, read.second)}, row, word)"
        known, new = f"us_add_word{arguments}", f"us_multiply_word{arguments}"
    before = [
        "#if US_VECTOR",
        "        size_t word;",
        f"        if (us_recall({keys}, &tokens, &word)) {{",
        f"            {known};",
        "            continue;",
        "        }",
        "#endif",
    ]
    return before, ["#if US_VECTOR", f"        {new};", "#endif"]


def by_word_name(writer: Writer, layer: Linear) -> str:
    """Return the name of the constant that ``by_word_text`` defines."""
    return f"{writer.names[layer.output]}_by_word"


def by_word_text(writer: Writer, read: ReadWords) -> str:
    """Return the constant that says where products of words and their sums stand."""
    assert read.second is not None
    rows = math.prod(writer.program.shapes()[read.second.output][:-1])
    products = writer.vector_blocks(_product_bytes(read.second, read.width) // BLOCK)
    sums = writer.vector_blocks(rows * _row_bytes(read.second) // BLOCK)
    name = by_word_name(writer, read.second)
    fields = f"&{writer.names[read.second.output]}, {products}, {sums}"
    return f"#if US_VECTOR\nstatic const us_by_word {name} = {{{fields}}};\n#endif"
