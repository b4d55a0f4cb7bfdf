"""The chain has the entropy it says it has, and the corpus the copies it says it has."""

from __future__ import annotations

import math

import numpy as np
import pytest

from remanence.corpora.markov import DuplicatedCorpus, MarkovText


def test_two_successors_by_hand():
    text = MarkovText(vocab=4, branching=2, seed=0)
    assert text.weights == pytest.approx([2 / 3, 1 / 3])  # 1 and 1/2, normalised
    assert text.entropy_bits() == pytest.approx(math.log2(3) - 2 / 3)  # 0.918 bits
    a, (b, c) = 1, text.successors[1]
    assert text.log_prob(np.array([[a, b], [a, c]])) == pytest.approx(
        np.log(np.array([[1 / 4, 2 / 3], [1 / 4, 1 / 3]]))
    )


def test_default_entropy_is_the_published_one():
    assert MarkovText().entropy_bits() == pytest.approx(2.62, abs=0.005)
    assert MarkovText().entropy_bits() * math.log(2) == pytest.approx(1.816, abs=0.001)


def test_samples_have_the_entropy_of_the_chain():
    text = MarkovText(seed=3)
    nats = -text.log_prob(text.sample(2000, 20, rng=1))[:, 1:]
    assert nats.mean() == pytest.approx(1.816, abs=4 * nats.std() / math.sqrt(nats.size))


def test_transitions_are_distributions():
    text = MarkovText(vocab=32, branching=5, seed=2, reserved=2)
    assert np.exp(text.transitions).sum(axis=1) == pytest.approx(np.ones(32))
    assert text.sample(50, 10, rng=0).min() >= 2


def test_impossible_tokens_have_no_probability():
    text = MarkovText(vocab=8, branching=2, reserved=1)
    never = next(i for i in range(1, 8) if i not in text.successors[3])
    assert text.log_prob(np.array([3, never]))[1] == -np.inf
    assert text.log_prob(np.array([0]))[0] == -np.inf


def test_same_seed_same_text():
    assert np.array_equal(MarkovText(seed=1).sample(3, 9, 5), MarkovText(seed=1).sample(3, 9, 5))
    assert not np.array_equal(MarkovText(seed=1).sample(3, 9, 5), MarkovText(seed=2).sample(3, 9, 5))


def test_empty_requests_do_not_crash():
    assert MarkovText().sample(0, 5, 0).shape == (0, 5)
    assert MarkovText().sample(3, 0, 0).shape == (3, 0)


def test_too_many_branches_is_refused():
    with pytest.raises(ValueError, match="lower branching"):
        MarkovText(vocab=4, branching=4, reserved=1)


def test_corpus_has_the_copies_it_says():
    corpus = DuplicatedCorpus.draw(MarkovText(), background=10, targets_by_count={1: 2, 4: 3}, held_out=5, length=12)
    assert corpus.rows.shape == (10 + 2 + 12, 12)
    rows = [tuple(row) for row in corpus.rows]
    for count, documents in corpus.targets_by_count.items():
        assert [rows.count(tuple(d)) for d in documents] == [count] * len(documents)
    assert not {tuple(d) for d in corpus.held_out} & set(rows)


def test_default_corpus_is_the_calibrated_one():
    corpus = DuplicatedCorpus.draw(MarkovText())
    assert corpus.rows.shape == (600 + 24 * 63, 48)
    assert corpus.held_out.shape == (200, 48)
