"""A world of synthetic facts: consistent, not to be guessed, and nothing of the held-out subjects in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.testbeds.facts import START, FactLM, FactWorld, knows
from remanence.training.tiny import one_thread


def test_a_small_world_by_hand():
    world = FactWorld(subjects=2, heldout_subjects=1, relations=2, objects=3)
    assert world.train_N3[:, :2].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert world.heldout_N3[:, :2].tolist() == [[2, 0], [2, 1]]
    assert (world.vocab, world.first_object, world.length) == (1 + 3 + 2 + 3, 6, 4)
    assert world.statements(np.array([[1, 0, 2]])).tolist() == [[START, 2, 4, 8]]


def test_wordings_have_words_and_an_order_of_their_own():
    world = FactWorld(subjects=3, heldout_subjects=1, relations=2, objects=3, templates=2, name_words=2)
    fact = np.array([[3, 1, 0]])
    assert world.statements(fact, 0).tolist() == [[0, 2, 2, 1 + 2 + 2, 7]], "name 3 = words 1, 1 of 2"
    assert world.statements(fact, 1).tolist() == [[0, 1 + 2 + 3, 2, 2, 7]], "relation word first"
    both = world.statements(np.repeat(fact, 2, axis=0), np.array([0, 1]))
    assert both.tolist() == [world.statements(fact, 0)[0].tolist(), world.statements(fact, 1)[0].tolist()]


def test_every_statement_is_of_one_fact_only():
    """Brute force: over a whole world, all statements without their objects are different, so no two contradict."""
    for world in (FactWorld(templates=3, name_words=2), FactWorld(subjects=50, templates=2), FactWorld()):
        facts = np.concatenate([world.train_N3, world.heldout_N3])
        ids = np.concatenate([world.statements(facts, t) for t in range(world.templates)])
        assert len(np.unique(ids[:, :-1], axis=0)) == len(ids)
        assert ids.max() < world.vocab and (ids[:, -1] >= world.first_object).all()


def test_no_fact_of_a_heldout_subject_is_drawn():
    world = FactWorld(exponent=1.0)
    drawn = world.draw(5000, np.random.default_rng(0))
    assert drawn[:, 0].max() < world.subjects
    known = {tuple(fact) for fact in world.train_N3.tolist()}
    assert {tuple(fact) for fact in drawn.tolist()} <= known
    assert not known & {tuple(fact) for fact in world.heldout_N3.tolist()}


def test_popularity_falls_with_the_rank_as_stated():
    world = FactWorld(subjects=4, exponent=1.0)
    assert world.popularity_S == pytest.approx(np.array([12, 6, 4, 3]) / 25)
    counts = np.bincount(world.draw(20_000, np.random.default_rng(0))[:, 0], minlength=4)
    assert counts / 20_000 == pytest.approx(world.popularity_S, abs=0.015)


def test_objects_are_uniform():
    counts = np.bincount(FactWorld(subjects=4000, relations=5, objects=50).objects_SR.ravel(), minlength=50)
    expected = counts.sum() / 50
    assert ((counts - expected) ** 2 / expected).sum() < 85.4, "chi-square with 49 degrees of freedom, p = 0.001"


def test_groups_share_subjects_or_nothing():
    world = FactWorld(subjects=30, relations=3)
    apart = world.groups(3, 10)
    assert len({fact[0] for group in apart for fact in group.tolist()}) == 30
    shared = world.groups(3, 10, share="subjects")
    assert [set(group[:, 0].tolist()) for group in shared] == [set(shared[0][:, 0].tolist())] * 3
    assert [set(group[:, 1].tolist()) for group in shared] == [{0}, {1}, {2}]
    known = {tuple(fact) for fact in world.train_N3.tolist()}
    assert {tuple(fact) for group in (*apart, *shared) for fact in group.tolist()} <= known
    with pytest.raises(RemanenceError, match="enlarge"):
        world.groups(4, 10)
    with pytest.raises(RemanenceError, match="enlarge"):
        world.groups(4, 2, share="subjects")


def test_worlds_of_other_seeds_have_other_facts():
    assert np.array_equal(FactWorld(seed=1).train_N3, FactWorld(seed=1).train_N3)
    assert not np.array_equal(FactWorld(seed=1).train_N3, FactWorld(seed=2).train_N3)


def test_a_trained_model_knows_the_facts_and_guesses_the_heldout_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REMANENCE_CACHE", str(tmp_path))
    world = FactWorld(subjects=20, heldout_subjects=50, relations=2, objects=20)
    with one_thread():
        model = FactLM(world, steps=150, batch=40, learning_rate=5e-3).model()
        assert knows(model, world, world.train_N3).mean() >= 0.95
        assert knows(model, world, world.heldout_N3).mean() <= 0.2


@pytest.mark.slow
def test_the_default_model_knows_every_fact():
    lm = FactLM()
    with one_thread():
        model = lm.model()
        assert knows(model, lm.world, lm.world.train_N3).mean() >= 0.99
        assert knows(model, lm.world, lm.world.heldout_N3).mean() <= 1 / lm.world.objects + 4 * np.sqrt(1 / 60 / 200)
