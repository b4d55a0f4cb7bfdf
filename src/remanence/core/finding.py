"""Finding: the score of one record under one measure, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """The result of one measure for one record. Higher scores always mean more memorized."""

    record_id: str
    measure: str
    score: float | None
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reason: str | None = None
    """Why there is no score; None exactly when there is one."""

    def __post_init__(self) -> None:
        assert (self.score is None) == (self.reason is not None), "a finding has a score or a reason, not both"


@dataclass(frozen=True)
class Score:
    """The score of a measure for one row, without the record's id."""

    value: float
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
