"""The audit of a million rows: the rows pass by in blocks, and what is kept of each is one short line on disk.

Read (hashes of each row), score (block by block, each written before it is forgotten), count (one block in memory at a
time), ask (the worst rows, read again), tell. The figures are those of the ordinary audit; its token tables are not
kept, near duplicates are counted for few rows only, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.target import Scores, Target, rendered_rows
from remanence.engine.describe import rendered_fingerprint
from remanence.engine.executors import OpenTargets, openable_by
from remanence.engine.gates import check_rule
from remanence.engine.stages import run_shards
from remanence.jobs.audit import membership
from remanence.jobs.audit.audit import run_spec
from remanence.jobs.audit.blocks import Block, block_table, blocks
from remanence.jobs.audit.conclude import Audit, conclude_blocks, count_blocks
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream_attempts import asked_about, attack, match, read_again
from remanence.jobs.audit.stream_settings import StreamSettings
from remanence.jobs.audit.summaries import check_prefixes
from remanence.jobs.audit.survey import Survey, survey


def run_stream(
    model: Target,
    train: Iterable[Record],
    heldout: Sequence[Record] | None,
    base: Target | None,
    out: Path | str,
    settings: AuditSettings,
    stream: StreamSettings | None = None,
    *,
    names: dict[str, Any] | None = None,
    fail_if: str | None = None,
    resume: bool = False,
    show: bool = True,
    executor: Executor | None = None,
    opens: OpenTargets | None = None,
) -> Audit:
    """`audit.run_audit` over training rows that are gone through several times and never held, such as `FileRecords`.

    Held-out rows are held in memory. Raises `RemanenceError` for what needs all rows at once, and as `run_audit` does.
    """
    stream = stream or StreamSettings()
    if fail_if is not None:
        check_rule(fail_if, heldout is not None, base is not None)
    targets = {"tuned": model} if base is None else {"tuned": model, "base": base}
    _refuse(targets, settings)
    executor = executor or Serial()
    at_work = openable_by(executor, targets, opens)
    known = survey(train, heldout, settings.by, stream.in_memory_rows)
    groups: dict[str, Iterable[Record]] = {"train": train} | ({} if heldout is None else {"heldout": heldout})
    run = Run.begin(out, _spec(targets, known, groups, settings, stream, names or {}), resume=resume)
    _pass_over(run, at_work, groups, known, settings, executor, show=show)
    found = count_blocks(run, settings, stream)
    again = read_again(train, known, asked_about(found, settings), stream.in_memory_rows, settings.seed)
    attack(run, at_work, targets, again, known, found, settings, executor, show=show)
    match(run, again, heldout, base, settings, show=show)
    blind: list[dict[str, Any]] = []
    if known.heldout is not None:
        kept = [r.plain for r, keep in zip(known.heldout.records, known.keep_H.tolist(), strict=True) if keep]
        blind = [membership.blind_line(again.texts, kept, settings.seed)]
    return conclude_blocks(run, found, blind, settings, stream, fail_if)


def _refuse(targets: Mapping[str, Target], settings: AuditSettings) -> None:
    for target in targets.values():
        if not isinstance(target, Scores):
            raise RemanenceError(
                f"A streamed audit needs a target that scores tokens; {target.name} only generates: "
                "audit a sample of the rows without --stream."
            )
    if settings.background == "base" and "base" not in targets:
        raise RemanenceError("--background base needs --base: without a base model it cannot say what surprises it.")
    if settings.generate == "all":
        raise RemanenceError(
            "--generate all keeps every answer in memory: stream with --generate auto, or take --no-stream."
        )
    check_prefixes(settings)


def _spec(
    targets: dict[str, Target],
    known: Survey,
    groups: Mapping[str, Iterable[Record]],
    settings: AuditSettings,
    stream: StreamSettings,
    names: dict[str, Any],
) -> dict[str, Any]:
    """`run.json`; what the model reads is told by the first block, where another tokenizer or template shows too."""

    def told(group: str) -> dict[str, Any] | None:
        if group not in groups:
            return None
        first = next(blocks(group, groups[group], known, settings.shard_rows))
        distinct = [r for r, line in zip(first.records, first.lines, strict=True) if line.same_as is None]
        train = group == "train"
        return {
            "name": names.get(group, group),
            "rows": known.num if train else known.num_heldout,
            "fingerprint": known.fingerprint if train else data_fingerprint(groups[group]),
            "rendered": rendered_fingerprint(rendered_rows(cast(Scores, targets["tuned"]), distinct)),
        }

    spec = run_spec(targets, {group: told(group) for group in ("train", "heldout")}, settings)
    return {**spec, "stream": stream.spec()}


def _pass_over(
    run: Run,
    opens: OpenTargets,
    groups: Mapping[str, Iterable[Record]],
    known: Survey,
    settings: AuditSettings,
    executor: Executor,
    *,
    show: bool,
) -> None:
    """Fill the block tables of every group; blocks that are there already are not handed out."""
    totals = {"train": known.num, "heldout": known.num_heldout}
    bars = {group: (f"scoring {group} rows", totals[group]) for group in groups}
    tasks = (block for group, records in groups.items() for block in blocks(group, records, known, settings.shard_rows))

    def write(block: Block, table: pa.Table) -> None:
        run.write_table(block.name, table)

    run_shards(run, tasks, opens, partial(block_table, settings=settings), write, executor, bars, show=show)
