"""The prefix attack inside an audit: put the rows that matter to the model, and mark where its words are the row's.

Which rows matter is read from the token table, by the same rule for training and held-out rows: those that are
extracted, at the shortest prefix at which they are, then those that nearly are, most extractable first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa

from remanence.attack.prefix import Prefix
from remanence.core.executor import Executor
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.schema import ATTEMPTS, MATCHES
from remanence.core.table import IntsT
from remanence.core.target import Answer, Generates, Prompt, Target
from remanence.engine.executors import OpenTargets
from remanence.engine.rows import DistinctRows
from remanence.engine.stages import run_shards
from remanence.jobs.audit.findings import GroupFindings
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.huggingface import HuggingFace
from remanence.text.spans import SpanIndex, common_prefix_length, longest_shared_span

BATCH = 64
"""Prompts per shard of attempts."""


@dataclass(frozen=True)
class Question:
    """One row to be put to the model at one prefix length."""

    row: int
    """Line among the distinct rows of the group."""
    prefix: int
    why: str


def questions(found: GroupFindings, settings: AuditSettings) -> list[Question]:
    """Which rows to ask about, worst first."""
    if settings.generate == "none":
        return []
    asked: list[tuple[tuple[float, ...], Question]] = []
    sampled = found.by_measure[f"np_discoverable[{settings.schemes[0]}]"]
    for i, (finding, drawn) in enumerate(zip(found.by_measure["discoverable"], sampled, strict=True)):
        if finding.score is None:
            continue
        at = finding.evidence["at"]
        log_p = drawn.evidence.get("log_p") or finding.evidence["gap"]  # not every target fills a scheme's column
        hits = [prefix for prefix, hit in at.items() if hit]
        prefix = min(hits) if hits else max(log_p, key=lambda length: (log_p[length], -length))
        why = "table" if hits else "asked" if settings.generate == "all" else "near"
        likely = max(log_p.values()) if drawn.score is None else drawn.score
        asked.append(((-len(hits), -likely, i), Question(i, prefix, why)))
    asked.sort(key=lambda pair: pair[0])
    chosen = [question for _, question in asked]
    return chosen if settings.generate == "all" else chosen[: settings.generate_rows]


@dataclass(frozen=True)
class AttemptShard:
    """A shard of attempts: questions about rows of one group, for one target."""

    role: str
    group: str
    index: int
    questions: Sequence[Question]
    records: Sequence[Record]
    """The row of each question."""

    @property
    def name(self) -> str:
        """What its shards are called, under `attempts/` and `matches/`."""
        return f"{self.role}-{self.group}-{self.index:05d}"

    @property
    def tables(self) -> tuple[str, ...]:
        """See `ShardTask`."""
        return f"matches/{self.name}", f"attempts/{self.name}"

    @property
    def bar(self) -> tuple[str, str]:
        """See `ShardTask`."""
        return self.role, self.group

    @property
    def size(self) -> int:
        """See `ShardTask`."""
        return len(self.questions)


Generated: TypeAlias = tuple[Prompt, Answer, str | None]
"""Prompt, generated text, and what the repetition in float32 gave: `agrees`, `overturned` or None."""


def attempt_shards(role: str, rows: DistinctRows, asked: Sequence[Question]) -> Iterator[AttemptShard]:
    """The questions about the rows of a group in shards, in order."""
    for index, at in enumerate(range(0, len(asked), BATCH)):
        part = asked[at : at + BATCH]
        yield AttemptShard(role, rows.group, index, part, [rows.records[question.row] for question in part])


def ask(
    run: Run,
    opens: OpenTargets,
    targets: Mapping[str, Generates],
    asked: Sequence[tuple[DistinctRows, Sequence[Question]]],
    settings: AuditSettings,
    index: SpanIndex,
    executor: Executor,
    *,
    show: bool,
) -> None:
    """Put the questions to every target, in shards `attempts/ROLE-GROUP-NNNNN`, with their matches beside them.

    `asked`: the groups with their questions, training rows first. Who answers is the executor's business; the answers
    are compared with the training rows here, where those are.
    """
    rows_of = {rows.group: rows for rows, _ in asked}
    train = asked[0][0]
    sides = [(role, rows, questions) for rows, questions in asked for role in targets]
    bars = {(role, rows.group): (f"asking the {role} model, {rows.group} rows", len(qs)) for role, rows, qs in sides}
    tasks = (shard for role, rows, questions in sides for shard in attempt_shards(role, rows, questions))

    def write(shard: AttemptShard, generated: Sequence[Generated]) -> None:
        _write(run, shard, generated, targets[shard.role], rows_of[shard.group], settings, index, train)

    run_shards(run, tasks, opens, partial(answers, settings=settings), write, executor, bars, show=show)


def answers(targets: Mapping[str, Target], shard: AttemptShard, settings: AuditSettings) -> list[Generated]:
    """The work of one shard: ask, and ask again where an answer is not what the token table says."""
    target = cast(Generates, targets[shard.role])
    asked = list(zip(shard.records, shard.questions, strict=True))
    prompts = [_prompt(target, record, question, settings) for record, question in asked]
    said: list[Generated] = []
    first = target.generate(prompts, settings.new_tokens, None, settings.seed)
    for question, prompt, answer in zip(shard.questions, prompts, first, strict=True):
        surprising = _exact(answer.ids, prompt.expected) != (question.why == "table")
        said.append((prompt, *_again(target, prompt, answer, settings, surprising, shard.role)))
    return said


def _write(
    run: Run,
    shard: AttemptShard,
    said: Sequence[Generated],
    target: Generates,
    rows: DistinctRows,
    settings: AuditSettings,
    index: SpanIndex,
    train: DistinctRows,
) -> None:
    lines: list[dict[str, Any]] = []
    matches: list[dict[str, Any]] = []
    for i, (question, (prompt, answer, verdict)) in enumerate(zip(shard.questions, said, strict=True)):
        lines.append(_line(shard.role, rows, question, prompt, answer, verdict, target, settings))
        own = train.places[question.row] if rows.group == "train" else None
        matches += [
            {"attempt": i, **m}
            for m in _matches(target, prompt, answer, index, train, own, rows.records[question.row].id)
        ]
    run.write_table(f"matches/{shard.name}", pa.Table.from_pylist(matches, schema=MATCHES))
    run.write_table(f"attempts/{shard.name}", pa.Table.from_pylist(lines, schema=ATTEMPTS))


def _prompt(target: Generates, record: Record, question: Question, settings: AuditSettings) -> Prompt:
    prompt = Prefix(question.prefix, settings.new_tokens).prompt(target, record)
    assert prompt is not None, "only rows that can be cut are asked about"
    return prompt


def _exact(said: IntsT, expected: IntsT) -> bool:
    return said.size >= expected.size and bool(np.array_equal(said[: expected.size], expected))


def _again(
    target: Generates, prompt: Prompt, answer: Answer, settings: AuditSettings, surprising: bool, role: str
) -> tuple[Answer, str | None]:
    """When the tuned model's answer is not what the table says, ask once more in float32 at batch size 1."""
    if not surprising or role != "tuned" or not isinstance(target, HuggingFace):
        return answer, None
    again = target.answer_alone_in_float32(prompt, settings.new_tokens, settings.seed)
    same = _exact(again.ids, prompt.expected) == _exact(answer.ids, prompt.expected)
    return again, "agrees" if same else "overturned"


