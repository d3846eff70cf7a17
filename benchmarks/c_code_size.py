"""Measure ``src/understudy/export/c_code_bytes.json``: code bytes of every runtime function on a Cortex-M4.

Functions that compute in float are measured with the core's floating-point unit.

Run it after a change to ``device/c/understudy.h`` or ``understudy_float.h``; it needs ``arm-none-eabi-gcc``::

    python benchmarks/c_code_size.py          # writes the table again
    python benchmarks/c_code_size.py --check  # exit code 1 if the stored table differs
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError
from understudy.export.c import CExporter, HeaderExporter
from understudy.export.c_code import OPERATIONS, reachable
from understudy.export.c_float import CFloatExporter
from understudy.program.ops import (
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Image,
    Linear,
    LocalMaxPool,
    MaxPool,
    Node,
    Program,
    ProjectBoxes,
    ProjectText,
    Quantization,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.projections.boxes import BoxProjection
from understudy.projections.log_mel import LogMel, frame_samples
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.testing.scan_programs import scan_program

COMPILER = "arm-none-eabi-gcc"
FLAGS = ("-std=c99", "-Os", "-mcpu=cortex-m4", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
FPU = ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
TABLE = Path(__file__).resolve().parents[1] / "src" / "understudy" / "export" / "c_code_bytes.json"
CURVES = (
    *("x abs", "x exp", "x log", "x tanh", "x sigmoid", "x gelu", "x gelu_tanh", "x silu", "x hardswish", "x hardsigmoid"),
    *("x softplus", "x mish", "x 0.7 elu", "x 0.3 celu", "x selu", "x 0.1 leaky_relu", "x softsign", "x square", "x relu"),
    *("x 0.5 mul", "x 0.5 add", "1 x sub", "2 x abs 1 add div", "x -1 max", "x 3 min", "x -1 1 clamp", "x tanh sigmoid"),
    *("x exp log x add", "x abs log x mul", "x 0.5 mul 2 add x mul", "x 1 add x 2 sub mul x div", "x gelu x tanh add"),
)
"""Every primitive, alone and with others."""
IMAGE_SHARE, SOUND_SHARE = 5, 15
"""Probes that read a text for one that reads an image or a window, or a sound."""
FIRMWARE = """\
#ifdef MODEL
#include "{header}"
float scores[{upper}_CLASSES];
#if defined({upper}_PIXELS)
unsigned char input[{upper}_PIXELS];
#elif defined({upper}_SAMPLES)
int16_t input[{upper}_SAMPLES];
#elif defined({upper}_VALUES)
float input[{upper}_VALUES];
#else
unsigned char input[64];
#endif
int main(void) {{ return {prefix}_predict(input, sizeof input / sizeof input[0], scores); }}
#else
int main(void) {{ return 0; }}
#endif
"""


def link(program: Program, folder: Path, c: HeaderExporter | None = None) -> tuple[int, dict[str, int]]:
    """Return flash bytes that ``program``, named ``probe``, adds to an empty firmware, and the bytes of each symbol.

    ``c`` writes it: CExporter() where none is given.
    """
    writer = CExporter() if c is None else c
    for file, content in writer.export(program, name="probe").items():
        (folder / file).write_bytes(content)
    prefix = f"us_{writer.identifier('probe')}"
    firmware = FIRMWARE.format(header=writer.filename, upper=prefix.upper(), prefix=prefix)
    (folder / "firmware.c").write_text(firmware, encoding="utf-8")
    unit = FPU if isinstance(writer, CFloatExporter) else ()
    flash = []
    for define in ("-DMODEL", "-DEMPTY"):
        command = [COMPILER, *FLAGS, *unit, "--specs=nosys.specs", define, "firmware.c", "-o", "firmware.elf"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        if define == "-DMODEL":
            listing = _output(["arm-none-eabi-nm", "-S", "firmware.elf"], folder)
        text, data = _output(["arm-none-eabi-size", "firmware.elf"], folder).splitlines()[1].split()[:2]
        flash.append(int(text) + int(data))
    fields = [line.split() for line in listing.splitlines()]
    return flash[0] - flash[1], {f[3]: int(f[1], 16) for f in fields if len(f) == 4 and f[3].startswith("us_")}


def _output(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def random_program(seed: int) -> Program:
    """Return one of many programs that together use every runtime function."""
    rng = np.random.default_rng(seed)
    by_word = bool(rng.integers(2))
    kinds = ("character", "word") if by_word else ("character", "word", "skip0", "skip1", "skip2")
    chosen = [kind for kind in kinds if rng.integers(2)] or ["character"]
    projection = TextProjection(
        groups=tuple(FeatureGroup(kind, int(rng.integers(4, 70))) for kind in chosen),
        max_bytes=64,
        max_words=12,
        orders=tuple(range(2, int(rng.integers(3, 7)))),
        pooling="word" if by_word else "utterance",
        values=("count", "ternary", "binary")[rng.integers(3)],
        seed=seed,
    )
    width = int(rng.integers(4, 24))
    nodes: list[Node] = [ProjectText("bytes", "features", projection)]

    def linear(source: str, target: str, inputs: int, outputs: int, *, relu: bool) -> None:
        bits = int(rng.choice([4, 8]))
        per_channel = bool(rng.integers(2))
        weight = rng.integers(-7, 8, (outputs, inputs)).astype(np.int8)
        bias = rng.integers(-99, 99, outputs).astype(np.int32) if rng.integers(2) else None
        scale = rng.uniform(0.001, 0.01, outputs if per_channel else 1).astype(np.float32)
        nodes.append(Linear(source, target, weight, bias, relu, bits, per_channel, scale))

    if by_word:
        inputs, source = projection.features, "features"
        if rng.integers(4) == 0:
            nodes.append(MaxPool("features", "pooled"))  # features that have to be stored
            width = projection.features
        else:
            for layer in range(int(rng.integers(1, 4))):
                linear(source, f"rows{layer}", inputs, width, relu=True)
                inputs, source = width, f"rows{layer}"
                if rng.integers(2):
                    nodes.append(Window(source, f"window{layer}", 3))
                    inputs, source = 3 * width, f"window{layer}"
            nodes += [MaxPool(source, "largest"), SumPool(source, "total", 0.25)]
            repeated = ("largest", "total", "largest") if rng.integers(2) else ("largest", "total")
            nodes.append(Concat(repeated, "pooled"))
            width = inputs * len(repeated)
        source = "pooled"
    else:
        linear("features", "hidden", projection.features, width, relu=True)
        source = "hidden"
    linear(source, "logits", width, 6, relu=False)
    nodes.append(Softmax("logits", "probabilities"))
    scheme = {node.output: Quantization(1.0, 0) if by_word else Quantization(0.5, 0) for node in nodes}
    return Program(tuple(nodes), replace_scheme(nodes, scheme))


def random_image_program(seed: int, *, branched: bool = False) -> Program:
    """Return one of many programs that read an image; ``branched`` ones have what networks of users have."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(5, 12)), int(rng.integers(5, 12)), int(rng.integers(1, 4)))
    return random_places_program(rng, Image("pixels", "image", shape), inputs=shape[2], branched=branched)


