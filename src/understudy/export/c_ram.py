"""The static RAM of a program in the C format, without and with vectors."""

from __future__ import annotations

from understudy.program.ops import Program

SECOND_BLOCK, DIGEST_BYTES = 32, 4 * 8
BLOCK = 64
"""Bytes that vectors are laid out in."""


def rounded(size: int, multiple: int = 4) -> int:
    """Return ``size`` rounded up to a multiple of ``multiple``."""
    return -(-size // multiple) * multiple


def static_ram(program: Program, prefix: str, *, tensor_bytes: int, table_bytes: int, blocks: int) -> tuple[str, int, int]:
    """Return the definition of the static RAM, and its sizes without and with vectors.

    The largest types come first, so that nothing is padded.
    """
    projection = program.projection
    negative = max(rounded(group.features, SECOND_BLOCK) for group in projection.groups)
    digests = DIGEST_BYTES if any(group.kind != "character" for group in projection.groups) else 0
    longest = max(projection.features, *(node.weight.shape[1] for node in program.linears))
    values = longest + 1  # us_dot4 reads one value past an odd row
    area = tensor_bytes
    shared = table_bytes + digests + 2 * values + 1
    area += -(shared + negative + area) % 4
    # vectors are read and written whole, so that up to a block behind the last value is touched
    activations = rounded(longest, 4) + BLOCK
    vector_area = area + BLOCK
    vector_shared = BLOCK * blocks + activations + shared
    vector_area += -(vector_shared + vector_area) % BLOCK
    members = [
        "#if US_VECTOR",
        f"    us_block blocks[{blocks}];",
        f"    uint8_t activations[{activations}];",
        "#else",
        f"    us_lane negative[US_LANES({negative})];",
        "#endif",
        f"    us_lane table[US_LANES({table_bytes})];",
    ]
    members += [f"    us_lane digests[US_LANES({digests})];"] if digests else []
    members += [
        f"    int16_t values[{values}];",
        f"    int8_t tensors[US_EITHER({vector_area}, {area})];",
        "    uint8_t ready;",
    ]
    body = "\n".join(members)
    return f"static struct {{\n{body}\n}} {prefix}_ram;", shared + negative + area, vector_shared + vector_area
