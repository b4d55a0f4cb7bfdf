"""From a pool of candidates to canaries and twins, by lot: what is planted and what is not differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.record import Record
from remanence.jobs.canaries.key import Canary, Kind
from remanence.jobs.canaries.settings import MakeSettings

FEW_VALUES = 24
"""Another column keeps a value of its own if it has at most so many; else a canary leaves it empty."""
TEMPLATED = ("tools", "chat_template_kwargs")
"""Columns that a chat template reads: they belong to the shape."""


@dataclass(frozen=True)
class Candidate:
    """A row that may become a canary."""

    record: Record
    secret: str
    loss: float
    secret_bits: float
    temperature: float | None
    band: str


def dealt(
    taken: Sequence[Candidate],
    records: Sequence[Record],
    settings: MakeSettings,
    named: Mapping[str, str],
    rng: np.random.Generator,
) -> list[Canary]:
    """Canaries, then twins, by lot within each band, as rows of the data; `named` are the user's names of columns."""
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
    told: dict[str, Any] = {
        named.get(name, name): value for name, value in (("text", record.text), ("prompt", record.prompt),
                                        ("completion", record.completion)) if value is not None
    }  # fmt: skip
    if record.messages is not None:
        told[named.get("messages", "messages")] = [dict(turn) for turn in record.messages]
    return told | columns | {name: record.meta[name] for name in TEMPLATED if name in record.meta}


def shares(total: int, parts: int) -> list[int]:
    """The total in parts as equal as can be, larger ones first."""
    return [total // parts + (i < total % parts) for i in range(parts)]
