"""The audit from end to end: read, pass over both models, judge, attack, count, rank, write.

Every stage writes its table before the next begins and is skipped when the table is there, so a killed audit is taken
up where it stopped and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
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
from remanence.engine.columns import check_columns
from remanence.engine.describe import model_facts, rendered_fingerprint, versions
from remanence.engine.executors import OpenTargets, openable_by
from remanence.engine.gates import check_rule
from remanence.engine.rows import DistinctRows
from remanence.engine.stages import Stage, run_stages
from remanence.engine.token_pass import run_token_pass
from remanence.jobs.audit import answered, answers, attempts, matching, membership, rows
from remanence.jobs.audit.conclude import Audit, conclude_findings
from remanence.jobs.audit.findings import Findings, findings_from_tokens, write_findings
from remanence.jobs.audit.measures import discoverable, table_columns, table_measures
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import check_prefixes
from remanence.text.spans import SpanIndex
from remanence.text.words import TOKENIZATION


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
    check_prefixes(settings)
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
        ask = partial(answers.ask_all, run, targets, groups, rendered, settings, show=show)
        run_stages(run, [Stage("answers", (answered.FACTS,), ask)])
        found = judge(run, base is not None, [g.group for g in groups], settings)
    else:
        answers.announce_table(targets, groups, settings, show=show)
        run_token_pass(
            run, at_work, list(targets), groups, table_columns(measures), discoverable(settings), executor,
            dtype=settings.dtype, shard_rows=settings.shard_rows, show=show,
        )  # fmt: skip
        found = judge(run, base is not None, [g.group for g in groups], settings)
        ask = partial(_attack, run, at_work, targets, groups, rendered["train"], found, settings, executor, show=show)
        run_stages(run, [Stage("attempts", ("attempts.parquet",), ask)])
        answers.tell_table(run, targets, show=show)
    matching.match_attempts(run, train, heldout, base, settings, show=show)
    blind: list[dict[str, Any]] = []
    if data.heldout is not None:
        kept = [r.plain for r, keep in zip(data.heldout.records, data.keep_H, strict=True) if keep]
        blind = [membership.blind_line([r.plain for r in data.train.records], kept, settings.seed)]
    return conclude_findings(run, found, blind, settings, fail_if)


def judge(run: Run, with_base: bool, groups: Sequence[str], settings: AuditSettings) -> Findings:
    """Findings of every measure on every side, from the token tables, or from answers where there are none; writes
    `findings.parquet`.
    """
    judge_tables = answered.judge if answered.answers_only(run) else findings_from_tokens
    found = judge_tables(run, with_base, groups, settings)
    write_findings(run, found)
    return found


def _attack(
    run: Run,
    opens: OpenTargets,
    targets: Mapping[str, Target],
    groups: Sequence[DistinctRows],
    rendered: Sequence[Any],
    found: Findings,
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
        "schema": 2,
        "job": "audit",
        "settings": settings.spec(),
        "seed": settings.seed,
        "data": data,
        "models": {role: None if role not in targets else model_facts(targets[role]) for role in ("tuned", "base")},
        "tokenization": TOKENIZATION,
        "versions": versions(),
    }
