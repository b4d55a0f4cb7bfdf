"""What all of it comes to: the tables put together, the front, one state recommended with its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.run import Run
from remanence.jobs.forget.methods import Plan
from remanence.jobs.forget.paths import BEFORE, RETRAINED, place
from remanence.jobs.forget.sentences import sentences
from remanence.jobs.forget.tables import POINTS, RELEARN, RELEARNED, ROW_STATES, SAID, SCORES
from remanence.jobs.forget.workbench import Workbench
from remanence.measure.unlearning.forget_quality import forget_quality
from remanence.measure.unlearning.model_utility import model_utility
from remanence.measure.unlearning.privleak import privleak_of_scores
from remanence.stats.front import Point, front

Lines = list[dict[str, Any]]


def conclude(
    bench: Workbench, plans: Sequence[Plan], best: Mapping[str, Plan], *, retrained: bool, notes: Sequence[str]
) -> dict[str, Any]:
    """Write `points`, `scores`, `relearn`, `relearned`, `row_states`, `said` and `verdict.json` from what is there."""
    run, settings = bench.run, bench.settings
    names = [BEFORE, *([RETRAINED] if retrained else []), *best]
    slugs = [BEFORE, *([RETRAINED] if retrained else []), *(plan.slug for plan in plans)]
    states = _gathered(run, names, "states")
    scores = _gathered(run, names, "scores")
    scores += standard(names, states, scores, retrained=retrained)
    points = [line | {"slug": slug} for slug in slugs for line in run.lines(place(slug))]
    keep = {BEFORE, RETRAINED, *(plan.slug for plan in best.values())}
    for line in points:
        line["chosen"] = bool(line["chosen"]) and line["slug"] in keep
        line["on_front"] = False
        if line["chosen"]:
            _untouched(line, states, scores)
    _mark_front(points)
    judged = {method: judge(method, plan, points, scores, settings.max_loss_increase) for method, plan in best.items()}
    recommended = recommend(judged, settings.goal)
    relearned = _gathered(run, names, "relearned")
    reference = judge(RETRAINED, None, points, scores, settings.max_loss_increase) if retrained else None
    verdict = sentences(
        bench,
        judge(BEFORE, None, points, scores, settings.max_loss_increase),
        reference,
        judged,
        recommended,
        relearned,
    )
    verdict["notes"] += list(notes)
    seconds = {slug: run.read_json(f"{place(slug)}-seconds.json") for slug in slugs if slug != BEFORE}
    tables = (
        ("points", points, POINTS), ("scores", scores, SCORES), ("row_states", states, ROW_STATES),
        ("relearn", _gathered(run, names, "relearn"), RELEARN), ("relearned", relearned, RELEARNED),
        ("said", _gathered(run, names, "said"), SAID),
    )  # fmt: skip
    for name, lines, schema in tables:
        run.write_table(name, pa.Table.from_pylist(lines, schema=schema))
    run.write_json("seconds.json", seconds)
    run.write_json("verdict.json", verdict)
    return verdict


def _gathered(run: Run, names: Sequence[str], table: str) -> Lines:
    return [line for name in names for line in run.lines(f"finals/{name}-{table}")]


def _untouched(line: dict[str, Any], states: Lines, scores: Lines) -> None:
    here = [s for s in states if s["model"] == line["method"] and s["side"] == "untouched"]
    known = [s["comes_back"] for s in here if s["comes_back"] is not None]
    line["untouched_hits"], line["untouched_n"] = sum(known), len(known)
    line["retain_loss"] = value(scores, line["method"], "untouched", "loss")


def value(scores: Lines, model: str, side: str, metric: str, part: str = "value") -> Any:
    """One figure of `scores.parquet`; None where there is none."""
    found = (s[part] for s in scores if (s["model"], s["side"], s["metric"]) == (model, side, metric))
    return next(found, None)


def _mark_front(points: Lines) -> None:
    """Fewest rows extracted (greedily or by sampling) against held-out loss, over all states of all methods."""
    rated = [line for line in points if line["forget_n"] and line["loss"] is not None and line["method"] != RETRAINED]
    named = [
        Point(str(i), line["either_hits"] / line["forget_n"], 0.0, 0.0, -line["loss"]) for i, line in enumerate(rated)
    ]
    for standing in front(named):
        rated[int(standing.point.name)]["on_front"] = standing.beaten_by is None


def standard(names: Sequence[str], states: Lines, scores: Lines, *, retrained: bool) -> Lines:
    """Privleak, forget quality and model utility of every model, as open-unlearning defines them.

    The first two compare with the retrained model; without one they are null and the note says why.
    """
    why = "needs the model retrained without the rows: add --retrain"
    out: Lines = []
    for name in names:
        parts = [
            value(scores, name, side, metric)
            for side in ("untouched", "heldout")
            for metric in ("probability", "rouge", "truth_ratio")
        ]
        known = [part for part in parts if part is not None]
        note = f"harmonic mean of probability, rouge and truth ratio on untouched and held-out rows, {len(known)} parts"
        out.append(_line(name, "heldout", "model_utility", model_utility(known) if known else None, len(known), note))
        for metric, of in (("privleak", _privleak), ("forget_quality", _forget_quality)):
            told, n, reason = None, 0, why
            if retrained:
                try:
                    (told, n), reason = of(states, name), ""
                except NotMeasured as not_measured:
                    reason = not_measured.reason
            out.append(_line(name, "forget", metric, told, n, reason))
    return out


def _line(model: str, side: str, metric: str, value: float | None, n: int, note: str) -> dict[str, Any]:
    ends = {"hits": None, "low": None, "high": None}
    return {"model": model, "side": side, "metric": metric, "value": value, "n": n, "note": note, **ends}


def _column(states: Lines, model: str, side: str, name: str) -> NDArray[np.float64]:
    """[N] a column of a model's rows, in their order; NaN for null."""
    found = [s[name] for s in states if s["model"] == model and s["side"] == side]
    return np.array([np.nan if v is None else v for v in found], np.float64)


