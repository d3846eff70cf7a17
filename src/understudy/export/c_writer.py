"""What collects the pieces of a program's C source, and the pieces that read texts and numbers of a layer."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from understudy.export.c_constants import c_array, pack_nibbles, power_word, scale_word
from understudy.export.c_image import unpack_call
from understudy.export.c_memory import Placement, place_tensors
from understudy.export.c_ram import BLOCK, SECOND_BLOCK, rounded, unpacked_blocks
from understudy.export.c_words import by_word_name, by_word_text, read_words, recall_lines, unpacked_blocks_by_word
from understudy.program.interpreter import requantize_scale
from understudy.program.ops import (
    Linear,
    Program,
    ProjectText,
    Quantization,
    Softmax,
    Window,
    inputs_of,
)
from understudy.projections.text import DIGITS, WORD_ORDER, FeatureGroup, TextProjection

TABLE_BYTES, GROUP_BYTES, LAYER_BYTES, SCORES_BYTES = 8, 24, 44, 12
"""Sizes of the runtime's descriptor structs on a 32-bit core; a test compares them with the compiler's."""
_FIRST_BLOCK = 8
_SECOND_STREAM = {"character": 64, "word": 65, "skip0": 66, "skip1": 67, "skip2": 68}
_WORD_STREAM = 32


@dataclass(frozen=True)
class Constant:
    """One constant object of the header: what it belongs to, its size on a 32-bit core, its C definition."""

    where: str
    size_bytes: int
    text: str


def c_identifier(name: str) -> str:
    """Return ``name`` as part of C identifiers: lower case, every run of other characters than a-z and 0-9 one ``_``.

    Underscores at the ends are dropped; a name without any letter or digit becomes ``model``.
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "model"


_ITEM_BYTES = {"int8_t": 1, "uint8_t": 1, "uint16_t": 2, "int32_t": 4, "uint32_t": 4}


