"""Chains over changed words: costs by hand, and a slow twin that fills the whole table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.chain import Chains, Costs, Seeds, best_scores, chains, pieces
from remanence.text.words import Words


def batch(texts: list[list[int]]) -> Words:
    """Texts of word numbers."""
    lengths = [len(text) for text in texts]
    empty = np.zeros(0, np.int32)
    keys = np.array([word + 1 for text in texts for word in text], np.uint64)
    return Words(keys, empty, empty, np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))


def seed(*rows: tuple[int, int, int, int]) -> Seeds:
    """Text, query word, corpus word, length of each seed."""
    return Seeds(*np.array(rows, np.int64).reshape(-1, 4).T)


def flat(words: Words, bits: float = 10.0) -> np.ndarray:
    return np.full((words.keys.size, 2), bits)


def all_seeds(query: Words, corpus: Words, least: int) -> Seeds:
    """Every maximal equal run on every diagonal, by trying all."""
    rows: list[tuple[int, int, int, int]] = []
    for t in range(query.offsets.size - 1):
        for i in range(query.offsets[t], query.offsets[t + 1]):
            for d in range(corpus.offsets.size - 1):
                for j in range(corpus.offsets[d], corpus.offsets[d + 1]):
                    low_q, low_c = query.offsets[t], corpus.offsets[d]
                    if i > low_q and j > low_c and query.keys[i - 1] == corpus.keys[j - 1]:
                        continue
                    n = 0
                    while (
                        i + n < query.offsets[t + 1]
                        and j + n < corpus.offsets[d + 1]
                        and query.keys[i + n] == corpus.keys[j + n]
                    ):
                        n += 1
                    if n >= least:
                        rows.append((t, int(i), int(j), n))
    return seed(*rows)


def test_a_replaced_word_costs_its_bits_and_the_chain_goes_on():
    # the copy says 9 for the record's 3: four equal words before, three after
    query, corpus = batch([[0, 1, 2, 7, 9, 4, 5, 6]]), batch([[0, 1, 2, 7, 3, 4, 5, 6]])
    found = chains(query, flat(query), corpus, seed((0, 0, 0, 4)))
    assert found.scores.tolist() == [pytest.approx(7 * 10 - 6.6)]
    assert (found.query_starts[0], found.query_ends[0], found.corpus_ends[0], found.matched[0]) == (0, 8, 8, 7)
    assert pieces(query, flat(query), corpus, seed((0, 0, 0, 4)), 0).tolist() == [[0, 0, 4], [5, 5, 3]]


def test_two_words_left_out_cost_an_opening_and_an_extension():
    query, corpus = batch([[0, 1, 2, 5, 6, 7]]), batch([[0, 1, 2, 3, 4, 5, 6, 7]])
    found = chains(query, flat(query), corpus, seed((0, 3, 5, 3)))
    assert found.scores.tolist() == [pytest.approx(60 - 10.0 - 2.0)]
    assert (found.query_starts[0], found.corpus_starts[0], found.matched[0]) == (0, 0, 6)
    assert pieces(query, flat(query), corpus, seed((0, 3, 5, 3)), 0).tolist() == [[0, 0, 3], [3, 5, 3]]


def test_a_change_that_costs_more_than_what_follows_is_worth_ends_the_chain():
    query, corpus = batch([[0, 1, 2, 9, 4]]), batch([[0, 1, 2, 3, 4]])
    found = chains(query, flat(query, 6.0), corpus, seed((0, 0, 0, 3)))
    assert (found.scores[0], found.query_ends[0]) == (18.0, 3)


def test_the_first_word_of_a_run_is_worth_what_its_own_column_says():
    # columns: 0 (unused for equal words), 1 = first equal word, 2 = second and later ones
    query, corpus = batch([[0, 1, 9, 2, 3]]), batch([[0, 1, 8, 2, 3]])
    bits = np.tile([99.0, 20.0, 5.0], (5, 1))
    assert chains(query, bits, corpus, seed((0, 0, 0, 2))).scores[0] == pytest.approx(20 + 5 - 6.6 + 20 + 5)


def test_a_chain_does_not_leave_its_record_or_its_text():
    query, corpus = batch([[0, 1], [2, 3]]), batch([[0, 1], [2, 3]])
    found = chains(query, flat(query), corpus, seed((0, 0, 0, 2), (1, 2, 2, 2)))
    assert found.scores.tolist() == [20, 20]
    assert found.records.tolist() == [0, 1]


def test_seeds_within_a_chain_are_not_grown_again_and_the_best_comes_first():
    query = batch([[0, 1, 2, 9, 4, 5, 6]])
    corpus = batch([[0, 1, 2, 3, 4, 5, 6], [4, 5, 6, 7]])
    found = chains(query, flat(query), corpus, seed((0, 0, 0, 3), (0, 4, 4, 3), (0, 4, 7, 3)))
    assert found.records.tolist() == [0, 1]
    assert found.scores.tolist() == [pytest.approx(60 - 6.6), 30]


def test_only_the_richest_records_are_looked_at():
    query = batch([[0, 1, 2, 3]])
    corpus = batch([[0, 1], [0, 1, 2], [0, 1, 2, 3]])
    found = chains(query, flat(query), corpus, all_seeds(query, corpus, 2), records=1)
    assert found.records.tolist() == [2]


def test_no_seed_is_no_chain_and_scores_nothing():
    query, corpus = batch([[0, 1], []]), batch([[5, 6]])
    found = chains(query, flat(query), corpus, seed())
    assert isinstance(found, Chains) and found.texts.size == 0
    assert best_scores(found, 2).tolist() == [0, 0]


def test_bits_must_speak_of_the_words_of_the_query():
    query = batch([[0, 1]])
    with pytest.raises(ValueError, match="2 words, but bits for 3"):
        chains(query, np.zeros((3, 2)), query, seed((0, 0, 0, 2)))


def twin(query: list[int], record: list[int], bits: np.ndarray, start: tuple[int, int, int], costs: Costs) -> float:
    """The seed and the best way on at both ends, from full tables (Gotoh), with no band and no drop."""
    i, j, length = start
    last = bits.shape[1] - 1

    def worth(a: int, b: int) -> float:
        r = 1
        while r < last and a >= r and b >= r and query[a - r] == record[b - r]:
            r += 1
        return float(bits[a, min(r, last)])

    def way_on(a: list[int], b: list[int]) -> float:
        H = {(k, l): -1e9 for k in range(-1, len(a) + 1) for l in range(-1, len(b) + 1)}  # noqa: E741
        I, D = dict(H), dict(H)  # noqa: E741
        H[0, 0] = 0.0
        for k in range(len(a) + 1):
            for l in range(len(b) + 1):  # noqa: E741
                if k == l == 0:
                    continue
                if k:
                    I[k, l] = max(H[k - 1, l] - costs.opened, I[k - 1, l] - costs.extended)
                if l:
                    D[k, l] = max(H[k, l - 1] - costs.opened, D[k, l - 1] - costs.extended)
                if k and l:
                    x, y = a[k - 1], b[l - 1]
                    H[k, l] = H[k - 1, l - 1] + (worth(x, y) if query[x] == record[y] else -costs.replaced)
                H[k, l] = max(H[k, l], I[k, l], D[k, l])
        return max(H.values())

    seed_bits = sum(worth(i + n, j + n) for n in range(length))
    ahead = way_on(list(range(i + length, len(query))), list(range(j + length, len(record))))
    behind = way_on(list(range(i - 1, -1, -1)), list(range(j - 1, -1, -1)))
    return seed_bits + ahead + behind


letters = st.lists(st.integers(0, 3), min_size=1, max_size=9)


@given(letters, letters, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_kernel_equals_the_plain_table(a: list[int], b: list[int], depth: int, at: int):
    query, corpus = batch([[9, 9], a]), batch([b, [8]])
    bits = np.random.default_rng(at).uniform(0, 12, (query.keys.size, depth + 1))
    found = all_seeds(query, corpus, 1)
    costs = Costs(drop=1e9)
    for k in range(found.texts.size):
        one = Seeds(*(column[k : k + 1] for column in found))
        start = int(one.query_starts[0]) - 2, int(one.corpus_starts[0]), int(one.lengths[0])
        chain = chains(query, bits, corpus, one, costs, band=12)
        expected = twin(a, b, bits[2:], start, costs)
        assert chain.scores.tolist() == pytest.approx([expected])
        runs = pieces(query, bits, corpus, one, 0, costs, band=12)
        assert runs[:, 2].sum() == chain.matched[0]
        for q, c, n in runs.tolist():
            assert query.keys[q : q + n].tolist() == corpus.keys[c : c + n].tolist()


@given(letters, letters)
def test_all_seeds_together_find_the_best_of_each(a: list[int], b: list[int]):
    query, corpus = batch([a]), batch([b])
    found = all_seeds(query, corpus, 1)
    together = chains(query, flat(query), corpus, found)
    singly = [
        chains(query, flat(query), corpus, Seeds(*(column[k : k + 1] for column in found))).scores.max()
        for k in range(found.texts.size)
    ]
    assert best_scores(together, 1)[0] <= max(singly, default=0.0) + 1e-9
    assert together.scores.size == 0 or together.scores[0] >= flat(query)[0, 1] * found.lengths.max()
