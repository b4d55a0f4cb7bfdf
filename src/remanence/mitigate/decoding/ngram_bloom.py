"""Which n-grams are protected: a Bloom filter, so that a corpus of billions fits in memory and none is ever missed.

A false positive blocks an innocent n-gram; a false negative cannot happen. A second, small filter over the first n-1
tokens says for most histories that no next token can complete a protected n-gram.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

Hashes = NDArray[np.uint64]

PREFIX_FP_RATE = 0.02


@dataclass
class NGramBloom:
    """The protected n-grams. Empty at first; `add_corpus` fills it."""

    n: int
    capacity: int
    """How many different n-grams it is sized for; more of them raise the false-positive rate, see `expected_fp`."""
    fp_rate: float = 1e-4
    seed: int = 0
    num_added: int = 0
    """Different n-grams added, up to false positives."""
    bits: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8), repr=False)
    """The filter of n-grams, 8 bits to a byte."""
    prefix_bits: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8), repr=False)
    """The filter of their first n-1 tokens."""

    def __post_init__(self) -> None:
        if self.n < 1 or self.capacity < 1 or not 0 < self.fp_rate < 1:
            raise ValueError(
                f"need n >= 1, capacity >= 1 and 0 < fp_rate < 1, got {self.n}, {self.capacity}, {self.fp_rate}"
            )
        self.num_bits, self.num_hashes = bloom_size(self.capacity, self.fp_rate)
        self._num_prefix_bits, self._num_prefix_hashes = bloom_size(self.capacity, PREFIX_FP_RATE)
        if not self.bits.size:
            self.bits = np.zeros(-(-self.num_bits // 8), np.uint8)
            self.prefix_bits = np.zeros(-(-self._num_prefix_bits // 8), np.uint8)

    def add(self, ids: ArrayLike) -> None:
        """Protect every n-gram of one text; a text shorter than n has none."""
        self.add_corpus([np.asarray(ids)])

    def add_corpus(self, texts: Iterable[ArrayLike], min_count: int = 1) -> None:
        """Protect every n-gram that occurs at least `min_count` times in these texts (the paper: 10).

        `min_count` above 1 holds one 64-bit hash per n-gram in memory while it counts.
        """
        seen: list[Hashes] = []
        for ids, starts in _blocks(texts, self.n):
            windows = np.lib.stride_tricks.sliding_window_view(ids, self.n)[starts]
            prefixes = _hash(windows[:, :-1], self.seed)
            pairs = np.stack([prefixes, _extend(prefixes, windows[:, -1])], axis=1)
            if min_count == 1:
                self._insert(pairs)
            else:
                seen.append(pairs)
        if seen:
            pairs = np.concatenate(seen)
            _, first, counts = np.unique(pairs[:, 1], return_index=True, return_counts=True)
            self._insert(pairs[first[counts >= min_count]])

    def __contains__(self, ngram: Sequence[int]) -> bool:
        """Whether the n-gram is (or may be) protected."""
        return bool(self.contains(np.asarray([ngram]))[0])

    def contains(self, ngrams: ArrayLike) -> NDArray[np.bool_]:
        """[N] the same for n-grams [N, n]."""
        windows = np.asarray(ngrams, dtype=np.int64)
        if windows.shape[1:] != (self.n,):
            raise ValueError(f"this filter holds {self.n}-grams, got shape {windows.shape}")
        whole = _extend(_hash(windows[:, :-1], self.seed), windows[:, -1])
        return _test(self.bits, whole, self.num_bits, self.num_hashes)

    def blocked(self, history: ArrayLike, candidates: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[C] for each candidate next token: would it complete a protected n-gram with the last n-1 of `history`?"""
        past = np.asarray(history, dtype=np.int64)
        if past.size < self.n - 1:
            return np.zeros(candidates.shape, bool)
        prefix = _hash(past[None, past.size - (self.n - 1) :], self.seed)
        if not _test(self.prefix_bits, prefix, self._num_prefix_bits, self._num_prefix_hashes)[0]:
            return np.zeros(candidates.shape, bool)
        return _test(self.bits, _extend(prefix, candidates), self.num_bits, self.num_hashes)

    def expected_fp(self) -> float:
        """False-positive rate at the present filling: (share of bits set) ^ hashes."""
        return float(np.bitwise_count(self.bits).sum() / self.num_bits) ** self.num_hashes

    def save(self, path: Path | str) -> None:
        """Write the filter as `.npz`, without pickle."""
        settings = np.array([self.n, self.capacity, self.seed, self.num_added], np.int64)
        with Path(path).open("wb") as out:
            np.savez_compressed(
                out, settings=settings, fp_rate=self.fp_rate, bits=self.bits, prefix_bits=self.prefix_bits
            )

    @classmethod
    def load(cls, path: Path | str) -> NGramBloom:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            n, capacity, seed, num_added = (int(x) for x in stored["settings"])
            return cls(n, capacity, float(stored["fp_rate"]), seed, num_added, stored["bits"], stored["prefix_bits"])

    def _insert(self, pairs: Hashes) -> None:
        """Set the bits of (prefix hash, whole hash) pairs [N, 2]."""
        prefixes, whole = pairs[:, 0], np.unique(pairs[:, 1])
        self.num_added += int((~_test(self.bits, whole, self.num_bits, self.num_hashes)).sum())
        _set(self.bits, whole, self.num_bits, self.num_hashes)
        _set(self.prefix_bits, prefixes, self._num_prefix_bits, self._num_prefix_hashes)


