"""The static RAM of a program in the C format, without and with vectors."""

from __future__ import annotations

from understudy.program.ops import Conv, DepthwiseConv, Layer, Linear, Program, ProjectText, Sound

SECOND_BLOCK, DIGEST_BYTES = 32, 4 * 8
BLOCK = 64
"""Bytes that vectors are laid out in."""
_PLACES = 4
"""Rows of a linear layer that vectors multiply at once."""


def rounded(size: int, multiple: int = 4) -> int:
    """Return ``size`` rounded up to a multiple of ``multiple``."""
    return -(-size // multiple) * multiple


def unpacked_blocks(node: Layer) -> int:
    """Return how many 64-byte blocks the corrections, scales and weights of a layer take, as vectors read them.

    Some vectors read weights of 16 bits, so that every weight has two bytes.
    """
    outputs, *sizes, last = node.weight.shape
    if isinstance(node, DepthwiseConv):
        weights = rounded(sizes[0]) * last
    elif isinstance(node, Conv) and sizes[0] > 1:
        weights = sizes[0] * rounded(sizes[1] * last)  # each row of the kernel by itself
    else:
        weights = rounded(node.weight[0].size, 8)
    return int(rounded(outputs, 16) * (8 + 2 * weights) // BLOCK)


def _activation_bytes(program: Program, node: Layer) -> int:
    """Return what vectors lay out before they multiply: some rows, or the lines of an image that a row of places sees.

    Of a depthwise convolution these are four lines at a time, of whole vectors of channels.
    """
    if isinstance(node, Linear):
        return _PLACES * rounded(node.weight[0].size, 8)
    rows, columns = node.weight.shape[1:3]
    channels = program.shapes()[node.input][-1]
    span = (program.shapes()[node.output][1] - 1) * node.stride + columns
    if isinstance(node, Conv):
        return int(rows * span * channels)
    return int(rounded(rows) * span * rounded(channels, 16))


def static_ram(
    program: Program, prefix: str, *, tensor_bytes: int, table_bytes: int, blocks: int, reals: int = 0
) -> tuple[str, int, int]:
    """Return the definition of the static RAM, and its sizes without and with vectors; ``reals`` counts its floats.

    The largest types come first, so that nothing is padded.
    """
    hashes = isinstance(program.source, ProjectText)
    groups = program.projection.groups if hashes else ()
    features = program.projection.features if hashes else 0
    negative = max((rounded(group.features, SECOND_BLOCK) for group in groups), default=0)
    digests = DIGEST_BYTES if any(group.kind != "character" for group in groups) else 0
    frame = program.source.log_mel.frame if isinstance(program.source, Sound) else 0
    reads = max(features, frame, *(node.weight[0].size for node in program.layers if not isinstance(node, DepthwiseConv)))
    values = reads + 1  # us_dot4 reads one value past an odd row
    shared = table_bytes + digests + 4 * reals + 2 * values
    area = tensor_bytes
    area += -(shared + negative + area + hashes) % 4
    # vectors are read and written whole, so that up to a block behind the last value is touched
    activations = max((rounded(_activation_bytes(program, node)) + BLOCK for node in program.layers), default=0)
    vector_area = tensor_bytes + BLOCK
    vector_shared = BLOCK * blocks + activations + shared + 1
    vector_area += -(vector_shared + vector_area) % BLOCK
    members = ["#if US_VECTOR"]
    members += [f"    us_block blocks[{blocks}];"] if blocks else []
    members += [f"    uint8_t activations[{activations}];"] if activations else []
    if hashes:
        members += ["#else", f"    us_lane negative[US_LANES({negative})];"]
    members += ["#endif"]
    members += [f"    us_lane table[US_LANES({table_bytes})];"] if table_bytes else []
    members += [f"    us_lane digests[US_LANES({digests})];"] if digests else []
    members += [f"    float reals[{reals}];"] if reals else []
    members += [f"    int16_t values[{values}];", f"    int8_t tensors[US_EITHER({vector_area}, {area})];"]
    # without a hash there is nothing to make ready where there are no vectors
    members += ["    uint8_t ready;"] if hashes else ["#if US_VECTOR", "    uint8_t ready;", "#endif"]
    body = "\n".join(members)
    return f"static struct {{\n{body}\n}} {prefix}_ram;", shared + negative + area + hashes, vector_shared + vector_area
