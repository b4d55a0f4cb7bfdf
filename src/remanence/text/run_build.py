"""Build the shards of a run index from a stream of texts in bounded memory, without exact copies.

A copy is a text with the same words in the same order as an earlier one; it is counted and not indexed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from remanence.text.words import TOKENIZATION, words_of

CHARACTERS = 1 << 20
"""Texts are cut in portions of about this many characters."""


class Portion(NamedTuple):
    """What a shard is built from: rows [S] of `lengths` words each, and their words [W] as in `Words`."""

    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    keys: NDArray[np.uint64]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]


class Corpus:
    """Reads texts once; `portions` yields those that no earlier one equals, the rest of the fields fill as it runs."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self._seen = _empty_table(1 << 16)
        self._first: list[NDArray[np.int64]] = []
        self._prints = blake2b(digest_size=16), blake2b(digest_size=16)
        self.num_rows = 0

    @property
    def fingerprint(self) -> str:
        """Digest of all texts, in order, so far."""
        digest = blake2b(TOKENIZATION.encode(), digest_size=16)
        for part in self._prints:
            digest.update(part.digest())
        return digest.hexdigest()

    @property
    def first_copy(self) -> NDArray[np.int64]:
        """[R] for each row the first row with the same words; its own number when there is none before it."""
        return np.concatenate([np.empty(0, np.int64), *self._first])

    def portions(self, shard_words: int) -> Iterator[Portion]:
        """The rows to index, in order, in portions of at least `shard_words` words (the last may have fewer)."""
        parts: list[Portion] = []
        for texts in _batches(self._texts):
            part = self._cut(texts)
            if part.rows.size:
                parts.append(part)
            if sum(p.keys.size for p in parts) >= shard_words:
                yield _joined(parts)
        if parts:
            yield _joined(parts)

    def _cut(self, texts: list[str]) -> Portion:
        self._note(texts)
        words = words_of(texts)
        rows = np.arange(self.num_rows, self.num_rows + len(texts), dtype=np.int64)
        self.num_rows += len(texts)
        while 2 * (self._seen[2][0] + len(texts)) > self._seen[1].size:
            self._seen = _grown(*self._seen)
        first = _first_with(self._seen, _digests(words.keys, words.offsets), rows)
        self._first.append(first)
        lengths = np.diff(words.offsets)
        kept = (first == rows) & (lengths > 0)
        of_kept = np.repeat(kept, lengths)
        return Portion(rows[kept], lengths[kept], words.keys[of_kept], words.starts[of_kept], words.ends[of_kept])

    def _note(self, texts: list[str]) -> None:
        lengths = np.fromiter(map(len, texts), "<i8", len(texts))
        self._prints[0].update("".join(texts).encode("utf-8", "surrogatepass"))
        self._prints[1].update(lengths.tobytes())


def corpus_fingerprint(texts: Iterable[str]) -> str:
    """What `RunIndex.fingerprint` is for an index of these texts; reads them all and keeps none."""
    corpus = Corpus(())
    for batch in _batches(texts):
        corpus._note(batch)  # pyright: ignore[reportPrivateUsage]
    return corpus.fingerprint


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text) + 16
        if size >= CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _joined(parts: list[Portion]) -> Portion:
    """All parts in one; the list is emptied, so that nothing is held twice."""
    columns = list(zip(*parts, strict=True))
    parts.clear()
    return Portion(*(np.concatenate(columns.pop(0)) for _ in range(len(columns))))


def _empty_table(size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """A hash table of digests [size, 2], the row each came with [size] (-1 = free), and how many there are [1]."""
    return np.zeros((size, 2), np.uint64), np.full(size, -1, np.int64), np.zeros(1, np.int64)


def _grown(digests: Any, rows: Any, count: Any) -> tuple[Any, Any, Any]:
    """The same table with twice the room."""
    taken = np.flatnonzero(rows >= 0)
    table = _empty_table(2 * rows.size)
    _first_with(table, digests[taken], rows[taken])
    return table


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _first_with(table: Any, digests: Any, rows: Any) -> Any:
    """[N] the row that came first with each digest [N, 2]; those not met before are entered under their row."""
    known, owners, count = table
    first = np.empty(rows.size, np.int64)
    for i in range(rows.size):
        slot = np.int64(digests[i, 0] & np.uint64(owners.size - 1))
        while owners[slot] >= 0 and (known[slot, 0] != digests[i, 0] or known[slot, 1] != digests[i, 1]):
            slot = (slot + 1) % owners.size
        if owners[slot] < 0:
            known[slot] = digests[i]
            owners[slot] = rows[i]
            count[0] += 1
        first[i] = owners[slot]
    return first


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _digests(keys: Any, offsets: Any) -> Any:
    """[N, 2] 128 bits that say what words a text has; two texts with other words share them once in 10^38."""
    digests = np.empty((offsets.size - 1, 2), np.uint64)
    for i in range(offsets.size - 1):
        one, two = np.uint64(offsets[i + 1] - offsets[i]), np.uint64(0)
        for at in range(offsets[i], offsets[i + 1]):
            one = (one ^ keys[at]) * np.uint64(0xBF58476D1CE4E5B9)
            one ^= one >> np.uint64(29)
            two = (two + keys[at]) * np.uint64(0x94D049BB133111EB)
            two ^= two >> np.uint64(31)
        digests[i, 0] = one * np.uint64(0x9E3779B97F4A7C15) ^ (one >> np.uint64(32))
        digests[i, 1] = two * np.uint64(0x9E3779B97F4A7C15) ^ (two >> np.uint64(32))
    return digests
