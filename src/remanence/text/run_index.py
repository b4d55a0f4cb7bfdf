"""Run index: all word runs that a text shares with a corpus, exactly and without a candidate step.

No candidates are retrieved first: each word of the query is looked up in a dictionary of all suffixes of all records,
so every shared run is found, down to a single word. Lee et al. 2022, "Deduplicating Training Data Makes Language
Models Better", arXiv 2107.06499, find copies with the same structure; `run_sort` says how it is made, `run_search` how
it is read, `run_store` what lies on disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.text import run_search
from remanence.text.run_build import Corpus
from remanence.text.run_store import (
    Shard,
    build_shard,
    is_whole,
    look_up,
    open_array,
    open_shard,
    read_manifest,
    refuse_foreign,
    save_shard,
    shard_name,
    write_manifest,
)
from remanence.text.runs import Places, Runs, maximal
from remanence.text.words import Words

MIN_WORDS = 4
"""Shortest run of words that is looked up; shorter runs are too common to identify a record."""
SHARD_WORDS = 1 << 24
"""Words indexed together. Building takes about 75 bytes of memory for each of them; a query asks every shard."""
ALL = np.iinfo(np.int64).max


class RunIndex:
    """All word runs of a corpus. `RunIndex.build` makes one, `RunIndex.open` maps one from disk.

    Every method takes words from `words_of`. Where `own` [N] names a record for each text (-1 = none), that record and
    its exact copies are left out, as if they were not in the corpus.
    """

    def __init__(self, shards: tuple[Shard, ...], first_copy: NDArray[np.int64], fingerprint: str) -> None:
        self.shards = shards
        self.first_copy = first_copy
        """[R] for each record the first one with the same words in the same order."""
        self.fingerprint = fingerprint
        """Digest of all texts in order; `corpus_fingerprint` computes it without building."""

    @classmethod
    def build(cls, texts: Iterable[str], folder: Path | None = None, *, shard_words: int = SHARD_WORDS) -> RunIndex:
        """Index all texts, read once: in memory, or in a folder, from which the index is mapped then.

        With a folder a corpus may be larger than memory: at most one shard is held. What an earlier build left there,
        even one that was killed, is used again as far as the texts are the same, and removed as far as they are not.
        ValueError for a folder that holds something else. One build at a time.
        """
        corpus = Corpus(texts)
        if folder is None:
            shards = tuple(build_shard(*portion) for portion in corpus.portions(shard_words))
            return cls(shards, corpus.first_copy, corpus.fingerprint)
        refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names: list[str] = []
        for portion in corpus.portions(shard_words):
            names.append(shard_name(*portion))
            if not is_whole(folder / names[-1]):
                save_shard(build_shard(*portion), folder / names[-1])
        write_manifest(folder, {"fingerprint": corpus.fingerprint, "shards": names}, corpus.first_copy)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path, *, fingerprint: str | None = None) -> RunIndex:
        """Map a finished index; nothing is read until it is asked.

        ValueError when there is none, when other rules cut its words, when a file is damaged, or when it is of other
        texts than those with this `fingerprint`.
        """
        manifest = read_manifest(folder)
        if fingerprint not in (None, manifest["fingerprint"]):
            raise ValueError(
                f"the corpus has changed since {folder} was built; RunIndex.build(texts, folder) updates it"
            )
        copies = open_array(folder / f"copies-{manifest['fingerprint']}.npy")
        return cls(tuple(open_shard(folder / name) for name in manifest["shards"]), copies, manifest["fingerprint"])

    @property
    def num_records(self) -> int:
        """R: all records, copies and empty ones too."""
        return int(self.first_copy.size)

    @property
    def num_distinct(self) -> int:
        """Records that have words, exact copies counted once."""
        return sum(shard.rows.size for shard in self.shards)

    @property
    def num_words(self) -> int:
        """Words of the distinct records."""
        return sum(shard.order.size for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Size of all arrays, in memory or on disk."""
        return sum(shard.num_bytes for shard in self.shards) + self.first_copy.nbytes

    @cached_property
    def copies(self) -> NDArray[np.int64]:
        """[R] how many records have the words of this one, itself included."""
        return np.bincount(self.first_copy, minlength=self.num_records)[self.first_copy]

    def match_lengths(self, words: Words, own: NDArray[np.int64] | None = None) -> NDArray[np.int32]:
        """[W] words of the longest run that begins at each word of the query and stands in a record; 0 = none."""
        lengths = np.zeros(words.keys.size, np.int32)
        for shard in self.shards:
            found = run_search.match_lengths(
                shard.text,
                shard.order,
                shard.firsts,
                _numbers(shard, words),
                words.offsets,
                self.stretches(shard, own, words.offsets.size - 1),
            )
            np.maximum(lengths, found, out=lengths)
        return lengths

    def runs(self, words: Words, min_words: int = MIN_WORDS, own: NDArray[np.int64] | None = None) -> Runs:
        """All maximal runs of at least `min_words` words."""
        if min_words < 1:
            raise ValueError(f"a run has at least one word, got min_words={min_words}")
        lengths = self.match_lengths(words, own)
        at = maximal(lengths, words.offsets, min_words)
        texts = np.searchsorted(words.offsets, at, side="right") - 1
        found = Runs(
            texts,
            at - words.offsets[texts],
            lengths[at].astype(np.int64),
            np.zeros(at.size, np.int64),
            np.full(at.size, -1, np.int64),
            np.full(at.size, -1, np.int64),
        )
        owners = None if own is None else own[texts]
        for shard in self.shards:
            numbers = _numbers(shard, words)
            slots = _slots(shard, numbers, at, found.lengths)
            held = np.flatnonzero(slots[:, 1] > slots[:, 0])
            low, high = slots[held].T
            found.num_records[held] += high - low - (shard.repeats[high - 1] - shard.repeats[low])
            mine = self.stretches(shard, owners, at.size)
            inside = run_search.places_in_rows(shard.text, numbers, at, found.lengths, mine) >= 0
            found.num_records[inside] -= 1
            # Of the first two records that hold a run one at least is not its own.
            room = np.where(found.records >= 0, 0, 1 + inside)
            runs, rows, starts = run_search.list_rows(shard.order, shard.begins, slots, room)
            other = ~inside[runs] | (shard.begins[rows] != mine[runs, 0])
            which, first = np.unique(runs[other], return_index=True)
            found.records[which] = shard.rows[rows[other][first]]
            found.record_starts[which] = starts[other][first]
        return found

    def places(self, words: Words, runs: Runs, limit: int | None = 10) -> Places:
        """Up to `limit` records (None = all) that hold each run; which ones is arbitrary but always the same."""
        at = words.offsets[runs.texts] + runs.starts
        room = np.full(at.size, ALL if limit is None else limit)
        parts = [(np.empty(0, np.int64),) * 3]
        for shard in self.shards:
            slots = _slots(shard, _numbers(shard, words), at, runs.lengths)
            which, rows, starts = run_search.list_rows(shard.order, shard.begins, slots, room)
            room -= np.bincount(which, minlength=at.size)
            parts.append((which, shard.rows[rows], starts.astype(np.int64)))
        which, records, starts = (np.concatenate(column) for column in zip(*parts, strict=True))
        by = np.lexsort((records, which))
        return Places(which[by], records[by], starts[by])

    def place_in(self, words: Words, runs: Runs, records: NDArray[np.int64]) -> NDArray[np.int64]:
        """[K] where each run first stands in the one record [K] named, in words; -1 = it does not (or record is -1)."""
        at = words.offsets[runs.texts] + runs.starts
        found = np.full(at.size, -1, np.int64)
        for shard in self.shards:
            rows = self.stretches(shard, records, at.size)
            here = run_search.places_in_rows(shard.text, _numbers(shard, words), at, runs.lengths, rows)
            np.maximum(found, here, out=found)
        return found

    def counts(self, words: Words, max_n: int = 5, own: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """[max_n, W] in how many records the 1, 2, ... max_n words from each word of the query on stand in a row.

        Exact copies count once. 0 where the text is over before.
        """
        counts = np.zeros((max_n, words.keys.size), np.int64)
        for shard in self.shards:
            numbers = _numbers(shard, words)
            run_search.count_rows(shard.text, shard.order, shard.repeats, shard.firsts, numbers, words.offsets, counts)
            if own is not None:
                rows = self.stretches(shard, own, words.offsets.size - 1)
                held = run_search.lengths_in_row(shard.text, numbers, words.offsets, rows)
                counts -= held >= np.arange(1, max_n + 1)[:, None]
        return counts

    def spans(
        self, records: NDArray[np.int64], starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[P] first character and one past the last of runs of words in records, as `Runs` and `Places` have them.

        Of an exact copy the characters are those of the first one; its words are the same, its punctuation may not be.
        """
        begins, ends = np.full(records.size, -1, np.int64), np.full(records.size, -1, np.int64)
        for shard in self.shards:
            stretch = self.stretches(shard, records, records.size)
            here = np.flatnonzero(stretch[:, 1])
            # A word's place among the words is its place in the text less one 0 for each row before.
            word = stretch[here, 0] - np.searchsorted(shard.begins, stretch[here, 0]) + starts[here]
            begins[here] = shard.starts[word]
            ends[here] = shard.ends[word + lengths[here] - 1]
        return begins, ends

    def stretches(self, shard: Shard, records: NDArray[np.int64] | None, num: int) -> NDArray[np.int64]:
        """[num, 2] where in the shard's text each record stands; (0, 0) when it is not there or -1."""
        stretches = np.zeros((num, 2), np.int64)
        if records is None:
            return stretches
        if records.shape != (num,) or (num and (records.min() < -1 or records.max() >= self.num_records)):
            raise ValueError(
                f"one record number for each of {num} texts or runs, from 0 to {self.num_records - 1} or -1 for none; "
                f"got shape {records.shape}"
            )
        named = np.flatnonzero(records >= 0)
        wanted = self.first_copy[records[named]]
        row = np.searchsorted(shard.rows, wanted)
        there = row < shard.rows.size
        there[there] = shard.rows[row[there]] == wanted[there]
        stretches[named[there], 0] = shard.begins[row[there]]
        stretches[named[there], 1] = shard.begins[row[there] + 1]
        return stretches


def _numbers(shard: Shard, words: Words) -> NDArray[np.int32]:
    return look_up(words.keys, shard.vocabulary, shard.buckets)


def _slots(shard: Shard, numbers: Any, at: Any, lengths: Any) -> NDArray[np.int64]:
    return run_search.slots_of_runs(shard.text, shard.order, shard.firsts, numbers, at, lengths)
