"""Exact copies and near duplicates among rows.

Repetition is the strongest known cause of memorization, and a held-out row with a twin in training is no held-out row.

Sources: Broder 1997, "On the resemblance and containment of documents" (shingles, Jaccard, MinHash); Lee et al. 2022,
"Deduplicating Training Data Makes Language Models Better", arXiv 2107.06499 (5-grams of words, Jaccard >= 0.8).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from datasketch import MinHash, MinHashLSH
from numba import njit
from numpy.typing import NDArray

from remanence.text.spans import normalise

Hashes = NDArray[np.uint64]

NEAR = 0.8
"""Jaccard similarity of two shingle sets from which on two rows are near duplicates."""
WORDS, WORDS_SHORT, SHORT = 5, 3, 12
"""Shingles are runs of 5 words; of 3 words when one of the two rows has fewer than 12."""
CHARACTERS, LONG_WORD = 8, 20
"""Shingles are runs of 8 characters in texts without spaces: one word, or words of over 20 characters on average."""

PERMUTATIONS = 192
"""Numbers in a MinHash: 32 bands of 6, so that a pair at Jaccard 0.8 is overlooked once in 17,000."""
OVERLOOKED = 1e-3
"""How often a pair right at the threshold may be overlooked."""
SEED = 1


@dataclass(frozen=True)
class Duplicates:
    """How often each row stands in its set."""

    exact: NDArray[np.int64]
    """[N] rows with the same normalised text, itself included; 1 = no exact duplicate."""
    near: NDArray[np.int64]
    """[N] OTHER rows that are not identical but near: Jaccard >= 0.8; 0 = none."""


def duplicate_counts(texts: Sequence[str]) -> Duplicates:
    """Exact and near duplicates of each text [N] within the set; the order of the rows does not matter.

    Texts are compared after `normalise`. Near pairs are proposed by MinHash and confirmed on the full shingle sets, so
    none is wrong. A text with no word at all has no near duplicates.
    """
    distinct, which, exact = _distinct(texts)
    near = np.zeros(len(distinct), np.int64)
    everything = np.arange(len(distinct))
    for one, others in _near_pairs(distinct, everything, everything):
        near[one] += exact[others].sum()
    return Duplicates(exact[which], near[which])


def contamination(train_texts: Sequence[str], heldout_texts: Sequence[str]) -> NDArray[np.bool_]:
    """True [H] for each held-out text with an exact or near duplicate in training: it must not serve as a floor."""
    distinct, which, _ = _distinct([*train_texts, *heldout_texts])
    seen = np.zeros(len(distinct), np.bool_)
    seen[which[: len(train_texts)]] = True
    found = seen.copy()
    for one, others in _near_pairs(distinct, np.flatnonzero(seen), np.flatnonzero(~seen)):
        found[one] |= others.size > 0
    return found[which[len(train_texts) :]]


def twin_groups(texts: Sequence[str], near: float = NEAR, permutations: int = PERMUTATIONS) -> NDArray[np.int64]:
    """[N] the place of the first text of each text's group; a group is joined by exact and near duplicates, in chains.

    Two texts of different groups are neither: a split that keeps groups whole has no contamination. `near` is the
    Jaccard similarity from which on two texts are near, and `permutations` the length of their MinHashes.
    """
    distinct, which, _ = _distinct(texts)
    parent = list(range(len(distinct)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        return one

    everything = np.arange(len(distinct))
    for one, others in _near_pairs(distinct, everything, everything, near, permutations):
        for other in others.tolist():
            low, high = sorted((root(one), root(other)))
            parent[high] = low
    first = np.full(len(distinct), len(texts), np.int64)
    np.minimum.at(first, which, np.arange(len(texts)))
    return first[np.array([root(one) for one in range(len(distinct))], np.int64)][which]


def exact_groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """[N] the place of the first text that says the same after `normalise`; its own place for a text's first copy."""
    distinct, which, _ = _distinct(texts)
    first = np.full(len(distinct), len(texts), np.int64)
    np.minimum.at(first, which, np.arange(len(texts)))
    return first[which]


