"""The audit of canaries: both models score canaries and controls in one pass, and everything else is counted.

Secrets of digits are enumerated: each number of as many digits is put in the place of the secret, which is the random
space of Carlini et al. 2019 (arXiv 1802.08232). Every stage writes its table before the next begins, so a killed audit
continues where it stopped and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.executor import Serial
from remanence.core.progress import track
from remanence.core.record import Record
from remanence.core.run import Run, fingerprint
from remanence.core.table import TokenRow
from remanence.core.target import Scores, rendered_rows
from remanence.engine.describe import rendered_fingerprint, versions
from remanence.engine.rows import DistinctRows
from remanence.engine.token_pass import run_token_pass
from remanence.engine.token_store import token_rows
from remanence.jobs.canaries.exposures import (
    EXPOSURES,
    SUMMARY,
    Scored,
    against_base,
    exposure_lines,
    scored_row,
    summary_lines,
)
from remanence.jobs.canaries.key import Canary, Key, Kind
from remanence.jobs.canaries.secret import secret_span
from remanence.jobs.canaries.settings import CanarySettings
from remanence.jobs.canaries.verdict import verdict
from remanence.measure.extraction.discoverable import Discoverable
from remanence.stats.exposure import exposure

KINDS: tuple[Kind, ...] = ("canary", "twin")


@dataclass(frozen=True)
class CanaryAudit:
    """The result of an audit of canaries."""

    run: Run
    verdict: dict[str, Any]
    """`verdict.json`: sentences, headline figures by repetition, the trend, notes."""

    def summary(self, target: str = "tuned", measure: str = "loss", band: str | None = None) -> list[dict[str, Any]]:
        """The lines of `summary.parquet`, controls (0 copies) first; `band` None = all together."""
        lines = [r for r in self.run.lines("summary") if (r["target"], r["measure"]) == (target, measure)]
        wanted = band or ("all" if any(r["band"] == "all" for r in lines) else lines[0]["band"])
        return [r for r in lines if r["band"] == wanted]


def run_canary_audit(
    tuned: Scores,
    base: Scores | None,
    key: Key,
    out: Path | str,
    settings: CanarySettings,
    *,
    name: str = "the key",
    resume: bool = False,
    show: bool = True,
) -> CanaryAudit:
    """Exposure, membership and extraction of the canaries of a key. Raises `RemanenceError` for one not planted."""
    if key.planted is None:
        raise RemanenceError("The canaries of this key were never planted: give the key that `canaries plant` wrote.")
    if not key.of("canary") or not key.of("twin"):
        raise RemanenceError("The key has no canaries or no controls: exposure ranks canaries among controls.")
    targets = {"tuned": tuned} if base is None else {"tuned": tuned, "base": base}
    records: dict[Kind, list[Record]] = {kind: key.records(kind) for kind in KINDS}
    run = Run.begin(out, _spec(targets, key, records, settings, name), resume=resume)
    groups = [DistinctRows(kind, records[kind], range(len(records[kind]))) for kind in KINDS]
    measure = Discoverable()
    run_token_pass(
        run, lambda: targets, list(targets), groups, sorted({"logprob", *measure.needs}), measure, Serial(),
        dtype=settings.dtype, shard_rows=settings.shard_rows, show=show,
    )  # fmt: skip
    by_role: dict[str, list[Scored]] = {}
    for role, target in targets.items():
        rows: list[Scored] = []
        for kind in KINDS:
            read = [row for _, _, row in token_rows(run, role, kind)]
            rows += [scored_row(one, row, _span(target, one, row)) for one, row in zip(key.of(kind), read, strict=True)]
        countable = [one for one in key.of("canary") if (n := digits_of(one)) and 10**n <= settings.max_enumerated]
        if countable:
            own = {record.id: record for record in records["canary"]}
            counted = enumerate_secrets(run, role, target, countable, [own[one.id] for one in countable], show=show)
            for row in rows:
                row.counted = counted.get(row.canary.id, {})
        by_role[role] = rows
    sides = [(role, "loss", rows) for role, rows in by_role.items()]
    if base is not None:
        sides.append(("tuned", "reference", against_base(by_role["tuned"], by_role["base"])))
    lines = [line for role, measure, rows in sides for line in exposure_lines(role, measure, rows)]
    run.write_table("exposures", pa.Table.from_pylist(lines, schema=EXPOSURES))
    summary = [line for role, measure, rows in sides for line in summary_lines(role, measure, rows, settings.seed)]
    run.write_json("secrets.json", {one.id: one.secret for one in key.canaries})
    run.write_table("summary", pa.Table.from_pylist(summary, schema=SUMMARY))
    conclusion = verdict(run.lines("exposures"), run.lines("summary"), key, settings.seed)
    run.write_json("verdict.json", conclusion)
    return CanaryAudit(run, conclusion)


def _span(target: Scores, canary: Canary, row: TokenRow | str) -> tuple[int, int] | str:
    if isinstance(row, str):
        return row
    try:
        return secret_span(target, row.rendered, canary.secret)
    except NotMeasured as why:
        return why.reason


def _spec(
    targets: dict[str, Scores], key: Key, records: dict[Kind, list[Record]], settings: CanarySettings, name: str
) -> dict[str, Any]:
    def describe(those: Sequence[Record]) -> dict[str, Any]:
        return {"rows": len(those), "rendered": rendered_fingerprint(rendered_rows(targets["tuned"], those))}

    assert key.planted is not None
    planted = {k: key.planted[k] for k in ("copies", "seed", "data", "written")}
    return {
        "schema": 2,
        "job": "canaries",
        "settings": settings.spec(),
        "seed": settings.seed,
        "key": {"name": name, "fingerprint": fingerprint(key.text().encode())},
        "data": {kind: describe(those) for kind, those in records.items()},
        "planted": planted,
        "bands": key.made["bands"],
        "models": {role: _model(targets.get(role)) for role in ("tuned", "base")},
        "versions": versions(),
    }


def _model(target: Scores | None) -> dict[str, Any] | None:
    return None if target is None else {"name": target.name, "fingerprint": target.fingerprint}


COUNTED = pa.schema(
    [
        ("id", pa.string()),
        ("exposure", pa.float64()),  # bits, among all secrets of as many digits
        ("candidates", pa.int32()),
        ("reason", pa.string()),
    ]
)
"""Enumerated secrets. `counted/ROLE-00000.parquet`"""


def digits_of(canary: Canary) -> int | None:
    """Number of digits of a secret; None for words."""
    return len(canary.secret) if canary.secret.isascii() and canary.secret.isdigit() else None


def enumerate_secrets(
    run: Run, role: str, target: Scores, canaries: Sequence[Canary], records: Sequence[Record], *, show: bool
) -> dict[str, dict[str, Any]]:
    """id -> line of `COUNTED`, one shard per canary; existing shards are not computed again."""
    found: dict[str, dict[str, Any]] = {}
    with track(f"{role} model on all possible secrets", len(canaries), show=show) as advance:
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
