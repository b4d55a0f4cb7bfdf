"""The longest run of tokens that two texts, or a text and a corpus, have in common.

Pairs: the classic table of common suffixes (Gusfield 1997, "Algorithms on Strings, Trees and Sequences", 7.4).
Corpora: a suffix array (`remanence.text.suffix_array`); the same idea finds copies in Lee et al. 2022, "Deduplicating
Training Data Makes Language Models Better", arXiv 2107.06499.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from remanence.text.suffix_array import Ints, bounds, compare, shared, suffix_array

TokenIds = NDArray[np.integer[Any]]

BLOCK = 512


class Span(NamedTuple):
    """A run of tokens common to two texts; length 0 = nothing in common, and then both starts are 0."""

    length: int
    """Tokens; higher = more was copied."""
    start_a: int
    start_b: int


class CorpusSpan(NamedTuple):
    """A run of tokens common to a query and a corpus; length 0 = nothing in common, and then row is -1."""

    length: int
    """Tokens; higher = more was copied."""
    start_query: int
    row: int
    """Which row of the corpus, counted from 0."""
    start_row: int


def longest_shared_span(a: TokenIds, b: TokenIds) -> Span:
    """The longest run of tokens that stands in a [N] and in b [M]; ties: earliest in a, then earliest in b.

    Time N * M, memory M. Either may be empty.
    """
    return Span(*(int(value) for value in _longest_shared(_ids(a), _ids(b))))


def common_prefix_length(a: TokenIds, b: TokenIds) -> int:
    """How many tokens a [N] and b [M] have in common before they first differ."""
    length = min(a.size, b.size)
    differs = np.flatnonzero(a[:length] != b[:length])
    return int(differs[0]) if differs.size else int(length)


def normalise(text: str) -> str:
    """The text without what the eye overlooks: NFKC, case folded, runs of white space made one space, ends trimmed."""
    for _ in range(2):  # folding can undo the composition and the other way round
        text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", text).split())


@dataclass(frozen=True)
class SpanIndex:
    """A corpus of rows of token ids, arranged so that the longest run a query shares with it is found at once."""

    num_rows: int
    _tokens: Ints = field(repr=False)
    """The distinct token ids, ascending; the text stores their places."""
    _text: Ints = field(repr=False)
    """All rows one after another, each followed by a separator of its own, so that no run crosses rows."""
    _starts: Ints = field(repr=False)
    """[num_rows + 1] where each row begins in the text."""
    _order: Ints = field(repr=False)
    _owner: Ints = field(repr=False)
    """Row of each slot of the order."""
    _before: Ints = field(repr=False)
    """For each slot, the nearest one before it that belongs to another row; -1 = none."""
    _after: Ints = field(repr=False)
    _block_minima: Ints = field(repr=False)
    """Earliest place among each `BLOCK` slots."""

    @classmethod
    def build(cls, rows: Sequence[TokenIds]) -> SpanIndex:
        """Index all rows; empty rows are allowed. Two million tokens take about 2 seconds and 80 MB."""
        ids = [_ids(row) for row in rows]
        lengths = np.array([row.size for row in ids], np.int64)
        starts = np.concatenate(([0], np.cumsum(lengths + 1))).astype(np.int64)
        tokens, places = np.unique(np.concatenate([np.empty(0, np.int64), *ids]), return_inverse=True)
        text = np.empty(int(starts[-1]), np.int64)
        separators = starts[1:] - 1
        text[separators] = np.arange(len(ids)) - len(ids)  # below every token, and each only once
        is_token = np.ones(text.size, np.bool_)
        is_token[separators] = False
        text[is_token] = places
        order = suffix_array(text)
        owner = np.searchsorted(starts, order, side="right") - 1
        # A slot's nearest other row is the slot just outside its stretch of equal owners.
        edge = np.flatnonzero(np.diff(owner)) + 1
        bounds_of_stretch = np.concatenate(([0], edge, [owner.size]))
        widths = np.diff(bounds_of_stretch)
        before = np.repeat(bounds_of_stretch[:-1] - 1, widths)
        after = np.repeat(bounds_of_stretch[1:], widths)
        minima = np.minimum.reduceat(order, np.arange(0, order.size, BLOCK)) if order.size else order
        return cls(len(ids), tokens, text, starts, order, owner, before, after, minima)

    def longest(self, query: TokenIds, exclude_row: int | None = None) -> CorpusSpan:
        """The longest run of the query [Q] that stands in any row, or in any row but `exclude_row`; exact.

        Ties: earliest in the query, then the first row, then the first place in it. ValueError for a row that is not
        in the corpus.
        """
        excluded = -1
        if exclude_row is not None:
            if not 0 <= exclude_row < self.num_rows:
                raise ValueError(f"cannot leave out row {exclude_row}: the corpus has rows 0 to {self.num_rows - 1}")
            excluded = exclude_row
        places = self._places(query)
        length, start = _longest_in(self._text, self._order, self._owner, self._before, self._after, places, excluded)
        if not length:
            return CorpusSpan(0, 0, -1, 0)
        low, high = bounds(self._text, self._order, places, start, length)
        skip_from, skip_to = (self._starts[excluded], self._starts[excluded + 1]) if excluded >= 0 else (-1, -1)
        at = int(_earliest(self._order, self._block_minima, low, high, int(skip_from), int(skip_to)))
        row = int(np.searchsorted(self._starts, at, side="right")) - 1
        return CorpusSpan(int(length), int(start), row, at - int(self._starts[row]))

    def count(self, ids: TokenIds) -> int:
        """How often the run stands in the corpus, overlaps included; 0 for an empty run."""
        places = self._places(ids)
        if not places.size:
            return 0
        low, high = bounds(self._text, self._order, places, 0, places.size)
        return int(high - low)

    def _places(self, ids: TokenIds) -> Ints:
        """Token ids as the text stores them; one that the corpus does not have sorts after all and matches nothing."""
        wanted = _ids(ids)
        places = np.searchsorted(self._tokens, wanted).astype(np.int64)
        known = places < self._tokens.size
        known[known] = self._tokens[places[known]] == wanted[known]
        places[~known] = self._tokens.size
        return places


def _ids(ids: TokenIds) -> Ints:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"spans are found in one row of token ids, got {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(array, np.int64)


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _longest_shared(a: Any, b: Any) -> tuple[int, int, int]:
    # run[j + 1] = length of the common run that ends at a[i] and b[j]
    run = np.zeros(b.size + 1, np.int64)
    best, start_a, start_b = 0, 0, 0
    for i in range(a.size):
        for j in range(b.size - 1, -1, -1):
            run[j + 1] = run[j] + 1 if a[i] == b[j] else 0
            if run[j + 1] and (run[j + 1] > best or (run[j + 1] == best and i - best + 1 == start_a)):
                best = run[j + 1]
                start_a, start_b = i - best + 1, j - best + 1
    return best, start_a, start_b


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _longest_in(
    text: Any, order: Any, owner: Any, before: Any, after: Any, query: Any, excluded: int
) -> tuple[int, int]:
    """Length and start of the longest run; of all suffixes, those next to the query in the order share most with it."""
    best, best_start = 0, 0
    for start in range(query.size):
        if query.size - start <= best:
            break
        low, high = 0, order.size
        while low < high:
            middle = (low + high) // 2
            if compare(text, order[middle], query, start, query.size - start) < 0:
                low = middle + 1
            else:
                high = middle
        left, right = low - 1, low
        if left >= 0 and owner[left] == excluded:
            left = before[left]
        if right < order.size and owner[right] == excluded:
            right = after[right]
        length = 0
        if left >= 0:
            length = shared(text, order[left], query, start)
        if right < order.size:
            length = max(length, shared(text, order[right], query, start))
        if length > best:
            best, best_start = length, start
    return best, best_start


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _earliest(order: Any, minima: Any, low: int, high: int, skip_from: int, skip_to: int) -> Any:
    """The smallest place among the slots [low, high) that does not lie in [skip_from, skip_to)."""
    earliest = np.int64(9223372036854775807)
    slot = low
    while slot < high:
        if slot % BLOCK == 0 and slot + BLOCK <= high:
            smallest = minima[slot // BLOCK]
            if smallest >= earliest or not skip_from <= smallest < skip_to:
                earliest = min(earliest, smallest)
                slot += BLOCK
                continue
        if order[slot] < earliest and not skip_from <= order[slot] < skip_to:
            earliest = order[slot]
        slot += 1
    return earliest
