"""Single records of a run index: their words, and the runs that a text shares with a given record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from remanence.text import run_search
from remanence.text.run_index import RunIndex
from remanence.text.run_store import look_up
from remanence.text.runs import Runs, maximal
from remanence.text.words import Words

Ints = NDArray[np.int64]


def record_words(index: RunIndex, records: Ints) -> Words:
    """The words of these records [R] as a batch of R texts; characters as in the first exact copy of each."""
    lengths = np.zeros(records.size, np.int64)
    parts: list[tuple[Ints, Ints, Ints]] = []
    for number, shard in enumerate(index.shards):
        stretch = index.stretches(shard, records, records.size)
        here = np.flatnonzero(stretch[:, 1])
        lengths[here] = stretch[here, 1] - stretch[here, 0] - 1
        first_word = stretch[here, 0] - np.searchsorted(shard.begins, stretch[here, 0])
        parts.append((here, np.full(here.size, number), first_word))
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    keys = np.empty(int(offsets[-1]), np.uint64)
    starts, ends = np.empty(keys.size, np.int32), np.empty(keys.size, np.int32)
    for number, shard in enumerate(index.shards):
        here, _, first_word = parts[number]
        into = _ranges(offsets[here], lengths[here])
        words = _ranges(first_word, lengths[here])
        rows = np.repeat(np.searchsorted(shard.rows, index.first_copy[records[here]]), lengths[here])
        keys[into] = shard.vocabulary[shard.text[words + rows] - 1]
        starts[into], ends[into] = shard.starts[words], shard.ends[words]
    return Words(keys, starts, ends, offsets)


def runs_in(index: RunIndex, words: Words, records: Ints, min_words: int) -> Runs:
    """The maximal runs that each text [N] shares with the one record [N] named for it (-1 = none).

    They may be shorter than those of `RunIndex.runs`, where another record shares more. `num_records` is 1.
    """
    found: list[Runs] = []
    for shard in index.shards:
        stretch = index.stretches(shard, records, records.size)
        numbers = look_up(words.keys, shard.vocabulary, shard.buckets)
        lengths = run_search.lengths_in_row(shard.text, numbers, words.offsets, stretch)
        at = maximal(lengths, words.offsets, min_words)
        texts = np.searchsorted(words.offsets, at, side="right") - 1
        size = lengths[at].astype(np.int64)
        places = run_search.places_in_rows(shard.text, numbers, at, size, stretch[texts])
        ones = np.ones(at.size, np.int64)
        found.append(Runs(texts, at - words.offsets[texts], size, ones, index.first_copy[records[texts]], places))
    if not found:
        return Runs(*(np.empty(0, np.int64) for _ in range(6)))
    return Runs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _ranges(starts: Ints, lengths: Ints) -> Ints:
    """starts[0], starts[0] + 1, ..., lengths[0] of them, then those of the next."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
