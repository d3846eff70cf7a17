"""What the integer types of the C runtime can hold."""

from __future__ import annotations

import math

from understudy.errors import InputError
from understudy.program.ops import Conv, DepthwiseConv, Flatten, LocalMaxPool, Program, ProjectText


def check_limits(program: Program) -> None:
    """Refuse what the runtime's integer types cannot hold.

    Raises:
        InputError: naming the first limit that is exceeded.
    """
    limits: list[tuple[str, int, int]] = []
    if isinstance(program.source, ProjectText):
        projection = program.projection
        limits += [
            ("max_bytes * orders", projection.max_bytes * max(1, len(projection.orders)), 32767),
            ("features", projection.features, 65535),
            ("max_words", projection.max_words, 32767),
            ("order", max(projection.orders, default=1), 8),
        ]
    else:
        places = [math.prod(shape[:-1]) for shape in program.shapes().values()]
        steps = [size for node in program.layers if isinstance(node, Conv | DepthwiseConv) for size in node.weight.shape[1:3]]
        steps += [size for node in program.nodes if isinstance(node, LocalMaxPool) for size in node.kernel]
        flat = [program.shapes()[node.output][0] for node in program.nodes if isinstance(node, Flatten)]
        limits += [("places of an image", max(places), 65535), ("kernel size", max(steps, default=1), 255)]
        limits += [("flattened values", max(flat, default=1), 65534)]
    limits += [
        ("layer inputs", max((node.weight[0].size for node in program.layers), default=0), 65534),
        ("layer outputs", max((len(node.weight) for node in program.layers), default=0), 65535),
    ]
    for what, value, limit in limits:
        if value > limit:
            raise InputError(f"{what} in the C format is at most {limit}: received {what}={value}; choose a smaller model")
