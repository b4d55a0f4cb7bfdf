"""Reading a corpus once: copies are found among many rows, and two digests must agree in both halves."""

from __future__ import annotations

from unittest import mock

import numpy as np

from remanence.text import run_build
from remanence.text.run_build import Corpus, corpus_fingerprint
from remanence.text.run_index import RunIndex
from remanence.text.words import words_of


def test_copies_by_hand():
    corpus = Corpus(["one two", "One, two!", "", "two one", "one two", "..."])
    (portion,) = corpus.portions(1000)
    assert corpus.first_copy.tolist() == [0, 0, 2, 3, 0, 2]
    assert portion.rows.tolist() == [0, 3] and portion.lengths.tolist() == [2, 2]
    assert portion.starts.tolist() == [0, 4, 0, 4] and portion.ends.tolist() == [3, 7, 3, 7]
    assert corpus.fingerprint == corpus_fingerprint(["one two", "One, two!", "", "two one", "one two", "..."])


def test_copies_among_more_rows_than_the_table_begins_with():
    texts = [f"row {i % 50_000}" for i in range(90_000)]
    corpus = Corpus(texts)
    kept = np.concatenate([portion.rows for portion in corpus.portions(1 << 16)])
    np.testing.assert_array_equal(corpus.first_copy, np.arange(90_000) % 50_000)
    np.testing.assert_array_equal(kept, np.arange(50_000))


def test_rows_that_share_half_a_digest_are_no_copies():
    table = run_build._empty_table(8)
    digests = np.array([[5, 1], [5, 2], [5, 1], [6, 1]], np.uint64)
    assert run_build._first_with(table, digests, np.arange(4)).tolist() == [0, 1, 0, 3]


def test_a_limit_counts_records_of_all_shards():
    with mock.patch.object(run_build, "CHARACTERS", 40):
        index = RunIndex.build([f"the same four words {i}" for i in range(30)], shard_words=1)
    assert len(index.shards) > 5
    words = words_of(["the same four words"])
    runs = index.runs(words)
    assert runs.num_records.tolist() == [30]
    assert index.places(words, runs, limit=7).records.size == 7
    assert index.places(words, runs, limit=None).records.tolist() == list(range(30))
