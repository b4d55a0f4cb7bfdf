"""Bands of per-token loss, and the random assignment of candidates to canaries and controls within each band.

Meeus et al. 2024, "Copyright Traps for Large Language Models", arXiv 2402.09363, plant sequences by bucket of
perplexity; here the bands are quantiles of the user's own rows, and the sampling temperature is adjusted to reach a
band. Canaries and controls differ in nothing but the random assignment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.record import Record
from remanence.jobs.canaries.key import Canary, Kind
from remanence.jobs.canaries.settings import BANDS, MakeSettings

STEP = 1.4
"""Largest factor of the temperature from one round to the next."""
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


def next_temperature(temperature: float, losses_K: Sequence[float], band: Band) -> float:
    """The temperature for the next round: lower when the loss of the candidates was above the band, higher when below.

    The step becomes smaller as their median approaches the middle of the band.
    """
    if not losses_K:
        return min(HOTTEST, max(COLDEST, math.sqrt(temperature)))  # nothing could be scored: back towards 1
    middle, half = (band.low + band.high) / 2, max((band.high - band.low) / 2, 1e-6)
    away = (float(np.median(losses_K)) - middle) / half
    return min(HOTTEST, max(COLDEST, temperature * STEP ** -max(-1.0, min(1.0, away))))


FEW_VALUES = 24
"""A further column is filled if it has at most this many different values, else it stays empty."""
TEMPLATED = ("tools", "chat_template_kwargs")
"""Columns that a chat template reads, which are copied with the shape."""


@dataclass(frozen=True)
class Candidate:
    """A row that may become a canary."""

    record: Record
    secret: str
    loss: float
    secret_bits: float
    temperature: float | None
    band: str


def assign(
    taken: Sequence[Candidate],
    records: Sequence[Record],
    settings: MakeSettings,
    named: Mapping[str, str],
    rng: np.random.Generator,
) -> list[Canary]:
    """Canaries, then controls, assigned at random within each band, as rows of the data; `named`: column names."""
    further = other_columns(records, rng, len(taken))
    rows = [_row(one.record, columns, named) for one, columns in zip(taken, further, strict=True)]
    parts: dict[Kind, list[int]] = {"canary": [], "twin": []}
    for place, (band, count) in enumerate(
        zip(settings.bands, shares(settings.canaries, len(settings.bands)), strict=True)
    ):
        those = [i for i, one in enumerate(taken) if one.band == band]
        order = np.random.default_rng((settings.seed, place)).permutation(len(those)).tolist()
        parts["canary"] += [those[i] for i in order[:count]]
        parts["twin"] += [those[i] for i in order[count:]]
    return [
        Canary(
            id=f"{kind}-{number:04d}", kind=kind, band=taken[i].band, loss=round(taken[i].loss, 6),
            secret=taken[i].secret, secret_bits=round(taken[i].secret_bits, 3), temperature=taken[i].temperature,
            row=rows[i],
        )
        for kind, places in parts.items()
        for number, i in enumerate(places, 1)
    ]  # fmt: skip


def other_columns(records: Sequence[Record], rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """[count] values for the further columns of the data: drawn where a column has few values, else empty."""
    names = list(dict.fromkeys(name for record in records for name in record.meta if name not in TEMPLATED))
    kinds: dict[str, list[Any]] = {}
    for name in names:
        values = [record.meta.get(name) for record in records]
        plain = all(value is None or isinstance(value, str | int | float | bool) for value in values)
        distinct = sorted(set(values), key=repr) if plain else []
        kinds[name] = distinct if len(distinct) <= min(FEW_VALUES, len(records) // 2) else []
    return [
        {name: values[int(rng.integers(len(values)))] if values else None for name, values in kinds.items()}
        for _ in range(count)
    ]


def _row(record: Record, columns: dict[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    """The row under the user's own names of columns."""
    row: dict[str, Any] = {
        named.get(name, name): value for name, value in (("text", record.text), ("prompt", record.prompt),
                                        ("completion", record.completion)) if value is not None
    }  # fmt: skip
    if record.messages is not None:
        row[named.get("messages", "messages")] = [dict(turn) for turn in record.messages]
    return row | columns | {name: record.meta[name] for name in TEMPLATED if name in record.meta}


def shares(total: int, parts: int) -> list[int]:
    """The total in parts that are as equal as possible, larger ones first."""
    return [total // parts + (i < total % parts) for i in range(parts)]
