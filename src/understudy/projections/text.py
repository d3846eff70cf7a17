"""Text to int8 features by hashing, as ``spec/projection.md`` section 2 fixes it.

Bytes are folded to codes, codes are split into tokens, and every token gives a row of features: sums of +1 and -1 that
follow from a seed. This file is the host implementation; exported files compute the same with their own operators.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.projections.mixer import digits

Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Token = bytes
"""The codes of one token, one byte each."""

DIGITS = 8
"""Base-16 digits between the two hash levels."""
WORD_ORDER = 4
"""Window width of the hash that is summed into a word's digest."""
LAST_PUNCTUATION_CODE = 32
SYMBOL_LEADS = (0xC2, 0xE2, 0xF0)
"""First bytes of UTF-8's symbols, of two, three and four bytes: hardly a letter of today's languages begins with them."""
SYMBOL_OF_THREE = 0xE2
"""The one among them whose end ends a token too: quotes and apostrophes stand before letters."""

KINDS_OF_TEXTS = "OSTU"
"""Kinds of arrays that hold texts: a column of a data frame is one of objects."""
_SHOWN = 80
# surrogates other than the 128 that stand for undecodable bytes: JSON and Python can spell them, UTF-8 cannot hold them
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_CHARACTER_STREAM = 0
_WORD_STREAM = 32
_SECOND_LEVEL = {"character": 64, "word": 65, "skip0": 66, "skip1": 67, "skip2": 68}

GroupKind = Literal["character", "word", "skip0", "skip1", "skip2"]


@dataclass(frozen=True)
class FeatureGroup:
    """A partition of the features that one feature type has for itself (SGNN++, section 3: context partitioning).

    ``character``: n-grams inside a token. ``word``: whole tokens. ``skipK``: pairs of tokens with K tokens between.
    """

    kind: GroupKind
    features: int


@dataclass(frozen=True)
class TextProjection:
    """Everything that fixes a text projection; the same value gives the same features on every device.

    Attributes:
        groups: feature types and how many features each has; their concatenation has ``features`` columns.
        max_bytes: L, bytes of text that are read.
        max_words: W, tokens that are read.
        orders: character n-gram widths, each in 1..8.
        pooling: ``word`` keeps one row for each token, ``utterance`` adds the rows up.
        values: ``count`` clamps sums to int8, ``ternary`` to -1, 0, 1, ``binary`` maps z >= 0 to 1 and the rest to -1.
        seed: unsigned 32-bit seed of all coefficients.
    """

    groups: tuple[FeatureGroup, ...]
    max_bytes: int = 128
    max_words: int = 32
    orders: tuple[int, ...] = (2, 3, 4, 5, 6)
    pooling: Literal["word", "utterance"] = "word"
    values: Literal["count", "ternary", "binary"] = "count"
    seed: int = 1

    @property
    def features(self) -> int:
        """P, the number of features."""
        return sum(group.features for group in self.groups)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """``(W, P)`` with word pooling, ``(P,)`` with utterance pooling."""
        return (self.max_words, self.features) if self.pooling == "word" else (self.features,)


def byte_codes() -> npt.NDArray[np.uint8]:
    """Return the table of 256 codes: 0 separates, 1..32 is punctuation, the rest belongs to words and symbols; spec 2.1."""
    table = np.zeros(256, np.uint8)
    punctuation = [*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)]
    table[punctuation] = np.arange(1, 33)
    table[48:58] = np.arange(33, 43)
    table[97:123] = np.arange(43, 69)
    table[65:91] = table[97:123]
    table[128:] = np.arange(128, 256)
    table[list(SYMBOL_LEADS)] = 0
    return table


BYTE_CODES = byte_codes()


def need_list(texts: object) -> None:
    """Raise ``InputError`` where ``texts`` is one text in place of a list: its characters would be taken as texts."""
    if isinstance(texts, (str, bytes, bytearray)):
        raise InputError(
            f"texts come as a list, also a single one: received texts={texts[:_SHOWN]!r}; put it into brackets: [text]"
        )


def need_texts(texts: object) -> None:
    """Raise ``InputError`` unless ``texts`` is a list, an array or a column: what is read in parts, in its order."""
    need_list(texts)
    is_row = isinstance(texts, Sequence) or all(hasattr(texts, each) for each in ("__len__", "__getitem__", "ndim"))
    if not is_row or getattr(texts, "ndim", 1) != 1:
        step = "give one of its columns" if hasattr(texts, "columns") else "make it a list: list(texts)"
        raise InputError(f"texts come as a list: received type={type(texts).__name__!r}; {step}")


