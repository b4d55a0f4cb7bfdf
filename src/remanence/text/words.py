"""Word splitting and normalisation: equal words have equal keys, across case, accents and scripts without spaces.

A word is a letter or digit with all letters, marks and digits that follow it, case folded. In scripts that do not
split on spaces (Han, kana, Thai, Lao, Khmer, Myanmar, Tibetan ...) every letter with its marks is a word of its own.
Everything else separates. Letters, marks and digits are the general categories L, M and N of the Unicode Standard
(chapter 4.5), folding is its full case folding (5.18), and equal means canonically equal (form C of Annex 15).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

TOKENIZATION = "words-1"
"""Name of these rules; whoever keeps keys writes it down beside them. Changed rules get another name."""

SEPARATOR, LETTER, MARK, ALONE = 0, 1, 2, 3
"""Classes of characters; ALONE is a letter or digit that is a word of its own."""

SPACELESS = (
    *((0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F)),  # Thai and Lao, Tibetan, Myanmar
    *((0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF)),  # Khmer, Tai Le and New Tai Lue, Tai Tham
    *((0x1B00, 0x1B7F), (0xA980, 0xA9FF), (0xAA60, 0xAADF)),  # Balinese, Javanese and more Myanmar, more and Tai Viet
    *((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x303C)),  # Han radicals, iteration mark and zero, old numerals
    *((0x3041, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF)),  # kana and Bopomofo, more Bopomofo, more Katakana
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF)),  # Han, Yi
    *((0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x16FE0, 0x18DFF)),  # Han, narrow Katakana, Tangut and Khitan
    *((0x1AFF0, 0x1B2FF), (0x20000, 0x3FFFD)),  # old kana and Nushu, Han
)
"""Blocks, first and last code point, of the scripts whose letters stand alone."""

LISTED = (range(0x33500), range(0xE0100, 0xE01F0))
"""The code points of which any is a letter, mark or digit, with room to grow; a test looks at all others."""


class Words(NamedTuple):
    """The W words of a batch of N texts; equal words have equal keys in every run and on every machine."""

    keys: NDArray[np.uint64]
    """[W] hash of the folded word; two different words share one with probability 5e-20."""
    starts: NDArray[np.int32]
    """[W] where the word begins in its own text, in characters as `str` counts them."""
    ends: NDArray[np.int32]
    """[W] one past the last character."""
    offsets: NDArray[np.int64]
    """[N + 1] the words of text i are `offsets[i] : offsets[i + 1]`."""


def words_of(texts: Sequence[str]) -> Words:
    """The words of all texts, in order; a text may be empty or have none. Memory: about 20 bytes per character."""
    classes, fold, expansions = _tables()
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    bounds = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    joined = "".join(texts)
    points = _code_points(joined)
    keys, starts, ends, offsets = _cut(points, bounds, classes, fold, expansions)
    # A text that is not in form C is cut alike (a test holds us to it); its words are hashed as form C spells them.
    odd: list[int] = []
    if not joined.isascii():
        odd = [i for i, text in enumerate(texts) if not unicodedata.is_normalized("NFC", text)]
    if odd:
        rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in odd])
        spelled = [
            unicodedata.normalize("NFC", texts[i][starts[w] : ends[w]])
            for i in odd
            for w in range(int(offsets[i]), int(offsets[i + 1]))
        ]
        lengths = np.fromiter(map(len, spelled), np.int64, len(spelled))
        stops = np.cumsum(lengths)
        keys[rows] = _hashed(_code_points("".join(spelled)), stops - lengths, stops, fold, expansions)
    return Words(keys, starts, ends, offsets)


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


@cache
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Of each code point its class, and what it folds to: a code point, or -k for line k of the expansions [K, 3]."""
    size = LISTED[-1].stop
    classes = np.zeros(size, np.uint8)
    fold = np.arange(size, dtype=np.int32)
    expansions = [[0, 0, 0]]
    for code in (code for listed in LISTED for code in listed):
        character = chr(code)
        category = unicodedata.category(character)[0]
        if category in "LN":
            classes[code] = LETTER
        elif category == "M":
            classes[code] = MARK
        folded = character.casefold()
        if len(folded) > 1:
            fold[code] = -len(expansions)
            expansions.append([*map(ord, folded), 0, 0][:3])
        elif folded != character:
            fold[code] = ord(folded)
    for first, last in SPACELESS:
        block = classes[first : last + 1]
        block[block == LETTER] = ALONE
    return classes, fold, np.array(expansions, np.int32)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _cut(points: Any, bounds: Any, classes: Any, fold: Any, expansions: Any) -> tuple[Any, Any, Any, Any]:
    num_texts = bounds.size - 1
    keys = np.empty(points.size, np.uint64)  # pages that are never written to cost nothing
    starts = np.empty(points.size, np.int32)
    ends = np.empty(points.size, np.int32)
    offsets = np.zeros(num_texts + 1, np.int64)
    n = 0
    for i in range(num_texts):
        begin = bounds[i]
        at, end = begin, bounds[i + 1]
        while at < end:
            code = points[at]
            kind = classes[code] if code < classes.size else SEPARATOR
            if kind != LETTER and kind != ALONE:
                at += 1
                continue
            starts[n] = at - begin
            key = np.uint64(0)
            grows = True
            while grows:
                key = _add(key, code, fold, expansions)
                at += 1
                if at == end:
                    break
                code = points[at]
                follows = classes[code] if code < classes.size else SEPARATOR
                grows = follows == MARK or (follows == LETTER and kind == LETTER)
            keys[n] = _finish(key)
            ends[n] = at - begin
            n += 1
        offsets[i + 1] = n
    return keys[:n].copy(), starts[:n].copy(), ends[:n].copy(), offsets


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _hashed(points: Any, starts: Any, ends: Any, fold: Any, expansions: Any) -> Any:
    keys = np.empty(starts.size, np.uint64)
    for i in range(starts.size):
        key = np.uint64(0)
        for at in range(starts[i], ends[i]):
            key = _add(key, points[at], fold, expansions)
        keys[i] = _finish(key)
    return keys


@njit(nogil=True, cache=True, inline="always")  # pyright: ignore[reportUntypedFunctionDecorator]
def _add(key: Any, code: Any, fold: Any, expansions: Any) -> Any:
    folded = fold[code]
    if folded >= 0:
        return _mix(key, folded)
    for k in range(3):
        if expansions[-folded, k]:
            key = _mix(key, expansions[-folded, k])
    return key


@njit(nogil=True, cache=True, inline="always")  # pyright: ignore[reportUntypedFunctionDecorator]
def _mix(key: Any, code: Any) -> Any:
    key = (key ^ np.uint64(code + 1)) * np.uint64(0x9E3779B97F4A7C15)
    return key ^ (key >> np.uint64(32))


@njit(nogil=True, cache=True, inline="always")  # pyright: ignore[reportUntypedFunctionDecorator]
def _finish(key: Any) -> Any:
    """The finaliser of SplitMix64: every bit of the input moves every bit of the output."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))
