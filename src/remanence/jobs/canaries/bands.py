"""Bands of surprise: how likely the base model finds a row, per token, compared with the user's own rows.

Meeus et al. 2024, "Copyright Traps for Large Language Models", arXiv 2402.09363, plant sequences by bucket of
perplexity; ours are cut at quantiles of the data, and the temperature of sampling is steered until a band is hit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.jobs.canaries.settings import BANDS

STEP = 1.4
"""Factor of the temperature from one round to the next."""
COLDEST, HOTTEST = 0.15, 6.0


class Band(NamedTuple):
    """A range of loss, nats per learned token."""

    name: str
    low: float
    high: float

    def holds(self, loss: float) -> bool:
        """Whether a row of this loss lies in it."""
        return self.low <= loss < self.high


def bands_of(losses_N: NDArray[np.floating[Any]], names: Sequence[str]) -> list[Band]:
    """The bands by name, cut at quantiles of these losses."""
    return [Band(name, *(float(np.quantile(losses_N, q)) for q in BANDS[name])) for name in names]


def steered(temperature: float, losses_K: Sequence[float], band: Band) -> float:
    """The temperature for the next round: colder when the candidates were too surprising, hotter when too little.

    The step shrinks as their median nears the middle of the band.
    """
    if not losses_K:
        return min(HOTTEST, max(COLDEST, math.sqrt(temperature)))  # nothing could be scored: back towards 1
    middle, half = (band.low + band.high) / 2, max((band.high - band.low) / 2, 1e-6)
    away = (float(np.median(losses_K)) - middle) / half
    return min(HOTTEST, max(COLDEST, temperature * STEP ** -max(-1.0, min(1.0, away))))
