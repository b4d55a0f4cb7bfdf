"""What answers alone tell, for a model that gives no token table: findings, and what must be said beside them.

A row is extracted at a prefix length where the answer begins with its next tokens. How sure the model was,
and what it would say when sampled, is not to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from remanence.core.finding import Finding
from remanence.core.run import Run
from remanence.core.verbs import TableMeasure
from remanence.jobs.audit.findings import GroupFindings
from remanence.jobs.audit.measures import discoverable, table_measures
from remanence.jobs.audit.settings import AuditSettings

FACTS = "asked.json"
NEEDS = "it needs log-probabilities, and the model was only to be had as text"
UNASKED = "it is not in the sample of rows that were asked"
SHORT = "too short: no prefix length leaves enough {unit}s to generate"


def facts(run: Run) -> dict[str, Any]:
    """`asked.json`, or nothing where no server was asked."""
    return run.read_json(FACTS) if run.has(FACTS) else {}


def answers_only(run: Run) -> bool:
    """Whether a run has no token table."""
    return bool(facts(run).get("answers_only"))


def judge(
    run: Run, with_base: bool, groups: Sequence[str], settings: AuditSettings
) -> dict[tuple[str, str], GroupFindings]:
    """Findings of every measure on every side, from `attempts` alone; the ceiling is the rows' own continuations."""
    measures = table_measures(settings, with_base)
    found = {("tuned", group): find(run, "tuned", group, measures, settings) for group in groups}
    if with_base:
        alone = [m for m in measures if not m.needs_base]
        found |= {("base", group): find(run, "base", group, alone, settings) for group in groups}
    extraction = [m for m in measures if m.name.startswith(("discoverable", "np_discoverable"))]
    found["ceiling", "train"] = find(run, "ceiling", "train", extraction, settings)
    return found


def find(run: Run, role: str, group: str, measures: Sequence[TableMeasure], settings: AuditSettings) -> GroupFindings:
    """What the answers say of each distinct row of a group; a measure that needs more has a reason and no score."""
    read = "tuned" if role == "ceiling" else role
    at = _answers(run, read, group)
    why = _reasons(run, group)
    distinct = [r for r in run.lines("rows") if r["group"] == group and r["same_as"] is None]
    found = GroupFindings(by_measure={m.name: [] for m in measures})
    reaches: list[tuple[int, int]] = []
    for row in distinct:
        found.places.append(row["row"])
        found.ids.append(row["id"])
        told = {p: settings.new_tokens if role == "ceiling" else n for p, n in at.get(row["row"], {}).items()}
        reason = None if told else row["reason"] or why.get(row["row"]) or _why(run, row, settings)
        for measure in measures:
            finding = _finding(row["id"], measure.name, told, reason, settings)
            found.by_measure[measure.name].append(finding)
        reaches.append((max(told.values(), default=0), settings.new_tokens if told else 0))
    found.reaches = np.array(reaches, np.int64).reshape(-1, 2)
    return found


def _finding(
    record_id: str, measure: str, told: Mapping[int, int], reason: str | None, settings: AuditSettings
) -> Finding:
    if reason is not None:
        return Finding(record_id, measure, None, reason=reason)
    if measure != discoverable(settings).name:
        return Finding(record_id, measure, None, reason=NEEDS)
    hits = {prefix: num >= settings.new_tokens for prefix, num in told.items()}
    evidence = {"at": hits, "splits": len(hits), "hits": sum(hits.values()), "run": max(told.values())}
    return Finding(record_id, measure, float(any(hits.values())), evidence)


def _answers(run: Run, role: str, group: str) -> dict[int, dict[int, int]]:
    """Row -> prefix length -> how many of the row's next tokens began the answer."""
    found: dict[int, dict[int, int]] = {}
    columns = ["target", "group", "row", "prefix_tokens", "shared_prefix"]
    for one in run.read_table("attempts").select(columns).to_pylist():
        if (one["target"], one["group"]) == (role, group):
            found.setdefault(one["row"], {})[one["prefix_tokens"]] = one["shared_prefix"]
    return found