def encode(texts: Iterable[str | bytes], *, max_bytes: int) -> Int32Array:
    """Return the input tensor of every exported file: int32 ``[batch, max_bytes]``.

    UTF-8 bytes, cut or zero-padded to ``max_bytes``; a NUL in the text is sent as a space.

    Raises:
        InputError: something else than texts.
    """
    rows = [_as_bytes(text)[:max_bytes] for text in texts]
    out = np.zeros((len(rows), max_bytes), np.int32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = np.frombuffer(row.replace(b"\0", b" "), np.uint8)
    return out


def escape_surrogates(text: str) -> str:
    """Return ``text`` such that UTF-8 with ``surrogateescape`` can hold it: lone surrogates become three bytes."""
    return _LONE_SURROGATE.sub(lambda found: found[0].encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape"), text)


def _as_bytes(text: object) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise InputError(
            f"each text is a str or bytes: received text={repr(text)[:_SHOWN]} of type={type(text).__name__!r}; convert it, or "
            "leave it out"
        )
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return escape_surrogates(text).encode("utf-8", "surrogateescape")


def tokenize(byte_ids: Int32Array, *, max_words: int) -> list[list[Token]]:
    """Return the tokens of each row of ``byte_ids`` ``[batch, max_bytes]``, at most ``max_words``; spec 2.2."""
    out: list[list[Token]] = []
    for content, codes in zip(byte_ids.tolist(), BYTE_CODES[byte_ids].tolist(), strict=True):
        tokens: list[Token] = []
        word = bytearray()
        for at, code in enumerate(codes):
            if word and at >= 3 and content[at - 3] == SYMBOL_OF_THREE:
                tokens.append(bytes(word))
                word.clear()
            if code > LAST_PUNCTUATION_CODE:
                word.append(code)
                continue
            if word:
                tokens.append(bytes(word))
                word.clear()
            if code:
                tokens.append(bytes([code]))
        if word:
            tokens.append(bytes(word))
        out.append(tokens[:max_words])
    return out


def first_level(projection: TextProjection, order: int, *, stream: int = _CHARACTER_STREAM) -> Int8Array:
    """Return the first-level coefficients ``[DIGITS, 2 * order + 2]``: high and low nibbles, start flag, bias; spec 2.3."""
    columns = 2 * order + 2
    return digits(projection.seed, stream + order, DIGITS * columns).reshape(DIGITS, columns)


def word_level(projection: TextProjection) -> Int8Array:
    """Return the coefficients ``[DIGITS, 2 * WORD_ORDER + 2]`` whose sums make a word's digest; spec 2.5."""
    return first_level(projection, WORD_ORDER, stream=_WORD_STREAM)


def second_level(projection: TextProjection, group: FeatureGroup) -> Int8Array:
    """Return the second-level coefficients ``[features, inputs + 1]``, bias last; ``inputs`` is 8, for pairs 16; spec 2.4."""
    columns = (2 * DIGITS if group.kind.startswith("skip") else DIGITS) + 1
    flat = digits(projection.seed, _SECOND_LEVEL[group.kind], group.features * columns)
    return flat.reshape(group.features, columns)


def _windows(tokens: Sequence[Token], order: int) -> tuple[Int64Array, Int64Array]:
    """Return hash inputs ``[positions, 2 * order + 2]`` of all windows of all tokens, and each one's token index."""
    lengths = np.asarray([len(t) for t in tokens], np.int64)
    owner = np.repeat(np.arange(len(tokens)), lengths)
    padded = np.frombuffer(b"".join(t + bytes(order - 1) for t in tokens) or b"\0", np.uint8).astype(np.int64)
    first = np.cumsum(lengths) - lengths
    within = np.arange(len(owner)) - first[owner]
    begin = first[owner] + owner * (order - 1) + within
    codes = padded[begin[:, None] + np.arange(order)]
    start = (within == 0).astype(np.int64)[:, None]
    return np.concatenate([codes >> 4, codes & 15, start, np.ones_like(start)], axis=1), owner


def _first_of_each(owner: Int64Array) -> Int64Array:
    """Return the position where each token's windows begin; tokens are never empty, so every index occurs."""
    return np.flatnonzero(np.diff(owner, prepend=-1))


def _signs(projection: TextProjection, group: FeatureGroup, digest: Int64Array) -> Int8Array:
    """Return +1 or -1 ``[rows, features]`` for digests ``[rows, inputs]``: bit 3 of the second level; spec 2.4."""
    # float32 holds these integers exactly (|sum| < 2**24) and multiplies much faster than int64
    table = second_level(projection, group).astype(np.float32)
    sums = digest.astype(np.float32) @ table[:, :-1].T + table[:, -1]
    return (1 - 2 * ((sums.astype(np.int32) >> 3) & 1)).astype(np.int8)


def _digests(tokens: Sequence[Token], order: int, table: Int8Array) -> tuple[Int64Array, Int64Array]:
    """Return first-level digests ``[positions, DIGITS]`` in 0..15 and the token index of each position."""
    inputs, owner = _windows(tokens, order)
    return (inputs @ table.astype(np.int64).T) & 15, owner


def character_sums(projection: TextProjection, tokens: Sequence[Token]) -> Int32Array:
    """Return unclamped character features ``[tokens, features]`` of the ``character`` groups; spec 2.4."""
    groups = [g for g in projection.groups if g.kind == "character"]
    starts = np.cumsum([0, *(g.features for g in groups)])[:-1]
    out = np.zeros((len(tokens), sum(g.features for g in groups)), np.int32)
    for begin in range(0, len(tokens), 512):
        part = tokens[begin : begin + 512]
        for order in projection.orders:
            digest, owner = _digests(part, order, first_level(projection, order))
            for column, group in zip(starts, groups, strict=True):
                rows = np.add.reduceat(_signs(projection, group, digest), _first_of_each(owner), axis=0, dtype=np.int32)
                out[begin : begin + len(part), column : column + group.features] += rows
    return out


def word_digests(projection: TextProjection, tokens: Sequence[Token]) -> Int64Array:
    """Return one digest ``[tokens, DIGITS]`` in 0..15 for each whole token; spec 2.5."""
    if not tokens:
        return np.zeros((0, DIGITS), np.int64)
    digest, owner = _digests(tokens, WORD_ORDER, word_level(projection))
    return (np.add.reduceat(digest, _first_of_each(owner), axis=0) >> 2) & 15


def token_features(projection: TextProjection, tokens: Sequence[Token]) -> Int32Array:
    """Return unclamped rows ``[tokens, P]`` of a projection whose features depend on one token only (no skip groups)."""
    characters = character_sums(projection, tokens)
    digest = word_digests(projection, tokens)
    parts: list[npt.NDArray[np.integer]] = [np.zeros((len(tokens), 0), np.int32)]
    used = 0
    for group in projection.groups:
        if group.kind == "character":
            parts.append(characters[:, used : used + group.features])
            used += group.features
        elif group.kind == "word":
            parts.append(_signs(projection, group, digest))
        else:
            raise ValueError(f"features of one token cannot hold pairs of tokens: received kind={group.kind!r}")
    return np.concatenate(parts, axis=1).astype(np.int32)


def _pair_rows(projection: TextProjection, group: FeatureGroup, digest: Int64Array) -> Int32Array:
    """Return the summed pair features ``[features]`` of one text whose word digests are ``[tokens, DIGITS]``; spec 2.6."""
    gap = int(group.kind.removeprefix("skip")) + 1
    pairs = np.concatenate([digest[:-gap], digest[gap:]], axis=1)
    sums: Int32Array = _signs(projection, group, pairs).sum(axis=0, dtype=np.int32)
    return sums


def finish(projection: TextProjection, sums: npt.NDArray[np.integer]) -> Int8Array:
    """Return int8 features for integer ``sums`` as ``projection.values`` says; spec 2.7."""
    if projection.values == "binary":
        return np.where(sums >= 0, 1, -1).astype(np.int8)
    low, high = (-128, 127) if projection.values == "count" else (-1, 1)
    features: Int8Array = np.clip(sums, low, high).astype(np.int8)
    return features


def project(projection: TextProjection, byte_ids: Int32Array) -> Int8Array:
    """Return int8 features ``[batch, *output_shape]`` of ``byte_ids`` int32 ``[batch, max_bytes]``.

    Raises:
        ValueError: a skip group with word pooling, where no row could own a pair.
    """
    texts = tokenize(byte_ids, max_words=projection.max_words)
    vocabulary = sorted({token for tokens in texts for token in tokens})
    row_of = {token: i for i, token in enumerate(vocabulary)}
    pairs = [g for g in projection.groups if g.kind.startswith("skip")]
    if pairs and projection.pooling == "word":
        raise ValueError(f"skip groups need utterance pooling: received pooling={projection.pooling!r}")
    single = TextProjection(**{**projection.__dict__, "groups": tuple(g for g in projection.groups if g not in pairs)})
    table = token_features(single, vocabulary)
    digest = word_digests(projection, vocabulary)
    sums = np.zeros((len(texts), *projection.output_shape), np.int32)
    for i, tokens in enumerate(texts):
        rows = [row_of[token] for token in tokens]
        if projection.pooling == "word":
            sums[i, : len(rows)] = table[rows]
            continue
        total = table[rows].sum(axis=0)
        used, column = 0, 0
        for group in projection.groups:
            if group in pairs:
                sums[i, column : column + group.features] = _pair_rows(projection, group, digest[rows])
            else:
                sums[i, column : column + group.features] = total[used : used + group.features]
                used += group.features
            column += group.features
    return finish(projection, sums)
