"""The text hash as a handful of exact float operators: what the graph formats have in common.

Tensors hold integers (or integers / 16) that float32 represents exactly, so every kernel and summation order agrees.
With L bytes, m the widest window, W tokens and t a byte position, a graph format computes:

1. ``x[t] = code_table[byte[t]]``: high nibble, class, low nibble of a code (class: space 0, punctuation 1, word 9), and a mark
   of 15 where a symbol of three bytes begins.
2. ``v = relu(convolution(x) + bias)`` with taps -3..m-1: the nibbles of the codes at t..t+m-1, high ones and low ones,
   below 0 and so 0 past the end of the token, where a class is missing or a mark stands three bytes before;
   ``here`` = 17 in words, 1 at punctuation, else 0; ``inside`` = 1 where t continues the word of t-1.
3. ``u = v @ level_one.T / 16``, ``h = u - floor(u)``: 8 digits for each order, and a 9th that is 1 inside tokens.
4. ``y = h @ level_two.T * SIGN_SCALE``, ``sign(y - round(y))``: with coefficients in 1..16 y is positive, and the scale's
   excess over 1 moves y's fraction off 0 and 1/2 to the side that the hash means; outside of tokens y, and so the sign, is 0.
5. ``start = clamp(here - 17 * inside, -1, 1)``, ``slot = cumsum(start)``, ``member[t, w] = (slot[t] == w + 1)``;
   rows are ``member.T @ signs``.

Words: ``u = v @ word_level.T / 16``, ``g = floor(4 * member.T @ (u - floor(u))) / 16``, ``h = g - floor(g)``, then step 4; the
9th digit of an absent word is 0.
Pairs: the same with a convolution of two taps over words; pairs with an absent second word are masked by its 9th digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from understudy.projections.text import (
    BYTE_CODES,
    DIGITS,
    LAST_PUNCTUATION_CODE,
    SYMBOL_OF_THREE,
    WORD_ORDER,
    FeatureGroup,
    TextProjection,
    first_level,
    second_level,
    word_level,
)

IntegerArray = npt.NDArray[np.int64]

TABLES = "projection tables"
"""Row of a byte table: what is the same for every seed."""

SLOTS = DIGITS + 1
"""Digits of a hash between the levels, with the one that carries the bias."""
SIGN_SCALE = 1 + 2.0**-12
"""Scale of level two. Of pairs, y * 16 <= 16 * 15 * 16 + 16: its excess stays below one step and 4097 times it below 2**24."""
_PUNCTUATION_CLASS, _WORD_CLASS, _CLASS_WEIGHT = 1, 9, 2
"""Two words add up to 18, all other neighbours to at most 10; twice the gap between the classes (16) outweighs a nibble."""
_HIGH, _CLASS, _LOW, _SYMBOL = range(4)
"""Columns of the code table."""
_MARK = 15
"""As large as any nibble, so that one mark is enough."""
BEFORE = 3
"""Positions before t that its windows look at."""


@dataclass(frozen=True, eq=False)
class Group:
    """One feature group: its kind, and level two ``[features, 9]`` (pairs ``[features, 2, 9]``), values 1..16."""

    kind: str
    level_two: IntegerArray

    @property
    def gap(self) -> int:
        """Distance of the two words of a pair; 0 for kinds that are not pairs."""
        return int(self.kind.removeprefix("skip")) + 1 if self.kind.startswith("skip") else 0


@dataclass(frozen=True, eq=False)
class TextGraph:
    """The integers that the steps above need; all but ``window_bias`` and ``start`` fit 4 bits after an offset.

    Attributes:
        code_table: ``[256, 4]``, 0..15.
        window_kernel: ``[2 * (m + 1), taps, 4]``; tap i looks at position t - BEFORE + i; the first half of the channels makes
            the high nibbles and ``here``, the second half the low nibbles and ``inside``.
        window_bias: ``[2 * (m + 1)]``.
        level_one: ``[orders * 9, channels]`` in -8..7, or None without character groups.
        word_level: ``[9, channels]`` in -8..7, or None without word and pair groups.
        start: ``[channels]``.
        groups: the feature groups in column order.
    """

    code_table: IntegerArray
    window_kernel: IntegerArray
    window_bias: IntegerArray
    level_one: IntegerArray | None
    word_level: IntegerArray | None
    start: IntegerArray
    groups: tuple[Group, ...]


def text_graph(projection: TextProjection) -> TextGraph:
    """Return the integers of ``projection``'s steps; a pure function."""
    kinds = {group.kind for group in projection.groups}
    by_word = bool(kinds - {"character"})
    width = max((*(projection.orders if "character" in kinds else ()), *((WORD_ORDER,) if by_word else ())))
    kernel, bias = _windows(width)
    start = np.zeros(2 * width + 2, np.int64)
    start[[width, -1]] = 1, -17
    level_one = None
    if "character" in kinds:
        level_one = np.concatenate([_digit_rows(first_level(projection, m), m, width) for m in projection.orders])
    words = None
    if by_word:
        words = _digit_rows(word_level(projection), WORD_ORDER, width)
        # 4 at a token's first position only, so that the sum over positions, divided by 4, is 1
        words[-1, width], words[-1, -1] = 4, -4
    return TextGraph(
        code_table=_code_table(),
        window_kernel=kernel,
        window_bias=bias,
        level_one=level_one,
        word_level=words,
        start=start,
        groups=tuple(Group(g.kind, _second(projection, g)) for g in projection.groups),
    )


