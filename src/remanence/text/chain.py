"""Chaining: shared runs of one record are joined over replaced, missing and added words.

Seed and extend with affine gaps in a band around the seed's diagonal: Altschul et al. 1997, "Gapped BLAST and
PSI-BLAST", Nucleic Acids Research 25:3389-3402; Gotoh 1982, "An improved algorithm for matching biological sequences".

The score is in bits: the surprisal of the equal words (`remanence.text.background`) minus the costs of the changes. The
costs correspond to one changed word in a hundred: log2(100) = 6.6 bits for a replaced word; and one run of
words left out or put in for a thousand copied, 10 bits, and 2 bits for each further word of it. Copies with every fifth
word replaced are still found; cheaper changes find a few more of them, and let held-out texts that quote score higher.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.text.chain_kernels import extend, grow_all, room_for
from remanence.text.run_index import Places, Runs
from remanence.text.words import Words

Ints = NDArray[np.int64]
Bits = NDArray[np.float64]

BAND = 8
"""Maximum shift of a chain from the diagonal of its seed by missing or added words, in words."""


class Costs(NamedTuple):
    """Costs of changes, in bits."""

    replaced: float = 6.6
    """A word of the text is replaced by another word in the record."""
    opened: float = 10.0
    """First word of a gap: words that only one side has."""
    extended: float = 2.0
    """Each further word of the gap."""
    drop: float = 30.0
    """A chain ends where its score is this far below its best."""


class Seeds(NamedTuple):
    """K runs of words that a text and a record share, by text and first word of the query.

    Places are counted over the whole batch and corpus.
    """

    texts: Ints
    """[K] which text of the query."""
    query_starts: Ints
    """[K] first word, as an index into the keys of the query."""
    corpus_starts: Ints
    """[K] first word, as an index into the keys of the corpus."""
    lengths: Ints
    """[K] words."""


class Chains(NamedTuple):
    """C chains, those of a text together and best first."""

    texts: Ints
    records: Ints
    scores: Bits
    """Bits; higher = more was copied."""
    query_starts: Ints
    query_ends: Ints
    """One past the last word, as an index into the keys of the query."""
    corpus_starts: Ints
    corpus_ends: Ints
    matched: Ints
    """Words that are equal on both sides."""
    seeds: Ints
    """Which seed each chain was grown from."""


def seeds_of(words: Words, corpus: Words, runs: Runs, places: Places) -> Seeds:
    """The runs of a `RunIndex` in all the places listed for them; `corpus` holds the words of the indexed texts."""
    which = places.runs
    return Seeds(
        runs.texts[which],
        (words.offsets[runs.texts] + runs.starts)[which],
        corpus.offsets[places.records] + places.starts,
        runs.lengths[which],
    )


def chains(
    query: Words,
    bits_WD: Bits,
    corpus: Words,
    seeds: Seeds,
    costs: Costs | None = None,
    records: int = 8,
    band: int = BAND,
) -> Chains:
    """Grow the seeds of each text into chains; of each text, the `records` records whose seeds are worth most.

    `bits_WD` [W, D] speaks of the words of the query, as `Background.left_out_bits` gives it: column r is what a word
    is worth when it is the r-th equal word in a row. A seed inside a chain of its record is not grown again. Chains
    whose score is not above 0 are left out. A few thousand texts of 100 words per CPU-second.
    """
    if bits_WD.shape[0] != query.keys.size:
        raise ValueError(f"the query has {query.keys.size} words, but bits for {bits_WD.shape[0]}")
    of = np.searchsorted(corpus.offsets, seeds.corpus_starts, side="right") - 1
    table = grow_all(
        *(query.keys, query.offsets, np.ascontiguousarray(bits_WD, np.float64), corpus.keys, corpus.offsets),
        *(seeds.texts, seeds.query_starts, seeds.corpus_starts, seeds.lengths, of.astype(np.int64)),
        *(costs or Costs(), records, band),
    )
    places, scores = table
    return Chains(places[:, 0], places[:, 1], scores, *(places[:, k] for k in range(2, 8)))


def best_scores(found: Chains, num_texts: int) -> Bits:
    """[N] the score of the best chain of each text; 0 = it shares no run with any record."""
    best = np.zeros(num_texts, np.float64)
    np.maximum.at(best, found.texts, found.scores)
    return best


def pieces(
    query: Words, bits_WD: Bits, corpus: Words, seeds: Seeds, seed: int, costs: Costs | None = None, band: int = BAND
) -> Ints:
    """[P, 3] the equal runs within the chain of one seed, in order: query word, corpus word, length."""
    text, q, c, length = (int(column[seed]) for column in seeds)
    record = int(np.searchsorted(corpus.offsets, c, side="right")) - 1
    room = room_for(query.offsets, band)
    bounds = (query.offsets[text], query.offsets[text + 1], corpus.offsets[record], corpus.offsets[record + 1])
    arguments = (query.keys, corpus.keys, *bounds, np.ascontiguousarray(bits_WD, np.float64), costs or Costs(), band)
    _, _, _, left = extend(*arguments, q - 1, c - 1, -1, *room)
    ahead = np.arange(length)
    before = room[3][:left].copy()[::-1]
    _, _, _, right = extend(*arguments, q + length, c + length, 1, *room)
    pairs = np.concatenate((before, np.stack((q + ahead, c + ahead), axis=1), room[3][:right]))
    new = np.flatnonzero(np.concatenate(([True], (np.diff(pairs, axis=0) != 1).any(axis=1))))
    lengths = np.diff(np.concatenate((new, [len(pairs)])))
    return np.concatenate((pairs[new], lengths[:, None]), axis=1)