def _reasons(run: Run, group: str) -> dict[int, str]:
    """Row -> why it was not answered, at the shortest prefix length that was asked."""
    told = sorted(refused(run), key=lambda one: -one["prefix_tokens"])
    return {one["row"]: one["reason"] for one in told if one["group"] == group}


def refused(run: Run) -> list[dict[str, Any]]:
    """The questions that got no answer."""
    return run.lines("refused") if run.has("refused.parquet") else []


def _why(run: Run, row: Mapping[str, Any], settings: AuditSettings) -> str:
    if (row["num_supervised"] or 0) < min(settings.prefixes) + settings.new_tokens:
        return SHORT.format(unit=unit(run))
    return UNASKED


def unit(run: Run) -> str:
    """What the run counts: words, or tokens."""
    return next((one["unit"] for one in facts(run).get("servers", [])), "token")


def best(run: Run) -> dict[tuple[str, str, int], int]:
    """(target, group, row) -> the attempt that shows it best: the shortest prefix that brings it back, else the longest
    run. The base model's is the one at the same prefix, so that the two can be compared.
    """
    columns = ["target", "group", "row", "prefix_tokens", "shared_prefix", "exact"]
    lines = list(enumerate(run.read_table("attempts").select(columns).to_pylist()))
    chosen: dict[tuple[str, int], tuple[Any, int]] = {}
    for _, one in lines:
        if one["target"] == "tuned":
            rank = (not one["exact"], 0 if one["exact"] else -one["shared_prefix"], one["prefix_tokens"])
            key = (one["group"], one["row"])
            chosen[key] = min(chosen.get(key, (rank, one["prefix_tokens"])), (rank, one["prefix_tokens"]))
    return {
        (one["target"], one["group"], one["row"]): number
        for number, one in lines
        if chosen.get((one["group"], one["row"]), (None, None))[1] == one["prefix_tokens"]
    }


def not_from_answers(run: Run) -> list[str]:
    """What a model that was only asked cannot be said to keep, in a sentence."""
    if not answers_only(run):
        return []
    return [
        "The server returns text only, no log-probabilities: extraction by sampling ((n,p)-discoverable), extraction "
        "strength, likelihood and membership are not measured, nor are budgets above --new-tokens."
    ]


def notes(run: Run) -> list[str]:
    """Sentences about the asking."""
    told = facts(run)
    if not told:
        return []
    said: list[str] = []
    for server in told["servers"]:
        which = "" if server["role"] == "tuned" else " (the base model)"
        said.append(f"{server['name']} at {server['host']}{which} was found to give {', '.join(server['gives'])}.")
    if unit(run) == "word":
        said.append(
            "The model's tokenizer is not known: a token here is a word, or a run of other characters, with the space "
            "before it."
        )
    if told["answers_only"]:
        said += _really_asked(*told["rows"]["train"])
    if missing := refused(run):
        reasons = list(dict.fromkeys(one["reason"] for one in missing))
        why = "; ".join(reasons[:2]) + ("; ..." if len(reasons) > 2 else "")
        many = "1 prompt" if len(missing) == 1 else f"{len(missing):,} prompts"
        said.append(f"{many} got no reply: {why}.")
    spent = told.get("spent")
    if spent:
        said.append(
            f"The servers were sent {spent['requests']:,} requests, {spent['prompt_tokens']:,} prompt tokens and "
            f"{spent['completion_tokens']:,} completion tokens by their count; transcript.jsonl has all of it."
        )
    return said


def _really_asked(asked: int, able: int) -> list[str]:
    """`asked` of the `able` distinct training rows that are long enough."""
    said = [f"All {able:,} distinct training rows that are long enough were used as prompts, at every prefix length."]
    if asked < able:
        said = [
            f"A sample of {asked:,} of the {able:,} distinct training rows that are long enough was used as "
            "prompts, drawn by the seed, because the worst rows are not known without log-probabilities. "
            "--generate all uses all rows."
        ]
    return said