def _line(
    role: str,
    rows: DistinctRows,
    question: Question,
    prompt: Prompt,
    answer: Answer,
    verdict: str | None,
    target: Generates,
    settings: AuditSettings,
) -> dict[str, Any]:
    return {
        "target": role,
        "group": rows.group,
        "row": rows.places[question.row],
        "id": prompt.record_id,
        "attack": "prefix",
        "prefix_tokens": question.prefix,
        "new_tokens": settings.new_tokens,
        "scheme": "greedy",
        "seed": settings.seed,
        "why": question.why,
        "prompt": target.decode(prompt.ids if prompt.source is None else prompt.source),
        "answer": answer.text,
        "expected": target.decode(prompt.expected),
        "num_answer": int(answer.ids.size),
        "shared_prefix": common_prefix_length(answer.ids, prompt.expected),
        "exact": _exact(answer.ids, prompt.expected),
        "recheck": verdict,
    }


def _matches(
    target: Generates,
    prompt: Prompt,
    answer: Answer,
    index: SpanIndex,
    train: DistinctRows,
    own: int | None,
    own_id: str,
) -> list[dict[str, Any]]:
    """The longest span shared with the row's own remaining text, and with any training row."""
    assert prompt.rest is not None
    given = prompt.ids if prompt.source is None else np.concatenate([prompt.source, prompt.ids])
    found: list[dict[str, Any]] = []
    span = longest_shared_span(answer.ids, prompt.rest)
    if span.length:
        place = {"train_row": own, "train_id": own_id, "start_record": prompt.ids.size + span.start_b}
        found.append({"whose": "own", **place, **_place(target, answer, span.start_a, span.length, given)})
    wide = index.longest(answer.ids)
    if wide.length:
        place = {
            "train_row": train.places[wide.row],
            "train_id": train.records[wide.row].id,
            "start_record": wide.start_row,
        }
        found.append({"whose": "corpus", **place, **_place(target, answer, wide.start_query, wide.length, given)})
    return found


def _place(target: Generates, answer: Answer, start: int, length: int, given: IntsT) -> dict[str, Any]:
    run = answer.ids[start : start + length]
    before = len(target.decode(answer.ids[:start]))
    return {
        "kind": "verbatim",
        "length": length,
        "start_answer": start,
        "char_start": before,
        "char_end": max(before, len(target.decode(answer.ids[: start + length]))),
        "in_prompt": longest_shared_span(run, given).length == length,
    }


def gather(run: Run, roles: Sequence[str], groups: Sequence[str]) -> None:
    """`attempts.parquet` and `matches.parquet` from the shards; a match names its attempt by line."""
    attempts: list[pa.Table] = [ATTEMPTS.empty_table()]
    matches: list[pa.Table] = [MATCHES.empty_table()]
    done = 0
    for group in groups:
        for role in roles:
            name = f"{role}-{group}"
            shards = zip(run.shards(f"attempts/{name}"), run.shards(f"matches/{name}"), strict=True)
            for asked, matched in shards:
                moved = pa.array([a + done for a in matched.column("attempt").to_pylist()], pa.int32())
                matches.append(matched.set_column(0, MATCHES.field("attempt"), moved))
                attempts.append(asked)
                done += asked.num_rows
    run.write_table("matches", pa.concat_tables(matches).combine_chunks())
    run.write_table("attempts", pa.concat_tables(attempts).combine_chunks())