def bands(near: float, permutations: int) -> tuple[int, int]:
    """(b, r): b bands of r numbers propose a pair at Jaccard s with probability 1 - (1 - s^r)^b.

    The widest bands (so the fewest idle proposals) that overlook a pair at `near` at most once in a thousand; a
    proposal costs little, because every one is checked on the full sets. One number a band where none is wide enough.
    """
    widths = [r for r in range(1, permutations + 1) if (1 - near**r) ** (permutations // r) <= OVERLOOKED]
    width = max(widths, default=1)
    return permutations // width, width


def _distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct normalised texts, which of them each row is, and how many rows each one stands for."""
    place: dict[str, int] = {}
    which = np.array([place.setdefault(normalise(text), len(place)) for text in texts], np.int64)
    return list(place), which, np.bincount(which, minlength=len(place)).astype(np.int64)


def _near_pairs(
    texts: list[str],
    indexed: NDArray[np.int64],
    asking: NDArray[np.int64],
    near: float = NEAR,
    permutations: int = PERMUTATIONS,
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each asking text, the indexed texts near it, in up to two portions that do not overlap."""
    words = [text.split() for text in texts]
    spaceless = np.array([bool(w) and (len(w) == 1 or sum(map(len, w)) > LONG_WORD * len(w)) for w in words], np.bool_)
    short = np.array([len(w) < SHORT for w in words], np.bool_) & ~spaceless
    long = ~short & ~spaceless
    characters = [list(text) if flag else [] for text, flag in zip(texts, spaceless, strict=True)]
    how = (indexed, asking, near, permutations)
    yield from _near_among(_shingles(characters, CHARACTERS), *how)
    yield from _near_among(_shingles([w if f else [] for w, f in zip(words, long, strict=True)], WORDS), *how)
    # A short row has at most 9 shingles of three words, so only a row with at most 11 of them can be near (0.8) to it.
    most = int((SHORT - WORDS_SHORT) / near)
    threes = _shingles([w if not f else [] for w, f in zip(words, spaceless, strict=True)], WORDS_SHORT)
    threes = [s if s.size <= most else s[:0] for s in threes]
    for one, others in _near_among(threes, *how):
        yield one, others if short[one] else others[short[others]]


def _near_among(
    sets: list[Hashes], indexed: NDArray[np.int64], asking: NDArray[np.int64], near: float, permutations: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each asking set, the other indexed sets with Jaccard >= `near`, ascending; empty sets are near to nothing."""
    involved = sorted({int(i) for i in np.concatenate((indexed, asking)) if sets[i].size})
    if not involved:
        return
    # The upper half of each 64-bit hash is as good as random already: MinHash need not hash it again.
    prints = ((sets[i] >> np.uint64(32)).tolist() for i in involved)
    sketches = dict(
        zip(involved, MinHash.generator(prints, num_perm=permutations, seed=SEED, hashfunc=int), strict=True)
    )
    lsh = MinHashLSH(threshold=near, num_perm=permutations, params=bands(near, permutations))
    for i in indexed.tolist():
        if i in sketches:
            lsh.insert(i, sketches[i], check_duplication=False)
    starts = np.concatenate(([0], np.cumsum([s.size for s in sets])))
    flat = np.concatenate(sets)
    for i in asking.tolist():
        if i in sketches:
            candidates = np.array(sorted(cast("list[int]", lsh.query(sketches[i]))), np.int64)
            candidates = candidates[candidates != i]
            if candidates.size:
                yield i, candidates[_are_near(flat, starts, i, candidates, near)]


def _shingles(texts: list[list[str]], n: int) -> list[Hashes]:
    """The sorted distinct 64-bit hashes of all runs of n units of each text; a shorter text is one run by itself.

    Hashes depend on the units alone, so neither order nor company of the rows matters. Two different runs share a
    hash once in 10^19.
    """
    names = {unit: 0 for text in texts for unit in text}
    hashes = np.array([_hash(unit) for unit in names], np.uint64)
    place = {unit: i for i, unit in enumerate(names)}
    lengths = np.array([len(text) for text in texts], np.int64)
    ids = np.fromiter((place[unit] for text in texts for unit in text), np.int64, int(lengths.sum()))
    units = hashes[ids]
    multiplier = np.uint64(0x9E3779B97F4A7C15)
    runs = np.zeros(max(0, units.size - n + 1), np.uint64)
    for k in range(n):
        runs = runs * multiplier + units[k : k + runs.size]
    runs = _mixed(runs)
    sets: list[Hashes] = []
    for start, length in zip((np.cumsum(lengths) - lengths).tolist(), lengths.tolist(), strict=True):
        if length >= n:
            sets.append(np.unique(runs[start : start + length - n + 1]))
        else:
            whole = np.zeros(min(1, length), np.uint64)
            for unit in units[start : start + length]:
                whole = whole * multiplier + unit
            sets.append(_mixed(whole + np.uint64(length)))
    return sets


def _hash(unit: str) -> int:
    return int.from_bytes(hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64: every bit of the input moves every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _are_near(flat: Any, starts: Any, one: int, others: Any, level: float) -> Any:
    """[K] is each of the other sets at Jaccard >= `level` from set `one`? Sets are ascending stretches of `flat`.

    With c shared hashes and m that stand in one set only, the sizes add to m + 2c and Jaccard is c / (c + m), so it
    reaches s just when m <= (m + 2c) (1 - s) / (1 + s): the walk stops once m is above that.
    """
    near = np.zeros(others.size, np.bool_)
    end_i = starts[one + 1]
    for k in range(others.size):
        i, j, end_j = starts[one], starts[others[k]], starts[others[k] + 1]
        allowed = (end_i - i + end_j - j) * (1 - level) / (1 + level) + 1e-9
        missing = 0
        while i < end_i and j < end_j and missing <= allowed:
            if flat[i] == flat[j]:
                i += 1
                j += 1
            elif flat[i] < flat[j]:
                i += 1
                missing += 1
            else:
                j += 1
                missing += 1
        near[k] = missing + (end_i - i) + (end_j - j) <= allowed
    return near
