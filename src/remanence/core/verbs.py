"""The five verbs: measure, attack, mitigate, benchmark, claim. A system is a frozen dataclass that is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding, Score
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.core.target import Answer, Generates, Prompt, Scores, Target

Findings: TypeAlias = list[Finding]


class Measure(Protocol):
    """Says how memorized each record is."""

    def __call__(self, target: Any, records: Sequence[Record]) -> Findings: ...


@dataclass(frozen=True)
class Attempt:
    """What an attack asked about one record and what the model said."""

    prompt: Prompt
    answer: Answer


class Attack(Protocol):
    """Makes a target talk about records."""

    def __call__(self, target: Generates, records: Sequence[Record]) -> Iterator[Attempt]: ...


class Mitigation(Protocol):
    """Makes a target that remembers less."""

    def __call__(self, target: Any, records: Sequence[Record]) -> Target: ...


@dataclass(frozen=True)
class Verdict:
    """What became of a paper's claim at our size."""

    claim: str
    holds: bool | None
    """None when the experiment cannot decide."""
    text: str
    """One or two sentences with the figures."""
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Claim(Protocol):
    """One small experiment that checks what a paper claims."""

    def __call__(self, seed: int) -> Verdict: ...


LACKING = "the model does not give"
"""Begins the reason of a measure whose columns a target cannot fill."""


class TableMeasure:
    """Base of the measures that are pure functions of the token table.

    A subclass is a frozen dataclass that declares the columns it needs and turns one row into a score. The engine
    takes the union of the columns of all measures and makes one forward pass; re-scoring needs no model.
    """

    name: str = ""
    """Name in tables and on the command line: the file's name."""
    needs: tuple[str, ...] = ()
    """Columns of the target's table."""
    needs_base: tuple[str, ...] = ()
    """Columns of the base model's table, for measures that compare with it."""

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """The score of one row, higher = more memorized. Raises `NotMeasured` for a row that cannot be judged."""
        raise NotImplementedError  # abstract

    def __call__(self, target: Scores, records: Sequence[Record], base: Scores | None = None) -> Findings:
        """One pass over the target (and the base model, if the measure compares with it)."""
        rows = target.score(records, self.needs)
        if self.needs_base and base is None:
            return [Finding(r.id, self.name, None, reason="no base model was given") for r in records]
        base_rows = (
            base.score(records, self.needs_base)
            if base is not None and self.needs_base
            else iter([None] * len(records))
        )
        return [self.find(r.id, row, base_row) for r, row, base_row in zip(records, rows, base_rows, strict=True)]

    def find(self, record_id: str, row: TokenRow | str, base: TokenRow | str | None = None) -> Finding:
        """`score` with reasons: a row that was not measured, or cannot be judged, becomes a finding without score."""
        for given in (row, base):
            if isinstance(given, str):
                return Finding(record_id, self.name, None, reason=given)
        assert isinstance(row, TokenRow) and not isinstance(base, str)
        if self.needs_base and base is None:
            return Finding(record_id, self.name, None, reason="no base model was given")
        there = {*row.columns} if base is None or not self.needs_base else {*row.columns} & {*base.columns}
        if lacking := [c for c in (*self.needs, *self.needs_base) if c not in there]:
            return Finding(record_id, self.name, None, reason=f"{LACKING} {', '.join(lacking)}")
        try:
            found = self.score(row, base)
        except NotMeasured as why:
            return Finding(record_id, self.name, None, reason=why.reason)
        return Finding(record_id, self.name, found.value, found.evidence)


def columns_for(measures: Sequence[TableMeasure], schemes: Sequence[SamplingScheme] = ()) -> list[str]:
    """The union of the columns that the measures and schemes need, in a fixed order."""
    wanted = {c for m in measures for c in (*m.needs, *m.needs_base)} | {s.column for s in schemes}
    return sorted(wanted)