def _blocks(
    texts: Iterable[ArrayLike], n: int, size: int = 1 << 18
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Texts laid end to end, about `size` tokens at a time, with the places where an n-gram of one text starts."""
    parts: list[NDArray[np.int64]] = []
    starts: list[NDArray[np.int64]] = []
    length = 0
    for text in texts:
        ids = np.asarray(text, dtype=np.int64)
        if ids.size < n:
            continue
        parts.append(ids)
        starts.append(np.arange(length, length + ids.size - n + 1))
        length += ids.size
        if length >= size:
            yield np.concatenate(parts), np.concatenate(starts)
            parts, starts, length = [], [], 0
    if parts:
        yield np.concatenate(parts), np.concatenate(starts)


def bloom_size(capacity: int, fp_rate: float) -> tuple[int, int]:
    """(m, k): bits m = -N ln(eps) / (ln 2)^2 and hashes k = (m/N) ln 2 for N items at false-positive rate eps."""
    num_bits = math.ceil(-capacity * math.log(fp_rate) / math.log(2) ** 2)
    return num_bits, max(1, round(num_bits / capacity * math.log(2)))


def _mix(x: Hashes) -> Hashes:
    """splitmix64: fixed, unlike Python's `hash`, which differs between processes."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _hash(windows: NDArray[np.int64], seed: int) -> Hashes:
    """[N] hash of token windows [N, w], in their order."""
    state = np.full(len(windows), seed, np.uint64)
    for column in windows.T:
        state = _extend(state, column)
    return state


def _extend(state: Hashes, tokens: NDArray[np.int64]) -> Hashes:
    """Hash of a window from the hash of all but its last token; one state and many tokens is fine."""
    return _mix(state ^ tokens.astype(np.uint64))


def _places(hashes: Hashes, num_bits: int, index: int) -> Hashes:
    """Bit number `index` of each item: h1 + i h2 (Kirsch & Mitzenmacher 2006)."""
    return (hashes + np.uint64(index) * (_mix(hashes) | np.uint64(1))) % np.uint64(num_bits)


def _set(bits: NDArray[np.uint8], hashes: Hashes, num_bits: int, num_hashes: int) -> None:
    for index in range(num_hashes):
        place = _places(hashes, num_bits, index)
        np.bitwise_or.at(bits, place >> np.uint64(3), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8))


def _test(bits: NDArray[np.uint8], hashes: Hashes, num_bits: int, num_hashes: int) -> NDArray[np.bool_]:
    """Items that fail at one bit are not looked at again, so the cost is about two bits per absent item."""
    present = np.ones(len(hashes), bool)
    alive = np.arange(len(hashes))
    for index in range(num_hashes):
        place = _places(hashes[alive], num_bits, index)
        hit = (bits[place >> np.uint64(3)] >> (place & np.uint64(7)).astype(np.uint8)) & np.uint8(1) == 1
        present[alive[~hit]] = False
        alive = alive[hit]
        if not alive.size:
            break
    return present
