"""What single records say, and what a text shares with the record it came from."""

import numpy as np
import pytest

from remanence.text.run_index import RunIndex
from remanence.text.run_records import record_words, runs_in
from remanence.text.words import words_of

TEXTS = ["a b c d e", "x b c d y", "a b c d e", "", "q r", "b c d e f g h"]


@pytest.fixture(params=[1, 1 << 20], ids=["many shards", "one shard"])
def index(request: pytest.FixtureRequest) -> RunIndex:
    return RunIndex.build(TEXTS, shard_words=request.param)


def test_words_of_records_are_those_of_their_texts(index: RunIndex):
    asked = np.array([5, 0, 3, 2, 0])
    found, plain = record_words(index, asked), words_of([TEXTS[i] for i in asked])
    for one, other in zip(found, plain, strict=True):
        assert (one == other).all()
    assert record_words(index, np.empty(0, np.int64)).keys.size == 0


def test_runs_in_the_own_record_may_be_shorter_than_elsewhere(index: RunIndex):
    # The text shares b c d e f with record 5, but only b c d with record 1, from its word 1 on.
    words = words_of(["z b c d e f", "z b c d e f", "z b c d e f"])
    found = runs_in(index, words, np.array([1, 5, -1]), 2)
    assert found.texts.tolist() == [0, 1]
    assert found.starts.tolist() == [1, 1]
    assert found.lengths.tolist() == [3, 5]
    assert found.records.tolist() == [1, 5]
    assert found.record_starts.tolist() == [1, 0]


def test_runs_in_agree_with_brute_force(index: RunIndex):
    rng = np.random.default_rng(0)
    for _ in range(30):
        query = rng.choice(list("abcdefg"), 9).tolist()
        own = int(rng.integers(0, len(TEXTS)))
        record = TEXTS[own].split()
        pairs = [
            (i, n)
            for i in range(9)
            for n in range(2, 10 - i)
            if any(record[j : j + n] == query[i : i + n] for j in range(len(record)))
        ]
        wanted = {p for p in pairs if not any(q != p and q[0] <= p[0] and p[0] + p[1] <= q[0] + q[1] for q in pairs)}
        found = runs_in(index, words_of([" ".join(query)]), np.array([own]), 2)
        assert set(zip(found.starts.tolist(), found.lengths.tolist(), strict=True)) == wanted
