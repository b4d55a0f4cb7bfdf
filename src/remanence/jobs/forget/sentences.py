"""The verdict in sentences: what is gone, what it cost, what is left, and what a method did that nobody would want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remanence.jobs.forget.workbench import Workbench


def sentences(
    bench: Workbench,
    before: Mapping[str, Any],
    retrained: Mapping[str, Any] | None,
    judged: Mapping[str, Mapping[str, Any]],
    recommended: Mapping[str, Any] | None,
    relearned: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The content of `verdict.json`."""
    settings = bench.settings
    told: list[str] = []
    chosen: dict[str, Any] = {}
    if recommended is None:
        told.append(
            f"No method made the {before['n']:,} rows come back less often within {_percent(settings.limit)} of "
            f"held-out loss; {before['hits']:,} come back as before. Raise --limit, or train again without the rows."
        )
    else:
        chosen = _recommended(recommended, judged, settings.goal)
        told.append(_gone(recommended, before))
        told.append(_price(recommended, before, bench.sides.heldout_is))
        told.append(_membership(recommended, before))
        told += _back(recommended["method"], relearned)
    if retrained is not None:
        told.append(
            f"Trained anew without the rows, {retrained['hits']:,} of {retrained['n']:,} come back, at a held-out loss "
            f"{_signed(retrained['rise'])} beside the model before."
        )
    return {
        "sentences": told,
        "notes": _notes(judged, settings.limit),
        "recommended": chosen,
        "reached": recommended is not None and recommended["removed"] >= settings.goal,
        "guard": {"limit": settings.limit, "goal": settings.goal},
        "model": bench.target.name,
        "judged": {name: dict(one) for name, one in judged.items()},
        "before": dict(before),
        "retrained": None if retrained is None else dict(retrained),
    }


def _gone(one: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    sampled = one["sampled_hits"]
    return (
        f"{title(one)} removes {_percent(one['removed'])} of the excess extraction: of {one['n']:,} rows to forget "
        f"{one['hits']:,} come back word for word ({_percent(one['hits'] / one['n'])}, 95 % interval "
        f"{_percent(one['low'])} to {_percent(one['high'])}) instead of {before['hits']:,}; by sampling "
        f"{sampled:,} instead of {before['sampled_hits']:,}; of rows it never saw {_percent(one['floor'])}."
    )


def _price(one: Mapping[str, Any], before: Mapping[str, Any], heldout_is: str) -> str:
    kind = "on held-out rows that no method saw" if heldout_is == "heldout" else "on rows that were kept aside"
    return (
        f"The price: loss {_signed(one['rise'])} (95 % interval {_signed(one['rise_low'])} to "
        f"{_signed(one['rise_high'])}) {kind} ({before['loss']:.3f} to {one['loss']:.3f} nats per token). Of "
        f"{before['untouched_n']:,} other training rows {one['untouched_hits']:,} come back, before "
        f"{before['untouched_hits']:,}."
    )


def _membership(one: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    if one["auc"] is None:
        return "Whether the rows can still be told from unseen ones was not measured."
    area = (
        f"AUC {one['auc']:.2f}, 95 % interval {one['auc_low']:.2f} to {one['auc_high']:.2f}; before {before['auc']:.2f}"
    )
    if one["auc_high"] < 0.5:
        return f"The rows are now less likely than rows never seen ({area}): over-unlearned, which gives them away too."
    if one["auc_low"] > 0.5:
        return f"Recital is gone, not every trace: the rows can still be told from unseen ones by their loss ({area})."
    return f"By their loss the rows cannot be told from rows never seen ({area})."


def _back(method: str, relearned: Sequence[Mapping[str, Any]]) -> list[str]:
    """How soon the rows are back, beside the retrained model where there is one."""
    by = {(line["model"], line["rows"]): line for line in relearned}
    told: list[str] = []
    ours = by.get((method, "forget"))
    if ours is not None:
        text = f"Trained on the forgotten rows again, half of what came back {_steps(ours)}"
        if (theirs := by.get(("retrained", "forget"))) is not None:
            text += f"; in a model that never saw them, it {_steps(theirs)}"
        told.append(f"{text}.")
    benign = by.get((method, "benign"))
    if benign is not None:
        told.append(f"Trained on rows that were kept, half {_steps(benign)}.")
    return told


def _steps(line: Mapping[str, Any]) -> str:
    if line["steps"] is None:
        return f"is not back within {line['max_steps']:,} steps"
    return f"is back after {line['steps']:,} steps"


def _recommended(one: Mapping[str, Any], judged: Mapping[str, Mapping[str, Any]], goal: float) -> dict[str, Any]:
    reached = [j for j in judged.values() if j["within"] and j["removed"] is not None and j["removed"] >= goal]
    reached = [j for j in reached if j["kind"] != "decoding"]
    reasons: list[str] = []
    if reached:
        others = sorted((j for j in reached if j["method"] != one["method"]), key=lambda j: j["loss"])
        text = (
            f"{len(reached)} of {len(judged)} methods remove at least {_percent(goal)} of the excess within the limit"
        )
        reasons.append(f"{text}; this one leaves the lowest held-out loss ({_signed(one['rise'])}).")
        if others:
            reasons.append(f"Next to it: {others[0]['method']} ({_signed(others[0]['rise'])}).")
    else:
        reasons.append(
            f"No method removes {_percent(goal)} of the excess within the limit; this one removes most "
            f"({_percent(one['removed'])})."
        )
    keys = ("method", "setting", "strength", "unit", "slug", "removed", "rise")
    return {key: one[key] for key in keys} | {"reasons": reasons}


def _notes(judged: Mapping[str, Mapping[str, Any]], limit: float) -> list[str]:
    """What went wrong with a method, told whichever one is recommended."""
    notes: list[str] = []
    for name, one in judged.items():
        if one["kind"] == "decoding":
            notes.append(
                f"{name} guards what is said; the weights still know the rows: its other figures are as before."
            )
        elif not one["within"] and one["rise"] is not None:
            price = f"{_signed(one['rise'])} of held-out loss, beyond {_percent(limit)}"
            notes.append(f"{name}: the state that was kept costs {price}.")
    return notes


def title(one: Mapping[str, Any]) -> str:
    """A method with its settings."""
    detail = ", ".join(part for part in (one["setting"], f"{one['strength']:g} {one['unit']}") if part)
    return f"{one['method']} ({detail})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:+.1f} %"
