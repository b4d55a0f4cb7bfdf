"""The verbatim evidence of a batch of texts: which words the prompt or common phrases explain, and the best chains.

Words copied from the prompt and phrases that held-out texts also contain get 0 bits (`covered`). Every other word gets
its surprisal given all other records (`background`), and runs shared with one record are chained over small changes
(`chain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.measure.plagiarism.index import CorpusIndex
from remanence.measure.plagiarism.types import GeneratedText
from remanence.text.background import credited, run_bits
from remanence.text.chain import Chains, Seeds, best_scores, chains
from remanence.text.covered import covered_by_lengths, covered_by_other
from remanence.text.run_index import MIN_WORDS, RunIndex
from remanence.text.run_records import record_words, runs_in
from remanence.text.words import Words, words_of

Ints = NDArray[np.int64]

COMMON_WORDS = 8
"""A run of this many words that held-out texts also contain gets 0 bits. Shorter common runs keep their few bits,
because copies would fall apart without them: at 4 words, half of the 20-word copies in task dialogues are missed."""
MAX_RECORDS = 16
"""Maximum number of records listed for each run, besides the prompted record."""


class Batch(NamedTuple):
    """N texts as words, with prompt and record numbers."""

    words: Words
    prompts: Words
    prompt_of: Ints
    """[N] number of the prompt; -1 = none."""
    own: Ints
    """[N] number of the prompted record; -1 = none."""
    heldout: Ints
    """[N] number among the held-out texts; -1 = not one of them."""


class Evidence(NamedTuple):
    """Explained words and chains of a batch."""

    batch: Batch
    from_prompt: NDArray[np.bool_]
    """[W]"""
    common: NDArray[np.bool_]
    """[W] not from the prompt, but in a run of `COMMON_WORDS` that held-out texts also contain."""
    phrase: NDArray[np.bool_]
    """[W] the same for runs of `MIN_WORDS`."""
    bits: NDArray[np.float64]
    """[W, D] surprisal of each word, see `Background.left_out_bits`; 0 if it is explained."""
    records: Ints
    """[R] the records that share a run with a text."""
    corpus: Words
    """Their words."""
    chains: Chains
    """Their `records` are indices into `records`."""
    most: NDArray[np.float64]
    """[N] bits if the whole text were one run; 0 for a text too short for a run."""

    @property
    def best(self) -> NDArray[np.float64]:
        """[N] bits of the best chain of each text."""
        return best_scores(self.chains, self.most.size)


def batch_of(texts: Sequence[GeneratedText]) -> Batch:
    """Generated texts as the input of `evidence_of`."""
    prompts = np.array([i if text.prompt else -1 for i, text in enumerate(texts)], np.int64)
    own = np.array([text.own for text in texts], np.int64)
    heldout = np.array([text.heldout for text in texts], np.int64)
    return Batch(words_of([t.text for t in texts]), words_of([t.prompt for t in texts]), prompts, own, heldout)


def evidence_of(
    index: CorpusIndex,
    batch: Batch,
    common: RunIndex | None = None,
    bits_WD: NDArray[np.float64] | None = None,
) -> Evidence:
    """The evidence of a batch; `bits_WD` [W, D] replaces the surprisals of the corpus, such as a base model's."""
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
    batch_chains = _chains(index, batch, bits, records, corpus, seeds)
    return Evidence(batch, from_prompt, shared, phrase, bits, records, corpus, batch_chains, most)


def _chains(
    index: CorpusIndex, batch: Batch, bits: NDArray[np.float64], records: Ints, corpus: Words, seeds: Seeds
) -> Chains:
    """The chains of the records that share most, and those of the prompted record, computed apart so that other
    records that share as much cannot displace it."""
    rows = np.searchsorted(corpus.offsets, seeds.corpus_starts, side="right") - 1
    own = batch.own[seeds.texts]
    prompted = np.flatnonzero((own >= 0) & (records[rows] == index.runs.first_copy[own]))
    parts: list[Chains] = []
    for which in (prompted, np.setdiff1d(np.arange(own.size), prompted)):
        part = chains(batch.words, bits, corpus, Seeds(*(column[which] for column in seeds)))
        parts.append(part._replace(seeds=which[part.seeds]))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((-columns[2], columns[0]))
    return Chains(*(column[order] for column in columns))


def seeds_of_batch(index: CorpusIndex, batch: Batch, bits: NDArray[np.float64]) -> tuple[Ints, Words, Seeds]:
    """The records that share runs with more than 0 bits, their words, and the runs; the prompted record is kept."""
    words = batch.words
    runs = index.runs.runs(words, MIN_WORDS)
    places = index.runs.places(words, runs, MAX_RECORDS)
    prompted = runs_in(index.runs, words, batch.own, MIN_WORDS)
    texts = np.concatenate((runs.texts[places.runs], prompted.texts))
    starts = words.offsets[texts] + np.concatenate((runs.starts[places.runs], prompted.starts))
    lengths = np.concatenate((runs.lengths[places.runs], prompted.lengths))
    owners = np.concatenate((places.records, prompted.records))
    record_starts = np.concatenate((places.starts, prompted.record_starts))
    keep = run_bits(bits, starts, lengths) > 0
    seeds = np.stack((texts, starts, lengths, owners, record_starts), axis=1)[keep]
    seeds = np.unique(seeds, axis=0)
    texts, starts, lengths, owners, record_starts = seeds.T
    records, which = np.unique(owners, return_inverse=True)
    corpus = record_words(index.runs, records)
    return records, corpus, Seeds(texts, starts, corpus.offsets[which] + record_starts, lengths)
