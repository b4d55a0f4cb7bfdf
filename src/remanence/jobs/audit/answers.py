"""Asking a model that only says text: without a token table every row must really be asked, at every prefix length.

Which rows are the worst is not known beforehand, so where not all of them are asked, it is a sample drawn by the seed.
All answers are fetched first, many at once; then they are read like those of any audit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from remanence.attack.prefix import Prefix
from remanence.core.errors import RemanenceError
from remanence.core.executor import Serial
from remanence.core.progress import track
from remanence.core.run import Run
from remanence.core.schema import REFUSED
from remanence.core.table import Rendered
from remanence.core.target import Generates, Prompt, Scores, Target, cut
from remanence.engine.rows import DistinctRows
from remanence.jobs.audit import attempts
from remanence.jobs.audit.answered import FACTS
from remanence.jobs.audit.attempts import Question
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.endpoint.budget import Estimate, cost
from remanence.models.endpoint.client import Client
from remanence.models.endpoint.endpoint import Endpoint, ScoringEndpoint
from remanence.text.spans import SpanIndex

BATCH = 256
"""Prompts handed to a server together."""


def needed(targets: Mapping[str, Target], settings: AuditSettings) -> bool:
    """Whether some target gives no token table. Raises `RemanenceError` when it is not to be asked either."""
    only = [target for target in targets.values() if not isinstance(target, Scores)]
    for target in only:
        if not isinstance(target, Generates):
            raise RemanenceError(f"The audit needs a target that scores or generates; {target.name} does neither.")
        if settings.generate == "none":
            raise RemanenceError(f"{target.name} only gives text: --generate none leaves nothing to measure.")
        if settings.background == "base":
            raise RemanenceError(f"{target.name} only gives text: --background base needs log-probabilities.")
    return bool(only)


def plan(
    rendered: Sequence[Rendered | str], settings: AuditSettings, group: str
) -> tuple[list[Question], tuple[int, int]]:
    """DistinctRows x prefix lengths to ask: all, or those of `settings.generate_rows` rows drawn by the seed.

    And how many rows that makes, of how many that are long enough to be asked.
    """
    askable: list[list[Question]] = []
    for i, row in enumerate(rendered):
        if isinstance(row, str):
            continue
        able = [n for n in settings.prefixes if cut(row, "", n, settings.new_tokens) is not None]
        if able:
            askable.append([Question(i, n, "asked") for n in able])
    able_rows = len(askable)
    if settings.generate != "all" and able_rows > settings.generate_rows:
        rng = np.random.default_rng([settings.seed, *group.encode()])
        drawn = np.sort(rng.choice(able_rows, settings.generate_rows, replace=False))
        askable = [askable[i] for i in drawn.tolist()]
    return [question for row in askable for question in row], (len(askable), able_rows)


def ask_all(
    run: Run,
    targets: Mapping[str, Any],
    groups: Sequence[DistinctRows],
    rendered: Mapping[str, Sequence[Rendered | str]],
    settings: AuditSettings,
    *,
    show: bool,
) -> None:
    """Ask everything, and write `attempts`, `matches`, `refused` and `asked.json`.

    A question that one of the targets does not answer is left out for all of them, with the reason.
    """
    planned = {g.group: plan(rendered[g.group], settings, g.group) for g in groups}
    asked = {group: questions for group, (questions, _) in planned.items()}
    servers = {role: target for role, target in targets.items() if isinstance(target, Endpoint)}
    parts = [
        target.estimate([_prompt(target, g, question, settings) for question in asked[g.group]])
        for target in servers.values()
        for g in groups
    ]
    announce(sum(parts, Estimate()), servers, show=show)
    sheets = fetched(run, targets, [(g, asked[g.group]) for g in groups], settings, show=show)
    rows = [np.empty(0, np.int32) if isinstance(row, str) else row.ids for row in rendered["train"]]
    attempts.ask(run, lambda: targets, targets, sheets, settings, SpanIndex.build(rows), Serial(), show=False)
    attempts.gather(run, list(targets), [g.group for g in groups])
    tell(run, servers, answers_only=True, rows={group: counts for group, (_, counts) in planned.items()}, show=show)


def fetched(
    run: Run,
    targets: Mapping[str, Any],
    asked: Sequence[tuple[DistinctRows, Sequence[Question]]],
    settings: AuditSettings,
    *,
    show: bool,
) -> list[tuple[DistinctRows, Sequence[Question]]]:
    """The questions that every server answered; the answers wait in the transcript, the others stand in `refused`."""
    servers = {role: target for role, target in targets.items() if isinstance(target, Endpoint)}
    if not servers:
        return list(asked)
    refused: list[dict[str, Any]] = []
    unanswered: set[tuple[str, Question]] = set()
    for role, target in servers.items():
        for g, questions in asked:
            prompts = [_prompt(target, g, question, settings) for question in questions]
            why = _fetch(target, prompts, settings, f"asking the {role} model, {g.group} rows", show=show)
            for question, reason in zip(questions, why, strict=True):
                if reason is not None:
                    refused.append(_refused(role, g, question, reason))
                    unanswered.add((g.group, question))
    run.write_table("refused", pa.Table.from_pylist(refused, schema=REFUSED))
    return [(g, [q for q in questions if (g.group, q) not in unanswered]) for g, questions in asked]


def _prompt(target: Any, rows: DistinctRows, question: Question, settings: AuditSettings) -> Prompt:
    prompt = Prefix(question.prefix, settings.new_tokens).prompt(target, rows.records[question.row])
    if prompt is None:
        raise RemanenceError(f"{target.name} cuts the rows in another way: serve both models, or name a --tokenizer.")
    return prompt


def _fetch(
    target: Endpoint, prompts: Sequence[Prompt], settings: AuditSettings, label: str, *, show: bool
) -> list[str | None]:
    """Why each prompt has no answer, or None; the answers themselves wait in the transcript."""
    told: list[str | None] = []
    with track(label, len(prompts), show=show) as advance:
        for at in range(0, len(prompts), BATCH):
            part = prompts[at : at + BATCH]
            found = target.answers(part, settings.new_tokens, None, settings.seed)
            told += [answer if isinstance(answer, str) else None for answer in found]
            advance(len(part))
    return told


def _refused(role: str, rows: DistinctRows, question: Question, reason: str) -> dict[str, Any]:
    place, record = rows.places[question.row], rows.records[question.row]
    told = {"target": role, "group": rows.group, "row": place, "id": record.id}
    return {**told, "prefix_tokens": question.prefix, "reason": reason}


def announce_table(
    targets: Mapping[str, Target], groups: Sequence[DistinctRows], settings: AuditSettings, *, show: bool
) -> None:
    """Before servers fill token tables: what one request per row, and asking the worst of them, will come to."""
    servers = {role: target for role, target in targets.items() if isinstance(target, ScoringEndpoint)}
    total = Estimate()
    for target in servers.values():
        for g in groups:
            total += target.estimate_scoring(g.records)
            asked = {"none": 0, "all": len(g.records)}.get(
                settings.generate, min(settings.generate_rows, len(g.records))
            )
            total += Estimate(asked, 0, asked * settings.new_tokens)
    announce(total, servers, show=show)


def tell_table(run: Run, targets: Mapping[str, Target], *, show: bool) -> None:
    """After servers filled token tables: `asked.json`; nothing where there was no server."""
    servers = {role: target for role, target in targets.items() if isinstance(target, Endpoint)}
    if servers:
        tell(run, servers, answers_only=False, show=show)


def announce(estimate: Estimate, servers: Mapping[str, Endpoint], *, show: bool) -> None:
    """Say on stderr what is to come, and refuse it where it is more than the user allows."""
    clients = [target.asks for target in servers.values() if isinstance(target.asks, Client)]
    if not clients or clients[0].transcript.replaying:
        return
    if show and estimate.requests:
        print(estimate.sentence(clients[0].settings), file=sys.stderr)
    estimate.check(clients[0].settings, clients[0].transcript.sent)


def tell(
    run: Run,
    servers: Mapping[str, Endpoint],
    *,
    answers_only: bool,
    rows: Mapping[str, tuple[int, int]] | None = None,
    show: bool,
) -> None:
    """Write `asked.json`: who was asked, what they give, and what it took; money goes to stderr only."""
    clients = [target.asks for target in servers.values() if isinstance(target.asks, Client)]
    told: dict[str, Any] = {"answers_only": answers_only, "rows": {k: list(v) for k, v in (rows or {}).items()}}
    told["servers"] = [
        {"role": role, "name": t.name, "host": t.host, "gives": t.gives, "unit": t.cutter.unit, "cut": t.cut}
        for role, t in servers.items()
        if isinstance(t.asks, Client)
    ]
    if clients:
        transcript = clients[0].transcript
        transcript.flush()
        told["spent"] = spent = transcript.spent()
        money = cost(spent["prompt_tokens"], spent["completion_tokens"], clients[0].settings)
        if show and money is not None and not transcript.replaying:
            print(f"Spent: {spent['requests']:,} requests, {money:,.2f} at these prices.", file=sys.stderr)
    run.write_json(FACTS, told)