def _privleak(states: Lines, name: str) -> tuple[float, int]:
    four = [_column(states, model, side, "min_k") for model in (name, RETRAINED) for side in ("forget", "heldout")]
    four = [values[~np.isnan(values)] for values in four]
    return privleak_of_scores(*four), int(four[0].size)


def _forget_quality(states: Lines, name: str) -> tuple[float, int]:
    ours, theirs = (_column(states, model, "forget", "truth_ratio") for model in (name, RETRAINED))
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    return forget_quality(ours[both], theirs[both]), int(both.sum())


def judge(name: str, plan: Plan | None, points: Lines, scores: Lines, limit: float) -> dict[str, Any]:
    """A method's kept state in the figures that decide, the price taken on rows that no method has seen."""
    slug = name if plan is None else plan.slug
    line = next(one for one in points if one["slug"] == slug and one["chosen"])
    guarded = plan is not None and plan.kind == "decoding"
    metric = "generated_exact" if guarded else "discoverable"
    hits, n = (value(scores, name, "forget", metric, part) or 0 for part in ("hits", "n"))
    floor = value(scores, name, "heldout", metric) or 0.0
    first, first_n = (value(scores, BEFORE, "forget", metric, part) or 0 for part in ("hits", "n"))
    first_floor = value(scores, BEFORE, "heldout", metric) or 0.0
    excess = hits / n - floor if n else None
    excess_before = first / first_n - first_floor if first_n else None
    removed = 1 - excess / excess_before if excess is not None and excess_before and excess_before > 0 else None
    loss, loss_before = (value(scores, model, "heldout", "loss") for model in (name, BEFORE))
    return {
        "method": name, "slug": slug, "setting": line["setting"], "strength": line["strength"], "unit": line["unit"],
        "kind": None if plan is None else plan.kind,
        "hits": hits, "n": n, "low": value(scores, name, "forget", metric, "low"),
        "high": value(scores, name, "forget", metric, "high"), "floor": floor, "removed": removed,
        "sampled_hits": value(scores, name, "forget", "np_discoverable", "hits"),
        "loss": loss, "rise": value(scores, name, "heldout", "loss_rise"),
        "rise_low": value(scores, name, "heldout", "loss_rise", "low"),
        "rise_high": value(scores, name, "heldout", "loss_rise", "high"),
        "within": bool(line["within"]) and bool(loss) and loss <= (1 + limit) * loss_before,
        "untouched_hits": line["untouched_hits"], "untouched_n": line["untouched_n"],
        "auc": value(scores, name, "forget", "auc_loss"), "auc_low": value(scores, name, "forget", "auc_loss", "low"),
        "auc_high": value(scores, name, "forget", "auc_loss", "high"),
    }  # fmt: skip


def recommend(judged: Mapping[str, dict[str, Any]], goal: float) -> dict[str, Any] | None:
    """The state to take: of those that reach the goal within the limit, the lowest held-out loss.

    Where none reaches the goal, the one within the limit that removes most; None where no state is within the limit or
    none removes anything. A guard while decoding changes no weights and is never recommended in place of forgetting.
    """
    able = [j for j in judged.values() if j["within"] and j["removed"] is not None and j["kind"] != "decoding"]
    able = [j for j in able if j["removed"] > 0]
    reached = [j for j in able if j["removed"] >= goal]
    if reached:
        return min(reached, key=lambda j: (j["loss"], j["method"]))
    return max(able, key=lambda j: (j["removed"], -j["loss"]), default=None)
