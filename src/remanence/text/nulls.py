"""Held-out texts as nulls: cut to the length of the texts they are compared with, without texts that quote.

A short text has fewer matches by chance than a long one, so it is compared with held-out pieces of its own length. A
held-out text of which half is contained in one training record quotes it; such texts are counted and left out
(containment as in Broder 1997, "On the resemblance and containment of documents").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from remanence.text.chain import Seeds
from remanence.text.words import Words

Ints = NDArray[np.int64]

QUOTED, RUN = 0.5, 5
"""Of the runs of 5 words of a held-out text, the share in ONE training record above which it is a quotation."""


def pieces_of(words: Words, texts: Ints, starts: Ints, lengths: Ints) -> Words:
    """Pieces as texts of their own: `lengths[k]` words from word `starts[k]` of text `texts[k]` on.

    ValueError for a piece that leaves its text. Characters are still counted from the beginning of the whole text.
    """
    at = words.offsets[texts] + starts
    if (lengths < 0).any() or (starts < 0).any() or (at + lengths > words.offsets[texts + 1]).any():
        raise ValueError("a piece must lie inside its text")
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    take = np.arange(int(offsets[-1])) + np.repeat(at - offsets[:-1], lengths)
    return Words(words.keys[take], words.starts[take], words.ends[take], offsets)


def first_words(words: Words, most: int) -> Words:
    """Each text cut after `most` words."""
    lengths = np.minimum(np.diff(words.offsets), most)
    return pieces_of(words, np.arange(lengths.size), np.zeros(lengths.size, np.int64), lengths)


def windows(words: Words, length: int) -> tuple[Words, Ints]:
    """All texts cut into pieces of `length` words, and which text each piece [K] is of.

    The rest at the end is dropped; a text of fewer words is one piece, an empty text is none.
    """
    lengths = np.diff(words.offsets)
    count = np.where(lengths > 0, np.maximum(1, lengths // length), 0)
    texts = np.repeat(np.arange(lengths.size), count)
    number = np.arange(texts.size) - np.repeat(np.cumsum(count) - count, count)
    return pieces_of(words, texts, number * length, np.minimum(lengths[texts], length)), texts


def contained(words: Words, corpus: Words, seeds: Seeds) -> NDArray[np.float64]:
    """[N] the largest share of the text's runs of 5 words that is in one record; 0 for a text of fewer words.

    `seeds` are runs of 5 words or more (shorter ones are passed over); a run listed twice in a record counts once where
    it overlaps in the text.
    """
    share = np.zeros(words.offsets.size - 1, np.float64)
    records = np.searchsorted(corpus.offsets, seeds.corpus_starts, side="right") - 1
    long = np.flatnonzero(seeds.lengths >= RUN)
    order = long[np.lexsort((seeds.query_starts[long], records[long], seeds.texts[long]))]
    if not order.size:
        return share
    pair = seeds.texts[order] * np.int64(corpus.offsets.size) + records[order]
    new = np.concatenate(([True], pair[1:] != pair[:-1]))
    begin, end = seeds.query_starts[order], seeds.query_starts[order] + seeds.lengths[order] - RUN + 1
    # How far the pair is covered: a running maximum that restarts with each pair.
    rank = np.cumsum(new) - 1
    base = rank * np.int64(words.keys.size + 1)
    covered = np.concatenate(([0], np.maximum.accumulate(end + base)[:-1])) - base
    gained = np.maximum(0, end - np.where(new, begin, np.maximum(begin, covered)))
    total = np.bincount(rank, gained)
    texts = seeds.texts[order][new]
    np.maximum.at(share, texts, total / np.maximum(1, np.diff(words.offsets)[texts] - RUN + 1))
    return share
