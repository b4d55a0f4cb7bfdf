"""What the report knows of a run: its verdict and tables, with everything that may be missing left empty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from remanence.core.run import Run
from remanence.report.words import Line


@dataclass(frozen=True)
class Audit:
    """A finished run, read once. Tables that the run does not have are empty."""

    run: Run
    spec: dict[str, Any]
    verdict: dict[str, Any]
    rates: Sequence[Line]
    membership: Sequence[Line]
    ranking: Sequence[Line]

    @classmethod
    def read(cls, run: Run) -> Audit:
        """Read what is there."""
        return cls(
            run=run,
            spec=run.spec,
            verdict=run.read_json("verdict.json") if run.has("verdict.json") else {},
            rates=_lines(run, "rates"),
            membership=_lines(run, "membership"),
            ranking=sorted(_lines(run, "ranking"), key=lambda line: line["rank"]),
        )

    def rates_by(self, by: str, metric: str | None = None) -> list[Line]:
        """The rates broken down by something (or "all"), in their order."""
        found = [r for r in self.rates if r["by"] == by and (metric is None or r["metric"] == metric)]
        return sorted(found, key=lambda r: (r["order"] is None, r["order"]))

    def main_rates(self) -> list[Line]:
        """The rates that the report opens with: over all rows, and sampled as often as is nearest to 100 times."""
        sampled = self.rates_by("n", "np")
        numbers = [int(r["value"]) for r in sampled if str(r["value"]).isdigit()]
        middle = min(numbers, key=lambda n: abs(math.log(n / 100)), default=None)
        return [*self.rates_by("all"), *(r for r in sampled if r["value"] == str(middle))]

    def version(self) -> str:
        """The version that made the run, or nothing."""
        return str(self.spec.get("remanence") or (self.spec.get("versions") or {}).get("remanence") or "")

    def tuned_name(self) -> str:
        """The audited model's short name."""
        return str(_named(self.spec, "models", "tuned") or "the fine-tuned model")

    def data_name(self) -> str:
        """The training data's short name."""
        return str(_named(self.spec, "data", "train") or "the training rows")

    def attempts(self) -> dict[int, Line]:
        """The attempts that the ranking points at, by number; the others stay on disk."""
        wanted = sorted({a for line in self.ranking for a in (line["attempt"], line["base_attempt"]) if a is not None})
        if not wanted or not self.run.has("attempts.parquet"):
            return {}
        lines = self.run.read_table("attempts").take(pa.array(wanted, pa.int64())).to_pylist()
        return dict(zip(wanted, lines, strict=True))

    def matches(self, attempts: Sequence[int]) -> dict[int, list[Line]]:
        """The shared spans of these attempts."""
        found: dict[int, list[Line]] = {}
        if self.run.has("matches.parquet"):
            wanted = set(attempts)
            table = self.run.read_table("matches")
            keep = [place for place, number in enumerate(table["attempt"].to_pylist()) if number in wanted]
            for line in table.take(pa.array(keep, pa.int64())).to_pylist():
                found.setdefault(line["attempt"], []).append(line)
        return found


def _lines(run: Run, name: str) -> list[Line]:
    return list(run.lines(name)) if run.has(f"{name}.parquet") else []


def _named(spec: dict[str, Any], kind: str, which: str) -> Any:
    return ((spec.get(kind) or {}).get(which) or {}).get("name")
