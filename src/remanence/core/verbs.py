"""The verbs. A system is a frozen dataclass that is called, and its base class says what it does.

The catalogue finds systems by these base classes, wherever their files stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeAlias

from remanence.core.attempt import Attempt
from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding, Score
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.core.target import Scores, Target

Findings: TypeAlias = list[Finding]


class Measure:
    """Says how memorized each record is."""

    cost: ClassVar[str] = "1 forward pass per row"
    """What using it takes, for `remanence show`."""

    @property
    def row_by_row(self) -> bool:
        """Whether the finding of a row is the same whatever other rows are measured with it."""
        return True

    def with_corpus(self, train: Sequence[Record], heldout: Sequence[Record]) -> Self:
        """The measure with the references that it leaves open taken from the user's rows; the same if it has none."""
        return self

    def __call__(self, target: Any, records: Sequence[Record]) -> Findings:
        """One finding per record, in order: a score (higher = more memorized) or the reason why there is none."""
        raise NotImplementedError  # abstract


class Attack:
    """Makes a target talk about records. `remanence.core.attempt.judge` turns its attempts into findings."""

    cost: ClassVar[str] = "1 generation per row"

    def __call__(self, target: Any, records: Sequence[Record]) -> Iterator[Attempt]:
        """Attempts, in the order of the records; none for a record about which the attack cannot ask."""
        raise NotImplementedError  # abstract


class Mitigation:
    """Makes a target that remembers less."""

    cost: ClassVar[str] = "1 training"
    trains_from_base: ClassVar[bool] = False
    """Whether the target to give is the base model, which is trained on the records anew."""
    changes_weights: ClassVar[bool] = True
    """Whether the new target has other weights; False for one that only decodes in another way."""

    def __call__(self, target: Any, records: Sequence[Record]) -> Target:
        """Another target of the same abilities, with its own name and fingerprint; the given one is unchanged."""
        raise NotImplementedError  # abstract


class Memory:
    """Gives a target a memory, such as an index of past states or an episodic store."""

    cost: ClassVar[str] = "1 forward pass per row"

    def __call__(self, target: Any, records: Sequence[Record]) -> Target:
        """Another target, with its own fingerprint, that remembers the records; the given one is unchanged."""
        raise NotImplementedError  # abstract


class Benchmark:
    """Brings its own items and their answer key."""

    cost: ClassVar[str] = "1 generation per item"
    chance: ClassVar[float | None] = None
    """Mean score of a target that guesses; an item's evidence may have its own under `chance`."""
    human: ClassVar[float | None] = None
    """Mean score of people, where it was measured."""

    def __call__(self, target: Any) -> Findings:
        """One finding per item: a score from 0 to 1, and in its evidence the `part` of the benchmark that it is of."""
        raise NotImplementedError  # abstract


class Theory:
    """A statement that is checked by construction or simulation, without a model of the user's."""

    cost: ClassVar[str] = "arithmetic, no model"

    def __call__(self, seed: int) -> Findings:
        """One finding per case of the statement, such as one capacity or one number of features."""
        raise NotImplementedError  # abstract


@dataclass(frozen=True)
class Verdict:
    """What became of a paper's claim at our size."""

    claim: str
    holds: bool | None
    """None when the experiment cannot decide."""
    text: str
    """One or two sentences with the figures."""
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Experiment:
    """One small experiment that checks what a paper claims."""

    cost: ClassVar[str] = "trains its own small models, once per seed"

    def __call__(self, seed: int) -> Verdict:
        """What became of the claim with this seed."""
        raise NotImplementedError  # abstract


LACKING = "the model does not give"
"""Begins the reason of a measure whose columns a target cannot fill."""


class TableMeasure(Measure):
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
