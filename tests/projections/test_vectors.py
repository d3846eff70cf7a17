"""The package reproduces every golden vector of ``spec/vectors/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.projections import boxes, dense, text
from understudy.projections.mixer import digits, mix

REPOSITORY = Path(__file__).resolve().parents[2]


def load(name: str) -> Any:
    return json.loads((REPOSITORY / "spec" / "vectors" / name).read_text(encoding="ascii"))


TEXT = load("text.json")
DENSE = load("dense.json")
BOXES = load("boxes.json")
TEXTS = [bytes.fromhex(row["bytes"]) for row in TEXT["texts"]]


def text_projection(settings: dict[str, Any]) -> text.TextProjection:
    groups = tuple(text.FeatureGroup(kind, features) for kind, features in settings["groups"])
    return text.TextProjection(**settings | {"groups": groups, "orders": tuple(settings["orders"])})


def dense_projection(settings: dict[str, Any], *, inputs: int) -> dense.DenseProjection:
    return dense.DenseProjection(inputs=inputs, **settings)


def test_mixer() -> None:
    cases = load("mixer.json")
    assert len(cases) > 300
    for case in cases:
        assert int(mix(case["seed"], case["stream"], np.asarray([case["index"]]))[0]) == case["mix"], case


def test_coefficients() -> None:
    for case in load("mixer.json"):
        if case["index"] < 2**16:
            assert digits(case["seed"], case["stream"], case["index"] + 1)[-1] == case["coefficient"], case


def test_codes() -> None:
    assert text.BYTE_CODES.tobytes().hex() == TEXT["codes"]


def test_tokens() -> None:
    byte_ids = text.encode(TEXTS, max_bytes=TEXT["limits"]["max_bytes"])
    tokens = text.tokenize(byte_ids, max_words=TEXT["limits"]["max_words"])
    assert [[token.hex() for token in row] for row in tokens] == [row["tokens"] for row in TEXT["texts"]]


def test_word_digests() -> None:
    projection = text.TextProjection((text.FeatureGroup("word", 1),), seed=TEXT["digest_seed"])
    for row in TEXT["texts"]:
        found = text.word_digests(projection, [bytes.fromhex(token) for token in row["tokens"]])
        assert [digest.astype(np.uint8).tobytes().hex() for digest in found] == row["digests"]


@pytest.mark.parametrize("number", range(len(TEXT["projections"])))
def test_text_features(number: int) -> None:
    case = TEXT["projections"][number]
    projection = text_projection(case["settings"])
    found = text.project(projection, text.encode(TEXTS, max_bytes=projection.max_bytes))
    assert [row.tobytes().hex() for row in found] == case["features"]


@pytest.mark.parametrize(
    "case", DENSE["projections"], ids=lambda case: f"{case['settings']['vectors']}-{case['settings']['seed']}"
)
def test_dense_coefficients(case: dict[str, Any]) -> None:
    rows = case["settings"]["functions"] * case["settings"]["bits"]
    flat = dense.coefficients(dense_projection(case["settings"], inputs=64)).ravel()
    assert len(flat) == rows * 64
    assert flat[:64].tolist() == case["coefficients"]


@pytest.mark.parametrize("number", range(len(DENSE["projections"])))
def test_dense_bits(number: int) -> None:
    case = DENSE["projections"][number]
    for x, bits in zip(DENSE["inputs"], case["bits"], strict=True):
        projection = dense_projection(case["settings"], inputs=len(x))
        found = dense.project(projection, np.asarray([x], np.int32))
        assert "".join(map(str, found[0])) == bits


@pytest.mark.parametrize("case", BOXES, ids=lambda case: str(case["shape"]))
def test_boxes(case: dict[str, Any]) -> None:
    found = boxes.boxes(boxes.BoxProjection(tuple(case["shape"]), tuple(case["rows"]), case["seed"]))
    numbers = np.stack([found.top, found.left, found.height, found.width, found.channel], axis=2)
    assert numbers.tolist() == case["boxes"]


@pytest.mark.parametrize("case", BOXES, ids=lambda case: str(case["shape"]))
def test_box_signs(case: dict[str, Any]) -> None:
    projection = boxes.BoxProjection(tuple(case["shape"]), tuple(case["rows"]), case["seed"])
    index = np.arange(np.prod(case["shape"]))
    mixed, small = (mix(case["seed"], stream, index).astype(np.int64) for stream in case["input_streams"][2:])
    inputs = np.stack([0 * index, 0 * index + 255, mixed % 256, small % 3 - 1]).reshape(4, *case["shape"])
    assert [row.tobytes().hex() for row in boxes.project(projection, inputs)] == case["signs"]
