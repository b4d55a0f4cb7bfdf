"""The data of a run that the report uses: its verdict and tables; missing ones are empty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from remanence.core.run import Run
from remanence.report.words import TEXTS, WHO, Line


@dataclass(frozen=True)
class Audit:
    """A finished run of an audit or a match. Tables that the run does not have are empty."""

    run: Run
    spec: dict[str, Any]
    verdict: dict[str, Any]
    rates: Sequence[Line]
    membership: Sequence[Line]
    ranking: Sequence[Line]
    origins: Sequence[Line]
    calibration: Sequence[Line]

    @classmethod
    def read(cls, run: Run) -> Audit:
        """Read the verdict and the tables of a run."""
        return cls(
            run=run,
            spec=run.spec,
            verdict=run.read_json("verdict.json") if run.has("verdict.json") else {},
            rates=_lines(run, "rates"),
            membership=_lines(run, "membership"),
            ranking=sorted(_lines(run, "ranking"), key=lambda line: line["rank"]),
            origins=_lines(run, "origins"),
            calibration=_lines(run, "calibration"),
        )

    @property
    def is_match(self) -> bool:
        """Whether the run is a match of texts, without a model."""
        return self.spec.get("job") == "match"

    @property
    def only_asked(self) -> bool:
        """Whether the model only returned text, without log-probabilities."""
        return self.run.has("asked.json") and bool(self.run.read_json("asked.json").get("answers_only"))

    @property
    def streamed(self) -> bool:
        """Whether the rows were processed in blocks, so that the ranking has only the worst ones."""
        return "stream" in self.spec

    @property
    def num_ranked(self) -> int:
        """Number of measured rows."""
        return int(self.verdict["headline"]["n"]) if self.streamed else len(self.ranking)

    @property
    def num_extracted(self) -> int:
        """Number of extracted rows."""
        if self.streamed:
            return int(self.verdict["headline"]["hits"])
        return sum(bool(line["comes_back"]) for line in self.ranking)

    @property
    def who(self) -> dict[str, str]:
        """Names of a rate and its comparisons."""
        return TEXTS if self.is_match else WHO

    @property
    def unit(self) -> str:
        """What is counted: row or text."""
        return "text" if self.is_match else "row"

    @property
    def index_bytes(self) -> int:
        """Size of the index of shared runs in the run folder; 0 if there is none."""
        path = "index/runs/index.json"
        return sum((self.run.read_json(path).get("bytes") or {}).values()) if self.run.has(path) else 0

    def rates_by(self, by: str, metric: str | None = None) -> list[Line]:
        """The rates of one breakdown (or "all"), in order."""
        found = [r for r in self.rates if r["by"] == by and (metric is None or r["metric"] == metric)]
        return sorted(found, key=lambda r: (r["order"] is None, r["order"]))

    def main_rates(self) -> list[Line]:
        """The rates of the first table: over all rows, with about 100 samples, and by kind of match."""
        sampled = self.rates_by("n", "np")
        numbers = [int(r["value"]) for r in sampled if str(r["value"]).isdigit()]
        middle = min(numbers, key=lambda n: abs(math.log(n / 100)), default=None)
        drawn = [r for r in sampled if r["value"] == str(middle)]
        return [*self.rates_by("all"), *drawn, *self.rates_by("kind", "match")]

    def version(self) -> str:
        """The version of remanence that made the run, or an empty string."""
        return str(self.spec.get("remanence") or (self.spec.get("versions") or {}).get("remanence") or "")

    def tuned_name(self) -> str:
        """The audited model's short name."""
        return str(_named(self.spec, "models", "tuned") or "the fine-tuned model")

    def data_name(self) -> str:
        """The training data's short name."""
        return str(_named(self.spec, "data", "train") or "the training rows")

    def generated_name(self) -> str:
        """The short name of the texts that a match judges."""
        return str(_named(self.spec, "data", "generated") or "the texts")

    def attempts(self, numbers: Iterable[int | None]) -> dict[int, Line]:
        """These attempts, by number; other attempts are not read."""
        wanted = sorted({number for number in numbers if number is not None})
        if not wanted or not self.run.has("attempts.parquet"):
            return {}
        lines = self.run.read_table("attempts").take(pa.array(wanted, pa.int64())).to_pylist()
        return dict(zip(wanted, lines, strict=True))

    def asked(self) -> list[Line]:
        """Target, group and id of every attempt, in order."""
        if not self.run.has("attempts.parquet"):
            return []
        return list(self.run.read_table("attempts").select(["target", "group", "id"]).to_pylist())

    def matches(self, attempts: Iterable[int]) -> dict[int, list[Line]]:
        """The shared spans and detector matches of these attempts."""
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
