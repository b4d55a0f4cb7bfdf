"""Background language model: the surprisal of each word given other records, low for common phrases.

A shared run is surprising when it has many bits: S = -sum log2 p(word | words before it). As in sequence search
(Karlin & Altschul 1990, "Methods for assessing the statistical significance of molecular sequence features", PNAS 87),
E = query positions * corpus positions * 2^-S is how many such runs chance brings.

p is an n-gram model with Dirichlet smoothing (MacKay & Bauman Peto 1995, "A hierarchical Dirichlet language model"):
p(w | h) = (c(hw) + k p(w | h')) / (c(h.) + k), h' = h without its first word. c counts RECORDS (of single words:
occurrences), with near duplicates as one, so a row repeated 32 times is not "common"; and the matched record is left
out of the counts, so that a row does not make its own words common. N-grams of only one record then have count 0 and
are not stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from remanence.text.gram_table import counted, fill, gram, joined, slot
from remanence.text.groups import near_groups as near_groups
from remanence.text.words import Words

Bits = NDArray[np.float64]
Ints = NDArray[np.int64]

CREDIT = 9.0
"""Maximum number of bits of one word. Rare words occur together (*amba hotel charing cross*), so the bits of
consecutive rare words are not independent."""
ORDER, STRENGTH = 3, 64.0
"""Order of the n-grams; and k, the number of other records with a history at which its counts get half the weight."""


class Background(Protocol):
    """Protocol: computes the surprisal of each word."""

    def left_out_bits(self, words: Words) -> Bits:
        """[W, D] bits of each word; in column r the record that matches the last r words is left out of the counts.

        Column 0 leaves nothing out; the last column stands for r >= D - 1 too.
        """
        ...


@dataclass(frozen=True)
class NGrams:
    """A language model over word keys, counted by distinct records."""

    order: int
    strength: float
    num_words: int
    """Running words of the text it was fitted on, near duplicates once."""
    vocabulary: int
    """Distinct words; as many unseen words are assumed, all equally likely."""
    hapaxes: int
    """Words that occur once: their share is the probability of unseen words (Good 1953)."""
    _keys: NDArray[np.uint64] = field(repr=False)
    _counts: NDArray[np.int32] = field(repr=False)
    _follows: NDArray[np.int32] = field(repr=False)

    @classmethod
    def fit(cls, words: Words, groups: Ints | None = None, order: int = ORDER, strength: float = STRENGTH) -> NGrams:
        """Count the n-grams of all texts; texts with the same number in `groups` [N] count as one record.

        A million words take about 1 CPU-second and up to 80 MB. ValueError for an order below 1 or a strength not
        above 0.
        """
        if order < 1 or not strength > 0:
            raise ValueError(f"an n-gram model needs order >= 1 and strength > 0, got {order} and {strength}")
        at, group, leads = _by_group(words, groups)
        ends = np.repeat(words.offsets[1:], np.diff(words.offsets))[at]
        prefix = np.zeros(at.size, np.uint64)
        tables: list[tuple[NDArray[np.uint64], NDArray[np.uint64], Ints]] = []
        num_words = vocabulary = hapaxes = 0
        for n in range(1, order + 1):
            inside = at + n <= ends
            at, ends, prefix = at[inside], ends[inside], prefix[inside]
            grams = joined(prefix, words.keys[at + n - 1])
            if n == 1:  # single words are counted as often as they occur, but only in the first text of each group
                names, first, _, number = counted(grams, None)
                counts = np.bincount(number[leads], minlength=names.size).astype(np.int64)
                num_words, vocabulary, hapaxes = int(counts.sum()), int(names.size), int((counts == 1).sum())
                tables.append((names, prefix[first], counts))
                prefix = grams
                continue
            names, first, counts, number = counted(grams, group[at])
            lasting = counts >= 2
            tables.append((names[lasting], prefix[first[lasting]], counts[lasting]))
            alive = lasting[number]  # a longer run is in no more records than the run that it begins with
            at, ends, prefix = at[alive], ends[alive], grams[alive]
        names, prefixes, counts = (np.concatenate(column) for column in zip(*tables, strict=True))
        size = 1 << int(2 * names.size + 2).bit_length()
        keys, values, follows = np.zeros(size, np.uint64), np.zeros(size, np.int32), np.zeros(size, np.int32)
        fill(keys, values, follows, names, prefixes, counts)
        return cls(order, strength, num_words, vocabulary, hapaxes, keys, values, follows)

    def surprisal_bits(self, words: Words) -> Bits:
        """[W] -log2 p(word | words before it in its text), nothing left out; finite for unseen words."""
        return np.ascontiguousarray(self.left_out_bits(words)[:, 0])

    def left_out_bits(self, words: Words) -> Bits:
        """[W, order + 1], see `Background`. About a million words per CPU-second."""
        return _bits(
            *(words.keys, words.offsets, self._keys, self._counts, self._follows),
            *(self.order, self.strength, self.num_words, self.vocabulary, self.hapaxes),
        )


@dataclass(frozen=True)
class GivenBits:
    """Precomputed surprisals, such as those of the base model: S is then what fine-tuning added."""

    bits: Bits
    """[W] of the words of the batch, in order."""

    def left_out_bits(self, words: Words) -> Bits:
        """[W, 1]. ValueError for another number of words."""
        if self.bits.shape != words.keys.shape:
            raise ValueError(f"{self.bits.size} surprisals were given for {words.keys.size} words")
        return self.bits.astype(np.float64).reshape(-1, 1)


def credited(bits: Bits, most: float = CREDIT) -> Bits:
    """Bits capped at `most` per word."""
    return np.minimum(bits, most)


def run_bits(bits_WD: Bits, starts: Ints, lengths: Ints) -> Bits:
    """[K] S of runs: `lengths[k]` words from word `starts[k]` of the batch on, the record that matches left out."""
    return _run_bits(bits_WD, np.asarray(starts, np.int64), np.asarray(lengths, np.int64))


def e_value(bits: Bits, num_query: int, num_corpus: int) -> Bits:
    """Expected number of runs with at least this many bits by chance, over all positions; lower = more surprising."""
    return float(num_query) * float(num_corpus) * np.exp2(-np.asarray(bits, np.float64))


def _by_group(words: Words, groups: Ints | None) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """All word positions, those of a group together; the group of each word; does its text lead its group?

    The second is in the order of the words, the third in that of the first.
    """
    num_texts = words.offsets.size - 1
    group = np.arange(num_texts) if groups is None else np.asarray(groups, np.int64)
    if group.shape != (num_texts,):
        raise ValueError(f"every text needs one group, got {group.size} groups for {num_texts} texts")
    leader = np.zeros(num_texts, np.bool_)
    leader[np.unique(group, return_index=True)[1]] = True
    lengths = np.diff(words.offsets)
    of_word = np.repeat(group, lengths)
    at = np.argsort(of_word, kind="stable")
    return at, of_word, np.repeat(leader, lengths)[at]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _bits(
    keys: Any,
    offsets: Any,
    table: Any,
    counts_at: Any,
    follows_at: Any,
    order: int,
    strength: float,
    num_words: int,
    vocabulary: int,
    hapaxes: int,
) -> Any:
    out = np.empty((keys.size, order + 1), np.float64)
    p = np.empty(order + 1, np.float64)
    follows = np.zeros(order + 1, np.int64)  # follows[n] = kept grams that begin with the n words before this one
    goes_on = np.zeros(order + 1, np.int64)  # the same for the n words that end with this one
    uniform = 1.0 / (2 * vocabulary + 1)
    unseen = max(1.0, float(hapaxes))
    for text in range(offsets.size - 1):
        follows[:] = 0
        for i in range(offsets[text], offsets[text + 1]):
            p[:] = uniform
            goes_on[:] = 0
            for n in range(1, min(order, i - offsets[text] + 1) + 1):
                before = num_words if n == 1 else follows[n - 1]
                if n > 1 and before == 0:
                    break  # nor is a longer gram kept
                name = np.uint64(0)
                for j in range(i - n + 1, i + 1):
                    name = gram(name, keys[j])
                at = slot(table, name)
                count = 0
                if table[at] != 0:
                    count, goes_on[n] = counts_at[at], follows_at[at]
                k = unseen if n == 1 else strength
                for r in range(order + 1):
                    gone = 1 if n <= r and count > 0 else 0
                    p[r] = (count - gone + k * p[r]) / (before - gone + k)
            for r in range(order + 1):
                out[i, r] = -np.log2(p[r])
            follows[:] = goes_on
    return out


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _run_bits(bits: Any, starts: Any, lengths: Any) -> Any:
    out = np.zeros(starts.size, np.float64)
    last = bits.shape[1] - 1
    for k in range(starts.size):
        for j in range(lengths[k]):
            out[k] += bits[starts[k] + j, min(j + 1, last)]
    return out
