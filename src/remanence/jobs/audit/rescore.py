"""Score a run again from its token tables: other likelihood measures, no model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.engine.gates import apply_rule
from remanence.engine.rates import rates_to_arrow
from remanence.jobs.audit import answered, matching, membership, ranking, rates
from remanence.jobs.audit.audit import Audit, judge
from remanence.jobs.audit.by_column import budget_rates
from remanence.jobs.audit.measures import table_measures
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.verdict import verdict


def rescore(run: Run, measures: list[str] | None = None) -> Audit:
    """Findings, rates, membership, ranking and verdict anew, with these likelihood measures (None = as before).

    The blind baseline needs the texts of the data, so its line is kept from the run. Raises `RemanenceError` when the
    run was not finished, or a measure needs a column that its token table lacks.
    """
    spec = run.spec
    settings = AuditSettings.of_spec(spec["settings"])
    if measures is not None:
        settings = replace(settings, measures=tuple(measures))
    if not run.has("verdict.json"):
        raise RemanenceError(f"{run.folder.name} has no verdict: the run was not finished; add --resume to the audit.")
    old_gate, old_membership = run.read_json("verdict.json")["fail_if"], run.lines("membership")
    lines = run.lines("rows")
    with_base = spec["models"]["base"] is not None
    groups = ["train"] if spec["data"]["heldout"] is None else ["train", "heldout"]
    if not answered.facts(run):  # what a server does not give is told row by row
        _check_columns(run, settings, with_base, measures)
    found = judge(run, with_base, groups, settings)
    train = [r for r in lines if r["group"] == "train" and r["same_as"] is None]
    held = [r for r in lines if r["group"] == "heldout" and r["same_as"] is None]
    keep = np.array([not r["contaminated"] for r in held], bool)
    facts, held_facts = _facts(train), _facts(held) if held else None
    rate_lines = rates.all_rates(found, facts, held_facts, keep, settings)
    rate_lines += budget_rates(found, facts, held_facts, keep, settings)
    rate_lines += matching.match_rates(run, facts, held_facts, keep, settings)
    run.write_table("rates", rates_to_arrow(rate_lines))
    member_lines = membership.quality_lines(found, keep, settings.measures)
    member_lines += [m for m in old_membership if m["target"] == "blind"]
    run.write_table("membership", membership.to_arrow(member_lines))
    ranked = ranking.lines(run, found, facts, keep, settings)
    run.write_table("ranking", ranking.to_arrow(ranked))
    count = sum(r["group"] == "train" for r in lines)
    said = verdict(run, count, facts, keep if held else None, found, rate_lines, member_lines, ranked, settings)
    undecided = apply_rule(said, old_gate and old_gate["rule"])
    run.write_json("verdict.json", said)
    return Audit(run, said, undecided)


def _facts(lines: list[dict[str, Any]]) -> rates.RowFacts:
    return rates.RowFacts(
        [r["row"] for r in lines],
        [r["num_supervised"] or 0 for r in lines],
        [r["copies"] for r in lines],
        [r["near"] for r in lines],
        [tuple(r.get("by") or ()) for r in lines],  # runs from before there were columns have none
    )


def _check_columns(run: Run, settings: AuditSettings, with_base: bool, asked: list[str] | None) -> None:
    for measure in table_measures(settings, True):
        if measure.needs_base and not with_base and measure.name in (asked or ()):
            raise RemanenceError(
                f"{measure.name} compares with a base model, and this run has none: audit with --base."
            )
    have = set(next(run.shards("tokens/tuned-train")).column_names)
    for measure in table_measures(settings, with_base):
        lacking = [c for c in measure.needs if c not in have]
        if lacking:
            raise RemanenceError(
                f"{measure.name} needs {', '.join(lacking)}, which this run did not measure: audit again with it."
            )
