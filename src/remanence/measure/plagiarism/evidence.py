"""The verbatim evidence of a batch of texts: which words are explained, and the best chains of all others.

Before anything counts, words that the prompt explains and phrases that held-out texts use too are worth nothing
(`covered`). What remains is worth its surprisal, given all other records (`background`), and runs that one record
shares are chained over small changes (`chain`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.text.background import credited, run_bits
from remanence.text.chain import Chains, Seeds, best_scores, chains
from remanence.text.covered import covered_by_lengths, covered_by_other
from remanence.text.run_index import RunIndex
from remanence.text.run_records import record_words, runs_in
from remanence.text.words import Words

if TYPE_CHECKING:
    from remanence.measure.plagiarism.index import PlagiarismIndex

Ints = NDArray[np.int64]

MIN_WORDS = 4
"""Shorter runs are not looked at: nobody's phrase."""
COMMON_WORDS = 8
"""A run of so many words that held-out texts use too is worth nothing. Shorter ones have few bits anyway, and without
them copies fall apart: at 4 words, half of the 20-word copies in task dialogues are no longer found."""
PLACES = 16
"""Records listed of each run, beside the own one."""


class Batch(NamedTuple):
    """N texts as words, with what is known of each."""

    words: Words
    prompts: Words
    prompt_of: Ints
    """[N] number of its prompt; -1 = none."""
    own: Ints
    """[N] number of the record asked about; -1 = none."""
    heldout: Ints
    """[N] number among the held-out texts; -1 = none of them."""


class Evidence(NamedTuple):
    """What was found about a batch."""

    batch: Batch
    from_prompt: NDArray[np.bool_]
    """[W]"""
    common: NDArray[np.bool_]
    """[W] not from the prompt, but in a run of `COMMON_WORDS` that held-out texts use too."""
    phrase: NDArray[np.bool_]
    """[W] the same for runs of `MIN_WORDS`."""
    bits: NDArray[np.float64]
    """[W, D] what each word is worth, see `Background.left_out_bits`; 0 where it is explained."""
    records: Ints
    """[R] the records that share something."""
    corpus: Words
    """Their words."""
    chains: Chains
    """`records` are places in `records`."""
    most: NDArray[np.float64]
    """[N] bits if all of a text were one run; 0 for a text too short for a run."""

    @property
    def best(self) -> NDArray[np.float64]:
        """[N] bits of the best chain of each text."""
        return best_scores(self.chains, self.most.size)


def evidence_of(
    index: PlagiarismIndex,
    batch: Batch,
    common: RunIndex | None = None,
    bits_WD: NDArray[np.float64] | None = None,
) -> Evidence:
    """The evidence of a batch; `bits_WD` [W, D] replaces the corpus' own surprisals, for example by a base model's."""
    words = batch.words
    from_prompt = covered_by_other(words, batch.prompts, batch.prompt_of, MIN_WORDS)
    phrase = shared = np.zeros(words.keys.size, np.bool_)
    if common is not None and common.num_words:
        lengths = common.match_lengths(words, batch.heldout)
        phrase = covered_by_lengths(lengths, MIN_WORDS) & ~from_prompt
        shared = covered_by_lengths(lengths, COMMON_WORDS) & ~from_prompt
    bits = credited(index.background.left_out_bits(words) if bits_WD is None else bits_WD)
    bits[from_prompt | shared] = 0.0
    records, corpus, seeds = seeds_of_batch(index, batch, bits)
    num_words = np.diff(words.offsets)
    most = np.where(num_words < MIN_WORDS, 0.0, run_bits(bits, words.offsets[:-1], num_words))
    found = _chains(index, batch, bits, records, corpus, seeds)
    return Evidence(batch, from_prompt, shared, phrase, bits, records, corpus, found, most)


def _chains(
    index: PlagiarismIndex, batch: Batch, bits: NDArray[np.float64], records: Ints, corpus: Words, seeds: Seeds
) -> Chains:
    """The chains of the records that share most, and of the own one, which ten others that share as much must not
    push out."""
    of = np.searchsorted(corpus.offsets, seeds.corpus_starts, side="right") - 1
    own = batch.own[seeds.texts]
    mine = np.flatnonzero((own >= 0) & (records[of] == index.runs.first_copy[own]))
    parts: list[Chains] = []
    for which in (mine, np.setdiff1d(np.arange(own.size), mine)):
        part = chains(batch.words, bits, corpus, Seeds(*(column[which] for column in seeds)))
        parts.append(part._replace(seeds=which[part.seeds]))
    found = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((-found[2], found[0]))
    return Chains(*(column[order] for column in found))


def seeds_of_batch(index: PlagiarismIndex, batch: Batch, bits: NDArray[np.float64]) -> tuple[Ints, Words, Seeds]:
    """The records that share runs worth anything, their words, and the runs; the own record's are always among them."""
    words = batch.words
    runs = index.runs.runs(words, MIN_WORDS)
    places = index.runs.places(words, runs, PLACES)
    mine = runs_in(index.runs, words, batch.own, MIN_WORDS)
    texts = np.concatenate((runs.texts[places.runs], mine.texts))
    starts = words.offsets[texts] + np.concatenate((runs.starts[places.runs], mine.starts))
    lengths = np.concatenate((runs.lengths[places.runs], mine.lengths))
    owners = np.concatenate((places.records, mine.records))
    record_starts = np.concatenate((places.starts, mine.record_starts))
    worth = run_bits(bits, starts, lengths) > 0
    told = np.stack((texts, starts, lengths, owners, record_starts), axis=1)[worth]
    told = np.unique(told, axis=0)
    texts, starts, lengths, owners, record_starts = told.T
    records, which = np.unique(owners, return_inverse=True)
    corpus = record_words(index.runs, records)
    return records, corpus, Seeds(texts, starts, corpus.offsets[which] + record_starts, lengths)
