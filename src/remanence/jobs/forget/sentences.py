"""The verdict in sentences: extraction removed, cost, membership, relearning, and warnings about methods."""

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
    lines: list[str] = []
    chosen: dict[str, Any] = {}
    if recommended is None:
        lines.append(
            f"No method reduced the extraction of the {before['n']:,} rows with at most "
            f"{_percent(settings.max_loss_increase)} more held-out loss; {before['hits']:,} are extracted as before. "
            "Raise --max-loss-increase, or train again without the rows."
        )
    else:
        chosen = _recommended(recommended, judged, settings.goal)
        lines.append(_gone(recommended, before))
        lines.append(_price(recommended, before, bench.sides.heldout_is))
        lines.append(_membership(recommended, before))
        lines += _relearning(recommended["method"], relearned)
    if retrained is not None:
        lines.append(
            f"After retraining without the rows, {retrained['hits']:,} of {retrained['n']:,} are extracted, at a "
            f"held-out loss {_signed(retrained['rise'])} relative to the given model."
        )
    return {
        "sentences": lines,
        "notes": _notes(judged, settings.max_loss_increase),
        "recommended": chosen,
        "reached": recommended is not None and recommended["removed"] >= settings.goal,
        "guard": {"max_loss_increase": settings.max_loss_increase, "goal": settings.goal},
        "model": bench.target.name,
        "judged": {name: dict(one) for name, one in judged.items()},
        "before": dict(before),
        "retrained": None if retrained is None else dict(retrained),
    }


def _gone(one: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    sampled = one["sampled_hits"]
    return (
        f"{title(one)} removes {_percent(one['removed'])} of the excess extraction: of {one['n']:,} rows to forget "
        f"{one['hits']:,} are extracted word for word ({_percent(one['hits'] / one['n'])}, 95 % interval "
        f"{_percent(one['low'])} to {_percent(one['high'])}) instead of {before['hits']:,}; by sampling "
        f"{sampled:,} instead of {before['sampled_hits']:,}; of held-out rows {_percent(one['floor'])}."
    )


def _price(one: Mapping[str, Any], before: Mapping[str, Any], heldout_is: str) -> str:
    kind = "on held-out rows that no method used" if heldout_is == "heldout" else "on retain rows that were set aside"
    return (
        f"Cost: loss {_signed(one['rise'])} (95 % interval {_signed(one['rise_low'])} to "
        f"{_signed(one['rise_high'])}) {kind} ({before['loss']:.3f} to {one['loss']:.3f} nats per token). Of "
        f"{before['untouched_n']:,} other training rows {one['untouched_hits']:,} are extracted, before "
        f"{before['untouched_hits']:,}."
    )


def _membership(one: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    if one["auc"] is None:
        return "Whether the rows can still be distinguished from held-out rows was not measured."
    area = (
        f"AUC {one['auc']:.2f}, 95 % interval {one['auc_low']:.2f} to {one['auc_high']:.2f}; before {before['auc']:.2f}"
    )
    if one["auc_high"] < 0.5:
        return f"The rows are now less likely than held-out rows ({area}): over-unlearned, which also reveals them."
    if one["auc_low"] > 0.5:
        return f"Membership can still be detected: the loss distinguishes the rows from held-out rows ({area})."
    return f"The loss does not distinguish the rows from held-out rows ({area})."


def _relearning(method: str, relearned: Sequence[Mapping[str, Any]]) -> list[str]:
    """How soon the rows are extracted again, compared with the retrained model where there is one."""
    by = {(line["model"], line["rows"]): line for line in relearned}
    lines: list[str] = []
    ours = by.get((method, "forget"))
    if ours is not None:
        text = f"When trained on the forgotten rows again, half of the extraction {_steps(ours)}"
        if (theirs := by.get(("retrained", "forget"))) is not None:
            text += f"; in the model retrained without them, it {_steps(theirs)}"
        lines.append(f"{text}.")
    benign = by.get((method, "benign"))
    if benign is not None:
        lines.append(f"When trained on retain rows, half {_steps(benign)}.")
    return lines


def _steps(line: Mapping[str, Any]) -> str:
    if line["steps"] is None:
        return f"has not returned within {line['max_steps']:,} steps"
    return f"has returned after {line['steps']:,} steps"


def _recommended(one: Mapping[str, Any], judged: Mapping[str, Mapping[str, Any]], goal: float) -> dict[str, Any]:
    reached = [j for j in judged.values() if j["within"] and j["removed"] is not None and j["removed"] >= goal]
    reached = [j for j in reached if j["kind"] != "decoding"]
    reasons: list[str] = []
    if reached:
        others = sorted((j for j in reached if j["method"] != one["method"]), key=lambda j: j["loss"])
        text = (
            f"{len(reached)} of {len(judged)} methods remove at least {_percent(goal)} of the excess at an allowed cost"
        )
        reasons.append(f"{text}; this one has the lowest held-out loss ({_signed(one['rise'])}).")
        if others:
            reasons.append(f"Next to it: {others[0]['method']} ({_signed(others[0]['rise'])}).")
    else:
        reasons.append(
            f"No method removes {_percent(goal)} of the excess at an allowed cost; this one removes most "
            f"({_percent(one['removed'])})."
        )
    keys = ("method", "setting", "strength", "unit", "slug", "removed", "rise")
    return {key: one[key] for key in keys} | {"reasons": reasons}


def _notes(judged: Mapping[str, Mapping[str, Any]], limit: float) -> list[str]:
    """Warnings about methods, whichever one is recommended."""
    notes: list[str] = []
    for name, one in judged.items():
        if one["kind"] == "decoding":
            notes.append(f"{name} filters generated text; the weights are unchanged, and so are its other figures.")
        elif not one["within"] and one["rise"] is not None:
            price = f"{_signed(one['rise'])} of held-out loss, above {_percent(limit)}"
            notes.append(f"{name}: the best state costs {price}.")
    return notes


def title(one: Mapping[str, Any]) -> str:
    """A method with its settings."""
    detail = ", ".join(part for part in (one["setting"], f"{one['strength']:g} {one['unit']}") if part)
    return f"{one['method']} ({detail})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:+.1f} %"