def random_window_program(seed: int) -> Program:
    """Return one of many programs that read a window of numbers."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(5, 20)), int(rng.integers(1, 4)))
    offset, multiplier = rng.uniform(1, 2, (2, shape[1])).astype(np.float32)
    return random_places_program(rng, Standardize("values", "image", shape, offset, multiplier), inputs=shape[1])


def random_recurrent_program(seed: int) -> Program:
    """Return one of many programs with recurrences over a window of numbers."""
    rng = np.random.default_rng(seed)
    units = tuple(int(count) for count in rng.integers(2, 10, rng.integers(1, 4)))
    shape = (int(rng.integers(5, 20)), int(rng.integers(1, 4)))
    return scan_program(shape=shape, bits=int(rng.choice([4, 8])), per_channel=bool(rng.integers(2)), units=units, seed=seed)


def random_sound_program(seed: int) -> Program:
    """Return one of many programs that read a sound."""
    sample_rate = (4000, 8000, 16_000)[seed % 3]
    log_mel = LogMel(frame_samples(sample_rate) // 2 * (8 + seed % 5), sample_rate)
    return random_places_program(np.random.default_rng(seed), Sound("samples", "image", log_mel), inputs=1)


def random_places_program(rng: np.random.Generator, source: Node, *, inputs: int, branched: bool = False) -> Program:
    """Return one of many programs with convolutions behind ``source``, which gives ``inputs`` channels."""
    channels = int(rng.integers(2, 10))
    nodes: list[Node] = [source]

    def numbers(*shape: int) -> dict[str, Any]:
        return {
            "weight": rng.integers(-7, 8, shape).astype(np.int8),
            "bias": rng.integers(-99, 99, shape[0]).astype(np.int32) if rng.integers(2) else None,
            "weight_scale": rng.uniform(0.001, 0.01, shape[0] if rng.integers(2) else 1).astype(np.float32),
            "relu": True,
        }

    nodes.append(Conv("image", "stem", stride=2, padding=(1, 1, 1, 1), **numbers(channels, 3, 3, inputs)))
    for block in range(int(rng.integers(0, 3))):
        place = {"stride": 1, "padding": (1, 1, 1, 1)}
        nodes.append(DepthwiseConv(nodes[-1].output, f"spread{block}", **numbers(channels, 3, 3), **place))
        bits = int(rng.choice([4, 8]))
        nodes.append(Linear(nodes[-1].output, f"mixed{block}", bits=bits, **numbers(channels, channels)))
    if branched:
        last = nodes[-1].output
        if rng.integers(2):
            nodes.append(LocalMaxPool(last, "less", (2, 2), 1, (0, 0, 1, 1)))
        for block in range(int(rng.integers(0, 3))):
            nodes.append(Add((last, nodes[-1].output), f"sum{block}", relu=bool(rng.integers(2))))
        for block in range(int(rng.integers(0, 3))):
            nodes.append(Lookup(nodes[-1].output, f"bent{block}", "x hardswish", rng.integers(-128, 128, 256).astype(np.int8)))
        for block in range(int(rng.integers(0, 3))):
            nodes.append(Multiply((last, nodes[-1].output), f"product{block}"))
        if rng.integers(2):
            nodes.append(Concat((last, nodes[-1].output), "beside"))
            channels *= 2
    if rng.integers(3) == 0:
        shape = Program(tuple(nodes)).shapes()[nodes[-1].output]
        boxes = BoxProjection((shape[0], shape[1], shape[2]), tuple(range(int(rng.integers(4, 40)))))
        nodes.append(ProjectBoxes(nodes[-1].output, "signs", boxes))
        nodes.append(Linear("signs", "logits", **(numbers(6, boxes.features) | {"relu": False})))
        nodes.append(Softmax("logits", "probabilities"))
        return Program(tuple(nodes), {n.output: Quantization(0.5, -128) for n in nodes} | _fixed(nodes))
    last = nodes[-1].output
    nodes += [MaxPool(last, "largest"), SumPool(last, "total", 0.25), Concat(("largest", "total"), "pooled")]
    nodes.append(Linear("pooled", "logits", **(numbers(6, 2 * channels) | {"relu": False})))
    nodes.append(Softmax("logits", "probabilities"))
    scheme = {node.output: Quantization(0.5, -128) for node in nodes}
    return Program(tuple(nodes), scheme | _fixed(nodes))


def _fixed(nodes: list[Node]) -> dict[str, Quantization]:
    return {node.output: node.quantization for node in nodes if isinstance(node, Image | Sound | Standardize | ProjectBoxes)}


def curved_program(curve: str) -> Program:
    """Return a program that bends its numbers and nothing else."""
    ones = np.ones(7, np.float32)
    nodes = (
        Standardize("values", "numbers", (7,), ones, ones),
        Lookup("numbers", "logits", curve, np.zeros(256, np.int8)),
        Softmax("logits", "probabilities"),
    )
    return Program(nodes, {"numbers": Standardize.quantization, "logits": Quantization(0.5, 0)})


def replace_scheme(nodes: list[Node], scheme: dict[str, Quantization]) -> dict[str, Quantization]:
    """Return ``scheme`` with the zero point of relu outputs, and of what is read from them, set to -128."""
    out = dict(scheme) | {"features": Quantization(1.0, 0)}
    for node in nodes:
        if isinstance(node, Linear) and node.relu:
            out[node.output] = replace(out[node.output], zero_point=-128)
        elif isinstance(node, Window | MaxPool | SumPool):
            out[node.output] = out[node.input]
        elif isinstance(node, Concat):
            out[node.output] = out[node.inputs[0]]
    return out


FLOAT_KINDS = (
    *(random_program, random_image_program, partial(random_image_program, branched=True)),
    *(random_window_program, random_recurrent_program, random_sound_program),
)


def measure(probes: int) -> dict[str, object]:
    """Return the table for ``probes`` random programs: the largest size of each function, an upper bound for predict."""
    functions: Counter[str] = Counter()
    texts = [_probe(random_program(seed), functions) for seed in range(probes)]
    images = [_probe(random_image_program(seed), functions) for seed in range(probes // IMAGE_SHARE)]
    branched = [_probe(random_image_program(seed, branched=True), functions) for seed in range(probes // IMAGE_SHARE)]
    sounds = [_probe(random_sound_program(seed), functions) for seed in range(probes // SOUND_SHARE)]
    windows = [_probe(random_window_program(seed), functions) for seed in range(probes // IMAGE_SHARE)]
    recurrent = [_probe(random_recurrent_program(seed), functions) for seed in range(probes // SOUND_SHARE)]
    in_float, curved = _float_probes(probes // IMAGE_SHARE, functions)
    expected = set(itertools.chain.from_iterable(OPERATIONS.values()))
    if missing := expected - set(functions):
        raise SystemExit(f"no probe uses {sorted(missing)}; raise --probes")
    fixed, calls = _fit(texts, {})
    begin, more = _fit(images, calls)
    # every program for images reads its pixels once, so that this call takes up what differs in the fixed part
    more["us_pixels"] = max(0, begin - fixed)
    _, added = _fit(branched, calls | more)
    more["us_log_mel"] = max(0, _fit(sounds, calls | more)[0] - fixed)
    more["us_standardize"] = max(0, _fit(windows, calls | more)[0] - fixed)
    _, scanned = _fit(recurrent, calls | more)
    known = calls | more | added | scanned
    real_fixed, real = _fit(in_float, known)
    real["us_real_softmax"] = max(0, real_fixed - fixed)  # of every program once
    of_curve, primitives = _fit(curved, {})
    real["curve"] += of_curve
    return {
        "compiler": _output([COMPILER, "--version"], Path.cwd()).splitlines()[0],
        "flags": list(FLAGS),
        "flags in float": list(FPU),
        "functions": dict(sorted(functions.items())),
        "predict": fixed,
        "calls": dict(sorted((known | real | primitives).items())),
    }


def _probe(program: Program, functions: Counter[str]) -> tuple[Counter[str], int]:
    """Return the calls of one program and the bytes of its predict function; enlarge ``functions`` by what it shows."""
    symbols, calls = _linked(program, functions, CExporter())
    return calls, symbols["us_probe_predict"]


def _linked(program: Program, functions: Counter[str], c: HeaderExporter) -> tuple[dict[str, int], Counter[str]]:
    with tempfile.TemporaryDirectory() as name:
        _, symbols = link(program, Path(name), c)
    calls = c.source(program, "probe").calls
    for function in reachable(calls):
        if function.startswith("us_real_" if isinstance(c, CFloatExporter) else "us_"):
            functions[function] = max(functions[function], -(-symbols[function] // 4) * 4)
    return symbols, Counter(calls)


Probes = list[tuple[Counter[str], int]]


def _float_probes(probes: int, functions: Counter[str]) -> tuple[Probes, Probes]:
    """Return the probes of predict functions in float, and those of curves: what they are made of, and their bytes."""
    made = [kind(seed) for kind in FLOAT_KINDS for seed in range(probes)] + [curved_program(curve) for curve in CURVES]
    predicts, curves = [], []
    for program in made:
        try:
            symbols, calls = _linked(program, functions, CFloatExporter())
        except InputError:  # signs of what layers give
            continue
        parts = Counter({name: count for name, count in calls.items() if name.startswith("curve: ")})
        predicts.append((calls - parts, symbols["us_probe_float_predict"]))
        sizes = [size for name, size in symbols.items() if name.startswith("us_probe_float_curve_")]
        if len(sizes) == 1:
            curves.append((parts, sizes[0]))
    return predicts, curves


def _fit(probes: list[tuple[Counter[str], int]], known: dict[str, int]) -> tuple[int, dict[str, int]]:
    """Return the fixed bytes of predict, and the bytes of each call that is not ``known``."""
    own = {"us_pixels", "us_log_mel", "us_standardize"}
    names = sorted({function for calls, _ in probes for function in calls} - set(known) - own - {"us_real_softmax"})
    matrix = np.array([[1, *(calls[function] for function in names)] for calls, _ in probes], float)
    sizes = np.array([size - sum(calls[f] * known[f] for f in known) for calls, size in probes], float)
    per_call = np.maximum(0, np.ceil(np.linalg.lstsq(matrix, sizes, rcond=None)[0][1:])).astype(int)
    # the fixed part takes up whatever the fit would miss on its worst probe
    fixed = max(int(size) - int(row[1:] @ per_call) for size, row in zip(sizes, matrix, strict=True))
    return -(-fixed // 4) * 4, {function: int(size) for function, size in zip(names, per_call, strict=True)}


def main() -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--probes", type=int, default=150)
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.probes), indent=2) + "\n"
    if arguments.check:
        same = TABLE.exists() and TABLE.read_text(encoding="utf-8") == text
        print("up to date" if same else f"{TABLE.name} differs: run benchmarks/c_code_size.py")
        return 0 if same else 1
    temporary = TABLE.with_suffix(".json.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(TABLE)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
