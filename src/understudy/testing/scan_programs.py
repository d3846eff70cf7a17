"""Small integer programs with recurrences, for tests of everything that executes or exports one."""

from __future__ import annotations

import numpy as np

from understudy.program.ops import (
    Concat,
    Linear,
    MaxPool,
    Node,
    Program,
    ProjectVector,
    Quantization,
    Scan,
    Softmax,
    Standardize,
    SumPool,
)
from understudy.projections.dense import DenseProjection
from understudy.testing.vector_programs import source


def scan_program(
    *,
    shape: tuple[int, int] = (29, 3),
    bits: int = 8,
    per_channel: bool = True,
    classes: int = 7,
    units: tuple[int, ...] = (8, 5),
    signs: int = 0,
    seed: int = 0,
) -> Program:
    """Recurrences of ``units`` states over windows, each behind its layer; the first of these reads ``signs`` where given."""
    rng = np.random.default_rng(seed)
    limit = 7 if bits == 4 else 127
    nodes: list[Node] = [source(rng, shape)]
    scheme = {"standardized": Standardize.quantization}

    def layer(read: str, target: str, columns: int, rows: int, *, reach: float) -> Linear:
        return Linear(
            read,
            target,
            weight=rng.integers(-limit, limit + 1, (rows, columns)).astype(np.int8),
            bias=rng.integers(-900, 900, rows).astype(np.int32),
            relu=False,
            bits=bits,
            per_channel=per_channel,
            weight_scale=(rng.uniform(0.5, 1.5, rows if per_channel else 1) * reach / limit / columns**0.5).astype(np.float32),
        )

    columns = shape[1]
    if signs:
        projection = ProjectVector("standardized", "features", DenseProjection(columns, signs // 4, 4, seed=seed))
        nodes.append(projection.as_linear(Standardize.quantization))
        scheme["features"] = ProjectVector.quantization
        columns = signs
    for number, count in enumerate(units, start=1):
        read = nodes[-1].output
        nodes.append(layer(read, f"gates{number}", columns, 2 * count, reach=1.5 if number > 1 else 0.9))
        nodes.append(Scan(f"gates{number}", f"states{number}"))
        scheme |= {f"gates{number}": Scan.quantization, f"states{number}": Scan.quantization}
        columns = count
    last = nodes[-1].output
    nodes += [
        MaxPool(last, "largest"),
        SumPool(last, "mean", float(np.float32(1 / shape[0]))),
        Concat(("mean", "largest"), "pooled"),
        layer("pooled", "logits", 2 * columns, classes, reach=3.0),
        Softmax("logits", "probabilities"),
    ]
    scheme |= dict.fromkeys(("largest", "mean", "pooled"), Scan.quantization)
    return Program(tuple(nodes), {**scheme, "logits": Quantization(float(np.float32(0.02)), 5)})
