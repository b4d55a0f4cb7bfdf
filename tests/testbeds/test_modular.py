"""Modular arithmetic: the true labels follow the rule, and the stated share of the training labels does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.testbeds.modular import ModularArithmetic


def test_modulo_three_by_hand():
    data = ModularArithmetic(prime=3, corrupted=0).load()
    assert data.true_P.tolist() == [0, 1, 2, 1, 2, 0, 2, 0, 1]
    assert replace(ModularArithmetic(prime=3), operation="multiply").load().true_P.tolist() == [
        0,
        0,
        0,
        0,
        1,
        2,
        0,
        2,
        1,
    ]
    assert data.train_P.sum() == 4 and not data.wrong_P.any()


def test_every_label_follows_the_rule_by_brute_force():
    data = ModularArithmetic(prime=23).load()
    assert all((a + b) % 23 == c for (a, b), c in zip(data.pairs_P2.tolist(), data.true_P.tolist(), strict=True))
    assert len({tuple(pair) for pair in data.pairs_P2.tolist()}) == 23 * 23


def test_the_stated_share_is_corrupted_and_nothing_outside_training():
    data = ModularArithmetic().load()
    trained = int(data.train_P.sum())
    assert trained == 97 * 97 // 2 and not (data.wrong_P & ~data.train_P).any()
    replaced, changed = int(0.35 * trained), int(data.wrong_P.sum())
    assert changed <= replaced
    assert abs(changed - replaced * 96 / 97) < 4 * np.sqrt(replaced * 96 / 97 / 97), "a random label is right 1 in 97"


def test_every_seed_is_its_own():
    config = ModularArithmetic()
    noise, split = replace(config, noise_seed=1).load(), replace(config, split_seed=1).load()
    assert np.array_equal(noise.train_P, config.load().train_P) and not np.array_equal(
        noise.given_P, config.load().given_P
    )
    assert not np.array_equal(split.train_P, config.load().train_P)


def test_misuse_is_told_in_a_sentence():
    with pytest.raises(RemanenceError, match="shares"):
        ModularArithmetic(corrupted=2).load()
