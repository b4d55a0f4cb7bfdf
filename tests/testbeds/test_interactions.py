"""Planted interactions: what they tell is known exactly, and no sum of single effects can say it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from remanence.core.errors import RemanenceError
from remanence.testbeds.interactions import ClickModel, PlantedInteractions


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_a_checkerboard_by_hand():
    """Log-odds +2 where two bits agree and -2 where not: each bit alone says nothing, both say ln 2 - H(0.88)."""
    model = ClickModel(np.zeros((3, 2)), {(0, 1): np.array([[2.0, -2.0], [-2.0, 2.0]])})
    likely = 1 / (1 + math.exp(-2))
    assert model.information((0,)) == pytest.approx(0, abs=1e-12)
    assert model.information((0, 1)) == pytest.approx(math.log(2) - entropy(likely))
    assert model.information((0, 1, 2)) == pytest.approx(math.log(2) - entropy(likely))
    assert model.information((0, 2)) == pytest.approx(0, abs=1e-12)
    rows = np.array([[0, 0, 1], [0, 1, 1]])
    assert model.log_odds(rows).tolist() == [2.0, -2.0]


def test_information_is_that_of_an_enumeration_in_plain_python():
    model = PlantedInteractions(fields=4, values=3, memorized=((0, 1),), factorized=((2, 3),), seed=5).model()
    rows = list(itertools.product(range(3), repeat=4))
    chance = {}
    for row in rows:
        total = sum(model.main_FV[f][v] for f, v in enumerate(row))
        total += model.tables_VV[0, 1][row[0]][row[1]] + model.tables_VV[2, 3][row[2]][row[3]]
        chance[row] = 1 / (1 + math.exp(-total))
    overall = entropy(sum(chance.values()) / len(rows))
    for fields in [(0,), (0, 1), (1, 2), (0, 2, 3), (0, 1, 2, 3)]:
        left = 0.0
        for values in itertools.product(range(3), repeat=len(fields)):
            same = [chance[row] for row in rows if tuple(row[f] for f in fields) == values]
            left += entropy(sum(same) / len(same)) / 3 ** len(fields)
        assert model.information(fields) == pytest.approx(overall - left)


def test_planted_pairs_say_more_than_their_fields_and_others_hardly():
    planted, others = list[float](), list[float]()
    for seed in range(5):
        config = PlantedInteractions(fields=4, values=8, memorized=((0, 1),), factorized=((2, 3),), seed=seed)
        model = config.model()
        for i, j in itertools.combinations(range(4), 2):
            synergy = model.information((i, j)) - model.information((i,)) - model.information((j,))
            (planted if (i, j) in {(0, 1), (2, 3)} else others).append(synergy)
    assert min(planted) > 0
    assert np.mean(planted) > 10 * np.mean(np.abs(others))


def test_a_factorized_table_has_the_stated_rank_and_scale_and_a_memorized_one_is_full():
    config = PlantedInteractions(factorized_scale=0.7)
    tables = config.model().tables_VV
    assert np.linalg.matrix_rank(tables[0, 4]) == 2 and np.linalg.matrix_rank(tables[0, 1]) == 60
    assert tables[0, 1].std() == pytest.approx(1.3, rel=0.1)
    many = [replace(config, seed=s).model().tables_VV[1, 5].std() for s in range(20)]
    assert np.mean(many) == pytest.approx(0.7, rel=0.1)


def test_clicks_come_as_often_as_their_probability_says():
    train, test = PlantedInteractions().load()
    assert train.values_NF.shape == (60_000, 6) and test.clicks_N.shape == (20_000,)
    for low in (0.1, 0.4, 0.7):
        chosen = (train.probability_N > low) & (train.probability_N < low + 0.1)
        assert train.clicks_N[chosen].mean() == pytest.approx(train.probability_N[chosen].mean(), abs=0.02)


def test_every_seed_is_its_own():
    config = PlantedInteractions(train=50, test=1)
    other_rows, other_law = replace(config, data_seed=1), replace(config, seed=1)
    assert np.array_equal(config.model().main_FV, other_rows.model().main_FV)
    assert not np.array_equal(config.load()[0].values_NF, other_rows.load()[0].values_NF)
    assert np.array_equal(config.load()[0].values_NF, other_law.load()[0].values_NF)
    assert not np.array_equal(config.load()[0].probability_N, other_law.load()[0].probability_N)


def test_an_additive_model_cannot_fit_them_and_one_with_the_planted_pairs_can():
    config = PlantedInteractions(values=12, train=20_000, test=10_000)
    train, test = config.load()

    def auc(pairs: list[tuple[int, int]]) -> float:
        def columns(values: np.ndarray) -> np.ndarray:
            crosses = [values[:, i] * 12 + values[:, j] for i, j in pairs]
            return np.column_stack([values, *crosses]) if crosses else values

        encoder = OneHotEncoder(handle_unknown="ignore").fit(columns(train.values_NF))
        model = LogisticRegression(C=1.0, max_iter=500).fit(encoder.transform(columns(train.values_NF)), train.clicks_N)
        return float(
            roc_auc_score(test.clicks_N, model.predict_proba(encoder.transform(columns(test.values_NF)))[:, 1])
        )

    best = float(roc_auc_score(test.clicks_N, test.probability_N))
    additive, planted = auc([]), auc([*config.memorized, *config.factorized])
    assert planted > best - 0.02
    assert additive < planted - 0.1


def test_a_large_world_is_not_enumerated():
    with pytest.raises(RemanenceError, match="too many"):
        PlantedInteractions().model().information((0, 1))
