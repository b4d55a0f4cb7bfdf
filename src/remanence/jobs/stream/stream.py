"""The audit of a million rows: the rows pass by in blocks, and what is kept of each is one short line on disk.

Read (hashes of each row), score (block by block, each written before it is forgotten), count (one block in memory at a
time), ask (the worst rows, read again), tell. The figures are those of the ordinary audit; its token tables are not
kept, near duplicates are counted for few rows only, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.progress import tracks
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.target import Scores, Target, rendered_rows
from remanence.engine.describe import rendered_fingerprint
from remanence.engine.executors import OpenTargets, openable_by
from remanence.engine.gates import apply_rule, check_rule
from remanence.engine.rates import rates_to_arrow
from remanence.jobs.audit import membership, ranking
from remanence.jobs.audit.audit import Audit, run_spec
from remanence.jobs.audit.comparisons import compared_columns
from remanence.jobs.audit.notes import note_sentences, tried
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.verdict import Back, Told, assembled
from remanence.jobs.stream.asking import asked_about, attack, match, read_again
from remanence.jobs.stream.block import Block, block_table, blocks
from remanence.jobs.stream.count import Counts, count
from remanence.jobs.stream.large import MOST_PREFIXES
from remanence.jobs.stream.settings import StreamSettings
from remanence.jobs.stream.survey import Survey, survey
from remanence.jobs.stream.worst import ranking_lines


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
    known = survey(train, heldout, settings.by, stream.together)
    groups: dict[str, Iterable[Record]] = {"train": train} | ({} if heldout is None else {"heldout": heldout})
    run = Run.begin(out, _spec(targets, known, groups, settings, stream, names or {}), resume=resume)
    _pass_over(run, at_work, groups, known, settings, executor, show=show)
    found = count(run, settings, stream.worst, with_heldout=heldout is not None, with_base=base is not None)
    again = read_again(train, known, asked_about(found, settings), stream.together, settings.seed)
    attack(run, at_work, targets, again, known, found, settings, executor, show=show)
    match(run, again, heldout, base, settings, show=show)
    blind: list[dict[str, Any]] = []
    if known.heldout is not None:
        kept = [r.plain for r, keep in zip(known.heldout.records, known.keep_H.tolist(), strict=True) if keep]
        blind = [membership.blind_line(again.texts, kept, settings.seed)]
    return conclude(run, found, blind, settings, stream, fail_if)


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
    if len(settings.prefixes) > MOST_PREFIXES:
        raise RemanenceError(
            f"A streamed audit keeps verdicts at {MOST_PREFIXES} prefix lengths at most, "
            f"and --prefixes names {len(settings.prefixes)}."
        )


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
    with tracks(bars, show=show) as advance:

        def missing() -> Iterator[Block]:
            for group, records in groups.items():
                for block in blocks(group, records, known, settings.shard_rows):
                    if run.has(f"{block.name}.parquet"):
                        advance(group, len(block.records))
                    else:
                        yield block

        for block, table in executor.map(opens, partial(block_table, settings=settings), missing()):
            run.write_table(block.name, table)
            advance(block.group, len(block.records))


def conclude(
    run: Run,
    found: Counts,
    blind: list[dict[str, Any]],
    settings: AuditSettings,
    stream: StreamSettings,
    fail_if: str | None,
) -> Audit:
    """Rates, membership, ranking and verdict, from what was counted."""
    rate_lines = found.rates.lines()
    run.write_table("rates", rates_to_arrow(rate_lines))
    member_lines = [*found.membership_lines(settings), *blind]
    run.write_table("membership", membership.to_arrow(member_lines))
    null = found.null(settings)
    ranked = ranking_lines(run, found.worst.rows(), null, settings)[: stream.worst]
    run.write_table("ranking", ranking.to_arrow(ranked))
    worst = ranked[0]["id"] if ranked else ""
    spec = run.spec
    told = Told(
        num_train=found.num_train,
        num_distinct=found.num_distinct,
        back=Back(found.num_back, found.num_repeated, worst, found.near_counted),
        with_heldout=spec["data"]["heldout"] is not None,
        with_base=spec["models"]["base"] is not None,
        columns=compared_columns(rate_lines, found.rates.values, settings),
        notes=[*note_sentences(found.notes(), settings), *tried(run), *_notes(run, found, settings, stream)],
        not_measured=dict(found.notes().not_measured),
        flagged=None if null is None else null.counted_within(ranking.LEVEL),
    )
    said = assembled(told, rate_lines, member_lines)
    undecided = apply_rule(said, fail_if)
    run.write_json("verdict.json", said)
    return Audit(run, said, undecided)


def _notes(run: Run, found: Counts, settings: AuditSettings, stream: StreamSettings) -> list[str]:
    """What a streamed audit does not know."""
    said: list[str] = []
    if not found.near_counted:
        held = " and held-out rows that nearly stand in the training data" if run.spec["data"]["heldout"] else ""
        said.append(
            f"Near duplicates{held} were not looked for: there are more than {stream.together:,} training rows "
            "(--together); copies are rows that are equal word for word."
        )
        if run.has("attempts.parquet") and not run.has("origins.parquet"):
            said.append(
                "The answers were held against the rows asked about, and not against all training text: "
                "`remanence match` does that, from an index on disk."
            )
    measured = found.num_distinct - sum(found.reasons.values())
    if measured > stream.worst:
        said.append(
            f"The ranking names the worst {stream.worst:,} of {measured:,} measured rows; "
            "every row has its line in the tables under blocks/."
        )
    return said


def rescore_stream(run: Run, measures: list[str] | None = None) -> Audit:
    """`rescore` of a streamed run, from its block tables: other likelihood measures among those that it measured."""
    spec = run.spec
    settings, stream = AuditSettings.of_spec(spec["settings"]), StreamSettings.of_spec(spec["stream"])
    if not run.has("verdict.json"):
        raise RemanenceError(f"{run.folder.name} has no verdict: the run was not finished; add --resume to the audit.")
    if measures is not None:
        lacking = [name for name in measures if name not in settings.measures]
        if lacking:
            raise RemanenceError(
                f"A streamed run keeps the scores of {', '.join(settings.measures)} and no tokens to measure "
                f"{', '.join(lacking)} from: audit again with it."
            )
        settings = replace(settings, measures=tuple(measures))
    old_gate, blind = run.read_json("verdict.json")["fail_if"], run.lines("membership")
    with_heldout, with_base = spec["data"]["heldout"] is not None, spec["models"]["base"] is not None
    found = count(run, settings, stream.worst, with_heldout=with_heldout, with_base=with_base)
    blind = [line for line in blind if line["target"] == "blind"]
    return conclude(run, found, blind, settings, stream, old_gate and old_gate["rule"])


def is_streamed(run: Run) -> bool:
    """Whether this run was streamed."""
    return "stream" in run.spec
