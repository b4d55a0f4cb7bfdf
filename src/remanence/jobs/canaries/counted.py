"""Counting through all secrets there could have been: each number of as many digits, put into the canary's own place.

That is the random space of Carlini et al. 2019 (arXiv 1802.08232) itself. Everything else in the row is equal, so
nothing but the digits decides the rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from remanence.core.progress import track
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.table import TokenRow
from remanence.core.target import Scores
from remanence.jobs.canaries.key import Canary
from remanence.jobs.canaries.tables import COUNTED
from remanence.stats.exposure import exposure


def digits_of(canary: Canary) -> int | None:
    """How many digits a secret has; None for words."""
    return len(canary.secret) if canary.secret.isascii() and canary.secret.isdigit() else None


def count_through(
    run: Run, role: str, target: Scores, canaries: Sequence[Canary], records: Sequence[Record], *, show: bool
) -> dict[str, dict[str, Any]]:
    """id -> line of `COUNTED`, one shard per canary; shards that are there are not computed again."""
    found: dict[str, dict[str, Any]] = {}
    with track(f"{role} model on all digits", len(canaries), show=show) as advance:
        for place, (canary, record) in enumerate(zip(canaries, records, strict=True)):
            name = f"counted/{role}-{place:05d}"
            if not run.has(f"{name}.parquet"):
                run.write_table(name, pa.Table.from_pylist([_line(target, canary, record)], schema=COUNTED))
            found[canary.id] = run.lines(name)[0]
            advance(1)
    return found


def _line(target: Scores, canary: Canary, record: Record) -> dict[str, Any]:
    size = len(canary.secret)
    every = [f"{number:0{size}d}" for number in range(10**size)]
    rows = target.score([with_secret(record, canary.secret, other) for other in every], ("logprob",))
    scores: list[float] = []
    for row in rows:
        if not isinstance(row, TokenRow):
            return {"id": canary.id, "candidates": len(every), "reason": row}
        scores.append(float(row.scored("logprob").sum()))
    bits = float(exposure(np.array(scores), np.array(every.index(canary.secret))))
    return {"id": canary.id, "exposure": bits, "candidates": len(every)}


def with_secret(record: Record, secret: str, other: str) -> Record:
    """The row with another secret at its end."""

    def changed(text: str | None) -> str:
        assert text is not None and text.endswith(secret), "a secret stands at the end of what is learned"
        return text[: len(text) - len(secret)] + other

    if record.form == "text":
        return replace(record, text=changed(record.text))
    if record.form == "pair":
        return replace(record, completion=changed(record.completion))
    assert record.messages is not None
    *before, last = record.messages
    return replace(record, messages=(*before, {**last, "content": changed(last["content"])}))