def _code_table() -> IntegerArray:
    codes = BYTE_CODES.astype(np.int64)
    classes = np.where(codes > LAST_PUNCTUATION_CODE, _WORD_CLASS, np.where(codes > 0, _PUNCTUATION_CLASS, 0))
    marks = np.where(np.arange(256) == SYMBOL_OF_THREE, _MARK, 0)
    return np.stack([codes >> 4, classes, codes & 15, marks], axis=1)


def _windows(width: int) -> tuple[IntegerArray, IntegerArray]:
    """Return kernel ``[2 * width + 2, BEFORE + width, 4]`` and bias of step 2."""
    kernel = np.zeros((2, width + 1, BEFORE + width, 4), np.int64)
    bias = np.zeros((2, width + 1), np.int64)
    for i in range(width):
        kernel[0, i, BEFORE + i, _HIGH] = kernel[1, i, BEFORE + i, _LOW] = 1
        if i:  # the code at t itself needs no mask: punctuation is a token, a space has nibbles 0
            kernel[:, i, BEFORE : BEFORE + i + 1, _CLASS] = _CLASS_WEIGHT
            bias[:, i] = -_CLASS_WEIGHT * _WORD_CLASS * (i + 1)
            kernel[:, i, 1 : 1 + i, _SYMBOL] = -1  # a token begins three bytes behind a mark, at t + 1 .. t + i
    kernel[0, width, BEFORE, _CLASS], bias[0, width] = 2, -1  # here: 2 * 9 - 1 = 17, 2 * 1 - 1 = 1
    kernel[1, width, BEFORE - 1 : BEFORE + 1, _CLASS], bias[1, width] = 1, 1 - 2 * _WORD_CLASS  # inside
    kernel[1, width, 0, _SYMBOL] = -1
    return kernel.reshape(2 * width + 2, BEFORE + width, 4), bias.ravel()


def _digit_rows(table: npt.NDArray[np.int8], order: int, width: int) -> IntegerArray:
    """Return level one ``[9, 2 * width + 2]`` of an order; the start flag is here - inside, modulo 16."""
    a = table.astype(np.int64)
    rows = np.zeros((SLOTS, 2, width + 1), np.int64)
    rows[:DIGITS, 0, :order] = a[:, :order]
    rows[:DIGITS, 1, :order] = a[:, order : 2 * order]
    rows[:DIGITS, 0, width] = a[:, -2] + a[:, -1]
    rows[:DIGITS, 1, width] = -a[:, -2]
    rows[-1, 0, width] = 1
    return (rows.reshape(SLOTS, 2 * width + 2) + 8) % 16 - 8


def _second(projection: TextProjection, group: FeatureGroup) -> IntegerArray:
    """Return level two with values in 1..16, equal modulo 16 to the coefficients."""
    table = second_level(projection, group).astype(np.int64)
    if group.kind.startswith("skip"):
        first = np.concatenate([table[:, :DIGITS], np.zeros((len(table), 1), np.int64)], axis=1)
        table = np.stack([first, table[:, DIGITS:]], axis=1)
    return (table - 1) % 16 + 1
