"""Properties of the text projection that hold for any bytes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import InputError
from understudy.projections.text import (
    BYTE_CODES,
    FeatureGroup,
    TextProjection,
    character_sums,
    encode,
    escape_surrogates,
    project,
    second_level,
    tokenize,
    word_digests,
)

ANY_BYTES = st.binary(max_size=80) | st.text("ab1,. é’…👍\u00a0", max_size=30).map(str.encode)
WORDS = st.lists(st.text("abcdefgh01", min_size=1, max_size=6), min_size=1, max_size=8)
SEQUENCE = TextProjection(
    (FeatureGroup("character", 6), FeatureGroup("word", 6)), max_bytes=64, max_words=6, orders=(2, 4), seed=3
)
UTTERANCE = TextProjection(
    (FeatureGroup("character", 6), FeatureGroup("word", 6)),
    max_bytes=64,
    max_words=20,
    orders=(1, 3),
    pooling="utterance",
    seed=5,
)
PAIRS = TextProjection(
    (FeatureGroup("skip0", 8), FeatureGroup("skip1", 8), FeatureGroup("skip2", 8)),
    max_bytes=64,
    max_words=20,
    pooling="utterance",
    seed=6,
)


def features(projection: TextProjection, *texts: str | bytes) -> np.ndarray:
    return project(projection, encode(texts, max_bytes=projection.max_bytes))


@given(ANY_BYTES)
def test_encode_cuts_pads_and_sends_nul_as_space(data: bytes) -> None:
    row = encode([data], max_bytes=64)[0]
    kept = data[:64].replace(b"\0", b" ")
    assert row.dtype == np.int32
    assert row.tolist() == [*kept, *[0] * (64 - len(kept))]


@given(ANY_BYTES)
def test_any_bytes_survive_a_detour_over_str(data: bytes) -> None:
    assert np.array_equal(encode([data.decode("utf-8", "surrogateescape")], max_bytes=64), encode([data], max_bytes=64))


def test_surrogates_that_bytes_cannot_hold_become_three_bytes() -> None:
    assert escape_surrogates("a\udcffé") == "a\udcffé"
    assert escape_surrogates("\ud800\udfff").encode("utf-8", "surrogateescape") == b"\xed\xa0\x80\xed\xbf\xbf"
    assert np.array_equal(encode(["\ud800 \udcff"], max_bytes=8), encode([b"\xed\xa0\x80 \xff"], max_bytes=8))


@pytest.mark.parametrize("text", [7, None, ["a", "b"]])
def test_what_is_no_text_is_named(text: object) -> None:
    with pytest.raises(InputError, match=r"each text is a str or bytes: received text=.* of type=.*; convert it"):
        encode(["a text", text], max_bytes=8)  # type: ignore[list-item] - a mistake that Python's types allow


@given(ANY_BYTES)
def test_any_bytes_have_features_of_fixed_shape_and_range(data: bytes) -> None:
    found = features(SEQUENCE, data)
    assert found.shape == (1, 6, 12)
    assert found.dtype == np.int8
    assert np.abs(found[..., 6:]).max() <= 1


@given(ANY_BYTES)
def test_tokens_are_the_codes_without_separators(data: bytes) -> None:
    codes = BYTE_CODES[np.frombuffer(data[:64], np.uint8)].tobytes()
    tokens = tokenize(encode([data], max_bytes=64), max_words=64)[0]
    assert b"".join(tokens) == codes.replace(b"\0", b"")
    parts = re.split(rb"(?s)(?<=\xe2..)", data[:64])  # behind a symbol of three bytes a token begins
    ends = np.cumsum([len(part) for part in parts])
    pieces = [codes[end - len(part) : end] for part, end in zip(parts, ends, strict=True)]
    assert tokens == [token for piece in pieces for token in re.findall(rb"[\x01-\x20]|[\x21-\xff]+", piece)]


@given(ANY_BYTES)
def test_ascii_case_is_folded(data: bytes) -> None:
    assert np.array_equal(features(SEQUENCE, data), features(SEQUENCE, data.lower()))
    assert np.array_equal(features(SEQUENCE, data.upper()), features(SEQUENCE, data.lower()))


@given(ANY_BYTES)
def test_what_follows_the_limit_changes_nothing(data: bytes) -> None:
    start = data[:64].ljust(64, b"x")
    assert np.array_equal(features(SEQUENCE, start), features(SEQUENCE, start + data))


@given(ANY_BYTES, st.binary(min_size=1, max_size=80))
def test_a_text_does_not_depend_on_its_batch(data: bytes, other: bytes) -> None:
    assert np.array_equal(features(SEQUENCE, data, other)[0], features(SEQUENCE, data)[0])


@given(WORDS, st.randoms(use_true_random=False))
def test_token_order_does_not_matter_to_pooled_characters_and_words(words: list[str], random: object) -> None:
    shuffled = sorted(words, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert np.array_equal(features(UTTERANCE, " ".join(words)), features(UTTERANCE, " ".join(shuffled)))


@given(WORDS)
def test_white_space_only_separates(words: list[str]) -> None:
    plain, wide = " ".join(words), "\t" + "\n\r".join(words[:8])
    assert tokenize(encode([plain], max_bytes=128), max_words=8) == tokenize(encode([wide], max_bytes=128), max_words=8)


@given(WORDS)
def test_pooled_features_are_the_sum_of_the_rows(words: list[str]) -> None:
    rows = TextProjection(UTTERANCE.groups, max_bytes=64, max_words=20, orders=UTTERANCE.orders, seed=UTTERANCE.seed)
    total = features(rows, " ".join(words)).astype(int).sum(axis=1)
    assert np.array_equal(features(UTTERANCE, " ".join(words)), np.clip(total, -128, 127))


def test_token_order_matters_to_pairs() -> None:
    assert not np.array_equal(features(PAIRS, "one two three four"), features(PAIRS, "four three two one"))


@given(st.sampled_from(["", "one", "..."[:1]]))
def test_a_text_without_pairs_has_no_pair_features(text: str) -> None:
    assert not features(PAIRS, text).any()


@given(WORDS)
def test_the_three_kinds_of_values_agree(words: list[str]) -> None:
    settings = {"groups": SEQUENCE.groups, "max_bytes": 64, "max_words": 6, "orders": (2, 4), "seed": 3}
    count, ternary, binary = (
        features(TextProjection(**settings, values=values), " ".join(words)) for values in ("count", "ternary", "binary")
    )
    assert np.array_equal(ternary, np.sign(count))
    assert np.array_equal(binary, np.where(count >= 0, 1, -1))


def test_a_projection_follows_from_its_seed() -> None:
    other = TextProjection(SEQUENCE.groups, max_bytes=64, max_words=6, orders=(2, 4), seed=4)
    assert not np.array_equal(features(SEQUENCE, "some words here"), features(other, "some words here"))


def test_a_word_is_nearer_to_its_misspelling_than_to_another_word() -> None:
    projection = TextProjection((FeatureGroup("character", 512),), max_words=1, seed=1)
    word, misspelt, other = features(projection, "meeting", "meetting", "bananas").astype(float)[:, 0]
    similar = word @ misspelt / np.linalg.norm(word) / np.linalg.norm(misspelt)
    different = word @ other / np.linalg.norm(word) / np.linalg.norm(other)
    assert similar > 0.5
    assert abs(different) < 0.2


def test_signs_are_balanced_and_uncorrelated(rng: np.random.Generator) -> None:
    projection = TextProjection((FeatureGroup("word", 64),), max_words=1, seed=2)
    letters = rng.integers(ord("a"), ord("z") + 1, (4000, 8)).astype(np.uint8)
    signs = features(projection, *(row.tobytes() for row in letters))[:, 0].astype(float)
    assert np.abs(signs.mean(axis=0)).max() < 0.15
    correlation = signs.T @ signs / len(signs) - np.eye(64)
    assert np.sqrt((correlation**2).mean()) < 0.06


@pytest.mark.parametrize(("word", "other"), [("angle", "angel"), ("80908", "80980"), ("class", "claim"), ("active", "actors")])
def test_different_words_have_different_digests(word: str, other: str) -> None:
    tokens = [tokenize(encode([text], max_bytes=16), max_words=1)[0][0] for text in (word, other)]
    digests = word_digests(SEQUENCE, tokens)
    assert not np.array_equal(digests[0], digests[1])


def test_pairs_need_utterance_pooling() -> None:
    projection = TextProjection((FeatureGroup("skip0", 4),), pooling="word")
    with pytest.raises(ValueError, match="skip groups need utterance pooling: received pooling='word'"):
        features(projection, "two words")


def test_no_text_at_all() -> None:
    assert features(SEQUENCE).shape == (0, 6, 12)
    assert features(PAIRS).shape == (0, 24)
    assert character_sums(SEQUENCE, []).shape == (0, 6)
    assert word_digests(SEQUENCE, []).shape == (0, 8)


def test_sums_beyond_int8_are_clamped() -> None:
    projection = TextProjection(
        (FeatureGroup("character", 32),), max_bytes=250, max_words=1, pooling="utterance", orders=(1,), seed=1
    )
    found = features(projection, "a" * 250)
    assert {int(found.min()), int(found.max())} == {-128, 127}


def test_second_level_shapes() -> None:
    assert second_level(SEQUENCE, FeatureGroup("character", 5)).shape == (5, 9)
    assert second_level(SEQUENCE, FeatureGroup("skip2", 5)).shape == (5, 17)
