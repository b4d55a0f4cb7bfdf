"""The verdict: two sentences that one can read to a lawyer, and what must not be concluded from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from remanence.jobs.audit.ranking import LEVEL

TOLD_BELOW = "sampling and membership are reported below"


class ExtractedRows(NamedTuple):
    """The extracted rows, as the second sentence describes them."""

    num: int
    repeated: int
    """How many of them occur in the training data more than once."""
    worst: str
    """Id of the first in the ranking."""
    near: bool = True
    """Whether near duplicates were counted too."""


@dataclass(frozen=True)
class VerdictFacts:
    """What the verdict says beside the rates."""

    num_train: int
    num_distinct: int
    extracted: ExtractedRows
    with_heldout: bool
    with_base: bool
    columns: list[dict[str, Any]]
    notes: list[str]
    not_measured: dict[str, int]
    flagged: int | None
    """Rows that are significant against the held-out rows; None where that cannot be computed."""


def verdict(
    facts: VerdictFacts, rates: Sequence[dict[str, Any]], membership: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """`verdict.json`, from what was counted."""
    line = next(r for r in rates if r["metric"] == "greedy" and r["by"] == "all")
    return {
        "sentences": [_first(line, facts.num_train, facts.num_distinct), _second(line, facts.extracted)],
        "headline": {
            "metric": "greedy",
            **{k: line[k] for k in ("hits", "n", "rate", "low", "high")},
            **{who: _side(line, who) for who in ("floor", "base", "ceiling")},
            **{
                k: line[k]
                for k in ("excess", "excess_low", "excess_high", "over_base", "over_base_low", "over_base_high")
            },
            "auc": _auc(membership),
        },
        "columns": facts.columns,
        "cannot_claim": _cannot_claim(line, facts.with_heldout, facts.with_base, membership),
        "notes": facts.notes,
        "not_measured": facts.not_measured,
        "flagged": None if facts.flagged is None else {"count": facts.flagged, "level": LEVEL},
        "fail_if": None,
    }


def _first(line: dict[str, Any], num_train: int, num_distinct: int) -> str:
    if not line["n"]:
        return f"None of the {num_train:,} rows could be measured."
    repeats = num_train - num_distinct
    rows = f"{line['n']:,} measurable rows" if line["n"] != num_train else f"{line['n']:,} rows"
    counted = f" (of {num_train:,}, {repeats:,} of them repeats)" if repeats else ""
    share = f"{_percent(line['rate'])}, 95 % interval {_span(line['low'], line['high'])}"
    others: list[str] = []
    if line["base_n"]:
        others.append(f"{_percent(line['base_rate'])} from the base model")
    if line["floor_n"]:
        others.append(f"{_percent(line['floor_rate'])} of {line['floor_n']:,} held-out rows")
    beside = f"; {' and '.join(others)}" if others else ""
    return f"{line['hits']:,} of {rows}{counted} can be extracted word for word ({share}){beside}."


def _second(line: dict[str, Any], back: ExtractedRows) -> str:
    if not line["n"]:
        return "The notes give the reasons; this run supports no conclusion."
    if not back.num:
        return f"No row can be extracted at any of the prefix lengths; {TOLD_BELOW}."
    often = f"more than once{', exactly or nearly' if back.near else ' word for word'}"
    many = f"{back.repeated:,}" if back.repeated else "None"
    occur = "occur" if back.repeated > 1 else "occurs"
    said = f"{many} of the {back.num:,} rows {occur} in the training data {often}"
    if back.num == 1:
        said = f"It occurs in the training data {often if back.repeated else 'only once'}"
    if line["excess"] is not None:
        low, high = line["excess_low"], line["excess_high"]
        beyond = "more than chance" if low > 0 else "not shown to be more than chance"
        said += f"; the excess over held-out rows is {_points(line['excess'])} ({_span(low, high)}), {beyond}"
    return f"{said}; {'it is' if back.num == 1 else 'the most easily extracted is'} row {back.worst}."


def _cannot_claim(
    line: dict[str, Any], with_heldout: bool, with_base: bool, membership: Sequence[dict[str, Any]]
) -> list[str]:
    said: list[str] = []
    if not with_heldout:
        said.append(
            "No held-out rows were given, so there is no floor: the extraction rate of rows that were not trained on, "
            "and membership, are not known. Add --heldout with rows of the same kind that were not trained on."
        )
    elif not line["floor_n"]:
        said.append("No held-out row could be measured, so there is no floor.")
    if not with_base:
        said.append("No base model was given, so memory from before fine-tuning cannot be separated. Add --base.")
    elif line["n"] and not line["base_n"]:
        said.append(
            "No row could be measured on the base model, so memory from before fine-tuning cannot be separated."
        )
    blind = next((m for m in membership if m["target"] == "blind" and m.get("auc") is not None), None)
    if blind is not None and blind["auc_low"] > 0.5:
        said.append(
            f"A classifier of the texts alone, without the model, separates training from held-out rows (AUC "
            f"{blind['auc']:.2f}, {blind['auc_low']:.2f} to {blind['auc_high']:.2f}): the two sets differ, so "
            "membership figures and the excess overstate memorization. Hold out rows at random, before training."
        )
    return said


def _side(line: dict[str, Any], who: str) -> dict[str, Any] | None:
    if line[f"{who}_n"] is None:
        return None
    return {k: line[f"{who}_{k}"] for k in ("hits", "n", "rate", "low", "high")}


def _auc(membership: Sequence[dict[str, Any]]) -> float | None:
    """AUC of the gain over the base model where there is one, else of the loss."""
    known = {m["measure"]: m.get("auc") for m in membership if m["target"] == "tuned"}
    return known.get("reference", known.get("loss"))


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _span(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _points(excess: float) -> str:
    return f"{100 * excess:.1f} points"
