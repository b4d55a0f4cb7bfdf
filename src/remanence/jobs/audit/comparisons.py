"""Does the rate differ between the values of a column by more than the intervals allow? Said in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remanence.jobs.audit.rate_counts import BUDGET, COLUMN
from remanence.jobs.audit.settings import AuditSettings
from remanence.stats.contrast import Counts, Pair, contrasts

ENOUGH = 10
"""Rows of a value that a rate is worth comparing on."""
FLAGGED = "paraphrase"
"""The kind of match that is compared, and with it every stronger one."""


def comparisons(
    rates: Sequence[dict[str, Any]], counts: Sequence[Mapping[str, int]], settings: AuditSettings
) -> list[dict[str, Any]]:
    """For `verdict.json`: per column the budget at which its values compare best, and how much they differ there.

    `counts`: the number of training rows of each value, column by column. In the result, `pairs` are the differences in
    what is extracted and `detector` those in what the detector flags (None unless all rows were generated from).
    """
    found: list[dict[str, Any]] = []
    for count, column in zip(counts, settings.by, strict=True):
        lines = [r for r in rates if r["by"] == f"{COLUMN}{column}"]
        greedy = [r for r in lines if r["metric"] == "greedy"]
        flagged = [r for r in lines if r["metric"] == "match" and r["detail"].startswith(FLAGGED)]
        best = best_budget(greedy)
        here = [r for r in greedy if r["detail"] == ("" if best is None else f"{BUDGET}{best}")]
        tokens = settings.new_tokens if best is None else best
        told = {"column": column, "budget": best, "rows": {r["value"]: count[r["value"]] for r in here}}
        told |= _compared(here, column, f"At {tokens} generated tokens")
        told["detector"] = (
            _compared(flagged, column, "In the share of generated texts that match training rows") if flagged else None
        )
        found.append(told)
    return found


def _compared(lines: Sequence[dict[str, Any]], column: str, where: str) -> dict[str, Any]:
    pairs = contrasts({r["value"]: Counts(r["hits"], r["n"], r["floor_hits"], r["floor_n"]) for r in lines})
    missing = [r["value"] for r in lines if not r["n"]]
    floor = "minus the floor" if any(r["floor_n"] for r in lines) else "without a floor"
    sentence = _sentence(column, f"{where}, {floor}", pairs, missing)
    return {"sentence": sentence, "pairs": [{**pair._asdict(), "apart": pair.apart} for pair in pairs]}


def best_budget(lines: Sequence[dict[str, Any]]) -> int | None:
    """The budget at which most values have `ENOUGH` rows, and held-out rows; of several such, the largest.

    `lines` of one column; only numbers of rows decide, never what was extracted. None where no budgets were asked for.
    """
    covered: dict[int, list[int]] = {}
    for r in lines:
        if r["detail"]:
            fewest = r["n"] if r["floor_n"] is None else min(r["n"], r["floor_n"])
            covered.setdefault(int(r["detail"].removeprefix(BUDGET)), []).append(fewest)

    def worth(budget: int) -> tuple[int, int, int]:
        return sum(n >= ENOUGH for n in covered[budget]), sum(n > 0 for n in covered[budget]), budget

    return max(covered, key=worth, default=None)


def _sentence(column: str, where: str, pairs: Sequence[Pair], missing: Sequence[str]) -> str:
    short = f" Not measurable there: {', '.join(missing)}." if missing else ""
    if not pairs:
        return f"{where}, there are no two values of {column} to compare.{short}"
    a, b, value, low, high = pairs[0]
    apart, num = sum(pair.apart for pair in pairs), len(pairs)
    widest = f"{a} over {b}, {100 * value:.1f} points ({100 * low:.1f} to {100 * high:.1f})"
    if num == 1:
        verb = "is more than its 95 % interval" if apart else "is within its 95 % interval, so it is not significant"
        return f"{where}, the difference between the two values of {column} {verb}: {widest}.{short}"
    many = f"{apart} of the {num} differences between two values of {column} {'is' if apart == 1 else 'are'} more than"
    if not apart:
        many = f"none of the {num} differences between two values of {column} is more than"
    return f"{where}, {many} chance (simultaneous 95 % intervals for all {num}); the largest is {widest}.{short}"
