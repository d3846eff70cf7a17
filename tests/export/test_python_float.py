"""What is particular to Python files in float: no steps behind the source, functions of every curve, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import make_bundle
from floats import check_random_program, curved_program
from image_programs import image_program
from programs import sequence_program
from understudy.errors import InputError
from understudy.export.parity import Verification, verify_file
from understudy.export.protocol import Float32Array, Inputs
from understudy.export.python import PythonExporter
from understudy.export.python_float import PythonFloatExporter
from understudy.export.python_float_runtime import gelu
from understudy.job import job_from_arguments
from understudy.program.ops import Add, Flatten, Image, Linear, Program, ProjectBoxes, Quantization, Softmax, Standardize
from understudy.program.pointwise import Lookup
from understudy.program.real_curves import PRIMITIVES, curve_of
from understudy.projections.boxes import BoxProjection
from understudy.testing import CASES, SCAN_CASES, Case
from understudy.testing.formats import examples, opened
from understudy.testing.image_programs import box_program, gated_program
from understudy.testing.scan_programs import scan_program
from understudy.testing.token_programs import token_program
from understudy.testing.vector_programs import vector_program

EXPORTER = PythonFloatExporter()
REFUSED = ("boxes-behind-convolution", "boxes-many-channels")
HELD = [case for case in (*CASES, *SCAN_CASES) if case.name not in REFUSED and not case.name.startswith("sound-seen")]


class SessionHere:
    """A file in this interpreter: a suite in test_formats.py starts one for each."""

    computes_in = "float32"
    runtime = "this interpreter"

    def __init__(self, path: Path) -> None:
        self.model: dict[str, Any] = {"__name__": "model"}
        exec(compile(path.read_bytes(), str(path), "exec"), self.model)

    def predict(self, inputs: Inputs) -> Float32Array:
        given: Callable[[Inputs], Any] = (lambda x: x) if "SHAPE" in self.model else (lambda x: bytes(x.tolist()).rstrip(b"\0"))
        return np.array([self.model["probabilities"](given(row)) for row in inputs])


class ExporterHere(PythonFloatExporter):
    def open(self, folder: Path, *, name: str) -> Any:  # noqa: ARG002 - the file's name is fixed
        return SessionHere(folder / self.filename)


def content_of(program: Program) -> str:
    return EXPORTER.export(program, name="x")["model_float.py"].decode()


def checked(program: Program, folder: Path) -> Verification:
    """Return how the file compares, of which every tensor is float32 and no line is longer than an editor shows."""
    assert max(map(len, content_of(program).splitlines())) <= 160
    session = opened(ExporterHere(), program, folder)
    softmax, kinds = session.model["softmax"], set()
    session.model["softmax"] = lambda logits, scale: kinds.add(logits.dtype) or softmax(logits, scale)
    found = verify_file(program, session, examples(program)[:24])
    assert (found.verified, found.reason) == (True, None)
    assert found.max_probability_difference < 1e-6
    assert kinds == {np.dtype(np.float32)}, "a wider tensor makes all behind it wider"
    return found


@pytest.mark.parametrize("case", HELD, ids=lambda case: case.name)
def test_every_node_answers_as_in_real_numbers(case: Case, tmp_path: Path) -> None:
    checked(case.program, tmp_path)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_programs_answer_as_in_real_numbers(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_random_program(ExporterHere(), seed, tmp_path_factory.mktemp("float"))


@pytest.mark.parametrize(
    ("program", "rounded"),
    [(sequence_program(bits=4), 0), (image_program(), 0), (gated_program(), 0), (scan_program(), 1), (box_program(), 0)],
)
def test_nothing_is_rounded_behind_the_source(program: Program, rounded: int) -> None:
    """What is standardized is rounded once."""
    content = content_of(program)
    assert content.count("np.rint(") == rounded
    assert not re.findall(r"np\.(floor|ceil|round|trunc)|def (requantize|table)\(", content)


def test_every_primitive_of_curves_has_an_expression(tmp_path: Path) -> None:
    curves = ("x gelu", "x exp log x abs add", "1 x abs 1 add div", "0.25 x sub x mul", "x sigmoid", "-1 x max 3 min", "x tanh")
    assert set(PRIMITIVES) <= {word for curve in curves for word in curve.split()}
    ones = np.ones(7, np.float32)
    scheme = {"numbers": Standardize.quantization, "logits": Quantization(0.0625, 0)}
    for curve in curves:
        nodes = (
            Standardize("given", "numbers", (7,), 0 * ones, ones),
            Lookup("numbers", "logits", curve),
            Softmax("logits", "probabilities"),
        )
        assert checked(Program(nodes, scheme), tmp_path).probabilities.std(axis=0).min() > 0.01


@pytest.mark.parametrize("word", ["exp", "mish", "gelu_tanh", "selu"])
def test_words_that_are_put_together_share_their_parts(word: str, tmp_path: Path) -> None:
    program = curved_program(word)
    checked(program, tmp_path)
    lines = re.findall(r"^ +x\d+ = (.*)$", content_of(program), re.MULTILINE)
    assert len(set(lines)) == len(lines)


def test_gelu_is_near_enough() -> None:
    x = np.linspace(-15, 15, 3001)
    np.testing.assert_allclose(gelu(x.astype(np.float32)), curve_of("x gelu", x), atol=1e-6)


def test_a_source_is_read_by_boxes_and_in_real_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    projection = BoxProjection((4, 4, 3), tuple(range(16)))
    signs, flat = (
        Linear(
            read, made, rng.integers(-127, 128, (7, count)).astype(np.int8), None, False, weight_scale=np.full(1, scale, "f4")
        )
        for read, made, count, scale in (("signs", "one", 16, 0.01), ("flat", "other", 48, 0.005))
    )
    nodes = (
        Image("pixels", "image", (4, 4, 3)),
        ProjectBoxes("image", "signs", projection),
        Flatten("image", "flat"),
        signs,
        flat,
        Add(("one", "other"), "logits", relu=False),
        Softmax("logits", "probabilities"),
    )
    scheme = {"image": Image.quantization, "signs": ProjectBoxes.quantization, "flat": Image.quantization}
    program = Program(nodes, scheme | dict.fromkeys(("one", "other", "logits"), Quantization(float(np.float32(0.04)), 3)))
    assert checked(program, tmp_path).probabilities.std(axis=0).min() > 0.01


def test_a_weight_takes_a_byte_whatever_its_bits() -> None:
    for program in (image_program(), image_program(bits=4, per_channel=False)):
        rows = dict(EXPORTER.byte_table(program, name="x"))
        for layer in program.layers:
            assert layer.bias is not None
            assert layer.weight_scale is not None
            numbers = layer.weight.size + 4 * (layer.bias.size + layer.weight_scale.size)
            assert 0 <= rows[layer.output] - 1.25 * numbers <= 60 + numbers / 80


def test_what_a_training_decides_changes_no_size() -> None:
    for program in (sequence_program(), image_program(), gated_program(), vector_program(), scan_program()):
        scheme = {name: Quantization(value.scale * 1.1, value.zero_point) for name, value in program.quantization.items()}
        scheme[program.logits] = Quantization(0.1, 127)
        assert EXPORTER.byte_table(Program(program.nodes, scheme), name="x") == EXPORTER.byte_table(program, name="x")


def test_what_it_cannot_hold_is_refused() -> None:
    for program, said in (
        (box_program(channels=6), "received tensor='signs' of 'stem'.*; ask for --format python$"),
        (token_program(), "holds no float islands: received a float island, layer norm in blocks.0.norm1; ask"),
        (Program(image_program().nodes), "received quantization={}; quantize the program first"),
    ):
        for refuse in (EXPORTER.export, EXPORTER.byte_table):
            with pytest.raises(InputError, match=said) as caught:
                refuse(program, name="x")
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="received format='python_float' for student='projection_cnn'; ask for python, or"):
        job_from_arguments("data", budgets=("16KB",), formats=("c", "python_float"), student="projection_cnn")
    assert job_from_arguments("data", budgets=("16KB",), formats=("python_float",), student="projection_rnn")


def test_another_files_answers_are_found(tmp_path: Path) -> None:
    """A float file of other weights, or one with integers, stands in a bundle: the check that evaluate makes says so."""
    bundle = make_bundle(tmp_path / "b", formats=("python_float",))
    for other in (
        EXPORTER.export(sequence_program(seed=1), name="x")["model_float.py"],
        PythonExporter().export(sequence_program(), name="x")["model.py"],
    ):
        (tmp_path / "b" / "model_float.py").write_bytes(other)
        found = bundle.verify("python_float")
        assert not found.verified
        assert found.reason is not None
        assert "more than 0.0001" in found.reason
