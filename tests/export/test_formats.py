"""What every graph format promises: the hash to the bit, the integer logits to the bit, bytes that add up, refused damage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from c_programs import crooked_program, random_program
from programs import SEQUENCE, TEXTS, UTTERANCE, sequence_program, utterance_program
from understudy.errors import BundleError
from understudy.export.parity import verify_file
from understudy.export.protocol import Exporter, Session
from understudy.export.registry import exporter
from understudy.program.ops import Linear, Program, ProjectText, Quantization, Softmax, Window
from understudy.projections.text import FeatureGroup, TextProjection, encode

GRAPH_FORMATS = ("onnx", "litert")


def texts_as_bytes(max_bytes: int, *, count: int = 30) -> np.ndarray:
    """Return odd texts, random bytes, and texts full of short tokens, int32 ``[batch, max_bytes]``."""
    rng = np.random.default_rng(max_bytes)
    alphabet = np.frombuffer(b"abD~ C,.  1\xc3\x7f", np.uint8)
    return np.concatenate(
        [
            encode(TEXTS, max_bytes=max_bytes),
            rng.integers(0, 256, (count, max_bytes)).astype(np.int32),
            rng.choice(alphabet, (count, max_bytes)).astype(np.int32),
        ]
    )


def opened(format_name: str, program: Program, folder: Path) -> Session:
    found = exporter(format_name)
    for filename, content in found.export(program, name="test").items():
        (folder / filename).write_bytes(content)
    return found.open(folder, name="test")


def feature_program(projection: TextProjection) -> Program:
    """Return a program whose logits are the features themselves: unit weights, equal scales."""
    count = projection.features
    identity = np.eye(count, dtype=np.int8)
    linear = Linear("features", "logits", identity, np.zeros(count, np.int32), False, 8, False, np.ones(1, np.float32))
    nodes = (ProjectText("bytes", "features", projection), linear, Softmax("logits", "probabilities"))
    return Program(nodes, {"features": Quantization(1.0, 0), "logits": Quantization(1.0, 0)})


@dataclass(frozen=True)
class Case:
    name: str
    program: Program


def cases() -> list[Case]:
    found = [Case(f"crooked-{bits}", crooked_program(bits=bits)) for bits in (8, 4)]
    for bits in (8, 4):
        for per_channel in (True, False):
            how = f"{bits}-{'channel' if per_channel else 'tensor'}"
            found.append(Case(f"sequence-{how}", sequence_program(bits=bits, per_channel=per_channel)))
            found.append(Case(f"utterance-{how}", utterance_program(bits=bits, per_channel=per_channel)))
    return [*found, *(Case(f"random-{seed}", random_program(seed)) for seed in range(12))]


CASES = cases()


@pytest.fixture(params=GRAPH_FORMATS)
def format_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def found(format_name: str) -> Exporter:
    return exporter(format_name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_integer_logits_equal_the_interpreters(case: Case, format_name: str, tmp_path: Path) -> None:
    byte_ids = texts_as_bytes(case.program.projection.max_bytes)
    result = verify_file(case.program, opened(format_name, case.program, tmp_path), byte_ids)
    assert result.reason is None
    assert result.agreement == 1.0
    assert result.max_probability_difference < 1e-6


@pytest.mark.parametrize("values", ["count", "ternary", "binary"])
@pytest.mark.parametrize(
    ("kinds", "orders"),
    [
        (("character",), (1,)),
        (("character",), (8, 2)),
        (("word",), (2, 3)),
        (("skip2",), (2,)),
        (("skip0", "character", "skip1", "word"), (1, 5)),
    ],
    ids=["bytes", "wide", "words", "pairs", "all"],
)
def test_summed_features_equal_the_hosts(
    kinds: tuple[Literal["character", "word", "skip0", "skip1", "skip2"], ...],
    orders: tuple[int, ...],
    values: Literal["count", "ternary", "binary"],
    format_name: str,
    tmp_path: Path,
) -> None:
    groups = tuple(FeatureGroup(kind, 6) for kind in kinds)
    projection = TextProjection(groups, max_bytes=70, max_words=9, orders=orders, pooling="utterance", values=values, seed=3)
    program = feature_program(projection)
    result = verify_file(program, opened(format_name, program, tmp_path), texts_as_bytes(70))
    # sums over a text may differ so much that float32 probabilities cannot show all of them; the small ones are compared
    assert result.reason is None


@pytest.mark.parametrize(
    ("max_bytes", "max_words"), [(1, 1), (2, 3), (7, 7), (33, 2)], ids=["one byte", "two", "seven", "few words"]
)
def test_short_texts_and_few_words(max_bytes: int, max_words: int, format_name: str, tmp_path: Path) -> None:
    program = sequence_program()
    projection = replace(SEQUENCE, max_bytes=max_bytes, max_words=max_words)
    program = replace(program, nodes=(ProjectText("bytes", "features", projection), *program.nodes[1:]))
    result = verify_file(program, opened(format_name, program, tmp_path), texts_as_bytes(max_bytes))
    assert result.reason is None
    assert result.agreement == 1.0


def test_a_window_that_is_read_twice(format_name: str, tmp_path: Path) -> None:
    """Layers of different bits on one window, and a pool on it."""
    wide, narrow = sequence_program(bits=8), sequence_program(bits=4, seed=1)
    nodes = list(wide.nodes)
    at = next(i for i, node in enumerate(nodes) if isinstance(node, Window))
    other = next(node for node in narrow.linears if node.input == nodes[at].output)
    nodes.insert(at + 1, replace(other, output="context4"))
    nodes[at + 3] = replace(nodes[at + 3], input="context4")
    program = Program(tuple(nodes), {**wide.quantization, "context4": wide.quantization["context"]})
    result = verify_file(program, opened(format_name, program, tmp_path), texts_as_bytes(64))
    assert result.reason is None


@pytest.mark.parametrize("case", CASES[:10], ids=lambda case: case.name)
def test_bytes_are_a_function_of_the_program_and_the_table_adds_up(case: Case, found: Exporter) -> None:
    files = found.export(case.program, name="one")
    assert list(files) == [found.filename]
    assert files == found.export(case.program, name="another")
    rows = dict(found.byte_table(case.program, name="one"))
    assert sum(rows.values()) == len(files[found.filename])
    assert all(size > 0 for size in rows.values())
    assert list(rows)[:2] == ["projection constants", "projection tables"]
    for linear in case.program.linears:
        # a file holds at least the weights, and what stands beside them is their bias and their scales
        packed = -(-linear.weight.size // 2) if linear.bits == 4 and linear.weight.shape[1] % 2 == 0 else linear.weight.size
        assert rows[linear.output] >= packed // (2 if linear.bits == 4 else 1)
        assert rows[linear.output] <= linear.weight.size + 40 * len(linear.weight) + 64


def test_four_bits_save_half_of_the_weights(found: Exporter) -> None:
    eight, four = (dict(found.byte_table(sequence_program(bits=bits, width=32), name="x")) for bits in (8, 4))
    weights = next(linear for linear in sequence_program(width=32).linears if linear.output == "context").weight.size
    assert eight["context"] - four["context"] >= 0.45 * weights


@pytest.mark.parametrize(
    ("features", "orders"), [(128, (2, 3, 4, 5, 6)), (256, (2, 3, 4, 5, 6)), (256, (1, 2, 3, 4, 5, 6, 7, 8))]
)
def test_projection_constants_are_at_most_two_kilobytes(features: int, orders: tuple[int, ...], found: Exporter) -> None:
    projection = TextProjection((FeatureGroup("character", features),), orders=orders, pooling="utterance")
    linear = Linear("features", "logits", np.ones((2, features), np.int8), None, False, 8, False, np.ones(1, np.float32))
    nodes = (ProjectText("bytes", "features", projection), linear, Softmax("logits", "probabilities"))
    program = Program(nodes, {"features": Quantization(1.0, 0), "logits": Quantization(1.0, 0)})
    assert dict(found.byte_table(program, name="x"))["projection constants"] <= 2048


def test_names_and_shapes_of_the_interface(format_name: str, tmp_path: Path) -> None:
    program = utterance_program()
    session = opened(format_name, program, tmp_path)
    answer = session.predict(encode(["one", "two", "three"], max_bytes=UTTERANCE.max_bytes))
    assert answer.dtype == np.float32
    assert answer.shape == (3, 7)
    assert np.allclose(answer.sum(axis=1), 1)
    assert session.predict(np.zeros((0, 64), np.int32)).shape == (0, 7)
    assert session.runtime.split()[0] == {"onnx": "onnxruntime", "litert": "ai-edge-litert"}[format_name]


def test_damaged_files_are_refused(format_name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = exporter(format_name)
    content = found.export(sequence_program(), name="x")[found.filename]
    rng = np.random.default_rng(0)
    cuts = [content[:size] for size in (0, 1, 5, 12, *rng.integers(20, len(content) - 1, 20))]
    for damaged in (*cuts, b"not a model", bytes(rng.integers(0, 256, 3000, dtype=np.uint8))):
        (tmp_path / found.filename).write_bytes(damaged)
        with pytest.raises(BundleError, match="received path=") as caught:
            found.open(tmp_path, name="x")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_missing_file_is_named(found: Exporter, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=found.filename):
        found.open(tmp_path, name="x")
