"""A finding says what was found about one record, or why nothing could be measured; never a silent zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One record under one measure. Higher scores always mean more memorized."""

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
    """What a measure says of one row, before it knows whose row it is."""

    value: float
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
