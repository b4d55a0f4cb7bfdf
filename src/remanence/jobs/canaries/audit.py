"""The audit of canaries from end to end: both models pass over canaries and twins, and everything else is counting.

Every stage writes its table before the next begins, so a killed audit goes on where it stopped and ends with the same
bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.executor import Serial
from remanence.core.record import Record
from remanence.core.run import Run, fingerprint
from remanence.core.table import TokenRow
from remanence.core.target import Scores, rendered_rows
from remanence.engine.describe import rendered_fingerprint, versions
from remanence.engine.rows import DistinctRows
from remanence.engine.token_pass import run_token_pass
from remanence.engine.token_store import token_rows
from remanence.jobs.audit.measures import discoverable, table_columns
from remanence.jobs.canaries.counted import count_through, digits_of
from remanence.jobs.canaries.judge import Seen, against_base, exposure_lines, seen, summary_lines
from remanence.jobs.canaries.key import Canary, Key, Kind
from remanence.jobs.canaries.secret import secret_span
from remanence.jobs.canaries.settings import CanarySettings
from remanence.jobs.canaries.tables import EXPOSURES, SUMMARY
from remanence.jobs.canaries.verdict import verdict

KINDS: tuple[Kind, ...] = ("canary", "twin")


@dataclass(frozen=True)
class CanaryAudit:
    """What an audit of canaries found."""

    run: Run
    verdict: dict[str, Any]
    """`verdict.json`: sentences, headline figures by repetition, the trend, notes."""

    def summary(self, target: str = "tuned", measure: str = "loss", band: str | None = None) -> list[dict[str, Any]]:
        """The lines of `summary.parquet`, twins (0 copies) first; `band` None = all together."""
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
        raise RemanenceError("The key has no canaries or no twins: exposure ranks the ones among the others.")
    targets = {"tuned": tuned} if base is None else {"tuned": tuned, "base": base}
    records: dict[Kind, list[Record]] = {kind: key.records(kind) for kind in KINDS}
    run = Run.begin(out, _spec(targets, key, records, settings, name), resume=resume)
    asked = settings.audit
    groups = [DistinctRows(kind, records[kind], range(len(records[kind]))) for kind in KINDS]
    columns = table_columns([discoverable(asked)])  # rank and gap; logprob is always there
    run_token_pass(
        run, lambda: targets, list(targets), groups, columns, discoverable(asked), Serial(),
        dtype=asked.dtype, shard_rows=asked.shard_rows, show=show,
    )  # fmt: skip
    found: dict[str, list[Seen]] = {}
    for role, target in targets.items():
        rows: list[Seen] = []
        for kind in KINDS:
            read = [row for _, _, row in token_rows(run, role, kind)]
            rows += [seen(one, row, _span(target, one, row)) for one, row in zip(key.of(kind), read, strict=True)]
        countable = [one for one in key.of("canary") if (n := digits_of(one)) and 10**n <= settings.enumerate_most]
        if countable:
            own = {record.id: record for record in records["canary"]}
            counted = count_through(run, role, target, countable, [own[one.id] for one in countable], show=show)
            for row in rows:
                row.counted = counted.get(row.canary.id, {})
        found[role] = rows
    sides = [(role, "loss", rows) for role, rows in found.items()]
    if base is not None:
        sides.append(("tuned", "reference", against_base(found["tuned"], found["base"])))
    lines = [line for role, measure, rows in sides for line in exposure_lines(role, measure, rows)]
    run.write_table("exposures", pa.Table.from_pylist(lines, schema=EXPOSURES))
    summary = [line for role, measure, rows in sides for line in summary_lines(role, measure, rows, settings.seed)]
    run.write_json("secrets.json", {one.id: one.secret for one in key.canaries})
    run.write_table("summary", pa.Table.from_pylist(summary, schema=SUMMARY))
    said = verdict(run.lines("exposures"), run.lines("summary"), key, settings.seed)
    run.write_json("verdict.json", said)
    return CanaryAudit(run, said)


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
    def told(those: Sequence[Record]) -> dict[str, Any]:
        return {"rows": len(those), "rendered": rendered_fingerprint(rendered_rows(targets["tuned"], those))}

    assert key.planted is not None
    planted = {k: key.planted[k] for k in ("copies", "seed", "data", "written")}
    return {
        "schema": 1,
        "job": "canaries",
        "settings": settings.spec(),
        "seed": settings.seed,
        "key": {"name": name, "fingerprint": fingerprint(key.text().encode())},
        "data": {kind: told(those) for kind, those in records.items()},
        "planted": planted,
        "bands": key.made["bands"],
        "models": {role: _model(targets.get(role)) for role in ("tuned", "base")},
        "versions": versions(),
    }


def _model(target: Scores | None) -> dict[str, Any] | None:
    return None if target is None else {"name": target.name, "fingerprint": target.fingerprint}
