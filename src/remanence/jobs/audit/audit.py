"""The audit from end to end: read, pass over both models, judge, attack, count, rank, write.

Every stage writes its table before the next begins and is skipped when the table is there, so a killed audit is taken
up where it stopped and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.table import Rendered
from remanence.core.target import Generates, Scores, Target, rendered_rows
from remanence.engine.columns import check_columns, labels
from remanence.engine.describe import model_facts, rendered_fingerprint, versions
from remanence.engine.executors import OpenTargets, openable_by
from remanence.engine.gates import apply_rule, check_rule
from remanence.engine.rates import rates_to_arrow
from remanence.engine.rows import DistinctRows
from remanence.engine.token_pass import run_token_pass
from remanence.jobs.audit import answered, answers, attempts, findings, matching, membership, ranking, rates, rows
from remanence.jobs.audit.by_column import budget_rates
from remanence.jobs.audit.findings import Found
from remanence.jobs.audit.measures import discoverable, table_columns, table_measures
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.verdict import verdict
from remanence.text.spans import SpanIndex
from remanence.text.words import TOKENIZATION


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    run: Run
    verdict: dict[str, Any]
    """`verdict.json`: the two sentences, the headline figures, what cannot be claimed."""
    undecided: str | None = None
    """Why the `fail_if` rule could not be decided."""

    @property
    def failed(self) -> bool:
        """Whether the `fail_if` rule struck. Raises `RemanenceError` when what it speaks of could not be measured."""
        if self.undecided is not None:
            raise RemanenceError(self.undecided)
        return bool(self.verdict["fail_if"] and self.verdict["fail_if"]["failed"])


def run_audit(
    model: Target,
    train: Sequence[Record],
    heldout: Sequence[Record] | None,
    base: Target | None,
    out: Path | str,
    settings: AuditSettings,
    *,
    names: dict[str, Any] | None = None,
    fail_if: str | None = None,
    resume: bool = False,
    show: bool = True,
    executor: Executor | None = None,
    opens: OpenTargets | None = None,
) -> Audit:
    """Audit a target that scores (and, unless `generate="none"`, generates) against its training rows, or one that
    only generates.

    `executor` does the passes and the asking (default: this process); `opens` is how its workers open the targets
    anew, by role, such as `engine.opening.TargetRecipe`. The folder is the same whoever did the work.
    """
    if fail_if is not None:
        check_rule(fail_if, heldout is not None, base is not None)
    if settings.background == "base" and base is None:
        raise RemanenceError("--background base needs --base: without a base model it cannot say what surprises it.")
    if not train:
        raise RemanenceError("There are no training rows to audit: the data is empty.")
    targets = {"tuned": model} if base is None else {"tuned": model, "base": base}
    by_answers = answers.needed(targets, settings)
    executor = executor or Serial()
    at_work = openable_by(executor, targets, opens)
    check_columns(train, heldout, settings.by)
    data = rows.audited(train, heldout, settings.by)
    groups = [data.train] if data.heldout is None else [data.train, data.heldout]
    rendered = {g.group: rendered_rows(cast(Scores, model), g.records) for g in groups}
    full = {"train": train, "heldout": heldout or []}
    run = Run.begin(out, _spec(targets, full, rendered, settings, names or {}), resume=resume)
    run.write_table("rows", rows.to_arrow([(full[g.group], g, rendered[g.group]) for g in groups], data))

    measures = table_measures(settings, base is not None)
    if by_answers:
        if not run.has(answered.FACTS):
            answers.ask_all(run, targets, groups, rendered, settings, show=show)
        found = judge(run, base is not None, [g.group for g in groups], settings)
    else:
        answers.announce_table(targets, groups, settings, show=show)
        run_token_pass(
            run, at_work, list(targets), groups, table_columns(measures), discoverable(settings), executor,
            dtype=settings.dtype, shard_rows=settings.shard_rows, show=show,
        )  # fmt: skip
        found = judge(run, base is not None, [g.group for g in groups], settings)
        if not run.has("attempts.parquet"):
            _attack(run, at_work, targets, groups, rendered["train"], found, settings, executor, show=show)
        answers.tell_table(run, targets, show=show)
    matching.match_attempts(run, train, heldout, base, settings, show=show)
    facts = _facts(data.train, rendered["train"], data.copies.tolist(), data.near.tolist(), settings)
    held_facts = None
    if data.heldout is not None:
        none = [0] * len(data.heldout.records)
        held_facts = _facts(data.heldout, rendered["heldout"], none, none, settings)
    return conclude(run, data, found, facts, held_facts, settings, fail_if)


def judge(run: Run, with_base: bool, groups: Sequence[str], settings: AuditSettings) -> dict[tuple[str, str], Found]:
    """Findings of every measure on every side, from the token tables, or from answers where there are none; writes
    `findings.parquet`.
    """
    if answered.answers_only(run):
        found = answered.judge(run, with_base, groups, settings)
        findings.write(run, found)
        return found
    measures = table_measures(settings, with_base)
    alone = [m for m in measures if not m.needs_base]
    extraction = [m for m in measures if m.name.startswith(("discoverable", "np_discoverable"))]
    found = dict[tuple[str, str], Found]()
    for group in groups:
        found["tuned", group] = findings.find(run, "tuned", group, measures, settings.prefixes)
        if with_base:
            found["base", group] = findings.find(run, "base", group, alone, settings.prefixes)
    found["ceiling", "train"] = findings.find(run, "ceiling", "train", extraction, settings.prefixes)
    findings.write(run, found)
    return found


def _attack(
    run: Run,
    opens: OpenTargets,
    targets: Mapping[str, Target],
    groups: Sequence[DistinctRows],
    rendered: Sequence[Any],
    found: dict[tuple[str, str], Found],
    settings: AuditSettings,
    executor: Executor,
    *,
    show: bool,
) -> None:
    able = {role: target for role, target in targets.items() if isinstance(target, Generates)}
    if able and settings.generate != "none":
        index = SpanIndex.build([np.empty(0, np.int32) if isinstance(row, str) else row.ids for row in rendered])
        asked = [(group, attempts.questions(found["tuned", group.group], settings)) for group in groups]
        asked = answers.fetched(run, able, asked, settings, show=show)
        attempts.ask(run, opens, able, asked, settings, index, executor, show=show)
    attempts.gather(run, list(targets), [g.group for g in groups])


def conclude(
    run: Run,
    data: rows.Audited,
    found: dict[tuple[str, str], Found],
    facts: rates.RowFacts,
    held_facts: rates.RowFacts | None,
    settings: AuditSettings,
    fail_if: str | None,
) -> Audit:
    """Rates, membership, ranking and verdict, from what is written."""
    rate_lines = rates.all_rates(found, facts, held_facts, data.keep_H, settings)
    rate_lines += budget_rates(found, facts, held_facts, data.keep_H, settings)
    rate_lines += matching.match_rates(run, facts, held_facts, data.keep_H, settings)
    run.write_table("rates", rates_to_arrow(rate_lines))
    member_lines = membership.quality_lines(found, data.keep_H, settings.measures)
    if data.heldout is not None:
        kept = [r.plain for r, keep in zip(data.heldout.records, data.keep_H, strict=True) if keep]
        member_lines.append(membership.blind_line([r.plain for r in data.train.records], kept, settings.seed))
    run.write_table("membership", membership.to_arrow(member_lines))
    ranked = ranking.lines(run, found, facts, data.keep_H, settings)
    run.write_table("ranking", ranking.to_arrow(ranked))
    keep = None if data.heldout is None else data.keep_H
    said = verdict(run, data.num_train, facts, keep, found, rate_lines, member_lines, ranked, settings)
    undecided = apply_rule(said, fail_if)
    run.write_json("verdict.json", said)
    return Audit(run, said, undecided)


def _facts(
    group: DistinctRows, rendered: Sequence[Rendered | str], copies: list[int], near: list[int], settings: AuditSettings
) -> rates.RowFacts:
    lengths = [0 if isinstance(row, str) else int(row.scored.sum()) for row in rendered]
    return rates.RowFacts(list(group.places), lengths, copies, near, labels(group.records, settings.by))


def _spec(
    targets: dict[str, Target],
    full: dict[str, Sequence[Record]],
    rendered: dict[str, list[Rendered | str]],
    settings: AuditSettings,
    names: dict[str, Any],
) -> dict[str, Any]:
    def told(group: str) -> dict[str, Any] | None:
        if group not in rendered:
            return None
        records = full[group]
        return {
            "name": names.get(group, group),
            "rows": len(records),
            "fingerprint": data_fingerprint(records),
            "rendered": rendered_fingerprint(rendered[group]),
        }

    return run_spec(targets, {group: told(group) for group in ("train", "heldout")}, settings)


def run_spec(targets: Mapping[str, Target], data: dict[str, Any], settings: AuditSettings) -> dict[str, Any]:
    """`run.json` of an audit over this data."""
    return {
        "schema": 1,
        "job": "audit",
        "settings": settings.spec(),
        "seed": settings.seed,
        "data": data,
        "models": {role: None if role not in targets else model_facts(targets[role]) for role in ("tuned", "base")},
        "tokenization": TOKENIZATION,
        "versions": versions(),
    }
