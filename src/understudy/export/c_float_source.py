"""Program to C source in float: the runtime's integers up to the source, then float tensors; ``spec/program.md`` 27."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from understudy.export.c_constants import c_array
from understudy.export.c_limits import check_limits
from understudy.export.c_memory import place_reals
from understudy.export.c_ram import static_ram
from understudy.export.c_source import Source as CSource
from understudy.export.c_source import write_node
from understudy.export.c_writer import Writer, c_identifier
from understudy.export.refused import need_reals_alone
from understudy.program.ops import (
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Flatten,
    Image,
    Layer,
    Linear,
    LocalMaxPool,
    MaxPool,
    Node,
    Program,
    ProjectBoxes,
    ProjectText,
    Scan,
    Softmax,
    Sound,
    Source,
    Standardize,
    SumPool,
    Window,
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.real import real_bounds
from understudy.program.real_curves import VALUE, traced

REAL_BYTES = {"layer": 40, "conv": 60, "steps": 20, "rows": 32, "pool": 28, "pairs": 28}
"""Sizes of the runtime's descriptor structs ``us_real_...`` on a 32-bit core; a test compares them with the compiler's."""
_WHERE: dict[type[Node], str] = {
    **dict.fromkeys((Conv, DepthwiseConv), "conv"),
    Flatten: "flatten",
    Concat: "concat",
}
"""What the byte table calls a node where it is not the function that it calls."""
_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def write_float_source(program: Program, identifier: str) -> CSource:
    """Return an integer ``program`` as C that computes it in real numbers, every name beginning with ``us_<identifier>_``.

    Raises:
        InputError: a float program, one with islands or signs of what layers give, or one beyond the runtime's types.
    """
    need_reals_alone(program, format_name="c_float")
    check_limits(program)
    writer = _FloatWriter(program, identifier)
    for node in program.nodes:
        writer.write(node)
    integers = writer.integers
    memory, ram_bytes, vector_ram_bytes = static_ram(
        integers.program,
        integers.prefix,
        tensor_bytes=integers.place.tensor_bytes,
        table_bytes=integers.table_bytes,
        blocks=integers.blocks,
        reals=writer.count,
    )
    return CSource(
        tuple(integers.constants), memory, ram_bytes, vector_ram_bytes, tuple(integers.calls), "\n".join(integers.lines)
    )


def literal(value: float | np.float32) -> str:
    """Return ``value`` as a C constant of type float, to the bit."""
    text = f"{np.float32(value):.9g}"
    return f"{text if set(text) & set('.e') else text + '.0'}f"


class _IntegerWriter(Writer):
    """Writes the source, and the boxes that compare its integers."""

    def unpacking(self) -> list[str]:
        """Return nothing: no layer of integers follows."""
        return []


class _FloatWriter:
    """Collects the pieces of one program's source; used once."""

    def __init__(self, program: Program, identifier: str) -> None:
        self._program, self._shapes = program, program.shapes()
        boxes = [node for node in program.nodes if isinstance(node, ProjectBoxes)]
        nodes: list[Node] = [program.source, *boxes]
        self.integers = _IntegerWriter(Program((*nodes, Softmax(nodes[-1].output, "")), program.quantization), identifier)
        self._offsets, self.count = place_reals(program)
        prefix = self.integers.prefix
        self._names = {node.output: f"{prefix}_real_{i}_{c_identifier(node.output)}" for i, node in enumerate(program.nodes)}

    def write(self, node: Node) -> None:
        """Write one node."""
        match node:
            case ProjectText() | Image() | Sound() | Standardize() | ProjectBoxes():
                write_node(self.integers, node)
                self._begin(node)
            case Linear():
                self._call("linear", "layer", node, self._layer(node, node.weight.T))
            case Conv() | DepthwiseConv():
                function = "convolve" if isinstance(node, Conv) else "convolve_depthwise"
                fields = self._layer(node, np.moveaxis(node.weight, 0, -1))
                self._call(function, "conv", node, [f"{{{', '.join(fields)}}}", self._view(node, node.weight.shape[1:3])])
            case LocalMaxPool():
                self._call("local_max_pool", "pool", node, [*self._ends(node), self._view(node, node.kernel)])
            case Window():
                self._on_rows("window", node, step=node.width)
            case MaxPool():
                self._on_rows("max_pool", node)
            case SumPool():
                self._on_rows("sum_pool", node, literal(node.multiplier), *self._bounds(node.output))
            case Scan():
                self._on_rows("scan", node, columns=self._shapes[node.output][-1])
            case Add():
                self._on_pairs("add", node, self._bounds(node.output, relu=node.relu))
            case Multiply():
                self._on_pairs("multiply", node, self._bounds(node.output))
            case Lookup():
                self._lookup(node)
            case Flatten() | Concat():
                self._copies(node)
            case Softmax():
                self.integers.calls.append("us_real_softmax")
                logits = f"{self._pointer(node.input)}, scores, {self._program.classes}"
                self.integers.lines.append(f"    return us_real_softmax({logits});")
            case _:
                raise TypeError(f"no real numbers: {node.output}")

    def _call(self, function: str, kind: str, node: Node, fields: Iterable[object], *, part: str = "") -> None:
        """Write a call with a constant of its own, of the type ``us_real_<kind>``."""
        name, what = f"{self._names[node.output]}{part}", _WHERE.get(type(node), function)
        text = f"static const us_real_{kind} {name} = {{\n    {', '.join(map(str, fields))}\n}};"
        self.integers.constant(f"{what} {node.output}", REAL_BYTES[kind], text)
        self.integers.call(f"us_real_{function}", f"&{name}")

    def _pointer(self, tensor: str) -> str:
        return f"{self.integers.prefix}_ram.reals + {self._offsets[tensor]}"

    def _size(self, tensor: str) -> int:
        return math.prod(self._shapes[tensor])

    def _bounds(self, tensor: str, *, relu: bool = False) -> list[str]:
        return [literal(bound) for bound in real_bounds(self._program.quantization[tensor], relu=relu)]

    def _ends(self, node: LocalMaxPool | Window | MaxPool | SumPool | Scan) -> list[str]:
        return [self._pointer(node.input), self._pointer(node.output)]

    def _begin(self, node: Source | ProjectBoxes) -> None:
        """Make the integers of ``node`` real, unless boxes alone read them."""
        tensor = node.output
        if all(isinstance(reader, ProjectBoxes) for reader in self._program.nodes if tensor in inputs_of(reader)):
            return
        quantization = self._program.quantization[tensor]
        steps = [self.integers.pointer(tensor), self._pointer(tensor), self._size(tensor)]
        self._call("values", "steps", node, [*steps, quantization.zero_point, literal(quantization.scale)])

    def _reals(self, where: str, name: str, values: npt.ArrayLike) -> None:
        numbers = [literal(value) for value in np.ravel(np.asarray(values, np.float32))]
        self.integers.constant(where, 4 * len(numbers), c_array("float", name, numbers))

    def _layer(self, node: Layer, weight: npt.NDArray[np.generic]) -> list[str]:
        """Write a layer's numbers and return its fields; ``weight`` is ``[..., outputs]``, as its inputs are read."""
        name, where = self._names[node.output], f"{_WHERE.get(type(node), 'linear')} {node.output}"
        outputs, scheme = len(node.weight), self._program.quantization
        self.integers.array(where, "int8_t", f"{name}_weights", np.ravel(weight).tolist())
        assert node.weight_scale is not None
        scale = np.broadcast_to(node.weight_scale.astype(np.float64), (outputs,))
        self._reals(where, f"{name}_scales", scale)
        bias = "NULL"
        if node.bias is not None:
            bias = f"{name}_bias"
            self._reals(where, bias, node.bias * scale * scheme[node.input].scale)
        tensors = [self._pointer(node.input), self._pointer(node.output), f"{name}_weights", f"{name}_scales", bias]
        sizes = [math.prod(self._shapes[node.output][:-1]), weight.size // outputs, outputs]
        return [*tensors, *map(str, sizes), *self._bounds(node.output, relu=node.relu)]

    def _view(self, node: Conv | DepthwiseConv | LocalMaxPool, kernel: Sequence[int]) -> str:
        sizes = [*self._shapes[node.input], *self._shapes[node.output][:2], *kernel, node.stride, *node.padding[:2]]
        return f"{{{', '.join(map(str, sizes))}}}"

    def _on_rows(
        self, function: str, node: Window | MaxPool | SumPool | Scan, *more: str, columns: int | None = None, step: int = 0
    ) -> None:
        *places, width = self._shapes[node.input]
        ends = more or (literal(0), literal(0), literal(0))
        self._call(function, "rows", node, [*self._ends(node), math.prod(places), columns or width, step, *ends])

    def _on_pairs(self, function: str, node: Add | Multiply, bounds: Sequence[str]) -> None:
        tensors, sizes = map(self._pointer, (*node.inputs, node.output)), map(self._size, (node.output, node.inputs[1]))
        self._call(function, "pairs", node, [*tensors, *sizes, *bounds])

    def _copies(self, node: Flatten | Concat) -> None:
        """Write copies of parts beside each other."""
        offset, total = 0, self._shapes[node.output][-1]
        for index, source in enumerate(inputs_of(node)):
            *places, columns = (total,) if isinstance(node, Flatten) else self._shapes[source]
            tensors = [self._pointer(source), f"{self._pointer(node.output)} + {offset}"]
            fields = [*tensors, math.prod(places), columns, total, *[literal(0)] * 3]
            self._call("copy", "rows", node, fields, part=f"_{index}")
            offset += columns

    def _lookup(self, node: Lookup) -> None:
        """Write a function that computes a curve of every value, and its call."""
        index = list(self._names).index(node.output)
        name, lines = f"{self.integers.prefix}_curve_{index}", list[str]()

        def apply(primitive: str, values: Iterable[str | float]) -> str:
            self.integers.calls.append(f"curve: {primitive}")
            lines.append(_primitive(primitive, [literal(v) if isinstance(v, float) else v for v in values], f"v{len(lines)}"))
            return f"v{len(lines) - 1}"

        found = traced(node.curve, VALUE, apply)
        body = "".join(f"        {line}\n" for line in lines)
        bounds = ", ".join(self._bounds(node.output))
        self.integers.constant(
            f"lookup {node.output}",
            0,
            f"US_FUNCTION void {name}(void) {{\n"
            f"    const float *input = {self._pointer(node.input)};\n    float *output = {self._pointer(node.output)};\n"
            f"    for (size_t i = 0; i < {self._size(node.output)}; i++) {{\n        const float {VALUE} = input[i];\n{body}"
            f"        output[i] = us_real_within({found}, {bounds});\n    }}\n}}",
        )
        self.integers.calls.append("curve")
        self.integers.lines.append(f"    {name}();")


def _primitive(primitive: str, values: Sequence[str], name: str) -> str:
    """Return the line that computes ``primitive`` of one or two ``values``."""
    first, second = values[0], values[-1]
    if primitive in _OPERATORS:
        text = f"{first} {_OPERATORS[primitive]} {second}"
    elif primitive in ("max", "min"):
        text = f"{first} {'>' if primitive == 'max' else '<'} {second} ? {first} : {second}"
    elif primitive == "abs":
        text = f"{first} < 0.0f ? -{first} : {first}"
    else:
        text = f"us_real_{primitive}({first})"
    return f"const float {name} = {text};"