class Writer:
    """Collects the pieces of one program's source; used once."""

    def __init__(self, program: Program, identifier: str) -> None:
        self.program = program
        self.prefix = f"us_{identifier}"
        self.place: Placement = place_tensors(program)
        self.constants: list[Constant] = []
        self.calls: list[str] = []
        self.lines: list[str] = []
        self.table_bytes = 0
        # of 64 bytes in the RAM of vectors; for texts the first 256 bytes are the codes
        self.blocks = 4 if isinstance(program.source, ProjectText) else 0
        self.words = read_words(program, self.place)
        self.by_word = self.words.second if self.words else None
        self.names = {node.output: f"{self.prefix}_{i}_{c_identifier(node.output)}" for i, node in enumerate(program.nodes)}

    def constant(self, where: str, size_bytes: int, text: str) -> None:
        """Add a constant object."""
        self.constants.append(Constant(where, rounded(size_bytes), text))

    def array(self, where: str, kind: str, name: str, values: Sequence[object]) -> None:
        """Add a constant array of ``kind``."""
        self.constant(where, _ITEM_BYTES[kind] * len(values), c_array(kind, name, values))

    def call(self, function: str, arguments: str, indent: int = 1) -> None:
        """Add a call of a runtime function."""
        self.calls.append(function)
        self.lines.append(f"{'    ' * indent}{function}({arguments});")

    def present(self, tensor: str) -> str:
        """Return the expression for how many rows of ``tensor`` may hold something else than the zero point."""
        if tensor not in self.place.reach:
            return str(math.prod(self.program.shapes()[tensor][:-1]))
        reach = self.place.reach[tensor]
        return f"tokens.count + {reach}" if reach else "tokens.count"

    def pointer(self, tensor: str) -> str:
        """Return the C expression for where ``tensor`` stands."""
        return f"{self.prefix}_ram.tensors + {self.place.offsets[tensor]}"

    def vector_blocks(self, count: int) -> str:
        """Return a pointer to ``count`` new 64-byte blocks of the RAM that only vectors have."""
        self.blocks += count
        return f"{self.prefix}_ram.blocks + {self.blocks - count}"

    def range(self, quantization: Quantization, *, relu: bool) -> str:
        """Return a ``us_range``."""
        return f"{{{quantization.zero_point}, {quantization.zero_point if relu else -128}}}"

    def projection(self, projection: TextProjection) -> None:
        """Write the hash tables, the feature groups and the loop over tokens."""
        tables: list[str] = []

        def table(outputs: int, inputs: int, stream: int, block: int) -> int:
            tables.append(f"{{{self.prefix}_ram.table + US_LANES({self.table_bytes}), {outputs}, {inputs}, {stream}}}")
            self.table_bytes += rounded(outputs, block) * (inputs + 1)
            return len(tables) - 1

        kinds = {group.kind for group in projection.groups}
        characters = [table(DIGITS, 2 * m + 1, m, _FIRST_BLOCK) for m in projection.orders] if "character" in kinds else []
        word = table(DIGITS, 2 * WORD_ORDER + 1, _WORD_STREAM + WORD_ORDER, _FIRST_BLOCK) if kinds - {"character"} else 0
        groups: list[str] = []
        column = 0
        for group in projection.groups:
            inputs = 2 * DIGITS if group.kind.startswith("skip") else DIGITS
            second = table(group.features, inputs, _SECOND_STREAM[group.kind], SECOND_BLOCK)
            groups.append(self._group(group, column, second, characters, word))
            column += group.features
        rows = ",\n    ".join(tables)
        self.constant(
            "projection tables",
            TABLE_BYTES * len(tables),
            f"static const us_table {self.prefix}_tables[{len(tables)}] = {{\n    {rows}\n}};",
        )
        rows = ",\n    ".join(groups)
        self.constant(
            "projection tables",
            GROUP_BYTES * len(groups),
            f"static const us_group {self.prefix}_groups[{len(groups)}] = {{\n    {rows}\n}};",
        )
        self.lines += [f"    if (!{self.prefix}_ram.ready) {{"]
        self.call("us_expand", f"{self.prefix}_tables, {len(tables)}, 0x{projection.seed & 0xFFFFFFFF:08X}u", indent=2)
        self.lines += [
            "#if US_VECTOR",
            f"        us_expand_rows({self.prefix}_groups, {len(groups)}, (uint8_t *){self.prefix}_ram.blocks);",
            *self.unpacking(),
            "#endif",
            f"        {self.prefix}_ram.ready = 1;",
            "    }",
        ]
        self._rows(projection)

    def unpacking(self) -> list[str]:
        """Return the lines that lay out for vectors what does not depend on the input."""
        return [
            *(
                f"        us_unpack_by_word(&{self.names[node.output]});"
                if node is self.by_word
                else f"        {unpack_call(node, self.names[node.output])};"
                for node in self.program.layers
            ),
            f"        us_expand_scores(&{self.prefix}_scores);",
        ]

    def _group(self, group: FeatureGroup, column: int, second: int, characters: list[int], word: int) -> str:
        first = characters[0] if group.kind == "character" else word
        orders = len(characters) if group.kind == "character" else 0
        gap = int(group.kind.removeprefix("skip")) + 1 if group.kind.startswith("skip") else 0
        ram, tables = f"{self.prefix}_ram", f"{self.prefix}_tables"
        digests = "NULL" if group.kind == "character" else f"{ram}.digests"
        inputs = 2 * DIGITS if gap else DIGITS
        widest = max(self.program.projection.orders) if orders else 0
        second_rows = self.vector_blocks(-(-group.features // BLOCK) * inputs * 16)
        first_rows = self.vector_blocks(2 + 32 * widest) if orders else "NULL"
        vectors = f" US_VECTOR_FIELDS({second_rows}, {first_rows}, {widest})"
        plain = f"{tables} + {second}, {tables} + {first}, US_PLAIN_FIELD({ram}.negative) {ram}.values + {column}"
        return f"{{{plain}, {digests}, {orders}, {gap}{vectors}}}"

    def _tokens(self, projection: TextProjection, indent: int) -> None:
        """Write what is done with one token."""
        groups = f"{self.prefix}_groups"
        for index, group in enumerate(projection.groups):
            if group.kind != "character":
                self.call("us_word_digest", f"{groups} + {index}, &tokens", indent)
                break
        function = {"character": "us_characters", "word": "us_words"}
        for index, group in enumerate(projection.groups):
            self.call(function.get(group.kind, "us_pairs"), f"{groups} + {index}, &tokens", indent)

    def _rows(self, projection: TextProjection) -> None:
        """Write the loop that turns tokens into feature rows, and what reads those rows at once."""
        values, features = f"{self.prefix}_ram.values", projection.features
        by_word = projection.pooling == "word"
        indent = 2 if by_word else 1
        node = self.program.nodes[0].output
        readers = [n.output for n in self.program.nodes if node in inputs_of(n)]
        direct = self.place.direct_features
        silent = by_word and direct and all(name in self.place.reach for name in readers)
        loop = f"for (row = 0; row < {projection.max_words} && us_next_token(&tokens); row++) {{"
        if silent:
            self.lines.append(f"    {loop}")
        elif by_word:
            self.lines.append(f"    for (row = 0; row < {projection.max_words}; row++) {{")
        self.calls.append("us_next_token")
        known, new = recall_lines(self, self.words) if self.words else ([], [])
        self.lines += known
        self.call("us_clear", f"{values}, {features}", indent)
        if silent:
            self._tokens(projection, indent)
        else:
            self.lines.append("    " * indent + ("if (us_next_token(&tokens)) {" if by_word else loop))
            self._tokens(projection, indent + 1)
            self.lines.append("    " * indent + "}")
        if projection.values == "binary":
            self.call("us_binary", f"{values}, {features}", indent)
        else:
            limits = "-128, 127" if projection.values == "count" else "-1, 1"
            self.call("us_clamp", f"{values}, {features}, {limits}", indent)
        row = "row" if by_word else "0"
        if direct:
            for name in readers:
                self.call("us_linear_row", f"&{self.names[name]}, {row}", indent)
            self.lines += new
        else:
            target = self.pointer(node) + (f" + row * {features}" if by_word else "")
            self.call("us_store", f"{values}, {target}, {features}", indent)
        if by_word:
            self.lines.append("    }")
        if silent:
            self.lines += ["#if !US_VECTOR"] if self.by_word else []
            for name in readers:
                self.call("us_absent", f"&{self.names[name]}, row")
            self.lines += ["#endif"] if self.by_word else []

    def linear(self, node: Linear) -> None:
        """Write one layer's constants and its call, unless the token loop calls it."""
        name, where = self.names[node.output], f"linear {node.output}"
        direct = self.place.direct_features and node.input == self.program.nodes[0].output
        source, width = node.input, 1
        if source in self.place.gathered_windows:
            window = next(n for n in self.program.nodes if n.output == source)
            assert isinstance(window, Window)
            source, width = window.input, window.width
        outputs, inputs = node.weight.shape
        weight = np.asarray(node.weight, np.int8)
        stored = pack_nibbles(weight) if node.bits == 4 else weight
        self.constant(
            where, stored.size, c_array("uint8_t" if node.bits == 4 else "int8_t", f"{name}_weights", stored.ravel().tolist())
        )
        bias = "NULL"
        if node.bias is not None:
            bias = f"{name}_bias"
            self.constant(where, 4 * outputs, c_array("int32_t", bias, node.bias.tolist()))
        scheme = self.program.quantization
        assert node.weight_scale is not None
        scale = requantize_scale(scheme[node.input].scale, node.weight_scale, scheme[node.output].scale)
        words = [f"0x{scale_word(value):08X}u" for value in scale.tolist()]
        self.constant(where, 4 * len(words), c_array("uint32_t", f"{name}_scales", words))
        shape = self.program.shapes()[node.output]
        rows = math.prod(shape[:-1])
        fields = [
            "NULL" if direct else self.pointer(source),
            self.pointer(node.output),
            f"{self.prefix}_ram.values",
            f"(const uint8_t *){name}_weights",
            bias,
            f"{name}_scales",
            f"US_EITHER(NULL, us_dot{node.bits})",
            inputs,
            outputs,
            stored.shape[1],
            rows,
            self.range(scheme[node.output], relu=node.relu),
            scheme[node.input].zero_point,
            width,
            int(len(words) > 1),
            8 if node.bits == 4 else 0,
        ]
        blocks = unpacked_blocks_by_word(node, width) if node is self.by_word else unpacked_blocks(node)
        vectors = f" US_VECTOR_FIELDS({self.vector_blocks(blocks)}, {self.prefix}_ram.activations, {inputs})"
        text = ", ".join(str(field) for field in fields) + vectors
        self.constant(where, LAYER_BYTES, f"static const us_layer {name} = {{\n    {text}\n}};")
        self.calls.append(f"us_dot{node.bits}")
        present = self.present(node.output)
        if self.words and node is self.by_word:
            self.constant(where, 0, by_word_text(self, self.words))
            self.lines += ["#if US_VECTOR", f"    us_linear_by_word(&{by_word_name(self, node)}, row, {present});", "#else"]
        if not direct:
            self.call("us_linear", f"&{name}, {present}")
        if node is self.by_word:
            self.lines.append("#endif")

    def softmax(self, node: Softmax) -> None:
        """Write the last node."""
        scale = float(np.float32(self.program.quantization[node.input].scale))
        powers = [power_word(scale * 2**k) for k in range(8)]
        name = f"{self.prefix}_scores"
        self.constant("softmax", 32, c_array("uint32_t", f"{name}_powers", [f"0x{p:08X}u" for p in powers]))
        self.constant(
            "softmax",
            SCORES_BYTES,
            f"static const us_scores {name} = {{{self.pointer(node.input)}, {name}_powers, {self.program.classes}"
            f" US_VECTOR_FIELDS({self.vector_blocks(2)})}};",
        )
        self.calls.append("us_softmax")
        self.lines.append(f"    return us_softmax(&{name}, scores);")
