"""Planted feature interactions: clicks that depend on pairs of categorical fields in two known ways.

The log-odds of a click are the sum of an effect of every value, a free table for each memorized pair of fields (only a
table of all value pairs can hold it) and a low-rank product for each factorized pair. The true probability of every
row is known, so the best possible log loss and AUC are too.

Shapes: N rows, F fields, V values of a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError

Pair: TypeAlias = tuple[int, int]
Floats: TypeAlias = NDArray[np.float64]


class Clicks(NamedTuple):
    """Rows of categorical values, and what was clicked."""

    values_NF: NDArray[np.int64]
    clicks_N: NDArray[np.int64]
    """0 or 1."""
    probability_N: Floats
    """The true probability of a click."""


@dataclass(frozen=True)
class ClickModel:
    """The law of the clicks; values of all fields are uniform and independent."""

    main_FV: Floats
    """Effect of every value on the log-odds."""
    tables_VV: Mapping[Pair, Floats]
    """Effect of every value pair of the interacting fields."""

    def log_odds(self, values_NF: NDArray[np.int64]) -> Floats:
        """[N] log-odds of a click."""
        total = sum(effects_V[values_N] for effects_V, values_N in zip(self.main_FV, values_NF.T, strict=True))
        for (i, j), table_VV in self.tables_VV.items():
            total = total + table_VV[values_NF[:, i], values_NF[:, j]]
        return np.asarray(total, np.float64)

    def draw(self, n: int, rng: np.random.Generator) -> Clicks:
        """`n` rows and their clicks."""
        fields, values = self.main_FV.shape
        values_NF = rng.integers(values, size=(n, fields))
        probability_N = 1 / (1 + np.exp(-self.log_odds(values_NF)))
        return Clicks(values_NF, (rng.random(n) < probability_N).astype(np.int64), probability_N)

    def information(self, fields: tuple[int, ...]) -> float:
        """Mutual information (nats) of the click and these fields together, by enumeration of all rows.

        Raises `RemanenceError` beyond a million rows.
        """
        num, values = self.main_FV.shape
        if values**num > 1_000_000:
            raise RemanenceError(f"{values}^{num} rows are too many to enumerate: ask a smaller world.")
        everything = np.indices((values,) * num).reshape(num, -1).T
        probability = (1 / (1 + np.exp(-self.log_odds(everything)))).reshape((values,) * num)
        others = tuple(f for f in range(num) if f not in fields)
        given = probability.mean(axis=others) if others else probability
        return float(_entropy(np.asarray(probability.mean())) - _entropy(given).mean())


@dataclass(frozen=True)
class PlantedInteractions:
    """Which pairs interact, how, and how strongly. Seeds: of the law, and of the rows."""

    fields: int = 6
    values: int = 60
    memorized: tuple[Pair, ...] = ((0, 1), (2, 3))
    """Pairs with a table of independent normal effects."""
    factorized: tuple[Pair, ...] = ((0, 4), (1, 5))
    """Pairs with a product of two vectors of length `rank`."""
    main_scale: float = 0.3
    """Standard deviation of the effect of a value."""
    memorized_scale: float = 1.3
    factorized_scale: float = 1.0
    """Standard deviation of the effects of a factorized pair."""
    rank: int = 2
    train: int = 60_000
    test: int = 20_000
    seed: int = 0
    data_seed: int = 0

    def model(self) -> ClickModel:
        """The law of the clicks."""
        rng = np.random.default_rng((self.seed, 1))
        main_FV = rng.normal(0, self.main_scale, (self.fields, self.values))
        tables: dict[Pair, Floats] = {}
        for pair in self.memorized:
            tables[pair] = rng.normal(0, self.memorized_scale, (self.values, self.values))
        for pair in self.factorized:
            left, right = rng.normal(0, 1, (2, self.values, self.rank))
            tables[pair] = self.factorized_scale * left @ right.T / np.sqrt(self.rank)
        return ClickModel(main_FV, tables)

    def load(self) -> tuple[Clicks, Clicks]:
        """Training and test rows."""
        model, rng = self.model(), np.random.default_rng((self.data_seed, 2))
        return model.draw(self.train, rng), model.draw(self.test, rng)


def _entropy(p: Floats) -> Floats:
    """Entropy (nats) of a click with this probability."""
    p = np.clip(p, 1e-300, 1 - 1e-16)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))
