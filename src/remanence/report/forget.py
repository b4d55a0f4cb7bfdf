"""What the report knows of a forgetting: the states that were tried, the models that were judged, and the rows.

The folder is read by the names of its tables, so nothing that made it is needed to read it; a table that is not there
yet is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from remanence.core.run import Run
from remanence.report.words import Line, number

BEFORE, RETRAINED = "before", "retrained"
"""Names of the two models that no method made."""


@dataclass(frozen=True)
class Path:
    """What one method did with one setting, from no strength to the most."""

    method: str
    setting: str
    points: Sequence[Line]

    @property
    def kept(self) -> Line | None:
        """The state that is kept of it."""
        return next((point for point in self.points if point["chosen"]), None)

    @property
    def why(self) -> str:
        """Why it ended where it did."""
        return next((point["why"] for point in reversed(self.points) if point["why"]), "")


@dataclass(frozen=True)
class Forget:
    """A forgetting, read once."""

    run: Run
    spec: dict[str, Any]
    verdict: dict[str, Any]
    points: list[Line] = field(repr=False)
    scores: dict[tuple[str, str, str], Line] = field(repr=False)
    """(model, side, metric) -> line."""
    relearn: list[Line] = field(repr=False)
    relearned: list[Line] = field(repr=False)
    rows: list[Line] = field(repr=False)
    states: list[Line] = field(repr=False)

    @classmethod
    def read(cls, run: Run) -> Forget:
        """Read what is there."""

        def lines(name: str) -> list[Line]:
            return list(run.lines(name)) if run.has(f"{name}.parquet") else []

        scores = {(line["model"], line["side"], line["metric"]): line for line in lines("scores")}
        verdict = run.read_json("verdict.json") if run.has("verdict.json") else {}
        tables = [lines(name) for name in ("relearn", "relearned", "forget_rows", "row_states")]
        return cls(run, run.spec, verdict, lines("points"), scores, *tables)

    @property
    def recommended(self) -> dict[str, Any]:
        """Method, setting, strength, unit and reasons; empty where nothing is recommended."""
        return self.verdict.get("recommended") or {}

    @property
    def limit(self) -> float:
        """The greatest rise of the held-out loss that was allowed, relative."""
        guard, settings = self.verdict.get("guard") or {}, self.spec.get("settings") or {}
        new, old = "max_loss_increase", "limit"  # the name in schema version 1
        limit = guard.get(new, guard.get(old, settings.get(new, settings.get(old))))
        return 0.02 if limit is None else float(limit)

    @property
    def methods(self) -> list[str]:
        """The recommended one first, then as they stand in the table."""
        named = dict.fromkeys(point["method"] for point in self.points)
        named |= dict.fromkeys(model for model, _, _ in self.scores)
        found = [name for name in named if name not in {BEFORE, RETRAINED}]
        return sorted(found, key=lambda name: name != self.recommended.get("method"))

    @property
    def models(self) -> list[str]:
        """Before, the methods, and retrained where it is known."""
        known = {point["method"] for point in self.points} | {model for model, _, _ in self.scores}
        return [name for name in (BEFORE, *self.methods, RETRAINED) if name in known]

    def reference(self, name: str) -> Line | None:
        """The one state of the model before, or of the retrained one."""
        return next((point for point in self.points if point["method"] == name), None)

    def paths(self, method: str) -> list[Path]:
        """One for each setting, states in the order of their strength."""
        found: dict[str, list[Line]] = {}
        for point in self.points:
            if point["method"] == method:
                found.setdefault(point["setting"], []).append(point)
        return [Path(method, name, sorted(those, key=lambda p: p["strength"])) for name, those in found.items()]

    def chosen(self, method: str) -> Line | None:
        """The state that was judged: the recommended one of the recommended method, else the best one kept.

        Of several paths that were kept, the one with least memory of the rows, then with the lower loss.
        """
        if method in {BEFORE, RETRAINED}:
            return self.reference(method)
        kept = [path.kept for path in self.paths(method)]
        found = [point for point in kept if point is not None]
        told = self.recommended
        if method == told.get("method"):
            here = [p for p in found if (p["setting"], p["strength"]) == (told.get("setting"), told.get("strength"))]
            found = here or found
        return min(found, key=_worse, default=None)

    def score(self, model: str, side: str, metric: str) -> Line | None:
        """A line of the whole evaluation."""
        return self.scores.get((model, side, metric))

    @property
    def version(self) -> str:
        """The version that made the run."""
        return str((self.spec.get("versions") or {}).get("remanence") or "")


def _worse(point: Line) -> tuple[bool, float, float]:
    excess, loss = number(point["excess"]), number(point["loss"])
    inf = float("inf")
    return (not point["within"], inf if excess is None else excess, inf if loss is None else loss)
